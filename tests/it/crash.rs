//! `kill -9` before and after each step of the switch, both ways: a restart leads to the same end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pilotlight::sandbox::{Api, Home, World};

use crate::support::daemon::{Lab, eventually};

/// Where the daemon dies.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// The intent is on disk: this stands in the state file, at this JSON pointer.
    Saved(&'static str, &'static str),
    /// A write has reached the provider and is not yet applied.
    Sent(Api),
    /// The world has changed.
    Changed(Change),
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Gate(bool),
    Redirect(bool),
    Snooze(bool),
}

fn holds(world: &World, change: Change) -> bool {
    match change {
        Change::Gate(open) => world.gate().configured == open,
        Change::Redirect(on) => world.redirect().configured == on,
        Change::Snooze(on) => world.silence().snoozed_for.is_some() == on,
    }
}

/// Waits for the point and kills the daemon there.
async fn die_at(lab: &Lab, daemon: &mut crate::support::daemon::Daemon, point: Point) {
    let world = lab.world();
    match point {
        Point::Saved(place, value) => eventually("the intent", || lab.saved(place, value)).await,
        Point::Sent(api) => {
            let arrived = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&arrived);
            world.before_next_write(api, move |_| flag.store(true, Ordering::Relaxed));
            eventually("the write", || arrived.load(Ordering::Relaxed)).await;
        }
        Point::Changed(change) => eventually("the change", || holds(&world, change)).await,
    }
    daemon.kill();
}

async fn dies_on_the_way_out(name: &str, point: Point) {
    let mut lab = Lab::new(name).await;
    let others = untouched(&lab.world());
    let mut daemon = lab.start();
    lab.has_looked().await.unwrap();
    lab.world().set_home(Home::Refusing);
    die_at(&lab, &mut daemon, point).await;
    let daemon = lab.start();
    lab.reaches_the_standby().await.unwrap();
    lab.world().set_home(Home::Serving);
    lab.is_home().await.unwrap();
    assert_eq!(untouched(&lab.world()), others, "nothing else has changed");
    assert!(daemon.terminate().await.success());
    lab.finish().await;
}

async fn dies_on_the_way_home(name: &str, point: Point) {
    let mut lab = Lab::new(name).await;
    let mut daemon = lab.start();
    lab.has_looked().await.unwrap();
    lab.world().set_home(Home::Silent);
    lab.reaches_the_standby().await.unwrap();
    lab.world().set_home(Home::Serving);
    die_at(&lab, &mut daemon, point).await;
    let daemon = lab.start();
    lab.is_home().await.unwrap();
    assert!(daemon.terminate().await.success());
    lab.finish().await;
}

/// Everything at the providers that is not ours: the policy without our member, the rules without our flag.
fn untouched(world: &World) -> (serde_json::Value, serde_json::Value) {
    let mut policy = world.policy_json("site");
    policy.as_object_mut().unwrap().remove("etag");
    let mut ruleset = world.ruleset_json();
    for key in ["version", "last_updated"] {
        ruleset.as_object_mut().unwrap().remove(key);
    }
    for rule in ruleset["rules"].as_array_mut().unwrap() {
        for key in ["version", "last_updated"] {
            rule.as_object_mut().unwrap().remove(key);
        }
    }
    (policy, ruleset)
}

macro_rules! crash_points {
    ($($name:ident: $way:ident, $point:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            $way(stringify!($name), $point).await;
        })*
    };
}

crash_points! {
    r10_out_suspicion_saved: dies_on_the_way_out, Point::Saved("/phase/name", "suspect");
    r10_out_gate_write_sent: dies_on_the_way_out, Point::Sent(Api::Run);
    r10_out_gate_open: dies_on_the_way_out, Point::Changed(Change::Gate(true));
    r10_out_decision_saved: dies_on_the_way_out, Point::Saved("/phase/name", "failed_over");
    r10_out_redirect_write_sent: dies_on_the_way_out, Point::Sent(Api::Cloudflare);
    r10_out_redirect_on: dies_on_the_way_out, Point::Changed(Change::Redirect(true));
    r10_out_silence_write_sent: dies_on_the_way_out, Point::Sent(Api::Monitoring);
    r10_out_silence_on: dies_on_the_way_out, Point::Changed(Change::Snooze(true));
    r10_out_proof_saved: dies_on_the_way_out, Point::Saved("/episode/failed_over", "true");
    r10_home_recovery_saved: dies_on_the_way_home, Point::Saved("/phase/name", "recovering");
    r10_home_decision_saved: dies_on_the_way_home, Point::Saved("/route", "origin");
    r10_home_redirect_write_sent: dies_on_the_way_home, Point::Sent(Api::Cloudflare);
    r10_home_redirect_off: dies_on_the_way_home, Point::Changed(Change::Redirect(false));
    r10_home_proof_saved: dies_on_the_way_home, Point::Saved("/episode/home_proven", "true");
    r10_home_silence_off: dies_on_the_way_home, Point::Changed(Change::Snooze(false));
    r10_home_gate_write_sent: dies_on_the_way_home, Point::Sent(Api::Run);
    r10_home_gate_shut: dies_on_the_way_home, Point::Changed(Change::Gate(false));
}
