//! The silence of kind `uptime_check`: the `disabled` field of one uptime check.

use serde_json::{Value, json};

use crate::core::{FailureKind, Observed, Position};
use crate::http::{Method, segment};
use crate::probe::BoxFuture;

use super::fingerprint::{LastSeen, fingerprint};
use super::google::{GoogleCall, GoogleClient};
use super::meter::Meter;
use super::monitoring::{AUDIENCE, lane};
use super::{CallKind, ResourceKey, Toggle, ToggleError};

const READ: &str = "uptime check: read it";
const WRITE: &str = "uptime check: switch it";

/// Which uptime check is switched off while the standby is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UptimeCheckSettings {
    /// `https://monitoring.googleapis.com`, or a local one.
    pub base_url: String,
    /// The project's id or number.
    pub project: String,
    /// The check's id, or its full name.
    pub check_id: String,
}

/// The silence.
#[derive(Debug)]
pub struct UptimeCheck {
    key: ResourceKey,
    base_url: String,
    url: String,
    client: GoogleClient,
    meter: Meter,
    last_seen: LastSeen,
}

impl UptimeCheck {
    /// The silence that these settings name.
    pub fn new(settings: &UptimeCheckSettings, client: GoogleClient, meter: Meter) -> Self {
        let project = &settings.project;
        let check = settings.check_id.rsplit('/').next().unwrap_or_default();
        let base_url = settings.base_url.trim_end_matches('/').to_owned();
        Self {
            key: ResourceKey {
                object: format!("uptime_check/{project}/{check}"),
                lane: lane(project),
                credential: meter.credential().to_owned(),
            },
            url: format!(
                "{base_url}/v3/projects/{}/uptimeCheckConfigs/{}",
                segment(project),
                segment(check)
            ),
            base_url,
            client,
            meter,
            last_seen: LastSeen::default(),
        }
    }

    async fn read(&self, kind: CallKind) -> Result<Check, ToggleError> {
        let call = GoogleCall {
            doing: READ,
            kind,
            audience: AUDIENCE,
            method: Method::GET,
            url: &self.url,
            body: None,
        };
        let reply = self.client.call(&self.meter, call).await?;
        Check::parse(READ, &reply.value)
    }

    /// The field is thinly documented, so it is read back; a check that says it is as it was is a failure, not a success.
    async fn write(&self, wanted: Position) -> Result<Check, ToggleError> {
        let call = GoogleCall {
            doing: WRITE,
            kind: CallKind::Write,
            audience: AUDIENCE,
            method: Method::PATCH,
            url: &format!("{}?updateMask=disabled", self.url),
            body: Some(json!({ "disabled": wanted == Position::On })),
        };
        let reply = self.client.call(&self.meter, call).await?;
        let answered = Check::parse(WRITE, &reply.value)?;
        let read_back = self.read(CallKind::Read).await?;
        if answered.position == wanted && read_back.position == wanted {
            return Ok(read_back);
        }
        let detail =
            "Google took the change, but `disabled` did not stick; kind = \"snooze\" mutes the alert policy instead";
        Err(ToggleError::new(FailureKind::NotApplied, WRITE, detail))
    }

    async fn make(&self, wanted: Position) -> Result<Observed, ToggleError> {
        let mut check = self.read(CallKind::Read).await?;
        if check.position != wanted {
            check = self.write(wanted).await?;
        }
        Ok(self.observed(check))
    }

    async fn look(&self) -> Result<Observed, ToggleError> {
        let check = self.read(CallKind::Routine).await?;
        Ok(self.observed(check))
    }

    /// An edit is told once, so nothing may fail after this.
    fn observed(&self, check: Check) -> Observed {
        Observed {
            configured: Some(check.position),
            edited: self.last_seen.look(check.fingerprint).is_edited(),
            ..Observed::default()
        }
    }
}

impl Toggle for UptimeCheck {
    fn key(&self) -> &ResourceKey {
        &self.key
    }

    fn kind(&self) -> &'static str {
        "uptime_check"
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
        Box::pin(self.client.warm(AUDIENCE, &self.base_url))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Check {
    position: Position,
    fingerprint: u64,
}

impl Check {
    /// Google leaves `disabled` out when it is false.
    fn parse(doing: &'static str, value: &Value) -> Result<Self, ToggleError> {
        let named = value.get("name").is_some_and(Value::is_string);
        let disabled = match value.get("disabled") {
            None => Some(false),
            Some(disabled) => disabled.as_bool(),
        };
        match disabled.filter(|_| named) {
            Some(disabled) => Ok(Self {
                position: if disabled { Position::On } else { Position::Off },
                fingerprint: fingerprint(value, &["disabled"]),
            }),
            None => Err(ToggleError::nonsense(doing, "the answer is not an uptime check")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_without_the_field_is_enabled() {
        let check = |value: Value| Check::parse("test", &value);
        let position = |value| check(value).unwrap().position;
        assert_eq!(position(json!({"name": "n"})), Position::Off);
        assert_eq!(position(json!({"name": "n", "disabled": false})), Position::Off);
        assert_eq!(position(json!({"name": "n", "disabled": true})), Position::On);
        for wrong in [
            json!({}),
            json!({"disabled": true}),
            json!({"name": "n", "disabled": "true"}),
            json!({"name": 1}),
        ] {
            assert_eq!(check(wrong).unwrap_err().kind, FailureKind::Nonsense);
        }
    }
}
