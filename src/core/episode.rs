//! One outage from the first bad probe to converged home again, and what was said in it.

use super::evidence::Cause;
use super::notice::EpisodeId;
use super::time::{Duration, Wall};

/// Keys of notices that are remembered at most; far above what one episode can say.
const MOST_TOLD: usize = 256;

/// The episode under way; saved as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Episode {
    /// Its id.
    pub id: EpisodeId,
    /// When the first failed probe was sent.
    pub began: Wall,
    /// Why it began.
    pub cause: Cause,
    /// Whether the standby was proven to serve visitors in it.
    pub failed_over: bool,
    /// Whether home was proven at the public URL since the last failback in it.
    pub home_proven: bool,
    /// Whether home's answers to the origin eye say nothing of visitors.
    pub home_in_doubt: bool,
    /// How often the route changed in it.
    pub leg: u32,
    /// Keys of the notices already given in it, so that a restart repeats none.
    pub told: Vec<String>,
}

impl Episode {
    /// A new one.
    pub const fn new(id: EpisodeId, began: Wall, cause: Cause) -> Self {
        Self {
            id,
            began,
            cause,
            failed_over: false,
            home_proven: false,
            home_in_doubt: cause.leaves_home_in_doubt(),
            leg: 0,
            told: Vec::new(),
        }
    }

    /// Notes that `key` is told; `false` if it was told before.
    pub fn tell_once(&mut self, key: &str) -> bool {
        if self.was_told(key) {
            return false;
        }
        if self.told.len() >= MOST_TOLD {
            self.told.remove(0);
        }
        self.told.push(key.to_owned());
        true
    }

    /// Whether `key` was told in this episode.
    pub fn was_told(&self, key: &str) -> bool {
        self.told.iter().any(|told| told == key)
    }

    /// Whether `key` was told on this leg.
    pub fn was_told_on_leg(&self, key: &str) -> bool {
        self.was_told(&self.on_leg(key))
    }

    /// The key of something that is told once on this leg.
    pub fn on_leg(&self, key: &str) -> String {
        format!("{}:{key}", self.leg)
    }

    /// The route changes: what was told on the leg before will not be told again anyway.
    pub fn begin_leg(&mut self) {
        self.told.retain(|key| !key.contains(':'));
        self.leg = self.leg.saturating_add(1);
    }

    /// Forgets that `key` was told: its opposite was told since.
    pub fn untell(&mut self, key: &str) {
        self.told.retain(|told| told != key);
    }

    /// Time since it began, by the wall clock; only told to people.
    pub fn lasted(&self, now: Wall) -> Duration {
        Duration::from_millis(now.0.saturating_sub(self.began.0))
    }
}
