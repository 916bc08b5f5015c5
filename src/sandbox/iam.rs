//! The IAM policy of a Cloud Run service: etags, versions, conditions, lock-out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::google;
use super::identity::{Bearer, SERVICE_ACCOUNT};
use super::run::{Call, HOST, OrgPolicy, admit, admit_write};
use super::serve::{Asked, Effect, Reply};
use super::world::{PROJECT, State};

/// What the sandbox's two roles on a service contain.
const GATE_ROLE: &str = "projects/sandbox-project/roles/pilotlightGate";
const GATE_ROLE_HOLDS: [&str; 5] = [
    "run.services.get",
    "run.services.getIamPolicy",
    "run.services.setIamPolicy",
    "run.services.update",
    "run.revisions.get",
];
const NEVER_SET: &str = "ACAB";

/// A service's policy with its revision.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    bindings: Vec<Value>,
    audit_configs: Option<Value>,
    revision: u64,
}

impl Policy {
    /// What a careful owner leaves behind: the daemon's role on the service, other people's bindings, an audit config.
    pub(super) fn deployed() -> Self {
        let daemon = format!("serviceAccount:{SERVICE_ACCOUNT}");
        Self {
            bindings: vec![
                json!({"role": GATE_ROLE, "members": [daemon]}),
                json!({"role": "roles/run.viewer", "members": [
                    "user:owner@site.example",
                    "deleted:serviceAccount:old@sandbox-project.iam.gserviceaccount.com?uid=100000000000000000009",
                ]}),
                json!({
                    "role": "roles/run.invoker",
                    "members": ["serviceAccount:cron@sandbox-project.iam.gserviceaccount.com"],
                    "condition": {
                        "title": "office hours",
                        "description": "only in the day",
                        "expression": "request.time.getHours(\"Europe/Berlin\") >= 8",
                    },
                }),
            ],
            audit_configs: Some(
                json!([{"service": "run.googleapis.com", "auditLogConfigs": [{"logType": "DATA_WRITE"}]}]),
            ),
            revision: 1,
        }
    }

    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn etag(&self) -> String {
        if self.revision == 0 {
            return NEVER_SET.to_owned();
        }
        let mut bytes = [0x07_u8; 8];
        for (place, byte) in bytes
            .iter_mut()
            .skip(1)
            .zip(self.revision.to_be_bytes().into_iter().skip(1))
        {
            *place = byte;
        }
        STANDARD.encode(bytes)
    }

    fn is_conditional(&self) -> bool {
        self.bindings.iter().any(|binding| binding.get("condition").is_some())
    }

    /// Whether an unconditional binding gives `role` to `member`.
    pub(super) fn grants(&self, role: &str, member: &str) -> bool {
        self.bindings.iter().any(|binding| {
            let members = binding.get("members").and_then(Value::as_array);
            binding.get("role").and_then(Value::as_str) == Some(role)
                && binding.get("condition").is_none()
                && members.is_some_and(|members| members.iter().any(|known| known == member))
        })
    }

    /// Whether this policy gives the daemon `permission` on the service.
    pub(super) fn gives(&self, permission: &str) -> bool {
        let daemon = format!("serviceAccount:{SERVICE_ACCOUNT}");
        (GATE_ROLE_HOLDS.contains(&permission) && self.grants(GATE_ROLE, &daemon))
            || (permission == "run.routes.invoke" && self.grants("roles/run.invoker", &daemon))
    }

    /// The policy as the API shows it to a caller that asked for this version.
    pub(super) fn to_json(&self, version: u8) -> Value {
        let mut policy = json!({"etag": self.etag()});
        let Some(fields) = policy.as_object_mut() else {
            return policy;
        };
        if self.revision > 0 {
            let shown = if self.is_conditional() && version >= 3 { 3 } else { 1 };
            fields.insert("version".to_owned(), json!(shown));
        }
        let mut bindings = self.bindings.clone();
        if version < 3 {
            bindings.iter_mut().for_each(garble);
        }
        if !bindings.is_empty() {
            fields.insert("bindings".to_owned(), json!(bindings));
        }
        if let Some(configs) = &self.audit_configs {
            fields.insert("auditConfigs".to_owned(), configs.clone());
        }
        policy
    }

    /// Replaces the bindings, as any other writer would: a new etag, whatever they are.
    pub(super) fn replace(&mut self, policy: &Value) -> Effect {
        let bindings = policy.get("bindings").and_then(Value::as_array);
        let bindings = bindings.cloned().unwrap_or_default();
        let effect = if bindings == self.bindings {
            Effect::Unchanged
        } else {
            Effect::Changed
        };
        self.bindings = bindings;
        self.revision += 1;
        effect
    }

    /// As on a service that nobody was ever granted anything on.
    pub(super) fn forget(&mut self) {
        *self = Self {
            bindings: Vec::new(),
            audit_configs: None,
            revision: 0,
        };
    }
}

/// What a caller that did not ask for version 3 sees of a conditional binding.
fn garble(binding: &mut Value) {
    if let Some(binding) = binding.as_object_mut()
        && binding.remove("condition").is_some()
        && let Some(role) = binding.get("role").and_then(Value::as_str)
    {
        let role = format!("{role}_withcond_0123456789abcdef0123");
        binding.insert("role".to_owned(), json!(role));
    }
}

/// `getIamPolicy`.
pub(super) fn read(state: &State, asked: &Asked, call: &Call<'_>) -> Result<Reply, Reply> {
    admit(state, asked, call, "run.services.getIamPolicy")?;
    let version = asked
        .parameter("options.requestedPolicyVersion")
        .or_else(|| asked.parameter("options.requested_policy_version"))
        .unwrap_or_default();
    let version = match version.as_str() {
        "" | "0" | "1" => 1,
        "3" => 3,
        _ => {
            return Err(google::invalid(
                "options.requested_policy_version",
                "Must be 0, 1 or 3.",
            ));
        }
    };
    let service = state.run.service(call.name);
    service
        .map(|service| Reply::json(200, &service.policy.to_json(version)))
        .ok_or_else(|| google::not_found("SERVICE", call.resource))
}

/// `setIamPolicy`.
pub(super) fn write(state: &mut State, asked: &Asked, call: &Call<'_>) -> Result<Reply, Reply> {
    admit_write(state, asked, call, "run.services.setIamPolicy")?;
    let body = google::object(asked, &["policy", "updateMask"])?;
    let Some(Value::Object(policy)) = body.get("policy") else {
        return Err(google::invalid("policy", "A policy is required."));
    };
    if let Some(name) = policy
        .keys()
        .find(|name| !["version", "etag", "bindings", "auditConfigs"].contains(&name.as_str()))
    {
        return Err(google::invalid(
            "policy",
            &format!("Unknown name \"{name}\": Cannot find field."),
        ));
    }
    let mut bindings = policy.get("bindings").cloned().unwrap_or_else(|| json!([]));
    check_bindings(&bindings, state.run.org_policy)?;
    let service = state
        .run
        .service_mut(call.name)
        .ok_or_else(|| google::not_found("SERVICE", call.resource))?;
    // Without an etag the policy is overwritten blindly, as Google documents.
    if policy
        .get("etag")
        .is_some_and(|etag| *etag != service.policy.etag().as_str())
    {
        return Err(google::aborted());
    }
    if policy.get("version").and_then(Value::as_u64).unwrap_or_default() < 3 {
        drop_conditions(&mut bindings);
    }
    let effect = service.policy.replace(&json!({"bindings": bindings}));
    service.follow(call.arrival, &mut state.chance);
    Ok(Reply::json(200, &service.policy.to_json(3)).did(effect))
}

/// `testIamPermissions`: the subset that the caller holds.
pub(super) fn test(state: &State, asked: &Asked, call: &Call<'_>) -> Result<Reply, Reply> {
    let token = asked.bearer().ok_or_else(google::unauthenticated)?;
    let Bearer::Known(rights) = state.identity.bearer(token, HOST, state.now()) else {
        return Err(google::unauthenticated());
    };
    let body = google::object(asked, &["permissions"])?;
    let service = state.run.service(call.name);
    let held: Vec<&str> = body
        .get("permissions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|wanted| rights.contains(*wanted) || service.is_some_and(|service| service.policy.gives(wanted)))
        .collect();
    let reply = if held.is_empty() {
        json!({})
    } else {
        json!({"permissions": held})
    };
    Ok(Reply::json(200, &reply))
}

fn drop_conditions(bindings: &mut Value) {
    for binding in bindings.as_array_mut().into_iter().flatten() {
        if let Some(binding) = binding.as_object_mut() {
            binding.remove("condition");
        }
    }
}

fn check_bindings(bindings: &Value, org_policy: OrgPolicy) -> Result<(), Reply> {
    let list = bindings
        .as_array()
        .ok_or_else(|| google::invalid("policy.bindings", "Must be a list."))?;
    for binding in list {
        let fields = binding
            .as_object()
            .ok_or_else(|| google::invalid("policy.bindings", "Must be a message."))?;
        if let Some(name) = fields
            .keys()
            .find(|name| !["role", "members", "condition"].contains(&name.as_str()))
        {
            return Err(google::invalid("policy.bindings", &format!("Unknown name \"{name}\".")));
        }
        let role = fields.get("role").and_then(Value::as_str).unwrap_or_default();
        if !role.contains("roles/") {
            return Err(google::invalid("policy.bindings.role", "Role is invalid."));
        }
        let members = fields.get("members").and_then(Value::as_array);
        let members = members
            .filter(|members| !members.is_empty())
            .ok_or_else(|| google::invalid("policy.bindings.members", "A binding must have at least one member."))?;
        for member in members {
            check_member(member, fields.contains_key("condition"), org_policy)?;
        }
    }
    Ok(())
}

fn check_member(member: &Value, conditional: bool, org_policy: OrgPolicy) -> Result<(), Reply> {
    let member = member.as_str().unwrap_or_default();
    let public = member == "allUsers" || member == "allAuthenticatedUsers";
    if public && org_policy == OrgPolicy::DomainRestricted {
        return Err(google::failed_precondition(
            "One or more users named in the policy do not belong to a permitted customer,  perhaps due to an organization policy.",
        ));
    }
    if public && conditional {
        return Err(google::invalid(
            "policy.bindings",
            "Conditions can't be set on public members.",
        ));
    }
    if !public && !member.contains(':') {
        return Err(google::invalid(
            "policy.bindings.members",
            &format!("Invalid member {member}."),
        ));
    }
    let foreign = member
        .strip_prefix("serviceAccount:")
        .filter(|account| account.ends_with(".iam.gserviceaccount.com") && !account.contains(PROJECT));
    foreign.map_or(Ok(()), |account| {
        let message = format!("Service account {account} does not exist.");
        Err(google::error(400, "INVALID_ARGUMENT", &message, &Value::Null))
    })
}
