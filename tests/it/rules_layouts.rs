//! Sites with other sets of toggles: without gate, redirect or silence, or with several silences.

use pilotlight::core::status::Switched;
use pilotlight::core::{Layout, Position, Route, ToggleKey};

use crate::support::model::{GATE, Home, REDIRECT, SILENCE, Standby, World, policy, rests, secs};

fn whole_outage(toggles: &[ToggleKey]) {
    let layout = Layout {
        toggles: toggles.to_vec(),
        edge_eye: false,
    };
    let mut world = World::with(policy(), layout);
    world.run(secs(120));
    world.home = Home::Silent;
    assert!(
        world.run_until(secs(300), |world| rests(world, Route::Standby)),
        "{toggles:?}: {:#?}",
        world.controller.status(world.clock())
    );
    assert!(toggles.iter().all(|key| world.position(*key) == Position::On));
    world.home = Home::Serving;
    assert!(
        world.run_until(secs(3600), |world| rests(world, Route::Origin)),
        "{toggles:?}: {:#?}",
        world.controller.status(world.clock())
    );
    assert!(toggles.iter().all(|key| world.position(*key) == Position::Off));
    assert!(world.was_told("episode_over"), "{toggles:?}: {:?}", world.told());
    assert_eq!(world.violations, Vec::<String>::new(), "{toggles:?}");
    world.run(secs(7200));
    let (sets, told) = (world.sets, world.notices.len());
    world.run(secs(7200));
    assert_eq!((world.sets, world.notices.len()), (sets, told), "{toggles:?}");
}

#[test]
fn sites_without_some_toggles_or_with_several_silences_go_out_and_home_too() {
    let second = ToggleKey { index: 1, ..SILENCE };
    whole_outage(&[GATE, REDIRECT]);
    whole_outage(&[REDIRECT]);
    whole_outage(&[REDIRECT, SILENCE]);
    whole_outage(&[GATE]);
    whole_outage(&[GATE, SILENCE]);
    whole_outage(&[GATE, REDIRECT, SILENCE, second]);
}

#[test]
fn r06_without_a_redirect_the_gate_stays_open_for_a_drain_too() {
    let layout = Layout {
        toggles: vec![GATE],
        edge_eye: false,
    };
    let mut world = World::with(policy(), layout);
    world.run(secs(120));
    world.home = Home::Silent;
    assert!(world.run_until(secs(300), |world| rests(world, Route::Standby)));
    world.run(secs(3600));
    world.home = Home::Serving;
    assert!(world.run_until(secs(3600), |world| world.was_told("failback_started")));
    let decided = world.now;
    assert!(world.run_until(secs(3600), |world| world.position(GATE) == Position::Off));
    assert!(world.now.since(decided) >= policy().drain);
}

#[test]
fn r06_without_a_gate_the_redirect_is_on_within_a_second_of_the_decision() {
    let layout = Layout {
        toggles: vec![REDIRECT],
        edge_eye: false,
    };
    let mut world = World::with(policy(), layout);
    world.run(secs(120));
    world.home = Home::Silent;
    assert!(world.run_until(secs(300), |world| world.was_told("failover_started")));
    let decided = world.now;
    assert!(world.run_until(secs(300), |world| world.position(REDIRECT) == Position::On));
    let waited = world.now.since(decided);
    println!("without a gate: the redirect is on {waited:?} after the decision");
    assert!(waited <= secs(1), "{waited:?}");
}

#[test]
fn r07_without_a_gate_the_standby_is_proven_before_the_redirect() {
    let layout = Layout {
        toggles: vec![REDIRECT],
        edge_eye: false,
    };
    let mut world = World::with(policy(), layout);
    world.standby = Standby::Overloaded;
    world.run(secs(120));
    world.home = Home::Silent;
    assert!(world.run_until(secs(60), |world| world.was_told("failover_started")));
    let decided = world.now;
    assert!(world.run_until(secs(300), |world| world.position(REDIRECT) == Position::On));
    assert!(world.now.since(decided) + secs(1) >= policy().gate_patience);
    assert_ne!(world.controller.status(world.clock()).switched, Switched::Verified);
}
