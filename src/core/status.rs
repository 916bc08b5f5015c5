//! What the outside may know: one read-only picture of a site for metrics, API, page and systemd.

use super::evidence::{Cause, Verdict, View};
use super::machine::{Mode, Phase};
use super::notice::EpisodeId;
use super::time::{Duration, Instant, Wall};
use super::toggles::{FailureKind, Observed, Position, Role, Route, ToggleKey};

/// One picture of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The phase.
    pub phase: Phase,
    /// When the phase began.
    pub phase_since: Instant,
    /// Who is in command.
    pub mode: Mode,
    /// Where visitors shall go.
    pub route: Route,
    /// How far the switch towards `route` is.
    pub switched: Switched,
    /// The last verdict.
    pub verdict: Option<Judgement>,
    /// The visitor's last sighting.
    pub visitor: Option<Seen>,
    /// The standby's last sighting.
    pub standby: Option<Seen>,
    /// How much quiet going home asks for now.
    pub up_for: Duration,
    /// Time until home is decided if it stays quiet.
    pub home_in: Option<Duration>,
    /// Time until the failover is decided if it stays dark.
    pub failover_in: Option<Duration>,
    /// The toggles.
    pub toggles: Vec<ToggleStatus>,
    /// The episode under way.
    pub episode: Option<EpisodeStatus>,
    /// Time frozen since, while blind.
    pub blind_since: Option<Instant>,
    /// Whether the last save reached the disk in time.
    pub saving: bool,
    /// Whether the first full window of own observation is over.
    pub observed_enough: bool,
    /// Whether the wall clock is doubtful.
    pub clock_doubtful: bool,
    /// Totals since the start of the process.
    pub totals: Totals,
}

/// A verdict with its cause and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// When the round was judged.
    pub at: Instant,
}

/// A view and when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// What was seen.
    pub view: View,
    /// When the look was sent.
    pub at: Instant,
}

/// How far a switch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Switched {
    /// Every toggle is where it should be, and a visitor's seat proves it.
    Verified,
    /// Visitors are where they should be; the drain, a silence or a read is still to come.
    Settling,
    /// The switch is under way.
    Switching,
    /// Only a part of the switch could be done.
    Partly,
}

impl Switched {
    /// Every value of [`Switched::label`].
    pub const LABELS: [&'static str; 4] = ["verified", "settling", "switching", "partly"];

    /// The metric label and the word in logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Settling => "settling",
            Self::Switching => "switching",
            Self::Partly => "partly",
        }
    }
}

/// One toggle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToggleStatus {
    /// Which.
    pub key: ToggleKey,
    /// Where it should be; `None` before the first decision (start).
    pub desired: Option<Position>,
    /// What was read back; unknown while a write is in flight.
    pub observed: Observed,
    /// The position that was proven from a visitor's seat (a silence: read back).
    pub verified: Option<Position>,
    /// Whether an operation is in flight.
    pub busy: bool,
    /// The last failure, if the last operation failed.
    pub failing: Option<FailureKind>,
    /// Since when operations fail.
    pub failing_since: Option<Instant>,
}

impl ToggleStatus {
    /// The toggle's role.
    pub const fn role(&self) -> Role {
        self.key.role
    }
}

/// The episode under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpisodeStatus {
    /// Its id.
    pub id: EpisodeId,
    /// When the first failed probe was sent.
    pub began: Wall,
    /// Why it began.
    pub cause: Cause,
}

/// Totals since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Totals {
    /// Episodes begun.
    pub episodes: u64,
    /// Decisions to fail over.
    pub failovers: u64,
    /// Decisions to go home.
    pub failbacks: u64,
    /// Failbacks rolled back.
    pub rollbacks: u64,
    /// Drifts seen.
    pub drifts: u64,
}
