//! The model world's own test: each invariant can be broken, is then noticed by its name, and without a wrong nothing is.

use pilotlight::core::{
    Action, BrokenStandby, DriftPolicy, Failure, FailureKind, Notice, Order, Policy, Position, Role, Route, ToggleKey,
    Wall, What,
};

use crate::support::model::{
    Fate, GATE, Home, Invariant, Plant, REDIRECT, Standby, World, failed_over, healthy, policy, rests, secs,
};

/// A whole outage and an hour of pause, with a wrong order planted.
fn whole(plant: Option<Plant>) -> World {
    let mut world = healthy();
    world.plant = plant;
    world.home = Home::Silent;
    world.run_until(secs(600), |world| rests(world, Route::Standby));
    world.home = Home::Serving;
    world.run(secs(7200));
    world.command(Order::Pause, 3600);
    world.run(secs(3600));
    world
}

#[test]
fn nothing_is_noticed_where_nothing_is_wrong() {
    assert_eq!(whole(None).violations, Vec::<String>::new());
}

#[test]
fn every_planted_wrong_order_is_noticed() {
    for (plant, expected) in [
        (Plant::RedirectBeforeProof, Invariant::NoVisitorsToShutGate),
        (Plant::GateBeforeDrain, Invariant::GateNotShutUnderRedirect),
        (Plant::GateUnderRedirect, Invariant::NoVisitorsToShutGate),
        (Plant::GateUnderRedirect, Invariant::GateNotShutUnderRedirect),
        (Plant::Doubled, Invariant::OneOperation),
        (Plant::WriteWhilePaused, Invariant::PauseMeansNoWrites),
        (Plant::WriteBeforeIntent, Invariant::IntentFirst),
    ] {
        broken(&whole(Some(plant)), expected);
    }
}

fn broken(world: &World, expected: Invariant) {
    let name = expected.to_string();
    assert!(
        world.violations.iter().any(|violation| violation.starts_with(&name)),
        "{name} is wanted, found {:?}",
        world.violations
    );
}

/// A watcher that goes by other settings than those it is audited for, after an outage and two hours.
fn by_other_settings(watcher: Policy) -> World {
    let mut world = World::new(watcher);
    world.policy = policy();
    world.run(secs(120));
    world.home = Home::Silent;
    world.run(secs(600));
    world.home = Home::Serving;
    world.run(secs(7200));
    world
}

#[test]
fn a_watcher_that_goes_by_other_settings_is_noticed() {
    let hasty = Policy {
        down_for: secs(10),
        ..policy()
    };
    broken(&by_other_settings(hasty), Invariant::HoldBeforeFailover);
    let homesick = Policy {
        healthy_threshold: 2,
        ..policy()
    };
    let mut world = World::new(homesick);
    world.policy.healthy_threshold = 1000;
    world.run(secs(120));
    world.home = Home::Silent;
    world.run(secs(600));
    world.home = Home::Serving;
    world.run(secs(1200));
    broken(&world, Invariant::QuietBeforeHome);
    let stingy = Policy {
        drain: secs(60),
        ..policy()
    };
    broken(&by_other_settings(stingy), Invariant::DrainBeforeShut);
}

#[test]
fn decisions_without_sight_or_too_early_are_noticed() {
    let mut world = healthy();
    world.plant = Some(Plant::LyingMirror);
    world.policy.references_again = secs(1);
    world.controller = World::new(Policy {
        down_for: secs(120),
        ..policy()
    })
    .controller;
    world.cut_off = true;
    world.run(secs(900));
    broken(&world, Invariant::BlindDecidesNothing);

    let mut world = healthy();
    world.home = Home::Silent;
    world.run(secs(20));
    world.audit.started = world.now;
    world.run(secs(60));
    broken(&world, Invariant::WindowBeforeDecision);

    let mut world = healthy();
    world.crash_and_restart();
    world.run(secs(2));
    world.start_wrongly(Action::Set(REDIRECT, Position::On));
    broken(&world, Invariant::StartMovesNobody);

    let mut world = World::new(Policy {
        down_for: secs(31),
        ..policy()
    });
    world.policy = policy();
    world.run(secs(120));
    assert_eq!(world.violations, Vec::<String>::new());
    world.reload(policy());
    broken(&world, Invariant::ReloadChangesNothing);

    let mut world = healthy();
    world.home = Home::Refusing;
    world.run(secs(20));
    world.start_wrongly(Action::Set(GATE, Position::Off));
    broken(&world, Invariant::OpenedGateStaysOpen);
}

#[test]
fn a_home_that_is_not_proven_and_a_broken_standby_are_noticed() {
    let mut world = failed_over(Home::Silent);
    world.start_wrongly(Action::Set(REDIRECT, Position::Off));
    world.run(secs(1));
    let numb = Policy {
        unhealthy_threshold: 1_000_000,
        ..policy()
    };
    world.controller = World::new(numb).controller;
    world.run(secs(600));
    broken(&world, Invariant::HomeProvenOrBack);

    let mut world = World::new(Policy {
        broken_standby: BrokenStandby::Switch,
        ..policy()
    });
    world.policy.broken_standby = BrokenStandby::Hold;
    world.standby = Standby::Broken(pilotlight::core::Breakage::Status(503));
    world.run(secs(120));
    world.home = Home::Silent;
    world.run(secs(900));
    broken(&world, Invariant::BrokenStandbyHeldBack);
}

#[test]
fn calls_that_nobody_needs_or_wants_are_noticed() {
    let mut world = healthy();
    world.start_wrongly(Action::Set(GATE, Position::Off));
    world.run(secs(1));
    world.start_wrongly(Action::Set(GATE, Position::Off));
    broken(&world, Invariant::NothingWithoutDifference);

    let mut world = healthy();
    world.metered = true;
    world.plant = Some(Plant::NoBudget);
    for _ in 0..90 {
        world.start_wrongly(Action::Observe(GATE));
        world.run(secs(1));
    }
    broken(&world, Invariant::BudgetKept);

    let mut world = failed_over(Home::Silent);
    world.remote(GATE).fates.push(Fate::Fails(Failure {
        kind: FailureKind::Limited,
        retry_after: Some(secs(300)),
    }));
    world.start_wrongly(Action::Observe(GATE));
    world.run(secs(1));
    world.start_wrongly(Action::Observe(GATE));
    broken(&world, Invariant::WaitRespected);
}

#[test]
fn what_never_happens_is_noticed() {
    let mut world = healthy();
    world.announced = true;
    world.remote(REDIRECT).fate = Fate::Fails(Failure::new(FailureKind::Unavailable));
    world.home = Home::Silent;
    world.run(secs(200));
    (world.plant, world.probes_run) = (Some(Plant::Deaf), false);
    for _ in 0..30 {
        world.run(secs(60));
    }
    broken(&world, Invariant::NeverGivesUp);

    let mut world = World::new(Policy {
        unhealthy_threshold: 1_000_000,
        ..policy()
    });
    world.policy.unhealthy_threshold = 3;
    world.announced = true;
    world.run(secs(120));
    world.home = Home::Silent;
    world.disturb();
    world.run(secs(3600));
    broken(&world, Invariant::DeadHomeMeansStandby);

    let mut world = healthy();
    world.announced = true;
    world.propagation = secs(1800);
    world.home = Home::Silent;
    assert!(world.run_until(secs(600), |world| world.phase() == "failed_over"));
    (world.plant, world.probes_run) = (Some(Plant::Deaf), false);
    world.start_wrongly(Action::Set(REDIRECT, Position::On));
    for _ in 0..10 {
        world.run(secs(60));
    }
    broken(&world, Invariant::RefusalTold);

    let mut world = World::new(Policy {
        drift: DriftPolicy::Report,
        ..policy()
    });
    world.policy.drift = DriftPolicy::Repair;
    world.announced = true;
    world.run(secs(120));
    world.meddle(GATE, Position::On);
    world.run(secs(6 * 3600));
    broken(&world, Invariant::CalmConverges);

    let mut world = healthy();
    for _ in 0..5 {
        world.wake();
    }
    broken(&world, Invariant::NeverSpins);
}

#[test]
fn what_is_told_wrongly_is_noticed() {
    let notice = |what| Notice {
        what,
        episode: None,
        wall: Wall(0),
    };
    let toggle = ToggleKey {
        role: Role::Silence,
        index: 0,
    };
    let mut world = healthy();
    world.hear(notice(What::FailedOver { after: secs(1) }));
    world.hear(notice(What::FailedOver { after: secs(1) }));
    broken(&world, Invariant::EdgeToldOnce);
    world.hear(notice(What::Unstuck { toggle }));
    broken(&world, Invariant::NothingUnsaidTakenBack);
    for _ in 0..5 {
        world.hear(notice(What::Drifted {
            toggle,
            found: Position::On,
            repaired: true,
        }));
    }
    broken(&world, Invariant::RepairsLimited);
    world.glimpse.route = Route::Standby;
    world.command(Order::Pause, 60);
    broken(&world, Invariant::EdgeTold);
}
