//! DESIGN section 4, rules 6 to 10, on the model world.

use pilotlight::core::{Breakage, Failure, FailureKind, Order, Policy, Position, Role, Route};

use crate::support::model::{
    CLEAR, DARK, Fate, GATE, Home, REDIRECT, SILENCE, Standby, TOGGLE_TIMEOUT, World, find, healthy, healthy_with,
    policy, rests, secs,
};

fn outage(home: Home) -> World {
    let mut world = healthy();
    world.home = home;
    world
}

#[test]
fn r06_out_goes_gate_proof_redirect_proof_and_home_goes_redirect_proof_drain_gate() {
    let mut world = outage(Home::Silent);
    let died = world.now;
    assert!(
        world.run_until(secs(300), |world| rests(world, Route::Standby)),
        "{:#?}",
        world.notices
    );
    let gate_on = world.written_at(GATE, Position::On).unwrap();
    let redirect_on = world.written_at(REDIRECT, Position::On).unwrap();
    assert!(gate_on < redirect_on);
    assert!(
        redirect_on.since(gate_on) >= world.propagation,
        "the redirect waits for the proof"
    );
    assert!(
        redirect_on.since(gate_on) <= world.propagation + secs(1),
        "and for nothing else"
    );
    assert!(world.written_at(SILENCE, Position::On).is_some());
    assert!(
        gate_on.since(died) <= secs(10),
        "the gate opens with the first suspicion"
    );

    world.home = Home::Serving;
    let back = world.now;
    assert!(
        world.run_until(secs(3600), |world| rests(world, Route::Origin)),
        "{:#?}",
        world.notices
    );
    let redirect_off = world.written_at(REDIRECT, Position::Off).unwrap();
    let gate_off = world.written_at(GATE, Position::Off).unwrap();
    assert!(redirect_off.since(back) >= policy().up_for);
    assert!(redirect_off.since(back) <= policy().up_for + secs(10));
    assert!(gate_off.since(redirect_off) >= policy().drain);
    assert!(gate_off.since(redirect_off) <= policy().drain + secs(5));
    assert_eq!(world.violations, Vec::<String>::new());
    assert_eq!(
        world.told(),
        [
            "suspected",
            "failover_started",
            "failed_over",
            "recovering",
            "failback_started",
            "back_home",
            "episode_over"
        ]
    );
    assert_eq!(world.writes.len(), 6, "{:?}", world.writes);
}

#[test]
fn r06_a_fault_at_the_silence_never_delays_the_failover() {
    let mut world = outage(Home::Refusing);
    world.remote(SILENCE).fate = Fate::Fails(Failure::new(FailureKind::Denied));
    assert!(world.run_until(secs(200), |world| world.was_told("failed_over")));
    assert!(world.was_told("stuck"));
}

#[test]
fn r06_home_not_proven_in_time_puts_the_redirect_back_and_counts_a_relapse() {
    let mut world = outage(Home::EdgeLost);
    assert!(
        world.run_until(secs(400), |world| world.was_told("failed_over")),
        "{:?}",
        world.told()
    );
    assert!(
        world.run_until(secs(1200), |world| world.was_told("rolled_back")),
        "{:?}",
        world.told()
    );
    let off = world.written_at(REDIRECT, Position::Off).unwrap();
    assert!(world.run_until(secs(60), |world| world.position(REDIRECT) == Position::On));
    let on = world.written_at(REDIRECT, Position::On).unwrap();
    assert!(on.since(off) >= policy().home_proof && on.since(off) <= policy().home_proof + secs(5));
    assert_eq!(world.position(GATE), Position::On);
    assert_eq!(world.controller.status(world.clock()).up_for, policy().up_for * 2);
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn r07_when_patience_is_spent_the_redirect_goes_on_to_a_refusing_gate_and_it_is_said() {
    let mut world = outage(Home::Refusing);
    world.propagation = secs(100_000);
    assert!(
        world.run_until(secs(300), |world| world.was_told("partly_switched")),
        "{:?}",
        world.told()
    );
    let gate_on = world.written_at(GATE, Position::On).unwrap();
    let redirect_on = world.written_at(REDIRECT, Position::On).unwrap();
    assert!(redirect_on.since(gate_on) + secs(1) >= policy().gate_patience);
    assert!(redirect_on.since(gate_on) <= policy().gate_patience + secs(5));
    world.propagation = secs(60);
    assert!(world.run_until(secs(60), |world| rests(world, Route::Standby)));
}

#[test]
fn r07_a_broken_standby_holds_the_redirect_back_until_it_is_mended() {
    let mut world = outage(Home::Silent);
    world.standby = Standby::Broken(Breakage::Status(503));
    world.run(secs(600));
    assert_eq!(world.position(REDIRECT), Position::Off);
    assert_eq!(world.told_times("standby_broken"), 1);
    world.standby = Standby::Serving;
    assert!(
        world.run_until(secs(60), |world| rests(world, Route::Standby)),
        "{:?}",
        world.told()
    );
    assert!(world.was_told("standby_mended"));
}

#[test]
fn r07_a_loop_that_somebody_else_made_is_switched_off_although_home_is_not_up() {
    let mut world = healthy();
    world.mirror = DARK;
    world.home = Home::Refusing;
    world.run(secs(60));
    world.meddle(REDIRECT, Position::On);
    world.loops = true;
    assert!(world.run_until(secs(200), |world| world.was_told("redirect_loop")));
    assert!(world.run_until(secs(10), |world| world.position(REDIRECT) == Position::Off));
}

#[test]
fn r06_after_quiet_hours_a_gate_whose_answers_are_lost_is_proven_by_what_visitors_see() {
    let mut world = healthy();
    world.run(secs(3 * 3600));
    world.remote(GATE).fate = Fate::LostReply;
    world.home = Home::Silent;
    assert!(world.run_until(secs(300), |world| world.position(REDIRECT) == Position::On));
    let opened = world.written_at(GATE, Position::On).unwrap();
    let waited = world.now.since(opened);
    assert!(waited < policy().gate_patience, "proven, not given up on: {waited:?}");
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn r07_a_redirect_loop_is_switched_off_at_once() {
    let mut world = outage(Home::Silent);
    world.loops = true;
    assert!(world.run_until(secs(200), |world| world.was_told("redirect_loop")));
    assert!(world.run_until(secs(5), |world| world.position(REDIRECT) == Position::Off));
    world.run(secs(600));
    assert_eq!(
        world.position(REDIRECT),
        Position::Off,
        "not tried again in this switch"
    );
}

#[test]
fn r08_a_gate_opened_by_prewarm_stays_open_for_a_drain() {
    let mut world = outage(Home::Refusing);
    world.run(secs(12));
    world.home = Home::Serving;
    let opened = world.written_at(GATE, Position::On).unwrap();
    assert!(world.run_until(secs(1200), |world| world.position(GATE) == Position::Off));
    let shut = world.written_at(GATE, Position::Off).unwrap();
    assert!(shut.since(opened) >= policy().drain && shut.since(opened) <= policy().drain + secs(10));
    assert!(!world.was_told("failover_started"));
    assert!(world.was_told("suspicion_cleared"));
}

#[test]
fn r08_the_drain_counts_from_the_telling_that_opened_the_gate() {
    let mut world = outage(Home::Refusing);
    world.standby = Standby::Broken(Breakage::Status(503));
    world.remote(GATE).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.run(secs(400));
    assert_eq!(world.position(GATE), Position::Off);
    world.remote(GATE).fate = Fate::Done;
    assert!(world.run_until(secs(120), |world| world.position(GATE) == Position::On));
    let opened = world.written_at(GATE, Position::On).unwrap();
    world.home = Home::Serving;
    assert!(world.run_until(secs(1200), |world| world.position(GATE) == Position::Off));
    let shut = world.written_at(GATE, Position::Off).unwrap();
    assert!(shut.since(opened) >= policy().drain, "{:?}", shut.since(opened));
    assert_eq!(world.violations, Vec::<String>::new());
}

/// Found by the shell's life 47: the answer to the telling that opened the gate was lost, and the drain counted from the first one.
#[test]
fn r08_a_telling_without_an_answer_may_have_opened_the_gate_and_the_drain_counts_from_it() {
    let mut world = healthy_with(Policy {
        down_for: secs(900),
        ..policy()
    });
    world.home = Home::Refusing;
    world.remote(GATE).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.run(secs(400));
    world.remote(GATE).fate = Fate::LostReply;
    assert!(world.run_until(secs(120), |world| world.position(GATE) == Position::On));
    let opened = world.now;
    world.remote(GATE).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.home = Home::Serving;
    world.run(secs(250));
    world.remote(GATE).fate = Fate::Done;
    assert!(world.run_until(secs(1200), |world| world.position(GATE) == Position::Off));
    let open_for = world.now.since(opened) + TOGGLE_TIMEOUT;
    assert!(open_for >= policy().drain, "{open_for:?}");
    assert_eq!(world.written_at(REDIRECT, Position::On), None);
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn r09_when_nothing_differs_nothing_is_set() {
    let mut world = World::new(policy());
    world.run(secs(60));
    let sets = world.sets;
    world.run(secs(24 * 3600));
    assert_eq!(world.sets, sets);
    assert!(world.writes.is_empty());
    assert!(world.notices.is_empty(), "{:?}", world.notices);
}

#[test]
fn r09_a_lost_reply_is_read_back_and_not_believed() {
    let mut world = outage(Home::Refusing);
    world.remote(GATE).fates = vec![Fate::LostReply];
    world.remote(REDIRECT).fates = vec![Fate::LostReply];
    assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
    assert_eq!(
        world.writes.iter().filter(|write| write.key.role == Role::Gate).count(),
        1
    );
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn r10_a_crash_in_the_middle_of_an_episode_changes_nothing_for_visitors() {
    for crash_after in 0..90 {
        let mut world = outage(Home::Silent);
        world.run(secs(crash_after));
        world.crash_and_restart();
        assert!(
            world.run_until(secs(400), |world| rests(world, Route::Standby)),
            "crash after {crash_after} s"
        );
        assert_eq!(world.violations, Vec::<String>::new());
    }
}

#[test]
fn r11_a_stuck_toggle_is_told_after_two_minutes_and_retried_for_ever() {
    let mut world = outage(Home::Refusing);
    world.remote(REDIRECT).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.run(secs(3600));
    assert_eq!(world.told_times("stuck"), 1, "{:?}", world.told());
    assert!(find(&world, "stuck").is_some());
    world.remote(REDIRECT).fate = Fate::Done;
    assert!(world.run_until(secs(120), |world| rests(world, Route::Standby)));
    assert!(world.was_told("unstuck"));
}

#[test]
fn r13_a_pause_means_zero_writes() {
    let mut world = outage(Home::Serving);
    world.command(Order::Pause, 7200);
    world.home = Home::Silent;
    let sets = world.sets;
    world.run(secs(3600));
    assert_eq!(world.sets, sets);
    assert_eq!(world.phase(), "failed_over", "probing goes on underneath");
    world.command(Order::Resume, 0);
    assert!(world.run_until(secs(120), |world| rests(world, Route::Standby)));
}

#[test]
fn r13_no_pin_expires_while_home_cannot_be_judged() {
    let mut world = outage(Home::Serving);
    world.command(Order::Force(Route::Standby), 600);
    assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
    world.mirror = DARK;
    world.home = Home::Silent;
    world.run(secs(3600));
    assert!(!world.was_told("override_ended"), "{:?}", world.told());
    assert!(!world.was_told("failback_started"), "nothing is decided while blind");
    assert_eq!(world.controller.status(world.clock()).mode.label(), "pinned_standby");
    world.mirror = CLEAR;
    assert!(world.run_until(secs(65), |world| world.was_told("override_ended")));
    assert_eq!(world.violations, Vec::<String>::new());
}

#[test]
fn r13_a_pause_in_the_middle_of_a_switch_leaves_the_rest_undone_until_it_ends() {
    let mut world = outage(Home::Refusing);
    world.remote(REDIRECT).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    assert!(world.run_until(secs(300), |world| world.was_told("stuck")));
    world.command(Order::Pause, 3600);
    let sets = world.sets;
    world.run(secs(1800));
    assert_eq!(world.sets, sets, "what is still wished for is not written");
    world.remote(REDIRECT).fate = Fate::Done;
    world.command(Order::Resume, 0);
    assert!(world.run_until(secs(120), |world| rests(world, Route::Standby)));
}
