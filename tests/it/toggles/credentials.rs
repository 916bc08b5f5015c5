//! Google's credentials: our own signature, the token endpoint, the metadata server.

use std::time::Duration;

use pilotlight::core::{FailureKind, Position, View};
use pilotlight::toggle::Toggle;
use pilotlight::toggle::google::GoogleClient;
use pilotlight::toggle::google_token::TokenSource;
use serde_json::json;

use super::provider::{Provider, Say};
use super::support::*;

#[tokio::test(flavor = "current_thread")]
async fn the_token_endpoint_is_asked_only_when_an_api_refuses_our_signature() {
    let refused = json!({"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "no"}});
    let provider = Provider::start([
        Say::json(401, &refused),
        Say::json(
            200,
            &json!({"access_token": "fetched", "expires_in": 3599, "token_type": "Bearer"}),
        ),
        Say::json(200, &open_policy("E1")),
        Say::json(200, &open_policy("E1")),
    ])
    .await;
    let gate = gate(&provider, google(&provider), View::Standby);
    gate.observe().await.unwrap();
    gate.observe().await.unwrap();
    assert_eq!(provider.lines(), [READ_POLICY, "POST /token", READ_POLICY, READ_POLICY]);
    let asked = provider.asked();
    assert!(asked[1].body.contains("grant_type=urn%3Aietf"), "{}", asked[1].body);
    assert!(asked[0].header("authorization").starts_with("Bearer eyJ"));
    assert_eq!(asked[3].header("authorization"), "Bearer fetched", "remembered");
}

#[tokio::test(flavor = "current_thread")]
async fn a_dead_token_endpoint_leaves_our_own_signature_to_try() {
    let refused = json!({"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "no"}});
    let provider = Provider::start([
        Say::json(401, &refused),
        Say::json(200, &json!({"access_token": "fetched", "expires_in": 10})),
        Say::json(200, &open_policy("E1")),
        Say::text(503, "<html>"),
        Say::json(200, &open_policy("E1")),
    ])
    .await;
    let gate = gate(&provider, google(&provider), View::Standby);
    gate.observe().await.unwrap();
    gate.observe().await.unwrap();
    let asked = provider.asked();
    assert_eq!(provider.lines()[3], "POST /token", "the first one has expired");
    assert!(asked[4].header("authorization").starts_with("Bearer eyJ"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_second_401_is_denied_and_an_endpoint_that_refuses_says_why() {
    let refused = json!({"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "no"}});
    let token = json!({"access_token": "fetched", "expires_in": 3599});
    let provider = Provider::start([
        Say::json(401, &refused),
        Say::json(200, &token),
        Say::json(401, &refused),
        Say::json(401, &refused),
        Say::json(
            400,
            &json!({"error": "invalid_grant", "error_description": "Invalid JWT: reasonable timeframe"}),
        ),
    ])
    .await;
    let client = google(&provider);
    let first = gate(&provider, client, View::Standby).observe().await.unwrap_err();
    assert_eq!(first.kind, FailureKind::Denied);
    let fresh = google(&provider);
    let second = gate(&provider, fresh, View::Standby).observe().await.unwrap_err();
    assert_eq!(second.kind, FailureKind::Denied);
    assert!(second.detail.contains("reasonable timeframe"), "{second}");
}

#[tokio::test(flavor = "current_thread")]
async fn the_metadata_servers_token_is_fetched_once_and_renewed_ahead_of_its_end() {
    let token = |name: &str, secs: u64| {
        Say::json(200, &json!({"access_token": name, "expires_in": secs})).with("metadata-flavor", "Google")
    };
    let provider = Provider::start([
        token("one", 3600),
        token("two", 100),
        token("three", 15),
        token("four", 3600),
    ])
    .await;
    let tokens = TokenSource::from_metadata_server(provider.base_url(), http(), wall());
    let wait = tokens.refresh().await.unwrap();
    assert!(
        wait <= Duration::from_secs(3600 - 225) && wait > Duration::from_secs(3300),
        "{wait:?}"
    );
    tokens.refresh().await.unwrap();
    let one = tokens.token("any").await.unwrap();
    assert_eq!(provider.lines().len(), 1, "not due, so not asked again");
    assert_eq!(provider.asked()[0].header("metadata-flavor"), "Google");
    tokens.renew(&one).await.unwrap();
    let wait = tokens.refresh().await.unwrap();
    assert!(wait <= Duration::from_secs(50), "half its life: {wait:?}");
    tokens.renew(&one).await.unwrap();
    assert_eq!(provider.lines().len(), 2, "the refused one was replaced already");
}

#[tokio::test(flavor = "current_thread")]
async fn whoever_answers_without_the_flavor_is_not_the_metadata_server() {
    let answer = Say::json(200, &json!({"access_token": "x", "expires_in": 3600}));
    let provider = Provider::start([answer]).await;
    let tokens = TokenSource::from_metadata_server(provider.base_url(), http(), wall());
    assert_eq!(tokens.token("any").await.unwrap_err().kind, FailureKind::Nonsense);
}

#[tokio::test(flavor = "current_thread")]
async fn r16_no_secret_is_in_what_an_edge_shows_of_itself_or_of_a_failure() {
    let token = json!({"access_token": "canary-token", "expires_in": 3600});
    let provider = Provider::start([
        Say::json(200, &token).with("metadata-flavor", "Google"),
        Say::text(400, "canary-token in a body"),
        Say::json(
            400,
            &json!({"success": false, "errors": [{"code": 1, "message": "no cf-token here"}]}),
        ),
    ])
    .await;
    let tokens = TokenSource::from_metadata_server(provider.base_url(), http(), wall());
    let gate = gate(&provider, GoogleClient::new(http(), tokens.clone()), View::Shut);
    let google_error = gate.set(Position::On).await.unwrap_err();
    let redirect = single_redirect(&provider);
    let cloudflare_error = redirect.observe().await.unwrap_err();
    let shown = format!("{gate:?} {tokens:?} {google_error:?} {google_error} {redirect:?} {cloudflare_error:?}");
    for secret in ["canary", "cf-token", "127.0.0.1"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
