//! Faults that are injected into the providers' answers, and the journal of the calls that were made.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::serve::{Asked, Reply};

/// How many calls the journal keeps; the oldest go first.
const MAX_JOURNAL: usize = 20_000;
/// How many faults may be pending.
const MAX_FAULTS: usize = 256;

/// A provider's API, or another HTTP service of the sandbox that is called by the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// Cloud Run: services, their IAM policies, operations.
    Run,
    /// Cloud Monitoring: uptime checks, alert policies, snoozes.
    Monitoring,
    /// The OAuth token endpoint.
    Token,
    /// The metadata server of a VM.
    Metadata,
    /// Secret Manager.
    Secrets,
    /// Cloudflare's API.
    Cloudflare,
    /// The receiver of notices.
    Webhook,
}

/// Which calls a fault hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    /// All.
    #[default]
    Any,
    /// Only those that cannot change anything.
    Reads,
    /// Only those that may change something.
    Writes,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 401: the token is not accepted.
    Unauthorized,
    /// 403: a permission is missing.
    Forbidden,
    /// 404 in the provider's JSON.
    NotFound,
    /// 409 ABORTED: a concurrent change.
    Aborted,
    /// 429, with `Retry-After` (and Google's `RetryInfo`) when seconds are given.
    TooMany(Option<u32>),
    /// A 5xx in the provider's JSON.
    ServerError(u16),
    /// A 5xx as HTML from a front end.
    ServerErrorHtml(u16),
    /// 200 with JSON that ends in the middle.
    TruncatedJson,
    /// 200 with `success:false` (Cloudflare's envelope).
    SuccessFalse,
    /// 200 with HTML.
    OkHtml,
    /// 200 with a policy that has an etag and no bindings.
    PolicyWithoutBindings,
    /// The call is carried out, then the connection is cut before the answer.
    LostReply,
    /// The call is carried out after so many milliseconds, even when the caller has gone; then it is answered.
    LateReply(u32),
    /// Accepted, never answered, never carried out.
    Hang,
    /// The connection is reset; nothing is carried out.
    Reset,
    /// Carried out; half of the answer is sent, then the connection breaks.
    HalfBody,
    /// Monitoring says yes to `disabled` and ignores it.
    IgnoreDisabled,
    /// Carried out; the answer is gzip-compressed, for callers that accept it.
    Gzip,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which API.
    pub api: Api,
    /// Which of its calls.
    #[serde(default)]
    pub calls: Calls,
    /// Only calls whose path contains this text; all when absent.
    #[serde(default)]
    pub path_contains: Option<String>,
    /// What goes wrong.
    pub kind: FaultKind,
    /// How many times; until cleared when absent.
    #[serde(default)]
    pub times: Option<u32>,
}

impl Fault {
    /// A fault on every call to `api`, until cleared.
    pub const fn always(api: Api, kind: FaultKind) -> Self {
        Self {
            api,
            calls: Calls::Any,
            path_contains: None,
            kind,
            times: None,
        }
    }

    /// A fault on the next call to `api`.
    pub fn once(api: Api, kind: FaultKind) -> Self {
        Self {
            times: Some(1),
            ..Self::always(api, kind)
        }
    }

    /// The same, for writes only.
    #[must_use]
    pub fn on_writes(self) -> Self {
        Self {
            calls: Calls::Writes,
            ..self
        }
    }

    /// The same, for reads only.
    #[must_use]
    pub fn on_reads(self) -> Self {
        Self {
            calls: Calls::Reads,
            ..self
        }
    }

    /// The same, for paths that contain `text`.
    #[must_use]
    pub fn on_path(self, text: &str) -> Self {
        Self {
            path_contains: Some(text.to_owned()),
            ..self
        }
    }

    fn hits(&self, api: Api, asked: &Asked) -> bool {
        let calls = match self.calls {
            Calls::Any => true,
            Calls::Reads => !may_write(asked),
            Calls::Writes => may_write(asked),
        };
        let path = self
            .path_contains
            .as_ref()
            .is_none_or(|text| asked.path.contains(text.as_str()));
        self.api == api && calls && path
    }
}

/// Whether a call may change something.
pub(super) fn may_write(asked: &Asked) -> bool {
    let asks_only = asked.path.ends_with(":testIamPermissions") || asked.path.ends_with(":wait");
    asked.method != hyper::Method::GET && asked.method != hyper::Method::HEAD && !asks_only
}

/// The pending faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pending: Vec<Fault>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        if self.pending.len() < MAX_FAULTS && fault.times != Some(0) {
            self.pending.push(fault);
        }
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    pub(super) fn pending(&self) -> &[Fault] {
        &self.pending
    }

    /// The first fault that hits this call; counts down.
    pub(super) fn take(&mut self, api: Api, asked: &Asked) -> Option<FaultKind> {
        let place = self.pending.iter().position(|fault| fault.hits(api, asked))?;
        let fault = self.pending.get_mut(place)?;
        let kind = fault.kind;
        if let Some(times) = &mut fault.times {
            *times -= 1;
            if *times == 0 {
                self.pending.remove(place);
            }
        }
        Some(kind)
    }
}

/// A call that was made to a provider. Holds no token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// When it was carried out, since the sandbox's start.
    pub at: Duration,
    /// Which API.
    pub api: Api,
    /// The HTTP method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The HTTP status of the answer; of a lost answer the one that was lost, 0 when there was none.
    pub status: u16,
    /// Whether it could have changed something and was accepted.
    pub wrote: bool,
    /// Whether it changed something.
    pub changed: bool,
    /// The fault that hit it.
    pub fault: Option<FaultKind>,
}

/// The calls, oldest first.
#[derive(Debug, Default)]
pub(super) struct Journal {
    calls: std::collections::VecDeque<Call>,
}

impl Journal {
    pub(super) fn note(&mut self, call: Call) {
        if self.calls.len() >= MAX_JOURNAL {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.iter().cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        self.calls.clear();
    }
}

/// The reply compressed as one stored block: enough to tell who cannot read gzip.
pub(super) fn gzip(reply: Reply) -> Reply {
    let Ok(length) = u16::try_from(reply.body.len()) else {
        return reply;
    };
    let mut body = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    body.extend(length.to_le_bytes());
    body.extend((!length).to_le_bytes());
    body.extend_from_slice(&reply.body);
    body.extend(checksum(&reply.body, 0xedb8_8320).to_le_bytes());
    body.extend(u32::from(length).to_le_bytes());
    reply.with_body(body).with("content-encoding", "gzip")
}

/// A CRC-32 with this reflected polynomial.
pub(super) fn checksum(data: &[u8], polynomial: u32) -> u32 {
    !data.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (polynomial & (sum & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn checksums_agree_with_the_published_check_values() {
        assert_eq!(checksum(b"123456789", 0xedb8_8320), 0xcbf4_3926, "CRC-32");
        assert_eq!(checksum(b"123456789", 0x82f6_3b78), 0xe306_9283, "CRC-32C");
    }
}
