//! What survives a restart: intent, never an instant.

use super::episode::Episode;
use super::machine::{Mode, Phase};
use super::time::{Duration, Wall};
use super::toggles::{Position, Route, ToggleKey};

/// What core has to remember over a restart. All durations are plain; stopwatches come back stopped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    pub episode: Option<Episode>,
    /// The number of the next episode.
    pub next_episode: u64,
    /// What each toggle was last told.
    pub toggles: Vec<ToggleRecord>,
}

/// What a toggle was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
