//! The sandbox's Google: tokens, rights, policies, propagation, operations, snoozes, checks, faults.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pilotlight::sandbox::{Api, CheckRun, Fault, FaultKind, OrgPolicy, PROJECT, SecretVersion};
use serde_json::{Value, json};
use tokio::time::advance;

use super::sandbox_rig::{Rig, claims, opened, options, plain, service, try_plain};

const AUDIENCE: &str = "https://run.googleapis.com/";

#[tokio::test]
async fn a_bearer_is_required_and_self_signed_tokens_are_checked_in_full() {
    let rig = Rig::start("bearer").await;
    let at = rig.sandbox.addresses().run;
    let status = async |token: Option<&str>| plain(at, "GET", &service(), token, Value::Null).await.error();
    let refused = (401, "UNAUTHENTICATED".to_owned());
    assert_eq!(status(None).await, refused);
    assert_eq!(status(Some("ya29.stranger")).await, refused);
    let good = rig.sign(&claims(AUDIENCE));
    assert_eq!(status(Some(&good)).await.0, 200);
    assert_eq!(status(Some(&format!("{good}x"))).await, refused, "a broken signature");
    let wrong = [
        ("aud", json!("https://monitoring.googleapis.com/")),
        ("iss", json!("somebody@else.example")),
        ("exp", json!(Timestamp::now().as_second() - 1)),
        ("iat", json!(Timestamp::now().as_second() + 600)),
        ("exp", json!(Timestamp::now().as_second() + 7200)),
    ];
    for (name, value) in wrong {
        let mut claims = claims(AUDIENCE);
        claims[name] = value;
        assert_eq!(status(Some(&rig.sign(&claims))).await, refused, "{name}");
    }
    let mut scoped = claims(AUDIENCE);
    scoped.as_object_mut().unwrap().remove("aud");
    scoped["scope"] = json!("https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(status(Some(&rig.sign(&scoped))).await.0, 200);
    rig.world.refuse_self_signed_tokens();
    assert_eq!(status(Some(&good)).await, refused);
}

#[tokio::test]
async fn the_token_endpoint_trades_an_assertion_for_a_token_that_expires() {
    let rig = Rig::start("token").await;
    let at = rig.sandbox.addresses().token;
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    let post = async |claims: &Value| {
        let form = format!("{grant}{}", rig.sign(claims));
        plain(at, "POST", "/token", None, Value::String(form)).await
    };
    let mut asked = claims("https://oauth2.googleapis.com/token");
    asked["scope"] = json!("https://www.googleapis.com/auth/cloud-platform");
    let token = post(&asked).await.json()["access_token"].as_str().unwrap().to_owned();
    let run = rig.sandbox.addresses().run;
    assert_eq!(
        plain(run, "GET", &service(), Some(&token), Value::Null).await.status,
        200
    );
    rig.world.advance_clock(SignedDuration::from_secs(3600));
    assert_eq!(
        plain(run, "GET", &service(), Some(&token), Value::Null).await.status,
        401
    );
    let late = post(&asked).await;
    assert_eq!(
        (late.status, late.json()["error"].as_str()),
        (400, Some("invalid_grant"))
    );
    let elsewhere = post(&claims("https://elsewhere.example/")).await;
    assert_eq!(elsewhere.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn the_metadata_server_demands_its_header_and_gives_tokens_and_identities() {
    let rig = Rig::start("metadata").await;
    let at = rig.sandbox.addresses().metadata;
    let base = "/computeMetadata/v1/instance/service-accounts/default";
    let token = plain(at, "GET", &format!("{base}/token"), None, Value::Null).await;
    assert_eq!(token.header("metadata-flavor"), "Google");
    let token = token.json()["access_token"].as_str().unwrap().to_owned();
    let run = rig.sandbox.addresses().run;
    assert_eq!(
        plain(run, "GET", &service(), Some(&token), Value::Null).await.status,
        200
    );
    let identity = format!("{base}/identity?audience=https%3A%2F%2Fsite-standby.example&format=full");
    let identity = plain(at, "GET", &identity, None, Value::Null).await.body;
    rig.world.set_rights(["run.routes.invoke"]);
    assert_eq!(rig.standby("/", Some(&identity)).await.status, 200);
    let bare = plain(at, "GET", "/anything", None, Value::Null).await;
    assert_eq!(bare.status, 403);
}

#[tokio::test]
async fn permission_is_checked_before_existence_and_unknown_routes_are_html() {
    let rig = Rig::start("rights").await;
    let path = format!("/v2/projects/{PROJECT}/locations/europe-west1/services/nothing");
    let denied = rig.run("GET", &path, Value::Null).await;
    assert_eq!(denied.error(), (403, "PERMISSION_DENIED".to_owned()));
    assert!(denied.body.contains("(or resource may not exist)"));
    rig.world.set_rights(["run.services.get"]);
    assert_eq!(
        rig.run("GET", &path, Value::Null).await.error(),
        (404, "NOT_FOUND".to_owned())
    );
    let lost = rig.run("GET", "/v2/no/such/route", Value::Null).await;
    assert_eq!(
        (lost.status, lost.header("content-type")),
        (404, "text/html; charset=UTF-8")
    );
    let narrow = rig
        .world
        .issue_google_token(Some(vec!["monitoring.snoozes.list".to_owned()]));
    let at = rig.sandbox.addresses().monitoring;
    let check = format!("/v3/projects/{PROJECT}/uptimeCheckConfigs/site-uptime");
    assert_eq!(plain(at, "GET", &check, Some(&narrow), Value::Null).await.status, 403);
    let held = json!({"permissions": ["run.services.setIamPolicy", "run.services.delete"]});
    let held = rig
        .run("POST", &format!("{}:testIamPermissions", service()), held)
        .await;
    assert_eq!(held.json(), json!({"permissions": ["run.services.setIamPolicy"]}));
}

#[tokio::test]
async fn a_stale_etag_conflicts_and_an_absent_one_overwrites_blindly() {
    let rig = Rig::start("etag").await;
    let read = rig.policy().await;
    rig.open_gate().await;
    let stale = rig.set_policy(&opened(read)).await;
    assert_eq!(stale.error(), (409, "ABORTED".to_owned()));
    assert!(rig.world.gate().configured);
    let blind = rig
        .set_policy(&json!({"version": 3, "bindings": [
            {"role": "roles/run.invoker", "members": ["allUsers"]},
        ]}))
        .await;
    assert_eq!(blind.status, 200);
    let after = rig.world.policy_json("site");
    assert_eq!(
        after["bindings"].as_array().map(Vec::len),
        Some(1),
        "everything else is gone"
    );
    assert!(
        after.get("auditConfigs").is_some(),
        "the default mask spares audit configs"
    );
    assert_eq!(
        rig.run("GET", &service(), Value::Null).await.status,
        403,
        "locked out by the own overwrite"
    );
}

#[tokio::test]
async fn a_second_writer_can_slip_in_between_read_and_write() {
    let rig = Rig::start("slip").await;
    let read = rig.policy().await;
    rig.world.before_next_write(Api::Run, |world| {
        let policy = world.policy_json("site");
        world.set_policy_json("site", &policy);
    });
    assert_eq!(rig.set_policy(&opened(read)).await.status, 409);
    rig.open_gate().await;
    assert!(rig.world.gate().configured);
}

#[tokio::test]
async fn conditions_are_garbled_below_version_three_and_dropped_by_such_a_write() {
    let rig = Rig::start("conditions").await;
    let old = rig
        .run("GET", &format!("{}:getIamPolicy", service()), Value::Null)
        .await;
    assert!(old.body.contains("_withcond_") && !old.body.contains("office hours"));
    let mut policy = rig.policy().await;
    assert_eq!(policy["version"], 3);
    policy["version"] = json!(1);
    assert_eq!(rig.set_policy(&policy).await.status, 200);
    assert!(
        !rig.world.policy_json("site").to_string().contains("office hours"),
        "the trap is reachable"
    );
}

#[tokio::test]
async fn a_fresh_policy_has_an_etag_only_and_bad_policies_are_refused() {
    let rig = Rig::start("fresh").await;
    rig.world
        .set_rights(["run.services.getIamPolicy", "run.services.setIamPolicy"]);
    rig.world.set_policy_json("site", &Value::Null);
    assert_eq!(rig.policy().await, json!({"etag": "ACAB"}));
    let with = |binding: Value| json!({"version": 3, "etag": "ACAB", "bindings": [binding]});
    let bad = [
        json!({"role": "roles/run.invoker", "members": []}),
        json!({"role": "roles/run.invoker", "members": ["everybody"]}),
        json!({"role": "roles/run.invoker", "member": ["allUsers"]}),
        json!({"role": "roles/run.invoker", "members": ["allUsers"], "condition": {"title": "t", "expression": "true"}}),
    ];
    for binding in bad {
        let got = rig.set_policy(&with(binding.clone())).await;
        assert_eq!(got.error(), (400, "INVALID_ARGUMENT".to_owned()), "{binding}");
        assert!(got.body.contains("fieldViolations"));
    }
    let path = format!("{}:setIamPolicy", service());
    assert_eq!(rig.run("POST", &path, json!("{\"policy\":")).await.status, 400);
    assert_eq!(rig.run("POST", &path, json!({"politics": {}})).await.status, 400);
    rig.world.set_org_policy(OrgPolicy::DomainRestricted);
    let forbidden = rig
        .set_policy(&with(json!({"role": "roles/run.invoker", "members": ["allUsers"]})))
        .await;
    assert_eq!(forbidden.status, 400);
    assert!(forbidden.body.contains("permitted customer"));
}

#[tokio::test(start_paused = true)]
async fn the_data_plane_follows_the_policy_later_and_flaps_meanwhile() {
    let rig = Rig::with(pilotlight::sandbox::Options {
        iam_propagation: Duration::from_secs(100),
        flapping: true,
        ..options("propagation")
    })
    .await;
    let shut = rig.standby("/", None).await;
    assert_eq!(
        (shut.status, shut.header("content-type")),
        (403, "text/html; charset=UTF-8")
    );
    rig.open_gate().await;
    assert!(
        rig.world.policy_json("site").to_string().contains("allUsers"),
        "the record is consistent at once"
    );
    advance(Duration::from_secs(49)).await;
    assert_eq!(rig.standby("/", None).await.status, 403);
    advance(Duration::from_secs(50)).await;
    let mut seen = Vec::new();
    for _ in 0..40 {
        seen.push(rig.standby("/", None).await.status);
    }
    assert!(seen.contains(&200) && seen.contains(&403), "{seen:?}");
    assert!(!rig.world.gate().effective);
    advance(Duration::from_secs(2)).await;
    assert!(rig.world.gate().effective);
    for _ in 0..10 {
        assert_eq!(rig.standby("/", None).await.header("x-served-by"), "standby");
    }
}

#[tokio::test(start_paused = true)]
async fn the_front_end_tells_a_bad_token_from_a_missing_binding_and_starts_the_container() {
    let rig = Rig::with(pilotlight::sandbox::Options {
        cold_start: Duration::from_secs(4),
        ..options("front-end")
    })
    .await;
    assert_eq!(rig.standby("/", Some("no.such.token")).await.status, 401);
    rig.open_gate().await;
    let began = tokio::time::Instant::now();
    assert_eq!(rig.standby("/", None).await.status, 200);
    assert!(began.elapsed() >= Duration::from_secs(4), "a cold start");
    let warm = tokio::time::Instant::now();
    assert_eq!(rig.standby("/", None).await.status, 200);
    assert!(warm.elapsed() < Duration::from_secs(4));
    assert_eq!(
        rig.standby("/healthz", None).await.status,
        404,
        "Google answers this path itself"
    );
    rig.world
        .set_service_field("site", "/ingress", json!("INGRESS_TRAFFIC_INTERNAL_ONLY"));
    assert_eq!(rig.standby("/", None).await.status, 404);
}

#[tokio::test]
async fn a_patch_is_an_operation_that_ends_later_well_or_badly() {
    let rig = Rig::start("operation").await;
    rig.world.set_rights(["run.services.update", "run.operations.get"]);
    let path = format!("{}?updateMask=invoker_iam_disabled", service());
    let started = rig
        .run("PATCH", &path, json!({"invokerIamDisabled": true}))
        .await
        .json();
    assert_eq!(started.get("done"), None);
    assert!(rig.world.gate().configured, "the invoker check is the other gate");
    let operation = format!("/v2/{}", started["name"].as_str().unwrap());
    let waiting = rig
        .run("POST", &format!("{operation}:wait"), json!({"timeout": "1s"}))
        .await
        .json();
    assert_eq!(waiting.get("done"), None, "waiting may return early");
    let busy = rig.run("GET", &service(), Value::Null).await.json();
    assert_eq!((&busy["reconciling"], &busy["generation"]), (&json!(true), &json!("2")));
    let done = rig.run("GET", &operation, Value::Null).await.json();
    assert_eq!(
        done["response"]["@type"],
        "type.googleapis.com/google.cloud.run.v2.Service"
    );
    assert_eq!(
        rig.run("GET", &service(), Value::Null).await.json().get("reconciling"),
        None
    );
    rig.world.set_polls_until_done(1);
    rig.world.fail_next_operation(9, "revision is not ready");
    let failing = rig
        .run("PATCH", &path, json!({"invokerIamDisabled": false}))
        .await
        .json();
    let failed = rig
        .run(
            "GET",
            &format!("/v2/{}", failing["name"].as_str().unwrap()),
            Value::Null,
        )
        .await;
    assert_eq!((failed.status, &failed.json()["error"]["code"]), (200, &json!(9)));
    let unknown = rig
        .run("PATCH", &format!("{}?updateMask=colour", service()), json!({}))
        .await;
    assert_eq!(unknown.status, 400);
    rig.world
        .set_service_field("site", "/template/revision", json!("standby-7"));
    let pinned = rig.run("PATCH", &path, json!({"invokerIamDisabled": true})).await;
    assert_eq!(pinned.error(), (409, "ALREADY_EXISTS".to_owned()));
}

#[tokio::test]
async fn snoozes_start_now_are_extended_in_both_spellings_and_end_for_good() {
    let rig = Rig::start("snooze").await;
    let id = rig.world.alert_policy_json("site")["name"].as_str().unwrap().to_owned();
    let of = |start: i64, end: i64, policies: usize| {
        let at = |secs| (Timestamp::now() + SignedDuration::from_secs(secs)).to_string();
        json!({
            "displayName": "pilotlight",
            "criteria": {"policies": vec![id.clone(); policies]},
            "interval": {"startTime": at(start), "endTime": at(end)},
        })
    };
    assert_eq!(rig.monitoring("GET", "snoozes", Value::Null).await.body, "{}");
    assert_eq!(
        rig.monitoring("POST", "snoozes", of(-60, 600, 1)).await.status,
        400,
        "in the past"
    );
    assert_eq!(
        rig.monitoring("POST", "snoozes", of(0, 600, 17)).await.status,
        400,
        "too many"
    );
    let made = rig.monitoring("POST", "snoozes", of(-5, 600, 1)).await.json();
    let path = format!("snoozes/{}", made["name"].as_str().unwrap().rsplit('/').next().unwrap());
    let left = rig.world.silence().snoozed_for.unwrap();
    assert!(left > Duration::from_secs(500));
    for mask in ["interval.endTime", "interval.end_time"] {
        let end = (Timestamp::now() + SignedDuration::from_secs(6000)).to_string();
        let extended = rig
            .monitoring(
                "PATCH",
                &format!("{path}?updateMask={mask}"),
                json!({"interval": {"endTime": end}}),
            )
            .await;
        assert_eq!(extended.status, 200, "{}", extended.body);
    }
    let start = (Timestamp::now() + SignedDuration::from_secs(60)).to_string();
    let moved = json!({"interval": {"startTime": start}});
    let moved = rig
        .monitoring("PATCH", &format!("{path}?updateMask=interval.startTime"), moved)
        .await;
    assert_eq!(moved.error(), (400, "FAILED_PRECONDITION".to_owned()));
    let now = json!({"interval": {"endTime": Timestamp::now().to_string()}});
    let end = format!("{path}?updateMask=interval.endTime");
    assert_eq!(rig.monitoring("PATCH", &end, now.clone()).await.status, 200);
    assert_eq!(rig.world.silence().snoozed_for, None);
    assert_eq!(
        rig.monitoring("PATCH", &end, now).await.status,
        400,
        "read-only once ended"
    );
    assert_eq!(rig.monitoring("DELETE", &path, Value::Null).await.status, 404);
    let listed = rig.monitoring("GET", "snoozes", Value::Null).await.json();
    assert_eq!(listed["snoozes"][0]["displayName"], "pilotlight");
}

#[tokio::test]
async fn disabled_is_shown_only_when_true_and_may_be_ignored() {
    let rig = Rig::start("uptime").await;
    let path = "uptimeCheckConfigs/site-uptime";
    let patch = "uptimeCheckConfigs/site-uptime?updateMask=disabled";
    assert_eq!(
        rig.monitoring("GET", path, Value::Null).await.json().get("disabled"),
        None
    );
    rig.world
        .inject(Fault::once(Api::Monitoring, FaultKind::IgnoreDisabled));
    let ignored = rig.monitoring("PATCH", patch, json!({"disabled": true})).await;
    assert_eq!((ignored.status, ignored.json().get("disabled")), (200, None));
    assert_eq!(
        rig.monitoring("PATCH", patch, json!({"disabled": true})).await.json()["disabled"],
        true
    );
    assert!(rig.world.silence().check_disabled);
    assert_eq!(rig.world.run_uptime_check("site").await, CheckRun::Skipped);
    assert_eq!(
        rig.monitoring("PATCH", patch, json!({"disabled": "yes"})).await.status,
        400
    );
    let back = rig.monitoring("PATCH", patch, json!({"disabled": false})).await;
    assert_eq!(back.json().get("disabled"), None);
    assert_eq!(back.json()["period"], "60s", "everything else stays");
    rig.monitoring("PATCH", path, json!({"displayName": "x"})).await;
    let replaced = rig.world.uptime_check_json("site");
    assert_eq!(replaced.get("httpCheck"), None, "an empty mask replaces everything");
}

#[tokio::test]
async fn the_checker_follows_redirects_and_a_snooze_closes_its_incident() {
    let rig = Rig::start("checker").await;
    assert_eq!(rig.world.run_uptime_check("site").await, CheckRun::Passed);
    rig.world.set_home(pilotlight::sandbox::Home::Refusing);
    assert_eq!(rig.world.run_uptime_check("site").await, CheckRun::Failed);
    rig.open_gate().await;
    rig.world.switch_rule("site", true);
    assert_eq!(
        rig.world.run_uptime_check("site").await,
        CheckRun::Passed,
        "it sees the standby"
    );
    let states: Vec<Value> = rig
        .world
        .incident_messages()
        .iter()
        .map(|m| m["incident"]["state"].clone())
        .collect();
    assert_eq!(states, ["open", "closed"], "closed although home is still gone");
    assert_eq!(rig.world.uptime_probes("site"), 3);
}

#[tokio::test(start_paused = true)]
async fn the_checker_comes_every_period_until_it_is_disabled() {
    let rig = Rig::with(pilotlight::sandbox::Options {
        uptime_period: Some(Duration::from_secs(60)),
        ..options("period")
    })
    .await;
    while rig.world.uptime_probes("site") < 3 {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    let patch = "uptimeCheckConfigs/site-uptime?updateMask=disabled";
    rig.monitoring("PATCH", patch, json!({"disabled": true})).await;
    let sent = rig.world.uptime_probes("site");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.world.uptime_probes("site"), sent, "no probes, no bill");
}

#[tokio::test]
async fn alert_policies_always_show_enabled_and_take_one_write_at_a_time() {
    let rig = Rig::with(pilotlight::sandbox::Options {
        api_delay: Duration::from_millis(20),
        ..options("alert-policy")
    })
    .await;
    let name = rig.world.alert_policy_json("site")["name"].as_str().unwrap().to_owned();
    let path = format!("alertPolicies/{}?updateMask=enabled", name.rsplit('/').next().unwrap());
    let (one, two) = tokio::join!(
        rig.monitoring("PATCH", &path, json!({"enabled": false})),
        rig.monitoring("PATCH", &path, json!({"enabled": false})),
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let shown = rig
        .monitoring("GET", path.split('?').next().unwrap(), Value::Null)
        .await
        .json();
    assert_eq!(shown["enabled"], false);
}

#[tokio::test]
async fn a_lost_reply_was_carried_out_and_the_journal_knows() {
    let rig = Rig::start("lost").await;
    let policy = opened(rig.policy().await);
    rig.world
        .inject(Fault::once(Api::Run, FaultKind::LostReply).on_writes());
    let path = format!("{}:setIamPolicy", service());
    let at = rig.sandbox.addresses().run;
    let lost = try_plain(at, "POST", &path, Some(&rig.google), json!({"policy": policy})).await;
    assert!(lost.is_err());
    assert!(rig.world.gate().configured, "applied all the same");
    let call = rig.world.journal().pop().unwrap();
    assert!(call.wrote && call.changed && call.status == 200);
    assert_eq!(call.fault, Some(FaultKind::LostReply));
    let journal = serde_json::to_string(&rig.world.journal()).unwrap();
    assert!(!journal.contains(&rig.google), "no token in the journal");
}

#[tokio::test(start_paused = true)]
async fn a_late_write_is_carried_out_after_its_caller_has_gone() {
    let rig = Rig::start("late").await;
    let policy = opened(rig.policy().await);
    rig.world.inject(Fault::once(Api::Run, FaultKind::LateReply(30_000)));
    let waited = tokio::time::timeout(Duration::from_secs(10), rig.set_policy(&policy)).await;
    assert!(waited.is_err());
    assert!(!rig.world.gate().configured);
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert!(rig.world.gate().configured);
}

#[tokio::test(start_paused = true)]
async fn answers_can_be_nonsense_late_cut_or_never_come() {
    let rig = Rig::start("nonsense").await;
    let get = async || {
        let at = rig.sandbox.addresses().run;
        try_plain(at, "GET", &service(), Some(&rig.google), Value::Null).await
    };
    let once = |kind| rig.world.inject(Fault::once(Api::Run, kind));
    once(FaultKind::OkHtml);
    assert!(get().await.unwrap().body.starts_with("<html>"));
    once(FaultKind::TruncatedJson);
    assert!(serde_json::from_str::<Value>(&get().await.unwrap().body).is_err());
    once(FaultKind::ServerErrorHtml(502));
    assert_eq!(get().await.unwrap().status, 502);
    once(FaultKind::TooMany(Some(7)));
    let limited = get().await.unwrap();
    assert_eq!(
        (limited.error().1.as_str(), limited.header("retry-after")),
        ("RESOURCE_EXHAUSTED", "7")
    );
    assert!(limited.body.contains("\"retryDelay\":\"7s\""));
    once(FaultKind::HalfBody);
    assert!(get().await.is_err());
    once(FaultKind::Reset);
    assert!(get().await.is_err());
    once(FaultKind::Hang);
    assert!(tokio::time::timeout(Duration::from_secs(60), get()).await.is_err());
    assert_eq!(get().await.unwrap().status, 200, "each fault was for one call");
    assert!(rig.world.faults().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_region_takes_sixty_writes_a_minute() {
    let rig = Rig::start("quota").await;
    for _ in 0..60 {
        assert_eq!(
            rig.set_policy(&json!({"etag": "stale", "bindings": []})).await.status,
            409
        );
    }
    let limited = rig.set_policy(&json!({"etag": "stale", "bindings": []})).await;
    assert_eq!(limited.error(), (429, "RESOURCE_EXHAUSTED".to_owned()));
    advance(Duration::from_secs(61)).await;
    assert_eq!(
        rig.set_policy(&json!({"etag": "stale", "bindings": []})).await.status,
        409
    );
}

#[tokio::test]
async fn secrets_have_numbers_checksums_and_conditions() {
    let rig = Rig::start("secrets").await;
    let at = rig.sandbox.addresses().secrets;
    let access = async |version: &str| {
        let path = format!("/v1/projects/{PROJECT}/secrets/cloudflare-api-key/versions/{version}:access");
        plain(at, "GET", &path, Some(&rig.google), Value::Null).await
    };
    let latest = access("latest").await.json();
    assert!(latest["name"].as_str().unwrap().ends_with("/versions/1"));
    let good = latest["payload"]["dataCrc32c"].clone();
    rig.world
        .add_secret("cloudflare-api-key", b"x", SecretVersion::WrongChecksum);
    rig.world
        .add_secret("cloudflare-api-key", b"x", SecretVersion::Disabled);
    assert_ne!(access("2").await.json()["payload"]["dataCrc32c"], good);
    assert_eq!(access("latest").await.error(), (400, "FAILED_PRECONDITION".to_owned()));
    assert_eq!(access("9").await.status, 404);
    rig.world.set_rights([]);
    assert_eq!(access("1").await.status, 403);
}
