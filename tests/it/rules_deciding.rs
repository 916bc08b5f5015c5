//! DESIGN section 4, rules 1 to 5: rule 3's table by itself and on the model world, thresholds, freezing, starting.

use std::time::Duration;

use pilotlight::core::judge::{Evidence, Mirror, verdict};
use pilotlight::core::{
    Cause, Effect, Event, Faculties, Failing, Outcome, Phase, Policy, Position, Route, Verdict, What, Why,
};

use crate::support::model::{
    CLEAR, DARK, Home, REDIRECT, World, failed_over, find, healthy, healthy_with, policy, rests, secs,
};

const FAILS: Outcome = Outcome::Failed(Failing {
    why: Why::Refused,
    used: Faculties::ALL,
});

fn judged(world: &World) -> (Verdict, Cause) {
    let judged = world.controller.status(world.clock()).verdict.expect("judged");
    (judged.verdict, judged.cause)
}

fn after(world: &World) -> Duration {
    match find(world, "failover_started") {
        Some(What::FailoverStarted { after, .. }) => *after,
        other => panic!("{other:?} in {:?}", world.told()),
    }
}

#[test]
fn r01_the_failover_is_decided_thirty_seconds_after_the_first_failed_probe_was_sent() {
    for home in [Home::Refusing, Home::Silent] {
        let mut world = healthy();
        world.home = home;
        assert!(world.run_until(secs(60), |world| world.was_told("failover_started")));
        let after = after(&world);
        assert!(after >= secs(30), "{home:?}: {after:?}");
        assert!(after <= secs(30) + Duration::from_millis(200), "{home:?}: {after:?}");
    }
}

#[test]
fn r01_suspect_on_the_first_failure() {
    let mut world = healthy();
    world.home = Home::Refusing;
    assert!(world.run_until(secs(6), |world| world.phase() == "suspect"));
    assert!(world.was_told("suspected"));
}

#[test]
fn r01_an_outage_shorter_than_the_hold_is_no_failover() {
    let mut world = healthy();
    world.home = Home::Refusing;
    world.run(secs(28));
    world.home = Home::Serving;
    assert!(world.run_until(secs(30), |world| world.phase() == "healthy"));
    world.run(secs(1800));
    assert_eq!(world.told(), ["suspected", "suspicion_cleared"]);
    assert_eq!(world.written_at(REDIRECT, Position::On), None);
}

#[test]
fn r01_a_site_that_flaps_evenly_still_fails_over() {
    let mut world = healthy();
    let flapped = (0..60).any(|round| {
        world.home = if round % 2 == 0 { Home::Refusing } else { Home::Serving };
        world.run(secs(5));
        world.was_told("failover_started")
    });
    assert!(flapped, "{:?}", world.told());
}

#[test]
fn r01_without_any_hold_three_failures_decide() {
    let mut world = healthy_with(Policy {
        down_for: Duration::ZERO,
        ..policy()
    });
    world.home = Home::Refusing;
    assert!(
        world.run_until(secs(10), |world| world.was_told("failover_started")),
        "{:?} {:?}",
        world.told(),
        judged(&world)
    );
    assert!(after(&world) <= secs(2), "{:?}", after(&world));
}

#[test]
fn r02_home_only_after_up_for_of_quiet_and_the_countdown_is_visible() {
    let mut world = failed_over(Home::Refusing);
    world.home = Home::Serving;
    world.run(secs(100));
    let status = world.controller.status(world.clock());
    let left = status.home_in.expect("a countdown");
    assert!(left > secs(495) && left <= secs(505), "{left:?}");
    assert!(world.run_until(left + secs(6), |world| world.was_told("failback_started")));
}

#[test]
fn r02_a_failure_on_the_way_home_starts_the_quiet_anew() {
    let mut world = failed_over(Home::Refusing);
    world.home = Home::Serving;
    world.run(secs(500));
    world.home = Home::Refusing;
    assert!(world.run_until(secs(6), |world| world.phase() == "failed_over"));
    world.home = Home::Serving;
    world.run(secs(590));
    assert_eq!(world.phase(), "recovering");
    assert!(world.run_until(secs(30), |world| world.was_told("failback_started")));
    assert_eq!(world.told_times("relapsed"), 1);
}

#[test]
fn r02_the_quiet_counts_from_the_verified_failover() {
    let mut world = healthy();
    world.propagation = secs(100_000);
    world.home = Home::Refusing;
    assert!(world.run_until(secs(300), |world| world.was_told("partly_switched")));
    world.home = Home::EdgeLost;
    world.run(secs(550));
    assert_eq!(world.phase(), "recovering");
    world.propagation = secs(0);
    assert!(world.run_until(secs(40), |world| world.was_told("failed_over")));
    let Phase::Recovering { quiet, .. } = world.controller.status(world.clock()).phase else {
        panic!("{:?}", world.told());
    };
    assert!(quiet.read(world.now) <= secs(5), "{quiet:?}");
}

#[test]
fn r02_a_relapse_doubles_up_for_to_the_most_and_verified_health_halves_it() {
    let mut world = World::new(Policy {
        up_for_max: secs(1800),
        ..policy()
    });
    world.run(secs(120));
    let up_for = |world: &World| world.controller.status(world.clock()).up_for;
    for expected in [600, 1200, 1800, 1800] {
        world.home = Home::Refusing;
        assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
        assert_eq!(up_for(&world), secs(expected));
        world.home = Home::Serving;
        assert!(world.run_until(secs(3600), |world| world.phase() == "healthy"));
        world.run(secs(60));
    }
    world.run(secs(3600));
    assert_eq!(up_for(&world), secs(900), "halved by an hour of verified health");
    world.run(secs(3600));
    assert_eq!(up_for(&world), secs(600), "down to the default");
    world.run(secs(7200));
    assert_eq!(up_for(&world), secs(600));
}

#[test]
fn r02_a_failover_after_the_relapse_window_doubles_nothing() {
    let mut world = failed_over(Home::Refusing);
    world.home = Home::Serving;
    assert!(world.run_until(secs(3600), |world| rests(world, Route::Origin)));
    world.run(secs(3700));
    world.home = Home::Refusing;
    assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
    assert_eq!(world.controller.status(world.clock()).up_for, secs(600));
}

#[test]
fn r03_the_table_row_by_row() {
    use Evidence::{AppBroken, EdgeBroken, EdgeLostHome, Nothing};
    let every = [Evidence::Home, EdgeLostHome, AppBroken, EdgeBroken, Nothing];
    for evidence in every {
        for outcome in [Outcome::Ok, FAILS] {
            let dark = verdict(Mirror::Dark, evidence, outcome);
            assert_eq!(dark, (Verdict::Unknown, Cause::OwnUplink), "row 1");
        }
    }
    let ok = |evidence| verdict(Mirror::Ok, evidence, Outcome::Ok);
    let fails = |evidence| verdict(Mirror::Ok, evidence, FAILS);
    assert_eq!(ok(Evidence::Home), (Verdict::Up, Cause::HomeServes), "row 2");
    assert_eq!(fails(Evidence::Home), (Verdict::Up, Cause::OwnPath), "row 3");
    assert_eq!(ok(EdgeLostHome), (Verdict::Down, Cause::EdgeLostHome), "row 4");
    assert_eq!(ok(AppBroken), (Verdict::Down, Cause::AppBroken), "row 5");
    assert_eq!(ok(EdgeBroken), (Verdict::Unknown, Cause::EdgeBroken), "row 6");
    for evidence in [EdgeLostHome, AppBroken, EdgeBroken, Nothing] {
        assert_eq!(
            fails(evidence),
            (Verdict::Down, Cause::Origin(Why::Refused)),
            "row 7: {evidence:?}"
        );
    }
    assert_eq!(ok(Nothing), (Verdict::Up, Cause::HomeServes), "row 8");
}

#[test]
fn r03_a_challenged_probe_is_no_evidence_against_home() {
    use Evidence::{AppBroken, EdgeBroken, EdgeLostHome, Nothing};
    let Outcome::Failed(failing) = FAILS else {
        panic!("it fails")
    };
    let challenged = |evidence| {
        let why = Why::Blocked;
        verdict(Mirror::Ok, evidence, Outcome::Failed(Failing { why, ..failing }))
    };
    for evidence in [EdgeBroken, Nothing] {
        assert_eq!(challenged(evidence), (Verdict::Unknown, Cause::Origin(Why::Blocked)));
    }
    assert_eq!(challenged(Evidence::Home), (Verdict::Up, Cause::OwnPath));
    for evidence in [EdgeLostHome, AppBroken] {
        assert_eq!(
            challenged(evidence).0,
            Verdict::Down,
            "visitors do not see home: {evidence:?}"
        );
    }
}

#[test]
fn r03_row_1_a_dark_mirror_freezes_and_is_told_after_ten_minutes() {
    let mut world = healthy();
    world.mirror = DARK;
    world.home = Home::Refusing;
    world.run(secs(590));
    assert_eq!(judged(&world), (Verdict::Unknown, Cause::OwnUplink));
    assert!(!world.was_told("blind"), "{:?}", world.told());
    world.run(secs(20));
    assert_eq!(world.told_times("blind"), 1);
    world.run(secs(7200));
    assert_eq!(world.told(), ["blind"], "told once, and nothing else happens");
    assert!(world.writes.is_empty());
    assert!(world.controller.status(world.clock()).blind_since.is_some());
    world.mirror = CLEAR;
    world.home = Home::Serving;
    world.run(secs(20));
    assert_eq!(world.told(), ["blind", "sees_again"]);
}

#[test]
fn r03_row_2_and_8_home_answers() {
    let mut world = healthy();
    assert_eq!(judged(&world), (Verdict::Up, Cause::HomeServes));
    world.edge_blocks = true;
    world.run(secs(1800));
    assert_eq!(
        judged(&world),
        (Verdict::Up, Cause::HomeServes),
        "a bot challenge is no evidence"
    );
    world.edge_blocks = false;
    world.edge_caches = true;
    world.run(secs(1800));
    assert_eq!(
        judged(&world),
        (Verdict::Up, Cause::HomeServes),
        "a cached page is no evidence"
    );
    assert!(world.notices.is_empty(), "{:?}", world.told());
}

#[test]
fn r03_row_3_my_own_path_to_home_is_broken_and_nothing_is_switched() {
    let mut world = healthy();
    world.home = Home::OwnPathBroken;
    world.run(secs(3600));
    assert_eq!(judged(&world), (Verdict::Up, Cause::OwnPath));
    assert_eq!(world.written_at(REDIRECT, Position::On), None);
    assert!(!world.was_told("failover_started"));
    assert_eq!(world.told_times("own_path_broken"), 1);
}

#[test]
fn r03_row_4_the_edge_has_lost_home() {
    let mut world = healthy();
    world.home = Home::EdgeLost;
    assert!(world.run_until(secs(400), |world| rests(world, Route::Standby)));
    let cause = world
        .controller
        .status(world.clock())
        .episode
        .map(|episode| episode.cause);
    assert_eq!(cause, Some(Cause::EdgeLostHome));
}

#[test]
fn r03_row_5_the_app_is_broken_behind_a_healthy_health_path() {
    let mut world = healthy();
    world.home = Home::AppBroken;
    assert!(world.run_until(secs(400), |world| rests(world, Route::Standby)));
    let cause = world
        .controller
        .status(world.clock())
        .episode
        .map(|episode| episode.cause);
    assert_eq!(cause, Some(Cause::AppBroken));
}

#[test]
fn r03_row_6_the_edge_itself_is_broken_and_switching_would_not_help() {
    let mut world = healthy();
    world.edge_works = false;
    world.run(secs(3600));
    assert_eq!(judged(&world), (Verdict::Unknown, Cause::EdgeBroken));
    assert!(world.writes.is_empty());
    assert_eq!(world.told(), ["blind"]);
}

#[test]
fn r03_row_7_home_is_gone_whatever_the_visitor_eye_says() {
    let setups: [fn(&mut World); 4] = [
        |world| world.home = Home::Silent,
        |world| world.home = Home::Refusing,
        |world| (world.home, world.edge_blocks) = (Home::Refusing, true),
        |world| (world.home, world.edge_works) = (Home::Refusing, false),
    ];
    for (number, setup) in setups.into_iter().enumerate() {
        let mut world = healthy();
        setup(&mut world);
        assert!(
            world.run_until(secs(60), |world| world.was_told("failover_started")),
            "setup {number}"
        );
        assert!(
            matches!(judged(&world), (Verdict::Down, Cause::Origin(_))),
            "setup {number}"
        );
    }
}

#[test]
fn r03_time_stands_still_while_blind_and_goes_on_from_there() {
    let mut world = healthy();
    world.home = Home::Refusing;
    world.run(secs(20));
    assert_eq!(world.phase(), "suspect");
    world.mirror = DARK;
    world.run(secs(1200));
    assert_eq!(world.phase(), "suspect");
    assert!(!world.was_told("failover_started"));
    world.mirror = CLEAR;
    world.run(secs(12));
    assert_eq!(world.phase(), "suspect", "what ran unseen does not count");
    assert!(world.run_until(secs(40), |world| world.was_told("failover_started")));
}

#[test]
fn r03_after_a_clock_gap_evidence_from_before_counts_no_more() {
    let mut world = healthy();
    world.home = Home::Refusing;
    world.run(secs(15));
    let before_the_gap = world.now - secs(1);
    world.jump_wall(3600);
    let Phase::Suspect { failures, dark, .. } = world.controller.status(world.clock()).phase else {
        panic!("suspect");
    };
    assert!(!dark.is_running());
    let clock = world.clock();
    let effects = world.controller.handle(
        Event::Probed {
            sent_at: before_the_gap,
            scheduled: true,
            outcome: FAILS,
        },
        clock,
    );
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Notify(_))));
    let Phase::Suspect { failures: now, .. } = world.controller.status(clock).phase else {
        panic!("suspect");
    };
    assert_eq!(now, failures, "sent before the gap: recorded, not counted");
    assert!(world.run_until(secs(60), |world| world.was_told("failover_started")));
}

#[test]
fn r05_an_answer_older_than_the_newest_counted_is_recorded_not_counted() {
    let mut world = healthy();
    let late = world.now - secs(20);
    let clock = world.clock();
    for _ in 0..5 {
        world.controller.handle(
            Event::Probed {
                sent_at: late,
                scheduled: true,
                outcome: FAILS,
            },
            clock,
        );
    }
    world.run(secs(2));
    assert_eq!(world.phase(), "healthy");
    assert!(world.notices.is_empty());
}

#[test]
fn r05_a_late_success_does_not_hide_newer_failures_that_wait_for_the_mirror() {
    let mut world = healthy();
    world.probes_run = false;
    world.run(secs(30));
    let probed = |sent_at, outcome| Event::Probed {
        sent_at,
        scheduled: true,
        outcome,
    };
    let sent = world.now;
    world.run(secs(2));
    world.feed(probed(sent + secs(1), FAILS));
    world.feed(probed(sent, Outcome::Ok));
    world.run(secs(1));
    assert_eq!(world.phase(), "suspect", "{:?}", world.told());
}

#[test]
fn r18_what_a_failover_needs_is_made_ready_at_the_first_suspicion_and_once() {
    let mut world = healthy();
    assert_eq!(world.warmed, []);
    world.home = Home::Refusing;
    assert!(world.run_until(secs(6), |world| world.phase() == "suspect"));
    assert_eq!(world.warmed, [world.now], "at once, before anything is decided");
    assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
    assert_eq!(world.warmed.len(), 1, "once an outage");
}
