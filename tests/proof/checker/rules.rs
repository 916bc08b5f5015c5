//! The rules of order, checked on the world: when core commands something, when it leaves, and after each step.

use pilotlight::core::status::Switched;
use pilotlight::core::{Instant, Mode, Position, Role, Route, ToggleKey};

use super::kinds::{State, Told, key, object};
use super::rig::Rig;
use super::steps::Bounded;

/// What a write without an answer has done is looked for after 30 s; then a fault may still delay the repair by two ticks.
const LOOKED_FOR: u16 = 4;

/// A rule of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// r06, r07: visitors are sent to a gate that is shut for them only when patience is spent.
    /// Not while it was opened anew before an earlier off had reached everyone: then it looks open, shut and open in turn. Nor where an
    /// off came true that its sender had given up on, or had died over: nothing shows that it is on its way, and waiting for it would
    /// keep visitors at a dead home. It is looked for, and the gate opened again.
    GateBeforeRedirect,
    /// r07: when patience is spent and visitors meet a shut gate, people are told.
    SpentPatienceIsTold,
    /// r06, r08: the gate is told to shut only after a whole drain since the redirect went off and since the gate was told to open
    /// (or has opened: a start that tells it anew what it is does not begin anew).
    DrainBeforeShut,
    /// The gate that sites share is never told to shut while another site's redirect is on or its claim stands.
    SharedGateIsHeld,
    /// No record says at any moment that visitors are sent to a shut gate, while patience lasts; but for an off that came true late.
    NoShutGateUnderRedirect,
    /// r09: at most one operation in flight on a toggle.
    OneOperation,
    /// r10: no write leaves before its intent is on disk or saving it was given up on.
    IntentFirst,
    /// r13: while paused core starts no write. One that it started before may still end.
    PauseMeansNoWrites,
    /// Core asks to be woken only for something.
    NoEndlessWaking,
    /// r10: at the end of every life, when nothing goes wrong any more, the world comes to rest: desired = observed = what is there.
    Converges,
}

/// Whether a rule holds in a state.
type Holds = fn(&Bounded, &State) -> bool;

impl Rule {
    /// All rules as properties of the model.
    pub const ALL: [(&'static str, Holds); 10] = [
        (Self::GateBeforeRedirect.name(), |_, state| {
            state.broken != Some(Self::GateBeforeRedirect)
        }),
        (Self::SpentPatienceIsTold.name(), |_, state| {
            state.broken != Some(Self::SpentPatienceIsTold)
        }),
        (Self::DrainBeforeShut.name(), |_, state| {
            state.broken != Some(Self::DrainBeforeShut)
        }),
        (Self::SharedGateIsHeld.name(), |_, state| {
            state.broken != Some(Self::SharedGateIsHeld)
        }),
        (Self::NoShutGateUnderRedirect.name(), |_, state| {
            state.broken != Some(Self::NoShutGateUnderRedirect)
        }),
        (Self::OneOperation.name(), |_, state| {
            state.broken != Some(Self::OneOperation)
        }),
        (Self::IntentFirst.name(), |_, state| {
            state.broken != Some(Self::IntentFirst)
        }),
        (Self::PauseMeansNoWrites.name(), |_, state| {
            state.broken != Some(Self::PauseMeansNoWrites)
        }),
        (Self::NoEndlessWaking.name(), |_, state| {
            state.broken != Some(Self::NoEndlessWaking)
        }),
        (Self::Converges.name(), |_, state| state.broken != Some(Self::Converges)),
    ];

    /// Its name as a property.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GateBeforeRedirect => "r06 r07 gate before redirect",
            Self::SpentPatienceIsTold => "r07 spent patience is told",
            Self::DrainBeforeShut => "r06 r08 drain before shut",
            Self::SharedGateIsHeld => "shared gate is held for the other site",
            Self::NoShutGateUnderRedirect => "r06 no shut gate under the redirect",
            Self::OneOperation => "r09 one operation at a time",
            Self::IntentFirst => "r10 intent before write",
            Self::PauseMeansNoWrites => "r13 a pause means zero writes",
            Self::NoEndlessWaking => "core is not woken without end",
            Self::Converges => "r10 a calm world converges",
        }
    }
}

impl State {
    /// Core starts a write.
    pub fn check_command(&mut self, rig: &Rig, site: usize, toggle: ToggleKey, position: Position) {
        if matches!(
            self.sites[site].controller.status(self.clock()).mode,
            Mode::Paused { .. }
        ) {
            self.breaks(Rule::PauseMeansNoWrites);
        }
        let now = self.now;
        let told = &mut self.sites[site].gate;
        if toggle.role == Role::Gate && position == Position::On && (told.shut || told.open.is_none()) {
            *told = Told {
                open: Some(now),
                shut: false,
            };
        }
        if toggle.role == Role::Redirect
            && position == Position::On
            && self.remotes[object(site, Role::Redirect)].configured == Position::Off
            && self.remotes[0].visible == Position::Off
            && !self.remotes[0].unsteady
            && !self.was_shut_late()
            && self.patience_lasts(rig, site)
        {
            self.breaks(Rule::GateBeforeRedirect);
        }
    }

    /// Core starts an operation on a toggle.
    pub fn check_single(&mut self, site: usize, toggle: ToggleKey) {
        let lane = &self.remotes[object(site, toggle.role)].lane;
        let waits = self.sites[site].waiting.iter().any(|(_, other, _)| *other == toggle);
        if waits || lane.iter().any(|op| op.site == site) {
            self.breaks(Rule::OneOperation);
        }
    }

    /// A write leaves the process for its lane.
    pub fn check_intent(&mut self, site: usize, toggle: ToggleKey, position: Position) {
        let site = &mut self.sites[site];
        site.gate.shut |= toggle.role == Role::Gate && position == Position::Off;
        let recorded = site.disk.as_ref().is_some_and(|snapshot| {
            let mut records = snapshot.toggles.iter();
            records.any(|record| record.key == toggle && record.desired == position)
        });
        if !recorded && !site.from_memory {
            self.breaks(Rule::IntentFirst);
        }
    }

    /// A write that is first in its lane is sent to the gate.
    pub fn check_shut(&mut self, rig: &Rig, site: usize) {
        let gate = &self.remotes[0];
        if gate.configured == Position::Off {
            return;
        }
        let rested = |moved_at: Option<Instant>| moved_at.is_none_or(|at| self.now.since(at) >= rig.policy.drain);
        let redirect_rests = |site| {
            let redirect = &self.remotes[object(site, Role::Redirect)];
            redirect.configured == Position::Off && rested(redirect.moved_at)
        };
        let drained = redirect_rests(site) && (rested(self.sites[site].gate.open) || rested(gate.moved_at));
        let mut others = (0..self.sites.len()).filter(|other| *other != site);
        let free = others.all(redirect_rests);
        if !drained {
            self.breaks(Rule::DrainBeforeShut);
        } else if !free {
            self.breaks(Rule::SharedGateIsHeld);
        }
    }

    /// After each step.
    pub fn check_world(&mut self, rig: &Rig) {
        for site in 0..self.sites.len() {
            let redirect = &self.remotes[object(site, Role::Redirect)];
            let sent = redirect.configured == Position::On;
            let shut = self.remotes[0].configured == Position::Off && !self.was_shut_late();
            if sent && shut && self.patience_lasts(rig, site) {
                self.breaks(Rule::NoShutGateUnderRedirect);
            }
        }
    }

    /// When a tick ends: visitors have met a shut gate all through it.
    pub fn check_told(&mut self) {
        for site in 0..self.sites.len() {
            let redirect = &self.remotes[object(site, Role::Redirect)];
            let meets = redirect.visible == Position::On && self.remotes[0].visible == Position::Off;
            let told = self.sites[site].told_shut || self.tick < self.dark_until || !self.sites[site].held.is_empty();
            if !meets || told {
                continue;
            }
            let status = self.sites[site].controller.status(self.clock());
            let knows = status.toggles.iter().any(|toggle| {
                toggle.key == key(Role::Redirect)
                    && toggle.observed.configured == Some(Position::On)
                    && toggle.verified.is_none()
            });
            if knows && status.route == Route::Standby {
                self.breaks(Rule::SpentPatienceIsTold);
            }
        }
    }

    /// An off that nobody waited for any more has just shut the gate, and core has not had the time to look for it.
    fn was_shut_late(&self) -> bool {
        self.remotes[0].shut_late.is_some_and(|at| self.tick - at <= LOOKED_FOR)
    }

    fn patience_lasts(&self, rig: &Rig, site: usize) -> bool {
        let told = self.sites[site].gate;
        let since = told.open.filter(|_| !told.shut);
        since.is_none_or(|since| self.now.since(since) < rig.policy.gate_patience)
    }

    /// Whether every site rests where home's state asks for, with nothing in flight: desired = observed = what is there.
    pub fn rests(&self) -> bool {
        let wanted = |site: usize| {
            if self.sites[site].home {
                Position::Off
            } else {
                Position::On
            }
        };
        let all_rest = (0..self.sites.len()).all(|site| {
            let status = self.sites[site].controller.status(self.clock());
            let own = [Role::Redirect, Role::Silence];
            status.route
                == if self.sites[site].home {
                    Route::Origin
                } else {
                    Route::Standby
                }
                && status.switched == Switched::Verified
                && own
                    .iter()
                    .all(|role| self.remotes[object(site, *role)].configured == wanted(site))
        });
        let gate_wanted = (0..self.sites.len()).any(|site| wanted(site) == Position::On);
        let gate = &self.remotes[0];
        let quiet = self
            .remotes
            .iter()
            .all(|remote| remote.lane.is_empty() && remote.ghosts.is_empty());
        all_rest && quiet && (gate.configured == Position::On) == gate_wanted && gate.visible == gate.configured
    }
}
