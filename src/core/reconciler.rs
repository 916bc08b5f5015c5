//! Desired against observed: in which order toggles move, when nothing may move, and what proves that they did.

use super::drift::Ended;
use super::evidence::{Sighting, View};
use super::jitter::Jitter;
use super::machine::{DriftPolicy, Policy};
use super::ring::{Action, OpId};
use super::standby::StandbyWatch;
use super::switch::Switch;
use super::time::{Alarms, Duration, Instant, Stopwatch};
use super::toggles::{Failure, Observed, Position, Role, Route, ToggleKey};

/// What is wanted of the toggles now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of the moment, named where they are built"
)]
pub struct Wish {
    /// Where visitors shall go.
    pub route: Route,
    /// Open the gate in advance.
    pub prewarm: bool,
    /// Home answers meanwhile: a redirect that is not on yet stays off.
    pub hold_redirect: bool,
    /// A full window of own observation is over: what nobody explains may be put in order.
    pub observed_enough: bool,
    /// Whether home, if it is not proven in time, gives way to the standby again.
    pub may_roll_back: bool,
    /// Home is judged to serve, or an operator sends visitors there: they may be taken from a standby where somebody else put them.
    pub home_takes_over: bool,
}

/// What proves the present route from a visitor's seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Nothing was switched since the start.
    Unneeded,
    /// The redirect went on; the standby has to be seen through it.
    Out {
        /// Time since the redirect was read on.
        waited: Stopwatch,
    },
    /// Visitors were seen at the standby.
    OutProven,
    /// The redirect went off; home has to be seen.
    Home {
        /// Time since the redirect was read off.
        waited: Stopwatch,
    },
    /// Visitors were seen at home.
    HomeProven,
}

/// Something that the controller has to know of an ended operation or look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The standby was proven through the redirect.
    StandbyProven,
    /// Home was proven at the public URL.
    HomeProven,
    /// The redirect came on or went off.
    RedirectMoved,
    /// The redirect leads back to itself.
    Loop,
    /// Somebody else moved a toggle.
    Drift(ToggleKey, Ended),
    /// Somebody edited a toggle's object.
    Edited(ToggleKey),
    /// An operation on a toggle worked.
    Worked(ToggleKey),
}

/// All toggles of a site and what is known of the switch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reconciler {
    pub(super) switches: Vec<Switch>,
    pub(super) standby: StandbyWatch,
    pub(super) proof: Proof,
    /// The visitor's sight of the redirect since it last moved, and when the look was sent.
    pub(super) sight: Option<(Instant, Position)>,
    /// Looks sent before this saw another world.
    pub(super) moved_at: Instant,
    /// When the gate was last read open: the standby is asked anew at once.
    pub(super) opened_at: Instant,
    /// When the route last changed, or was taken up after a restart.
    pub(super) leg_since: Instant,
    /// A loop was seen: the redirect stays off until the next switch out.
    pub(super) looped: bool,
}

impl Reconciler {
    /// Nothing is known yet.
    pub fn new(keys: &[ToggleKey]) -> Self {
        Self {
            switches: keys.iter().copied().map(Switch::new).collect(),
            standby: StandbyWatch::default(),
            proof: Proof::Unneeded,
            sight: None,
            moved_at: Instant::ZERO,
            opened_at: Instant::ZERO,
            leg_since: Instant::ZERO,
            looped: false,
        }
    }

    /// All switches, in the order given.
    pub fn switches(&self) -> &[Switch] {
        &self.switches
    }

    /// All switches, to be changed.
    pub fn switches_mut(&mut self) -> &mut [Switch] {
        &mut self.switches
    }

    /// What the standby showed.
    pub const fn standby(&self) -> &StandbyWatch {
        &self.standby
    }

    /// What proves the present route.
    pub const fn proof(&self) -> Proof {
        self.proof
    }

    /// When the redirect last came to rest: looks sent before this saw another world.
    pub const fn moved_at(&self) -> Instant {
        self.moved_at
    }

    /// Looks at the standby sent before this saw another world: the gate opened or the route changed since.
    pub fn look_anew_since(&self) -> Instant {
        self.opened_at.max(self.leg_since)
    }

    /// Whether a loop keeps the redirect off.
    pub const fn is_looped(&self) -> bool {
        self.looped
    }

    /// A new switch out begins: an old loop is forgiven.
    pub fn forgive_loop(&mut self) {
        self.looped = false;
    }

    /// Takes up the proof that was saved: the standby had been seen, `proven_now` on the leg that still lasts.
    pub fn restore_proof(&mut self, proven_now: bool, now: Instant) {
        self.proof = if proven_now {
            Proof::OutProven
        } else {
            Proof::Out {
                waited: Stopwatch::running(now),
            }
        };
    }

    /// The route changes now, or is taken up after a restart.
    pub fn begin_leg(&mut self, now: Instant) {
        self.leg_since = now;
    }

    pub(super) fn of(&self, role: Role) -> impl Iterator<Item = &Switch> {
        self.switches.iter().filter(move |switch| switch.key().role == role)
    }

    /// Whether the site has a toggle of this role.
    pub fn has(&self, role: Role) -> bool {
        self.of(role).next().is_some()
    }

    /// The provider's record of all toggles of a role together, if known and the same.
    pub fn configured(&self, role: Role) -> Option<Position> {
        let mut all = self.of(role).map(Switch::configured);
        let first = all.next()??;
        all.all(|position| position == Some(first)).then_some(first)
    }

    /// Where the redirect is: by the provider's record, or, when that cannot be read, by the visitor's sight.
    pub fn redirect(&self) -> Option<Position> {
        if !self.has(Role::Redirect) {
            return None;
        }
        if self.of(Role::Redirect).any(Switch::is_writing) {
            return None;
        }
        self.configured(Role::Redirect)
            .or(self.sight.map(|(_, position)| position))
    }

    /// Whether the visitor eye judges home: the redirect is known to be off.
    pub fn visitor_judges_home(&self) -> bool {
        !self.has(Role::Redirect) || self.redirect() == Some(Position::Off)
    }

    /// Whether the standby is proven to serve visitors now.
    pub fn standby_serves(&self) -> bool {
        self.proof == Proof::OutProven && !self.standby.is_broken()
    }

    /// What to start at the toggles now.
    ///
    /// A redirect that somebody else put on (or a crash whose intent never reached the disk) stays on until home takes over, and a gate
    /// stays open as long as visitors may be behind it: whoever opened it, and whatever an older intent from the disk says.
    pub fn actions(&mut self, may_write: bool, wish: Wish, policy: &Policy, alarms: &mut Alarms) -> Vec<Action> {
        let redirect_off = self.redirect_is_off();
        let standby_unused = self.standby_is_unused(wish, policy, alarms);
        self.switches
            .iter_mut()
            .filter_map(|switch| {
                let kept = match switch.key().role {
                    Role::Redirect => switch.is_found_on() && !(wish.home_takes_over || self.looped),
                    Role::Silence => switch.is_found_on() && !redirect_off,
                    Role::Gate => switch.desired() == Some(Position::Off) && !standby_unused,
                };
                switch.next_action(may_write && !kept, policy.verify_every, alarms)
            })
            .collect()
    }

    /// Notes that an action is in flight.
    pub fn begin(&mut self, id: OpId, action: Action, now: Instant) {
        if let Action::Observe(key) | Action::Set(key, _) = action
            && let Some(switch) = self.switches.iter_mut().find(|switch| switch.key() == key)
        {
            switch.begin(id, action, now);
            if key.role == Role::Gate && matches!(action, Action::Set(_, Position::Off)) {
                self.standby.begin_anew();
            }
        }
    }

    /// Takes the end of an operation on a toggle.
    pub fn ended(
        &mut self,
        id: OpId,
        result: Result<Observed, Failure>,
        drift: DriftPolicy,
        jitter: &mut Jitter,
        now: Instant,
    ) -> Vec<Turn> {
        let before = self.redirect();
        let was_open = self.configured(Role::Gate) == Some(Position::On);
        let mut turns = Vec::new();
        for switch in &mut self.switches {
            let key = switch.key();
            let ended = switch.end(id, result, drift, jitter, now);
            if ended == Ended::NotMine {
                continue;
            }
            if matches!(ended, Ended::Drifted { .. }) {
                turns.push(Turn::Drift(key, ended));
            }
            if ended != Ended::Failed
                && let Ok(observed) = result
            {
                turns.push(Turn::Worked(key));
                if observed.edited {
                    turns.push(Turn::Edited(key));
                }
                if key.role == Role::Gate {
                    let opened = !was_open && observed.configured == Some(Position::On);
                    self.gate_told(observed, opened, now);
                }
            }
            break;
        }
        if self.note_redirect(before, now) {
            turns.push(Turn::RedirectMoved);
        }
        turns
    }

    /// The gate was read: what the standby showed before it opened proves nothing; what the read itself showed does.
    fn gate_told(&mut self, observed: Observed, opened: bool, now: Instant) {
        if opened {
            self.opened_at = now;
            self.standby.begin_anew();
        }
        match observed.effective {
            // One good answer more, no proof: a shared gate may have been asked for another site.
            Some(Position::On) => self.standby.saw(View::Standby, now, now),
            Some(Position::Off) => self.standby.saw(View::Shut, now, now),
            None => {}
        }
    }

    /// Starts a proof when the redirect came to rest on the other side.
    fn note_redirect(&mut self, before: Option<Position>, now: Instant) -> bool {
        let waited = Stopwatch::running(now);
        let proof = match (self.configured(Role::Redirect), self.proof) {
            (Some(Position::On), Proof::Unneeded | Proof::Home { .. } | Proof::HomeProven) => Proof::Out { waited },
            (Some(Position::Off), Proof::Out { .. } | Proof::OutProven) => Proof::Home { waited },
            (_, same) => same,
        };
        let moved = proof != self.proof;
        self.proof = proof;
        if moved {
            self.moved_at = now;
            self.sight = None;
        }
        moved || before != self.redirect()
    }

    /// The standby's own eye saw something.
    pub fn saw_standby(&mut self, view: View, sent_at: Instant, now: Instant) {
        self.standby.saw(view, sent_at, now);
    }

    /// The visitor eye saw something. `home_is_up`: the origin eye sees home now.
    pub fn saw_visitor(
        &mut self,
        sighting: Sighting,
        sent_at: Instant,
        home_is_up: bool,
        now: Instant,
    ) -> Option<Turn> {
        if sent_at < self.moved_at {
            return None;
        }
        if let Some(position) = sighting.redirect {
            self.sight = Some((sent_at, position));
        }
        if sighting.redirect == Some(Position::On) {
            self.standby.saw(sighting.view, sent_at, now);
        }
        if sighting.view == View::Loop && sighting.redirect != Some(Position::Off) && !self.looped {
            self.looped = true;
            return Some(Turn::Loop);
        }
        let no_evidence = matches!(sighting.view, View::Cached | View::Blocked);
        match (self.proof, sighting.redirect) {
            (Proof::Out { .. }, Some(Position::On)) if sighting.view == View::Standby => {
                self.proof = Proof::OutProven;
                Some(Turn::StandbyProven)
            }
            (Proof::Home { .. }, Some(Position::Off)) if sighting.view == View::Home || (no_evidence && home_is_up) => {
                self.proof = Proof::HomeProven;
                Some(Turn::HomeProven)
            }
            _ => None,
        }
    }

    /// Without a redirect the standby's own eye proves the way out, and the gate's shutting the way home.
    pub fn prove_without_redirect(&mut self, route: Route, policy: &Policy, now: Instant) -> Option<Turn> {
        if self.has(Role::Redirect) {
            return None;
        }
        let standby_is_proven = self.standby.is_proven(proof_fresh(policy), now);
        match (route, self.proof) {
            (Route::Standby, Proof::Unneeded | Proof::HomeProven | Proof::Out { .. }) if standby_is_proven => {
                self.proof = Proof::OutProven;
                Some(Turn::StandbyProven)
            }
            (Route::Origin, Proof::OutProven | Proof::Out { .. } | Proof::Home { .. }) => {
                self.proof = Proof::HomeProven;
                Some(Turn::HomeProven)
            }
            _ => None,
        }
    }

    /// Stops the clock of a running proof while we are blind; what was not seen does not count.
    pub fn freeze_proof(&mut self) {
        self.proof = match self.proof {
            Proof::Out { waited } => Proof::Out {
                waited: waited.freeze(),
            },
            Proof::Home { waited } => Proof::Home {
                waited: waited.freeze(),
            },
            same @ (Proof::Unneeded | Proof::OutProven | Proof::HomeProven) => same,
        };
    }

    /// Lets the clock of a running proof go on.
    pub fn resume_proof(&mut self, now: Instant) {
        self.proof = match self.proof {
            Proof::Out { waited } => Proof::Out {
                waited: waited.mark(now),
            },
            Proof::Home { waited } => Proof::Home {
                waited: waited.mark(now),
            },
            same @ (Proof::Unneeded | Proof::OutProven | Proof::HomeProven) => same,
        };
    }

    /// Whether every toggle rests where it should and the present route is proven: nothing is left to do.
    pub fn is_at_rest(&self, route: Route) -> bool {
        let settled = self.switches.iter().all(|switch| {
            let home = match switch.desired() {
                Some(position) => switch.is_settled() && (route == Route::Standby || position == Position::Off),
                None => false,
            };
            home && !switch.is_writing()
        });
        let proven = match route {
            Route::Origin => matches!(self.proof, Proof::Unneeded | Proof::HomeProven),
            Route::Standby => self.proof == Proof::OutProven,
        };
        settled && proven
    }
}

/// How long a proof of the standby counts.
pub fn proof_fresh(policy: &Policy) -> Duration {
    policy.interval.saturating_mul(2)
}
