//! The modes of the gate against the sandbox: the invoker check, and the service that its owner keeps open.

use std::time::Duration;

use pilotlight::core::{FailureKind, Position};
use pilotlight::sandbox::{Api, Fault, FaultKind, OrgPolicy};
use pilotlight::toggle::{Resources, Toggle};
use serde_json::{Value, json};

use super::bench::{Bench, SITE};

#[tokio::test(flavor = "current_thread")]
async fn the_invoker_check_opens_where_all_users_are_forbidden() {
    let bench = Bench::start("invoker-check").await;
    bench.world.set_org_policy(OrgPolicy::DomainRestricted);
    let policy = bench.world.policy_json(SITE);
    let error = bench.gate(bench.google()).set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Refused);
    assert!(error.detail.contains("gate.mode = \"invoker_check\""), "{error}");
    let gate = bench.invoker_check();
    bench.world.clear_journal();
    assert_eq!(gate.set(Position::On).await.unwrap().configured, Some(Position::On));
    assert!(bench.world.gate().effective);
    let calls = bench.world.journal();
    assert_eq!(calls.len(), 4, "a read, the write, and two looks at its operation");
    assert_eq!(gate.set(Position::Off).await.unwrap().configured, Some(Position::Off));
    assert!(!bench.world.gate().configured);
    assert_eq!(bench.world.policy_json(SITE), policy, "the policy is not touched");
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_pinned_revision_and_a_required_check_are_refusals_that_say_what_to_do() {
    let bench = Bench::start("pinned").await;
    let gate = bench.invoker_check();
    bench.world.set_org_policy(OrgPolicy::RequireInvokerIam);
    let error = gate.set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Refused);
    assert!(error.detail.contains("gate.mode = \"iam\""), "{error}");
    bench.world.set_org_policy(OrgPolicy::Free);
    bench
        .world
        .set_service_field(SITE, "/template/revision", json!("standby-7"));
    bench.world.clear_journal();
    let error = gate.set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Refused);
    assert!(error.detail.contains("pins a revision's name"), "{error}");
    assert_eq!(bench.world.journal().len(), 2, "read and refused, not tried again");
    assert!(!bench.world.gate().configured);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn r09_a_service_that_changes_between_read_and_write_is_read_again() {
    let bench = Bench::start("service-etag").await;
    bench.world.before_next_write(Api::Run, |world| {
        world.set_policy_json(SITE, &world.policy_json(SITE));
        world.set_service_field(SITE, "/scaling/maxInstanceCount", json!(7));
    });
    bench.world.clear_journal();
    let gate = bench.invoker_check();
    assert_eq!(gate.set(Position::On).await.unwrap().configured, Some(Position::On));
    let statuses: Vec<u16> = bench.world.journal().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [200, 409, 200, 200, 200, 200]);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_operation_that_fails_is_a_typed_error_and_the_next_set_tries_again() {
    let bench = Bench::start("operation-fails").await;
    let gate = bench.invoker_check();
    bench.world.fail_next_operation(14, "try later");
    let error = gate.set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unavailable);
    assert!(error.detail.contains("try later"), "{error}");
    assert_eq!(gate.observe().await.unwrap().configured, Some(Position::Off));
    assert_eq!(gate.set(Position::On).await.unwrap().configured, Some(Position::On));
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_operation_that_cannot_be_followed_is_read_from_the_service() {
    let bench = Bench::start("operation-unseen").await;
    let rights = bench.world.rights();
    let without = rights.iter().map(String::as_str);
    bench
        .world
        .set_rights(without.filter(|right| *right != "run.operations.get"));
    let gate = bench.invoker_check();
    assert_eq!(gate.set(Position::On).await.unwrap().configured, Some(Position::On));
    let statuses: Vec<u16> = bench.world.journal().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [200, 200, 403, 200]);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_operation_without_end_is_given_up_at_the_deadline_and_found_done_later() {
    let bench = Bench::start("operation-endless").await;
    bench.world.set_polls_until_done(1000);
    let resources = Resources::new();
    let toggle = std::sync::Arc::new(bench.invoker_check());
    let gate = resources.handle(SITE, toggle, Duration::from_millis(500));
    let error = gate.set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::NoAnswer);
    assert_eq!(gate.set(Position::On).await.unwrap().configured, Some(Position::On));
    assert_eq!(bench.writes().len(), 1);
    bench.stop().await;
}

/// Open by the policy, as its owner left it.
fn open_by_policy(bench: &Bench) {
    let mut policy = bench.world.policy_json(SITE);
    let grant = json!({"role": "roles/run.invoker", "members": ["allUsers"]});
    policy["bindings"].as_array_mut().unwrap().push(grant);
    bench.world.set_policy_json(SITE, &policy);
}

#[tokio::test(flavor = "current_thread")]
async fn a_gate_that_its_owner_keeps_open_is_looked_at_and_never_written() {
    let bench = Bench::start("open-gate").await;
    let gate = bench.open_gate();
    for position in [Position::On, Position::Off] {
        let error = gate.set(position).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::NotApplied);
        assert!(error.detail.contains("mode = \"invoker_check\""), "{error}");
    }
    assert_eq!(gate.observe().await.unwrap_err().kind, FailureKind::NotApplied);
    let policy = bench.world.policy_json(SITE);
    open_by_policy(&bench);
    for position in [Position::On, Position::Off] {
        let observed = gate.set(position).await.unwrap();
        assert_eq!(
            (observed.configured, observed.held_by_other),
            (Some(Position::On), true)
        );
    }
    bench.world.set_policy_json(SITE, &policy);
    assert_eq!(gate.observe().await.unwrap_err().kind, FailureKind::NotApplied);
    bench
        .world
        .set_service_field(SITE, "/invokerIamDisabled", Value::Bool(true));
    let observed = gate.observe().await.unwrap();
    assert_eq!(
        (observed.configured, observed.effective),
        (Some(Position::On), Some(Position::On))
    );
    assert_eq!(bench.writes(), []);
    bench
        .world
        .inject(Fault::always(Api::Run, FaultKind::OkHtml).on_reads());
    assert_eq!(gate.observe().await.unwrap_err().kind, FailureKind::Nonsense);
    bench.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn what_the_owner_keeps_open_stays_so_in_memory_when_the_calls_are_spent() {
    let bench = Bench::start("open-gate-spent").await;
    open_by_policy(&bench);
    let resources = Resources::new();
    let gate = resources.handle(SITE, std::sync::Arc::new(bench.open_gate()), Duration::from_secs(15));
    for _ in 0..25 {
        let observed = gate.observe().await.unwrap();
        assert_eq!(
            (observed.configured, observed.held_by_other),
            (Some(Position::On), true)
        );
    }
    assert_eq!(bench.calls_to(Api::Run), 40, "then the record is told again");
    bench.stop().await;
}
