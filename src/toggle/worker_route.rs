//! The redirect of kind `worker_route`: the route by which a Worker serves the public URL from the closed standby.

use serde_json::{Map, Value, json};

use crate::core::{FailureKind, Observed, Position};
use crate::http::{Method, segment};
use crate::probe::BoxFuture;

use super::cloudflare::{CloudflareCall, CloudflareClient};
use super::fingerprint::{LastSeen, fingerprint};
use super::meter::Meter;
use super::{CallKind, ResourceKey, Toggle, ToggleError};

const READ: &str = "worker route: read the routes";
const WRITE: &str = "worker route: switch the route";

/// Certificates are proven below this path: home could not renew its own while the Worker answers there.
const CHALLENGES: &str = "/.well-known/";
/// What the list does not describe and a `PUT` would reset: whether home is asked when the day's requests are used up.
const FAIL_OPEN: &str = "request_limit_fail_open";

/// Which Worker serves visitors on which route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerRouteSettings {
    /// The zone.
    pub zone_id: String,
    /// The route's pattern, by which it is found: `site.example/*`.
    pub pattern: String,
    /// The Worker's name.
    pub script: String,
    /// Paths that more specific routes without a Worker keep at home.
    pub excluded_paths: Vec<String>,
}

/// The redirect. On = the route runs our Worker; off = it runs none, or there is no such route.
#[derive(Debug)]
pub struct WorkerRoute {
    key: ResourceKey,
    settings: WorkerRouteSettings,
    client: CloudflareClient,
    meter: Meter,
    last_seen: LastSeen,
}

impl WorkerRoute {
    /// The redirect that these settings name.
    pub fn new(settings: WorkerRouteSettings, client: CloudflareClient, meter: Meter) -> Self {
        let WorkerRouteSettings { zone_id, pattern, .. } = &settings;
        Self {
            key: ResourceKey {
                object: format!("worker_route/{zone_id}/{pattern}"),
                lane: format!("cloudflare_worker_routes/{zone_id}"),
                credential: meter.credential().to_owned(),
            },
            settings,
            client,
            meter,
            last_seen: LastSeen::default(),
        }
    }

    /// Reads the real routes and tells where they contradict the declaration, in words for `check` and the log. Empty when all is well.
    pub async fn inspect(&self) -> Result<Vec<String>, ToggleError> {
        Ok(self.read(CallKind::Read).await?.complaints)
    }

    /// The list shows our route and those that keep paths at home, in one call.
    async fn read(&self, kind: CallKind) -> Result<Found, ToggleError> {
        let path = self.path(None);
        let call = CloudflareCall {
            doing: READ,
            kind,
            method: Method::GET,
            path: &path,
            body: None,
        };
        let routes = self.client.call(&self.meter, call).await?;
        let found = Found::parse(&self.settings, &routes);
        found.ok_or_else(|| ToggleError::nonsense(READ, "the answer is not a list of routes"))
    }

    fn path(&self, id: Option<&str>) -> String {
        let list = format!("/zones/{}/workers/routes", segment(&self.settings.zone_id));
        id.map_or_else(|| list.clone(), |id| format!("{list}/{}", segment(id)))
    }

    /// Writes the route, and reads it back: the answers to a write have had several shapes.
    async fn write(&self, found: &Found, wanted: Position) -> Result<Found, ToggleError> {
        let id = found.route.as_ref().map(|route| route.id.as_str());
        let path = self.path(id);
        let call = CloudflareCall {
            doing: WRITE,
            kind: CallKind::Write,
            method: if id.is_some() { Method::PUT } else { Method::POST },
            path: &path,
            body: Some(found.changed(&self.settings, wanted)),
        };
        let written = self.client.call(&self.meter, call).await;
        written.map_err(explain)?;
        let now = self.read(CallKind::Read).await?;
        if now.position() != wanted {
            let detail = "Cloudflare took the change, but the list shows another route than asked for";
            return Err(ToggleError::new(FailureKind::NotApplied, WRITE, detail));
        }
        Ok(now)
    }

    async fn make(&self, wanted: Position) -> Result<Observed, ToggleError> {
        let mut found = self.read(CallKind::Read).await?;
        if wanted == Position::On && found.runs_another() {
            let detail =
                "the route runs another Worker than ours; take it off the route, or configure its name as `script`";
            return Err(ToggleError::new(FailureKind::Refused, WRITE, detail));
        }
        if found.position() != wanted {
            found = self.write(&found, wanted).await?;
        }
        Ok(self.observed(&found))
    }

    async fn look(&self) -> Result<Observed, ToggleError> {
        let found = self.read(CallKind::Routine).await?;
        Ok(self.observed(&found))
    }

    /// Remembers the routes and tells whether somebody edited them; what contradicts the declaration is logged once.
    /// To be asked when nothing can fail any more: an edit is told once, and a failure would swallow it.
    fn observed(&self, found: &Found) -> Observed {
        let sight = self.last_seen.look(found.fingerprint());
        sight.warn(self.kind(), &found.complaints);
        Observed {
            configured: Some(found.position()),
            edited: sight.is_edited(),
            ..Observed::default()
        }
    }
}

impl Toggle for WorkerRoute {
    fn key(&self) -> &ResourceKey {
        &self.key
    }

    fn kind(&self) -> &'static str {
        "worker_route"
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(self.look())
    }

    fn set(&self, position: Position) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(self.make(position))
    }

    fn may_observe(&self) -> bool {
        self.meter.allows(CallKind::Routine)
    }

    fn warm(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.client.warm())
    }
}

fn explain(error: ToggleError) -> ToggleError {
    if error.kind != FailureKind::Missing {
        return error;
    }
    error.hint("no such route any more, or no Worker of the name in `script`: deploy it as docs/worker.md says")
}

/// Our route as the list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    id: String,
    script: Option<String>,
    fail_open: Option<bool>,
}

/// What the list says of our site.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    route: Option<Route>,
    ours: String,
    complaints: Vec<String>,
}

impl Found {
    fn parse(settings: &WorkerRouteSettings, routes: &Value) -> Option<Self> {
        let routes = routes.as_array()?;
        let pattern = |route: &Value| Some(route.get("pattern")?.as_str()?.to_owned());
        let ours = routes
            .iter()
            .find(|route| pattern(route).as_deref() == Some(&settings.pattern));
        let route = match ours {
            None => None,
            Some(route) => Some(Route {
                id: route.get("id")?.as_str()?.to_owned(),
                script: script_of(route),
                fail_open: route.get(FAIL_OPEN).and_then(Value::as_bool),
            }),
        };
        Some(Self {
            complaints: complaints(settings, route.as_ref(), routes),
            route,
            ours: settings.script.clone(),
        })
    }

    fn script(&self) -> Option<&str> {
        self.route.as_ref()?.script.as_deref()
    }

    fn position(&self) -> Position {
        if self.script() == Some(&self.ours) {
            Position::On
        } else {
            Position::Off
        }
    }

    fn runs_another(&self) -> bool {
        self.script().is_some_and(|script| script != self.ours)
    }

    /// The body of a write: a route without `script` runs no Worker.
    fn changed(&self, settings: &WorkerRouteSettings, wanted: Position) -> Value {
        let mut body = Map::new();
        body.insert("pattern".to_owned(), json!(settings.pattern));
        if wanted == Position::On {
            body.insert("script".to_owned(), json!(settings.script));
        }
        if let Some(fail_open) = self.route.as_ref().and_then(|route| route.fail_open) {
            body.insert(FAIL_OPEN.to_owned(), json!(fail_open));
        }
        Value::Object(body)
    }

    /// What changes only when somebody edits the routes. A route that we create, or of which only the id is new, is no edit.
    fn fingerprint(&self) -> u64 {
        let foreign = self.script().filter(|_| self.runs_another());
        fingerprint(&json!([foreign, self.complaints]), &[])
    }
}

/// A route that bypasses Workers has no `script`, or an empty one.
fn script_of(route: &Value) -> Option<String> {
    let script = route.get("script").and_then(Value::as_str);
    script.filter(|script| !script.is_empty()).map(str::to_owned)
}

/// Where the routes contradict their declaration.
fn complaints(settings: &WorkerRouteSettings, route: Option<&Route>, routes: &[Value]) -> Vec<String> {
    let mut said = Vec::new();
    let script = route.and_then(|route| route.script.as_deref());
    if script.is_some_and(|script| script != settings.script) {
        said.push(format!(
            "the route {:?} runs another Worker than ours",
            settings.pattern
        ));
    }
    let declared = settings.excluded_paths.iter().map(String::as_str);
    let mut paths: Vec<&str> = declared.chain([CHALLENGES]).collect();
    paths.dedup();
    let unkept = paths.into_iter().filter(|path| !is_kept(settings, path, routes));
    said.extend(unkept.map(|path| {
        let why = if path == CHALLENGES {
            "certificates that are proven by HTTP could not be renewed while failed over"
        } else {
            "it would be answered by the standby"
        };
        format!("no more specific route without a Worker keeps {path:?} at home: {why}")
    }));
    said
}

/// Whether the most specific route for a path of our host runs no Worker. The longest pattern wins.
fn is_kept(settings: &WorkerRouteSettings, path: &str, routes: &[Value]) -> bool {
    let host = settings.pattern.split('/').next().unwrap_or_default();
    let asked = format!("{host}{path}");
    let covering = routes.iter().filter_map(|route| {
        let pattern = route.get("pattern")?.as_str()?;
        let covers = match pattern.strip_suffix('*') {
            Some(head) => asked.starts_with(head),
            None => asked == pattern,
        };
        covers.then_some((pattern, route))
    });
    let most_specific = covering.max_by_key(|(pattern, _)| pattern.len());
    most_specific.is_some_and(|(pattern, route)| pattern != settings.pattern && script_of(route).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> WorkerRouteSettings {
        WorkerRouteSettings {
            zone_id: "z".to_owned(),
            pattern: "site.example/*".to_owned(),
            script: "standby".to_owned(),
            excluded_paths: vec!["/healthz".to_owned()],
        }
    }

    fn route(pattern: &str, script: Option<&str>) -> Value {
        let mut route = json!({"id": pattern.len().to_string(), "pattern": pattern});
        if let Some(script) = script {
            route["script"] = json!(script);
        }
        route
    }

    fn found(routes: &[Value]) -> Found {
        Found::parse(&settings(), &json!(routes)).unwrap()
    }

    fn kept() -> [Value; 2] {
        [
            route("site.example/healthz*", None),
            route("site.example/.well-known/*", None),
        ]
    }

    #[test]
    fn only_our_worker_on_our_route_is_on() {
        let position = |routes: &[Value]| found(routes).position();
        assert_eq!(position(&[route("site.example/*", Some("standby"))]), Position::On);
        for off in [
            route("site.example/*", None),
            route("site.example/*", Some("")),
            json!({"id": "1", "pattern": "site.example/*", "script": null}),
            route("site.example/*", Some("another")),
            route("other.example/*", Some("standby")),
        ] {
            assert_eq!(position(std::slice::from_ref(&off)), Position::Off, "{off}");
        }
        assert_eq!(position(&[]), Position::Off);
    }

    #[test]
    fn a_write_says_the_pattern_and_keeps_what_becomes_of_too_many_requests() {
        let mut ours = route("site.example/*", None);
        assert_eq!(
            found(&[]).changed(&settings(), Position::On),
            json!({"pattern": "site.example/*", "script": "standby"})
        );
        ours[FAIL_OPEN] = json!(true);
        let found = found(&[ours]);
        assert_eq!(
            found.changed(&settings(), Position::Off),
            json!({"pattern": "site.example/*", FAIL_OPEN: true})
        );
    }

    #[test]
    fn a_path_that_no_route_keeps_at_home_is_complained_of() {
        let ours = route("site.example/*", None);
        let [health, challenges] = kept();
        let count = |routes: &[Value]| found(routes).complaints.len();
        assert_eq!(count(&[ours.clone(), health.clone(), challenges.clone()]), 0);
        assert_eq!(count(&[ours.clone(), health.clone()]), 1);
        assert_eq!(count(std::slice::from_ref(&ours)), 2);
        let stolen = route("site.example/healthz*", Some("another"));
        assert_eq!(count(&[ours.clone(), stolen, challenges.clone()]), 1);
        let elsewhere = route("other.example/healthz*", None);
        assert_eq!(count(&[ours, elsewhere, challenges]), 1);
        let foreign = route("site.example/*", Some("another"));
        assert_eq!(count(&[foreign, health, kept()[1].clone()]), 1);
    }

    #[test]
    fn switching_is_no_edit_and_losing_a_kept_path_is_one() {
        let [health, challenges] = kept();
        let print = |routes: &[Value]| found(routes).fingerprint();
        let on = route("site.example/*", Some("standby"));
        let off = print(&[route("site.example/*", None), health.clone(), challenges.clone()]);
        assert_eq!(off, print(&[on.clone(), health.clone(), challenges.clone()]));
        assert_eq!(
            off,
            print(&[health, challenges.clone(), route("other.example/*", None)])
        );
        assert_ne!(off, print(&[on, challenges]));
    }

    #[test]
    fn what_is_no_list_of_routes_is_not_taken_for_off() {
        for wrong in [json!(null), json!({}), json!([{"pattern": "site.example/*"}])] {
            assert!(Found::parse(&settings(), &wrong).is_none(), "{wrong}");
        }
    }
}
