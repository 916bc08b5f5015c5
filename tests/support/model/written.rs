//! The audit of calls and writes: order, intent, budget, waits.

use std::time::Duration;

use pilotlight::core::{Action, Event, Instant, Position, Role, Route, ToggleKey};
use pilotlight::toggle::CallKind;

use super::audit::Intent;
use super::{Invariant, World, secs};

/// DESIGN rule 11, in the audit's own words.
const WRITES_A_MINUTE: usize = 6;
const CALLS_AN_HOUR: usize = 80;

impl World {
    /// Core decided on a write.
    pub(super) fn audit_decided_write(&mut self, key: ToggleKey, position: Position) {
        if self.glimpse.paused {
            self.violate(Invariant::PauseMeansNoWrites, &format!("{key} set while paused"));
        }
        let renews = key.role == Role::Silence && position == Position::On;
        let track = self.audit.track(key);
        let known = track.known.map(|(position, _)| position);
        if known == Some(position) && track.last_set == Some(position) && !renews {
            self.violate(
                Invariant::NothingWithoutDifference,
                &format!("{key} set {} again", position.label()),
            );
        }
        match (key.role, position) {
            (Role::Gate, Position::Off) => self.audit_shutting(key),
            (Role::Redirect, Position::On) => self.audit_redirecting(key),
            _ => {}
        }
        if key.role == Role::Redirect {
            self.audit_start(key, position);
        }
        let now = self.now;
        let track = self.audit.track(key);
        track.last_set = Some(position);
        track.told_on_since = match position {
            Position::On => track.told_on_since.or(Some(now)),
            Position::Off => None,
        };
    }

    fn audit_shutting(&mut self, gate: ToggleKey) {
        let (now, drain) = (self.now, self.policy.drain);
        let redirects: Vec<ToggleKey> = self.of(Role::Redirect).collect();
        for key in redirects {
            let track = self.audit.track(key).clone();
            let unread = track
                .known
                .is_none_or(|(_, at)| track.meddled_at.is_some_and(|meddled| meddled >= at));
            let remote = &self.remotes[&key];
            let (position, moved_at) = (remote.position, remote.moved_at);
            if position == Position::On && !(track.foreign && unread) {
                self.violate(
                    Invariant::GateNotShutUnderRedirect,
                    &format!("{gate} told to shut while {key} is on"),
                );
            }
            let forgotten = track.foreign || (moved_at < self.audit.started && track.off_forgotten);
            let opened = self.position(gate) == Position::On && moved_at != Instant::ZERO;
            if opened && now.since(moved_at) < drain && !forgotten {
                self.violate(
                    Invariant::DrainBeforeShut,
                    &format!("{gate} told to shut {:?} after {key} moved", now.since(moved_at)),
                );
            }
        }
        let opened = self.audit.track(gate).told_on_since;
        if let Some(since) = opened.filter(|since| now.since(*since) < drain) {
            self.violate(
                Invariant::OpenedGateStaysOpen,
                &format!("{gate} told to shut {:?} after it was told to open", now.since(since)),
            );
        }
    }

    fn audit_redirecting(&mut self, key: ToggleKey) {
        let anew = self.position(key) == Position::Off;
        if anew && !self.gate_open() && self.patience_lasts() && !self.is_excused() {
            self.violate(
                Invariant::NoVisitorsToShutGate,
                &format!("{key} told to go on before the gate was open"),
            );
        }
    }

    fn audit_start(&mut self, key: ToggleKey, position: Position) {
        let audit = &self.audit;
        let young = self.now.since(audit.started) < self.window();
        let excused = audit.commanded_at.is_some()
            || self.loops
            || self.glimpse.totals.rollbacks > 0
            || audit
                .tracks
                .iter()
                .any(|(key, track)| key.role == Role::Redirect && track.foreign);
        let moves = self.position(key) != position;
        let meant = match audit.intent {
            Intent::Overridden => true,
            Intent::Unknown => false,
            Intent::Route(route) => (route == Route::Standby) == (position == Position::On),
        };
        if young && moves && !excused && !meant {
            let text = format!(
                "{key} set {} soon after a start that found {:?}",
                position.label(),
                audit.intent
            );
            self.violate(Invariant::StartMovesNobody, &text);
        }
    }

    /// The settings are about to be read anew: the same ones would do no more than waking does.
    pub(super) fn audit_reload(&mut self) {
        let clock = self.clock();
        let (mut reloaded, mut woken) = (self.controller.clone(), self.controller.clone());
        let same = Event::Reloaded(Box::new(self.policy.clone()));
        if reloaded.handle(same, clock) != woken.handle(Event::Woke, clock) || reloaded != woken {
            self.violate(
                Invariant::ReloadChangesNothing,
                "the same settings read anew do something else than waking does",
            );
        }
    }

    /// A full window of own observation.
    pub(super) fn window(&self) -> Duration {
        self.policy.down_for.max(self.policy.interval * 2)
    }

    /// A call leaves.
    pub(super) fn audit_operation(&mut self, key: ToggleKey, action: Action, doubled: bool) {
        if doubled {
            self.violate(Invariant::OneOperation, &format!("two operations in flight on {key}"));
        }
        let asked_until = self.audit.track(key).asked_until;
        if asked_until.is_some_and(|until| self.now < until) {
            self.violate(
                Invariant::WaitRespected,
                &format!("{key} called before the wait was over"),
            );
        }
        let Action::Set(_, wanted) = action else {
            return;
        };
        let recorded = self.disk.as_ref().is_some_and(|snapshot| {
            let mut records = snapshot.toggles.iter();
            records.any(|record| record.key == key && record.desired == wanted)
        });
        if !recorded && self.audit.save_works {
            self.violate(
                Invariant::IntentFirst,
                &format!("{key} set {} before the intent was saved", wanted.label()),
            );
        }
    }

    /// A call reaches a provider.
    pub(super) fn audit_call(&mut self, provider: usize, kind: CallKind) {
        let now = self.now;
        let calls = &mut self.audit.calls[provider];
        calls.all.push_back(now);
        if kind == CallKind::Write {
            calls.writes.push_back(now);
        }
        while calls.all.front().is_some_and(|at| now.since(*at) >= secs(3600)) {
            calls.all.pop_front();
        }
        while calls.writes.front().is_some_and(|at| now.since(*at) >= secs(60)) {
            calls.writes.pop_front();
        }
        let (all, writes) = (calls.all.len(), calls.writes.len());
        if all > CALLS_AN_HOUR || writes > WRITES_A_MINUTE {
            self.violate(
                Invariant::BudgetKept,
                &format!("{all} calls in an hour, {writes} writes in a minute"),
            );
        }
    }

    pub(super) fn patience_lasts(&self) -> bool {
        let patience = self.policy.gate_patience;
        self.of(Role::Gate).any(|key| {
            let told = self.audit.tracks.get(key).and_then(|track| track.told_on_since);
            told.is_none_or(|since| self.now.since(since) < patience)
        })
    }

    /// A grant is spreading, to and fro: nobody can know more than two good answers in a row.
    pub(super) fn gate_is_flapping(&self) -> bool {
        self.of(Role::Gate).all(|key| {
            let remote = &self.remotes[&key];
            remote.position == Position::On
                && (self.seen(key) == Position::On || (remote.flaps && self.is_spreading(key)))
        })
    }
}
