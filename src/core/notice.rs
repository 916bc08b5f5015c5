//! What people are told: one notice per edge.

use super::evidence::Cause;
use super::time::{Duration, Wall};
use super::toggles::{FailureKind, Position, Route, ToggleKey};

/// Identifies one outage from the first bad probe to converged home again; survives a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpisodeId(pub u64);

/// How urgent a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Someone should look.
    Warning,
    /// A switch could not be completed, or visitors are not served and pilotlight cannot help.
    Critical,
}

impl Severity {
    /// The word in payloads, logs and labels.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Something people are told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// What happened.
    pub what: What,
    /// The episode it belongs to, if any.
    pub episode: Option<EpisodeId>,
    /// When it happened.
    pub wall: Wall,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// The first bad probe.
    Suspected {
        /// Why.
        cause: Cause,
    },
    /// The suspicion passed without a failover.
    SuspicionCleared {
        /// How long it lasted.
        lasted: Duration,
    },
    /// The decision to fail over; switching begins.
    FailoverStarted {
        /// Why.
        cause: Cause,
        /// Time since the first failed probe was sent.
        after: Duration,
    },
    /// Visitors are proven to reach the standby.
    FailedOver {
        /// Time since the first failed probe was sent.
        after: Duration,
    },
    /// Home answers again; the countdown runs.
    Recovering {
        /// How much quiet is asked for.
        up_for: Duration,
    },
    /// Home went dark again before the countdown ended.
    Relapsed {
        /// Why.
        cause: Cause,
    },
    /// The decision to go home; switching begins.
    FailbackStarted,
    /// Home is proven at the public URL.
    BackHome {
        /// Time since the first failed probe was sent.
        after: Duration,
    },
    /// All toggles are off and verified; the episode is over.
    EpisodeOver {
        /// From the first failed probe to now.
        lasted: Duration,
    },
    /// Home was not proven at the public URL in time; visitors go to the standby again.
    RolledBack {
        /// How much quiet the next attempt asks for.
        up_for: Duration,
    },
    /// A toggle cannot be moved for over two minutes, or needs a person.
    Stuck {
        /// Which.
        toggle: ToggleKey,
        /// Where it should go.
        desired: Position,
        /// Why not.
        kind: FailureKind,
    },
    /// A stuck toggle moved after all.
    Unstuck {
        /// Which.
        toggle: ToggleKey,
    },
    /// The redirect is on although the gate still refuses: patience is spent.
    PartlySwitched,
    /// The standby is broken; the redirect is held back (or not, as configured).
    StandbyBroken {
        /// Whether the redirect is held back.
        held: bool,
    },
    /// The standby answers again.
    StandbyMended,
    /// A switch could not be verified from a visitor's seat for the time given by `home_proof`.
    Unverified {
        /// Where visitors should be.
        route: Route,
    },
    /// The redirect leads back to itself; it was switched off.
    RedirectLoop,
    /// Somebody else moved a toggle.
    Drifted {
        /// Which.
        toggle: ToggleKey,
        /// Where it was found.
        found: Position,
        /// Whether it is put back.
        repaired: bool,
    },
    /// A toggle is moved by others again and again; it is left alone.
    DriftLimit {
        /// Which.
        toggle: ToggleKey,
    },
    /// Somebody edited the object in another way than on or off.
    Edited {
        /// Which.
        toggle: ToggleKey,
    },
    /// The gate was found open while home serves; it is closed. This is money.
    Orphan,
    /// The gate's record says shut, yet visitors get in (an inherited grant).
    GateLeaks,
    /// At start the redirect was found on without any memory of it: adopted as failed over.
    Adopted,
    /// At start the redirect was found off although it had been on: decided afresh.
    FoundOff,
    /// Blind for ten minutes: it is me.
    Blind {
        /// Why.
        cause: Cause,
    },
    /// Seeing again after a `Blind`.
    SeesAgain,
    /// The watcher's own path to home is broken; visitors are served.
    OwnPathBroken,
    /// Home is back for visitors but not for us (certificate, stale DNS).
    BackForVisitorsOnly {
        /// Why the origin eye refuses it.
        cause: Cause,
    },
    /// The visitor eye has been challenged for an hour: it proves nothing.
    VisitorEyeBlocked,
    /// An operator took over.
    Overridden {
        /// Forced route, or `None` for a pause.
        route: Option<Route>,
        /// When it ends by itself.
        until: Wall,
        /// Who.
        author: String,
        /// Why.
        reason: String,
    },
    /// An operator's override ended: by `resume`, or by itself.
    OverrideEnded {
        /// Whether it ended by itself.
        expired: bool,
    },
    /// The intent could not be saved in time; acting from memory.
    SaveFailed,
    /// Saving works again.
    SaveWorks,
    /// The state file was broken and was set aside.
    StateSetAside,
}

impl What {
    /// The event's name in payloads, logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Suspected { .. } => "suspected",
            Self::SuspicionCleared { .. } => "suspicion_cleared",
            Self::FailoverStarted { .. } => "failover_started",
            Self::FailedOver { .. } => "failed_over",
            Self::Recovering { .. } => "recovering",
            Self::Relapsed { .. } => "relapsed",
            Self::FailbackStarted => "failback_started",
            Self::BackHome { .. } => "back_home",
            Self::EpisodeOver { .. } => "episode_over",
            Self::RolledBack { .. } => "rolled_back",
            Self::Stuck { .. } => "stuck",
            Self::Unstuck { .. } => "unstuck",
            Self::PartlySwitched => "partly_switched",
            Self::StandbyBroken { .. } => "standby_broken",
            Self::StandbyMended => "standby_mended",
            Self::Unverified { .. } => "unverified",
            Self::RedirectLoop => "redirect_loop",
            Self::Drifted { .. } => "drifted",
            Self::DriftLimit { .. } => "drift_limit",
            Self::Edited { .. } => "edited",
            Self::Orphan => "orphan",
            Self::GateLeaks => "gate_leaks",
            Self::Adopted => "adopted",
            Self::FoundOff => "found_off",
            Self::Blind { .. } => "blind",
            Self::SeesAgain => "sees_again",
            Self::OwnPathBroken => "own_path_broken",
            Self::BackForVisitorsOnly { .. } => "back_for_visitors_only",
            Self::VisitorEyeBlocked => "visitor_eye_blocked",
            Self::Overridden { .. } => "overridden",
            Self::OverrideEnded { .. } => "override_ended",
            Self::SaveFailed => "save_failed",
            Self::SaveWorks => "save_works",
            Self::StateSetAside => "state_set_aside",
        }
    }

    /// How urgent it is.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Stuck { .. }
            | Self::PartlySwitched
            | Self::StandbyBroken { .. }
            | Self::Unverified { .. }
            | Self::RolledBack { .. }
            | Self::RedirectLoop
            | Self::DriftLimit { .. } => Severity::Critical,
            Self::FailoverStarted { .. }
            | Self::FailedOver { .. }
            | Self::Relapsed { .. }
            | Self::Drifted { .. }
            | Self::Edited { .. }
            | Self::Orphan
            | Self::GateLeaks
            | Self::Adopted
            | Self::FoundOff
            | Self::Blind { .. }
            | Self::OwnPathBroken
            | Self::BackForVisitorsOnly { .. }
            | Self::VisitorEyeBlocked
            | Self::SaveFailed
            | Self::StateSetAside => Severity::Warning,
            Self::Suspected { .. }
            | Self::SuspicionCleared { .. }
            | Self::Recovering { .. }
            | Self::FailbackStarted
            | Self::BackHome { .. }
            | Self::EpisodeOver { .. }
            | Self::Unstuck { .. }
            | Self::StandbyMended
            | Self::SeesAgain
            | Self::Overridden { .. }
            | Self::OverrideEnded { .. }
            | Self::SaveWorks => Severity::Info,
        }
    }
}
