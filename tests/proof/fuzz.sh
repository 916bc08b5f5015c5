#!/usr/bin/env bash
# The fuzz targets of `fuzz/`, each for a bounded number of inputs from its kept corpus. tests/proof/fuzz.sh [TARGET...], all by default.
# Needs a nightly Rust and a C++ compiler; installs cargo-fuzz if it is not there. Exit 77: could not run here.
#
# PILOTLIGHT_FUZZ_RUNS     inputs per target (4000)
# PILOTLIGHT_FUZZ_SECONDS  the most time per target; a target that needs it all says how far it came (60)
# PILOTLIGHT_FUZZ_SEED     the same inputs again (1)
# PILOTLIGHT_FUZZ_KEEP     when set, what reached new code is added to the kept corpus, as little as will do
#
# The crate forbids `unsafe` and so does the fuzz crate: an address sanitizer would cost half of the speed and find little, so none is used.
# What is looked for are broken promises (panics of the targets' own checks), overflows and panics of the program.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/system/common.sh
. tests/system/common.sh

RUNS=${PILOTLIGHT_FUZZ_RUNS:-4000}
SECONDS_EACH=${PILOTLIGHT_FUZZ_SECONDS:-60}
SEED=${PILOTLIGHT_FUZZ_SEED:-1}
TOOLS=$TARGET/ci-tools
PATH=$PWD/$TOOLS/bin:$PATH

need_tools() {
    cargo +nightly --version >/dev/null 2>&1 || skip "no nightly Rust here (rustup toolchain install nightly)"
    command -v c++ >/dev/null || skip "no C++ compiler here (Debian package g++)"
    cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --debug --locked --root "$TOOLS" cargo-fuzz ||
        skip "cargo-fuzz cannot be installed here"
}

all_targets() {
    local file
    for file in fuzz/fuzz_targets/*.rs; do
        basename "$file" .rs
    done
}

build() {
    local host
    cargo +nightly metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null ||
        fail "fuzz/Cargo.lock is out of date: cargo update --workspace --manifest-path fuzz/Cargo.toml"
    host=$(rustc +nightly -vV | sed -n 's/^host: //p')
    BINARIES=$TARGET/fuzz/$host/release
    # `--cfg fuzzing` makes some crates behave otherwise than in the program.
    cargo +nightly fuzz build --sanitizer none --no-cfg-fuzzing --target-dir "$TARGET/fuzz" "$@"
}

# fuzz NAME: runs one target; what breaks a promise is kept under the build directory and ends everything.
fuzz() {
    local name=$1 log=$SCRATCH/$1.log found=$SCRATCH/found/$1 artifacts=$TARGET/fuzz/artifacts/$1 done_runs
    mkdir -p "$found" "$artifacts" "fuzz/corpus/$name" "$SCRATCH/tmp"
    if ! TMPDIR=$SCRATCH/tmp "$BINARIES/$name" -runs="$RUNS" -max_total_time="$SECONDS_EACH" -seed="$SEED" -max_len=8192 -timeout=20 \
        -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$artifacts/" "$found" "fuzz/corpus/$name" >"$log" 2>&1; then
        grep -vE '^(#[0-9]|INFO|\s*(NEW_FUNC|[0-9]+: 0x))' "$log" | head -n 40
        fail "fuzz $name; the input is in $artifacts, and again with: $BINARIES/$name FILE"
    fi
    done_runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    [ "${done_runs:-0}" -gt 0 ] || fail "fuzz $name ran no input"
    printf '%-16s %7d inputs in %3d s, covers %s, kept %d\n' "$name" "$done_runs" \
        "$(sed -n 's/^Done [0-9]* runs in \([0-9]*\) .*/\1/p' "$log")" \
        "$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1 | cut -d' ' -f2)" "$(find "fuzz/corpus/$name" -type f | wc -l)"
    if [ -n "${PILOTLIGHT_FUZZ_KEEP:-}" ]; then
        TMPDIR=$SCRATCH/tmp "$BINARIES/$name" -merge=1 -max_len=8192 "fuzz/corpus/$name" "$found" >>"$log" 2>&1
    fi
    TOTAL=$((TOTAL + done_runs))
}

need_tools
scratch
TOTAL=0
if [ $# -eq 0 ]; then
    mapfile -t NAMES < <(all_targets)
    build
else
    NAMES=("$@")
    for name in "${NAMES[@]}"; do
        build "$name"
    done
fi
for name in "${NAMES[@]}"; do
    fuzz "$name"
done
echo "fuzz: ${#NAMES[@]} targets, $TOTAL inputs, 0 broken promises"
