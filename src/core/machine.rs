//! Phase, mode and policy: the hysteresis.

use super::time::{Duration, Stopwatch, Wall};
use super::toggles::Route;

/// All thresholds and durations of a site. Defaults live in `config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Time between two scheduled probes.
    pub interval: Duration,
    /// Time between two confirming probes, and between two looks while something is being proven.
    pub confirm_interval: Duration,
    /// Time between two looks of the visitor eye while nothing happens.
    pub visitor_interval: Duration,
    /// The references' answer counts for this long; while failed over for six times as long.
    pub references_again: Duration,
    /// Failures before failing over.
    pub unhealthy_threshold: u32,
    /// Time since the sending of the first failed probe before failing over.
    pub down_for: Duration,
    /// Successes in a row that clear a suspicion.
    pub clear_threshold: u32,
    /// Time without failure that clears a suspicion.
    pub clear_for: Duration,
    /// Successes in a row before going home.
    pub healthy_threshold: u32,
    /// Quiet before going home.
    pub up_for: Duration,
    /// The most that relapses can make of `up_for`.
    pub up_for_max: Duration,
    /// A failover this soon after going home doubles `up_for`; as much verified health halves it.
    pub relapse_window: Duration,
    /// Open the gate already in `Suspect`.
    pub prewarm: bool,
    /// Who decides to go home.
    pub failback: Failback,
    /// What to do when the standby is broken.
    pub broken_standby: BrokenStandby,
    /// What to do when somebody else moves a toggle.
    pub drift: DriftPolicy,
    /// How long a gate may refuse before the redirect goes on anyway.
    pub gate_patience: Duration,
    /// How long the gate stays open after the redirect went off.
    pub drain: Duration,
    /// Time between two reads of a settled toggle.
    pub verify_every: Duration,
    /// Home has to be proven at the public URL within this time.
    pub home_proof: Duration,
}

/// Who decides to go home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failback {
    /// Pilotlight, by `healthy_threshold` and `up_for`.
    Auto,
    /// The operator, by `pilotlight failback`.
    Manual,
}

/// What to do when the standby is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BrokenStandby {
    /// Hold the redirect back.
    Hold,
    /// Switch all the same.
    Switch,
}

/// What to do when somebody else moves a toggle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DriftPolicy {
    /// Put it back, at most three times an hour.
    Repair,
    /// Say so and leave it.
    Report,
}

/// Where a site stands. Counters and accumulated durations live in the phase that needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Home serves.
    Healthy {
        /// Verified health since going home or since the last halving of `up_for`.
        well: Stopwatch,
    },
    /// A probe failed.
    Suspect {
        /// Failures so far.
        failures: u32,
        /// Successes in a row of scheduled probes.
        successes: u32,
        /// Time since the sending of the first failed probe.
        dark: Stopwatch,
        /// Time since the sending of the first success in a row.
        quiet: Stopwatch,
    },
    /// Home is gone; visitors shall go to the standby.
    FailedOver {
        /// Time since the decision.
        out: Stopwatch,
    },
    /// Home answers again; visitors still go to the standby.
    Recovering {
        /// Successes in a row.
        successes: u32,
        /// Time since the sending of the first of them.
        quiet: Stopwatch,
    },
}

impl Phase {
    /// Every value of [`Phase::label`].
    pub const LABELS: [&'static str; 4] = ["healthy", "suspect", "failed_over", "recovering"];

    /// The metric label and the word in logs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Healthy { .. } => "healthy",
            Self::Suspect { .. } => "suspect",
            Self::FailedOver { .. } => "failed_over",
            Self::Recovering { .. } => "recovering",
        }
    }

    /// Where visitors shall go in this phase.
    pub const fn route(&self) -> Route {
        match self {
            Self::Healthy { .. } | Self::Suspect { .. } => Route::Origin,
            Self::FailedOver { .. } | Self::Recovering { .. } => Route::Standby,
        }
    }
}

/// Who is in command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Pilotlight.
    Auto,
    /// An operator forces a route.
    Pinned {
        /// Where visitors go meanwhile.
        route: Route,
        /// The rest of it.
        pin: Pin,
    },
    /// An operator stopped all writes.
    Paused {
        /// The rest of it.
        pin: Pin,
    },
}

/// Until when, by whom and why an operator took over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// When it ends by itself.
    pub until: Wall,
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
}

impl Mode {
    /// Every value of [`Mode::label`].
    pub const LABELS: [&'static str; 4] = ["auto", "pinned_origin", "pinned_standby", "paused"];

    /// The metric label and the word in logs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Pinned {
                route: Route::Origin, ..
            } => "pinned_origin",
            Self::Pinned {
                route: Route::Standby, ..
            } => "pinned_standby",
            Self::Paused { .. } => "paused",
        }
    }

    /// The operator's pin, if there is one.
    pub const fn pin(&self) -> Option<&Pin> {
        match self {
            Self::Auto => None,
            Self::Pinned { pin, .. } | Self::Paused { pin } => Some(pin),
        }
    }
}
