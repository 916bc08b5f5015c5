//! The silence by a snooze: only snoozes of ours are moved, only their end, and one is created only when a good list shows none.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use pilotlight::core::Position;
use serde_json::{Value, json};

use crate::provider::Call;
use crate::rig::{self, NOW, Run};
use crate::script::Ask;

/// What the names of our snoozes begin with.
const OURS: &str = "pilotlight box 17 ";
/// The budget of writes in a minute (DESIGN rule 11).
const MOST_WRITES: usize = 6;

/// Runs one input.
pub fn try_one(data: &[u8]) {
    rig::with(|rig| check(&rig.run(data, rig::Rig::snooze)));
}

fn check(run: &Run) {
    let writes = run.writes();
    assert!(writes.len() <= MOST_WRITES, "{run:?}");
    let lists: Vec<&Call> = run.calls.iter().filter(|call| !call.is_write()).collect();
    let listed: Vec<(Value, Timestamp)> = lists.iter().flat_map(|call| ours(call)).collect();
    if !writes.is_empty() {
        assert!(
            lists.last().is_some_and(|list| is_list(&json_of(list))),
            "written after garbage: {run:?}"
        );
    }
    for (write, _) in writes {
        match write.method.as_str() {
            "POST" => {
                assert_eq!(run.ask, Ask::On, "{run:?}");
                let active = listed
                    .iter()
                    .any(|(snooze, now)| time(snooze, "endTime").is_some_and(|ends| ends > *now));
                assert!(!active, "one of ours mutes already: {run:?}");
                created(write);
            }
            "PATCH" => {
                let (path, mask) = write.path.split_once("?updateMask=").expect("an update mask");
                assert!(matches!(mask, "interval.endTime" | "interval.end_time"), "{run:?}");
                let is_its = |snooze: &Value| {
                    snooze["name"]
                        .as_str()
                        .is_some_and(|name| path == format!("/v3/{name}"))
                };
                assert!(listed.iter().any(|(snooze, _)| is_its(snooze)), "not ours: {run:?}");
                let sent = write.json();
                let end = sent["interval"]["endTime"].clone();
                assert_eq!(sent, json!({"interval": {"endTime": end}}), "{run:?}");
                assert!(
                    end.as_str().is_some_and(|end| end.parse::<Timestamp>().is_ok()),
                    "{run:?}"
                );
            }
            other => panic!("{other}: {run:?}"),
        }
    }
    if let Ok(observed) = &run.result {
        let lapses = observed.lapses_in;
        assert_eq!(observed.configured == Some(Position::On), lapses.is_some(), "{run:?}");
    }
}

fn created(write: &Call) {
    assert_eq!(write.path, "/v3/projects/p/snoozes");
    let sent = write.json();
    let name = sent["displayName"].as_str().unwrap_or_default();
    assert!(name.starts_with(OURS), "{sent}");
    assert_eq!(sent["criteria"], json!({"policies": ["projects/p/alertPolicies/17"]}));
    let interval = &sent["interval"];
    let ends = time(&sent, "startTime").and_then(|starts| starts.checked_add(Duration::from_secs(3600)).ok());
    assert!(ends.is_none() || time(&sent, "endTime") == ends, "{interval}");
    assert_eq!(sent.as_object().map(serde_json::Map::len), Some(3), "{sent}");
}

/// Our snoozes in the answer, each with the provider's time.
fn ours(call: &Call) -> Vec<(Value, Timestamp)> {
    let date = call
        .answered
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("date"));
    let date = date.and_then(|(_, date)| DateTimeParser::new().parse_timestamp(date.trim()).ok());
    let usual = Timestamp::from_millisecond(i64::try_from(NOW.0).unwrap_or_default()).unwrap_or_default();
    let now = date.filter(|date| *date >= Timestamp::UNIX_EPOCH).unwrap_or(usual);
    let list = json_of(call);
    let all = list["snoozes"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(is_ours).map(|snooze| (snooze, now)).collect()
}

fn is_ours(snooze: &Value) -> bool {
    let policies = snooze["criteria"]["policies"].as_array();
    let last = |policy: &Value| {
        policy
            .as_str()
            .and_then(|policy| policy.rsplit('/').next().map(str::to_owned))
    };
    snooze["displayName"]
        .as_str()
        .is_some_and(|name| name.starts_with(OURS))
        && policies.is_some_and(|policies| policies.iter().any(|policy| last(policy).as_deref() == Some("17")))
}

fn is_list(list: &Value) -> bool {
    let Some(fields) = list.as_object() else {
        return false;
    };
    fields
        .get("snoozes")
        .map_or_else(|| fields.keys().all(|key| key == "nextPageToken"), Value::is_array)
}

fn json_of(call: &Call) -> Value {
    let body = Some(&call.answered.body).filter(|_| call.answered.is_success());
    body.and_then(|body| serde_json::from_slice(body).ok())
        .unwrap_or_default()
}

fn time(snooze: &Value, field: &str) -> Option<Timestamp> {
    snooze["interval"][field].as_str()?.parse().ok()
}
