//! The sandbox's Cloud Monitoring: snoozes, uptime checks, alert policies, incidents.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pilotlight::sandbox::{Api, CheckRun, Fault, FaultKind};
use serde_json::{Value, json};

use super::sandbox_rig::{Rig, options};

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
