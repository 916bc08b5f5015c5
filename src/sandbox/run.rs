//! Cloud Run: services, their IAM policies, and long-running operations.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::google;
use super::iam::Policy;
use super::lagging::{Lagging, Spread};
use super::serve::{Asked, Effect, Reply};
use super::world::{GateFacts, PROJECT, REGION, State, service_name};

/// The host that self-signed JWTs for this API name.
pub(super) const HOST: &str = "run.googleapis.com";
/// Writes that a region takes in a minute.
const WRITES_PER_MINUTE: usize = 60;
const FIELDS: [&str; 27] = [
    "name",
    "uid",
    "generation",
    "createTime",
    "updateTime",
    "creator",
    "lastModifier",
    "description",
    "labels",
    "annotations",
    "client",
    "clientVersion",
    "ingress",
    "launchStage",
    "template",
    "traffic",
    "scaling",
    "invokerIamDisabled",
    "defaultUriDisabled",
    "customAudiences",
    "observedGeneration",
    "terminalCondition",
    "conditions",
    "uri",
    "urls",
    "reconciling",
    "etag",
];
const OUTPUT_ONLY: [&str; 12] = [
    "name",
    "uid",
    "generation",
    "createTime",
    "updateTime",
    "creator",
    "observedGeneration",
    "terminalCondition",
    "conditions",
    "uri",
    "urls",
    "reconciling",
];

/// The API's state.
#[derive(Debug)]
pub(super) struct Run {
    services: BTreeMap<String, Service>,
    operations: BTreeMap<String, Operation>,
    pub(super) org_policy: OrgPolicy,
    pub(super) polls_until_done: u32,
    pub(super) next_operation_error: Option<(i32, String)>,
    writes: VecDeque<Instant>,
}

/// What the organisation forbids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrgPolicy {
    /// Nothing.
    #[default]
    Free,
    /// Domain restricted sharing: no `allUsers`.
    DomainRestricted,
    /// `allUsers` is fine, the invoker check has to stay on.
    RequireInvokerIam,
}

/// One service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) policy: Policy,
    pub(super) settings: Value,
    pub(super) public: Lagging<bool>,
    pub(super) warm: bool,
    generation: u64,
    observed: u64,
}

#[derive(Debug)]
struct Operation {
    service: String,
    polls_left: u32,
    error: Option<(i32, String)>,
}

/// What a write needs besides the state: when, how long it takes to arrive, and how it spreads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) now: Instant,
    pub(super) delay: std::time::Duration,
    pub(super) spread: Spread,
}

impl Run {
    pub(super) fn with_services(sites: &[String]) -> Self {
        let service = |site: &String| (service_name(site), Service::new(site));
        Self {
            services: sites.iter().map(service).collect(),
            operations: BTreeMap::new(),
            org_policy: OrgPolicy::Free,
            polls_until_done: 2,
            next_operation_error: None,
            writes: VecDeque::new(),
        }
    }

    pub(super) fn service(&self, name: &str) -> Option<&Service> {
        self.services.get(name)
    }

    pub(super) fn service_mut(&mut self, name: &str) -> Option<&mut Service> {
        self.services.get_mut(name)
    }

    pub(super) fn gate(&self, name: &str, now: Instant) -> GateFacts {
        self.service(name).map_or(
            GateFacts {
                configured: false,
                effective: false,
                settled: true,
            },
            |service| GateFacts {
                configured: service.lets_everyone_in(),
                effective: (0..super::lagging::FRONTS).all(|front| *service.public.seen_by(front, now)),
                settled: service.public.has_arrived(now),
            },
        )
    }

    /// One write more; refuses above the region's limit.
    fn count_write(&mut self, now: Instant) -> Result<(), Reply> {
        let minute = std::time::Duration::from_secs(60);
        while self.writes.front().is_some_and(|at| now.duration_since(*at) >= minute) {
            self.writes.pop_front();
        }
        if self.writes.len() >= WRITES_PER_MINUTE {
            return Err(google::exhausted(Some(30)));
        }
        self.writes.push_back(now);
        Ok(())
    }
}

impl Service {
    fn new(site: &str) -> Self {
        let host = format!("https://{}-000000000000.{REGION}.run.app", service_name(site));
        Self {
            policy: Policy::deployed(),
            settings: json!({
                "ingress": "INGRESS_TRAFFIC_ALL",
                "launchStage": "GA",
                "template": {
                    "containers": [{"image": "registry.example/standby@sha256:0000", "resources": {"limits": {"memory": "256Mi"}}}],
                    "serviceAccount": "standby-rt@sandbox-project.iam.gserviceaccount.com",
                },
                "traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
                "scaling": {"maxInstanceCount": 2},
                "customAudiences": [format!("https://{}", super::world::standby_host(site))],
                "uri": host,
            }),
            public: Lagging::new(false),
            warm: false,
            generation: 1,
            observed: 1,
        }
    }

    /// What the record says: everyone may come in.
    pub(super) fn lets_everyone_in(&self) -> bool {
        let check_off = self.settings.get("invokerIamDisabled").and_then(Value::as_bool);
        check_off == Some(true) || self.policy.grants("roles/run.invoker", "allUsers")
    }

    pub(super) fn ingress_is_open(&self) -> bool {
        self.settings
            .get("ingress")
            .and_then(Value::as_str)
            .is_none_or(|ingress| ingress == "INGRESS_TRAFFIC_ALL")
    }

    /// The audiences that ID tokens for this service may name.
    pub(super) fn audiences(&self) -> Vec<String> {
        let custom = self.settings.get("customAudiences").and_then(Value::as_array);
        let custom = custom.into_iter().flatten().filter_map(Value::as_str);
        let uri = self.settings.get("uri").and_then(Value::as_str);
        custom.chain(uri).map(ToOwned::to_owned).collect()
    }

    /// Lets the data plane follow the record.
    pub(super) fn follow(&mut self, arrival: Arrival, chance: &mut super::lagging::Chance) {
        let open = self.lets_everyone_in();
        if *self.public.written() != open {
            let delays = chance.delays(arrival.delay, arrival.spread);
            self.public.write(open, arrival.now, delays);
        }
    }

    fn etag(&self) -> String {
        format!("\"CJ{}/{}\"", self.generation, self.policy.revision())
    }

    fn to_json(&self, name: &str) -> Value {
        let settled = self.observed == self.generation;
        let state = if settled {
            "CONDITION_SUCCEEDED"
        } else {
            "CONDITION_RECONCILING"
        };
        let revision = format!("{name}-00001-abc");
        let mut service = self.settings.clone();
        let fields = json!({
            "name": full_name(name),
            "uid": "00000000-0000-4000-8000-000000000001",
            "generation": self.generation.to_string(),
            "observedGeneration": self.observed.to_string(),
            "createTime": "2026-01-01T00:00:00Z",
            "updateTime": "2026-01-01T00:00:00Z",
            "creator": "owner@site.example",
            "lastModifier": super::identity::SERVICE_ACCOUNT,
            "latestReadyRevision": format!("{}/revisions/{revision}", full_name(name)),
            "latestCreatedRevision": format!("{}/revisions/{revision}", full_name(name)),
            "terminalCondition": {"type": "Ready", "state": state, "lastTransitionTime": "2026-01-01T00:00:00Z"},
            "urls": [self.settings.get("uri")],
            "reconciling": !settled,
            "etag": self.etag(),
        });
        if let (Some(service), Value::Object(fields)) = (service.as_object_mut(), fields) {
            service.extend(fields);
        }
        google::without_defaults(&service, &[])
    }
}

fn full_name(name: &str) -> String {
    format!("projects/{PROJECT}/locations/{REGION}/services/{name}")
}

/// Answers one call to the API.
pub(super) fn answer(state: &mut State, asked: &Asked, arrival: Arrival) -> Reply {
    let path = asked.path.clone();
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let reply = match *segments.as_slice() {
        ["v2", "projects", project, "locations", region, "services", service] => {
            let (name, verb) = service.split_once(':').unwrap_or((service, ""));
            let known = project == PROJECT && region == REGION;
            let resource = format!("projects/{project}/locations/{region}/services/{name}");
            let call = Call {
                name: if known { name } else { "" },
                resource: &resource,
                arrival,
            };
            match (asked.method.as_str(), verb) {
                ("GET", "") => read(state, asked, &call),
                ("PATCH", "") => patch(state, asked, &call),
                ("GET", "getIamPolicy") => super::iam::read(state, asked, &call),
                ("POST", "setIamPolicy") => super::iam::write(state, asked, &call),
                ("POST", "testIamPermissions") => super::iam::test(state, asked, &call),
                _ => Err(google::no_route(&path)),
            }
        }
        [
            "v2",
            "projects",
            project,
            "locations",
            _,
            "services",
            service,
            "revisions",
            revision,
        ] => {
            let name = if project == PROJECT { service } else { "" };
            read_revision(state, asked, name, revision)
        }
        ["v2", "projects", _, "locations", _, "operations", id] => poll(state, asked, id),
        _ => Err(google::no_route(&path)),
    };
    reply.unwrap_or_else(|refusal| refusal)
}

/// A call on one service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// The service, empty when the project or region is not ours.
    pub(super) name: &'a str,
    pub(super) resource: &'a str,
    pub(super) arrival: Arrival,
}

/// Checks token and permission, the service's own policy included, then existence.
pub(super) fn admit(state: &State, asked: &Asked, call: &Call<'_>, permission: &str) -> Result<(), Reply> {
    let service = state.run.service(call.name);
    let granted = service.is_some_and(|service| service.policy.gives(permission));
    google::authorize(state, asked, HOST, permission, call.resource, granted)?;
    if service.is_none() {
        return Err(google::not_found("SERVICE", call.resource));
    }
    Ok(())
}

pub(super) fn admit_write(state: &mut State, asked: &Asked, call: &Call<'_>, permission: &str) -> Result<(), Reply> {
    admit(state, asked, call, permission)?;
    state.run.count_write(call.arrival.now)
}

fn read(state: &mut State, asked: &Asked, call: &Call<'_>) -> Result<Reply, Reply> {
    admit(state, asked, call, "run.services.get")?;
    let service = state.run.service(call.name);
    service
        .map(|service| Reply::json(200, &service.to_json(call.name)))
        .ok_or_else(|| google::not_found("SERVICE", call.resource))
}

fn read_revision(state: &State, asked: &Asked, name: &str, revision: &str) -> Result<Reply, Reply> {
    let resource = format!("{}/revisions/{revision}", full_name(name));
    let service = state.run.service(name);
    let granted = service.is_some_and(|service| service.policy.gives("run.revisions.get"));
    google::authorize(state, asked, HOST, "run.revisions.get", &resource, granted)?;
    if service.is_none() || revision != format!("{name}-00001-abc") {
        return Err(google::not_found("REVISION", &resource));
    }
    let digest = "registry.example/standby@sha256:0000000000000000000000000000000000000000000000000000000000000000";
    Ok(Reply::json(
        200,
        &json!({
            "name": resource,
            "service": full_name(name),
            "generation": "1",
            "observedGeneration": "1",
            "containerStatuses": [{"name": "standby-1", "imageDigest": digest}],
            "conditions": [{"type": "Ready", "state": "CONDITION_SUCCEEDED"}],
        }),
    ))
}

fn patch(state: &mut State, asked: &Asked, call: &Call<'_>) -> Result<Reply, Reply> {
    admit_write(state, asked, call, "run.services.update")?;
    let body = google::object(asked, &FIELDS)?;
    let mask = google::mask(asked);
    let org_policy = state.run.org_policy;
    let polls_left = state.run.polls_until_done;
    let error = state.run.next_operation_error.take();
    let id = state.chance.hex_id();
    let service = state
        .run
        .services
        .get_mut(call.name)
        .ok_or_else(|| google::not_found("SERVICE", call.resource))?;
    if body.get("etag").is_some_and(|etag| *etag != service.etag().as_str()) {
        return Err(google::error(409, "ABORTED", "The etag does not match.", &Value::Null));
    }
    if let Some(pinned) = service.settings.pointer("/template/revision").and_then(Value::as_str) {
        let message = format!("Revision named '{pinned}' with different configuration already exists.");
        return Err(google::error(409, "ALREADY_EXISTS", &message, &Value::Null));
    }
    let next = google::masked(&service.settings, &body, &mask, &FIELDS, &OUTPUT_ONLY)?;
    let opens = next.get("invokerIamDisabled").and_then(Value::as_bool) == Some(true);
    if opens && org_policy == OrgPolicy::RequireInvokerIam {
        return Err(google::failed_precondition(
            "Constraint constraints/run.managed.requireInvokerIam violated.",
        ));
    }
    if asked.parameter("validateOnly").as_deref() == Some("true") {
        return Ok(Reply::json(200, &json!({"name": "", "done": true})));
    }
    let effect = if next == service.settings {
        Effect::Unchanged
    } else {
        Effect::Changed
    };
    if error.is_none() {
        service.settings = next;
    }
    service.generation += 1;
    service.follow(call.arrival, &mut state.chance);
    let operation = Operation {
        service: call.name.to_owned(),
        polls_left,
        error,
    };
    let reply = Reply::json(200, &operation_json(&id, service, call.name, None));
    state.run.operations.insert(id, operation);
    Ok(reply.did(effect))
}

/// An operation in flight, or how it ended.
fn operation_json(id: &str, service: &Service, name: &str, end: Option<Result<(), &(i32, String)>>) -> Value {
    let kind = "type.googleapis.com/google.cloud.run.v2.Service";
    let typed = || {
        let mut response = service.to_json(name);
        if let Some(response) = response.as_object_mut() {
            response.insert("@type".to_owned(), json!(kind));
        }
        response
    };
    let mut operation = json!({
        "name": format!("projects/{PROJECT}/locations/{REGION}/operations/{id}"),
        "metadata": {"@type": kind, "name": full_name(name)},
    });
    if let (Some(operation), Some(end)) = (operation.as_object_mut(), end) {
        operation.insert("done".to_owned(), json!(true));
        match end {
            Ok(()) => operation.insert("response".to_owned(), typed()),
            Err((code, message)) => operation.insert("error".to_owned(), json!({"code": code, "message": message})),
        };
    }
    operation
}

/// `operations.get`, and `:wait`, which may return before the end as the real one does.
fn poll(state: &mut State, asked: &Asked, id: &str) -> Result<Reply, Reply> {
    let (id, verb) = id.split_once(':').unwrap_or((id, ""));
    if !matches!((asked.method.as_str(), verb), ("GET", "") | ("POST", "wait")) {
        return Err(google::no_route(&asked.path));
    }
    let resource = format!("projects/{PROJECT}/locations/{REGION}/operations/{id}");
    google::authorize(state, asked, HOST, "run.operations.get", &resource, false)?;
    let missing = || google::not_found("OPERATION", &resource);
    let Run {
        services, operations, ..
    } = &mut state.run;
    let operation = operations.get_mut(id).ok_or_else(missing)?;
    let service = services.get_mut(&operation.service).ok_or_else(missing)?;
    operation.polls_left = operation.polls_left.saturating_sub(1);
    let end = (operation.polls_left == 0).then(|| operation.error.as_ref().map_or(Ok(()), Err));
    if end.is_some() {
        service.observed = service.generation;
    }
    Ok(Reply::json(200, &operation_json(id, service, &operation.service, end)))
}
