//! The model world's own test: each planted wrong order is noticed, and without one nothing is.

use pilotlight::core::{Order, Route};

use crate::support::model::{Home, Plant, World, policy, rests, secs};

/// Violations in a whole outage and an hour of pause, with a wrong order planted.
fn violations(plant: Option<Plant>) -> Vec<String> {
    let mut world = World::new(policy());
    world.run(secs(120));
    world.plant = plant;
    world.home = Home::Silent;
    world.run_until(secs(600), |world| rests(world, Route::Standby));
    world.home = Home::Serving;
    world.run(secs(7200));
    world.command(Order::Pause, 3600);
    world.run(secs(3600));
    world.violations
}

#[test]
fn nothing_is_noticed_where_nothing_is_wrong() {
    assert_eq!(violations(None), Vec::<String>::new());
}

#[test]
fn every_planted_wrong_order_is_noticed() {
    for (plant, expected) in [
        (
            Plant::RedirectBeforeProof,
            "redirect told to go on before the gate was open",
        ),
        (Plant::GateBeforeDrain, "gate told to shut"),
        (Plant::GateUnderRedirect, "visitors meet a shut gate"),
        (Plant::GateUnderRedirect, "gate told to shut while the redirect is on"),
        (Plant::Doubled, "two operations in flight"),
        (Plant::WriteWhilePaused, "set while paused"),
        (Plant::WriteBeforeIntent, "before the intent was saved"),
    ] {
        let found = violations(Some(plant));
        assert!(
            found.iter().any(|violation| violation.contains(expected)),
            "{plant:?} wants {expected:?}, found {found:?}"
        );
    }
}
