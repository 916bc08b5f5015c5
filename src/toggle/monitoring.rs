//! The silence of kind `snooze`: a short snooze on one alert policy, which ends by itself should we die.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::core::{FailureKind, Observed, Position, Wall};
use crate::http::{Method, segment};
use crate::probe::BoxFuture;

use super::google::{GoogleCall, GoogleClient, GoogleReply};
use super::meter::Meter;
use super::{CallKind, ResourceKey, TellWall, Toggle, ToggleError};

/// Monitoring's own name for itself.
pub const AUDIENCE: &str = "https://monitoring.googleapis.com/";

const LIST: &str = "snooze: list";
const CREATE: &str = "snooze: create";
const MOVE_END: &str = "snooze: move the end";

/// Ended snoozes stay for ever, so a list may have several pages; more than these means something else is wrong.
const MAX_PAGES: usize = 8;

/// Google forgives so much between its clock and the start we name.
const SKEW: Duration = Duration::from_secs(15);

/// Which alert policy is muted, and for how long at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnoozeSettings {
    /// `https://monitoring.googleapis.com`, or a local one.
    pub base_url: String,
    /// The project's id or number.
    pub project: String,
    /// The alert policy's id, or its full name.
    pub alert_policy: String,
    /// This daemon's own id; part of the snooze's display name, so that ours are told from others'.
    pub instance: String,
    /// How long one snooze lasts unless it is renewed.
    pub length: Duration,
}

impl SnoozeSettings {
    /// The usual length of a snooze.
    pub const LENGTH: Duration = Duration::from_secs(3600);
}

/// The silence.
pub struct Snooze {
    key: ResourceKey,
    base_url: String,
    project: String,
    policy: String,
    name_prefix: String,
    length: Duration,
    client: GoogleClient,
    meter: Meter,
    wall: TellWall,
    /// Whether the API wants the update mask spelled in `snake_case`; its documents show both.
    snake_case: AtomicBool,
}

impl fmt::Debug for Snooze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snooze").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The lane of everything that belongs to a project's monitoring: Google wants such writes one after the other.
pub(super) fn lane(project: &str) -> String {
    format!("monitoring/{project}")
}

impl Snooze {
    /// A silence for the policy that these settings name. `wall` is used only when the server does not tell its own time.
    pub fn new(settings: SnoozeSettings, client: GoogleClient, meter: Meter, wall: TellWall) -> Self {
        let policy_id = settings.alert_policy.rsplit('/').next().unwrap_or_default().to_owned();
        let project = settings.project;
        Self {
            key: ResourceKey {
                object: format!("snooze/{project}/{policy_id}"),
                lane: lane(&project),
                credential: meter.credential().to_owned(),
            },
            base_url: settings.base_url.trim_end_matches('/').to_owned(),
            policy: format!("projects/{project}/alertPolicies/{policy_id}"),
            name_prefix: format!("pilotlight {} {policy_id} ", settings.instance),
            length: settings.length,
            project,
            client,
            meter,
            wall,
            snake_case: AtomicBool::new(false),
        }
    }

    async fn call(&self, doing: &'static str, kind: CallKind, to: To<'_>) -> Result<GoogleReply, ToggleError> {
        let call = GoogleCall {
            doing,
            kind,
            audience: AUDIENCE,
            method: to.method,
            url: &format!("{}/v3/{}", self.base_url, to.path),
            body: to.body,
        };
        self.client.call(&self.meter, call).await
    }

    /// Our snoozes that have not ended, and what time it is there.
    async fn list(&self, kind: CallKind) -> Result<(Vec<Active>, Timestamp), ToggleError> {
        let mut active = Vec::new();
        let mut page = String::new();
        for _ in 0..MAX_PAGES {
            let path = format!("projects/{}/snoozes?pageSize=500{page}", segment(&self.project));
            let reply = self.call(LIST, kind, To::get(&path)).await?;
            let now = self.now(&reply)?;
            let snoozes = listed(&reply.value)
                .ok_or_else(|| ToggleError::nonsense(LIST, "the answer is not a list of snoozes"))?;
            let ours = snoozes.iter().filter(|snooze| self.is_ours(snooze));
            for snooze in ours {
                let found = Active::parse(snooze);
                let found = found.ok_or_else(|| ToggleError::nonsense(LIST, "a snooze of ours is of unknown shape"))?;
                if found.ends > now {
                    active.push(found);
                }
            }
            match reply.value.get("nextPageToken").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => page = format!("&pageToken={}", segment(token)),
                _ => return Ok((active, now)),
            }
        }
        Err(ToggleError::new(
            FailureKind::Refused,
            LIST,
            "the project has too many snoozes to look through",
        ))
    }

    /// The server's time when it tells it: its idea of past and future is what counts.
    fn now(&self, reply: &GoogleReply) -> Result<Timestamp, ToggleError> {
        let wall = reply.date.unwrap_or_else(|| (self.wall)());
        timestamp(wall).ok_or_else(|| ToggleError::new(FailureKind::Local, LIST, "the clock is out of range"))
    }

    fn is_ours(&self, snooze: &Value) -> bool {
        let name = snooze.get("displayName").and_then(Value::as_str);
        let policies = snooze.pointer("/criteria/policies").and_then(Value::as_array);
        name.is_some_and(|name| name.starts_with(&self.name_prefix))
            && policies.is_some_and(|policies| {
                policies
                    .iter()
                    .any(|policy| policy_id(policy) == policy_id_of(&self.policy))
            })
    }

    /// A lost answer leaves a snooze behind that the next list finds, so nothing is created twice.
    async fn create(&self, now: Timestamp) -> Result<Observed, ToggleError> {
        let body = json!({
            "displayName": format!("{}{}", self.name_prefix, now.as_second()),
            "criteria": {"policies": [self.policy]},
            "interval": {"startTime": now.to_string(), "endTime": later(now, self.length).to_string()},
        });
        let path = format!("projects/{}/snoozes", segment(&self.project));
        let reply = self
            .call(CREATE, CallKind::Write, To::write(Method::POST, &path, body))
            .await?;
        let made = Active::parse(&reply.value);
        let made = made.ok_or_else(|| ToggleError::nonsense(CREATE, "the answer is not a snooze"))?;
        if made.ends <= now {
            return Err(ToggleError::new(
                FailureKind::NotApplied,
                CREATE,
                "the new snooze has already ended",
            ));
        }
        Ok(observed(Some(made.ends), now))
    }

    async fn move_end(&self, snooze: &Active, end: Timestamp) -> Result<Timestamp, ToggleError> {
        let snake = self.snake_case.load(Ordering::Relaxed);
        let moved = match self.patch_end(snooze, end, snake).await {
            Err(error) if error.kind == FailureKind::Refused => {
                let other = self.patch_end(snooze, end, !snake).await.map_err(|_| error)?;
                self.snake_case.store(!snake, Ordering::Relaxed);
                other
            }
            result => result?,
        };
        if moved.duration_since(end).unsigned_abs() > SKEW {
            return Err(ToggleError::new(
                FailureKind::NotApplied,
                MOVE_END,
                "the snooze kept its old end",
            ));
        }
        Ok(moved)
    }

    async fn patch_end(&self, snooze: &Active, end: Timestamp, snake: bool) -> Result<Timestamp, ToggleError> {
        let mask = if snake { "interval.end_time" } else { "interval.endTime" };
        let path = format!("{}?updateMask={mask}", snooze.name);
        let body = json!({"interval": {"endTime": end.to_string()}});
        let reply = self
            .call(MOVE_END, CallKind::Write, To::write(Method::PATCH, &path, body))
            .await?;
        let moved = Active::parse(&reply.value);
        moved
            .map(|moved| moved.ends)
            .ok_or_else(|| ToggleError::nonsense(MOVE_END, "the answer is not a snooze"))
    }

    async fn make(&self, wanted: Position) -> Result<Observed, ToggleError> {
        let (active, now) = self.list(CallKind::Read).await?;
        match wanted {
            Position::On => self.mute(&active, now).await,
            Position::Off => self.unmute(&active, now).await,
        }
    }

    /// Core sets it again at half its length; whatever has more than three quarters left needs no renewal.
    async fn mute(&self, active: &[Active], now: Timestamp) -> Result<Observed, ToggleError> {
        let Some(longest) = active.iter().max_by_key(|snooze| snooze.ends) else {
            return self.create(now).await;
        };
        if left(longest.ends, now) > self.length * 3 / 4 {
            return Ok(observed(Some(longest.ends), now));
        }
        let ends = self.move_end(longest, later(now, self.length)).await?;
        Ok(observed(Some(ends), now))
    }

    /// There is no DELETE; a snooze ends by having its end moved here.
    async fn unmute(&self, active: &[Active], now: Timestamp) -> Result<Observed, ToggleError> {
        for snooze in active {
            self.move_end(snooze, now.max(snooze.starts)).await?;
        }
        Ok(observed(None, now))
    }

    async fn look(&self) -> Result<Observed, ToggleError> {
        let (active, now) = self.list(CallKind::Routine).await?;
        Ok(observed(active.iter().map(|snooze| snooze.ends).max(), now))
    }
}

impl Toggle for Snooze {
    fn key(&self) -> &ResourceKey {
        &self.key
    }

    fn kind(&self) -> &'static str {
        "snooze"
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

/// Where a call goes.
struct To<'a> {
    method: Method,
    path: &'a str,
    body: Option<Value>,
}

impl<'a> To<'a> {
    const fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
        }
    }

    const fn write(method: Method, path: &'a str, body: Value) -> Self {
        Self {
            method,
            path,
            body: Some(body),
        }
    }
}

/// A snooze that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Active {
    name: String,
    starts: Timestamp,
    ends: Timestamp,
}

impl Active {
    fn parse(snooze: &Value) -> Option<Self> {
        let time = |field: &str| snooze.pointer(field)?.as_str()?.parse().ok();
        let name = snooze.get("name")?.as_str()?;
        // It becomes part of the URL that is written to.
        let mut parts = name.split('/');
        let in_place = parts.next() == Some("projects")
            && parts.next().is_some_and(is_plain)
            && parts.next() == Some("snoozes")
            && parts.next().is_some_and(is_plain)
            && parts.next().is_none();
        in_place.then_some(())?;
        Some(Self {
            name: name.to_owned(),
            starts: time("/interval/startTime")?,
            ends: time("/interval/endTime")?,
        })
    }
}

/// One segment of a resource's name that means nothing else in a URL.
fn is_plain(segment: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    !segment.is_empty() && segment != "." && segment != ".." && segment.chars().all(plain)
}

fn observed(ends: Option<Timestamp>, now: Timestamp) -> Observed {
    Observed {
        configured: Some(if ends.is_some() { Position::On } else { Position::Off }),
        lapses_in: ends.map(|ends| left(ends, now)),
        ..Observed::default()
    }
}

/// An empty list is `{}`; any other object without snoozes is not a list, and nothing may be created because of it.
fn listed(reply: &Value) -> Option<&[Value]> {
    let fields = reply.as_object()?;
    match fields.get("snoozes") {
        Some(snoozes) => snoozes.as_array().map(Vec::as_slice),
        None => fields.keys().all(|key| key == "nextPageToken").then_some(&[]),
    }
}

/// Google may answer with the project's number where we named its id, so only the last part counts.
fn policy_id(policy: &Value) -> &str {
    policy_id_of(policy.as_str().unwrap_or_default())
}

fn policy_id_of(policy: &str) -> &str {
    policy.rsplit('/').next().unwrap_or_default()
}

fn left(ends: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(ends.duration_since(now)).unwrap_or_default()
}

fn later(now: Timestamp, length: Duration) -> Timestamp {
    now.checked_add(length).unwrap_or(Timestamp::MAX)
}

fn timestamp(wall: Wall) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(wall.0).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_snooze_is_read_and_its_name_must_fit_a_url() {
        let snooze = |name: &str| json!({"name": name, "interval": {"startTime": "2026-11-22T10:00:00Z", "endTime": "2026-11-22T11:00:00.5Z"}});
        let found = Active::parse(&snooze("projects/p/snoozes/s-1")).unwrap();
        assert_eq!(
            left(found.ends, at("2026-11-22T10:30:00Z")),
            Duration::from_millis(1_800_500)
        );
        assert_eq!(left(found.ends, at("2026-11-22T12:00:00Z")), Duration::ZERO);
        for name in [
            "",
            "projects/p/snoozes/s?x=1",
            "projects/p/alertPolicies/s",
            "projects/p/snoozes/a b",
            "projects/p/snoozes/",
            "projects/p/snoozes/../alertPolicies/s",
            "projects/p/snoozes/..",
        ] {
            assert_eq!(Active::parse(&snooze(name)), None, "{name}");
        }
        assert_eq!(Active::parse(&json!({"name": "projects/p/snoozes/s"})), None);
    }

    #[test]
    fn a_silence_without_snooze_is_off_and_does_not_lapse() {
        let now = at("2026-11-22T10:00:00Z");
        let off = observed(None, now);
        assert_eq!((off.configured, off.lapses_in), (Some(Position::Off), None));
        let on = observed(Some(later(now, Duration::from_secs(60))), now);
        assert_eq!(
            (on.configured, on.lapses_in),
            (Some(Position::On), Some(Duration::from_secs(60)))
        );
    }
}
