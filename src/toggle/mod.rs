//! The port to the remote switches.

mod asking;
pub mod budget;
pub mod claims;
pub mod cloud_run;
pub mod cloudflare;
pub mod exec;
mod failure;
pub mod fingerprint;
pub mod google;
pub mod google_id_token;
pub mod google_key;
pub mod google_token;
pub mod iam_policy;
pub mod invoker_check;
pub mod meter;
pub mod monitoring;
pub mod open_gate;
pub mod page_rule;
pub mod shared;
pub mod single_redirect;
pub mod uptime_check;
pub mod worker_route;

use std::sync::Arc;
use std::time::Duration;

pub use budget::CallKind;
pub use meter::{Calls, Meter};
pub use shared::Resources;

use crate::core::{Failure, FailureKind, Observed, Position, Sighting, Wall};
use crate::probe::BoxFuture;

/// Names a provider's object: two sites with the same key share one toggle.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    /// The object itself, for example `cloud_run/PROJECT/REGION/SERVICE`.
    pub object: String,
    /// Operations with the same lane never overlap: the service, the zone's ruleset, the project's alert policies.
    pub lane: String,
    /// Calls with the same credential share one rate budget.
    pub credential: String,
}

/// One remote switch. An operation is one try with one total deadline; core retries.
pub trait Toggle: Send + Sync {
    /// Which object this drives.
    fn key(&self) -> &ResourceKey;
    /// The configured kind, for logs and metrics: `cloud_run`, `single_redirect`, ...
    fn kind(&self) -> &'static str;
    /// Reads the position. Sends no write.
    fn observe(&self) -> BoxFuture<'_, Result<Observed, ToggleError>>;
    /// Makes it so: read, compare, change the minimum, write, check the answer. Sends nothing when nothing differs.
    fn set(&self, position: Position) -> BoxFuture<'_, Result<Observed, ToggleError>>;
    /// Whether the budget of its credential has room for another [`Toggle::observe`] now.
    fn may_observe(&self) -> bool {
        true
    }
    /// Has the credential and an open connection ready before they are needed. Best effort; makes no call that the provider counts.
    fn warm(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Asks the standby as a visitor does; how a gate learns its effective position without knowing who looks.
pub type AskStandby = Arc<dyn Fn() -> BoxFuture<'static, Sighting> + Send + Sync>;

/// Tells wall time; what an edge needs to stamp a token or a snooze.
pub type TellWall = Arc<dyn Fn() -> Wall + Send + Sync>;

/// A failed operation. Holds no URL, token or header.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{doing}: {detail}")]
pub struct ToggleError {
    /// How core has to treat it.
    pub kind: FailureKind,
    /// What was tried, for example `cloud run: write the policy`.
    pub doing: &'static str,
    /// What happened and what to do, from the provider's error or our own words; shortened and redacted.
    pub detail: String,
    /// The provider asked us to wait at least this long.
    pub retry_after: Option<Duration>,
}

impl ToggleError {
    /// The value of the metric label `result`.
    pub const fn reason(&self) -> &'static str {
        self.kind.label()
    }

    /// What core needs to know.
    pub const fn failure(&self) -> Failure {
        Failure {
            kind: self.kind,
            retry_after: self.retry_after,
        }
    }
}
