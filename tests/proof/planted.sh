#!/usr/bin/env bash
# Breaks each rule of DESIGN section 4 on purpose and looks whether a test fails that has the rule in its name.
# Usage: tests/proof/planted.sh [NAME...]   (nothing: all breaks in tests/proof/planted/)
#
# A break is a file named after its rule: the path of a source file, the text to replace between <<<< and ====, the new text between ==== and
# >>>>. All are planted in one copy of the tree, so it is built once; PLANTED in the new text is true while that break is being tried.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
cd "$HERE/../.."
# shellcheck source=tests/system/common.sh
. "$HERE/../system/common.sh"

RULES=18
BREAKS=$HERE/planted
[ "${TARGET#/}" != "$TARGET" ] || TARGET=$PWD/$TARGET
COPY=$TARGET/planted
LOG=$COPY/log
# Dependencies are built once for the tree and its copy; the copy's own version keeps everything else apart. It is built once and in a hurry.
export CARGO_BUILD_BUILD_DIR=$TARGET CARGO_TARGET_DIR=$COPY/target CARGO_INCREMENTAL=0
CARGO_CONFIG=(--config 'profile.dev.package.pilotlight.debug=false')
VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
# The first failure is enough; a broken world may take minutes to end by itself. The flag is libtest's own, but not yet for everyone.
FAIL_FAST=(-Z unstable-options --fail-fast)
export PROPTEST_MAX_SHRINK_ITERS=0

copy_tree() {
    rm -rf "$COPY"
    mkdir -p "$COPY"
    tar --create --exclude=./target --exclude=./.git --exclude='./fuzz/*/*' --exclude="${TARGET/#$PWD/.}" . | tar --extract --directory "$COPY"
    sed -i "0,/^version = \"$VERSION\"\$/s//version = \"$VERSION-planted\"/" "$COPY/Cargo.toml"
    sed -i "/^name = \"pilotlight\"\$/{n;s/\"$VERSION\"/\"$VERSION-planted\"/}" "$COPY/Cargo.lock"
    cat >>"$COPY/src/lib.rs" <<'RUST'

/// Whether this break is being tried.
pub(crate) fn planted(name: &str) -> bool {
    static TRIED: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("PILOTLIGHT_PLANTED").ok());
    TRIED.as_deref() == Some(name)
}
RUST
}

# plant NAME: puts that break into the copy.
plant() {
    local name=$1 lines file old new text rest
    lines=$(<"$BREAKS/$name")
    file=${lines%%$'\n'*}
    old=${lines#*$'\n<<<<\n'} old=${old%$'\n====\n'*}
    new=${lines#*$'\n====\n'} new=${new%$'\n>>>>'*}
    [[ $name =~ ^r(0[1-9]|1[0-8])_ ]] || fail "planted/$name: its name has to begin with a rule, r01_ to r18_"
    [[ $new == *PLANTED* ]] || fail "planted/$name: its new text has to ask for PLANTED"
    [ -f "$COPY/$file" ] || fail "planted/$name: $file is gone; break rule ${name%%_*} where it is kept now"
    text=$(<"$COPY/$file")
    rest=${text#*"$old"}
    if [ "$rest" = "$text" ] || [[ $rest == *"$old"* ]]; then
        fail "planted/$name no longer applies: the text that it replaces is not found (once) in $file.
The code has changed: look how it keeps rule ${name%%_*} now, and write the break anew so that it does not."
    fi
    new=${new//PLANTED/"crate::planted(\"$name\")"}
    printf '%s\n' "${text%%"$old"*}$new$rest" >"$COPY/$file"
}

# The test binaries, one per line.
build() {
    local built
    built=$(cd "$COPY" && cargo test --locked "${CARGO_CONFIG[@]}" --lib --test it --no-run --message-format=json-render-diagnostics) ||
        fail "the copy with the breaks planted does not build; mend the break that the error above names"
    grep -o '"executable":"[^"]*"' <<<"$built" | cut -d'"' -f4 | grep -E '/(pilotlight|it)-[^/]*$'
}

# tested NAME FILTER...: the tests with one of these words in their name, with the break NAME. Those of whole daemons killed at will take
# minutes to end when the daemon is broken.
tested() {
    local name=$1 binary
    shift
    for binary in "${BINARIES[@]}"; do
        (cd "$COPY" && PILOTLIGHT_PLANTED=$name RUSTC_BOOTSTRAP=1 RUST_BACKTRACE=0 CARGO_MANIFEST_DIR=$COPY \
            timeout 120 "$binary" "${FAIL_FAST[@]}" --skip crash:: "$@") >>"$LOG" 2>&1 || return
    done
}

# try NAME: whether a test of that rule fails; says which one, or what to do.
try() {
    local name=$1 rule=${1%%_*} killer began=$SECONDS
    : >"$LOG"
    if tested "$name" "${rule}_"; then
        printf 'MISSED  %-56s rule %s is broken and no test of it fails; write one, named %s_...\n' "$name" "${rule#r}" "$rule"
        return 1
    fi
    killer=$(grep -m 1 -oE "^test [A-Za-z0-9_:]*${rule}_[A-Za-z0-9_]* .*FAILED" "$LOG") || {
        printf 'MISSED  %-56s the tests end badly, but no %s_ test is named: %s\n' "$name" "$rule" "$(tail -n 5 "$LOG")"
        return 1
    }
    killer=${killer#test }
    printf 'ok %3ss %-56s %s\n' $((SECONDS - began)) "$name" "${killer%% *}"
}

[ $# -gt 0 ] || mapfile -t NAMES < <(ls "$BREAKS")
[ $# -eq 0 ] || NAMES=("$@")
[ $# -gt 0 ] || [ "$(printf '%s\n' "${NAMES[@]}" | cut -c1-4 | sort -u | wc -l)" -eq "$RULES" ] ||
    fail "not all of the $RULES rules have a break in tests/proof/planted/"
copy_tree
for name in "${NAMES[@]}"; do
    plant "$name"
done
mapfile -t BINARIES < <(build)
[ ${#BINARIES[@]} -eq 2 ] || fail "expected two test binaries, found: ${BINARIES[*]}"
echo "built after $SECONDS s"

mapfile -t RULES_BROKEN < <(printf '%s\n' "${NAMES[@]}" | cut -c1-4 | sort -u)
: >"$LOG"
tested nothing "${RULES_BROKEN[@]}" || fail "the tests fail without any break: $(tail -n 20 "$LOG")"
echo "sound without a break after $SECONDS s"
noticed=0
for name in "${NAMES[@]}"; do
    try "$name" && noticed=$((noticed + 1))
done
printf 'planted: %s breaks, %s rules, %s noticed, %s s\n' ${#NAMES[@]} ${#RULES_BROKEN[@]} "$noticed" "$SECONDS"
[ "$noticed" -eq ${#NAMES[@]} ]
