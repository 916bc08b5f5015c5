//! Rule 6: where each toggle should be, and in which order they move.

use super::machine::{BrokenStandby, Policy};
use super::reconciler::{Proof, Reconciler, Wish, proof_fresh};
use super::switch::Switch;
use super::time::{Alarms, Instant};
use super::toggles::{Position, Role, Route, ToggleKey};

impl Reconciler {
    /// Computes where each toggle should be. Returns those that were found on and that nobody remembers: they are put off, unless somebody
    /// else holds them on.
    pub fn desire(&mut self, wish: Wish, policy: &Policy, alarms: &mut Alarms) -> Vec<ToggleKey> {
        let mut unexplained = Vec::new();
        let redirect = self.desired_redirect(wish, policy, alarms);
        let gate = self.desired_gate(wish, policy, alarms);
        let redirect_off = self.redirect_is_off();
        for switch in &mut self.switches {
            let position = match switch.key().role {
                Role::Redirect => redirect,
                Role::Gate => gate,
                Role::Silence => match wish.route {
                    Route::Standby => Some(Position::On),
                    Route::Origin if !redirect_off => switch.desired(),
                    Route::Origin => Self::off_if_explained(switch, wish),
                },
            };
            if let Some(position) = position {
                let found = switch.trusted();
                let found_on = found.configured == Some(Position::On) && !found.held_by_other;
                if switch.desired().is_none() && position == Position::Off && found_on {
                    unexplained.push(switch.key());
                }
                switch.want(position);
            }
        }
        unexplained
    }

    /// A toggle found on that nobody remembers is put off only after a full window.
    pub(super) fn off_if_explained(switch: &Switch, wish: Wish) -> Option<Position> {
        let remembered = switch.desired().is_some() || switch.configured() == Some(Position::Off);
        (remembered || wish.observed_enough).then_some(Position::Off)
    }

    pub(super) fn redirect_is_off(&self) -> bool {
        !self.has(Role::Redirect) || self.redirect() == Some(Position::Off)
    }

    /// Gate and proof first, then the redirect. Once on it stays on until the way home begins.
    pub(super) fn desired_redirect(&self, wish: Wish, policy: &Policy, alarms: &mut Alarms) -> Option<Position> {
        let now = self.of(Role::Redirect).next()?.desired();
        if wish.route == Route::Origin {
            let known = self.of(Role::Redirect).any(|switch| switch.desired().is_some());
            return (known || self.redirect().is_some()).then_some(Position::Off);
        }
        if self.looped {
            return Some(Position::Off);
        }
        // Found on and adopted: what visitors have is not taken away for want of a proof.
        let adopted = now.is_none() && self.redirect() == Some(Position::On);
        if adopted || (now == Some(Position::On) && !self.redirect_was_lost()) {
            return Some(Position::On);
        }
        if !wish.hold_redirect && self.may_redirect(policy, alarms) {
            return Some(Position::On);
        }
        // Not known yet: it may be what visitors have.
        self.redirect().map(|_| Position::Off)
    }

    /// Wished on and read off: not written yet, or somebody else moved it. A repair follows the order out again.
    fn redirect_was_lost(&self) -> bool {
        self.of(Role::Redirect)
            .any(|redirect| redirect.configured() == Some(Position::Off) && !redirect.is_left_alone())
    }

    /// Nothing is about to move the gate under a proof: it is claimed (another site may let go of it any moment), and it was read open, or
    /// its record cannot be read and what visitors see has to do, unless that may be the end of an off that is still spreading.
    fn gate_stands(&self, now: Instant) -> bool {
        self.of(Role::Gate).all(|gate| {
            let blindly = gate.failing().is_some() && !gate.is_writing() && !gate.may_be_settling_off(now);
            gate.is_claimed() && (gate.configured() == Some(Position::On) || blindly)
        })
    }

    /// Whether visitors may be sent to the standby: it is proven, or refusing it longer helps nobody.
    pub(super) fn may_redirect(&self, policy: &Policy, alarms: &mut Alarms) -> bool {
        if self.gate_stands(alarms.now()) && self.standby.is_proven(proof_fresh(policy), alarms.now()) {
            return true;
        }
        if self.standby.is_broken() {
            return policy.broken_standby == BrokenStandby::Switch;
        }
        let looked = self.standby.last().is_some_and(|seen| seen.at >= self.leg_since);
        self.patience_is_spent(policy, alarms) && looked && !self.standby.is_suspect()
    }

    /// Whether the gate was told to open so long ago that a refusal holds nothing back any more.
    ///
    /// Without a gate it counts from the decision: a standby that cannot be seen is waited for as long.
    pub fn patience_is_spent(&self, policy: &Policy, alarms: &mut Alarms) -> bool {
        if !self.has(Role::Gate) {
            return alarms.passed(self.leg_since + policy.gate_patience);
        }
        self.of(Role::Gate).all(|gate| {
            gate.open_for()
                .is_some_and(|open| alarms.shows(&open, policy.gate_patience))
        })
    }

    /// Open while the standby is or may soon be in use, and for a drain after that.
    pub(super) fn desired_gate(&self, wish: Wish, policy: &Policy, alarms: &mut Alarms) -> Option<Position> {
        let gate = self.of(Role::Gate).next()?;
        if wish.route == Route::Standby || wish.prewarm {
            return Some(Position::On);
        }
        if !self.gate_may_shut(wish, policy, alarms) {
            return gate.desired();
        }
        Self::off_if_explained(gate, wish)
    }

    /// The gate never shuts before the redirect was seen off, home was proven and the drain is over.
    /// One that nobody remembers opening has no age: it is an orphan after a window.
    pub(super) fn gate_may_shut(&self, wish: Wish, policy: &Policy, alarms: &mut Alarms) -> bool {
        let unused = self.standby_is_unused(wish, policy, alarms);
        let aged = self
            .of(Role::Gate)
            .filter(|gate| gate.desired().is_some())
            .all(|gate| gate.on_for().is_none_or(|on_for| alarms.shows(&on_for, policy.drain)));
        unused && aged
    }

    /// Nobody is at the standby any more, nor about to be sent there again.
    pub(super) fn standby_is_unused(&self, wish: Wish, policy: &Policy, alarms: &mut Alarms) -> bool {
        let proving = matches!(self.proof, Proof::Home { .. }) && wish.may_roll_back;
        let seen_off = match self.proof {
            Proof::Unneeded | Proof::HomeProven => true,
            Proof::Out { .. } | Proof::OutProven => false,
            Proof::Home { .. } => matches!(self.sight, Some((_, Position::Off))),
        };
        let off = self
            .of(Role::Redirect)
            .all(|redirect| !redirect.may_be_on() && !redirect.is_writing());
        !proving && seen_off && off && self.redirect_is_off() && self.is_drained(policy, alarms)
    }

    /// Nobody was sent to the standby for as long as a drain.
    fn is_drained(&self, policy: &Policy, alarms: &mut Alarms) -> bool {
        if !self.has(Role::Redirect) && self.proof != Proof::Unneeded {
            return alarms.passed(self.leg_since + policy.drain);
        }
        self.of(Role::Redirect).all(|redirect| {
            redirect
                .off_for()
                .is_none_or(|off_for| alarms.shows(&off_for, policy.drain))
        })
    }
}
