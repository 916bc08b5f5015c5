//! Effects carried out: operations at the providers with their fates, looks, and the rules of order that are checked meanwhile.

use std::time::Duration;

use pilotlight::core::{Action, Effect, Event, Eye, Instant, OpId, Position, Role, Sighting, ToggleKey, View};

use super::{Fate, GATE, Home, Pending, Plant, REDIRECT, SILENCE, TOGGLE_TIMEOUT, World, Write, secs};

impl World {
    pub(super) fn finish(&mut self, id: OpId, action: Action, fate: Fate) {
        let (key, wanted) = match action {
            Action::Observe(key) => (key, None),
            Action::Set(key, position) => (key, Some(position)),
            Action::Look(_) => unreachable!("looks are not operations"),
        };
        match fate {
            Fate::Fails(failure) => {
                self.in_flight.remove(&key);
                self.feed(Event::Settled {
                    id,
                    result: Err(failure),
                });
            }
            Fate::LostReply | Fate::Late(_) => {
                if let (Some(position), Fate::LostReply) = (wanted, fate) {
                    self.write(key, position);
                } else if let (Some(position), Fate::Late(after)) = (wanted, fate)
                    && self.position(key) != position
                {
                    let version = self.remotes[&key].version;
                    self.later(after, Pending::Apply { key, position, version });
                }
                self.later(TOGGLE_TIMEOUT.saturating_sub(secs(1)), Pending::TimedOut { id });
            }
            Fate::Done => {
                if let Some(position) = wanted {
                    let held = self.remotes.get(&key).is_some_and(|remote| remote.held);
                    if !(held && position == Position::Off) {
                        self.write(key, position);
                    }
                }
                self.in_flight.remove(&key);
                let observed = self.observe(key, wanted.is_none());
                self.remote(key).edited = false;
                self.feed(Event::Settled {
                    id,
                    result: Ok(observed),
                });
            }
        }
    }

    /// A write that pilotlight sent reaches the provider.
    pub(super) fn write(&mut self, key: ToggleKey, position: Position) {
        if key.role == Role::Silence && position == Position::On {
            self.snooze_until = Some(self.now + secs(3600));
        }
        if self.position(key) != position {
            self.writes.push(Write {
                at: self.now,
                key,
                position,
            });
            self.apply(key, position);
        }
    }

    pub(super) fn apply(&mut self, key: ToggleKey, position: Position) {
        let now = self.now;
        let remote = self.remote(key);
        if remote.position != position {
            remote.position = position;
            remote.moved_at = now;
            remote.version += 1;
        }
    }

    /// Gives core an event and carries out the effects.
    pub fn feed(&mut self, event: Event) {
        let clock = self.clock();
        for effect in self.controller.handle(event, clock) {
            match effect {
                Effect::Save(snapshot) => self.disk = Some(*snapshot),
                Effect::Notify(notice) => self.notices.push((self.now, notice)),
                Effect::Warm => self.warmed.push(self.now),
                Effect::Act { id, action } => {
                    self.act(id, action);
                    self.act_out(action);
                }
            }
        }
    }

    /// Carries out what is planted, after what core asked for.
    fn act_out(&mut self, action: Action) {
        let wrong = match (self.plant, action) {
            (Some(Plant::RedirectBeforeProof), Action::Set(GATE, Position::On)) => Action::Set(REDIRECT, Position::On),
            (Some(Plant::GateBeforeDrain), Action::Set(REDIRECT, Position::Off)) => Action::Set(GATE, Position::Off),
            (Some(Plant::GateUnderRedirect), Action::Look(Eye::Visitor)) if self.redirects() => {
                Action::Set(GATE, Position::Off)
            }
            (Some(Plant::Doubled), Action::Set(..)) => action,
            (Some(Plant::WriteWhilePaused), Action::Look(Eye::Visitor))
                if self.controller.status(self.clock()).mode.label() == "paused" =>
            {
                Action::Set(GATE, Position::On)
            }
            (Some(Plant::WriteBeforeIntent), Action::Look(Eye::Visitor)) => Action::Set(SILENCE, Position::On),
            _ => return,
        };
        self.sequence += 1;
        self.act(OpId(u64::MAX - self.sequence), wrong);
    }

    /// A snooze that nobody renewed ends by itself.
    pub(super) fn let_snooze_lapse(&mut self) {
        if self.snooze_until.is_some_and(|until| until <= self.now) {
            self.snooze_until = None;
            self.apply(SILENCE, Position::Off);
        }
    }

    pub(super) fn act(&mut self, id: OpId, action: Action) {
        match action {
            Action::Look(Eye::Mirror) => self.later(Duration::from_millis(100), Pending::Mirror { id }),
            Action::Look(Eye::Visitor) => {
                let (sighting, took) = self.visit();
                self.later(took, Pending::Look { id, sighting });
            }
            Action::Look(Eye::Standby) => {
                let took = Duration::from_millis(100);
                let sighting = Sighting {
                    view: self.standby_view(),
                    redirect: None,
                    took,
                };
                self.later(took, Pending::Look { id, sighting });
            }
            Action::Look(Eye::Edge) => {
                let quick = Duration::from_millis(100);
                let (view, took) = match self.home {
                    Home::Serving | Home::OwnPathBroken | Home::BadCertificate | Home::AppBroken => (View::Home, quick),
                    Home::Refusing => (View::EdgeLostHome(521), quick),
                    Home::Silent | Home::EdgeLost => (View::EdgeLostHome(522), self.slow_edge),
                };
                self.later(
                    took,
                    Pending::Look {
                        id,
                        sighting: Sighting {
                            view,
                            redirect: None,
                            took,
                        },
                    },
                );
            }
            Action::Observe(key) | Action::Set(key, _) => self.operate(id, key, action),
        }
    }

    pub(super) fn operate(&mut self, id: OpId, key: ToggleKey, action: Action) {
        if self.in_flight.insert(key, id).is_some() {
            self.violations
                .push(format!("{:?}: two operations in flight on {key}", self.now));
        }
        if let Action::Set(_, position) = action {
            self.sets += 1;
            self.check_intent(key, position);
            self.check_set(key, position);
            if self.controller.status(self.clock()).mode.label() == "paused" {
                self.violations.push(format!("{:?}: {key} set while paused", self.now));
            }
        }
        let remote = self.remote(key);
        let fate = if remote.fates.is_empty() {
            remote.fate
        } else {
            remote.fates.remove(0)
        };
        self.later(Duration::from_millis(200), Pending::Op { id, action, fate });
    }

    /// Intent is on disk before a write leaves.
    fn check_intent(&mut self, key: ToggleKey, position: Position) {
        let recorded = self.disk.as_ref().is_some_and(|snapshot| {
            snapshot
                .toggles
                .iter()
                .any(|record| record.key == key && record.desired == position)
        });
        if !recorded {
            self.violations
                .push(format!("{:?}: {key} set before the intent was saved", self.now));
        }
    }

    /// Rules of order, checked when a write is about to leave.
    pub(super) fn check_set(&mut self, key: ToggleKey, position: Position) {
        let now = self.now;
        if key == GATE && position == Position::On {
            let remote = self.remote(GATE);
            remote.told_on_since = remote.told_on_since.or(Some(now));
        }
        if key == GATE && position == Position::Off {
            let gate = &self.remotes[&GATE];
            let Some(redirect) = self.remotes.get(&REDIRECT) else {
                self.remote(GATE).told_on_since = None;
                return;
            };
            if redirect.position == Position::On {
                self.violations
                    .push(format!("{now:?}: gate told to shut while the redirect is on"));
            }
            if gate.position == Position::On
                && redirect.moved_at != Instant::ZERO
                && now.since(redirect.moved_at) < self.policy.drain
            {
                self.violations
                    .push(format!("{now:?}: gate told to shut before the drain ended"));
            }
            self.remote(GATE).told_on_since = None;
        }
        let redirects_anew = key == REDIRECT && position == Position::On && self.position(REDIRECT) == Position::Off;
        if redirects_anew && !self.gate_open() && self.patience_lasts() {
            self.violations
                .push(format!("{now:?}: redirect told to go on before the gate was open"));
        }
    }

    /// Checked on the world after every step.
    pub(super) fn check(&mut self) {
        if self.redirects() && !self.gate_open() && self.patience_lasts() {
            self.violations.push(format!(
                "{:?}: visitors meet a shut gate although patience lasts",
                self.now
            ));
        }
    }

    fn patience_lasts(&self) -> bool {
        self.remotes.get(&GATE).is_some_and(|gate| {
            gate.told_on_since
                .is_none_or(|since| self.now.since(since) < self.policy.gate_patience)
        })
    }
}
