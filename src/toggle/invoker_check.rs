//! The gate of kind `cloud_run` in mode `invoker_check`: the service's own `invokerIamDisabled`. It works where an organization's policy
//! forbids `allUsers`, and asks for wider rights.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::core::{FailureKind, Observed, Position};
use crate::http::{Method, segment};
use crate::probe::BoxFuture;

use super::asking::configured;
use super::cloud_run::{CloudRunSettings, Service};
use super::google::{GoogleClient, operation_failure};
use super::meter::Meter;
use super::{AskStandby, CallKind, ResourceKey, Toggle, ToggleError};

const READ: &str = "cloud run: read the service";
const WRITE: &str = "cloud run: switch the invoker check";
const POLL: &str = "cloud run: follow the change";

/// The pauses before an operation is asked for again: most are done within a second, and the rest is read from the service itself.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_secs(2),
    Duration::from_secs(2),
];

/// The gate.
pub struct InvokerCheckGate {
    service: Service,
}

impl fmt::Debug for InvokerCheckGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvokerCheckGate")
            .field("key", &self.service.key)
            .finish_non_exhaustive()
    }
}

impl InvokerCheckGate {
    /// A gate that learns its effective position through `ask`.
    pub fn new(settings: &CloudRunSettings, client: GoogleClient, ask: AskStandby, meter: Meter) -> Self {
        Self {
            service: Service::new(settings, client, ask, meter),
        }
    }

    async fn read(&self, kind: CallKind) -> Result<Record, ToggleError> {
        Record::parse(READ, &self.service.get(READ, kind, "").await?)
    }

    /// The answer is an operation. What the service was like at its end is what is read back.
    async fn write(&self, before: &Record, wanted: Position) -> Result<Observed, ToggleError> {
        let body = json!({ "invokerIamDisabled": wanted == Position::On, "etag": before.etag });
        let mask = "?updateMask=invokerIamDisabled";
        let started = self.service.send(WRITE, Method::PATCH, mask, body).await?;
        let after = match self.follow(started).await? {
            Some(record) => record,
            None => self.read(CallKind::Read).await?,
        };
        if after.position != wanted {
            let detail = "the service took the change, but shows the old position";
            return Err(ToggleError::new(FailureKind::NotApplied, WRITE, detail));
        }
        Ok(configured(wanted))
    }

    /// The service at the operation's end; nothing when the end was not seen, for then the service itself tells the truth (google.md
    /// section 5).
    async fn follow(&self, mut operation: Value) -> Result<Option<Record>, ToggleError> {
        for pause in PAUSES {
            if let Some(end) = end(&operation) {
                return end;
            }
            let Some(id) = id(&operation) else { break };
            let url = format!("{}/{}", self.service.operations_url, segment(id));
            tokio::time::sleep(pause).await;
            match self.service.get_url(POLL, CallKind::Read, &url).await {
                Ok(answer) => operation = answer,
                Err(error) => {
                    tracing::debug!(reason = error.reason(), error = %error, "operation not followed");
                    return Ok(None);
                }
            }
        }
        end(&operation).unwrap_or(Ok(None))
    }

    async fn observe_both(&self) -> Result<Observed, ToggleError> {
        let effective = async { Ok(self.service.effective().await) };
        let (record, effective) = tokio::try_join!(self.read(CallKind::Routine), effective)?;
        Ok(Observed {
            effective,
            ..configured(record.position)
        })
    }

    async fn make(&self, wanted: Position) -> Result<Observed, ToggleError> {
        match self.read_and_write(wanted).await {
            Err(error) if error.kind == FailureKind::Conflict => self.read_and_write(wanted).await,
            result => result,
        }
    }

    async fn read_and_write(&self, wanted: Position) -> Result<Observed, ToggleError> {
        let record = self.read(CallKind::Read).await?;
        if record.position == wanted {
            return Ok(configured(wanted));
        }
        self.write(&record, wanted).await
    }
}

impl Toggle for InvokerCheckGate {
    fn key(&self) -> &ResourceKey {
        &self.service.key
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

    fn may_observe(&self) -> bool {
        self.service.meter.allows(CallKind::Routine)
    }

    fn warm(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.service.warm())
    }
}

/// What the service's record says of the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    etag: String,
    pub(super) position: Position,
}

impl Record {
    /// Google leaves `invokerIamDisabled` out when it is false. A service without an etag would be written blindly.
    pub(super) fn parse(doing: &'static str, value: &Value) -> Result<Self, ToggleError> {
        let named = value.get("name").is_some_and(Value::is_string);
        let etag = value.get("etag").and_then(Value::as_str);
        let disabled = match value.get("invokerIamDisabled") {
            None => Some(false),
            Some(disabled) => disabled.as_bool(),
        };
        match (etag.filter(|etag| named && !etag.is_empty()), disabled) {
            (Some(etag), Some(disabled)) => Ok(Self {
                etag: etag.to_owned(),
                position: if disabled { Position::On } else { Position::Off },
            }),
            _ => Err(ToggleError::nonsense(
                doing,
                "the answer is not a service with an etag, so nothing is written",
            )),
        }
    }
}

/// How the operation ended, if it has: `done` is absent until it is true.
fn end(operation: &Value) -> Option<Result<Option<Record>, ToggleError>> {
    if operation.get("done").and_then(Value::as_bool) != Some(true) {
        return None;
    }
    if let Some(error) = operation.get("error") {
        return Some(Err(operation_failure(WRITE, error)));
    }
    let record = |service| Record::parse(WRITE, service);
    Some(operation.get("response").map(record).transpose())
}

fn id(operation: &Value) -> Option<&str> {
    let name = operation.get("name")?.as_str()?;
    name.rsplit_once("/operations/").map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_without_the_field_checks_its_invokers() {
        let position = |value| Record::parse("test", &value).unwrap().position;
        assert_eq!(position(json!({"name": "n", "etag": "E"})), Position::Off);
        assert_eq!(
            position(json!({"name": "n", "etag": "E", "invokerIamDisabled": true})),
            Position::On
        );
        for wrong in [
            json!({}),
            json!({"name": "n"}),
            json!({"name": "n", "etag": ""}),
            json!({"etag": "E", "invokerIamDisabled": true}),
            json!({"name": "n", "etag": "E", "invokerIamDisabled": "true"}),
            json!({"name": "n", "etag": "E", "invokerIamDisabled": null}),
        ] {
            let error = Record::parse("test", &wrong).unwrap_err();
            assert_eq!(error.kind, FailureKind::Nonsense, "{wrong}");
        }
    }

    #[test]
    fn an_operation_ends_when_it_says_so_and_not_before() {
        let service = json!({"name": "n", "etag": "E", "invokerIamDisabled": true});
        for running in [json!({}), json!({"done": false}), json!({"response": service})] {
            assert!(end(&running).is_none(), "{running}");
        }
        let done = end(&json!({"done": true, "response": service})).unwrap().unwrap();
        assert_eq!(done.unwrap().position, Position::On);
        assert_eq!(end(&json!({"done": true})).unwrap().unwrap(), None);
        assert!(end(&json!({"done": true, "response": {}})).unwrap().is_err());
        let failed = end(&json!({"done": true, "error": {"code": 9, "message": "not ready"}}));
        assert_eq!(failed.unwrap().unwrap_err().kind, FailureKind::Refused);
    }
}
