#!/usr/bin/env bash
# The real binary killed at every system call that writes, on the way out and on the way home, and before disks that refuse.
# Usage: tests/proof/crash.sh. Installs strace if it is missing and apt-get can. PILOTLIGHT_CRASH_JOBS lives run at a time (32).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
cd "$HERE/../.."
# shellcheck source=tests/system/common.sh
. tests/system/common.sh

have_strace() {
    command -v strace >/dev/null && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    apt-get install -y -qq --no-install-recommends strace >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends strace; } >/dev/null 2>&1
}

# Whether strace may attach to a process that it did not start.
may_attach() {
    local attached=0
    sleep 30 &
    local sleeper=$!
    # Ends by `timeout` (124) when it could attach.
    timeout 1 strace -qq -o /dev/null -p "$sleeper" 2>/dev/null || attached=$?
    kill "$sleeper"
    wait "$sleeper" 2>/dev/null || true
    [ "$attached" = 124 ]
}

have_strace || skip "no strace, and it cannot be installed (no apt-get, no root or no network)"
may_attach || skip "strace may not attach to a process here (ptrace is forbidden)"

said=$(mktemp)
trap 'rm -f "$said"' EXIT
began=$SECONDS
# The profile of the other lives: little of two processors is needed then, and nothing more has to be built.
cargo test --locked --profile proof --test proof --no-run
built=$SECONDS
# Calls are what counts here, not how long a disk takes for them.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
PILOTLIGHT_CRASH=all RUST_BACKTRACE=${RUST_BACKTRACE:-0} \
    cargo test --locked --profile proof --test proof -- crash:: --nocapture --test-threads=1 2>&1 | tee "$said" ||
    fail "a kill or a disk that refuses changed something, see above"
# One line with all figures, as the tests printed them.
echo "crash: $(sed -n 's/^.*crash: //p' "$said" | grep -v skipped | tr '\n' ';' | sed 's/;$//; s/;/; /g') ($((built - began)) s to build, $((SECONDS - built)) s)"
