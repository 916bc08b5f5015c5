//! All states of the order of switching: the real core in a small world where everything on its way may be slow, refused, lost or late,
//! where the process may die at any point, and where home and operators do as they like, all within bounds.
//!
//! Time goes in ticks of 15 s and every duration of the policy is a few ticks. A [`kinds::Step`] is one thing that can happen; the bounds
//! are the number of ticks, how often home falls or returns, and how many troubles (crashes, faults of operations and saves, commands,
//! late looks, a dark line) there are. Within them every state is visited, and at the end of every life the world goes on calmly until it
//! rests. `cargo test` visits some ten thousand states; `PILOTLIGHT_CHECKER=full cargo test --profile proof --test proof checker` millions.

mod kinds;
mod plants;
mod provider;
mod rig;
mod rules;
mod shell;
mod steps;
mod story;

use std::fmt::Write as _;

use pilotlight::core::Position;
use stateright::{Checker, Expectation, Model};

use kinds::{Left, State};
use rig::Rig;
use steps::Bounded;

/// How far to go.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    ticks: u16,
    homes: u8,
    troubles: u8,
}

const fn bounds(ticks: u16, homes: u8, troubles: u8) -> Bounds {
    Bounds { ticks, homes, troubles }
}

/// The small bounds, or the full ones if they are asked for.
fn chosen(small: Bounds, full: Bounds) -> Bounds {
    match std::env::var("PILOTLIGHT_CHECKER") {
        Ok(asked) if asked == "full" => full,
        Ok(asked) => panic!("PILOTLIGHT_CHECKER is {asked:?}; \"full\" is the only other budget"),
        Err(_) => small,
    }
}

/// Visits every state within the bounds. No rule is broken anywhere, and everything that `sometimes` names does happen.
fn visit_all(name: &str, begins: Vec<State>, within: Bounds, sometimes: &[&str]) {
    let Bounds { ticks, homes, troubles } = within;
    let model = Bounded::new(Rig::new(None), begins, ticks, Left { homes, troubles });
    let began = tokio::time::Instant::now();
    let checker = model.checker().threads(2).spawn_dfs().join();
    println!(
        "checker: {name}: {ticks} ticks, {homes} changes of home, {troubles} troubles: {} states, {} of them unique, {} steps deep, {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    let mut found = checker.discoveries();
    let mut failures = String::new();
    for property in checker.model().properties() {
        match (property.expectation, found.remove(property.name)) {
            (Expectation::Always | Expectation::Eventually, Some(path)) => {
                let story = story::tell(&checker.model().rig, path);
                writeln!(failures, "{} does not hold:\n{story}", property.name).expect("a string grows");
            }
            (Expectation::Sometimes, None) if sometimes.contains(&property.name) => {
                writeln!(failures, "{} never happens", property.name).expect("a string grows");
            }
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn from_a_calm_home_one_site_keeps_every_rule_in_every_state() {
    let begins = vec![Rig::new(None).at_home(1)];
    let within = chosen(bounds(8, 1, 1), bounds(10, 1, 2));
    visit_all(
        "one site, calm at home",
        begins,
        within,
        &[steps::AT_STANDBY, steps::SPENT],
    );
}

#[test]
fn from_the_standby_one_site_keeps_every_rule_in_every_state() {
    let begins = vec![Rig::new(None).at_standby(1)];
    let within = chosen(bounds(9, 1, 1), bounds(12, 1, 2));
    visit_all("one site at the standby", begins, within, &[steps::HOME_AGAIN]);
}

#[test]
fn from_a_first_start_one_site_keeps_every_rule_in_every_state() {
    let rig = Rig::new(None);
    let begins = vec![rig.started(1, Position::Off), rig.started(1, Position::On)];
    let within = chosen(bounds(6, 1, 1), bounds(6, 1, 2));
    visit_all("one site, first start", begins, within, &[steps::AT_STANDBY]);
}

#[test]
fn from_a_calm_home_two_sites_on_one_gate_keep_every_rule_in_every_state() {
    let begins = vec![Rig::new(None).at_home(2)];
    let within = chosen(bounds(5, 1, 1), bounds(5, 2, 1));
    visit_all("two sites, calm at home", begins, within, &[steps::AT_STANDBY]);
}

#[test]
fn with_one_of_two_sites_at_the_standby_every_rule_is_kept_in_every_state() {
    let begins = vec![Rig::new(None).at_standby(2)];
    let within = chosen(bounds(7, 1, 1), bounds(7, 1, 1));
    visit_all("two sites, one at the standby", begins, within, &[steps::HELD]);
}
