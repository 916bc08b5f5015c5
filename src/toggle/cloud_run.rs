//! The gate of kind `cloud_run` in mode `iam`: `allUsers` in the service's unconditional `roles/run.invoker` binding.

use std::fmt;

use serde_json::{Value, json};

use crate::core::{FailureKind, Observed, Position};
use crate::http::{Method, segment};
use crate::probe::BoxFuture;

use super::asking::{configured, effective};
use super::google::{GoogleCall, GoogleClient};
use super::iam_policy::{LastPolicy, Policy};
use super::meter::Meter;
use super::{AskStandby, CallKind, ResourceKey, Toggle, ToggleError};

pub(super) const AUDIENCE: &str = "https://run.googleapis.com/";

const READ: &str = "cloud run: read the policy";
const WRITE: &str = "cloud run: write the policy";

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

/// A service as every mode of the gate reaches it.
pub(super) struct Service {
    pub(super) key: ResourceKey,
    pub(super) base_url: String,
    /// Where the region's operations are.
    pub(super) operations_url: String,
    resource_url: String,
    client: GoogleClient,
    ask: AskStandby,
    pub(super) meter: Meter,
}

/// The gate.
pub struct CloudRunGate {
    service: Service,
    last: LastPolicy,
}

impl fmt::Debug for CloudRunGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudRunGate")
            .field("key", &self.service.key)
            .finish_non_exhaustive()
    }
}

impl Service {
    pub(super) fn new(settings: &CloudRunSettings, client: GoogleClient, ask: AskStandby, meter: Meter) -> Self {
        let CloudRunSettings {
            base_url,
            project,
            region,
            service,
        } = settings;
        let object = format!("cloud_run/{project}/{region}/{service}");
        let base_url = base_url.trim_end_matches('/').to_owned();
        let region_url = format!(
            "{base_url}/v2/projects/{}/locations/{}",
            segment(project),
            segment(region)
        );
        Self {
            key: ResourceKey {
                lane: object.clone(),
                object,
                credential: meter.credential().to_owned(),
            },
            resource_url: format!("{region_url}/services/{}", segment(service)),
            operations_url: format!("{region_url}/operations"),
            base_url,
            client,
            ask,
            meter,
        }
    }

    /// Reads the service, or what `rest` names of it.
    pub(super) async fn get(&self, doing: &'static str, kind: CallKind, rest: &str) -> Result<Value, ToggleError> {
        let url = format!("{}{rest}", self.resource_url);
        self.get_url(doing, kind, &url).await
    }

    pub(super) async fn get_url(&self, doing: &'static str, kind: CallKind, url: &str) -> Result<Value, ToggleError> {
        let call = GoogleCall {
            doing,
            kind,
            audience: AUDIENCE,
            method: Method::GET,
            url,
            body: None,
        };
        Ok(self.client.call(&self.meter, call).await?.value)
    }

    pub(super) async fn get_policy(&self, kind: CallKind) -> Result<Value, ToggleError> {
        self.get(READ, kind, ":getIamPolicy?options.requestedPolicyVersion=3")
            .await
    }

    pub(super) async fn send(
        &self,
        doing: &'static str,
        method: Method,
        rest: &str,
        body: Value,
    ) -> Result<Value, ToggleError> {
        let call = GoogleCall {
            doing,
            kind: CallKind::Write,
            audience: AUDIENCE,
            method,
            url: &format!("{}{rest}", self.resource_url),
            body: Some(body),
        };
        Ok(self.client.call(&self.meter, call).await?.value)
    }

    pub(super) async fn effective(&self) -> Option<Position> {
        effective(&self.ask).await
    }

    pub(super) async fn warm(&self) {
        self.client.warm(AUDIENCE, &self.base_url).await;
    }
}

impl CloudRunGate {
    /// A gate that learns its effective position through `ask`.
    pub fn new(settings: &CloudRunSettings, client: GoogleClient, ask: AskStandby, meter: Meter) -> Self {
        Self {
            service: Service::new(settings, client, ask, meter),
            last: LastPolicy::default(),
        }
    }

    async fn read(&self, kind: CallKind) -> Result<Policy, ToggleError> {
        let policy = self.service.get_policy(kind).await?;
        self.parse(READ, policy)
    }

    async fn write(&self, policy: Policy, wanted: Position) -> Result<Observed, ToggleError> {
        let body = json!({ "policy": policy.into_json() });
        let answer = self.service.send(WRITE, Method::POST, ":setIamPolicy", body).await?;
        let written = self.parse(WRITE, answer)?;
        if written.position() != wanted {
            let detail = "the service took the policy, but its answer shows the old position";
            return Err(ToggleError::new(FailureKind::NotApplied, WRITE, detail));
        }
        Ok(configured(wanted))
    }

    fn parse(&self, doing: &'static str, value: Value) -> Result<Policy, ToggleError> {
        let policy = Policy::parse(value).and_then(|policy| self.last.accept(policy));
        policy.map_err(|what| ToggleError::nonsense(doing, what))
    }

    async fn observe_both(&self) -> Result<Observed, ToggleError> {
        let effective = async { Ok(self.service.effective().await) };
        let (policy, effective) = tokio::try_join!(self.read(CallKind::Routine), effective)?;
        Ok(Observed {
            effective,
            ..configured(policy.position())
        })
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
