#!/usr/bin/env bash
# Mutation testing of src/core: each mutant is a small break of the code that some test has to notice.
# Usage: tests/proof/mutants.sh [all | --shard K/N | --only REGEX]   (nothing: one shard, another one at each commit)
#
# Red when a mutant survives that mutants.md does not explain, and when mutants.md explains one that is gone or is killed now.
# cargo-mutants is installed below target/ if it is not there. PILOTLIGHT_MUTANTS_JOBS says how many to try at a time (2).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
cd "$HERE/../.."
# shellcheck source=tests/system/common.sh
. "$HERE/../system/common.sh"
# shellcheck source=tests/proof/core_alone.sh
. "$HERE/core_alone.sh"

# So many shards that one of them takes a minute on two idle cores, three on busy ones.
SHARDS=16
EXPLAINED=$HERE/mutants.md
TOOLS=$PWD/target/ci-tools
ROOM=$PWD/$TARGET/mutants
[ "${TARGET#/}" = "$TARGET" ] || ROOM=$TARGET/mutants
CRATE=$ROOM/crate
OUT=$ROOM/mutants.out
export PATH=$TOOLS/bin:$PATH
export LC_ALL=C
# Each mutant is built in a directory of its own.
unset CARGO_TARGET_DIR

have_cargo_mutants() {
    cargo mutants --version 2>/dev/null ||
        cargo install --quiet --debug --locked --root "$TOOLS" --target-dir "$TOOLS/build" cargo-mutants ||
        skip "cargo-mutants cannot be installed here"
}

chosen() {
    local turn=0
    case ${1:-} in
    all) return ;;
    --shard) echo "--sharding round-robin --shard $2" ;;
    --only) echo "--re $2" ;;
    "")
        turn=$(git rev-list --count HEAD 2>/dev/null) || turn=0
        echo "--sharding round-robin --shard $((turn % SHARDS))/$SHARDS"
        ;;
    *) fail "usage: $0 [all | --shard K/N | --only REGEX]" ;;
    esac
}

# FILE:LINE:COLUMN: MUTATION becomes FILE, MUTATION and, if it changes one place in a function, the line with a mark before that place.
keys() {
    awk -v crate="$CRATE" '
        {
            file = $0; sub(/:.*/, "", file)
            rest = substr($0, length(file) + 2)
            line = rest + 0; sub(/^[0-9]+:/, "", rest)
            column = rest + 0; sub(/^[0-9]+: /, "", rest)
            if (!(file in read)) {
                read[file] = 1
                while ((getline text < (crate "/" file)) > 0) lines[file, ++count[file]] = text
            }
            place = ""
            if (rest ~ / in [A-Za-z_:<>& ]+$/) {
                text = lines[file, line]
                place = substr(text, 1, column - 1) ">>" substr(text, column)
                gsub(/^ +/, "", place)
            }
            print file "\t" rest "\t" place
        }' "$@" | sort -u
}

# The entries of mutants.md in the same form; one without a reason is an error.
explained() {
    awk '
        function close_entry() {
            if (entry != "" && reason == "") { print "no reason: " entry > "/dev/stderr"; bad = 1 }
            entry = ""; reason = ""
        }
        /^## src\// { close_entry(); file = $2; next }
        /^- `/ { close_entry(); split($0, part, "`"); entry = file "\t" part[2] "\t" part[4]; print entry; next }
        /^  [^ ]/ { if (entry != "") reason = $0; next }
        END { close_entry(); exit bad }' "$EXPLAINED" | sort -u
}

# What in mutants.md is no mutant any more.
stale() {
    comm -23 "$ROOM/explained" "$ROOM/all"
}

count() {
    wc -l <"$OUT/$1.txt"
}

have_cargo_mutants
OPTIONS=$(chosen "$@")
core_alone "$CRATE"
explained >"$ROOM/explained" || fail "$EXPLAINED has an entry without a reason"
cargo mutants -d "$CRATE" --file "src/core/*.rs" --list --colors=never >"$ROOM/list"
keys "$ROOM/list" >"$ROOM/all"
[ -z "$(stale)" ] || fail "these are explained in mutants.md but are no mutants any more; take them out:
$(stale)"

STATUS=0
# shellcheck disable=SC2086
cargo mutants -d "$CRATE" --file "src/core/*.rs" --gitignore=false --cap-lints=true --colors=never --output "$ROOM" \
    --jobs "${PILOTLIGHT_MUTANTS_JOBS:-2}" --timeout 90 --build-timeout 300 --no-shuffle $OPTIONS -- -- "${FAIL_FAST[@]}" || STATUS=$?
case $STATUS in
0 | 2 | 3) ;;
*) fail "cargo-mutants ended with $STATUS: core's own tests fail without any mutant, or it could not work, see $OUT/log" ;;
esac

keys "$OUT/missed.txt" >"$ROOM/missed"
keys "$OUT/caught.txt" >"$ROOM/caught"
UNEXPLAINED=$(comm -23 "$ROOM/missed" "$ROOM/explained")
KILLED_NOW=$(comm -12 "$ROOM/caught" "$ROOM/explained")
VIABLE=$(($(count caught) + $(count timeout) + $(count missed)))
printf 'mutants: %s tried, %s killed by a test and %s by time, %s survive, %s do not compile, %s unexplained\n' \
    "$VIABLE" "$(count caught)" "$(count timeout)" "$(count missed)" "$(count unviable)" \
    "$(printf '%s' "$UNEXPLAINED" | grep -c . || true)"
[ -z "$UNEXPLAINED" ] || fail "no test notices these; write one, or explain them in mutants.md:
$UNEXPLAINED"
[ -z "$KILLED_NOW" ] || fail "these are explained in mutants.md but a test kills them now; take them out:
$KILLED_NOW"
