//! The operator, and the clocks that an override goes by.

use super::controller::Controller;
use super::evidence::{Cause, ClockCheck, Reflection, Verdict};
use super::machine::{Mode, Pin};
use super::notice::What;
use super::ring::{Command, Order};
use super::time::{Alarms, Duration, Instant, Now};
use super::toggles::Route;

/// How far the wall clock is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ClockTrust {
    /// Nothing speaks against it.
    Full,
    /// It may have jumped; the references are to be asked at once.
    Unasked,
    /// It may have jumped, and no reference answered so far.
    Unconfirmed,
    /// The references contradict it.
    Doubtful,
}

impl Controller {
    pub(super) fn command(&mut self, command: Command, now: Now) {
        let Command { order, pin } = command;
        let (route, mode) = match order {
            Order::Force(route) => (
                Some(route),
                Mode::Pinned {
                    route,
                    pin: pin.clone(),
                },
            ),
            Order::Pause => (None, Mode::Paused { pin: pin.clone() }),
            Order::Resume => {
                self.end_override(false, now);
                return;
            }
        };
        self.mode = mode;
        self.may_write = true;
        if route == Some(Route::Standby) {
            self.begin_episode(Cause::Operator, now.at, now);
        }
        let Pin { until, author, reason } = pin;
        self.tell(
            What::Overridden {
                route,
                until,
                author,
                reason,
            },
            now,
        );
    }

    pub(super) fn end_override(&mut self, expired: bool, now: Now) {
        if self.mode != Mode::Auto {
            self.mode = Mode::Auto;
            self.tell(What::OverrideEnded { expired }, now);
        }
    }

    /// An override ends by itself when its time is over; as the phase decides from then on, not while home cannot be judged.
    pub(super) fn expire_pin(&mut self, alarms: &mut Alarms, now: Now) {
        let sees = self.verdict.is_some_and(|judged| judged.verdict != Verdict::Unknown);
        let Some(until) = self.mode.pin().map(|pin| pin.until).filter(|_| sees) else {
            return;
        };
        let left = Duration::from_millis(until.0.saturating_sub(now.wall.0));
        if self.clock_trust == ClockTrust::Full && alarms.passed(now.at + left) {
            self.end_override(true, now);
        }
    }

    /// Nothing that ran unseen counts, and the wall clock is doubtful until the references confirm it.
    pub(super) fn gap(&mut self, now: Instant) {
        self.phase = self.phase.freeze();
        self.watching = self.watching.freeze();
        self.reconciler.freeze_proof();
        self.judge.gap(now);
        self.doubt_clock();
    }

    /// The references have to confirm the wall clock before an override may end by itself.
    pub(super) fn doubt_clock(&mut self) {
        self.clock_trust = ClockTrust::Unasked;
    }

    /// The references' word on the wall clock. Two have to contradict it to make it doubtful, and then one has to agree again;
    /// after a gap it is enough that some answer and none contradicts.
    pub(super) fn check_clock(&mut self, said: &Reflection) {
        self.clock_trust = match (said.clock, self.clock_trust) {
            (ClockCheck::Agrees, _) | (ClockCheck::Unknown, ClockTrust::Full) => ClockTrust::Full,
            (ClockCheck::Unknown, ClockTrust::Unasked | ClockTrust::Unconfirmed) if said.answered > 0 => {
                ClockTrust::Full
            }
            (ClockCheck::Unknown, ClockTrust::Unasked | ClockTrust::Unconfirmed) => ClockTrust::Unconfirmed,
            (ClockCheck::Contradicts, _) | (ClockCheck::Unknown, ClockTrust::Doubtful) => ClockTrust::Doubtful,
        };
    }
}
