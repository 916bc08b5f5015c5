//! Thousands of generated provider objects in, exactly our difference out.

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use pilotlight::core::{FailureKind, Position, View};
use pilotlight::toggle::Toggle;
use pilotlight::toggle::iam_policy::Policy;
use serde_json::{Value, json};

use super::provider::{Asked, Provider, Say};
use super::support::*;
use crate::support::foreign::ruleset::{Due, due, with_ours};
use crate::support::foreign::{bytes, policy, ruleset};

const BOTH: [Position; 2] = [Position::On, Position::Off];

/// The seed's object.
fn made(seed: u64, make: fn(&mut Unstructured<'_>) -> arbitrary::Result<Value>) -> Value {
    make(&mut Unstructured::new(&bytes(seed, 512))).unwrap()
}

#[test]
fn r09_ten_thousand_policies_in_and_exactly_one_members_difference_out() {
    let mut met: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..10_000 {
        let before = made(seed, policy::policy);
        let parsed = Policy::parse(before.clone());
        assert_eq!(parsed.is_ok(), policy::may_be_edited(&before), "seed {seed}: {before}");
        let Ok(parsed) = parsed else {
            *met.entry("refused").or_default() += 1;
            continue;
        };
        for wanted in BOTH {
            let open = wanted == Position::On;
            let Some(after) = parsed.moved_to(wanted) else {
                assert_eq!(policy::is_open(&before), open, "seed {seed}: {before}");
                *met.entry("nothing to do").or_default() += 1;
                continue;
            };
            let after = after.into_json();
            let difference = policy::one_members_difference(&before, &after, open);
            assert_eq!(difference, Ok(()), "seed {seed}: {before} becomes {after}");
            assert_eq!(policy::is_open(&after), open, "seed {seed}: {after}");
            assert!(Policy::parse(after).is_ok(), "seed {seed}");
            *met.entry(if open { "opened" } else { "shut" }).or_default() += 1;
        }
    }
    println!("10000 policies: {met:?}");
    assert!(met.len() == 4 && met.values().all(|count| *count >= 500), "{met:?}");
}

#[test]
fn the_check_of_policies_sees_every_wrong_change() {
    let ours = |members: Value| json!({"role": policy::ROLE, "members": members});
    let theirs = json!({"role": "roles/viewer", "members": ["user:a@example.com"]});
    let of = |bindings: Value| json!({"etag": "E", "version": 1, "bindings": bindings, "more": 1});
    let before = of(json!([theirs, ours(json!(["user:b@example.com"]))]));
    let good = of(json!([theirs, ours(json!(["user:b@example.com", "allUsers"]))]));
    assert_eq!(policy::one_members_difference(&before, &good, true), Ok(()));
    assert_eq!(policy::one_members_difference(&good, &before, false), Ok(()));
    let both = ours(json!(["user:b@example.com", "allUsers"]));
    let mut without_etag = good.clone();
    without_etag.as_object_mut().unwrap().remove("etag");
    let wrong = [
        before.clone(),
        without_etag,
        of(json!([both])),
        of(json!([both, theirs.clone(), theirs])),
        of(json!([theirs, ours(json!(["allUsers"]))])),
        of(json!([
            theirs,
            ours(json!(["user:b@example.com", "allUsers", "allUsers"]))
        ])),
        of(json!([theirs, both, ours(json!([]))])),
        of(
            json!([{"role": "roles/viewer", "members": ["user:a@example.com", "allUsers"]}, ours(json!(["user:b@example.com"]))]),
        ),
        of(json!([theirs, {"role": policy::ROLE, "members": ["user:b@example.com", "allUsers"], "x": 1}])),
    ];
    for after in wrong {
        assert!(
            policy::one_members_difference(&before, &after, true).is_err(),
            "{after}"
        );
    }
}

#[tokio::test(flavor = "current_thread")]
async fn r09_generated_policies_through_the_gate_and_no_write_but_the_one() {
    let provider = Provider::start([]).await;
    let client = google(&provider);
    for seed in 0..500 {
        let before = made(seed, policy::policy);
        let wanted = BOTH[usize::from(seed % 2 == 0)];
        let open = wanted == Position::On;
        let after = Policy::parse(before.clone())
            .ok()
            .and_then(|policy| policy.moved_to(wanted));
        let mut answer = after.map_or_else(|| before.clone(), Policy::into_json);
        // A policy that was written has another etag.
        answer["etag"] = json!("BwZnext=");
        provider.say([Say::json(200, &before), Say::json(200, &answer)]);
        let result = gate(&provider, client.clone(), View::Nothing).set(wanted).await;
        let asked = provider.take_asked();
        let sent: Vec<Value> = asked.iter().skip(1).map(Asked::json).collect();
        match sent.as_slice() {
            [] if policy::may_be_edited(&before) => {
                assert_eq!(result.unwrap().configured, Some(wanted), "seed {seed}: {before}");
                assert_eq!(policy::is_open(&before), open, "seed {seed}: {before}");
            }
            [] => assert_eq!(result.unwrap_err().kind, FailureKind::Nonsense, "seed {seed}: {before}"),
            [sent] => {
                assert!(policy::may_be_edited(&before), "seed {seed}: {before}");
                let difference = policy::one_members_difference(&before, &sent["policy"], open);
                assert_eq!(difference, Ok(()), "seed {seed}: {before} becomes {sent}");
                assert_eq!(result.unwrap().configured, Some(wanted), "seed {seed}");
            }
            more => panic!("seed {seed}: {} writes", more.len()),
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn r09_a_thousand_rulesets_in_and_our_one_rule_with_enabled_moved_out() {
    let provider = Provider::start([]).await;
    let mut met: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..1000 {
        let before = made(seed, ruleset::ruleset);
        for wanted in BOTH {
            let enabled = wanted == Position::On;
            provider.say([ok(&before), ok(&with_ours(&before, enabled))]);
            let result = single_redirect(&provider).set(wanted).await;
            let asked = provider.take_asked();
            let sent: Vec<_> = asked.iter().skip(1).collect();
            let what = match due(&before, enabled) {
                Due::Nothing => {
                    assert!(sent.is_empty() && result.is_ok(), "seed {seed}: {before}");
                    "nothing to do"
                }
                Due::Refusal => {
                    assert!(sent.is_empty() && result.is_err(), "seed {seed}: {before}");
                    "refused"
                }
                Due::Patch { path, body } => {
                    assert_eq!(result.unwrap().configured, Some(wanted), "seed {seed}: {before}");
                    assert_eq!(sent.len(), 1, "seed {seed}: {before}");
                    assert_eq!(sent[0].method, "PATCH");
                    assert_eq!(sent[0].path, format!("/client/v4/zones/z/{path}"), "seed {seed}");
                    assert_eq!(sent[0].json(), body, "seed {seed}: {before}");
                    if enabled { "enabled" } else { "disabled" }
                }
            };
            *met.entry(what).or_default() += 1;
        }
    }
    println!("1000 rulesets: {met:?}");
    assert!(met.len() == 4 && met.values().all(|count| *count >= 50), "{met:?}");
}
