//! The proof: whole lives of the system by seed, and all states of its order. `cargo test` runs a little of it; `tests/proof/run` all of it.

#![cfg(test)]
#![expect(
    unreachable_pub,
    reason = "the modules of a test binary share helpers; nothing is exported"
)]

mod checker;
#[cfg(feature = "sandbox")]
mod crash;

#[expect(
    dead_code,
    unused_imports,
    reason = "this binary uses a part of what the tests share"
)]
#[path = "../support/mod.rs"]
mod support;

mod shell;
mod sim;

#[test]
fn the_model_world_lives_a_quiet_day() {
    let mut world = support::model::World::new(support::model::policy());
    world.run(support::model::secs(86400));
    assert_eq!(world.violations, Vec::<String>::new());
}
