//! The real binary and the redirect of kind `worker_route`: the standby stays closed, and nobody waits for a grant.

use std::sync::Arc;

use pilotlight::sandbox::{
    Api, CredentialKind, Crowd, Home, Kinds, RedirectKind, Service, SilenceKind, Visitors, WorkerState, World,
};

use tokio::time::Instant;

use crate::support::daemon::{LIMIT, Lab, eventually};

const KINDS: Kinds = Kinds {
    redirect: RedirectKind::WorkerRoute,
    silence: SilenceKind::Snooze,
    credentials: CredentialKind::KeyFile,
};

fn visitors(world: &Arc<World>) -> Visitors {
    Visitors::start(world, "site", Crowd::default())
}

#[tokio::test]
async fn a_whole_failover_and_return_by_the_worker_opens_nothing_to_the_public() {
    let mut lab = Lab::with_slow_grants("worker-route", KINDS).await;
    let world = lab.world();
    let visitors = visitors(&world);
    let daemon = lab.start();
    daemon.watches().await;
    eventually("a visitor at home", || visitors.tally().home > 0).await;
    let fault = Instant::now();
    world.set_home(Home::Silent);
    eventually("a visitor at the standby", || visitors.tally().standby > 0).await;
    println!(
        "worker_route: {:.2} s from the fault to the first good visitor answer (down_for 1 s, grants arrive after 3600 s)",
        fault.elapsed().as_secs_f64()
    );
    eventually("the proof", || lab.saved("/episode/failed_over", "true")).await;
    assert!(!world.gate().configured);
    assert!(lab.get("/api/v1/status").await.contains("\"verified\""));
    world.set_home(Home::Serving);
    eventually("the episode's end", || lab.saved("/episode", "null")).await;
    assert!(!world.redirect().configured);
    let at_home = visitors.tally().home;
    eventually("visitors at home again", || visitors.tally().home > at_home).await;
    let spans = visitors.stop().await.spans;
    let order: Vec<_> = spans.iter().map(|span| span.service).collect();
    assert_eq!(order.first(), Some(&Service::Home));
    assert_eq!(order.last(), Some(&Service::Home));
    assert!(order.contains(&Service::Standby));
    assert!(daemon.terminate().await.success());
    assert!(!lab.printed().contains("eyJhbGciOi"), "a token was logged");
    let journal = world.journal();
    assert!(
        !journal.iter().any(|call| call.api == Api::Run),
        "nobody asked for the gate"
    );
    let calls = |api| journal.iter().filter(|call| call.api == api).count();
    println!(
        "worker_route: {} calls to Cloudflare and {} for tokens in a whole failover and return",
        calls(Api::Cloudflare),
        calls(Api::Token)
    );
    assert_eq!(
        journal
            .iter()
            .filter(|call| call.api == Api::Cloudflare && call.wrote)
            .count(),
        2
    );
    lab.finish().await;
}

#[tokio::test]
async fn r10_killed_while_failed_over_by_the_worker_visitors_go_on_being_served_and_come_home() {
    let mut lab = Lab::with_slow_grants("worker-route-killed", KINDS).await;
    let world = lab.world();
    let mut daemon = lab.start();
    daemon.watches().await;
    world.set_home(Home::Refusing);
    eventually("the proof", || lab.saved("/episode/failed_over", "true")).await;
    daemon.kill();
    let visitors = visitors(&world);
    eventually("visitors at the standby without pilotlight", || {
        visitors.tally().standby > 10
    })
    .await;
    assert_eq!(visitors.stop().await.lost, 0);
    let daemon = lab.start();
    daemon.watches().await;
    world.set_home(Home::Serving);
    eventually("the episode's end", || lab.saved("/episode", "null")).await;
    assert!(!world.redirect().configured);
    assert!(daemon.terminate().await.success());
    lab.finish().await;
}

#[tokio::test]
async fn a_worker_that_can_get_no_token_is_seen_as_a_broken_standby_and_not_as_a_broken_home() {
    let mut lab = Lab::with_slow_grants("worker-tokenless", KINDS).await;
    let world = lab.world();
    let daemon = lab.start();
    daemon.watches().await;
    world.set_home(Home::Refusing);
    eventually("the proof", || lab.saved("/episode/failed_over", "true")).await;
    world.set_worker(WorkerState::Tokenless);
    let seen = "pilotlight_view{eye=\"visitor\",site=\"site\",view=\"standby_broken\"} 1";
    let look = async {
        while !lab.get("/metrics").await.contains(seen) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, look)
        .await
        .expect("the standby's trouble is seen");
    world.set_worker(WorkerState::Serving);
    world.set_home(Home::Serving);
    eventually("the episode's end", || lab.saved("/episode", "null")).await;
    assert!(daemon.terminate().await.success());
    lab.finish().await;
}
