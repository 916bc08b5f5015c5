//! DESIGN section 4, rule 4: what a start finds, and what it may do about it.

use pilotlight::core::{Failure, FailureKind, Order, Position, Route};

use crate::support::model::{
    DARK, DiskFares, EPOCH, Fate, GATE, Home, REDIRECT, SILENCE, World, failed_over, healthy, policy, rests, secs,
};

#[test]
fn r04_a_start_into_an_outage_decides_only_after_a_full_window() {
    let mut world = World::new(policy());
    world.home = Home::Refusing;
    world.run(secs(29));
    assert!(!world.was_told("failover_started"));
    assert!(world.run_until(secs(10), |world| world.was_told("failover_started")));
}

#[test]
fn r04_no_state_but_the_redirect_on_is_adopted_as_failed_over() {
    for home in [Home::Silent, Home::Serving] {
        let mut world = failed_over(Home::Refusing);
        world.home = home;
        world.forget_disk();
        let writes = world.writes.len();
        world.crash_and_restart();
        world.run(secs(60));
        assert!(world.was_told("adopted"));
        assert_eq!(world.controller.status(world.clock()).route, Route::Standby);
        assert_eq!(world.writes.len(), writes, "nothing changes for visitors");
        if home == Home::Serving {
            assert!(world.run_until(secs(3600), |world| rests(world, Route::Origin)));
        }
    }
}

#[test]
fn r04_saved_as_failed_over_but_the_redirect_found_off_is_reported_and_decided_afresh() {
    for home in [Home::Silent, Home::Serving] {
        let mut world = failed_over(Home::Refusing);
        world.home = home;
        world.meddle(REDIRECT, Position::Off);
        world.crash_and_restart();
        world.run(secs(3));
        assert!(world.was_told("found_off"), "{:?}", world.told());
        assert_eq!(world.controller.status(world.clock()).route, Route::Origin);
        world.run(secs(25));
        assert_eq!(world.position(REDIRECT), Position::Off, "not before a full window");
        let route = if home == Home::Silent {
            Route::Standby
        } else {
            Route::Origin
        };
        assert!(
            world.run_until(secs(1200), |world| rests(world, route)),
            "{:?}",
            world.told()
        );
    }
}

#[test]
fn r04_a_gate_found_open_alone_is_an_orphan_after_one_window() {
    let mut world = World::new(policy());
    world.meddle(GATE, Position::On);
    world.run(secs(25));
    assert_eq!(world.position(GATE), Position::On);
    world.run(secs(15));
    assert_eq!(world.position(GATE), Position::Off);
    assert_eq!(world.told(), ["orphan"]);
}

#[test]
fn r04_a_start_that_finds_everything_as_saved_writes_and_says_nothing() {
    for route in [Route::Origin, Route::Standby] {
        let mut world = if route == Route::Standby {
            failed_over(Home::Refusing)
        } else {
            healthy()
        };
        let (writes, told) = (world.writes.len(), world.notices.len());
        for _ in 0..5 {
            world.crash_and_restart();
            world.run(secs(45));
        }
        assert_eq!(world.writes.len(), writes);
        assert_eq!(world.notices.len(), told, "{:?}", world.told());
        assert!(rests(&world, route));
    }
}

#[test]
fn r04_a_restart_keeps_the_countdown_home() {
    let mut world = failed_over(Home::Refusing);
    world.home = Home::Serving;
    world.run(secs(300));
    world.crash_and_restart();
    world.run(secs(200));
    assert_eq!(world.phase(), "recovering", "not before up_for, restart or not");
    assert!(world.run_until(secs(200), |world| world.was_told("failback_started")));
}

#[test]
fn r04_a_restart_does_not_shorten_the_way_home_when_the_edge_hides_the_standby() {
    let mut world = failed_over(Home::Refusing);
    world.home = Home::Serving;
    world.run(secs(100));
    world.edge_works = false;
    world.crash_and_restart();
    world.run(secs(300));
    assert_eq!(world.position(REDIRECT), Position::On, "{:?}", world.told());
}

#[test]
fn r04_episodes_keep_their_number_over_restarts_and_never_share_one() {
    let mut world = failed_over(Home::Refusing);
    let first = world.controller.status(world.clock()).episode.map(|episode| episode.id);
    world.crash_and_restart();
    world.run(secs(10));
    assert_eq!(
        world.controller.status(world.clock()).episode.map(|episode| episode.id),
        first
    );
    world.home = Home::Serving;
    assert!(world.run_until(secs(3600), |world| rests(world, Route::Origin)));
    world.crash_and_restart();
    world.run(secs(60));
    world.home = Home::Silent;
    assert!(world.run_until(secs(60), |world| world.phase() == "suspect"));
    let second = world.controller.status(world.clock()).episode.map(|episode| episode.id);
    assert!(second > first, "{second:?} after {first:?}");
}

#[test]
fn r04_a_blind_start_writes_nothing_whatever_it_finds() {
    for found in [
        vec![],
        vec![GATE],
        vec![REDIRECT],
        vec![SILENCE],
        vec![GATE, REDIRECT, SILENCE],
    ] {
        let mut world = World::new(policy());
        world.mirror = DARK;
        world.home = Home::Silent;
        for key in &found {
            world.meddle(*key, Position::On);
        }
        world.crash_and_restart();
        world.run(secs(3600));
        assert_eq!(world.sets, 0, "found {found:?}: {:?}", world.told());
        assert!(world.was_told("blind"));
    }
}

#[test]
fn r04_a_stale_memory_takes_nobody_from_the_standby_while_home_is_dark() {
    for home in [Home::Silent, Home::Serving] {
        let mut world = World::new(policy());
        world.run(secs(120));
        let stale = world.disk.clone();
        world.home = Home::Silent;
        assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
        world.disk = stale;
        world.home = home;
        world.crash_and_restart();
        if home == Home::Silent {
            let writes = world.writes.len();
            assert!(
                world.run_until(secs(300), |world| rests(world, Route::Standby)),
                "{:?}",
                world.told()
            );
            assert_eq!(
                world.writes.len(),
                writes,
                "visitors stay where they are: {:?}",
                world.writes
            );
        } else {
            assert!(world.run_until(secs(60), |world| world.position(REDIRECT) == Position::Off));
            assert!(
                world.run_until(secs(1200), |world| rests(world, Route::Origin)),
                "{:?}",
                world.told()
            );
        }
    }
}

/// Found by the fuzz target `state`: the number after it does not fit.
#[test]
fn r04_a_state_file_with_the_last_of_all_episode_numbers_does_not_stop_core() {
    use pilotlight::core::{Action, ClockCheck, Controller, Effect, Event, Eye, Faculties, Failing, Instant, Layout};
    use pilotlight::core::{Mode, Now, Outcome, Phase, Reflection, Snapshot, Stopwatch, Why};

    let snapshot = Snapshot {
        taken: EPOCH,
        phase: Phase::Healthy {
            well: Stopwatch::default(),
        },
        mode: Mode::Auto,
        route: Route::Origin,
        up_for: secs(600),
        since_home: None,
        episode: None,
        next_episode: u64::MAX,
        toggles: Vec::new(),
    };
    let layout = Layout {
        toggles: vec![GATE, REDIRECT],
        edge_eye: false,
    };
    let now = Now {
        at: Instant::ZERO,
        wall: EPOCH,
    };
    let mut core = Controller::new(policy(), layout, Some(&snapshot), 1, now);
    let dark = Outcome::Failed(Failing {
        why: Why::Refused,
        used: Faculties::default(),
    });
    let probed = Event::Probed {
        sent_at: Instant::ZERO,
        scheduled: true,
        outcome: dark,
    };
    let effects = core.handle(probed, now);
    let is_mirror = |effect: &Effect| match effect {
        Effect::Act {
            id,
            action: Action::Look(Eye::Mirror),
        } => Some(*id),
        _ => None,
    };
    let id = effects.iter().find_map(is_mirror).unwrap();
    let reflection = Reflection {
        answered: 2,
        proven: Faculties::ALL,
        clock: ClockCheck::Agrees,
    };
    core.handle(Event::Mirrored { id, reflection }, now);
    assert_eq!(core.status(now).episode.map(|episode| episode.id.0), Some(u64::MAX));
}

/// Found by the model check: a crash leaves the redirect's write on its way, the restart reads it off and rests, and then it comes true.
#[test]
fn r10_a_write_that_a_crash_left_on_its_way_is_looked_for_again() {
    let mut world = healthy();
    world.home = Home::Refusing;
    world.remote(REDIRECT).fates = vec![Fate::Late(secs(20))];
    let begun = world.run_until(secs(300), |world| world.remotes[&REDIRECT].fates.is_empty());
    assert!(begun, "{:?}", world.told());
    world.run(secs(1));
    world.command(Order::Force(Route::Origin), 3600);
    world.crash_and_restart();
    world.edge_works = false;
    world.run(secs(25));
    assert_eq!(world.position(REDIRECT), Position::On, "it came true unasked");
    world.run(secs(10));
    assert_eq!(world.position(REDIRECT), Position::Off, "{:?}", world.told());
    assert!(!world.was_told("drifted"), "nobody else did it");
}

/// Whether the gate was told to open, and not to shut since: only then does patience run.
fn claimed(world: &World) -> bool {
    let records = world.controller.snapshot(world.clock()).toggles;
    let mut gates = records.iter().filter(|record| record.key == GATE);
    gates.any(|gate| gate.on_for.is_some_and(|on_for| on_for > secs(0)))
}

/// Found by the model check: another site held the gate open and let go of it just when this one sent its visitors there.
#[test]
fn r06_a_gate_that_only_another_site_holds_open_is_claimed_before_visitors_are_sent() {
    let mut policy = policy();
    policy.down_for = secs(2);
    let mut world = World::new(policy);
    world.meddle(GATE, Position::On);
    world.remote(GATE).held = true;
    world.run(secs(400));
    world.remote(GATE).fates = vec![Fate::LostReply];
    assert!(world.run_until(secs(400), |world| world.remotes[&GATE].fates.is_empty()));
    assert!(!claimed(&world), "not yet");
    world.home = Home::Refusing;
    assert!(world.run_until(secs(120), |world| world.position(REDIRECT) == Position::On));
    assert!(claimed(&world), "{:?}", world.told());
}

/// Found by the model check: a redirect adopted by a visitor's sight, never read on, left no trace to count the drain from.
#[test]
fn r06_a_redirect_that_was_only_seen_on_is_drained_too() {
    let mut world = failed_over(Home::Refusing);
    world.run(secs(3600));
    world.forget_disk();
    world.remote(REDIRECT).fates = vec![Fate::LostReply];
    world.crash_and_restart();
    world.run(secs(5));
    assert!(world.was_told("adopted"));
    world.command(Order::Force(Route::Origin), 7200);
    assert!(world.run_until(secs(1200), |world| world.position(GATE) == Position::Off));
    assert_eq!(world.violations, Vec::<String>::new());
}

/// Home is forced and given back at once, and a crash takes the off that was on its way: the restart finds the redirect on and leaves it so.
#[test]
fn r04_a_way_home_that_was_taken_back_before_a_crash_takes_nobody_from_the_standby() {
    let mut world = healthy();
    world.home = Home::Silent;
    assert!(world.run_until(secs(300), |world| world.position(REDIRECT) == Position::On));
    world.run(secs(30));
    world.remote(REDIRECT).fate = Fate::Fails(Failure::new(FailureKind::NoAnswer));
    world.command(Order::Force(Route::Origin), 3600);
    world.command(Order::Resume, 3600);
    world.crash_and_restart();
    world.remote(REDIRECT).fate = Fate::Done;
    let moves = world.writes.len();
    world.run(secs(300));
    assert_eq!(world.position(REDIRECT), Position::On);
    assert_eq!(world.writes.len(), moves, "nobody was moved");
    assert_eq!(world.violations, Vec::<String>::new());
}

/// Found by the shell's lives: the disk took nothing during a failover, so after a crash the gate was shut on the intent from before, while
/// the redirect could not be read. Once that intent had come to rest, and once its write was still on its way.
#[test]
fn r06_an_intent_older_than_the_failover_shuts_no_gate_before_the_redirect_was_off_for_a_drain() {
    for at_rest in [true, false] {
        let mut world = healthy();
        if !at_rest {
            world.home = Home::Refusing;
            world.run(secs(20));
            world.home = Home::Serving;
            world.run(secs(570));
            world.remote(GATE).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
            let shutting = |world: &World| {
                let mut records = world.disk.iter().flat_map(|snapshot| &snapshot.toggles);
                records.any(|record| record.key == GATE && record.desired == Position::Off && !record.settled)
            };
            assert!(world.run_until(secs(60), shutting));
        }
        world.disk_fares = DiskFares::Fails;
        world.remote(GATE).fate = Fate::Done;
        world.home = Home::Silent;
        assert!(world.run_until(secs(600), |world| rests(world, Route::Standby)));
        world.home = Home::Serving;
        world.remote(REDIRECT).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
        world.crash_and_restart();
        assert_eq!(world.controller.status(world.clock()).route, Route::Origin);
        world.run(secs(400));
        assert_eq!(world.position(GATE), Position::On, "{:?}", world.told());
        world.remote(REDIRECT).fate = Fate::Done;
        assert!(world.run_until(secs(1800), |world| world.position(GATE) == Position::Off));
        let off_at = world.written_at(REDIRECT, Position::Off).unwrap();
        assert!(world.now.since(off_at) >= policy().drain, "{:?}", world.writes);
        assert_eq!(world.violations, Vec::<String>::new());
    }
}
