# shellcheck shell=bash
# Core as a crate of its own, with the tests that need nothing else: it is built again in half a second where the whole house takes a minute.

# core_alone DIRECTORY: puts that crate there, anew.
core_alone() {
    local crate=$1 file
    rm -rf "$crate/src" "$crate/.cargo"
    mkdir -p "$crate/src/support" "$crate/src/tests" "$crate/src/probe" "$crate/src/toggle" "$crate/.cargo"
    cp -r src/core "$crate/src/"
    cp -r tests/support/model "$crate/src/support/"
    for file in probe/schedule.rs toggle/budget.rs; do
        # The model world takes these from outside core; they are pure as well. Their own tests stay behind, which would need a crate.
        sed '/^#\[cfg(test)\]/,$d' "src/$file" >"$crate/src/$file"
    done
    for file in tests/it/core_*.rs tests/it/rules_*.rs; do
        case $file in
        # Random worlds take longer than all the rest, and what only they notice deserves a named test.
        */core_properties.rs) ;;
        # Shows that the model world can fail: that is not about core.
        */core_planted.rs) ;;
        *) cp "$file" "$crate/src/tests/" ;;
        esac
    done
    core_alone_lib "$crate" >"$crate/src/lib.rs"
    core_alone_manifest >"$crate/Cargo.toml"
    # A broken world may take minutes to end by itself, so the first failure ends all. The flag is libtest's own, but not yet for everyone.
    printf "[target.'cfg(all())']\nrunner = ['env', 'RUSTC_BOOTSTRAP=1']\n" >"$crate/.cargo/config.toml"
    # shellcheck disable=SC2034
    FAIL_FAST=(-Z unstable-options --fail-fast)
}

# Core and its tests are one crate: that is one call of the compiler instead of three.
core_alone_lib() {
    local file
    cat <<RUST
extern crate self as pilotlight;
pub mod core;
pub mod probe {
    pub mod schedule;
}
pub mod toggle {
    pub mod budget;
    pub use budget::CallKind;
}
pub mod saver {
    use std::time::Duration;
    $(grep '^pub const PATIENCE' src/saver.rs)
}
#[cfg(test)]
mod support {
    pub mod model;
}
RUST
    for file in "$1"/src/tests/*.rs; do
        printf '#[cfg(test)]\n#[path = "tests/%s"]\nmod %s;\n' "$(basename "$file")" "$(basename "$file" .rs)"
    done
}

# Unoptimised: the tests run for two seconds then, and a mutant is mostly noticed before their end; optimised, it is built for as long.
core_alone_manifest() {
    cat <<TOML
[package]
name = "pilotlight"
publish = false
version = "0.0.0"
$(grep '^edition = ' Cargo.toml)

[workspace]

[lib]
doctest = false

[profile.dev]
debug = false
TOML
}
