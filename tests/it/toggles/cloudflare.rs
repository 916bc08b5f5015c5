//! The redirects: exact requests, refusals, nonsense.

use pilotlight::core::{FailureKind, Position};
use pilotlight::toggle::Toggle;
use serde_json::json;

use super::provider::{Provider, Say};
use super::support::*;

#[tokio::test(flavor = "current_thread")]
async fn nonsense_from_cloudflare_is_a_typed_error_and_never_a_write() {
    let wrong = [
        "<html></html>",
        "{\"success\":false}",
        "{\"success\":true,\"result\":{\"id\":\"rs\",\"rules\":[",
        "{\"success\":true,\"result\":null}",
        "{\"success\":true,\"result\":{\"id\":\"rs\",\"rules\":{}}}",
        "{\"success\":true,\"result\":{\"id\":\"rs\",\"rules\":[{\"ref\":\"ours\"}]}}",
    ];
    for nonsense in wrong {
        let provider = Provider::start([Say::text(200, nonsense)]).await;
        let error = single_redirect(&provider).set(Position::On).await.unwrap_err();
        assert_eq!(
            (error.kind, provider.lines().len()),
            (FailureKind::Nonsense, 1),
            "{nonsense}"
        );
        let provider = Provider::start([Say::text(200, nonsense)]).await;
        let error = page_rule(&provider).set(Position::On).await.unwrap_err();
        assert_eq!(
            (error.kind, provider.lines().len()),
            (FailureKind::Nonsense, 1),
            "{nonsense}"
        );
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_redirect_is_switched_by_its_full_definition() {
    let provider = Provider::start([ok(&ruleset(false)), ok(&ruleset(true))]).await;
    let observed = single_redirect(&provider).set(Position::On).await.unwrap();
    assert_eq!((observed.configured, observed.edited), (Some(Position::On), false));
    assert_eq!(
        provider.lines(),
        [
            "GET /client/v4/zones/z/rulesets/phases/http_request_dynamic_redirect/entrypoint",
            "PATCH /client/v4/zones/z/rulesets/rs/rules/r1",
        ]
    );
    let sent = provider.asked()[1].json();
    assert_eq!((&sent["enabled"], &sent["ref"]), (&json!(true), &json!("ours")));
    assert!(sent.get("id").is_none() && sent.get("version").is_none(), "{sent}");
    assert_eq!(provider.asked()[1].header("authorization"), "Bearer cf-token");
}

#[tokio::test(flavor = "current_thread")]
async fn a_redirect_that_did_not_move_or_was_edited_meanwhile_is_not_believed() {
    let mut edited = ruleset(true);
    edited["rules"][1]["expression"] = json!("true");
    for answer in [ruleset(false), edited] {
        let provider = Provider::start([ok(&ruleset(false)), ok(&answer)]).await;
        let error = single_redirect(&provider).set(Position::On).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::NotApplied);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_permanent_redirect_is_refused_before_anything_is_sent() {
    let mut permanent = ruleset(false);
    permanent["rules"][1]["action_parameters"]["from_value"]["status_code"] = json!(301);
    let provider = Provider::start([ok(&permanent)]).await;
    let error = single_redirect(&provider).set(Position::On).await.unwrap_err();
    assert_eq!((error.kind, provider.lines().len()), (FailureKind::Refused, 1));

    permanent["rules"][1]["enabled"] = json!(true);
    let provider = Provider::start([
        ok(&permanent),
        ok(&{
            permanent["rules"][1]["enabled"] = json!(false);
            permanent
        }),
    ])
    .await;
    single_redirect(&provider).set(Position::Off).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn an_edit_by_somebody_else_is_reported_once() {
    let mut edited = ruleset(false);
    edited["rules"][1]["description"] = json!("touched");
    let answers = [ruleset(false), edited.clone(), edited].map(|answer| ok(&answer));
    let provider = Provider::start(answers).await;
    let redirect = single_redirect(&provider);
    for expected in [false, true, false] {
        assert_eq!(redirect.observe().await.unwrap().edited, expected);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_failed_write_does_not_swallow_an_edit() {
    let mut edited = ruleset(false);
    edited["rules"][1]["description"] = json!("touched");
    let provider = Provider::start([ok(&ruleset(false)), ok(&edited), Say::text(502, "<html>"), ok(&edited)]).await;
    let redirect = single_redirect(&provider);
    assert!(!redirect.observe().await.unwrap().edited);
    redirect.set(Position::On).await.unwrap_err();
    assert!(redirect.observe().await.unwrap().edited);
}

#[tokio::test(flavor = "current_thread")]
async fn a_page_rule_is_switched_by_its_status_alone() {
    let rule = |status: &str| json!({"id": "p1", "status": status, "actions": [{"id": "forwarding_url", "value": {"url": "u", "status_code": 302}}]});
    let provider = Provider::start([ok(&rule("disabled")), ok(&rule("active"))]).await;
    let observed = page_rule(&provider).set(Position::On).await.unwrap();
    assert_eq!(configured(observed), Some(Position::On));
    assert_eq!(provider.lines()[1], "PATCH /client/v4/zones/z/pagerules/p1");
    assert_eq!(provider.asked()[1].json(), json!({"status": "active"}));

    let mut other = rule("disabled");
    other["id"] = json!("p2");
    let provider = Provider::start([ok(&other)]).await;
    let error = page_rule(&provider).set(Position::On).await.unwrap_err();
    assert_eq!(
        (error.kind, provider.lines().len()),
        (FailureKind::Nonsense, 1),
        "not the rule that was asked for"
    );

    let missing =
        json!({"success": false, "result": null, "errors": [{"code": 7003, "message": "no route"}], "messages": []});
    let provider = Provider::start([Say::json(404, &missing)]).await;
    let error = page_rule(&provider).observe().await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Missing);
    assert!(error.detail.contains("single_redirect"), "{error}");
}
