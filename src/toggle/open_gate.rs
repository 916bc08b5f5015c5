//! The gate of kind `cloud_run` in mode `open`: the owner keeps the service open always, and pilotlight only looks that it is.

use std::fmt;
use std::sync::Once;

use serde_json::Value;

use crate::core::{FailureKind, Observed, Position};
use crate::probe::BoxFuture;

use super::asking::configured;
use super::cloud_run::{CloudRunSettings, Service};
use super::google::GoogleClient;
use super::iam_policy::Policy;
use super::invoker_check::Record;
use super::meter::Meter;
use super::{AskStandby, CallKind, ResourceKey, Toggle, ToggleError};

const READ: &str = "cloud run: look whether the service is open";

/// The gate.
pub struct OpenGate {
    service: Service,
    /// Said once in a process.
    unguarded: Once,
}

impl fmt::Debug for OpenGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenGate")
            .field("key", &self.service.key)
            .finish_non_exhaustive()
    }
}

impl OpenGate {
    /// A gate that learns its effective position through `ask`.
    pub fn new(settings: &CloudRunSettings, client: GoogleClient, ask: AskStandby, meter: Meter) -> Self {
        Self {
            service: Service::new(settings, client, ask, meter),
            unguarded: Once::new(),
        }
    }

    /// Open by either of the two ways. A shut one is an error whatever is wanted: nobody here opens it, and it is told before it is needed.
    async fn look(&self, kind: CallKind) -> Result<Observed, ToggleError> {
        let service = self.service.get(READ, kind, "").await?;
        let mut position = Record::parse(READ, &service)?.position;
        if position == Position::Off {
            let policy = Policy::parse(self.service.get_policy(kind).await?);
            position = policy.map_err(|what| ToggleError::nonsense(READ, what))?.position();
        }
        if position == Position::Off {
            let detail = "the service is not open to the public, and mode = \"open\" never opens it: grant allUsers roles/run.invoker or \
                          switch its invoker check off, or write mode = \"iam\" or mode = \"invoker_check\"";
            return Err(ToggleError::new(FailureKind::NotApplied, READ, detail));
        }
        if !is_guarded(&service) {
            self.unguarded.call_once(|| {
                tracing::warn!(
                    service = self.service.key.object,
                    "always open and without a maximum of instances: anybody can run up costs; set max instances to 1 or 2"
                );
            });
        }
        Ok(Observed {
            held_by_other: true,
            ..configured(Position::On)
        })
    }

    async fn observe_both(&self) -> Result<Observed, ToggleError> {
        let effective = async { Ok(self.service.effective().await) };
        let (observed, effective) = tokio::try_join!(self.look(CallKind::Routine), effective)?;
        Ok(Observed { effective, ..observed })
    }
}

impl Toggle for OpenGate {
    fn key(&self) -> &ResourceKey {
        &self.service.key
    }

    fn kind(&self) -> &'static str {
        "cloud_run"
    }

    fn observe(&self) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(self.observe_both())
    }

    /// Sends no write: on is what it is, and off is nobody's wish but the owner's.
    fn set(&self, _: Position) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(self.look(CallKind::Read))
    }

    fn may_observe(&self) -> bool {
        self.service.meter.allows(CallKind::Routine)
    }

    fn warm(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.service.warm())
    }
}

/// Whether the number of instances is limited, on the service or on its revisions.
fn is_guarded(service: &Value) -> bool {
    ["/scaling/maxInstanceCount", "/template/scaling/maxInstanceCount"]
        .into_iter()
        .any(|place| {
            service
                .pointer(place)
                .and_then(Value::as_u64)
                .is_some_and(|most| most > 0)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_maximum_of_instances_guards_wherever_it_stands() {
        assert!(is_guarded(&json!({"scaling": {"maxInstanceCount": 2}})));
        assert!(is_guarded(&json!({"template": {"scaling": {"maxInstanceCount": 1}}})));
        assert!(!is_guarded(&json!({"scaling": {"minInstanceCount": 2}})));
        assert!(!is_guarded(&json!({"scaling": {"maxInstanceCount": 0}})));
    }
}
