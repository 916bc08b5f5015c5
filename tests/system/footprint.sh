#!/usr/bin/env bash
# The release binary's figures beside the aims. Prints; fails only when a figure cannot be taken, because machines differ.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/common.sh"

WATCH_SECS=20

# figure NAME VALUE UNIT AIM
figure() {
    local mark=within
    awk -v value="$2" -v aim="$4" 'BEGIN { exit !(value <= aim) }' || mark=OVER
    printf '%-34s %8s %-7s aim: at most %s, %s\n' "$1" "$2" "$3" "$4" "$mark"
}

scratch
start_sandbox

strip -o "$SCRATCH/stripped" "$PILOTLIGHT" 2>/dev/null || cp "$PILOTLIGHT" "$SCRATCH/stripped"
figure "binary, stripped" "$(stat -c %s "$SCRATCH/stripped" | awk '{printf "%.2f", $1 / 1e6}')" MB 6
figure "crates in the default tree" "$(cargo tree --locked -e normal,build --prefix none --target x86_64-unknown-linux-gnu |
    sed 's/ (.*//' | sort -u | wc -l)" crates 179

"$PILOTLIGHT" run --config "$CONFIG" >"$SCRATCH/daemon.log" 2>&1 &
STARTED+=($!)
daemon=$!
sleep "$WATCH_SECS"
[ -d "/proc/$daemon" ] || fail "the daemon ended: $(tail -n 3 "$SCRATCH/daemon.log")"
figure "resident, watching one TLS site" "$(awk '/^VmRSS/ {printf "%.1f", $2 / 1024}' "/proc/$daemon/status")" MiB 10
# Utime and stime, in hundredths of a second.
awk -v secs="$WATCH_SECS" '{printf "%-34s %8.2f %-7s a probe each second, toggles read every 10 s\n", "processor", ($14 + $15) / secs, "%"}' \
    "/proc/$daemon/stat"
kill "$daemon"
wait "$daemon" || fail "the daemon did not end well"

if command -v python3 >/dev/null; then
    figure "start to first probe" "$(python3 "$HERE/first_probe.py")" ms 50
else
    echo "start to first probe: skipped, no python3"
fi
