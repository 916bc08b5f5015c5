//! Cloud Monitoring: snoozes, uptime checks and alert policies.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::google;
use super::serve::{Asked, Effect, Reply};
use super::world::{PROJECT, SilenceFacts, State, site_host};

pub(super) const HOST: &str = "monitoring.googleapis.com";
/// How far in the past a snooze may start.
const SKEW_FORGIVEN: SignedDuration = SignedDuration::from_secs(15);
const MAX_POLICIES: usize = 16;
const MAX_NAME: usize = 512;
/// How many snoozes are kept; they have no DELETE.
const MAX_SNOOZES: usize = 10_000;

const CHECK_FIELDS: [&str; 13] = [
    "name",
    "displayName",
    "monitoredResource",
    "resourceGroup",
    "httpCheck",
    "tcpCheck",
    "period",
    "timeout",
    "contentMatchers",
    "selectedRegions",
    "checkerType",
    "userLabels",
    "disabled",
];
const POLICY_FIELDS: [&str; 13] = [
    "name",
    "displayName",
    "documentation",
    "userLabels",
    "conditions",
    "combiner",
    "enabled",
    "validity",
    "notificationChannels",
    "creationRecord",
    "mutationRecord",
    "alertStrategy",
    "severity",
];
const SNOOZE_FIELDS: [&str; 4] = ["name", "criteria", "interval", "displayName"];

/// The API's state.
#[derive(Debug)]
pub(super) struct Monitoring {
    pub(super) checks: BTreeMap<String, Value>,
    pub(super) policies: BTreeMap<String, Value>,
    pub(super) snoozes: BTreeMap<u64, Value>,
    /// Alert policies with an open incident.
    pub(super) incidents: BTreeMap<String, Incident>,
    /// Messages that Google's notification channel would have sent.
    pub(super) messages: Vec<Value>,
    /// How many probes each check has sent.
    pub(super) probes: BTreeMap<String, u64>,
    next_snooze: u64,
}

/// An open incident.
#[derive(Clone, Debug)]
pub(super) struct Incident {
    pub(super) id: String,
    pub(super) since: Timestamp,
}

/// The uptime check of a site.
pub(super) fn check_id(site: &str) -> String {
    format!("{site}-uptime")
}

/// The alert policy of a site.
pub(super) fn policy_id(site: &str) -> String {
    let sum = super::faults::checksum(site.as_bytes(), 0xedb8_8320);
    format!("1{sum:019}")
}

impl Monitoring {
    pub(super) fn with_sites(sites: &[String]) -> Self {
        Self {
            checks: sites.iter().map(|site| (check_id(site), uptime_check(site))).collect(),
            policies: sites.iter().map(|site| (policy_id(site), alert_policy(site))).collect(),
            snoozes: BTreeMap::new(),
            incidents: BTreeMap::new(),
            messages: Vec::new(),
            probes: BTreeMap::new(),
            next_snooze: 4_000_000_001,
        }
    }

    pub(super) fn silence(&self, site: &str, now: Timestamp) -> SilenceFacts {
        let flag = |object: Option<&Value>, name| object.and_then(|object| object.get(name)?.as_bool());
        SilenceFacts {
            snoozed_for: self
                .snoozed_until(&policy_id(site), now)
                .and_then(|until| until.duration_since(now).try_into().ok()),
            check_disabled: flag(self.checks.get(&check_id(site)), "disabled").unwrap_or(false),
            policy_enabled: flag(self.policies.get(&policy_id(site)), "enabled").unwrap_or(true),
        }
    }

    /// Until when the latest active snooze on this policy lasts.
    pub(super) fn snoozed_until(&self, policy: &str, now: Timestamp) -> Option<Timestamp> {
        let name = format!("projects/{PROJECT}/alertPolicies/{policy}");
        self.snoozes
            .values()
            .filter(|snooze| {
                let policies = snooze.pointer("/criteria/policies").and_then(Value::as_array);
                policies.is_some_and(|policies| policies.iter().any(|known| known == name.as_str()))
            })
            .filter_map(|snooze| Some((instant(snooze, "startTime")?, instant(snooze, "endTime")?)))
            .filter(|(start, end)| *start <= now && now < *end)
            .map(|(_, end)| end)
            .max()
    }

    /// Ends the incident on this policy and says so on the notification channel.
    pub(super) fn close_incident(&mut self, policy: &str, why: &str, now: Timestamp) {
        if let Some(incident) = self.incidents.remove(policy) {
            self.messages
                .push(super::checker::incident_message(policy, &incident, Some(now), why));
        }
    }
}

fn uptime_check(site: &str) -> Value {
    json!({
        "name": format!("projects/{PROJECT}/uptimeCheckConfigs/{}", check_id(site)),
        "displayName": format!("{site} at home"),
        "monitoredResource": {"type": "uptime_url", "labels": {"host": site_host(site), "project_id": PROJECT}},
        "httpCheck": {"useSsl": true, "validateSsl": true, "path": "/", "port": 443, "requestMethod": "GET"},
        "period": "60s",
        "timeout": "10s",
        "checkerType": "STATIC_IP_CHECKERS",
    })
}

fn alert_policy(site: &str) -> Value {
    let name = format!("projects/{PROJECT}/alertPolicies/{}", policy_id(site));
    let filter = format!(
        "metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.label.check_id=\"{}\" AND \
         resource.type=\"uptime_url\"",
        check_id(site)
    );
    json!({
        "name": name,
        "displayName": format!("{site} is down"),
        "combiner": "OR",
        "enabled": true,
        "conditions": [{
            "name": format!("{name}/conditions/7"),
            "displayName": "uptime check failed",
            "conditionThreshold": {"filter": filter, "comparison": "COMPARISON_GT", "thresholdValue": 1, "duration": "60s"},
        }],
        "creationRecord": {"mutateTime": "2026-01-01T00:00:00Z", "mutatedBy": "owner@site.example"},
    })
}

/// What the API was told beside the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quirk {
    None,
    /// Says yes to `disabled` and ignores it.
    IgnoresDisabled,
}

/// Answers one call to the API.
pub(super) fn answer(state: &mut State, asked: &Asked, quirk: Quirk) -> Reply {
    let path = asked.path.clone();
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let method = asked.method.as_str();
    let reply = match (method, segments.as_slice()) {
        (_, ["v3", "projects", project, ..]) if *project != PROJECT => {
            let resource = format!("projects/{project}");
            Err(google::denied("monitoring.projects.get", &resource))
        }
        ("GET", ["v3", "projects", _, "uptimeCheckConfigs"]) => list_checks(state, asked),
        ("GET", ["v3", "projects", _, "uptimeCheckConfigs", id]) => read_check(state, asked, id),
        ("PATCH", ["v3", "projects", _, "uptimeCheckConfigs", id]) => patch_check(state, asked, id, quirk),
        ("GET", ["v3", "projects", _, "alertPolicies"]) => list_policies(state, asked),
        ("GET", ["v3", "projects", _, "alertPolicies", id]) => read_policy(state, asked, id),
        ("PATCH", ["v3", "projects", _, "alertPolicies", id]) => patch_policy(state, asked, id),
        ("POST", ["v3", "projects", _, "snoozes"]) => create_snooze(state, asked),
        ("GET", ["v3", "projects", _, "snoozes"]) => list_snoozes(state, asked),
        ("GET", ["v3", "projects", _, "snoozes", id]) => read_snooze(state, asked, id),
        ("PATCH", ["v3", "projects", _, "snoozes", id]) => patch_snooze(state, asked, id),
        _ => Err(google::no_route(&path)),
    };
    reply.unwrap_or_else(|refusal| refusal)
}

fn admit(state: &State, asked: &Asked, permission: &str) -> Result<(), Reply> {
    let resource = format!("projects/{PROJECT}");
    google::authorize(
        state,
        asked,
        HOST,
        &format!("monitoring.{permission}"),
        &resource,
        false,
    )
}

/// One page of a list; an empty list is `{}`.
fn page<'a>(asked: &Asked, name: &str, items: impl Iterator<Item = &'a Value>) -> Reply {
    let size = asked.parameter("pageSize").and_then(|size| size.parse().ok());
    let size: usize = size.filter(|size| *size > 0).unwrap_or(100);
    let start: usize = asked
        .parameter("pageToken")
        .and_then(|token| token.strip_prefix("from-")?.parse().ok())
        .unwrap_or_default();
    let mut items: Vec<Value> = items.skip(start).take(size + 1).map(shown).collect();
    let more = items.len() > size;
    items.truncate(size);
    let mut reply = Map::new();
    if !items.is_empty() {
        reply.insert(name.to_owned(), items.into());
    }
    if more {
        reply.insert("nextPageToken".to_owned(), json!(format!("from-{}", start + size)));
    }
    Reply::json(200, &reply.into())
}

fn shown(value: &Value) -> Value {
    google::without_defaults(value, &["enabled"])
}

fn list_checks(state: &State, asked: &Asked) -> Result<Reply, Reply> {
    admit(state, asked, "uptimeCheckConfigs.list")?;
    Ok(page(asked, "uptimeCheckConfigs", state.monitoring.checks.values()))
}

fn read_check(state: &State, asked: &Asked, id: &str) -> Result<Reply, Reply> {
    admit(state, asked, "uptimeCheckConfigs.get")?;
    let check = state.monitoring.checks.get(id);
    check
        .map(|check| Reply::json(200, &shown(check)))
        .ok_or_else(|| google::not_found("UptimeCheckConfig", id))
}

fn patch_check(state: &mut State, asked: &Asked, id: &str, quirk: Quirk) -> Result<Reply, Reply> {
    admit(state, asked, "uptimeCheckConfigs.update")?;
    let body = google::object(asked, &CHECK_FIELDS)?;
    if body.get("disabled").is_some_and(|disabled| !disabled.is_boolean()) {
        return Err(google::invalid("uptime_check_config.disabled", "Must be a boolean."));
    }
    let missing = || google::not_found("UptimeCheckConfig", id);
    let check = state.monitoring.checks.get_mut(id).ok_or_else(missing)?;
    let mut next = google::masked(check, &body, &google::mask(asked), &CHECK_FIELDS, &["name"])?;
    if quirk == Quirk::IgnoresDisabled
        && let Some(next) = next.as_object_mut()
    {
        let before = check.get("disabled").cloned().unwrap_or(json!(false));
        next.insert("disabled".to_owned(), before);
    }
    let effect = replaced(check, next);
    Ok(Reply::json(200, &shown(check)).did(effect))
}

fn replaced(place: &mut Value, next: Value) -> Effect {
    let effect = if shown(place) == shown(&next) {
        Effect::Unchanged
    } else {
        Effect::Changed
    };
    *place = next;
    effect
}

fn list_policies(state: &State, asked: &Asked) -> Result<Reply, Reply> {
    admit(state, asked, "alertPolicies.list")?;
    Ok(page(asked, "alertPolicies", state.monitoring.policies.values()))
}

fn read_policy(state: &State, asked: &Asked, id: &str) -> Result<Reply, Reply> {
    admit(state, asked, "alertPolicies.get")?;
    let policy = state.monitoring.policies.get(id);
    policy
        .map(|policy| Reply::json(200, &shown(policy)))
        .ok_or_else(|| google::not_found("AlertPolicy", id))
}

fn patch_policy(state: &mut State, asked: &Asked, id: &str) -> Result<Reply, Reply> {
    admit(state, asked, "alertPolicies.update")?;
    let body = google::object(asked, &POLICY_FIELDS)?;
    let now = state.now();
    let missing = || google::not_found("AlertPolicy", id);
    let policy = state.monitoring.policies.get_mut(id).ok_or_else(missing)?;
    let fixed = ["name", "creationRecord", "mutationRecord"];
    let mut next = google::masked(policy, &body, &google::mask(asked), &POLICY_FIELDS, &fixed)?;
    if let Some(next) = next.as_object_mut() {
        // A wrapper: unset on write means enabled, and it is always shown.
        let enabled = next.entry("enabled").or_insert(json!(true));
        if enabled.is_null() {
            *enabled = json!(true);
        }
    }
    let effect = replaced(policy, next);
    let reply = Reply::json(200, &shown(policy)).did(effect);
    let why = "Incident cancelled because the alert policy was changed.";
    state.monitoring.close_incident(id, why, now);
    Ok(reply)
}

fn instant(snooze: &Value, which: &str) -> Option<Timestamp> {
    snooze.get("interval")?.get(which)?.as_str()?.parse().ok()
}

fn create_snooze(state: &mut State, asked: &Asked) -> Result<Reply, Reply> {
    admit(state, asked, "snoozes.create")?;
    let now = state.now();
    let mut body = google::object(asked, &SNOOZE_FIELDS)?;
    body.remove("name");
    let snooze = Value::Object(body);
    check_snooze(&snooze, &state.monitoring)?;
    let start =
        instant(&snooze, "startTime").ok_or_else(|| google::invalid("snooze.interval.start_time", "Required."))?;
    if now.duration_since(start) > SKEW_FORGIVEN {
        return Err(google::invalid(
            "snooze.interval.start_time",
            "The start time must not be in the past.",
        ));
    }
    let monitoring = &mut state.monitoring;
    while monitoring.snoozes.len() >= MAX_SNOOZES {
        monitoring.snoozes.pop_first();
    }
    let id = monitoring.next_snooze;
    monitoring.next_snooze += 1;
    let mut snooze = snooze;
    if let Some(fields) = snooze.as_object_mut() {
        fields.insert("name".to_owned(), json!(format!("projects/{PROJECT}/snoozes/{id}")));
    }
    let reply = Reply::json(200, &shown(&snooze)).did(Effect::Changed);
    monitoring.snoozes.insert(id, snooze);
    quiet_down(monitoring, now);
    Ok(reply)
}

/// An active snooze closes open incidents.
fn quiet_down(monitoring: &mut Monitoring, now: Timestamp) {
    let open: Vec<String> = monitoring.incidents.keys().cloned().collect();
    for policy in open {
        if monitoring.snoozed_until(&policy, now).is_some() {
            monitoring.close_incident(&policy, "Incident closed because the alert policy was snoozed.", now);
        }
    }
}

fn check_snooze(snooze: &Value, monitoring: &Monitoring) -> Result<(), Reply> {
    let name = snooze.get("displayName").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(google::invalid("snooze.display_name", "Must have 1 to 512 characters."));
    }
    let policies = snooze.pointer("/criteria/policies").and_then(Value::as_array);
    let policies = policies.map_or(&[][..], Vec::as_slice);
    if policies.is_empty() || policies.len() > MAX_POLICIES {
        return Err(google::invalid(
            "snooze.criteria.policies",
            "Must name 1 to 16 alert policies.",
        ));
    }
    for policy in policies {
        let name = policy.as_str().unwrap_or_default();
        let id = name.strip_prefix(&format!("projects/{PROJECT}/alertPolicies/"));
        if !id.is_some_and(|id| monitoring.policies.contains_key(id)) {
            return Err(google::not_found("AlertPolicy", name));
        }
    }
    let (Some(start), Some(end)) = (instant(snooze, "startTime"), instant(snooze, "endTime")) else {
        return Err(google::invalid(
            "snooze.interval",
            "Start and end time are required, in RFC 3339.",
        ));
    };
    if end < start {
        return Err(google::invalid(
            "snooze.interval",
            "The end time must not be before the start time.",
        ));
    }
    Ok(())
}

fn list_snoozes(state: &State, asked: &Asked) -> Result<Reply, Reply> {
    admit(state, asked, "snoozes.list")?;
    Ok(page(asked, "snoozes", state.monitoring.snoozes.values()))
}

fn read_snooze(state: &State, asked: &Asked, id: &str) -> Result<Reply, Reply> {
    admit(state, asked, "snoozes.get")?;
    let snooze = id.parse().ok().and_then(|id: u64| state.monitoring.snoozes.get(&id));
    snooze
        .map(|snooze| Reply::json(200, &shown(snooze)))
        .ok_or_else(|| google::not_found("Snooze", id))
}

fn patch_snooze(state: &mut State, asked: &Asked, id: &str) -> Result<Reply, Reply> {
    admit(state, asked, "snoozes.update")?;
    let now = state.now();
    let body = google::object(asked, &SNOOZE_FIELDS)?;
    let mask = google::mask(asked);
    let missing = || google::not_found("Snooze", id);
    let number: u64 = id.parse().map_err(|_| missing())?;
    let current = state.monitoring.snoozes.get(&number).cloned().ok_or_else(missing)?;
    let (start, end) = (instant(&current, "startTime"), instant(&current, "endTime"));
    if end.is_some_and(|end| end <= now) {
        return Err(google::failed_precondition(
            "A snooze that has ended can not be changed.",
        ));
    }
    let next = google::masked(&current, &body, &mask, &SNOOZE_FIELDS, &["name"])?;
    let started = start.is_some_and(|start| start <= now);
    let fixed = ["/criteria", "/interval/startTime"];
    if started && fixed.iter().any(|path| next.pointer(path) != current.pointer(path)) {
        return Err(google::failed_precondition(
            "Of an active snooze only display_name and interval.end_time can be changed.",
        ));
    }
    check_snooze(&next, &state.monitoring)?;
    let effect = if next == current {
        Effect::Unchanged
    } else {
        Effect::Changed
    };
    let reply = Reply::json(200, &shown(&next)).did(effect);
    state.monitoring.snoozes.insert(number, next);
    quiet_down(&mut state.monitoring, now);
    Ok(reply)
}
