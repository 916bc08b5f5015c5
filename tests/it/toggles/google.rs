//! The gate and the silences: exact requests, conflicts, nonsense.

use std::time::Duration;

use pilotlight::core::{FailureKind, Position, View};
use pilotlight::toggle::Toggle;
use serde_json::json;

use super::provider::{Provider, Say};
use super::support::*;

#[tokio::test(flavor = "current_thread")]
async fn the_gate_reads_writes_with_the_etag_and_checks_the_answer() {
    let before = json!({"etag": "E1", "version": 1, "bindings": [{"role": "roles/viewer", "members": ["user:a@b.c"]}]});
    let provider = Provider::start([Say::json(200, &before), Say::json(200, &open_policy("E2"))]).await;
    let gate = gate(&provider, google(&provider), View::Standby);
    assert_eq!(configured(gate.set(Position::On).await.unwrap()), Some(Position::On));
    assert_eq!(provider.lines(), [READ_POLICY, WRITE_POLICY], "no token was fetched");
    let mut expected = before.clone();
    let ours = json!({"role": "roles/run.invoker", "members": ["allUsers"]});
    expected["bindings"].as_array_mut().unwrap().push(ours);
    assert_eq!(provider.asked()[1].json(), json!({ "policy": expected }));
}

#[tokio::test(flavor = "current_thread")]
async fn r09_an_open_gate_that_shall_be_open_is_not_written() {
    let provider = Provider::start([Say::json(200, &open_policy("E1"))]).await;
    let gate = gate(&provider, google(&provider), View::Standby);
    gate.set(Position::On).await.unwrap();
    assert_eq!(provider.lines(), [READ_POLICY]);
}

#[tokio::test(flavor = "current_thread")]
async fn r11_a_concurrent_change_is_redone_once_from_the_read() {
    let fresh = |etag: &str| Say::json(200, &json!({ "etag": etag }));
    let provider = Provider::start([fresh("E1"), aborted(), fresh("E2"), Say::json(200, &open_policy("E3"))]).await;
    let client = google(&provider);
    gate(&provider, client.clone(), View::Shut)
        .set(Position::On)
        .await
        .unwrap();
    assert_eq!(provider.lines(), [READ_POLICY, WRITE_POLICY, READ_POLICY, WRITE_POLICY]);
    assert_eq!(provider.asked()[3].json()["policy"]["etag"], "E2");

    let provider = Provider::start([fresh("E1"), aborted(), fresh("E2"), aborted()]).await;
    let error = gate(&provider, client, View::Shut).set(Position::On).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Conflict, "core decides when to try again");
}

#[tokio::test(flavor = "current_thread")]
async fn a_conflict_after_a_lost_reply_is_success_when_the_policy_is_right() {
    let provider = Provider::start([
        Say::json(200, &json!({"etag": "E1"})),
        aborted(),
        Say::json(200, &open_policy("E2")),
    ])
    .await;
    let gate = gate(&provider, google(&provider), View::Shut);
    assert_eq!(configured(gate.set(Position::On).await.unwrap()), Some(Position::On));
    assert_eq!(provider.lines(), [READ_POLICY, WRITE_POLICY, READ_POLICY]);
}

#[tokio::test(flavor = "current_thread")]
async fn the_gate_tells_what_is_configured_from_what_visitors_get() {
    let table = [
        (View::Standby, Some(Position::On)),
        (View::Shut, Some(Position::Off)),
        (View::Nothing, None),
        (View::Overloaded, None),
    ];
    for (view, effective) in table {
        let provider = Provider::start([Say::json(200, &open_policy("E1"))]).await;
        let observed = gate(&provider, google(&provider), view).observe().await.unwrap();
        assert_eq!(
            (observed.configured, observed.effective),
            (Some(Position::On), effective),
            "{view:?}"
        );
    }
}

#[tokio::test(flavor = "current_thread")]
async fn nonsense_from_google_is_a_typed_error_and_never_a_write() {
    for nonsense in [
        "<html>hello</html>",
        "{\"etag\": \"E1\", \"bind",
        "[]",
        "{}",
        "{\"etag\":\"E\",\"bindings\":7}",
    ] {
        let provider = Provider::start([Say::text(200, nonsense)]).await;
        let error = gate(&provider, google(&provider), View::Shut)
            .set(Position::On)
            .await
            .unwrap_err();
        assert_eq!(error.kind, FailureKind::Nonsense, "{nonsense}");
        assert_eq!(provider.lines(), [READ_POLICY], "{nonsense}");
    }
    for nonsense in ["<html></html>", "{\"name\": 5}", "{\"name\":\"n\",\"disabled\":\"no\"}"] {
        let provider = Provider::start([Say::text(200, nonsense)]).await;
        let error = uptime_check(&provider).set(Position::On).await.unwrap_err();
        assert_eq!(
            (error.kind, provider.lines().len()),
            (FailureKind::Nonsense, 1),
            "{nonsense}"
        );
    }
    for nonsense in ["<html></html>", "{\"snoozes\": {}}", "{\"snoozes\": [", "null"] {
        let provider = Provider::start([Say::text(200, nonsense)]).await;
        let error = snooze(&provider).set(Position::On).await.unwrap_err();
        assert_eq!(
            (error.kind, provider.lines().len()),
            (FailureKind::Nonsense, 1),
            "{nonsense}"
        );
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_uptime_check_that_ignores_the_field_is_not_believed() {
    let check = json!({"name": "projects/p/uptimeCheckConfigs/home", "displayName": "home"});
    let mut disabled = check.clone();
    disabled["disabled"] = json!(true);
    let answers = [&check, &disabled, &disabled].map(|answer| Say::json(200, answer));
    let provider = Provider::start(answers).await;
    uptime_check(&provider).set(Position::On).await.unwrap();
    assert_eq!(
        provider.lines()[1],
        "PATCH /v3/projects/p/uptimeCheckConfigs/home?updateMask=disabled"
    );
    assert_eq!(provider.asked()[1].json(), json!({"disabled": true}));

    for (answered, stored) in [(&check, &check), (&disabled, &check)] {
        let answers = [&check, answered, stored].map(|answer| Say::json(200, answer));
        let provider = Provider::start(answers).await;
        let error = uptime_check(&provider).set(Position::On).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::NotApplied);
        assert_eq!(provider.lines()[2], "GET /v3/projects/p/uptimeCheckConfigs/home");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_snooze_is_created_only_when_none_of_ours_is_active() {
    let theirs = one_snooze("otherbox", "2026-11-21T12:00:00Z");
    let ended = one_snooze("box", "2026-11-21T09:30:00Z");
    let made = one_snooze("box", "2026-11-21T11:00:00Z");
    let provider = Provider::start([dated(&json!({"snoozes": [theirs, ended]})), dated(&made)]).await;
    let observed = snooze(&provider).set(Position::On).await.unwrap();
    assert_eq!(observed.lapses_in, Some(Duration::from_secs(3600)));
    assert_eq!(
        provider.lines(),
        ["GET /v3/projects/p/snoozes?pageSize=500", "POST /v3/projects/p/snoozes"]
    );
    assert_eq!(
        provider.asked()[1].json(),
        json!({
            "displayName": "pilotlight box 17 1795255200",
            "criteria": {"policies": ["projects/p/alertPolicies/17"]},
            "interval": {"startTime": "2026-11-21T10:00:00Z", "endTime": "2026-11-21T11:00:00Z"},
        })
    );

    let provider = Provider::start([dated(&json!({ "snoozes": [made] }))]).await;
    let observed = snooze(&provider).set(Position::On).await.unwrap();
    assert_eq!(
        (configured(observed), provider.lines().len()),
        (Some(Position::On), 1),
        "found after a lost reply"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_snooze_at_half_its_length_is_renewed_and_ended_on_the_way_home() {
    let half = json!({"snoozes": [one_snooze("box", "2026-11-21T10:30:00Z")]});
    let provider = Provider::start([dated(&half), dated(&one_snooze("box", "2026-11-21T11:00:00Z"))]).await;
    let observed = snooze(&provider).set(Position::On).await.unwrap();
    assert_eq!(observed.lapses_in, Some(Duration::from_secs(3600)));
    assert_eq!(
        provider.lines()[1],
        "PATCH /v3/projects/p/snoozes/s1?updateMask=interval.endTime"
    );
    assert_eq!(
        provider.asked()[1].json(),
        json!({"interval": {"endTime": "2026-11-21T11:00:00Z"}})
    );

    let refused = json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "bad mask"}});
    let provider = Provider::start([
        dated(&half),
        Say::json(400, &refused),
        dated(&one_snooze("box", "2026-11-21T10:00:00Z")),
        dated(&json!({})),
    ])
    .await;
    let silence = snooze(&provider);
    assert_eq!(
        configured(silence.set(Position::Off).await.unwrap()),
        Some(Position::Off)
    );
    assert_eq!(
        provider.lines()[2],
        "PATCH /v3/projects/p/snoozes/s1?updateMask=interval.end_time"
    );
    assert_eq!(
        configured(silence.set(Position::Off).await.unwrap()),
        Some(Position::Off)
    );
    assert_eq!(provider.lines().len(), 4, "an ended snooze is not touched again");
}
