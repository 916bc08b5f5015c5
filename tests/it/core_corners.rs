//! Corners of the order and of what is told, on the model world: each was found as a mutant that nothing else noticed.

use std::time::Duration;

use pilotlight::core::controller::Layout;
use pilotlight::core::status::Switched;
use pilotlight::core::{
    Breakage, BrokenStandby, Event, Faculties, Failing, Failure, FailureKind, Order, Outcome, Policy, Position, Route,
    View, What, Why,
};

use crate::support::model::{
    CLEAR, DARK, Fate, GATE, Home, REDIRECT, SILENCE, Standby, TOGGLE_TIMEOUT, World, failed_over, find, healthy,
    healthy_with, policy, rests, secs,
};

#[test]
fn r06_an_order_before_anything_is_known_keeps_the_order_out() {
    let mut world = World::new(policy());
    world.command(Order::Force(Route::Standby), 3600);
    assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
    let gate = world.written_at(GATE, Position::On).unwrap();
    let redirect = world.written_at(REDIRECT, Position::On).unwrap();
    assert!(redirect.since(gate) >= world.propagation, "{:?}", world.writes);
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn r06_an_order_while_the_redirect_cannot_be_read_keeps_the_order_out() {
    let mut world = healthy();
    let unavailable = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.remote(REDIRECT).fates = vec![unavailable; 3];
    world.forget_disk();
    world.crash_and_restart();
    world.command(Order::Force(Route::Standby), 3600);
    assert!(world.run_until(secs(400), |world| rests(world, Route::Standby)));
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn r12_a_redirect_that_is_lost_while_the_gate_opens_again_waits_for_it() {
    let mut world = failed_over(Home::Silent);
    world.run(secs(1000));
    world.propagation = secs(110);
    world.meddle(GATE, Position::Off);
    assert!(world.run_until(secs(500), |world| world.position(GATE) == Position::On));
    let opened = world.now;
    world.meddle(REDIRECT, Position::Off);
    world.run(secs(100));
    assert_eq!(world.told_times("drifted"), 2, "{:?}", world.told());
    assert_eq!(
        world.position(REDIRECT),
        Position::Off,
        "the gate is not open for visitors yet"
    );
    assert!(world.run_until(secs(60), |world| world.position(REDIRECT) == Position::On));
    assert!(world.now.since(opened) >= world.propagation);
}

#[test]
fn r02_a_failover_at_the_very_end_of_the_relapse_window_doubles_nothing() {
    for (early, doubled) in [(0, false), (1, true)] {
        let mut world = failed_over(Home::Silent);
        world.home = Home::Serving;
        assert!(world.run_until(secs(3000), |world| world.was_told("back_home")));
        let home = world.now;
        world.run(secs(3540));
        world.probes_run = false;
        let used = Faculties::default();
        let refused = Outcome::Failed(Failing {
            why: Why::Refused,
            used,
        });
        let fails = |world: &mut World| {
            world.feed(Event::Probed {
                sent_at: world.now,
                scheduled: true,
                outcome: refused,
            });
        };
        let end = home + secs(3600) - Duration::from_millis(early);
        world.edge_caches = true;
        for before in [40, 5] {
            world.run((end - secs(before)).since(world.now));
            fails(&mut world);
        }
        world.run((end - Duration::from_millis(1)).since(world.now));
        assert_eq!(world.phase(), "suspect");
        world.now = end;
        fails(&mut world);
        assert_eq!(world.phase(), "failed_over");
        let up_for = world.controller.status(world.clock()).up_for;
        assert_eq!(up_for > policy().up_for, doubled, "{early} ms early");
    }
}

#[test]
fn r07_a_loop_is_partly_switched_and_the_next_switch_out_begins_anew() {
    let mut world = healthy();
    world.loops = true;
    world.home = Home::Silent;
    assert!(world.run_until(secs(400), |world| world.was_told("redirect_loop")));
    world.run(secs(60));
    assert_eq!(world.position(REDIRECT), Position::Off);
    assert_eq!(world.controller.status(world.clock()).switched, Switched::Partly);
    world.loops = false;
    world.home = Home::Serving;
    assert!(
        world.run_until(secs(9000), |world| world.was_told("episode_over")),
        "{:?}",
        world.told()
    );
    world.home = Home::Silent;
    assert!(
        world.run_until(secs(300), |world| rests(world, Route::Standby)),
        "{:?}",
        world.told()
    );
}

#[test]
fn without_a_redirect_a_standby_that_does_not_answer_well_is_not_verified() {
    let mut world = World::with(
        policy(),
        Layout {
            toggles: vec![GATE, SILENCE],
            edge_eye: false,
        },
    );
    world.run(secs(120));
    world.standby = Standby::Overloaded;
    world.home = Home::Silent;
    world.run(secs(400));
    assert!(!world.was_told("failed_over"), "{:?}", world.told());
    world.standby = Standby::Serving;
    assert!(world.run_until(secs(60), |world| world.was_told("failed_over")));
}

#[test]
fn r10_a_quiet_that_relapses_doubled_twice_is_saved_once_a_minute_beyond_the_relapse_window() {
    let mut world = healthy();
    for round in 1..=3 {
        world.home = Home::Silent;
        assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
        world.home = Home::Serving;
        assert!(world.run_until(secs(9000), |world| world.told_times("back_home") == round));
    }
    let up_for = |world: &World| world.controller.status(world.clock()).up_for;
    assert_eq!(up_for(&world), policy().up_for * 4);
    world.run(secs(4000));
    assert_eq!(up_for(&world), policy().up_for * 2);
    for _ in 0..3 {
        let last = world.disk.as_ref().unwrap().taken;
        assert!(world.run_until(secs(61), |world| world.disk.as_ref().unwrap().taken != last));
    }
    world.run(secs(3600));
    assert_eq!(up_for(&world), policy().up_for);
    let last = world.disk.as_ref().unwrap().taken;
    world.run(secs(3600));
    assert_eq!(world.disk.as_ref().unwrap().taken, last, "nothing counts any more");
}

#[test]
fn r13_a_certificate_that_only_we_refuse_is_nobodys_return_while_visitors_are_at_home() {
    let mut world = healthy();
    world.home = Home::OwnPathBroken;
    world.run(secs(3000));
    assert!(!world.was_told("back_for_visitors_only"), "{:?}", world.told());
    let mut world = healthy();
    world.home = Home::BadCertificate;
    world.run(secs(3000));
    assert!(!world.was_told("back_for_visitors_only"), "{:?}", world.told());
}

#[test]
fn r07_a_broken_standby_is_told_as_held_only_while_the_redirect_is_held_back() {
    for (broken_standby, already_out, held) in [
        (BrokenStandby::Hold, false, true),
        (BrokenStandby::Switch, false, false),
        (BrokenStandby::Hold, true, false),
    ] {
        let mut world = healthy_with(Policy {
            broken_standby,
            ..policy()
        });
        if already_out {
            world.home = Home::Silent;
            assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
        }
        world.standby = Standby::Broken(Breakage::Certificate);
        world.home = Home::Silent;
        assert!(world.run_until(secs(300), |world| world.was_told("standby_broken")));
        assert_eq!(find(&world, "standby_broken"), Some(&What::StandbyBroken { held }));
    }
}

#[test]
fn r12_a_gate_that_leaks_after_the_way_home_is_told_after_it_had_time_to_settle_and_daily() {
    let mut world = healthy();
    world.propagation = secs(90_000);
    world.home = Home::Silent;
    world.remotes.get_mut(GATE).unwrap().moved_at = pilotlight::core::Instant::ZERO;
    world.run(secs(20));
    assert!(!world.was_told("gate_leaks"));
    world.propagation = secs(1);
    assert!(world.run_until(secs(400), |world| rests(world, Route::Standby)));
    world.run(secs(1300));
    assert!(!world.was_told("gate_leaks"), "at the standby an open gate is right");
    world.home = Home::Serving;
    assert!(world.run_until(secs(3000), |world| world.was_told("back_home")));
    world.propagation = secs(20_000);
    assert!(world.run_until(secs(3000), |world| world.written_at(GATE, Position::Off).is_some()));
    let shut = world.written_at(GATE, Position::Off).unwrap();
    assert!(
        world.run_until(secs(3000), |world| world.was_told("gate_leaks")),
        "{:?}",
        world.told()
    );
    assert!(world.now.since(shut) >= secs(600));
}

#[test]
fn r08_a_visitor_who_meets_the_shut_gate_makes_it_be_read_at_once() {
    let mut world = failed_over(Home::Silent);
    world.run(secs(100));
    world.meddle(GATE, Position::Off);
    world.propagation = secs(1);
    world.run_until(secs(70), |world| {
        world
            .controller
            .status(world.clock())
            .visitor
            .is_some_and(|seen| seen.view == View::Shut)
    });
    world.run(secs(2));
    assert!(world.was_told("drifted"), "{:?}", world.told());
    assert_eq!(world.position(GATE), Position::On);
}

#[test]
fn an_older_sight_of_the_visitor_eye_is_not_shown_over_a_newer_one() {
    let mut world = healthy();
    world.edge_works = false;
    world.run(secs(61));
    world.edge_works = true;
    world.run(secs(61));
    let seen = world.controller.status(world.clock()).visitor.expect("seen");
    assert_eq!(seen.view, View::Home);
    assert!(world.now.since(seen.at) < secs(61));
}

#[test]
fn while_blind_nothing_is_darker_than_it_was_and_then_all_goes_on() {
    let mut world = healthy();
    world.home = Home::Refusing;
    world.run(secs(15));
    world.mirror = DARK;
    world.run(secs(300));
    assert_eq!(world.phase(), "suspect");
    assert_eq!(world.written_at(REDIRECT, Position::On), None);
    world.mirror = CLEAR;
    assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
}

#[test]
fn r11_a_gate_that_fails_for_a_while_delays_only_what_has_to_wait_for_it() {
    let mut world = healthy();
    world.remote(GATE).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.home = Home::Silent;
    world.run(secs(60));
    assert_eq!(
        world.position(SILENCE),
        Position::On,
        "silence is in nobody's way, nor is anybody in its"
    );
    assert_eq!(world.position(REDIRECT), Position::Off);
    world.remote(GATE).fate = Fate::Done;
    assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
}

#[test]
fn r04_a_redirect_found_on_against_memory_is_kept_for_a_full_window_even_if_home_answers() {
    let mut world = healthy();
    world.meddle(REDIRECT, Position::On);
    world.meddle(GATE, Position::On);
    world.crash_and_restart();
    world.run(secs(25));
    assert_eq!(world.position(REDIRECT), Position::On, "not decided before a window");
    world.run(secs(40));
    assert_eq!(world.position(REDIRECT), Position::Off);
}

#[test]
fn r09_a_standby_seen_open_is_enough_while_the_gates_record_cannot_be_read() {
    let mut world = healthy();
    world.remote(GATE).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.run(secs(1200));
    world.meddle(GATE, Position::On);
    world.run(secs(100));
    world.home = Home::Silent;
    // Its own wish for the gate has to be sent first, and a provider that keeps failing is asked each 90 s at most.
    world.run(secs(125));
    assert_eq!(world.position(REDIRECT), Position::On, "patience is not waited for");
}

#[test]
fn r06_a_standby_seen_open_is_not_enough_while_the_gate_is_being_written() {
    let mut world = healthy();
    world.remote(GATE).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.run(secs(1200));
    world.meddle(GATE, Position::On);
    world.run(secs(100));
    world.home = Home::Silent;
    world.run(secs(35));
    let sets = world.sets;
    world.remote(GATE).fate = Fate::LostReply;
    assert!(world.run_until(secs(90), |world| world.sets > sets));
    world.run(TOGGLE_TIMEOUT.saturating_sub(secs(2)));
    assert_eq!(world.position(REDIRECT), Position::Off, "the write is still on its way");
    world.run(secs(3));
    assert_eq!(world.position(REDIRECT), Position::On, "it ended without an answer");
}

#[test]
fn r06_a_cached_page_proves_home_if_the_origin_eye_sees_it() {
    let mut world = failed_over(Home::Silent);
    world.edge_caches = true;
    world.home = Home::Serving;
    assert!(world.run_until(secs(3000), |world| world.was_told("failback_started")));
    assert!(
        world.run_until(secs(20), |world| world.was_told("back_home")),
        "{:?}",
        world.told()
    );
}

#[test]
fn r04_a_lone_redirect_that_is_remembered_is_not_adopted() {
    let mut world = World::with(
        policy(),
        Layout {
            toggles: vec![REDIRECT],
            edge_eye: false,
        },
    );
    world.run(secs(120));
    world.meddle(REDIRECT, Position::On);
    world.crash_and_restart();
    world.run(secs(120));
    assert!(!world.was_told("adopted"), "{:?}", world.told());
    assert_eq!(world.position(REDIRECT), Position::Off);
}
