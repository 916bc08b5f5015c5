//! The redirect rules as the edge applies them: compiled from the API's records.

use serde_json::Value;

use super::expression::{Condition, Request, Target};

/// All enabled rules of the zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EdgeRules {
    singles: Vec<Single>,
    forwards: Vec<Forward>,
    routes: Vec<WorkerRoute>,
}

/// A Worker route, the longest pattern first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WorkerRoute {
    pattern: String,
    runs: bool,
}

/// A Single Redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Single {
    condition: Condition,
    target: Target,
    status: u16,
    keep_query: bool,
}

/// A Page Rule that forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Forward {
    pattern: String,
    url: String,
    status: u16,
    priority: i64,
}

/// Where the edge sends a visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    pub(super) status: u16,
    pub(super) location: String,
}

impl EdgeRules {
    /// Compiles what is enabled; what does not compile was refused by the API and is left out.
    pub(super) fn compile(rules: &[Value], page_rules: &[Value]) -> Self {
        let enabled = |rule: &&Value| rule.get("enabled").and_then(Value::as_bool) != Some(false);
        let mut forwards: Vec<Forward> = page_rules.iter().filter_map(forward).collect();
        forwards.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        Self {
            singles: rules.iter().filter(enabled).filter_map(single).collect(),
            forwards,
            routes: Vec::new(),
        }
    }

    /// The same with the zone's Worker routes.
    pub(super) fn with_routes(mut self, routes: &[Value]) -> Self {
        self.routes = routes.iter().filter_map(worker_route).collect();
        self.routes.sort_by_key(|route| std::cmp::Reverse(route.pattern.len()));
        self
    }

    /// Whether the most specific route for a request runs the Worker.
    pub(super) fn runs_worker(&self, request: Request<'_>) -> bool {
        let full = format!("{}{}", request.host, request.path);
        let fits = |route: &&WorkerRoute| captures(&route.pattern, &full).is_some();
        self.routes.iter().find(fits).is_some_and(|route| route.runs)
    }

    /// Whether home does not get a request.
    pub(super) fn leads_away(&self, request: Request<'_>) -> bool {
        self.redirect(request).is_some() || self.runs_worker(request)
    }

    /// The redirect for a request, if one applies. Modern rules win over Page Rules, and a Worker suppresses those.
    pub(super) fn redirect(&self, request: Request<'_>) -> Option<Redirect> {
        let single = self.singles.iter().find(|rule| rule.condition.holds(request));
        single.map(|rule| rule.apply(request)).or_else(|| {
            let mut forwards = self.forwards.iter().filter(|_| !self.runs_worker(request));
            forwards.find_map(|rule| rule.apply(request))
        })
    }
}

impl Single {
    fn apply(&self, request: Request<'_>) -> Redirect {
        let mut location = self.target.resolve(request);
        if self.keep_query && !request.query.is_empty() && !location.contains('?') {
            location = format!("{location}?{}", request.query);
        }
        Redirect {
            status: self.status,
            location,
        }
    }
}

impl Forward {
    fn apply(&self, request: Request<'_>) -> Option<Redirect> {
        let full = if request.query.is_empty() {
            format!("{}{}", request.host, request.path)
        } else {
            format!("{}{}?{}", request.host, request.path, request.query)
        };
        let captured = captures(&self.pattern, &full)?;
        let mut location = self.url.clone();
        for (place, text) in captured.iter().enumerate().rev() {
            location = location.replace(&format!("${}", place + 1), text);
        }
        Some(Redirect {
            status: self.status,
            location,
        })
    }
}

fn single(rule: &Value) -> Option<Single> {
    let value = rule.pointer("/action_parameters/from_value")?;
    let target = value.get("target_url")?;
    let target = match (target.get("value"), target.get("expression")) {
        (Some(url), None) => Target::fixed(url.as_str()?),
        (None, Some(expression)) => Target::parse(expression.as_str()?).ok()?,
        _ => return None,
    };
    let status = value.get("status_code").and_then(Value::as_u64);
    Some(Single {
        condition: Condition::parse(rule.get("expression")?.as_str()?).ok()?,
        target,
        status: status.and_then(|status| u16::try_from(status).ok()).unwrap_or(301),
        keep_query: value.get("preserve_query_string").and_then(Value::as_bool) == Some(true),
    })
}

fn forward(rule: &Value) -> Option<Forward> {
    if rule.get("status")?.as_str()? != "active" {
        return None;
    }
    let pattern = rule.pointer("/targets/0/constraint/value")?.as_str()?;
    let action = rule.pointer("/actions/0")?;
    if action.get("id")?.as_str()? != "forwarding_url" {
        return None;
    }
    let value = action.get("value")?;
    Some(Forward {
        pattern: pattern.split_once("://").map_or(pattern, |(_, rest)| rest).to_owned(),
        url: value.get("url")?.as_str()?.to_owned(),
        status: u16::try_from(value.get("status_code")?.as_u64()?).ok()?,
        priority: rule.get("priority").and_then(Value::as_i64).unwrap_or(1),
    })
}

fn worker_route(route: &Value) -> Option<WorkerRoute> {
    let pattern = route.get("pattern")?.as_str()?;
    let script = route.get("script").and_then(Value::as_str);
    Some(WorkerRoute {
        pattern: pattern.to_owned(),
        runs: script.is_some_and(|script| !script.is_empty()),
    })
}

/// What the stars of a pattern stand for, if the text matches it. The first stars take as little as they can, the last the rest.
fn captures(pattern: &str, text: &str) -> Option<Vec<String>> {
    let (head, rest) = pattern.split_once('*').unwrap_or((pattern, ""));
    let text = text.strip_prefix(head)?;
    if !pattern.contains('*') {
        return text.is_empty().then(Vec::new);
    }
    if rest.is_empty() {
        return Some(vec![text.to_owned()]);
    }
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    for end in ends {
        let (taken, tail) = text.split_at(end);
        if let Some(more) = captures(rest, tail) {
            return Some([vec![taken.to_owned()], more].concat());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked<'a>(host: &'a str, path: &'a str, query: &'a str) -> Request<'a> {
        Request {
            host,
            path,
            query,
            method: "GET",
        }
    }

    #[test]
    fn stars_capture() {
        assert_eq!(
            captures("site.example/*", "site.example/a/b"),
            Some(vec!["a/b".to_owned()])
        );
        assert_eq!(
            captures("*.example/*x", "www.example/abx"),
            Some(vec!["www".to_owned(), "ab".to_owned()])
        );
        assert_eq!(captures("site.example/", "site.example/a"), None);
    }

    #[test]
    fn a_page_rule_forwards_with_its_captures_and_the_higher_priority_wins() {
        let rule = |pattern: &str, url: &str, priority: i64, status: &str| {
            json!({
                "targets": [{"target": "url", "constraint": {"operator": "matches", "value": pattern}}],
                "actions": [{"id": "forwarding_url", "value": {"url": url, "status_code": 302}}],
                "priority": priority,
                "status": status,
            })
        };
        let rules = EdgeRules::compile(
            &[],
            &[
                rule("site.example/*", "https://low.example/$1", 1, "active"),
                rule("https://site.example/*", "https://high.example/$1", 2, "active"),
                rule("site.example/*", "https://off.example/$1", 3, "disabled"),
            ],
        );
        let redirect = rules
            .redirect(asked("site.example", "/a", "b=c"))
            .expect("a rule applies");
        assert_eq!(redirect.location, "https://high.example/a?b=c");
        assert_eq!(rules.redirect(asked("other.example", "/a", "")), None);
    }

    #[test]
    fn the_most_specific_route_decides_whether_a_worker_runs_and_a_worker_suppresses_page_rules() {
        let forward = json!({
            "targets": [{"target": "url", "constraint": {"operator": "matches", "value": "site.example/*"}}],
            "actions": [{"id": "forwarding_url", "value": {"url": "https://x.example/$1", "status_code": 302}}],
            "status": "active",
        });
        let routes = [
            json!({"pattern": "site.example/*", "script": "standby"}),
            json!({"pattern": "site.example/healthz*"}),
        ];
        let rules = EdgeRules::compile(&[], &[forward]).with_routes(&routes);
        assert!(rules.runs_worker(asked("site.example", "/", "")));
        assert!(!rules.runs_worker(asked("site.example", "/healthz", "")));
        assert!(!rules.runs_worker(asked("other.example", "/", "")));
        assert_eq!(rules.redirect(asked("site.example", "/", "")), None);
        assert!(rules.redirect(asked("site.example", "/healthz", "")).is_some());
    }

    #[test]
    fn a_single_redirect_without_a_status_code_is_a_301() {
        let rule = json!({
            "action": "redirect",
            "expression": "true",
            "action_parameters": {"from_value": {"target_url": {"value": "https://x.example/"}}},
        });
        let redirect = EdgeRules::compile(&[rule], &[]).redirect(asked("a", "/", "q=1"));
        assert_eq!(
            redirect,
            Some(Redirect {
                status: 301,
                location: "https://x.example/".to_owned()
            })
        );
    }
}
