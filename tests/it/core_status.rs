//! What core shows and keeps: the picture of a site, its totals, and when it is saved.

use pilotlight::core::controller::Layout;
use pilotlight::core::status::{Switched, ToggleStatus};
use pilotlight::core::{
    Breakage, ClockCheck, Event, Eye, Failure, FailureKind, Order, Policy, Position, Reflection, Role, Route, Status,
};

use crate::support::model::{
    CLEAR, DARK, EPOCH, Fate, GATE, Home, REDIRECT, SILENCE, Standby, World, failed_over, healthy, healthy_with,
    policy, rests, secs,
};

fn status(world: &World) -> Status {
    world.controller.status(world.clock())
}

fn toggle(world: &World, role: Role) -> ToggleStatus {
    let toggles = status(world).toggles;
    *toggles.iter().find(|toggle| toggle.role() == role).expect("it has one")
}

#[test]
fn a_pause_or_a_pin_home_in_calm_begins_no_episode() {
    for order in [Order::Pause, Order::Force(Route::Origin)] {
        let mut world = healthy();
        world.command(order, 600);
        assert_eq!(status(&world).episode, None, "{order:?}");
    }
    let mut world = healthy();
    world.command(Order::Force(Route::Standby), 600);
    assert_eq!(
        status(&world).episode.map(|episode| episode.cause.label()),
        Some("operator")
    );
}

#[test]
fn after_a_gap_one_answer_without_a_contradiction_is_enough_for_the_clock() {
    for (answered, doubtful) in [(1, false), (0, true)] {
        let mut world = healthy();
        world.mirror = Reflection {
            answered,
            clock: ClockCheck::Unknown,
            ..CLEAR
        };
        world.jump_wall(30);
        assert!(status(&world).clock_doubtful);
        world.run(secs(1));
        assert_eq!(status(&world).clock_doubtful, doubtful);
    }
}

#[test]
fn totals_count_each_episode_failover_failback_rollback_and_drift() {
    let mut world = healthy();
    let totals = |world: &World| {
        let totals = status(world).totals;
        [
            totals.episodes,
            totals.failovers,
            totals.failbacks,
            totals.rollbacks,
            totals.drifts,
        ]
    };
    assert_eq!(totals(&world), [0; 5]);
    for round in 1..=2 {
        world.home = Home::Silent;
        assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
        world.home = Home::Serving;
        assert!(world.run_until(secs(9000), |world| world.told_times("episode_over") == round));
        let round = u64::try_from(round).unwrap();
        assert_eq!(totals(&world), [round, round, round, 0, 0]);
    }
    world.meddle(GATE, Position::On);
    assert!(world.run_until(secs(400), |world| world.was_told("orphan")));
    world.run(secs(1));
    world.meddle(GATE, Position::On);
    assert!(world.run_until(secs(400), |world| world.told_times("orphan") == 2));
    assert_eq!(totals(&world)[4], 2);
    for round in 1..=2 {
        world.home = Home::Silent;
        assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
        world.home = Home::EdgeLost;
        assert!(world.run_until(secs(30_000), |world| world.told_times("rolled_back") == round));
        assert_eq!(totals(&world)[3], u64::try_from(round).unwrap());
        world.home = Home::Serving;
        assert!(world.run_until(secs(60_000), |world| world.told_times("episode_over") == 2 + round));
    }
}

#[test]
fn the_time_to_the_failover_is_shown_while_home_is_suspected_and_only_then() {
    let mut world = healthy();
    assert_eq!(status(&world).failover_in, None);
    world.home = Home::Refusing;
    world.run_until(secs(10), |world| world.phase() == "suspect");
    let first = status(&world).failover_in.expect("shown");
    assert!(first > secs(29) && first <= secs(30), "{first:?}");
    world.run(secs(12));
    assert_eq!(status(&world).failover_in, Some(first.saturating_sub(secs(12))));
    world.run(secs(30));
    assert_eq!(status(&world).failover_in, None);
}

#[test]
fn r08_the_gate_is_verified_by_what_the_standby_itself_showed() {
    let mut world = healthy();
    assert_eq!(
        toggle(&world, Role::Gate).verified,
        Some(Position::Off),
        "asked at the gate's read"
    );
    world.home = Home::Silent;
    world.run(secs(30));
    let gate = toggle(&world, Role::Gate);
    assert_eq!(gate.observed.configured, Some(Position::On));
    assert_eq!(gate.verified, Some(Position::Off), "it is not open for visitors yet");
    assert!(world.run_until(secs(60), |world| {
        status(world).standby.is_some_and(|seen| seen.view.label() == "standby")
    }));
    assert_eq!(toggle(&world, Role::Gate).verified, None, "seen once is not proven");
    world.run(secs(1));
    assert_eq!(toggle(&world, Role::Gate).verified, Some(Position::On));
    world.standby = Standby::Overloaded;
    world.run(secs(70));
    assert_eq!(toggle(&world, Role::Gate).verified, None);
}

#[test]
fn a_toggle_is_shown_busy_and_failing() {
    let mut world = healthy();
    let gate = toggle(&world, Role::Gate);
    assert!(!gate.busy && gate.failing.is_none() && gate.failing_since.is_none());
    world.remote(GATE).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.home = Home::Refusing;
    world.run_until(secs(10), |world| world.phase() == "suspect");
    assert!(toggle(&world, Role::Gate).busy, "told to open");
    world.run(secs(1));
    let gate = toggle(&world, Role::Gate);
    assert_eq!(gate.failing, Some(FailureKind::Unavailable));
    assert!(gate.failing_since.is_some_and(|since| since < world.now));
}

#[test]
fn r08_a_toggle_that_is_told_stuck_makes_the_switch_a_part() {
    let mut world = healthy();
    world.remote(SILENCE).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.home = Home::Silent;
    assert!(world.run_until(secs(400), |world| world.was_told("stuck")));
    assert_eq!(status(&world).switched, Switched::Partly);
    world.remote(SILENCE).fate = Fate::Done;
    assert!(world.run_until(secs(200), |world| rests(world, Route::Standby)));
}

#[test]
fn r10_in_calm_nothing_is_saved_and_in_an_episode_once_a_minute() {
    let mut world = healthy();
    let taken = |world: &World| world.disk.as_ref().map(|disk| disk.taken);
    let before = taken(&world);
    assert!(before.is_some());
    world.run(secs(3600));
    assert_eq!(taken(&world), before, "nothing changed");
    let mut world = failed_over(Home::Silent);
    world.run(secs(120));
    let mut last = taken(&world).expect("saved");
    for _ in 0..5 {
        assert!(world.run_until(secs(61), |world| taken(world) != Some(last)));
        let now = taken(&world).expect("saved");
        assert_eq!(now.0 - last.0, 60_000);
        last = now;
    }
    assert!(last > EPOCH);
}

#[test]
fn r10_a_save_that_failed_is_tried_again_within_a_minute_also_in_calm() {
    let mut world = healthy();
    let before = world.disk.as_ref().map(|disk| disk.taken);
    world.feed(Event::Saved { in_time: false });
    assert!(!status(&world).saving);
    world.run(secs(61));
    assert_ne!(world.disk.as_ref().map(|disk| disk.taken), before);
    world.feed(Event::Saved { in_time: true });
    assert!(status(&world).saving);
    let then = world.disk.as_ref().map(|disk| disk.taken);
    world.run(secs(600));
    assert_eq!(world.disk.as_ref().map(|disk| disk.taken), then);
}

#[test]
fn r10_time_that_counts_for_a_relapse_is_saved_once_a_minute_after_the_episode() {
    let mut world = failed_over(Home::Silent);
    world.home = Home::Serving;
    assert!(world.run_until(secs(9000), |world| world.was_told("episode_over")));
    world.run(secs(120));
    assert_eq!(status(&world).episode, None);
    let kept = world.disk.clone().expect("saved");
    assert!(world.run_until(secs(61), |world| world.disk.as_ref() != Some(&kept)));
    let now = world.disk.as_ref().expect("saved");
    assert_eq!(now.taken.0 - kept.taken.0, 60_000);
    assert_eq!(now.since_home, kept.since_home.map(|since| since + secs(60)));
    world.run(secs(3600));
    assert_eq!(status(&world).up_for, policy().up_for);
    let calm = world.disk.as_ref().map(|disk| disk.taken);
    world.run(secs(3600));
    assert_eq!(
        world.disk.as_ref().map(|disk| disk.taken),
        calm,
        "a relapse would not count any more"
    );
}

#[test]
fn since_when_we_are_blind_is_shown_while_we_are() {
    let mut world = healthy();
    assert_eq!(status(&world).blind_since, None);
    world.mirror = DARK;
    world.run(secs(30));
    let since = status(&world).blind_since.expect("blind");
    assert!(world.now.since(since) > secs(20) && world.now.since(since) <= secs(30));
    world.run(secs(30));
    assert_eq!(status(&world).blind_since, Some(since));
    world.mirror = CLEAR;
    world.run(secs(20));
    assert_eq!(status(&world).blind_since, None);
    world.mirror = DARK;
    world.run(secs(30));
    assert!(
        status(&world).blind_since.is_some_and(|again| again > since),
        "counted afresh"
    );
}

#[test]
fn r03_with_a_short_hold_the_references_are_asked_more_often() {
    for (down_for, gap) in [(30, 15), (6, 5)] {
        let mut world = healthy_with(Policy {
            down_for: secs(down_for),
            ..policy()
        });
        world.home = Home::OwnPathBroken;
        world.run(secs(20));
        let from = world.now;
        world.run(secs(60));
        let asked = world.looks(Eye::Mirror, from);
        assert!(
            asked.windows(2).all(|pair| pair[1].since(pair[0]) == secs(gap)),
            "{asked:?}"
        );
        assert!(asked.len() >= 4);
    }
}

#[test]
fn r02_a_doubtful_home_is_taken_at_once_when_the_standby_broke() {
    let mut world = failed_over(Home::EdgeLost);
    world.standby = Standby::Broken(Breakage::Certificate);
    assert!(world.run_until(secs(200), |world| world.was_told("standby_broken")));
    let broken = world.now;
    assert!(world.run_until(secs(300), |world| world.was_told("failback_started")));
    assert!(
        world.now.since(broken) < secs(120),
        "twelve successes, and no more waiting"
    );
}

#[test]
fn r04_a_proof_of_an_earlier_leg_is_none_after_a_restart() {
    let mut world = failed_over(Home::Silent);
    world.home = Home::EdgeLost;
    assert!(world.run_until(secs(3000), |world| world.was_told("failback_started")));
    world.standby = Standby::Overloaded;
    assert!(world.run_until(secs(300), |world| world.was_told("rolled_back")));
    assert!(world.run_until(secs(60), |world| world.position(REDIRECT) == Position::On));
    world.run(secs(5));
    assert_eq!(status(&world).switched, Switched::Partly);
    world.crash_and_restart();
    world.run(secs(5));
    assert_eq!(
        toggle(&world, Role::Redirect).verified,
        None,
        "nobody saw the standby on this leg"
    );
}

#[test]
fn a_site_with_two_silences_is_settled_only_when_both_are() {
    let second = pilotlight::core::ToggleKey {
        role: Role::Silence,
        index: 1,
    };
    let mut world = World::with(
        policy(),
        Layout {
            toggles: vec![GATE, REDIRECT, SILENCE, second],
            edge_eye: false,
        },
    );
    world.run(secs(120));
    world.remote(second).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.home = Home::Silent;
    assert!(world.run_until(secs(200), |world| world.was_told("failed_over")));
    assert_ne!(status(&world).switched, Switched::Verified);
    world.remote(second).fate = Fate::Done;
    assert!(world.run_until(secs(200), |world| rests(world, Route::Standby)));
}
