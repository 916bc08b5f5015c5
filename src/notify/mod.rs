//! The port to those who are told: what a notice says, who delivers it, and what is counted.

mod delivery;
mod facts;
mod glance;
mod outbox;
mod tellers;
pub mod webhook;
pub mod words;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

pub use self::delivery::{Delivery, Target, open};
pub use self::glance::glance;
pub use self::tellers::Tellers;
pub use self::words::Words;
use crate::core::{EpisodeId, Notice, Severity, Status, Wall};
use crate::probe::BoxFuture;

/// A notice that is told this much later than it happened says so.
pub const LATE_AFTER: Duration = Duration::from_secs(60);
/// So many of a site's notices are kept with its intent, the newest ones. More wait only where outboxes cannot be written.
pub const MOST_PENDING: usize = 50;

/// A notice on its way: everything a sender needs, so that it can be kept on disk and sent after a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Its id, the same over all tries; holds no dot.
    pub id: String,
    /// The site it is about.
    pub site: String,
    /// The event's name: `failed_over`, `stuck`, ...
    pub name: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// The episode it belongs to.
    pub episode: Option<u64>,
    /// When it happened, in milliseconds since the Unix epoch.
    pub happened_unix_ms: u64,
    /// What happened, in words.
    pub words: Words,
    /// What happened, for machines: causes, durations in seconds, switches.
    pub facts: Map<String, Value>,
    /// The site at that moment: phase, mode, route, progress of the switch.
    pub state: Map<String, Value>,
}

impl Told {
    /// Puts a notice into words.
    pub fn new(id: String, site: &str, notice: &Notice, status: Option<&Status>) -> Self {
        Self {
            id,
            site: site.to_owned(),
            name: notice.what.name().to_owned(),
            severity: Severity::label(notice.what.severity()).to_owned(),
            episode: notice.episode.map(|EpisodeId(id)| id),
            happened_unix_ms: notice.wall.0,
            words: Words::of(&notice.what),
            facts: facts::of(&notice.what),
            state: status.map(facts::state).unwrap_or_default(),
        }
    }

    /// When it happened.
    pub const fn happened(&self) -> Wall {
        Wall(self.happened_unix_ms)
    }

    /// How long ago it happened, by the wall clock; nothing for one from the future.
    pub const fn age(&self, now: Wall) -> Duration {
        Duration::from_millis(now.0.saturating_sub(self.happened_unix_ms))
    }
}

/// Tells everyone who wants to hear of a site. Never waits.
pub trait Teller: Send + Sync {
    /// Puts a notice into words and gives it an id. `status` is the site's picture at this moment.
    fn word(&self, notice: &Notice, status: &Status) -> Told;
    /// Hands a new notice to all deliveries.
    fn tell(&self, told: &Arc<Told>) -> Receipt;
    /// Hands over one from before the start; an outbox that has it already keeps it once.
    fn tell_again(&self, told: &Arc<Told>) -> Receipt;
}

/// Tells when a notice is safe. Nothing is ever sent: it ends when all who owe it have dropped their end.
#[derive(Debug)]
pub struct Receipt(mpsc::Receiver<Infallible>);

impl Receipt {
    /// A receipt, and what each of those who owe the notice holds a clone of.
    pub fn owed() -> (mpsc::Sender<Infallible>, Self) {
        let (owed, safe) = mpsc::channel(1);
        (owed, Self(safe))
    }

    /// Resolves once every target's outbox has the notice on disk, or it was delivered there, or given up.
    pub async fn safe(mut self) {
        self.0.recv().await;
    }
}

/// One way to tell people. One try with one total deadline; the delivery task retries.
pub trait Notifier: Send + Sync {
    /// Delivers once. `late` says how long ago it happened when that is worth saying.
    fn tell<'a>(&'a self, told: &'a Told, late: Option<Duration>) -> BoxFuture<'a, Result<(), TellError>>;
}

/// A failed try to deliver a notice. Holds no URL, token or header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct TellError {
    /// How the delivery task has to treat it.
    pub kind: TellFailure,
    /// What happened.
    pub detail: String,
    /// The target asked us to wait at least this long.
    pub retry_after: Option<Duration>,
}

/// Why a try to deliver a notice failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TellFailure {
    /// No answer in time, or the connection broke.
    NoAnswer,
    /// 408, 425, 429 or 5xx: worth another try.
    Unavailable,
    /// Another 4xx, or a redirect: the settings are wrong, and another try of the same would be too.
    Refused,
    /// 410: gone for good.
    Gone,
    /// The outbox could not be written.
    Local,
}

impl TellFailure {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::NoAnswer,
        Self::Unavailable,
        Self::Refused,
        Self::Gone,
        Self::Local,
    ];

    /// The metric label and the word in logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Gone => "gone",
            Self::Local => "local",
        }
    }
}

/// Why a notice was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// The outbox or the way to it is full.
    Full,
    /// Too old to be of use.
    Expired,
    /// The target refuses it for good.
    Refused,
    /// Its file in the outbox is broken.
    Broken,
}

impl Dropped {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Full, Self::Expired, Self::Refused, Self::Broken];

    /// The metric label and the word in logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Broken => "broken",
        }
    }
}

/// What happened in a target's delivery, for whoever counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A notice was delivered.
    Sent(Wall),
    /// A try failed.
    Failed(TellFailure),
    /// A notice was given up.
    Dropped(Dropped),
    /// So many notices wait in the outbox.
    Waiting(usize),
    /// The target is gone for good; until restart.
    Disabled,
}

/// Counts what happens in the deliveries.
pub trait Tally: Send + Sync {
    /// Takes a note.
    fn note(&self, target: &str, happening: Happening);
}

#[cfg(test)]
mod tests;
