//! The objects at the providers: a service's policy, a zone's rules, a project's snoozes and uptime checks, with other people's things
//! in them. Documents in, documents out; what the network does to them on the way is not known here.

use std::time::Duration;

use jiff::Timestamp;
use pilotlight::core::Position;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::laws;

const INVOKER: &str = "roles/run.invoker";
const EVERYONE: &str = "allUsers";

/// Who moved an object last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Us,
    /// A write of ours that arrived after we had given it up.
    UsLate,
    Other,
}

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    Gate,
    Redirect(usize),
    Silence(usize),
}

/// What a call does.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    ReadPolicy,
    WritePolicy(Value),
    ReadRuleset,
    PatchRule(usize, Value),
    ReadPageRule(usize),
    PatchPageRule(usize, Value),
    ListSnoozes,
    CreateSnooze(Value),
    MoveSnooze(String, Value),
    ReadCheck(usize),
    PatchCheck(usize, Value),
}

/// A position and when it came about.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    pub position: Position,
    pub at: Instant,
    pub by: By,
    /// When the position before came about, and by whom.
    pub before: (Instant, By),
    /// How long the change takes to reach visitors.
    pub lag: Duration,
    /// Counts changes of the object, of any kind.
    pub version: u64,
}

impl Moved {
    /// When it went on, the last time that it was, and by whom.
    pub const fn went_on(&self) -> (Instant, By) {
        match self.position {
            Position::On => (self.at, self.by),
            Position::Off => self.before,
        }
    }

    fn new(now: Instant) -> Self {
        Self {
            position: Position::Off,
            at: now - Duration::from_secs(86_400),
            by: By::Other,
            before: (now - Duration::from_secs(86_400), By::Other),
            lag: Duration::ZERO,
            version: 1,
        }
    }
}

/// All objects.
#[derive(Debug)]
pub struct Objects {
    pub policy: Value,
    pub gate: Moved,
    /// The zone's rules, ours among them, by site.
    pub rules: Vec<Value>,
    pub redirects: Vec<Moved>,
    pub snoozes: Vec<Value>,
    pub checks: Vec<Value>,
    pub silences: Vec<Moved>,
    pub page_rules: bool,
}

/// A refusal: status, word, message.
pub type Refusal = (u16, &'static str, &'static str);

impl Objects {
    pub fn new(sites: usize, page_rules: bool, now: Instant) -> Self {
        let rule = if page_rules { page_rule } else { single_redirect };
        let theirs = json!({"id": "r-theirs", "ref": "theirs", "version": "7", "action": "redirect", "enabled": true,
            "expression": "(http.host eq \"old.example\")", "action_parameters": {"from_list": {"name": "moved"}}});
        Self {
            policy: json!({
                "version": 3, "etag": "E1",
                "auditConfigs": [{"service": "run.googleapis.com", "auditLogConfigs": [{"logType": "DATA_WRITE"}]}],
                "bindings": [
                    {"role": "roles/run.viewer", "members": ["user:owner@site.example", "group:all@site.example"]},
                    {"role": INVOKER, "members": ["serviceAccount:cron@p.iam.gserviceaccount.com"]},
                    {"role": INVOKER, "members": [EVERYONE], "condition": {"title": "hours", "expression": "request.time.getHours() < 1"}},
                ],
            }),
            gate: Moved::new(now),
            rules: std::iter::once(theirs).chain((0..sites).map(rule)).collect(),
            redirects: vec![Moved::new(now); sites],
            snoozes: vec![
                json!({"name": "projects/p/snoozes/s-theirs", "displayName": "deploy", "criteria": {"policies": ["projects/1/alertPolicies/17"]},
                "interval": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2036-01-01T00:00:00Z"}}),
            ],
            checks: (0..sites).map(check).collect(),
            silences: vec![Moved::new(now); sites],
            page_rules,
        }
    }

    pub fn moved(&self, object: Object) -> &Moved {
        match object {
            Object::Gate => &self.gate,
            Object::Redirect(site) => &self.redirects[site],
            Object::Silence(site) => &self.silences[site],
        }
    }

    fn moved_mut(&mut self, object: Object) -> &mut Moved {
        match object {
            Object::Gate => &mut self.gate,
            Object::Redirect(site) => &mut self.redirects[site],
            Object::Silence(site) => &mut self.silences[site],
        }
    }

    /// An object has changed, and is in this position now.
    pub fn change(&mut self, object: Object, position: Position, by: By, lag: Duration, now: Instant) {
        let moved = self.moved_mut(object);
        moved.version += 1;
        if moved.position != position {
            moved.before = (moved.at, moved.by);
            (moved.position, moved.at, moved.by, moved.lag) = (position, now, by, lag);
        }
        let version = moved.version;
        if object == Object::Gate {
            self.policy["etag"] = json!(format!("E{version}"));
        }
    }

    /// The object that a write is about and the position it asks for.
    pub fn aim(&self, call: &Call) -> Option<(Object, Position)> {
        let on = |on: bool| if on { Position::On } else { Position::Off };
        Some(match call {
            Call::WritePolicy(body) => (Object::Gate, on(is_open(&body["policy"]))),
            Call::PatchRule(site, body) => (Object::Redirect(*site), on(body["enabled"] != json!(false))),
            Call::PatchPageRule(site, body) => (Object::Redirect(*site), on(body["status"] == "active")),
            Call::PatchCheck(site, body) => (Object::Silence(*site), on(body["disabled"] == json!(true))),
            Call::CreateSnooze(body) => (Object::Silence(site_of_snooze(body)?), Position::On),
            Call::MoveSnooze(name, body) => {
                let snooze = self.snoozes.iter().find(|snooze| snooze["name"] == name.as_str())?;
                let later = body["interval"]["endTime"].as_str() > snooze["interval"]["endTime"].as_str();
                (Object::Silence(site_of_snooze(snooze)?), on(later))
            }
            Call::ReadPolicy | Call::ReadRuleset | Call::ReadPageRule(_) | Call::ListSnoozes | Call::ReadCheck(_) => {
                return None;
            }
        })
    }

    /// The objects that a read shows.
    pub fn shown(&self, call: &Call) -> Vec<Object> {
        match call {
            Call::ReadPolicy => vec![Object::Gate],
            Call::ReadRuleset => (0..self.redirects.len()).map(Object::Redirect).collect(),
            Call::ReadPageRule(site) => vec![Object::Redirect(*site)],
            Call::ListSnoozes => (0..self.silences.len()).map(Object::Silence).collect(),
            Call::ReadCheck(site) => vec![Object::Silence(*site)],
            _ => Vec::new(),
        }
    }

    /// Carries a call out and gives the answer's document. `by` and `lag` are for what changes by it.
    pub fn carry_out(
        &mut self,
        call: &Call,
        by: By,
        lag: Duration,
        now: (Instant, Timestamp),
    ) -> Result<Value, Refusal> {
        let aim = self.aim(call);
        match call {
            Call::ReadPolicy => return Ok(self.policy.clone()),
            Call::ReadRuleset => return Ok(self.ruleset()),
            Call::ReadPageRule(site) => return Ok(self.rules[site + 1].clone()),
            Call::ReadCheck(site) => return Ok(self.checks[*site].clone()),
            Call::ListSnoozes => {
                self.lapse(now.1, now.0);
                return Ok(json!({ "snoozes": self.snoozes }));
            }
            Call::WritePolicy(body) => {
                if body["policy"]["etag"] != self.policy["etag"] {
                    return Err((
                        409,
                        "ABORTED",
                        "There were concurrent policy changes. Please retry the whole read-modify-write.",
                    ));
                }
                self.policy = body["policy"].clone();
            }
            Call::PatchRule(site, body) => {
                let version = self.redirects[*site].version + 1;
                let rule = &mut self.rules[site + 1];
                let mut patched = body.clone();
                for (field, value) in [
                    ("id", rule["id"].clone()),
                    ("version", json!(version.to_string())),
                    ("last_updated", json!(now.1.to_string())),
                ] {
                    patched[field] = value;
                }
                *rule = patched;
            }
            Call::PatchPageRule(site, body) => self.rules[site + 1]["status"] = body["status"].clone(),
            Call::PatchCheck(site, body) => self.checks[*site]["disabled"] = body["disabled"].clone(),
            Call::CreateSnooze(body) => {
                let mut snooze = body.clone();
                snooze["name"] = json!(format!("projects/p/snoozes/s-{}", self.snoozes.len()));
                self.snoozes.push(snooze);
            }
            Call::MoveSnooze(name, body) => {
                let snooze = self.snoozes.iter_mut().find(|snooze| snooze["name"] == name.as_str());
                let Some(snooze) = snooze else {
                    return Err((404, "NOT_FOUND", "no such snooze"));
                };
                snooze["interval"]["endTime"] = body["interval"]["endTime"].clone();
            }
        }
        let (object, position) = aim.expect("a write");
        self.change(object, position, by, lag, now.0);
        Ok(self.answer(call))
    }

    fn answer(&self, call: &Call) -> Value {
        match call {
            Call::PatchRule(..) => self.ruleset(),
            Call::PatchPageRule(site, _) => self.rules[site + 1].clone(),
            Call::PatchCheck(site, _) => self.checks[*site].clone(),
            Call::CreateSnooze(_) => self.snoozes.last().expect("just made").clone(),
            Call::MoveSnooze(name, _) => {
                let snooze = self.snoozes.iter().find(|snooze| snooze["name"] == name.as_str());
                snooze.expect("just moved").clone()
            }
            _ => self.policy.clone(),
        }
    }

    /// Snoozes that nobody renewed end by themselves.
    pub fn lapse(&mut self, wall: Timestamp, now: Instant) {
        for site in 0..self.silences.len() {
            if self.silences[site].position == Position::On && self.snoozed_until(site).is_some_and(|end| end <= wall) {
                self.change(Object::Silence(site), Position::Off, By::Other, Duration::ZERO, now);
            }
        }
    }

    /// When the last snooze of ours for this site ends.
    pub fn snoozed_until(&self, site: usize) -> Option<Timestamp> {
        let ours = self
            .snoozes
            .iter()
            .filter(|snooze| site_of_snooze(snooze) == Some(site));
        ours.filter_map(|snooze| snooze["interval"]["endTime"].as_str()?.parse().ok())
            .max()
    }

    fn ruleset(&self) -> Value {
        json!({"id": "rs", "name": "default", "kind": "zone", "phase": "http_request_dynamic_redirect", "version": "3", "rules": self.rules})
    }

    /// Everything in the document of `object` but what is ours.
    pub fn theirs(&self, object: Object) -> Value {
        match object {
            Object::Gate => laws::without_our_member(&self.policy),
            Object::Redirect(_) => laws::without_our_switch(&self.rules),
            Object::Silence(_) => laws::without_our_silence(&self.checks, &self.snoozes),
        }
    }

    /// Somebody else switches the redirect.
    pub fn set_switch(&mut self, site: usize, position: Position) {
        let on = position == Position::On;
        let rule = &mut self.rules[site + 1];
        if self.page_rules {
            rule["status"] = json!(if on { "active" } else { "disabled" });
        } else {
            rule["enabled"] = json!(on);
        }
    }

    /// Somebody else opens or shuts the gate.
    pub fn set_member(&mut self, position: Position) {
        if is_open(&self.policy) == (position == Position::On) {
            return;
        }
        let bindings = self.policy["bindings"].as_array_mut().expect("a list");
        if position == Position::On {
            bindings.push(json!({"role": INVOKER, "members": [EVERYONE]}));
        } else {
            for binding in bindings.iter_mut().filter(|binding| is_ours(binding)) {
                binding["members"]
                    .as_array_mut()
                    .expect("a list")
                    .retain(|member| member != EVERYONE);
            }
            bindings.retain(|binding| binding["members"] != json!([]));
        }
    }
}

pub fn is_open(policy: &Value) -> bool {
    let bindings = policy["bindings"].as_array();
    bindings.is_some_and(|bindings| {
        bindings.iter().any(|binding| {
            is_ours(binding)
                && binding["members"]
                    .as_array()
                    .is_some_and(|list| list.contains(&json!(EVERYONE)))
        })
    })
}

pub fn is_ours(binding: &Value) -> bool {
    binding["role"] == INVOKER && binding.get("condition").is_none()
}

/// Whose snooze it is, by its name: `pilotlight SITE POLICY ...`.
pub fn site_of_snooze(snooze: &Value) -> Option<usize> {
    let mut words = snooze["displayName"].as_str()?.split(' ');
    (words.next()? == "pilotlight").then_some(())?;
    super::world::SITES
        .iter()
        .position(|name| Some(*name) == words.clone().next())
}

fn single_redirect(site: usize) -> Value {
    json!({"id": format!("r{site}"), "ref": format!("ours{site}"), "version": "1", "last_updated": "x", "action": "redirect", "enabled": false,
        "description": "to the standby", "expression": format!("(http.host eq \"{site}.example\")"), "logging": {"enabled": true},
        "action_parameters": {"from_value": {"status_code": 307, "preserve_query_string": true,
            "target_url": {"expression": "concat(\"https://standby.example.net\", http.request.uri.path)"}}}})
}

fn page_rule(site: usize) -> Value {
    json!({"id": format!("p{site}"), "status": "disabled", "priority": 1, "created_on": "y", "modified_on": "x",
        "targets": [{"target": "url", "constraint": {"operator": "matches", "value": format!("{site}.example/*")}}],
        "actions": [{"id": "forwarding_url", "value": {"url": "https://standby.example.net/$1", "status_code": 302}}]})
}

fn check(site: usize) -> Value {
    json!({"name": format!("projects/p/uptimeCheckConfigs/c{site}"), "displayName": "home", "period": "60s",
        "httpCheck": {"path": "/", "useSsl": true}})
}
