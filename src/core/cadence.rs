//! How often to look through which eye.

use super::commands::ClockTrust;
use super::controller::Controller;
use super::evidence::Eye;
use super::looks::{Cadence, MOST_IN_FLIGHT};
use super::machine::Phase;
use super::reconciler::{Proof, proof_fresh};
use super::time::{Alarms, Duration, Instant};
use super::toggles::{Position, Role, Route};

/// The references are asked this often whether a doubtful wall clock is right again.
const DOUBT_EVERY: Duration = Duration::from_secs(60);

/// At least so many looks are sent within `home_proof`, however seldom one looks otherwise: the first may still see the old route.
const LOOKS_IN_PROOF: u32 = 4;

impl Controller {
    /// How often to look through an eye now; `None`: not at all.
    pub(super) fn cadence(&self, eye: Eye, alarms: &mut Alarms) -> Option<Cadence> {
        let interval = self.policy.interval;
        let steady = |every| Cadence {
            every,
            overlap: 1,
            anew_since: Instant::ZERO,
        };
        match eye {
            Eye::Mirror => {
                let asked = self.judge.wants_mirror() || self.clock_trust == ClockTrust::Unasked;
                let every = if asked { Duration::ZERO } else { DOUBT_EVERY };
                (asked || self.clock_trust != ClockTrust::Full).then_some(steady(every))
            }
            Eye::Visitor => Some(self.visitor_cadence(alarms)),
            Eye::Standby => self.standby_cadence(alarms),
            Eye::Edge => {
                let useful = self.layout.edge_eye && !self.reconciler.visitor_judges_home();
                useful.then_some(steady(interval))
            }
        }
    }

    pub(super) fn visitor_cadence(&self, alarms: &mut Alarms) -> Cadence {
        let interval = self.policy.interval;
        if let Proof::Out { waited } | Proof::Home { waited } = self.reconciler.proof() {
            // A look that was sent before the edge followed may hang for many seconds: the next ones go out beside it, ever more slowly.
            // Slower by whole steps: a cadence that grew with every instant would never be due. But a proof that has little time
            // is looked for several times in it.
            let slowest = interval.min(self.policy.home_proof / LOOKS_IN_PROOF);
            let step = self.policy.confirm_interval.min(slowest);
            let waited = waited.read(alarms.now()).as_millis();
            let steps = waited / step.as_millis().saturating_mul(4).max(1);
            let every = step
                .saturating_mul(u32::try_from(steps.max(1)).unwrap_or(u32::MAX))
                .min(slowest)
                .max(step);
            return Cadence {
                every,
                overlap: MOST_IN_FLIGHT,
                anew_since: self.reconciler.moved_at(),
            };
        }
        let failing = self.judge.last_outcome().is_some_and(|outcome| !outcome.is_ok());
        let in_doubt = matches!(self.phase, Phase::Suspect { .. }) || (failing && self.route == Route::Origin);
        let waiting = self.route == Route::Standby && self.reconciler.proof() != Proof::OutProven;
        if in_doubt || waiting {
            return Cadence {
                every: interval,
                overlap: 3,
                anew_since: self.phase_since,
            };
        }
        Cadence {
            every: self.policy.visitor_interval,
            overlap: 1,
            anew_since: Instant::ZERO,
        }
    }

    pub(super) fn standby_cadence(&self, alarms: &mut Alarms) -> Option<Cadence> {
        let wanted = self.route == Route::Standby || self.wish().prewarm;
        let standby = self.reconciler.standby();
        if !wanted || (self.reconciler.proof() == Proof::OutProven && !standby.is_suspect()) {
            return None;
        }
        let opened = self.reconciler.configured(Role::Gate) == Some(Position::On) || !self.reconciler.has(Role::Gate);
        let slow = !opened
            || standby.is_suspect()
            || standby.is_proven(proof_fresh(&self.policy), alarms.now())
            || self.reconciler.patience_is_spent(&self.policy, alarms);
        let every = if standby.is_half_seen() {
            Duration::ZERO
        } else if slow {
            self.policy.interval
        } else {
            self.policy.confirm_interval
        };
        Some(Cadence {
            every,
            overlap: 1,
            anew_since: self.reconciler.look_anew_since(),
        })
    }
}
