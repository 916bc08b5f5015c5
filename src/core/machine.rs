//! Phase, mode and policy: the hysteresis.

use super::evidence::Verdict;
use super::time::{Duration, Instant, Stopwatch, Wall};
use super::toggles::Route;

/// All thresholds and durations of a site. Defaults live in `config`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

/// One round of probing, as the machine counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// What it says.
    pub verdict: Verdict,
    /// When the probe (or look) that decided it was sent.
    pub sent_at: Instant,
    /// Whether it stood on the fixed-rate schedule; only such successes are counted.
    pub scheduled: bool,
}

/// What the machine has to know besides the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent facts of the moment, named where they are built"
)]
pub struct Bearings {
    /// A full window of own observation is over: decisions are allowed.
    pub observed_enough: bool,
    /// The standby is proven to serve visitors: only then do delays hold.
    pub standby_serves: bool,
    /// Going home is left to the machine (not to an operator).
    pub may_return: bool,
    /// Visitors could not reach home although the origin eye could: only a trial after the full `up_for` shows more.
    pub home_in_doubt: bool,
    /// How much quiet going home asks for now.
    pub up_for: Duration,
}

impl Policy {
    /// The state machine. Pure and total; the diagram stands in `lib.rs`.
    pub fn next(&self, phase: Phase, round: Round, bearings: &Bearings, now: Instant) -> Phase {
        let at = round.sent_at;
        let next = match (phase, round.verdict) {
            (Phase::Healthy { well }, Verdict::Up) => Phase::Healthy { well: well.mark(at) },
            (Phase::Healthy { .. }, Verdict::Down) => Phase::Suspect {
                failures: 1,
                successes: 0,
                dark: Stopwatch::running(at),
                quiet: Stopwatch::default(),
            },
            (
                Phase::Suspect {
                    failures,
                    successes,
                    dark,
                    quiet,
                },
                Verdict::Up,
            ) => self.calmer(
                failures,
                successes + u32::from(round.scheduled),
                dark.mark(at),
                quiet.mark(at),
                now,
            ),
            (Phase::Suspect { failures, dark, .. }, Verdict::Down) => Phase::Suspect {
                failures: failures.saturating_add(1),
                successes: 0,
                dark: dark.mark(at),
                quiet: Stopwatch::default(),
            },
            (Phase::FailedOver { .. }, Verdict::Up) => Phase::Recovering {
                successes: u32::from(round.scheduled),
                quiet: Stopwatch::running(at),
            },
            (Phase::FailedOver { out }, Verdict::Down) => Phase::FailedOver { out: out.mark(at) },
            (Phase::Recovering { successes, quiet }, Verdict::Up) => Phase::Recovering {
                successes: successes.saturating_add(u32::from(round.scheduled)),
                quiet: quiet.mark(at),
            },
            (Phase::Recovering { .. }, Verdict::Down) => Phase::FailedOver {
                out: Stopwatch::running(at),
            },
            (
                Phase::Healthy { .. } | Phase::Suspect { .. } | Phase::FailedOver { .. } | Phase::Recovering { .. },
                Verdict::Unknown,
            ) => phase.freeze(),
        };
        self.decide(next, bearings, now)
    }

    /// What time alone decides: the failover after `down_for`, the return after `up_for`.
    pub fn decide(&self, phase: Phase, bearings: &Bearings, now: Instant) -> Phase {
        match phase {
            Phase::Suspect {
                failures, dark, quiet, ..
            } if bearings.observed_enough
                && failures >= self.unhealthy_threshold
                && dark.is_running()
                && !quiet.is_running()
                && dark.read(now) >= self.down_for =>
            {
                Phase::FailedOver {
                    out: Stopwatch::running(now),
                }
            }
            Phase::Recovering { successes, quiet }
                if bearings.observed_enough
                    && bearings.may_return
                    && successes >= self.healthy_threshold
                    && quiet.is_running()
                    && (quiet.read(now) >= bearings.up_for || !bearings.must_wait()) =>
            {
                Phase::Healthy {
                    well: Stopwatch::default(),
                }
            }
            Phase::Healthy { .. } | Phase::Suspect { .. } | Phase::FailedOver { .. } | Phase::Recovering { .. } => {
                phase
            }
        }
    }

    /// When [`Policy::decide`] may say something else, if nothing happens before.
    pub fn decides_at(&self, phase: &Phase, bearings: &Bearings, now: Instant) -> Option<Instant> {
        match phase {
            Phase::Suspect { dark, quiet, .. } if !quiet.is_running() => dark.reaches(self.down_for, now),
            Phase::Recovering { quiet, .. } => quiet.reaches(bearings.up_for, now),
            Phase::Healthy { .. } | Phase::Suspect { .. } | Phase::FailedOver { .. } => None,
        }
    }

    /// A success in `Suspect`: enough of them, for long enough, clear the suspicion.
    fn calmer(&self, failures: u32, successes: u32, dark: Stopwatch, quiet: Stopwatch, now: Instant) -> Phase {
        if successes >= self.clear_threshold && quiet.read(now) >= self.clear_for {
            Phase::Healthy { well: quiet }
        } else {
            Phase::Suspect {
                failures,
                successes,
                dark,
                quiet,
            }
        }
    }
}

impl Bearings {
    /// Delays hold only while someone else serves, or while home's answer to us says nothing of visitors.
    const fn must_wait(&self) -> bool {
        self.standby_serves || self.home_in_doubt
    }
}

impl Phase {
    /// The same phase, each of its stopwatches changed.
    fn each(self, change: impl Fn(Stopwatch) -> Stopwatch) -> Self {
        match self {
            Self::Healthy { well } => Self::Healthy { well: change(well) },
            Self::Suspect {
                failures,
                successes,
                dark,
                quiet,
            } => Self::Suspect {
                failures,
                successes,
                dark: change(dark),
                quiet: change(quiet),
            },
            Self::FailedOver { out } => Self::FailedOver { out: change(out) },
            Self::Recovering { successes, quiet } => Self::Recovering {
                successes,
                quiet: change(quiet),
            },
        }
    }

    /// Stops all stopwatches at their last mark: what was not seen does not count.
    #[must_use]
    pub fn freeze(self) -> Self {
        self.each(Stopwatch::freeze)
    }

    /// Counts afresh in `Recovering`: successes and quiet count from the verified failover.
    #[must_use]
    pub const fn recount(self) -> Self {
        match self {
            Self::Recovering { .. } => Self::Recovering {
                successes: 0,
                quiet: Stopwatch::stopped(Duration::ZERO),
            },
            Self::Healthy { .. } | Self::Suspect { .. } | Self::FailedOver { .. } => self,
        }
    }

    /// The same phase with its stopwatches stopped at what they show: how it is saved.
    #[must_use]
    pub fn at_rest(self, now: Instant) -> Self {
        self.each(|watch| Stopwatch::stopped(watch.read(now)))
    }

    /// How long home has been dark in this suspicion, for `Suspect` only.
    pub fn dark_for(&self, now: Instant) -> Option<Duration> {
        match self {
            Self::Suspect { dark, .. } => Some(dark.read(now)),
            Self::Healthy { .. } | Self::FailedOver { .. } | Self::Recovering { .. } => None,
        }
    }
}
