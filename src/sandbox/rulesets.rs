//! Cloudflare rulesets: the entry point of the redirect phase, PATCH that replaces a rule's definition, dry runs.

use serde_json::{Map, Value, json};

use super::cloudflare::{failure, refusal, success};
use super::expression::{Condition, Target};
use super::lagging::Chance;
use super::serve::{Asked, Effect, Reply};
use super::world::{State, site_host, standby_host};

const PHASE: &str = "http_request_dynamic_redirect";
/// Rules that the free plan has in this phase.
const MAX_RULES: usize = 10;
const STATUS_CODES: [u64; 5] = [301, 302, 303, 307, 308];

/// The entry point ruleset of the redirect phase.
#[derive(Clone, Debug)]
pub(super) struct Ruleset {
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) rules: Vec<Value>,
}

/// The `ref` of a site's failover rule.
pub(super) fn rule_ref(site: &str) -> String {
    format!("pilotlight_{site}")
}

impl Ruleset {
    /// A rule per site, disabled, between two that are none of pilotlight's business.
    pub(super) fn with_sites(sites: &[String], chance: &mut Chance) -> Self {
        let mut rules = vec![foreign("owner_old_blog", "/old-blog", "https://blog.example/", chance)];
        rules.extend(sites.iter().map(|site| failover(site, chance)));
        rules.push(foreign("owner_shop", "/shop", "https://shop.example/", chance));
        Self {
            id: chance.hex_id(),
            version: 7,
            rules,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": "default",
            "description": "",
            "kind": "zone",
            "phase": PHASE,
            "version": self.version.to_string(),
            "last_updated": "2026-01-01T00:00:00.000000Z",
            "rules": self.rules,
        })
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.rules
            .iter()
            .position(|rule| rule.get("id").is_some_and(|known| known == id))
    }
}

fn failover(site: &str, chance: &mut Chance) -> Value {
    let (home, standby) = (site_host(site), standby_host(site));
    json!({
        "id": chance.hex_id(),
        "version": "3",
        "last_updated": "2026-01-01T00:00:00.000000Z",
        "action": "redirect",
        "ref": rule_ref(site),
        "description": "pilotlight: do not edit",
        "enabled": false,
        "expression": format!(
            "(http.host eq \"{home}\" and not starts_with(http.request.uri.path, \"/healthz\") and not \
             starts_with(http.request.uri.path, \"/.well-known/\"))"
        ),
        "action_parameters": {"from_value": {
            "status_code": 307,
            "preserve_query_string": true,
            "target_url": {"expression": format!("concat(\"https://{standby}\", http.request.uri.path)")},
        }},
    })
}

fn foreign(name: &str, path: &str, target: &str, chance: &mut Chance) -> Value {
    json!({
        "id": chance.hex_id(),
        "version": "1",
        "last_updated": "2026-01-01T00:00:00.000000Z",
        "action": "redirect",
        "ref": name,
        "description": "the owner's own",
        "enabled": true,
        "expression": format!("(http.request.uri.path eq \"{path}\")"),
        "action_parameters": {"from_value": {"status_code": 301, "target_url": {"value": target}}},
    })
}

/// Answers one call below `/zones/ZONE/rulesets`.
pub(super) fn answer(
    state: &mut State,
    asked: &Asked,
    rest: &[&str],
    no_route: impl Fn() -> Reply,
) -> Result<Reply, Reply> {
    let missing = || {
        failure(
            404,
            10003,
            "could not find entrypoint ruleset in the http_request_dynamic_redirect phase",
        )
    };
    match (asked.method.as_str(), rest) {
        ("GET", []) => {
            let set = state.zone.ruleset.as_ref().map(Ruleset::to_json);
            let all: Vec<Value> = set.into_iter().map(without_rules).collect();
            Ok(success(&json!(all)))
        }
        ("GET", ["phases", PHASE, "entrypoint"]) => {
            let set = state.zone.ruleset.as_ref().ok_or_else(missing)?;
            Ok(success(&set.to_json()))
        }
        ("POST", []) => create(state, asked),
        ("GET" | "PUT", [id]) | ("POST", [id, "rules"]) | ("PATCH" | "DELETE", [id, "rules", _]) => {
            let known = state.zone.ruleset.as_ref().is_some_and(|set| set.id == *id);
            if !known {
                return Err(failure(404, 10003, "could not find ruleset"));
            }
            change(state, asked, rest)
        }
        _ => Err(no_route()),
    }
}

fn without_rules(mut set: Value) -> Value {
    if let Some(set) = set.as_object_mut() {
        set.remove("rules");
    }
    set
}

/// Whether this is a rehearsal.
fn is_dry(asked: &Asked) -> Result<bool, Reply> {
    match asked.parameter("dry_run").as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(failure(
            400,
            10026,
            "invalid query parameter: dry_run must be true or false",
        )),
    }
}

fn body(asked: &Asked) -> Result<Map<String, Value>, Reply> {
    match asked.json() {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(failure(400, 10014, "request body must be an object")),
        Err(_) => Err(failure(400, 10014, "request body is not valid JSON")),
    }
}

fn change(state: &mut State, asked: &Asked, rest: &[&str]) -> Result<Reply, Reply> {
    let dry = is_dry(asked)?;
    let body = if asked.method == "GET" || asked.method == "DELETE" {
        Map::new()
    } else {
        body(asked)?
    };
    let State { zone, chance, .. } = state;
    let set = zone
        .ruleset
        .as_mut()
        .ok_or_else(|| failure(404, 10003, "could not find ruleset"))?;
    let mut next = set.clone();
    let gone = || failure(404, 10003, "could not find rule");
    match (asked.method.as_str(), rest) {
        ("GET", _) => return Ok(success(&set.to_json())),
        ("PATCH", [_, _, id]) => {
            let place = next.place(id).ok_or_else(gone)?;
            let old = next.rules.get_mut(place).ok_or_else(gone)?;
            redefine(old, &body)?;
        }
        ("DELETE", [_, _, id]) => {
            let place = next.place(id).ok_or_else(gone)?;
            next.rules.remove(place);
        }
        ("POST", _) => next.rules.push(defined(&body, chance)?),
        _ => next.rules = definitions(body.get("rules"), chance)?,
    }
    if next.rules.len() > MAX_RULES {
        return Err(failure(400, 20120, "exceeded maximum number of rules in the phase"));
    }
    if dry {
        return Ok(success(&Value::Null));
    }
    let effect = if next.rules == set.rules {
        Effect::Unchanged
    } else {
        Effect::Changed
    };
    if effect == Effect::Changed {
        next.version += 1;
        *set = next;
    }
    Ok(success(&set.to_json()).did(effect))
}

/// POST `/zones/ZONE/rulesets`: an entry point where there was none.
fn create(state: &mut State, asked: &Asked) -> Result<Reply, Reply> {
    let dry = is_dry(asked)?;
    let body = body(asked)?;
    let State { zone, chance, .. } = state;
    let ours =
        body.get("kind").is_some_and(|kind| kind == "zone") && body.get("phase").is_some_and(|phase| phase == PHASE);
    if !ours || zone.ruleset.is_some() {
        return Err(failure(
            400,
            20217,
            "a similar configuration with rules already exists or is not possible",
        ));
    }
    let set = Ruleset {
        id: chance.hex_id(),
        version: 1,
        rules: definitions(body.get("rules"), chance)?,
    };
    if dry {
        return Ok(success(&Value::Null));
    }
    let reply = success(&set.to_json()).did(Effect::Changed);
    zone.ruleset = Some(set);
    Ok(reply)
}

fn definitions(rules: Option<&Value>, chance: &mut Chance) -> Result<Vec<Value>, Reply> {
    let rules = rules.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let define = |rule: &Value| defined(rule.as_object().unwrap_or(&Map::new()), chance);
    rules.iter().map(define).collect()
}

/// A new rule.
fn defined(body: &Map<String, Value>, chance: &mut Chance) -> Result<Value, Reply> {
    let id = chance.hex_id();
    let mut rule = json!({"id": id, "ref": id, "version": "0"});
    redefine(&mut rule, body)?;
    Ok(rule)
}

/// Replaces a rule's definition: what is left out falls to its default, so a forgotten `enabled` switches it ON.
fn redefine(rule: &mut Value, body: &Map<String, Value>) -> Result<(), Reply> {
    if body.len() == 1 && body.contains_key("position") {
        return Ok(());
    }
    check(body)?;
    let kept = |name: &str| rule.get(name).cloned();
    let version = kept("version").and_then(|version| version.as_str()?.parse::<u64>().ok());
    let reference = body.get("ref").cloned().or_else(|| kept("ref"));
    let mut next = json!({
        "id": kept("id"),
        "version": version.unwrap_or_default().to_string(),
        "last_updated": kept("last_updated").unwrap_or_else(|| json!("2026-01-01T00:00:00.000000Z")),
        "action": body.get("action"),
        "ref": reference,
        "description": body.get("description").cloned().unwrap_or_else(|| json!("")),
        "enabled": body.get("enabled").cloned().unwrap_or(Value::Bool(true)),
        "expression": body.get("expression"),
        "action_parameters": body.get("action_parameters"),
    });
    if let (Some(next), Some(logging)) = (next.as_object_mut(), body.get("logging")) {
        next.insert("logging".to_owned(), logging.clone());
    }
    if next != *rule {
        let changed = [
            ("version", json!((version.unwrap_or_default() + 1).to_string())),
            ("last_updated", json!("2026-01-02T00:00:00.000000Z")),
        ];
        for (name, value) in changed {
            if let Some(next) = next.as_object_mut() {
                next.insert(name.to_owned(), value);
            }
        }
        *rule = next;
    }
    Ok(())
}

fn check(body: &Map<String, Value>) -> Result<(), Reply> {
    let wrong = |pointer: &str, message: &str| {
        let error = json!({"code": 20021, "message": message, "source": {"pointer": pointer}});
        refusal(400, &error, &json!([]))
    };
    if body.get("action").and_then(Value::as_str) != Some("redirect") {
        return Err(wrong("/action", "missing or unsupported action"));
    }
    let Some(expression) = body.get("expression").and_then(Value::as_str) else {
        return Err(wrong("/expression", "missing expression"));
    };
    Condition::parse(expression).map_err(|unclear| wrong("/expression", &unclear.to_string()))?;
    if body.get("enabled").is_some_and(|enabled| !enabled.is_boolean()) {
        return Err(wrong("/enabled", "must be a boolean"));
    }
    let value = body
        .get("action_parameters")
        .and_then(|parameters| parameters.get("from_value"));
    let Some(value) = value else {
        return Err(wrong("/action_parameters/from_value", "missing"));
    };
    let status = value
        .get("status_code")
        .map(|status| status.as_u64().unwrap_or_default());
    if status.is_some_and(|status| !STATUS_CODES.contains(&status)) {
        return Err(wrong(
            "/action_parameters/from_value/status_code",
            "invalid status code",
        ));
    }
    let pointer = "/action_parameters/from_value/target_url";
    match (
        value.pointer("/target_url/value"),
        value.pointer("/target_url/expression"),
    ) {
        (Some(Value::String(_)), None) => Ok(()),
        (None, Some(Value::String(expression))) => Target::parse(expression)
            .map(|_| ())
            .map_err(|unclear| wrong(pointer, &unclear.to_string())),
        _ => Err(wrong(pointer, "exactly one of value and expression is needed")),
    }
}
