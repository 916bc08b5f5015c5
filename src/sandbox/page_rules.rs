//! Cloudflare Page Rules: PATCH of the status, PUT that forgets it, reasons that hide in `messages`.

use serde_json::{Map, Value, json};

use super::cloudflare::{failure, refusal, success};
use super::lagging::Chance;
use super::serve::{Asked, Effect, Reply};
use super::world::{State, site_host, standby_host};

/// Rules that the free plan has, disabled ones included.
const MAX_RULES: usize = 3;

/// A site's forwarding rule, disabled.
pub(super) fn forwarding(site: &str, chance: &mut Chance) -> Value {
    json!({
        "id": chance.hex_id(),
        "targets": [{"target": "url", "constraint": {"operator": "matches", "value": format!("{}/*", site_host(site))}}],
        "actions": [{"id": "forwarding_url", "value": {"url": format!("https://{}/$1", standby_host(site)), "status_code": 302}}],
        "priority": 1,
        "status": "disabled",
        "created_on": "2026-01-01T00:00:00.000000Z",
        "modified_on": "2026-01-01T00:00:00.000000Z",
    })
}

/// Answers one call below `/zones/ZONE/pagerules`.
pub(super) fn answer(
    state: &mut State,
    asked: &Asked,
    rest: &[&str],
    no_route: impl Fn() -> Reply,
) -> Result<Reply, Reply> {
    match (asked.method.as_str(), rest) {
        ("GET", []) => Ok(list(state, asked)),
        ("POST", []) => create(state, asked),
        ("GET" | "PATCH" | "PUT" | "DELETE", [id]) => {
            let place = state
                .zone
                .page_rules
                .iter()
                .position(|rule| rule.get("id").is_some_and(|known| known == id))
                .ok_or_else(|| failure(404, 1002, "Invalid Page Rule identifier"))?;
            one(state, asked, place)
        }
        _ => Err(no_route()),
    }
}

/// The list; without `status` it shows the disabled ones only, as the schema's default says.
fn list(state: &State, asked: &Asked) -> Reply {
    let status = asked.parameter("status").unwrap_or_else(|| "disabled".to_owned());
    let rules = state.zone.page_rules.iter();
    let shown: Vec<&Value> = rules
        .filter(|rule| rule.get("status").is_some_and(|known| known == status.as_str()))
        .collect();
    success(&json!(shown))
}

fn body(asked: &Asked) -> Result<Map<String, Value>, Reply> {
    match asked.json() {
        Ok(Value::Object(body)) => Ok(body),
        _ => Err(failure(400, 1001, "Invalid request body")),
    }
}

fn create(state: &mut State, asked: &Asked) -> Result<Reply, Reply> {
    let body = body(asked)?;
    if state.zone.page_rules.len() >= MAX_RULES {
        return Err(invalid("You have reached the limit of page rules for this zone."));
    }
    let target = json!({"id": state.chance.hex_id(), "created_on": "2026-01-01T00:00:00.000000Z"});
    let rule = replaced(&target, &body)?;
    check(&rule, &state.zone.page_rules)?;
    let reply = success(&rule).did(Effect::Changed);
    state.zone.page_rules.push(rule);
    Ok(reply)
}

fn one(state: &mut State, asked: &Asked, place: usize) -> Result<Reply, Reply> {
    let gone = || failure(404, 1002, "Invalid Page Rule identifier");
    let current = state.zone.page_rules.get(place).cloned().ok_or_else(gone)?;
    let next = match asked.method.as_str() {
        "GET" => return Ok(success(&current)),
        "DELETE" => {
            state.zone.page_rules.remove(place);
            return Ok(success(&json!({"id": current.get("id")})).did(Effect::Changed));
        }
        "PUT" => replaced(&current, &body(asked)?)?,
        _ => patched(&current, &body(asked)?),
    };
    let others: Vec<Value> = state
        .zone
        .page_rules
        .iter()
        .filter(|rule| **rule != current)
        .cloned()
        .collect();
    check(&next, &others)?;
    let effect = if next == current {
        Effect::Unchanged
    } else {
        Effect::Changed
    };
    let slot = state.zone.page_rules.get_mut(place).ok_or_else(gone)?;
    *slot = next;
    Ok(success(slot).did(effect))
}

fn patched(current: &Value, body: &Map<String, Value>) -> Value {
    let mut next = current.clone();
    if let Some(next) = next.as_object_mut() {
        for name in ["status", "actions", "targets", "priority"] {
            if let Some(value) = body.get(name) {
                next.insert(name.to_owned(), value.clone());
            }
        }
    }
    next
}

/// A full replacement: `status` left out means disabled.
fn replaced(current: &Value, body: &Map<String, Value>) -> Result<Value, Reply> {
    let (Some(targets), Some(actions)) = (body.get("targets"), body.get("actions")) else {
        return Err(invalid(".targets and .actions are required."));
    };
    Ok(json!({
        "id": current.get("id"),
        "targets": targets,
        "actions": actions,
        "priority": body.get("priority").cloned().unwrap_or_else(|| json!(1)),
        "status": body.get("status").cloned().unwrap_or_else(|| json!("disabled")),
        "created_on": current.get("created_on"),
        "modified_on": "2026-01-02T00:00:00.000000Z",
    }))
}

/// 1004, with the reason in `messages`.
fn invalid(reason: &str) -> Reply {
    let error = json!({"code": 1004, "message": "Page Rule validation failed: See messages for details."});
    refusal(400, &error, &json!([{"code": 1, "message": reason, "type": null}]))
}

fn check(rule: &Value, others: &[Value]) -> Result<(), Reply> {
    let status = rule.get("status").and_then(Value::as_str).unwrap_or_default();
    if !["active", "disabled"].contains(&status) {
        return Err(invalid(".status: must be active or disabled."));
    }
    let target = rule.pointer("/targets/0/constraint/value").and_then(Value::as_str);
    let Some(target) = target.filter(|target| target.matches('*').count() <= 4) else {
        return Err(invalid(
            ".targets[0].constraint.value: is missing or has more than 4 wildcards.",
        ));
    };
    let same = |other: &Value| {
        other
            .pointer("/targets/0/constraint/value")
            .is_some_and(|known| known == target)
    };
    if others.iter().any(same) {
        return Err(invalid(
            ".distinctTargetUrl: Your zone already has an existing page rule with that URL.",
        ));
    }
    let actions = rule
        .get("actions")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let forwards = |action: &&Value| action.get("id").is_some_and(|id| id == "forwarding_url");
    let Some(forward) = actions.iter().find(forwards) else {
        return if actions.is_empty() {
            Err(invalid(".actions: is empty."))
        } else {
            Ok(())
        };
    };
    if actions.len() > 1 {
        return Err(invalid(
            ".actions: forwarding_url can not be combined with other actions.",
        ));
    }
    match forward.pointer("/value/status_code").and_then(Value::as_u64) {
        Some(301 | 302) => Ok(()),
        _ => Err(invalid(".actions[0].value.status_code: must be 301 or 302.")),
    }
}
