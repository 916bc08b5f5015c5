//! Cloudflare Worker routes: found by pattern, on with `script` and off without; and the Worker that the account has.

use serde_json::{Map, Value, json};

use super::cloudflare::{failure, success};
use super::lagging::Chance;
use super::serve::{Asked, Effect, Reply};
use super::world::{State, site_host};

/// The account's only Worker: `worker/standby.js`.
pub(super) const SCRIPT: &str = "standby";
const ROUTES: &str = "routes";

/// A site's routes as docs/worker.md sets them up: everything, and the paths that stay at home, none of them with a Worker.
pub(super) fn of_site(site: &str, chance: &mut Chance) -> Vec<Value> {
    let host = site_host(site);
    let paths = ["/*", "/healthz*", "/.well-known/*"];
    let route = |path| json!({"id": chance.hex_id(), "pattern": format!("{host}{path}")});
    paths.into_iter().map(route).collect()
}

/// Answers one call below `/zones/ZONE/workers`.
pub(super) fn answer(
    state: &mut State,
    asked: &Asked,
    rest: &[&str],
    no_route: impl Fn() -> Reply,
) -> Result<Reply, Reply> {
    match (asked.method.as_str(), rest) {
        ("GET", [ROUTES]) => Ok(success(&json!(state.zone.routes))),
        ("POST", [ROUTES]) => create(state, asked),
        ("GET" | "PUT" | "DELETE", [ROUTES, id]) => {
            let is_it = |route: &Value| route.get("id").is_some_and(|known| known == id);
            let place = state.zone.routes.iter().position(is_it);
            let place = place.ok_or_else(|| failure(404, 10007, "workers.api.error.route_not_found"))?;
            one(state, asked, place)
        }
        _ => Err(no_route()),
    }
}

fn create(state: &mut State, asked: &Asked) -> Result<Reply, Reply> {
    let route = checked(state, asked, None)?;
    let mut route = route;
    route.insert("id".to_owned(), json!(state.chance.hex_id()));
    let route = Value::Object(route);
    let reply = success(&route).did(Effect::Changed);
    state.zone.routes.push(route);
    Ok(reply)
}

fn one(state: &mut State, asked: &Asked, place: usize) -> Result<Reply, Reply> {
    let gone = || failure(404, 10007, "workers.api.error.route_not_found");
    let current = state.zone.routes.get(place).cloned().ok_or_else(gone)?;
    match asked.method.as_str() {
        "GET" => return Ok(success(&current)),
        "DELETE" => {
            state.zone.routes.remove(place);
            return Ok(success(&json!({"id": current.get("id")})).did(Effect::Changed));
        }
        _ => {}
    }
    let mut next = checked(state, asked, Some(place))?;
    next.insert("id".to_owned(), json!(current.get("id")));
    let next = Value::Object(next);
    let effect = if next == current {
        Effect::Unchanged
    } else {
        Effect::Changed
    };
    let slot = state.zone.routes.get_mut(place).ok_or_else(gone)?;
    *slot = next;
    Ok(success(slot).did(effect))
}

/// The body as a whole new definition: what it leaves out is gone.
fn checked(state: &State, asked: &Asked, place: Option<usize>) -> Result<Map<String, Value>, Reply> {
    let Ok(Value::Object(body)) = asked.json() else {
        return Err(failure(400, 10014, "workers.api.error.invalid_json"));
    };
    let pattern = body.get("pattern").and_then(Value::as_str).unwrap_or_default();
    let (host, path) = pattern.split_once('/').unwrap_or_default();
    let stars = host.trim_start_matches('*').contains('*') || path.trim_end_matches('*').contains('*');
    if host.is_empty() || stars || pattern.contains('?') {
        return Err(failure(400, 10022, "workers.api.error.invalid_route_pattern"));
    }
    let same = |route: &Value| route.get("pattern").is_some_and(|known| known == pattern);
    let twin = state.zone.routes.iter().position(same);
    if twin.is_some() && twin != place {
        return Err(failure(409, 10020, "workers.api.error.duplicate_route"));
    }
    let script = body.get("script").and_then(Value::as_str);
    if script.is_some_and(|script| !script.is_empty() && script != SCRIPT) {
        let words = "Cannot configure a route for a Worker which does not exist. Please ensure this Worker exists and try again.";
        return Err(failure(404, 10019, words));
    }
    let kept = ["pattern", "script", "request_limit_fail_open"];
    let fields = kept
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), body.get(name)?.clone())));
    Ok(fields.collect())
}
