//! The real binary and the modes of the gate: the invoker check, and a service that its owner keeps open.

use pilotlight::sandbox::{Api, Home, OrgPolicy};
use serde_json::{Value, json};

use crate::support::daemon::{Lab, eventually};

#[tokio::test]
async fn a_whole_failover_and_return_by_the_invoker_check_where_all_users_are_forbidden() {
    let mut lab = Lab::new("invoker-check").await;
    lab.lay_over("mode.toml", "[site.site.gate]\nmode = \"invoker_check\"\n");
    let world = lab.world();
    world.set_org_policy(OrgPolicy::DomainRestricted);
    let policy = world.policy_json("site");
    let daemon = lab.start();
    daemon.watches().await;
    world.set_home(Home::Silent);
    lab.reaches_the_standby().await.unwrap();
    world.set_home(Home::Serving);
    lab.is_home().await.unwrap();
    assert_eq!(world.policy_json("site"), policy, "the policy is not touched");
    assert!(daemon.terminate().await.success());
    let journal = world.journal();
    let writes = journal
        .iter()
        .filter(|call| call.api == Api::Run && call.changed)
        .count();
    assert_eq!(writes, 2, "opened once and shut once");
    lab.finish().await;
}

#[tokio::test]
async fn a_whole_failover_and_return_with_a_gate_that_its_owner_keeps_open_writes_nothing_to_it() {
    let mut lab = Lab::new("open-gate").await;
    lab.lay_over("mode.toml", "[site.site.gate]\nmode = \"open\"\n");
    let world = lab.world();
    world.set_service_field("site", "/invokerIamDisabled", json!(true));
    let daemon = lab.start();
    daemon.watches().await;
    world.set_home(Home::Silent);
    lab.reaches_the_standby().await.unwrap();
    world.set_home(Home::Serving);
    eventually("the episode's end", || lab.saved("/episode", "null")).await;
    assert!(!world.redirect().configured);
    assert!(world.gate().configured, "it is the owner's");
    assert!(daemon.terminate().await.success());
    let journal = world.journal();
    assert!(!journal.iter().any(|call| call.api == Api::Run && call.wrote));
    let told: Vec<Value> = world
        .notices()
        .iter()
        .filter_map(|notice| serde_json::from_str(&notice.body).ok())
        .collect();
    assert!(!told.is_empty());
    let of_gate = |notice: &&Value| {
        ["orphan", "drift", "leak", "stuck"]
            .iter()
            .any(|word| notice["type"].as_str().is_some_and(|kind| kind.contains(word)))
    };
    assert_eq!(told.iter().find(of_gate), None, "an open gate is no trouble here");
    lab.finish().await;
}
