//! What survives a restart: intent, never an instant.

use super::evidence::Cause;
use super::machine::{Mode, Phase};
use super::notice::EpisodeId;
use super::time::{Duration, Wall};
use super::toggles::{Position, Route, ToggleKey};

/// What core has to remember over a restart. All durations are plain; stopwatches come back stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was taken.
    pub taken: Wall,
    /// The phase, its stopwatches stopped.
    pub phase: Phase,
    /// Who is in command.
    pub mode: Mode,
    /// Where visitors were to go.
    pub route: Route,
    /// How much quiet going home asks for now.
    pub up_for: Duration,
    /// Time since going home, while a relapse would still count.
    pub since_home: Option<Duration>,
    /// The episode under way.
    pub episode: Option<EpisodeRecord>,
    /// The number of the next episode.
    pub next_episode: u64,
    /// What each toggle was last told.
    pub toggles: Vec<ToggleRecord>,
}

/// The episode under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpisodeRecord {
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

/// What a toggle was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToggleRecord {
    /// Which.
    pub key: ToggleKey,
    /// Where it should be.
    pub desired: Position,
    /// Whether it was read back there since.
    pub settled: bool,
    /// Time since it was last told to go `On` (a gate stays open for at least `drain`).
    pub on_for: Option<Duration>,
    /// Time since it was last seen to go `Off` (the drain counts from the redirect's).
    pub off_for: Option<Duration>,
}
