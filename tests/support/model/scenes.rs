//! Where many a test begins.

use pilotlight::core::{Policy, Route};

use super::{Home, World, policy, rests, secs};

/// Home serves, and has been seen for long enough to decide.
pub fn healthy() -> World {
    healthy_with(policy())
}

/// The same under another policy.
pub fn healthy_with(policy: Policy) -> World {
    let mut world = World::new(policy);
    world.run(secs(120));
    assert_eq!(world.phase(), "healthy");
    world
}

/// Home is as told, and visitors are proven to be at the standby.
pub fn failed_over(home: Home) -> World {
    failed_over_with(policy(), home)
}

/// The same under another policy.
pub fn failed_over_with(policy: Policy, home: Home) -> World {
    let mut world = healthy_with(policy);
    world.home = home;
    assert!(world.run_until(secs(400), |world| rests(world, Route::Standby)));
    world
}
