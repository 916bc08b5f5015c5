//! The budget of calls: what is not sent, and what is told instead.

use std::sync::Arc;
use std::time::Duration;

use pilotlight::core::{FailureKind, Position};
use pilotlight::sandbox::{Api, Fault, FaultKind};
use pilotlight::toggle::{Resources, Toggle};

use super::bench::Bench;

#[tokio::test(flavor = "current_thread")]
async fn r11_the_budget_stops_calls_before_they_are_sent() {
    let bench = Bench::start("budget").await;
    let gate = bench.gate(bench.google());
    for round in 0..6 {
        let position = if round % 2 == 0 { Position::On } else { Position::Off };
        gate.set(position).await.unwrap();
    }
    let error = gate.set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::HeldBack);
    assert!(error.retry_after.is_some_and(|wait| wait <= Duration::from_secs(60)));
    assert_eq!(bench.writes().len(), 6);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_look_that_the_budget_has_no_room_for_is_put_off_and_never_after_a_write_that_may_have_failed() {
    let bench = Bench::start("put-off").await;
    let resources = Resources::new();
    let redirect = Arc::new(bench.single_redirect());
    let redirect = resources.handle("a", redirect, Duration::from_secs(5));
    for _ in 0..50 {
        assert_eq!(redirect.observe().await.unwrap().configured, Some(Position::Off));
    }
    assert_eq!(bench.calls_to(Api::Cloudflare), 40, "what is left is for a switch");
    redirect.set(Position::On).await.unwrap();
    let seen = redirect.observe().await.unwrap();
    assert_eq!((seen.configured, seen.effective), (Some(Position::On), None));
    bench
        .world
        .inject(Fault::once(Api::Cloudflare, FaultKind::LostReply).on_writes());
    redirect.set(Position::Off).await.unwrap_err();
    let error = redirect.observe().await.unwrap_err();
    assert_eq!(
        error.kind,
        FailureKind::HeldBack,
        "nobody knows what became of the write"
    );
    bench.stop().await;
}
