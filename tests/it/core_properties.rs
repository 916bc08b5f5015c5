//! Random operations against the model world: order is kept after each step, and a calm world converges.

use std::time::Duration;

use pilotlight::core::{Breakage, Failure, FailureKind, Order, Position, Route, ToggleKey};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::support::model::{CLEAR, DARK, Fate, GATE, Home, REDIRECT, SILENCE, Standby, World, policy, rests, secs};

/// One thing that happens to the world.
#[derive(Clone, Debug)]
enum Op {
    Run(Duration),
    Home(Home),
    Standby(Standby),
    Mirror(bool),
    Edge(bool),
    Blocks(bool),
    Propagation(u64),
    Fate(ToggleKey, Fate),
    Crash,
    Command(Order, u64),
    Meddle(ToggleKey, Position),
    JumpWall(i64),
}

fn toggle() -> impl Strategy<Value = ToggleKey> {
    prop_oneof![Just(GATE), Just(REDIRECT), Just(SILENCE)]
}

fn position() -> impl Strategy<Value = Position> {
    prop_oneof![Just(Position::Off), Just(Position::On)]
}

fn fate() -> impl Strategy<Value = Fate> {
    let kinds = prop::sample::select(FailureKind::ALL.to_vec());
    prop_oneof![
        3 => kinds.prop_map(|kind| Fate::Fails(Failure::new(kind))),
        1 => (1..300_u64).prop_map(|wait| Fate::Fails(Failure { kind: FailureKind::Limited, retry_after: Some(secs(wait)) })),
        2 => Just(Fate::LostReply),
        2 => (1..60_u64).prop_map(|after| Fate::Late(secs(after))),
    ]
}

fn home() -> impl Strategy<Value = Home> {
    prop_oneof![
        4 => Just(Home::Serving),
        3 => Just(Home::Silent),
        3 => Just(Home::Refusing),
        1 => Just(Home::EdgeLost),
        1 => Just(Home::OwnPathBroken),
        1 => Just(Home::AppBroken),
        1 => Just(Home::BadCertificate),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        1 => Just(Order::Force(Route::Standby)),
        1 => Just(Order::Force(Route::Origin)),
        1 => Just(Order::Pause),
        2 => Just(Order::Resume),
    ]
}

/// What pilotlight itself and its providers may do; no foreign writer.
fn lawful() -> impl Strategy<Value = Op> {
    let standby = prop_oneof![
        3 => Just(Standby::Serving),
        1 => Just(Standby::Broken(Breakage::Status(503))),
        1 => Just(Standby::Broken(Breakage::Certificate)),
        1 => Just(Standby::Overloaded),
    ];
    prop_oneof![
        10 => (100..120_000_u64).prop_map(|millis| Op::Run(Duration::from_millis(millis))),
        3 => (100..1500_u64).prop_map(|span| Op::Run(secs(span))),
        6 => home().prop_map(Op::Home),
        1 => standby.prop_map(Op::Standby),
        2 => any::<bool>().prop_map(Op::Mirror),
        1 => any::<bool>().prop_map(Op::Edge),
        1 => any::<bool>().prop_map(Op::Blocks),
        4 => (toggle(), fate()).prop_map(|(key, fate)| Op::Fate(key, fate)),
        2 => Just(Op::Crash),
        2 => (order(), 60..7200_u64).prop_map(|(order, span)| Op::Command(order, span)),
        1 => (-7200..7200_i64).prop_map(Op::JumpWall),
    ]
}

fn anything() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => lawful(),
        2 => (toggle(), position()).prop_map(|(key, position)| Op::Meddle(key, position)),
        1 => (0..400_u64).prop_map(Op::Propagation),
    ]
}

fn happen(world: &mut World, op: &Op) {
    match *op {
        Op::Run(span) => world.run(span),
        Op::Home(home) => world.home = home,
        Op::Standby(standby) => world.standby = standby,
        Op::Mirror(clear) => world.mirror = if clear { CLEAR } else { DARK },
        Op::Edge(works) => world.edge_works = works,
        Op::Blocks(blocks) => world.edge_blocks = blocks,
        Op::Propagation(span) => world.propagation = secs(span),
        Op::Fate(key, fate) => world.remote(key).fates.push(fate),
        Op::Crash => world.crash_and_restart(),
        Op::Command(order, span) => world.command(order, span),
        Op::Meddle(key, position) => world.meddle(key, position),
        Op::JumpWall(by) => world.jump_wall(by),
    }
}

fn calm(world: &mut World, home: Home) {
    world.command(Order::Resume, 0);
    world.home = home;
    world.standby = Standby::Serving;
    world.mirror = CLEAR;
    world.edge_works = true;
    world.edge_blocks = false;
    world.propagation = secs(60);
    for key in [GATE, REDIRECT, SILENCE] {
        world.remote(key).fates.clear();
    }
}

/// What may be told once on each leg of an episode.
const ONCE_ON_A_LEG: [&str; 10] = [
    "failover_started",
    "failed_over",
    "recovering",
    "relapsed",
    "failback_started",
    "back_home",
    "rolled_back",
    "partly_switched",
    "unverified",
    "redirect_loop",
];

/// The same 800 lives at each run, so that a red run is red again. To hunt further:
/// `PROPTEST_RNG_SEED=7 PROPTEST_CASES=5000 cargo test --test it core_properties`; what that finds is kept below as a named test.
fn config() -> ProptestConfig {
    let given = ProptestConfig::default();
    let hunting = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig {
        cases: if hunting { given.cases } else { 800 },
        rng_seed: match given.rng_seed {
            RngSeed::Random => RngSeed::Fixed(2020),
            chosen @ RngSeed::Fixed(_) => chosen,
        },
        failure_persistence: None,
        ..given
    }
}

proptest! {
    #![proptest_config(config())]

    /// Visitors never meet a shut gate while patience lasts, never two operations in flight on one toggle,
    /// the gate is never shut before the drain.
    #[test]
    fn order_is_kept_whatever_the_providers_do(ops in prop::collection::vec(lawful(), 1..60)) {
        let mut world = World::new(policy());
        for op in &ops {
            happen(&mut world, op);
            prop_assert!(world.violations.is_empty(), "{:?}\nwrites {:?}\ntold {:?}", world.violations, world.writes, world.told());
        }
    }

    #[test]
    fn a_calm_world_converges_home(ops in prop::collection::vec(anything(), 1..60)) {
        let mut world = World::new(policy());
        for op in &ops {
            happen(&mut world, op);
        }
        calm(&mut world, Home::Serving);
        let home = world.run_until(secs(30 * 3600), |world| rests(world, Route::Origin));
        prop_assert!(home, "{:#?}", world.controller.status(world.clock()));
        world.run(secs(7200));
        let (sets, told) = (world.sets, world.notices.len());
        world.run(secs(3 * 3600));
        prop_assert_eq!(world.sets, sets, "nothing is set when nothing differs");
        prop_assert_eq!(world.notices.len(), told, "a calm world is silent: {:?}", world.told());
        for key in [GATE, REDIRECT, SILENCE] {
            prop_assert_eq!(world.position(key), Position::Off);
        }
    }

    #[test]
    fn a_world_without_home_converges_at_the_standby(ops in prop::collection::vec(anything(), 1..60)) {
        let mut world = World::new(policy());
        for op in &ops {
            happen(&mut world, op);
        }
        calm(&mut world, Home::Silent);
        world.run(secs(3600));
        let out = world.run_until(secs(2 * 3600), |world| rests(world, Route::Standby));
        prop_assert!(out, "{:#?} told {:?}", world.controller.status(world.clock()), world.told());
        for key in [GATE, REDIRECT, SILENCE] {
            prop_assert_eq!(world.position(key), Position::On);
        }
    }

    #[test]
    fn a_pause_means_zero_writes_whatever_happens(ops in prop::collection::vec(anything(), 1..40)) {
        let mut world = World::new(policy());
        world.run(secs(100));
        world.command(Order::Pause, 1_000_000_000);
        let sets = world.sets;
        for op in ops.iter().filter(|op| !matches!(op, Op::Command(..))) {
            happen(&mut world, op);
        }
        prop_assert_eq!(world.sets, sets);
    }

    #[test]
    fn a_blind_start_writes_nothing(ops in prop::collection::vec(lawful(), 1..40)) {
        let mut world = World::new(policy());
        world.mirror = DARK;
        for op in ops.iter().filter(|op| !matches!(op, Op::Command(..) | Op::Mirror(_))) {
            happen(&mut world, op);
        }
        prop_assert!(world.writes.is_empty() && world.sets == 0, "{:?}", world.writes);
    }

    /// Foreign writers and crashes change neither: never two operations in flight, no write before its intent is saved,
    /// nothing is woken without end.
    #[test]
    fn with_foreign_writers_and_crashes_operations_stay_single_and_intent_comes_first(
        ops in prop::collection::vec(anything(), 1..60)
    ) {
        let mut world = World::new(policy());
        for op in &ops {
            happen(&mut world, op);
        }
        let broken: Vec<_> = world
            .violations
            .iter()
            .filter(|violation| {
                ["in flight", "paused", "intent", "woken"].iter().any(|rule| violation.contains(rule))
            })
            .collect();
        prop_assert!(broken.is_empty(), "{broken:?}");
    }

    #[test]
    fn a_leg_is_told_once(ops in prop::collection::vec(anything(), 1..60)) {
        let mut world = World::new(policy());
        for op in &ops {
            happen(&mut world, op);
        }
        let remembered = world.disk.as_ref().and_then(|disk| disk.episode.as_ref()).map_or(0, |episode| episode.told.len());
        prop_assert!(remembered <= 24, "what was told on legs before is forgotten: {remembered}");
        calm(&mut world, Home::Serving);
        world.run(secs(3600));
        let mut told = std::collections::BTreeSet::new();
        let mut leg = 0;
        for (_, notice) in &world.notices {
            let name = notice.what.name();
            leg += u32::from(matches!(name, "failover_started" | "failback_started"));
            if ONCE_ON_A_LEG.contains(&name) {
                prop_assert!(told.insert((notice.episode, leg, name)), "{name} twice: {:?}", world.told());
            }
        }
    }
}

/// Found by `order_is_kept_whatever_the_providers_do`: a gate shut a moment ago still looks open while it is being opened again.
#[test]
fn r06_what_is_seen_while_the_gate_is_being_moved_proves_nothing() {
    let mut world = World::new(policy());
    world.home = Home::Silent;
    world.run(Duration::from_millis(68_800));
    world.command(Order::Force(Route::Origin), 645);
    world.run(Duration::from_millis(544_110));
    world.remote(GATE).fates.push(Fate::LostReply);
    world.run(Duration::from_millis(100_490));
    world.command(Order::Resume, 60);
    world.run(secs(400));
    assert!(rests(&world, Route::Standby), "{:?}", world.told());
    assert_eq!(world.violations.len(), 0);
}

/// Found by `order_is_kept_whatever_the_providers_do`: the provider refuses to open a gate that was shut a moment ago and still looks open.
#[test]
fn r06_a_gate_that_still_looks_open_while_its_off_spreads_is_not_proven() {
    let mut world = World::new(policy());
    world.edge_blocks = true;
    world.home = Home::OwnPathBroken;
    world.remote(GATE).fates.push(Fate::LostReply);
    world.run(Duration::from_millis(34_100));
    world
        .remote(GATE)
        .fates
        .push(Fate::Fails(Failure::new(FailureKind::NoAnswer)));
    world.home = Home::Serving;
    world.run(Duration::from_millis(584_510));
    let wait = Some(secs(26));
    world.remote(GATE).fates.push(Fate::Fails(Failure {
        kind: FailureKind::Limited,
        retry_after: wait,
    }));
    world.home = Home::OwnPathBroken;
    world.run(secs(400));
    assert!(rests(&world, Route::Standby), "{:?}", world.told());
    assert_eq!(world.violations.len(), 0);
}

/// Found by `order_is_kept_whatever_the_providers_do`: a crash between an off and the next on kept the old patience.
#[test]
fn r07_patience_begins_anew_when_the_gate_was_told_to_shut_before_a_crash() {
    let mut world = World::new(policy());
    world.standby = Standby::Broken(Breakage::Status(503));
    world.home = Home::Silent;
    world.run(secs(608));
    world.command(Order::Force(Route::Origin), 60);
    world.command(Order::Force(Route::Standby), 3600);
    world.crash_and_restart();
    world.run(secs(60));
    world.standby = Standby::Serving;
    world.run(secs(400));
    assert!(rests(&world, Route::Standby), "{:?}", world.told());
    assert_eq!(world.violations.len(), 0);
}

/// Found by `order_is_kept_whatever_the_providers_do`: the old patience counted while the gate was just being told to shut.
#[test]
fn r07_patience_does_not_last_over_an_off_in_flight() {
    let mut world = World::new(policy());
    world.standby = Standby::Broken(Breakage::Status(503));
    world.home = Home::Silent;
    world.run(Duration::from_millis(608_100));
    world.command(Order::Pause, 60);
    world.standby = Standby::Serving;
    world.remote(GATE).fates.push(Fate::LostReply);
    world.command(Order::Force(Route::Origin), 60);
    world.command(Order::Force(Route::Standby), 3600);
    world.run(secs(400));
    assert!(rests(&world, Route::Standby), "{:?}", world.told());
    assert_eq!(world.violations.len(), 0);
}
