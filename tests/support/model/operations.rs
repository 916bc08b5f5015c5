//! Operations on the remote switches: how they are started, what they meet, how they end.

use std::time::Duration;

use pilotlight::core::{Action, Event, Eye, Failure, FailureKind, OpId, Position, Role, Sighting, ToggleKey, View};
use pilotlight::toggle::CallKind;

use super::providers::moved;
use super::{Fate, GATE, Home, Pending, Plant, REDIRECT, SILENCE, SNOOZE, TOGGLE_TIMEOUT, World, Write, secs};

/// An eye that meets no trouble takes this long.
const QUICK: Duration = Duration::from_millis(100);
/// So many looks are kept for a test to read.
const LOOKS_KEPT: usize = 4096;

impl World {
    pub(super) fn act(&mut self, id: OpId, action: Action) {
        if let Action::Look(eye) = action {
            self.looked.push_back((self.now, eye));
            if self.looked.len() > LOOKS_KEPT {
                self.looked.pop_front();
            }
        }
        match action {
            Action::Look(Eye::Mirror) => {
                let cut = self.cut_off && self.plant != Some(Plant::LyingMirror);
                let reflection = cut.then_some(super::DARK);
                self.later(QUICK, Pending::Mirror { id, reflection });
            }
            Action::Look(eye) => {
                let sighting = self.look(eye);
                self.later(sighting.took, Pending::Look { id, sighting });
            }
            Action::Observe(_) => self.operate(id, action),
            Action::Set(key, position) => {
                self.audit_decided_write(key, position);
                let wait = self.save_takes();
                if wait.is_zero() {
                    self.operate(id, action);
                } else {
                    self.later(wait, Pending::Start { id, action });
                }
            }
        }
    }

    fn look(&mut self, eye: Eye) -> Sighting {
        let plain = |view, took| Sighting {
            view,
            redirect: None,
            took,
        };
        if self.cut_off {
            return plain(View::Nothing, secs(2));
        }
        match eye {
            Eye::Visitor | Eye::Mirror => {
                let sighting = self.visit();
                self.audit.visited(&sighting);
                sighting
            }
            Eye::Standby => plain(self.standby_view(), QUICK),
            Eye::Edge => match self.home {
                Home::Serving | Home::OwnPathBroken | Home::BadCertificate | Home::AppBroken => {
                    plain(View::Home, QUICK)
                }
                Home::Refusing => plain(View::EdgeLostHome(521), QUICK),
                Home::Silent | Home::EdgeLost => plain(View::EdgeLostHome(522), self.slow_edge),
            },
        }
    }

    /// A call leaves: it is counted, and what it meets is drawn.
    pub(super) fn operate(&mut self, id: OpId, action: Action) {
        let (Action::Observe(key) | Action::Set(key, _)) = action else {
            return;
        };
        let doubled = self.in_flight.insert(key, id).is_some();
        self.audit_operation(key, action, doubled);
        let fate = self.draw_fate(key, action);
        let takes = match fate {
            Fate::Fails(Failure {
                kind: FailureKind::HeldBack,
                ..
            }) => Duration::from_millis(1),
            _ if self.cut_off => secs(5),
            _ => self.remotes[&key].takes,
        };
        if let Action::Set(_, position) = action {
            self.sets += 1;
            self.record(1, moved(key, position), || {
                format!("set {key} {} ({fate:?})", position.label())
            });
        }
        self.later(takes, Pending::Op { id, action, fate });
    }

    fn draw_fate(&mut self, key: ToggleKey, action: Action) -> Fate {
        if self.metered
            && let Some(wait) = self.spend(key, action)
        {
            return Fate::Fails(Failure {
                kind: FailureKind::HeldBack,
                retry_after: Some(wait),
            });
        }
        if self.cut_off {
            return Fate::Fails(Failure::new(FailureKind::NoAnswer));
        }
        let trouble = self.remotes[&key].trouble;
        if trouble > 0 && self.chance.below(1000) < trouble {
            return self.any_fate();
        }
        let remote = self.remote(key);
        if remote.fates.is_empty() {
            remote.fate
        } else {
            remote.fates.remove(0)
        }
    }

    /// What a call may meet on a bad day.
    fn any_fate(&mut self) -> Fate {
        let failed = |kind| Fate::Fails(Failure::new(kind));
        match self.chance.below(10) {
            0 | 1 => Fate::LostReply,
            2 => Fate::Late(self.chance.between(secs(1), secs(60))),
            3 => failed(FailureKind::NoAnswer),
            4 => failed(FailureKind::Unavailable),
            5 => Fate::Fails(Failure {
                kind: FailureKind::Limited,
                retry_after: Some(self.chance.between(secs(1), secs(300))),
            }),
            6 => failed(FailureKind::Denied),
            7 => failed(FailureKind::Conflict),
            8 => failed(FailureKind::Nonsense),
            _ => failed(*self.chance.pick(&FailureKind::ALL)),
        }
    }

    /// The calls of one operation against its provider's budget; how long to wait if that is spent.
    fn spend(&mut self, key: ToggleKey, action: Action) -> Option<Duration> {
        let differs = matches!(action, Action::Set(_, position) if position != self.position(key));
        let renews = key.role == Role::Silence && matches!(action, Action::Set(_, Position::On));
        let calls: &[CallKind] = match action {
            Action::Set(..) if differs || renews => &[CallKind::Read, CallKind::Write],
            Action::Set(..) => &[CallKind::Read],
            Action::Observe(_) | Action::Look(_) => &[CallKind::Routine],
        };
        let provider = provider(key);
        for kind in calls {
            if let Err(wait) = self.budgets[provider].spend(*kind, self.now)
                && self.plant != Some(Plant::NoBudget)
            {
                return Some(wait);
            }
            self.audit_call(provider, *kind);
        }
        None
    }

    pub(super) fn finish(&mut self, id: OpId, action: Action, fate: Fate) {
        let (key, wanted) = match action {
            Action::Observe(key) => (key, None),
            Action::Set(key, position) => (key, Some(position)),
            Action::Look(_) => unreachable!("looks are not operations"),
        };
        let result = match fate {
            Fate::Fails(failure) => Err(failure),
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
                return;
            }
            Fate::Done => {
                if let Some(position) = wanted {
                    let held = self.remotes.get(key).is_some_and(|remote| remote.held);
                    if !(held && position == Position::Off) {
                        self.write(key, position);
                    }
                }
                let observed = self.observe(key, wanted.is_none());
                self.remote(key).edited = false;
                Ok(observed)
            }
        };
        self.in_flight.remove(key);
        self.audit.ended(key, self.now, result);
        self.feed(Event::Settled { id, result });
    }

    /// A write that pilotlight sent reaches the provider.
    fn write(&mut self, key: ToggleKey, position: Position) {
        if key.role == Role::Silence && position == Position::On {
            let until = self.now + SNOOZE;
            self.remote(key).lapses_at = Some(until);
            self.next_lapse = Some(self.next_lapse.map_or(until, |next| next.min(until)));
        }
        if self.position(key) != position {
            self.writes.push(Write {
                at: self.now,
                key,
                position,
            });
            self.audit.written(key, position);
            self.apply(key, position);
        }
    }

    /// What of the dead process still comes true.
    pub(super) fn outlives(&self, what: Pending) -> Option<Pending> {
        match what {
            Pending::Op {
                action: Action::Set(key, position),
                fate: Fate::Done | Fate::LostReply | Fate::Late(_),
                ..
            } => {
                let version = self.remotes[&key].version;
                Some(Pending::Apply { key, position, version })
            }
            Pending::Apply { .. } => Some(what),
            _ => None,
        }
    }

    /// Somebody starts this in core's name.
    pub fn start_wrongly(&mut self, action: Action) {
        self.sequence += 1;
        self.act(OpId(u64::MAX - self.sequence), action);
    }

    /// Carries out what is planted, after what core asked for.
    pub(super) fn act_out(&mut self, action: Action) {
        let wrong = match (self.plant, action) {
            (Some(Plant::RedirectBeforeProof), Action::Set(GATE, Position::On)) => Action::Set(REDIRECT, Position::On),
            (Some(Plant::GateBeforeDrain), Action::Set(REDIRECT, Position::Off)) => Action::Set(GATE, Position::Off),
            (Some(Plant::GateUnderRedirect), Action::Look(Eye::Visitor)) if self.redirects() => {
                Action::Set(GATE, Position::Off)
            }
            (Some(Plant::Doubled), Action::Set(..)) => action,
            (Some(Plant::WriteWhilePaused), Action::Look(Eye::Visitor)) if self.glimpse.paused => {
                Action::Set(GATE, Position::On)
            }
            (Some(Plant::WriteBeforeIntent), Action::Look(Eye::Visitor)) => Action::Set(SILENCE, Position::On),
            _ => return,
        };
        self.start_wrongly(wrong);
    }
}

/// Which provider's budget a toggle's calls count against.
fn provider(key: ToggleKey) -> usize {
    usize::from(key.role == Role::Redirect)
}
