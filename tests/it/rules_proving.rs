//! DESIGN section 4, rules 2, 3 and 6 to 9 once more: proofs, roll-backs, the edge's episodes, a standby in trouble, crashes at every step.

use std::time::Duration;

use pilotlight::core::status::Switched;
use pilotlight::core::{Breakage, BrokenStandby, Failure, FailureKind, Layout, Order, Policy, Position, Route};

use crate::support::model::{
    CLEAR, DARK, Fate, GATE, Home, REDIRECT, SILENCE, Standby, World, failed_over, policy, rests, secs,
};

fn seen_with(policy: Policy, edge_eye: bool) -> World {
    let layout = Layout {
        toggles: vec![GATE, REDIRECT, SILENCE],
        edge_eye,
    };
    let mut world = World::with(policy, layout);
    world.run(secs(120));
    assert_eq!(world.phase(), "healthy");
    world
}

fn going_home() -> World {
    let mut world = failed_over(Home::Silent);
    world.home = Home::Serving;
    assert!(world.run_until(secs(3600), |world| world.was_told("failback_started")));
    world
}

fn switched(world: &World) -> Switched {
    world.controller.status(world.clock()).switched
}

#[test]
fn r06_a_crash_at_any_step_of_the_way_out_ends_at_the_standby() {
    let mut reference = seen_with(policy(), false);
    reference.home = Home::Refusing;
    let died = reference.now;
    assert!(reference.run_until(secs(300), |world| rests(world, Route::Standby)));
    let steps: Vec<_> = reference.writes.iter().map(|write| write.at.since(died)).collect();
    for step in steps {
        for offset in [0, 50, 150, 210, 350, 450, 700] {
            let mut world = seen_with(policy(), false);
            world.home = Home::Refusing;
            world.run((step + Duration::from_millis(offset)).saturating_sub(Duration::from_millis(250)));
            world.crash_and_restart();
            assert!(
                world.run_until(secs(400), |world| rests(world, Route::Standby)),
                "crash around {step:?}: {:?}",
                world.told()
            );
            assert_eq!(world.violations, Vec::<String>::new(), "crash around {step:?}");
        }
    }
}

#[test]
fn r06_a_crash_at_any_step_of_the_way_home_ends_at_home() {
    for after in (0..8_000).step_by(130).chain((600_000..603_000).step_by(130)) {
        let mut world = going_home();
        world.run(Duration::from_millis(after));
        world.crash_and_restart();
        assert!(
            world.run_until(secs(2400), |world| rests(world, Route::Origin)),
            "crash after {after} ms: {:?}",
            world.told()
        );
        assert_eq!(world.violations, Vec::<String>::new(), "crash after {after} ms");
        assert_eq!(world.told_times("back_home"), 1, "crash after {after} ms");
        for key in [GATE, REDIRECT, SILENCE] {
            assert_eq!(world.position(key), Position::Off);
        }
    }
}

#[test]
fn r06_a_restart_in_the_proof_of_home_still_proves_it_or_rolls_back() {
    for (home, end) in [(Home::Serving, "back_home"), (Home::EdgeLost, "rolled_back")] {
        let mut world = going_home();
        world.home = home;
        world.run(secs(1));
        world.crash_and_restart();
        assert!(
            world.run_until(secs(60), |world| world.was_told(end)),
            "{home:?}: {:?}",
            world.told()
        );
        assert_eq!(world.violations, Vec::<String>::new());
    }
}

#[test]
fn r06_the_proof_of_home_waits_while_we_are_blind() {
    let mut world = going_home();
    world.home = Home::Refusing;
    world.mirror = DARK;
    world.run(secs(900));
    assert!(!world.was_told("rolled_back"), "{:?}", world.told());
    assert_eq!(world.position(GATE), Position::On, "and the gate stays open meanwhile");
    world.mirror = CLEAR;
    assert!(world.run_until(secs(60), |world| world.was_told("rolled_back")
        || world.phase() == "failed_over"));
    assert!(
        world.run_until(secs(200), |world| rests(world, Route::Standby)),
        "{:?}",
        world.told()
    );
}

#[test]
fn r06_nobody_is_rolled_back_to_a_broken_standby() {
    let mut world = failed_over(Home::EdgeLost);
    world.standby = Standby::Broken(Breakage::Refused);
    assert!(
        world.run_until(secs(1200), |world| world.was_told("failback_started")),
        "{:?}",
        world.told()
    );
    world.run(secs(45));
    assert!(!world.was_told("rolled_back"), "{:?}", world.told());
    assert_eq!(world.position(REDIRECT), Position::Off);
}

#[test]
fn r06_the_silence_ends_once_the_redirect_is_off() {
    let mut world = failed_over(Home::Silent);
    world.home = Home::Serving;
    world.run(secs(590));
    world.remote(REDIRECT).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    assert!(world.run_until(secs(30), |world| world.was_told("failback_started")));
    world.run(secs(300));
    assert_eq!(
        world.position(SILENCE),
        Position::On,
        "visitors are still at the standby"
    );
    assert_eq!(
        world.position(GATE),
        Position::On,
        "the gate never goes off before the redirect"
    );
    world.remote(REDIRECT).fate = Fate::Done;
    assert!(world.run_until(secs(95), |world| world.position(SILENCE) == Position::Off));
}

#[test]
fn r02_when_the_standby_stops_serving_home_is_taken_as_soon_as_it_answers() {
    let mut world = failed_over(Home::Silent);
    world.standby = Standby::Broken(Breakage::Status(503));
    world.run(secs(200));
    assert!(world.was_told("standby_broken"));
    world.home = Home::Serving;
    let back = world.now;
    assert!(world.run_until(secs(120), |world| world.position(REDIRECT) == Position::Off));
    let took = world.now.since(back);
    assert!(took >= secs(55) && took <= secs(66), "twelve successes: {took:?}");
}

#[test]
fn r02_a_home_that_is_back_before_the_redirect_is_on_keeps_its_visitors() {
    let mut world = seen_with(policy(), false);
    world.propagation = secs(90);
    world.home = Home::Refusing;
    assert!(world.run_until(secs(60), |world| world.was_told("failover_started")));
    world.home = Home::Serving;
    assert!(
        world.run_until(secs(1200), |world| rests(world, Route::Origin)),
        "{:?}",
        world.told()
    );
    assert_eq!(world.written_at(REDIRECT, Position::On), None);
}

#[test]
fn r03_without_an_edge_eye_an_episode_of_the_edge_gets_one_trial_per_up_for() {
    let mut world = failed_over(Home::EdgeLost);
    let mut trials = Vec::new();
    for times in 1..=3 {
        assert!(world.run_until(secs(6 * 3600), |world| world.told_times("rolled_back") == times));
        trials.push(world.now);
    }
    let gaps: Vec<_> = trials.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(gaps[0] >= secs(1200) && gaps[0] <= secs(1320), "{gaps:?}");
    assert!(gaps[1] >= secs(2400) && gaps[1] <= secs(2520), "{gaps:?}");
    world.home = Home::Serving;
    assert!(world.run_until(secs(6 * 3600), |world| rests(world, Route::Origin)));
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn r03_with_an_edge_eye_home_is_taken_when_it_answers_through_the_edge_and_not_before() {
    let mut world = seen_with(policy(), true);
    world.home = Home::EdgeLost;
    assert!(world.run_until(secs(400), |world| rests(world, Route::Standby)));
    world.run(secs(6 * 3600));
    assert_eq!(world.written_at(REDIRECT, Position::Off), None, "no trial is needed");
    world.home = Home::Serving;
    assert!(
        world.run_until(secs(720), |world| world.was_told("back_home")),
        "{:?}",
        world.told()
    );
    assert!(!world.was_told("rolled_back"));
}

#[test]
fn r03_what_the_edge_eye_saw_before_the_outage_does_not_count_in_it() {
    let mut world = seen_with(policy(), true);
    world.home = Home::EdgeLost;
    assert!(world.run_until(secs(400), |world| rests(world, Route::Standby)));
    world.run(secs(3600));
    assert!(!world.was_told("recovering"), "{:?}", world.told());
    assert!(!world.was_told("relapsed"), "{:?}", world.told());
}

#[test]
fn r03_an_episode_of_the_edge_goes_home_by_hand() {
    let mut world = failed_over(Home::EdgeLost);
    world.home = Home::Serving;
    world.command(Order::Force(Route::Origin), 3600);
    assert!(world.run_until(secs(10), |world| world.was_told("back_home")));
}

#[test]
fn r07_a_wrong_certificate_at_the_standby_is_broken_at_once() {
    let mut world = seen_with(policy(), false);
    world.propagation = secs(0);
    world.standby = Standby::Broken(Breakage::Certificate);
    world.home = Home::Silent;
    assert!(world.run_until(secs(60), |world| world.was_told("failover_started")));
    world.run(secs(1));
    assert!(world.was_told("standby_broken"), "{:?}", world.told());
    assert_eq!(world.position(REDIRECT), Position::Off);
}

#[test]
fn r07_a_broken_standby_is_switched_to_only_if_the_operator_wants_that() {
    for (choice, position) in [
        (BrokenStandby::Hold, Position::Off),
        (BrokenStandby::Switch, Position::On),
    ] {
        let policy = Policy {
            broken_standby: choice,
            ..policy()
        };
        let mut world = seen_with(policy, false);
        world.standby = Standby::Broken(Breakage::Silent);
        world.home = Home::Silent;
        world.run(secs(300));
        assert_eq!(world.position(REDIRECT), position, "{choice:?}: {:?}", world.told());
        assert_eq!(world.told_times("standby_broken"), 1);
        assert_eq!(switched(&world), Switched::Partly);
    }
}

#[test]
fn r07_an_overloaded_standby_is_not_broken() {
    let mut world = seen_with(policy(), false);
    world.standby = Standby::Overloaded;
    world.home = Home::Silent;
    world.run(secs(300));
    assert_eq!(world.position(REDIRECT), Position::On);
    assert!(!world.was_told("standby_broken"), "{:?}", world.told());
    assert!(
        world.was_told("unverified"),
        "it is not proven either, and that is said"
    );
}

#[test]
fn r07_a_refusal_seen_while_failed_over_reads_the_gate_at_once() {
    let mut world = failed_over(Home::Silent);
    world.run(secs(1000));
    world.propagation = secs(0);
    world.meddle(GATE, Position::Off);
    let shut = world.now;
    assert!(world.run_until(secs(120), |world| world.position(GATE) == Position::On));
    assert!(
        world.now.since(shut) <= secs(62),
        "within the visitor's minute: {:?}",
        world.now.since(shut)
    );
    assert!(world.was_told("drifted"));
}

#[test]
fn r07_a_standby_that_breaks_while_in_use_is_told_within_two_minutes_and_when_mended() {
    let mut world = failed_over(Home::Silent);
    world.standby = Standby::Broken(Breakage::Status(500));
    world.run(secs(110));
    assert_eq!(world.told_times("standby_broken"), 1, "{:?}", world.told());
    assert_eq!(
        world.position(REDIRECT),
        Position::On,
        "home is dark too: nothing would be better"
    );
    world.standby = Standby::Serving;
    world.run(secs(70));
    assert_eq!(world.told_times("standby_mended"), 1);
    world.run(secs(3600));
    assert_eq!(world.told_times("standby_broken"), 1);
}

#[test]
fn r07_one_old_bad_answer_does_not_make_two_new_ones_a_broken_standby() {
    let mut world = seen_with(policy(), false);
    world.propagation = secs(0);
    world.standby = Standby::Broken(Breakage::Status(500));
    world.home = Home::Refusing;
    world.run(secs(12));
    world.home = Home::Serving;
    world.run(secs(3 * 3600));
    world.home = Home::Refusing;
    assert!(world.run_until(secs(60), |world| world.was_told("failover_started")));
    world.standby = Standby::Serving;
    world.run(secs(1));
    assert!(
        world.run_until(secs(10), |world| rests(world, Route::Standby)),
        "{:?}",
        world.told()
    );
}

#[test]
fn r08_partly_switched_is_a_state_and_settling_another() {
    let mut world = seen_with(policy(), false);
    world.propagation = secs(100_000);
    world.home = Home::Refusing;
    assert!(world.run_until(secs(300), |world| world.was_told("partly_switched")));
    assert_eq!(switched(&world), Switched::Partly);
    let world = {
        let mut world = going_home();
        assert!(world.run_until(secs(60), |world| world.was_told("back_home")));
        world
    };
    assert_eq!(switched(&world), Switched::Settling, "the drain is still to come");
}

#[test]
fn r08_verified_and_commanded_are_told_apart() {
    let mut world = seen_with(policy(), false);
    world.home = Home::Refusing;
    world.edge_lag = secs(20);
    assert!(world.run_until(secs(200), |world| world.position(REDIRECT) == Position::On));
    world.run(secs(2));
    let redirect = |world: &World| {
        let status = world.controller.status(world.clock());
        status
            .toggles
            .into_iter()
            .find(|toggle| toggle.key == REDIRECT)
            .map(|toggle| (toggle.observed.configured, toggle.verified))
    };
    assert_eq!(
        redirect(&world),
        Some((Some(Position::On), None)),
        "commanded, not yet seen"
    );
    world.run(secs(25));
    assert_eq!(redirect(&world), Some((Some(Position::On), Some(Position::On))));
}

#[test]
fn r09_when_the_redirect_cannot_be_read_the_visitors_sight_of_it_counts() {
    let mut world = World::new(policy());
    world.remote(REDIRECT).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.run(secs(120));
    world.home = Home::EdgeLost;
    assert!(
        world.run_until(secs(120), |world| world.was_told("failover_started")),
        "the visitor eye judges home because it saw no redirect: {:?}",
        world.told()
    );
}

#[test]
fn r09_late_and_lost_replies_in_every_place_end_where_they_should() {
    for fate in [
        Fate::LostReply,
        Fate::Late(secs(5)),
        Fate::Late(secs(40)),
        Fate::Late(secs(100)),
    ] {
        let mut world = seen_with(policy(), false);
        for key in [GATE, REDIRECT, SILENCE] {
            world.remote(key).fates = vec![fate; 2];
        }
        world.home = Home::Silent;
        assert!(
            world.run_until(secs(900), |world| rests(world, Route::Standby)),
            "{fate:?}: {:?}",
            world.told()
        );
        world.run(secs(300));
        for key in [GATE, REDIRECT, SILENCE] {
            world.remote(key).fates = vec![fate; 2];
        }
        world.home = Home::Serving;
        assert!(
            world.run_until(secs(7200), |world| rests(world, Route::Origin)),
            "{fate:?}: {:?}",
            world.told()
        );
        world.run(secs(600));
        for key in [GATE, REDIRECT, SILENCE] {
            assert_eq!(world.position(key), Position::Off, "{fate:?}");
        }
        assert!(!world.was_told("drifted"), "{fate:?}: {:?}", world.told());
        assert_eq!(world.violations, Vec::<String>::new(), "{fate:?}");
    }
}

#[test]
fn r07_patience_counts_anew_after_a_gate_was_told_to_shut_and_the_reply_was_lost() {
    let mut world = World::new(policy());
    world.edge_blocks = true;
    world.command(Order::Force(Route::Standby), 61);
    world.edge_works = false;
    world.run(Duration::from_millis(660_200));
    world.home = Home::Silent;
    world.remote(GATE).fates = vec![Fate::LostReply];
    world.edge_works = true;
    world.run(Duration::from_millis(34_900));
    assert_eq!(world.violations, Vec::<String>::new());
}

/// Found by the simulator (seed 83): between two looks `home_proof` was over, and each way home was rolled back for ever.
#[test]
fn r06_home_is_looked_at_several_times_within_a_short_home_proof() {
    let mut world = World::new(Policy {
        interval: secs(30),
        confirm_interval: secs(25),
        home_proof: secs(20),
        ..policy()
    });
    world.run(secs(300));
    world.home = Home::Silent;
    assert!(world.run_until(secs(600), |world| rests(world, Route::Standby)));
    world.home = Home::Serving;
    assert!(world.run_until(secs(3600), |world| world.was_told("back_home")));
    assert!(!world.was_told("rolled_back"), "{:?}", world.told());
    assert_eq!(world.violations.len(), 0);
}
