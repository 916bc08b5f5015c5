# shellcheck shell=bash
# What the parts of the system suite share: the binary, a directory that goes away, the sandbox, and how to skip.

# The exit status that means: could not run here.
SKIP=77
TARGET=${CARGO_TARGET_DIR:-target}
PILOTLIGHT=${PILOTLIGHT:-$TARGET/release/pilotlight}
export PILOTLIGHT

skip() {
    echo "skipped: $1"
    exit "$SKIP"
}

fail() {
    echo "FAILED: $1" >&2
    exit 1
}

build_if_missing() {
    [ -x "$PILOTLIGHT" ] || cargo build --locked --release
}

# A directory for this run, and an end to what it started.
scratch() {
    SCRATCH=$(mktemp -d)
    STARTED=()
    trap clean_up EXIT
}

clean_up() {
    local pid
    for pid in "${STARTED[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$SCRATCH"
}

# wait_for SECONDS WHAT COMMAND...: until it succeeds.
wait_for() {
    local tries=$(($1 * 10)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "$what"
        sleep 0.1
    done
}

# Starts a new sandbox; CONFIG, CONTROL and SANDBOX_DIR tell where it is.
start_sandbox() {
    SANDBOX_DIR=$SCRATCH/sandbox-${#STARTED[@]}
    local log=$SANDBOX_DIR.log
    "$PILOTLIGHT" sandbox --listen 127.0.0.1:0 --dir "$SANDBOX_DIR" >/dev/null 2>"$log" &
    STARTED+=($!)
    wait_for 10 "the sandbox does not start, see $log" grep -q 'http://' "$log"
    CONTROL=$(grep -oE 'http://127\.0\.0\.1:[0-9]+' "$log" | head -n 1)
    CONFIG=$SANDBOX_DIR/pilotlight.toml
    export CONFIG CONTROL SANDBOX_DIR
}
