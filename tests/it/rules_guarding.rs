//! DESIGN section 4, rules 11 to 13 (and what of 14 is core's): retries, drift, orphans, pins, pauses, notices.

use pilotlight::core::{
    ClockCheck, DriftPolicy, Event, Failback, Failure, FailureKind, Order, Policy, Position, Reflection, Route, What,
};

use crate::support::model::{
    CLEAR, DARK, Fate, GATE, Home, REDIRECT, SILENCE, Standby, failed_over, failed_over_with, find, healthy,
    healthy_with, policy, rests, secs,
};

fn report() -> Policy {
    Policy {
        drift: DriftPolicy::Report,
        ..policy()
    }
}

const UNAVAILABLE: Fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
const DENIED: Fate = Fate::Fails(Failure::new(FailureKind::Denied));

#[test]
fn r11_a_denied_write_is_told_at_once_and_retried_slowly_for_ever() {
    let mut world = healthy();
    world.remote(REDIRECT).fate = DENIED;
    world.home = Home::Refusing;
    assert!(world.run_until(secs(200), |world| world.was_told("stuck")));
    let sets = world.sets;
    world.run(secs(3600));
    let tries = world.sets - sets;
    assert!((40..=90).contains(&tries), "{tries} tries an hour");
    assert_eq!(world.told_times("stuck"), 1);
    world.remote(REDIRECT).fate = Fate::Done;
    assert!(world.run_until(secs(95), |world| world.was_told("unstuck")));
}

#[test]
fn r11_a_denied_read_of_a_toggle_at_rest_is_loud_too() {
    let mut world = healthy();
    world.remote(GATE).fate = DENIED;
    world.run(secs(320));
    assert_eq!(world.told(), ["stuck"], "tomorrow's failover would not work");
    world.remote(GATE).fate = Fate::Done;
    world.run(secs(100));
    assert_eq!(world.told(), ["stuck", "unstuck"]);
}

#[test]
fn r11_a_provider_in_trouble_for_under_two_minutes_is_not_told() {
    let mut world = healthy();
    world.remote(REDIRECT).fate = UNAVAILABLE;
    world.home = Home::Refusing;
    assert!(world.run_until(secs(120), |world| world.written_at(GATE, Position::On).is_some()));
    world.run(secs(100));
    world.remote(REDIRECT).fate = Fate::Done;
    assert!(world.run_until(secs(100), |world| rests(world, Route::Standby)));
    assert!(!world.was_told("stuck"), "{:?}", world.told());
}

#[test]
fn r11_the_providers_own_wait_is_respected() {
    let mut world = healthy();
    let wait = Failure {
        kind: FailureKind::Limited,
        retry_after: Some(secs(60)),
    };
    world.remote(GATE).fates = vec![Fate::Fails(wait)];
    world.home = Home::Refusing;
    assert!(world.run_until(secs(10), |world| world.phase() == "suspect"));
    let asked = world.now;
    assert!(world.run_until(secs(90), |world| world.position(GATE) == Position::On));
    let opened = world.written_at(GATE, Position::On).unwrap();
    assert!(opened.since(asked) >= secs(60));
}

#[test]
fn r11_a_restart_does_not_tell_a_stuck_toggle_again_but_tells_when_it_moves() {
    let mut world = healthy();
    world.remote(REDIRECT).fate = DENIED;
    world.home = Home::Refusing;
    assert!(world.run_until(secs(200), |world| world.was_told("stuck")));
    for _ in 0..3 {
        world.crash_and_restart();
        world.run(secs(300));
    }
    assert_eq!(world.told_times("stuck"), 1, "{:?}", world.told());
    world.remote(REDIRECT).fate = Fate::Done;
    world.crash_and_restart();
    world.run(secs(100));
    assert_eq!(world.told_times("unstuck"), 1, "{:?}", world.told());
}

#[test]
fn r12_what_somebody_else_moved_is_put_back_three_times_an_hour_and_then_left_alone() {
    let mut world = healthy();
    for times in 1..=3 {
        world.meddle(REDIRECT, Position::On);
        assert!(world.run_until(secs(400), |world| world.told_times("drifted") == times));
        assert!(world.run_until(secs(5), |world| world.position(REDIRECT) == Position::Off));
        world.run(secs(30));
    }
    world.meddle(REDIRECT, Position::On);
    assert!(world.run_until(secs(400), |world| world.was_told("drift_limit")));
    world.run(secs(600));
    assert_eq!(world.position(REDIRECT), Position::On, "left alone");
    assert_eq!(world.told_times("drift_limit"), 1);
    assert!(
        world.run_until(secs(3600), |world| world.position(REDIRECT) == Position::Off),
        "at most three an hour, not three for ever"
    );
}

#[test]
fn r12_drift_is_noticed_within_verify_every_and_a_visitors_sight_is_quicker() {
    let mut world = failed_over(Home::Silent);
    world.run(secs(30));
    world.meddle(REDIRECT, Position::Off);
    assert!(world.run_until(secs(70), |world| world.was_told("drifted")));
}

#[test]
fn r12_with_report_nothing_is_put_back_and_it_is_said_once() {
    let mut world = healthy_with(report());
    world.meddle(GATE, Position::On);
    world.run(secs(4 * 3600));
    assert_eq!(world.position(GATE), Position::On);
    assert_eq!(world.told(), ["drifted"]);
    let told = find(&world, "drifted");
    assert!(matches!(told, Some(What::Drifted { repaired: false, .. })), "{told:?}");
}

#[test]
fn r06_a_gate_that_somebody_else_opened_is_not_shut_under_a_redirect_that_somebody_else_put_on() {
    let mut world = healthy_with(report());
    world.meddle(GATE, Position::On);
    world.meddle(REDIRECT, Position::On);
    world.run(secs(700));
    assert_eq!(world.told_times("drifted"), 2, "{:?}", world.told());
    world.remote(REDIRECT).fate = DENIED;
    world.reload(policy());
    world.run(secs(3600));
    assert_eq!(world.position(GATE), Position::On, "visitors are behind it");
    world.remote(REDIRECT).fate = Fate::Done;
    assert!(world.run_until(secs(300), |world| world.position(REDIRECT) == Position::Off));
    let off = world.now;
    assert!(world.run_until(secs(1300), |world| world.position(GATE) == Position::Off));
    assert!(world.now.since(off) >= policy().drain, "{:?}", world.writes);
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn r12_a_repair_follows_the_order_out() {
    let mut world = failed_over(Home::Silent);
    world.run(secs(1000));
    world.meddle(GATE, Position::Off);
    world.meddle(REDIRECT, Position::Off);
    world.run(secs(65));
    world.violations.clear();
    assert!(
        world.run_until(secs(600), |world| rests(world, Route::Standby)),
        "{:?}",
        world.told()
    );
    let gate = world.written_at(GATE, Position::On).unwrap();
    let redirect = world.written_at(REDIRECT, Position::On).unwrap();
    assert!(redirect.since(gate) >= world.propagation, "{:?}", world.writes);
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn r12_a_foreign_redirect_while_home_is_well_is_put_off_and_home_is_proven_again() {
    let mut world = healthy();
    world.meddle(REDIRECT, Position::On);
    assert!(world.run_until(secs(70), |world| world.was_told("drifted")));
    assert!(world.run_until(secs(10), |world| rests(world, Route::Origin)));
    assert_eq!(world.position(GATE), Position::Off);
    assert!(!world.was_told("failover_started"));
}

#[test]
fn r12_an_edited_object_is_reported_and_not_fought() {
    let mut world = failed_over(Home::Silent);
    world.remote(REDIRECT).edited = true;
    let sets = world.sets;
    world.run(secs(1000));
    assert_eq!(world.told_times("edited"), 1);
    let renewals = world.sets - sets;
    assert!(renewals <= 1, "only the snooze may have been renewed: {renewals}");
}

#[test]
fn r12_an_open_gate_that_nobody_explains_is_closed_and_said() {
    let mut world = healthy();
    world.meddle(GATE, Position::On);
    assert!(world.run_until(secs(310), |world| world.position(GATE) == Position::Off));
    assert_eq!(world.told(), ["orphan"]);
}

#[test]
fn r12_a_gate_that_another_site_needs_stays_open_in_peace() {
    let mut world = failed_over(Home::Silent);
    world.remote(GATE).held = true;
    world.home = Home::Serving;
    world.run(secs(3 * 3600));
    assert_eq!(world.position(GATE), Position::On);
    assert!(world.was_told("episode_over"), "{:?}", world.told());
    assert!(!world.was_told("orphan") && !world.was_told("stuck"));
    world.remote(GATE).held = false;
    assert!(world.run_until(secs(400), |world| world.position(GATE) == Position::Off));
}

#[test]
fn r12_a_gate_that_its_owner_keeps_open_is_no_orphan() {
    let mut world = healthy();
    world.remote(GATE).held = true;
    world.meddle(GATE, Position::On);
    world.run(secs(3600));
    assert_eq!(world.told(), Vec::<&str>::new());
    assert_eq!(world.position(GATE), Position::On);
}

#[test]
fn r12_our_own_late_write_is_no_drift() {
    for policy in [policy(), report()] {
        let mut world = failed_over_with(policy, Home::Silent);
        world.home = Home::Serving;
        world.remote(REDIRECT).fates.clear();
        assert!(world.run_until(secs(3600), |world| world.was_told("failback_started")));
        world.run(secs(60));
        world.home = Home::Refusing;
        world.remote(SILENCE).fates = vec![Fate::Late(secs(40))];
        assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
        world.run(secs(3600));
        assert!(!world.was_told("drifted"), "{:?}", world.told());
        assert_eq!(world.position(SILENCE), Position::On);
    }
}

#[test]
fn r12_our_own_late_failback_is_undone_without_blaming_anyone() {
    for policy in [policy(), report()] {
        let mut world = healthy_with(policy);
        world.command(Order::Force(Route::Standby), 7200);
        assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
        world.remote(REDIRECT).fates = vec![Fate::Late(secs(40))];
        world.command(Order::Force(Route::Origin), 7200);
        world.run(secs(1));
        world.command(Order::Force(Route::Standby), 7200);
        world.run(secs(300));
        assert!(rests(&world, Route::Standby), "{:?}", world.told());
        assert_eq!(world.position(REDIRECT), Position::On);
        assert!(!world.was_told("drifted"), "{:?}", world.told());
    }
}

#[test]
fn r12_a_snooze_is_renewed_while_needed() {
    let mut world = failed_over(Home::Silent);
    let mut lapsed = false;
    for _ in 0..600 {
        world.run(secs(60));
        lapsed |= world.position(SILENCE) == Position::Off;
    }
    assert!(!lapsed);
    assert!(!world.was_told("drifted"), "{:?}", world.told());
}

#[test]
fn r12_a_snooze_that_ran_out_while_we_were_away_is_no_drift() {
    let mut world = failed_over(Home::Silent);
    world.meddle(SILENCE, Position::Off);
    world.crash_and_restart();
    world.run(secs(60));
    assert_eq!(world.position(SILENCE), Position::On);
    assert!(!world.was_told("drifted"), "{:?}", world.told());
}

#[test]
fn r13_a_forced_failover_goes_out_in_order_and_home_when_it_expires() {
    let mut world = healthy();
    world.command(Order::Force(Route::Standby), 3600);
    assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
    assert_eq!(world.phase(), "healthy", "the real phase is shown beside");
    world.crash_and_restart();
    world.run(secs(1800));
    assert!(rests(&world, Route::Standby), "a pin survives a restart");
    assert!(world.run_until(secs(2400), |world| world.was_told("override_ended")));
    assert!(world.run_until(secs(1200), |world| rests(world, Route::Origin)));
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn r13_no_pin_expires_while_the_clock_is_doubtful() {
    let mut world = healthy();
    world.command(Order::Force(Route::Standby), 3600);
    world.run(secs(300));
    world.mirror = DARK;
    world.jump_wall(86_400);
    world.run(secs(1200));
    assert!(!world.was_told("override_ended"), "{:?}", world.told());
    assert!(world.controller.status(world.clock()).clock_doubtful);
    world.mirror = CLEAR;
    assert!(world.run_until(secs(65), |world| world.was_told("override_ended")));
}

#[test]
fn r13_after_a_restart_a_reference_confirms_the_clock_before_a_pin_ends() {
    let mut world = healthy();
    world.command(Order::Pause, 600);
    world.mirror = DARK;
    world.crash_and_restart();
    world.run(secs(1200));
    assert_eq!(world.controller.status(world.clock()).mode.label(), "paused");
    world.mirror = CLEAR;
    assert!(world.run_until(secs(65), |world| world.was_told("override_ended")));
}

/// Home answers before the references do: that proves no wall clock.
#[test]
fn r13_after_a_restart_with_a_wrong_clock_no_pin_ends_although_home_is_seen() {
    let mut world = healthy();
    world.command(Order::Pause, 600);
    world.run(secs(60));
    world.jump_wall(86_400);
    world.mirror = Reflection {
        clock: ClockCheck::Contradicts,
        ..CLEAR
    };
    world.crash_and_restart();
    world.run(secs(1200));
    assert!(!world.was_told("override_ended"), "{:?}", world.told());
}

#[test]
fn r13_forced_home_during_an_outage_darkens_the_standby_after_the_drain_and_auto_goes_out_again() {
    let mut world = failed_over(Home::Silent);
    world.command(Order::Force(Route::Origin), 7200);
    assert!(world.run_until(secs(5), |world| world.position(REDIRECT) == Position::Off));
    world.run(secs(60));
    assert_eq!(world.told_times("unverified"), 1);
    assert!(world.run_until(secs(900), |world| world.position(GATE) == Position::Off));
    assert_eq!(world.violations, Vec::<String>::new());
    world.command(Order::Resume, 0);
    assert!(
        world.run_until(secs(300), |world| rests(world, Route::Standby)),
        "{:?}",
        world.told()
    );
    assert!(!world.was_told("rolled_back"), "the pin ended; nothing was rolled back");
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn r13_manual_failback_waits_for_the_operator() {
    let mut world = failed_over_with(
        Policy {
            failback: Failback::Manual,
            ..policy()
        },
        Home::Silent,
    );
    world.home = Home::Serving;
    world.run(secs(6 * 3600));
    assert_eq!(world.phase(), "recovering");
    assert!(rests(&world, Route::Standby));
    assert_eq!(world.controller.status(world.clock()).home_in, None);
    world.command(Order::Force(Route::Origin), 600);
    assert!(world.run_until(secs(1800), |world| rests(world, Route::Origin)));
    assert!(world.was_told("back_home") && world.was_told("override_ended"));
}

#[test]
fn r13_manual_failback_does_not_prolong_a_total_outage() {
    let mut world = failed_over_with(
        Policy {
            failback: Failback::Manual,
            ..policy()
        },
        Home::Silent,
    );
    world.home = Home::Serving;
    world.standby = Standby::Broken(pilotlight::core::Breakage::Refused);
    assert!(world.run_until(secs(300), |world| world.position(REDIRECT) == Position::Off));
}

#[test]
fn r13_a_drift_found_while_paused_is_told_as_it_is_and_put_back_after_the_pause() {
    let mut world = healthy();
    world.command(Order::Pause, 7200);
    world.meddle(GATE, Position::On);
    world.run(secs(900));
    let told = find(&world, "drifted");
    assert!(matches!(told, Some(What::Drifted { repaired: false, .. })), "{told:?}");
    assert_eq!(world.position(GATE), Position::On);
    world.command(Order::Resume, 0);
    assert!(world.run_until(secs(400), |world| world.position(GATE) == Position::Off));
}

#[test]
fn r13_home_back_for_visitors_but_not_for_us_is_told_after_ten_minutes_and_daily() {
    let mut world = failed_over(Home::Silent);
    world.home = Home::BadCertificate;
    world.run(secs(595));
    assert!(!world.was_told("back_for_visitors_only"));
    world.run(secs(30));
    assert_eq!(world.told_times("back_for_visitors_only"), 1);
    world.run(secs(86_400));
    assert_eq!(world.told_times("back_for_visitors_only"), 2);
    assert!(rests(&world, Route::Standby));
}

#[test]
fn r14_one_notice_per_edge_and_a_relapsed_leg_is_told_again() {
    let mut world = failed_over(Home::Silent);
    for _ in 0..20 {
        world.home = Home::Serving;
        world.run(secs(30));
        world.home = Home::Refusing;
        world.run(secs(30));
    }
    for name in ["failed_over", "recovering", "relapsed"] {
        assert_eq!(world.told_times(name), 1, "{name}: {:?}", world.told());
    }
    world.home = Home::Serving;
    assert!(world.run_until(secs(3600), |world| world.was_told("back_home")));
    world.home = Home::Refusing;
    assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
    for name in ["failover_started", "failed_over"] {
        assert_eq!(world.told_times(name), 2, "{name}: {:?}", world.told());
    }
}

#[test]
fn r14_restarts_repeat_no_notice() {
    let mut world = failed_over(Home::Silent);
    world.home = Home::Serving;
    world.run(secs(200));
    let told = world.told();
    for _ in 0..10 {
        world.crash_and_restart();
        world.run(secs(10));
    }
    assert_eq!(world.told(), told);
}

#[test]
fn r10_a_save_that_fails_is_told_once_and_switching_goes_on_from_memory() {
    let mut world = healthy();
    world.feed(Event::Saved { in_time: false });
    world.feed(Event::Saved { in_time: false });
    assert!(!world.controller.status(world.clock()).saving);
    world.home = Home::Silent;
    assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
    world.feed(Event::Saved { in_time: true });
    assert_eq!(world.told_times("save_failed"), 1);
    assert_eq!(world.told_times("save_works"), 1);
}

/// Found by the simulator (seed 40): a suspicion began while a redirect that somebody else had put on was being put off.
#[test]
fn r14_nobody_is_told_of_a_way_home_that_was_never_begun() {
    let mut world = healthy();
    world.meddle(REDIRECT, Position::On);
    assert!(world.run_until(secs(400), |world| world.position(REDIRECT) == Position::Off));
    world.home = Home::Silent;
    assert!(world.run_until(secs(10), |world| world.was_told("suspected")));
    world.home = Home::Serving;
    assert!(world.run_until(secs(120), |world| world.was_told("suspicion_cleared")));
    assert!(!world.was_told("back_home"), "{:?}", world.told());
}
