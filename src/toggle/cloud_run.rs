//! The gate of kind `cloud_run`: `allUsers` in the service's unconditional `roles/run.invoker` binding.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::core::{FailureKind, Observed, Position, View};
use crate::http::{Method, segment};
use crate::probe::BoxFuture;

use super::google::{GoogleCall, GoogleClient};
use super::meter::Meter;
use super::{AskStandby, CallKind, ResourceKey, Toggle, ToggleError};

const AUDIENCE: &str = "https://run.googleapis.com/";
const ROLE: &str = "roles/run.invoker";
const MEMBER: &str = "allUsers";

const READ: &str = "cloud run: read the policy";
const WRITE: &str = "cloud run: write the policy";

/// Asking the standby may take no longer, for a switch may be waiting in the lane; a cold start that does leaves the effective position unknown.
const ASK_PATIENCE: Duration = Duration::from_secs(4);

/// Which service is the standby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudRunSettings {
    /// `https://run.googleapis.com`, or a regional or local one.
    pub base_url: String,
    /// The project's id or number.
    pub project: String,
    /// The region.
    pub region: String,
    /// The service's name.
    pub service: String,
}

/// The gate.
pub struct CloudRunGate {
    key: ResourceKey,
    base_url: String,
    resource_url: String,
    client: GoogleClient,
    ask: AskStandby,
    meter: Meter,
}

impl fmt::Debug for CloudRunGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudRunGate")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl CloudRunGate {
    /// A gate that learns its effective position through `ask`.
    pub fn new(settings: &CloudRunSettings, client: GoogleClient, ask: AskStandby, meter: Meter) -> Self {
        let CloudRunSettings {
            base_url,
            project,
            region,
            service,
        } = settings;
        let object = format!("cloud_run/{project}/{region}/{service}");
        let base_url = base_url.trim_end_matches('/').to_owned();
        let resource_url = format!(
            "{base_url}/v2/projects/{}/locations/{}/services/{}",
            segment(project),
            segment(region),
            segment(service)
        );
        Self {
            key: ResourceKey {
                lane: object.clone(),
                object,
                credential: meter.credential().to_owned(),
            },
            base_url,
            resource_url,
            client,
            ask,
            meter,
        }
    }

    async fn read(&self, kind: CallKind) -> Result<Policy, ToggleError> {
        let url = format!("{}:getIamPolicy?options.requestedPolicyVersion=3", self.resource_url);
        let call = GoogleCall {
            doing: READ,
            kind,
            audience: AUDIENCE,
            method: Method::GET,
            url: &url,
            body: None,
        };
        let reply = self.client.call(&self.meter, call).await?;
        Policy::parse(reply.value).map_err(|what| ToggleError::nonsense(READ, what))
    }

    async fn write(&self, policy: Policy, wanted: Position) -> Result<Observed, ToggleError> {
        let url = format!("{}:setIamPolicy", self.resource_url);
        let call = GoogleCall {
            doing: WRITE,
            kind: CallKind::Write,
            audience: AUDIENCE,
            method: Method::POST,
            url: &url,
            body: Some(json!({ "policy": policy.0 })),
        };
        let reply = self.client.call(&self.meter, call).await?;
        let written = Policy::parse(reply.value).map_err(|what| ToggleError::nonsense(WRITE, what))?;
        if written.position() != wanted {
            let detail = "the service took the policy, but its answer shows the old position";
            return Err(ToggleError::new(FailureKind::NotApplied, WRITE, detail));
        }
        Ok(configured(wanted))
    }

    async fn observe_both(&self) -> Result<Observed, ToggleError> {
        let effective = async { Ok(self.effective().await) };
        let (policy, effective) = tokio::try_join!(self.read(CallKind::Routine), effective)?;
        Ok(Observed {
            effective,
            ..configured(policy.position())
        })
    }

    /// Two answers in a row have to agree: while a change propagates, front ends disagree.
    async fn effective(&self) -> Option<Position> {
        let ask_twice = async {
            let first = passes((self.ask)().await.view)?;
            let second = passes((self.ask)().await.view)?;
            (first == second).then_some(first)
        };
        tokio::time::timeout(ASK_PATIENCE, ask_twice).await.ok().flatten()
    }

    /// The effective position is not waited for: it follows within minutes, and core asks for the proof itself.
    async fn make(&self, wanted: Position) -> Result<Observed, ToggleError> {
        match self.read_and_write(wanted).await {
            Err(error) if error.kind == FailureKind::Conflict => self.read_and_write(wanted).await,
            result => result,
        }
    }

    async fn read_and_write(&self, wanted: Position) -> Result<Observed, ToggleError> {
        let policy = self.read(CallKind::Read).await?;
        match policy.moved_to(wanted) {
            None => Ok(configured(wanted)),
            Some(changed) => self.write(changed, wanted).await,
        }
    }
}

impl Toggle for CloudRunGate {
    fn key(&self) -> &ResourceKey {
        &self.key
    }

    fn kind(&self) -> &'static str {
        "cloud_run"
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(self.observe_both())
    }

    fn set(&self, position: Position) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(self.make(position))
    }

    fn warm(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.client.warm(AUDIENCE, &self.base_url))
    }
}

const fn passes(view: View) -> Option<Position> {
    match view {
        View::Standby => Some(Position::On),
        View::Shut => Some(Position::Off),
        _ => None,
    }
}

fn configured(position: Position) -> Observed {
    Observed {
        configured: Some(position),
        ..Observed::default()
    }
}

/// An IAM policy whose shape was checked; kept as raw JSON so that everything that is not ours goes back as it came.
#[derive(Clone, Debug, PartialEq)]
struct Policy(Value);

impl Policy {
    /// Checks everything that an edit relies on. A policy without an etag would be written blindly, so it is refused; one without bindings
    /// is what a service that nobody was ever granted on answers.
    fn parse(value: Value) -> Result<Self, &'static str> {
        let etag = value.get("etag").and_then(Value::as_str);
        if etag.is_none_or(str::is_empty) {
            return Err("the policy has no etag, so writing it could overwrite others' changes");
        }
        let bindings = match value.get("bindings") {
            None => &[],
            Some(Value::Array(bindings)) => bindings.as_slice(),
            Some(_) => return Err("the policy's bindings are not a list"),
        };
        if !bindings.iter().all(is_binding) {
            return Err("the policy holds a binding of unknown shape");
        }
        let version = match value.get("version") {
            None => 0,
            Some(version) => version.as_i64().ok_or("the policy's version is not a number")?,
        };
        // A conditional policy that goes back with a lower version loses its conditions.
        if version < 3 && bindings.iter().any(|binding| !is_unconditional(binding)) {
            return Err("the policy has conditions but not version 3");
        }
        Ok(Self(value))
    }

    fn bindings(&self) -> impl Iterator<Item = &Value> {
        self.0.get("bindings").and_then(Value::as_array).into_iter().flatten()
    }

    fn position(&self) -> Position {
        let open = self
            .bindings()
            .any(|binding| is_ours(binding) && members(binding).any(|member| member == MEMBER));
        if open { Position::On } else { Position::Off }
    }

    /// The policy with our one member added or removed; `None` when nothing differs.
    fn moved_to(&self, wanted: Position) -> Option<Self> {
        if self.position() == wanted {
            return None;
        }
        let mut policy = self.0.clone();
        let fields = policy.as_object_mut()?;
        let bindings = fields.entry("bindings").or_insert_with(|| json!([])).as_array_mut()?;
        match wanted {
            Position::On => add_member(bindings),
            Position::Off => remove_member(bindings),
        }
        // Google leaves out empty lists; so do we.
        if bindings.is_empty() {
            fields.remove("bindings");
        }
        Some(Self(policy))
    }
}

fn add_member(bindings: &mut Vec<Value>) {
    let ours = bindings.iter_mut().find(|binding| is_ours(binding));
    let list = ours.and_then(|binding| binding.get_mut("members")?.as_array_mut());
    match list {
        Some(list) => list.push(json!(MEMBER)),
        None => bindings.push(json!({"role": ROLE, "members": [MEMBER]})),
    }
}

/// A binding must hold at least one member, so an empty one is dropped.
fn remove_member(bindings: &mut Vec<Value>) {
    bindings.retain_mut(|binding| {
        if !is_ours(binding) {
            return true;
        }
        let Some(list) = binding.get_mut("members").and_then(Value::as_array_mut) else {
            return true;
        };
        let before = list.len();
        list.retain(|member| member != MEMBER);
        !list.is_empty() || before == 0
    });
}

fn is_binding(binding: &Value) -> bool {
    let members = match binding.get("members") {
        None => true,
        Some(members) => members.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
    };
    members && binding.get("role").is_some_and(Value::is_string)
}

fn is_ours(binding: &Value) -> bool {
    is_unconditional(binding) && binding.get("role").is_some_and(|role| role == ROLE)
}

fn is_unconditional(binding: &Value) -> bool {
    binding.get("condition").is_none_or(Value::is_null)
}

fn members(binding: &Value) -> impl Iterator<Item = &Value> {
    binding.get("members").and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(value: Value) -> Policy {
        Policy::parse(value).unwrap()
    }

    #[test]
    fn opening_a_service_nobody_was_granted_on_makes_the_binding() {
        let opened = policy(json!({"etag": "ACAB"})).moved_to(Position::On).unwrap();
        assert_eq!(
            opened.0,
            json!({"etag": "ACAB", "bindings": [{"role": ROLE, "members": ["allUsers"]}]})
        );
        assert_eq!(opened.moved_to(Position::Off).unwrap().0, json!({"etag": "ACAB"}));
        assert_eq!(
            opened.moved_to(Position::On),
            None,
            "nothing to change means nothing is sent"
        );
    }

    #[test]
    fn a_conditional_binding_of_the_same_role_is_not_ours() {
        let condition = json!({"title": "t", "expression": "true"});
        let before = policy(json!({
            "etag": "E", "version": 3,
            "bindings": [{"role": ROLE, "members": ["allUsers"], "condition": condition}],
        }));
        assert_eq!(before.position(), Position::Off);
        let after = before.moved_to(Position::On).unwrap();
        assert_eq!(after.0["bindings"][0], before.0["bindings"][0]);
        assert_eq!(after.0["bindings"][1], json!({"role": ROLE, "members": ["allUsers"]}));
    }

    #[test]
    fn a_policy_of_the_wrong_shape_is_never_edited() {
        for wrong in [
            json!({}),
            json!({"bindings": []}),
            json!({"etag": ""}),
            json!({"etag": 5}),
            json!({"etag": "E", "bindings": null}),
            json!({"etag": "E", "bindings": {}}),
            json!({"etag": "E", "bindings": ["roles/run.invoker"]}),
            json!({"etag": "E", "bindings": [{"members": []}]}),
            json!({"etag": "E", "bindings": [{"role": ROLE, "members": "allUsers"}]}),
            json!({"etag": "E", "bindings": [{"role": ROLE, "members": [1]}]}),
            json!({"etag": "E", "version": "3"}),
            json!({"etag": "E", "version": 1, "bindings": [{"role": ROLE, "members": [], "condition": {"title": "t"}}]}),
        ] {
            assert!(Policy::parse(wrong.clone()).is_err(), "{wrong}");
        }
    }

    fn any_member() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!("allUsers")),
            Just(json!("allAuthenticatedUsers")),
            "user:[a-z]{1,4}@example\\.com".prop_map(Value::from),
            "deleted:serviceAccount:[a-z]{1,4}\\?uid=[0-9]{1,4}".prop_map(Value::from),
        ]
    }

    fn any_binding() -> impl Strategy<Value = Value> {
        let role = prop_oneof![
            Just(ROLE),
            Just("roles/viewer"),
            Just("projects/p/roles/pilotlightGate")
        ];
        let members = prop::collection::vec(any_member(), 0..3);
        (role, members, any::<bool>(), "[a-z]{0,3}").prop_map(|(role, members, conditional, extra)| {
            let mut binding = json!({"role": role, "members": members, "foreign": extra});
            if conditional {
                binding["condition"] = json!({"title": extra, "expression": "request.time < timestamp(\"x\")"});
            }
            binding
        })
    }

    fn any_policy() -> impl Strategy<Value = Value> {
        (prop::collection::vec(any_binding(), 0..5), any::<u32>()).prop_map(|(bindings, number)| {
            json!({"etag": format!("E{number}"), "version": 3, "bindings": bindings, "auditConfigs": [{"service": number}]})
        })
    }

    /// The policy without our member in our binding, and without what only holds that member.
    fn without_ours(policy: &Value) -> Value {
        let mut policy = policy.clone();
        if let Some(bindings) = policy.get_mut("bindings").and_then(Value::as_array_mut) {
            for binding in bindings.iter_mut() {
                let ours = binding["role"] == ROLE && binding.get("condition").is_none();
                if let Some(members) = binding["members"].as_array_mut().filter(|_| ours) {
                    members.retain(|member| member != "allUsers");
                }
            }
            bindings.retain(|binding| binding["role"] != ROLE || binding["members"] != json!([]));
        }
        if policy.get("bindings") == Some(&json!([])) {
            policy.as_object_mut().unwrap().remove("bindings");
        }
        policy
    }

    proptest! {
        #[test]
        fn exactly_our_one_member_differs(value in any_policy(), on in any::<bool>()) {
            let before = policy(value.clone());
            let wanted = if on { Position::On } else { Position::Off };
            match before.moved_to(wanted) {
                None => prop_assert_eq!(before.position(), wanted),
                Some(after) => {
                    prop_assert_eq!(after.position(), wanted);
                    prop_assert_eq!(without_ours(&after.0), without_ours(&value));
                    prop_assert!(after.moved_to(wanted).is_none());
                    prop_assert!(Policy::parse(after.0).is_ok());
                }
            }
        }
    }
}
