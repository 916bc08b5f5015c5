//! The checker can fail: each planted wrong order is found, as a break of exactly the rule that it breaks.

use stateright::{Checker, HasDiscoveries, Model};

use super::kinds::{Left, Plant, State};
use super::rig::Rig;
use super::rules::Rule;
use super::steps::Bounded;
use super::story;

/// The shortest way to a state in which `name`, and no other property, does not hold.
fn found(plant: Plant, begin: fn(&Rig) -> State, troubles: u8, name: &str) {
    let rig = Rig::new(Some(plant));
    // The world before the plant is the sound one.
    let begins = vec![begin(&Rig::new(None))];
    let left = Left { homes: 1, troubles };
    let model = Bounded::new(rig, begins, 9, left);
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut broken = checker.discoveries();
    broken.retain(|property, _| Rule::ALL.iter().any(|(rule, _)| rule == property));
    let names: Vec<_> = broken.keys().copied().collect();
    assert_eq!(names, [name], "{plant:?}");
    let path = broken.remove(name).expect("just seen");
    let states = checker.unique_state_count();
    let story = story::tell(&checker.model().rig, path);
    println!(
        "checker: planted {plant:?}: \"{name}\" is broken after {} steps, found in {states} states",
        story::steps(&story)
    );
    assert!(story.contains("->"), "the way there is told");
}

fn at_home(rig: &Rig) -> State {
    rig.at_home(1)
}

fn at_standby(rig: &Rig) -> State {
    rig.at_standby(1)
}

/// Both sites were at the standby, and the second one is still there.
fn second_at_standby(rig: &Rig) -> State {
    let mut state = rig.at_standby(2);
    state.sites[1].home = false;
    for _ in 0..8 {
        rig.calm_tick(&mut state);
    }
    assert!(state.rests(), "both at the standby");
    state
}

#[test]
fn r06_a_redirect_with_the_gate_is_found() {
    found(Plant::RedirectWithTheGate, at_home, 0, Rule::GateBeforeRedirect.name());
}

#[test]
fn r06_a_gate_that_shuts_with_the_redirect_is_found() {
    found(
        Plant::GateShutsWithTheRedirect,
        at_standby,
        0,
        Rule::DrainBeforeShut.name(),
    );
}

#[test]
fn r10_a_write_before_its_save_is_found() {
    found(Plant::WriteBeforeSave, at_home, 0, Rule::IntentFirst.name());
}

#[test]
fn a_forgotten_claim_on_the_shared_gate_is_found() {
    found(
        Plant::ClaimForgotten,
        second_at_standby,
        1,
        Rule::SharedGateIsHeld.name(),
    );
}

#[test]
fn r09_a_second_operation_on_a_toggle_is_found() {
    found(Plant::Doubled, at_home, 0, Rule::OneOperation.name());
}

#[test]
fn r13_a_write_while_paused_is_found() {
    found(Plant::WriteWhilePaused, at_home, 1, Rule::PauseMeansNoWrites.name());
}

#[test]
fn r07_a_spent_patience_that_nobody_is_told_of_is_found() {
    found(Plant::Unspoken, at_home, 0, Rule::SpentPatienceIsTold.name());
}

#[test]
fn an_operation_that_nobody_gives_up_on_is_found() {
    found(Plant::NoDeadline, at_home, 1, Rule::Converges.name());
}
