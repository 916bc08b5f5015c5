//! How often core looks through which eye, and that it does not look where nothing is to be seen.

use std::time::Duration;

use pilotlight::core::status::Switched;
use pilotlight::core::{
    Breakage, ClockCheck, Event, Eye, Failure, FailureKind, Instant, Layout, Outcome, Position, Reflection, Route,
};

use crate::support::model::{CLEAR, DARK, Fate, GATE, Home, REDIRECT, SILENCE, Standby, World, policy, rests, secs};

const TICK: Duration = Duration::from_millis(100);

fn calm() -> World {
    with(Layout {
        toggles: vec![GATE, REDIRECT, SILENCE],
        edge_eye: false,
    })
}

fn with(layout: Layout) -> World {
    let mut world = World::with(policy(), layout);
    world.run(secs(120));
    world
}

/// Whole tenths of seconds from `from` to each of these.
fn tenths(from: Instant, at: &[Instant]) -> Vec<u128> {
    at.iter().map(|at| at.since(from).as_millis() / 100).collect()
}

/// The gaps between the looks of the next half minute, in tenths of seconds, each length once.
fn gaps(world: &mut World, eye: Eye) -> Vec<u128> {
    let from = world.now + TICK;
    world.run(secs(31));
    let looks = world.looks(eye, from);
    let mut gaps: Vec<_> = looks
        .windows(2)
        .map(|pair| pair[1].since(pair[0]).as_millis() / 100)
        .collect();
    gaps.sort_unstable();
    gaps.dedup();
    gaps
}

#[test]
fn in_calm_the_visitor_eye_alone_looks_once_a_minute() {
    for edge_eye in [false, true] {
        let mut world = with(Layout {
            toggles: vec![GATE, REDIRECT, SILENCE],
            edge_eye,
        });
        let from = world.now + TICK;
        world.run(secs(300));
        for eye in [Eye::Mirror, Eye::Standby, Eye::Edge] {
            assert_eq!(world.looks(eye, from), [], "{eye:?}");
        }
        let looks = world.looks(Eye::Visitor, from);
        assert!(
            looks.len() == 5 && looks.windows(2).all(|pair| pair[1] - secs(60) == pair[0]),
            "{looks:?}"
        );
    }
}

#[test]
fn the_references_are_asked_when_a_probe_fails() {
    let mut world = calm();
    let from = world.now;
    world.home = Home::Refusing;
    assert!(world.run_until(secs(6), |world| !world.looks(Eye::Mirror, from).is_empty()));
    assert_eq!(
        world.now.since(from).as_millis() % 5000,
        5,
        "as soon as the refusal came in"
    );
}

#[test]
fn the_references_are_asked_once_a_minute_while_the_clock_is_doubtful() {
    let mut world = calm();
    world.mirror = Reflection {
        clock: ClockCheck::Contradicts,
        ..CLEAR
    };
    let from = world.now;
    world.jump_wall(3600);
    world.run(secs(200));
    assert_eq!(tenths(from, &world.looks(Eye::Mirror, from)), [0, 600, 1200, 1800]);
    world.mirror = CLEAR;
    world.run(secs(60));
    let confirmed = world.now;
    world.run(secs(300));
    assert_eq!(world.looks(Eye::Mirror, confirmed), [], "they have confirmed it");
}

#[test]
fn the_edge_eye_looks_at_each_interval_while_the_redirect_is_not_known_to_be_off_and_only_if_there_is_one() {
    for (edge_eye, expected) in [(true, vec![50]), (false, vec![])] {
        let mut world = with(Layout {
            toggles: vec![GATE, REDIRECT, SILENCE],
            edge_eye,
        });
        world.slow_edge = secs(1);
        world.home = Home::Silent;
        assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
        assert_eq!(gaps(&mut world, Eye::Edge), expected);
    }
}

#[test]
fn while_in_doubt_the_visitor_eye_looks_at_each_interval_with_three_looks_in_flight_at_most() {
    let mut world = calm();
    world.policy.down_for = secs(600);
    world.feed(Event::Reloaded(Box::new(world.policy.clone())));
    world.home = Home::Silent;
    world.run_until(secs(10), |world| world.phase() == "suspect");
    let from = world.now;
    world.run(secs(32));
    // Each takes 17 s: the fourth waits for the first.
    assert_eq!(
        tenths(from, &world.looks(Eye::Visitor, from)),
        [0, 50, 100, 170, 220, 270]
    );
}

#[test]
fn a_last_probe_that_failed_makes_the_visitor_eye_look_at_each_interval_also_outside_a_suspicion() {
    let mut world = calm();
    world.home = Home::OwnPathBroken;
    world.run(secs(60));
    assert_eq!(gaps(&mut world, Eye::Visitor), [50]);
}

#[test]
fn r06_looks_that_prove_the_way_out_go_out_beside_one_that_hangs_and_grow_rarer_by_whole_steps() {
    let mut world = calm();
    world.home = Home::Silent;
    assert!(world.run_until(secs(300), |world| world.written_at(REDIRECT, Position::On).is_some()));
    world.standby = Standby::Overloaded;
    let from = world.now;
    world.run(secs(40));
    assert_eq!(
        tenths(from, &world.looks(Eye::Visitor, from)),
        [
            0, 5, 10, 15, 20, 25, 30, 35, 45, 55, 70, 90, 115, 150, 195, 245, 295, 345, 395
        ],
        "the first, sent before the edge followed, hangs for 17 s and is not waited for"
    );
}

#[test]
fn the_standby_eye_looks_at_each_interval_until_the_gate_is_open() {
    let mut world = calm();
    world.remote(GATE).fate = Fate::Fails(Failure::new(FailureKind::Denied));
    world.home = Home::Silent;
    world.run(secs(40));
    assert_eq!(gaps(&mut world, Eye::Standby), [50]);
}

#[test]
fn the_standby_eye_looks_twice_a_second_at_a_gate_that_opens_and_slower_when_patience_is_spent() {
    let mut world = calm();
    world.propagation = secs(400);
    world.home = Home::Silent;
    world.run(secs(40));
    assert_eq!(gaps(&mut world, Eye::Standby), [5]);
    let opened = world.written_at(GATE, Position::On).unwrap();
    assert!(world.looks(Eye::Standby, opened).starts_with(&[opened]), "at once");
    assert!(world.run_until(secs(150), |world| world.was_told("partly_switched")));
    world.run(secs(1));
    assert_eq!(gaps(&mut world, Eye::Standby), [50]);
}

#[test]
fn without_a_gate_the_standby_eye_looks_twice_a_second_at_once() {
    let mut world = with(Layout {
        toggles: vec![REDIRECT],
        edge_eye: false,
    });
    world.standby = Standby::Overloaded;
    world.home = Home::Silent;
    world.run(secs(40));
    assert_eq!(gaps(&mut world, Eye::Standby), [5]);
}

#[test]
fn the_standby_eye_looks_at_each_interval_at_a_standby_that_answers_badly() {
    let mut world = calm();
    world.propagation = secs(1);
    world.standby = Standby::Broken(Breakage::Status(503));
    world.home = Home::Silent;
    world.run(secs(40));
    assert_eq!(gaps(&mut world, Eye::Standby), [50]);
}

#[test]
fn one_good_answer_of_the_standby_is_followed_by_another_look_at_once_and_a_proof_by_rare_ones() {
    let mut world = calm();
    world.propagation = secs(4);
    world.policy.down_for = secs(600);
    world.feed(Event::Reloaded(Box::new(world.policy.clone())));
    world.home = Home::Silent;
    world.run_until(secs(60), |world| {
        world
            .controller
            .status(world.clock())
            .standby
            .is_some_and(|seen| seen.view == pilotlight::core::View::Standby)
    });
    let seen = world.now;
    world.run(Duration::from_millis(10));
    assert_eq!(world.looks(Eye::Standby, seen), [seen], "the second look proves it");
    world.run(secs(1));
    assert_eq!(gaps(&mut world, Eye::Standby), [50]);
}

#[test]
fn the_standby_eye_rests_once_visitors_were_seen_there() {
    let mut world = calm();
    world.home = Home::Silent;
    assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
    assert_eq!(gaps(&mut world, Eye::Standby), []);
    assert_eq!(gaps(&mut world, Eye::Visitor), [], "once a minute is enough");
    world.standby = Standby::Broken(Breakage::Status(503));
    world.run_until(secs(70), |world| {
        world.controller.status(world.clock()).switched != Switched::Verified
    });
    world.run_until(secs(70), |world| {
        !world.looks(Eye::Standby, world.now - secs(1)).is_empty()
    });
    assert_eq!(gaps(&mut world, Eye::Standby), [50], "a bad answer is looked into");
}

#[test]
fn an_answer_to_a_probe_that_is_well_ends_the_questions() {
    let mut world = calm();
    world.mirror = DARK;
    world.home = Home::Refusing;
    world.run(secs(30));
    world.probes_run = false;
    world.run(secs(10));
    let sent_at = world.now;
    world.feed(Event::Probed {
        sent_at,
        scheduled: true,
        outcome: Outcome::Ok,
    });
    world.run(secs(60));
    assert_eq!(world.looks(Eye::Mirror, sent_at), []);
}
