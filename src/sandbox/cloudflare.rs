//! Cloudflare's API: the envelope, tokens, limits, and who answers which path.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::dns;
use super::edge_rules::EdgeRules;
use super::expression::Request;
use super::lagging::{Chance, FRONTS, Lagging};
use super::page_rules;
use super::rulesets::{self, Ruleset};
use super::run::Arrival;
use super::serve::{Asked, Effect, Reply};
use super::worker_routes;
use super::world::{RedirectFacts, State, ZONE};

/// Calls that a token may make in [`WINDOW`]; one more blocks it for as long again.
const CALLS_PER_WINDOW: u32 = 1200;
const WINDOW: Duration = Duration::from_secs(300);

/// The zone with everything in it.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) ruleset: Option<Ruleset>,
    pub(super) page_rules: Vec<Value>,
    pub(super) routes: Vec<Value>,
    pub(super) records: Vec<Value>,
    pub(super) edge: Lagging<Arc<EdgeRules>>,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) refusal_status: u16,
    window: Window,
}

/// What a token may do.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) status: &'static str,
    pub(super) expires_on: Option<String>,
    pub(super) owner: Owner,
    pub(super) scopes: Vec<String>,
}

/// Whose token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A user's.
    User,
    /// The account's: outlives people, and Page Rules refuse it.
    Account,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since: Option<Instant>,
    calls: u32,
    blocked_until: Option<Instant>,
}

impl Zone {
    pub(super) fn with_sites(sites: &[String], chance: &mut Chance) -> Self {
        let mut zone = Self {
            ruleset: Some(Ruleset::with_sites(sites, chance)),
            page_rules: sites.iter().map(|site| page_rules::forwarding(site, chance)).collect(),
            routes: sites
                .iter()
                .flat_map(|site| worker_routes::of_site(site, chance))
                .collect(),
            records: dns::records(sites, chance),
            edge: Lagging::new(Arc::default()),
            tokens: BTreeMap::new(),
            refusal_status: 403,
            window: Window::default(),
        };
        zone.edge = Lagging::new(Arc::new(zone.compiled()));
        zone
    }

    fn compiled(&self) -> EdgeRules {
        let rules = self.ruleset.as_ref().map_or(&[][..], |set| &set.rules);
        EdgeRules::compile(rules, &self.page_rules).with_routes(&self.routes)
    }

    /// Lets the edge follow the record.
    pub(super) fn follow(&mut self, arrival: Arrival, chance: &mut Chance) {
        let next = self.compiled();
        if **self.edge.written() != next {
            let delays = chance.delays(arrival.delay, arrival.spread);
            self.edge.write(Arc::new(next), arrival.now, delays);
        }
    }

    /// Whether a site's front page is redirected, or served by the Worker.
    pub(super) fn redirects(&self, host: &str, now: Instant) -> RedirectFacts {
        let asked = Request {
            host,
            path: "/",
            query: "",
            method: "GET",
        };
        RedirectFacts {
            configured: self.compiled().leads_away(asked),
            effective: (0..FRONTS).all(|front| self.edge.seen_by(front, now).leads_away(asked)),
        }
    }
}

/// A good answer.
pub(super) fn success(result: &Value) -> Reply {
    Reply::json(
        200,
        &json!({"success": true, "errors": [], "messages": [], "result": result}),
    )
}

/// One page of a list.
pub(super) fn page(asked: &Asked, items: &[Value]) -> Reply {
    let number = |name: &str, default: usize| {
        let given = asked.parameter(name).and_then(|text| text.parse::<usize>().ok());
        given.filter(|number| *number > 0).unwrap_or(default)
    };
    let (page, size) = (number("page", 1), number("per_page", 100));
    let shown: Vec<&Value> = items.iter().skip((page - 1).saturating_mul(size)).take(size).collect();
    let info = json!({
        "page": page,
        "per_page": size,
        "count": shown.len(),
        "total_count": items.len(),
        "total_pages": items.len().div_ceil(size),
    });
    Reply::json(
        200,
        &json!({"success": true, "errors": [], "messages": [], "result": shown, "result_info": info}),
    )
}

/// A refusal.
pub(super) fn failure(status: u16, code: u32, message: &str) -> Reply {
    refusal(status, &json!({"code": code, "message": message}), &json!([]))
}

pub(super) fn refusal(status: u16, error: &Value, messages: &Value) -> Reply {
    Reply::json(
        status,
        &json!({"success": false, "errors": [error], "messages": messages, "result": null}),
    )
}

/// 429 as Cloudflare says it.
pub(super) fn too_many(retry_after_secs: Option<u32>) -> Reply {
    let reply = failure(429, 971, "Please wait and consider throttling your request speed");
    match retry_after_secs {
        Some(secs) => reply.with("retry-after", &secs.to_string()),
        None => reply,
    }
}

/// Answers one call to the API.
pub(super) fn answer(state: &mut State, asked: &Asked, arrival: Arrival) -> Reply {
    let left = match state.zone.window.count(arrival.now) {
        Ok(left) => left,
        Err(wait) => return headers(too_many(Some(wait)), 0, &mut state.chance),
    };
    let reply = admit(state, asked)
        .and_then(|token| route(state, asked, &token))
        .unwrap_or_else(|refusal| refusal);
    if reply.effect == Effect::Changed {
        let State { zone, chance, .. } = state;
        zone.follow(arrival, chance);
    }
    headers(reply, left, &mut state.chance)
}

/// The headers that are on every answer.
pub(super) fn headers(reply: Reply, left: u32, chance: &mut Chance) -> Reply {
    let ray = chance.next();
    reply
        .with("ratelimit", &format!("\"default\";r={left};t=60"))
        .with("ratelimit-policy", "\"default\";q=1200;w=300")
        .with("cf-ray", &format!("{ray:016x}-FRA"))
        .with("server", "cloudflare")
}

impl Window {
    /// One call more: how many are left, or how many seconds to wait.
    fn count(&mut self, now: Instant) -> Result<u32, u32> {
        if let Some(until) = self.blocked_until.filter(|until| *until > now) {
            return Err(u32::try_from((until - now).as_secs()).unwrap_or(u32::MAX).max(1));
        }
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            *self = Self {
                since: Some(now),
                ..Self::default()
            };
        }
        self.calls += 1;
        if self.calls > CALLS_PER_WINDOW {
            self.blocked_until = Some(now + WINDOW);
            return Err(u32::try_from(WINDOW.as_secs()).unwrap_or(u32::MAX));
        }
        Ok(CALLS_PER_WINDOW - self.calls)
    }
}

/// The token, if the header has the right form and the token is known.
fn admit(state: &State, asked: &Asked) -> Result<Token, Reply> {
    let well_formed = |token: &&str| {
        !token.is_empty()
            && token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    let Some(token) = asked.bearer().filter(well_formed) else {
        let chain = json!([{"code": 6111, "message": "Invalid format for Authorization header"}]);
        let error = json!({"code": 6003, "message": "Invalid request headers", "error_chain": chain});
        return Err(refusal(400, &error, &json!([])));
    };
    let known = state.zone.tokens.get(token).cloned();
    if known.is_none() && asked.path.ends_with("/tokens/verify") {
        return Err(failure(401, 1000, "Invalid API Token"));
    }
    known.ok_or_else(|| unauthorized(state))
}

fn unauthorized(state: &State) -> Reply {
    failure(state.zone.refusal_status, 10000, "Authentication error")
}

fn route(state: &mut State, asked: &Asked, token: &Token) -> Result<Reply, Reply> {
    let path = asked.path.clone();
    let no_route = || {
        let chain = json!([{"code": 7000, "message": "No route for that URI"}]);
        let message = format!("Could not route to {path}, perhaps your object identifier is invalid?");
        refusal(
            404,
            &json!({"code": 7003, "message": message, "error_chain": chain}),
            &json!([]),
        )
    };
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let Some(rest) = segments.strip_prefix(&["client", "v4"]) else {
        return Err(no_route());
    };
    if let ["user", "tokens", "verify"] | ["accounts", _, "tokens", "verify"] = rest {
        return verify(token, rest.first() == Some(&"user"));
    }
    let ["zones", zone, kind, rest @ ..] = rest else {
        return Err(no_route());
    };
    if *zone != ZONE {
        return Err(if zone.len() == 32 {
            unauthorized(state)
        } else {
            no_route()
        });
    }
    if token.status != "active" || !token.scopes.iter().any(|scope| scope == kind) {
        return Err(unauthorized(state));
    }
    match *kind {
        "rulesets" => rulesets::answer(state, asked, rest, no_route),
        "pagerules" if token.owner == Owner::Account => Err(failure(
            400,
            1011,
            "Page Rules endpoint does not support account owned tokens",
        )),
        "pagerules" => page_rules::answer(state, asked, rest, no_route),
        "dns_records" => dns::answer(state, asked, rest, no_route),
        "workers" => worker_routes::answer(state, asked, rest, no_route),
        _ => Err(no_route()),
    }
}

fn verify(token: &Token, by_user_path: bool) -> Result<Reply, Reply> {
    if by_user_path == (token.owner == Owner::Account) {
        return Err(failure(401, 1000, "Invalid API Token"));
    }
    let mut result = json!({"id": token.id, "status": token.status});
    if let (Some(result), Some(expires)) = (result.as_object_mut(), &token.expires_on) {
        result.insert("expires_on".to_owned(), json!(expires));
    }
    let note = json!([{"code": 10000, "message": "This API Token is valid and active", "type": null}]);
    Ok(Reply::json(
        200,
        &json!({"success": true, "errors": [], "messages": note, "result": result}),
    ))
}
