//! What the driver does, step by step: events into core, effects out, writes only after the save.

use std::sync::Arc;

use pilotlight::core::machine::Pin;
use pilotlight::core::{
    self, Action, Effect, Event, Eye, Faculties, Failing, Mode, OpId, Order, Outcome, Part, Position, Reflection, Role,
    Route, Sighting, ToggleKey, View, What, Why,
};

use super::kinds::{Command, Due, Op, Plant, Stage, State, TICK, WINDOW, Wreck, key, object};
use super::rig::Rig;
use super::rules::Rule;

/// A core that asks to be woken more often than this within one tick's window never waits.
const MOST_WAKES: u32 = 40;
/// How long an operator's override lasts, in ticks.
const PIN: u32 = 4;

impl Rig {
    /// Lets every site do what is due now, up to its next save.
    pub fn settle(&self, state: &mut State) {
        for site in 0..state.sites.len() {
            let mut turns = 0;
            while self.turn(state, site) {
                turns += 1;
                if turns > MOST_WAKES {
                    state.breaks(Rule::NoEndlessWaking);
                    return;
                }
            }
        }
        state.check_world(self);
    }

    /// One turn of a site's loop. `false`: it waits for its save, or for time to pass.
    fn turn(&self, state: &mut State, site: usize) -> bool {
        let begins = core::Instant::ZERO + TICK * u32::from(state.tick);
        let loop_of = &mut state.sites[site];
        if loop_of.saving.is_some() && self.plant != Some(Plant::WriteBeforeSave) {
            return false;
        }
        if !loop_of.waiting.is_empty() {
            let (id, toggle, position) = loop_of.waiting.remove(0);
            state.check_intent(site, toggle, position);
            self.enter_lane(state, site, id, toggle, Some(position));
            return true;
        }
        if loop_of.saving.is_some() {
            return false;
        }
        if !loop_of.inbox.is_empty() {
            let due = loop_of.inbox.remove(0);
            self.happen(state, site, due);
            return true;
        }
        match loop_of.controller.next_deadline() {
            Some(at) if at <= begins + WINDOW => {
                state.now = state.now.max(at);
                self.feed(state, site, Event::Woke);
                true
            }
            Some(_) | None => false,
        }
    }

    fn happen(&self, state: &mut State, site: usize, due: Due) {
        let sent_at = state.now;
        let event = match due {
            Due::Woke => Event::Woke,
            Due::Probe(outcome) => Event::Probed {
                sent_at,
                scheduled: true,
                outcome,
            },
            Due::Look(id, Eye::Mirror) => Event::Mirrored {
                id,
                reflection: state.reflection(),
            },
            Due::Look(id, eye) => {
                let sighting = state.sighting(site, eye);
                let loop_of = &mut state.sites[site];
                if loop_of.hold == Some(eye) {
                    loop_of.hold = None;
                    loop_of.held.push((id, sighting));
                    return;
                }
                Event::Looked { id, sighting }
            }
            Due::Sighted(id, sighting) => Event::Looked { id, sighting },
            Due::Settled(id, result) => Event::Settled { id, result },
        };
        self.feed(state, site, event);
    }

    /// Gives core an event and carries out its effects in their order.
    pub fn feed(&self, state: &mut State, site: usize, event: Event) {
        let clock = state.moment();
        for effect in state.sites[site].controller.handle(event, clock) {
            match effect {
                Effect::Save(snapshot) => state.sites[site].saving = Some(Arc::from(snapshot)),
                Effect::Notify(notice) => match notice.what {
                    What::PartlySwitched if self.plant != Some(Plant::Unspoken) => state.sites[site].told_shut = true,
                    What::FailoverStarted { .. } => state.sites[site].told_shut = false,
                    _ => {}
                },
                Effect::Warm => {}
                Effect::Act { id, action } => {
                    self.act(state, site, id, action);
                    self.act_out(state, site, action);
                }
            }
        }
    }

    fn act(&self, state: &mut State, site: usize, id: OpId, action: Action) {
        match action {
            Action::Look(eye) => state.sites[site].inbox.push(Due::Look(id, eye)),
            Action::Observe(toggle) => {
                state.check_single(site, toggle);
                self.enter_lane(state, site, id, toggle, None);
            }
            Action::Set(toggle, position) => {
                state.check_single(site, toggle);
                state.check_command(self, site, toggle, position);
                state.sites[site].waiting.push((id, toggle, position));
            }
        }
    }

    /// Carries out what is planted, after what core asked for.
    fn act_out(&self, state: &mut State, site: usize, action: Action) {
        if self.plant.is_none() {
            return;
        }
        let gate_set = matches!(action, Action::Set(toggle, Position::On) if toggle.role == Role::Gate);
        let redirect_off = matches!(action, Action::Set(toggle, Position::Off) if toggle.role == Role::Redirect);
        let paused = matches!(
            state.sites[site].controller.status(state.clock()).mode,
            Mode::Paused { .. }
        );
        let wrong = match self.plant {
            Some(Plant::RedirectWithTheGate) if gate_set => Action::Set(key(Role::Redirect), Position::On),
            Some(Plant::GateShutsWithTheRedirect) if redirect_off => {
                let shut = Some(Position::Off);
                return self.enter_lane(state, site, OpId(u64::MAX), key(Role::Gate), shut);
            }
            Some(Plant::Doubled) if gate_set => action,
            Some(Plant::WriteWhilePaused) if paused && matches!(action, Action::Look(_)) => {
                Action::Set(key(Role::Silence), Position::On)
            }
            _ => return,
        };
        self.act(state, site, OpId(u64::MAX), wrong);
    }

    fn enter_lane(&self, state: &mut State, site: usize, id: OpId, toggle: ToggleKey, wish: Option<Position>) {
        let remote = &mut state.remotes[object(site, toggle.role)];
        let forgotten = self.plant == Some(Plant::ClaimForgotten) && site == 1 && toggle.role == Role::Gate;
        if let Some(position) = wish
            && !forgotten
        {
            remote.claims.claim(super::kinds::NAMES[site], position);
        }
        remote.lane.push(Op {
            site,
            id,
            wish,
            errand: None,
            stage: Stage::Open,
        });
        self.advance(state, object(site, toggle.role));
    }

    /// The save has ended.
    pub fn saved(&self, state: &mut State, site: usize, in_time: bool) {
        let loop_of = &mut state.sites[site];
        if let Some(snapshot) = loop_of.saving.take()
            && in_time
        {
            loop_of.disk = Some(snapshot);
        }
        loop_of.from_memory = !in_time;
        // Writes leave when the save has ended, whether core has heard of it or not.
        while !state.sites[site].waiting.is_empty() {
            let (id, toggle, position) = state.sites[site].waiting.remove(0);
            state.check_intent(site, toggle, position);
            self.enter_lane(state, site, id, toggle, Some(position));
        }
        self.feed(state, site, Event::Saved { in_time });
        self.settle(state);
    }

    /// kill -9 and a new start from what is on disk.
    pub fn crash(&self, state: &mut State, wreck: Wreck) {
        for index in 0..state.remotes.len() {
            for op in std::mem::take(&mut state.remotes[index].lane) {
                let (Some(position), true) = (op.writes(), op.stage != Stage::Silent) else {
                    continue;
                };
                match wreck {
                    Wreck::Lost => {}
                    Wreck::Applied => state.apply(index, position),
                    Wreck::Late => state.haunt(index, position, 1),
                }
            }
        }
        self.join(state);
        for site in 0..state.sites.len() {
            let clock = state.moment();
            let dead = &mut state.sites[site];
            dead.controller = self.controller(dead.disk.as_deref(), 43, clock);
            dead.saving = None;
            dead.from_memory = false;
            dead.waiting.clear();
            dead.inbox = vec![Due::Woke];
            dead.hold = None;
            dead.held.clear();
        }
        self.settle(state);
    }

    pub fn command(&self, state: &mut State, site: usize, command: Command) {
        let order = match command {
            Command::Pause => Order::Pause,
            Command::ForceStandby => Order::Force(Route::Standby),
            Command::ForceOrigin => Order::Force(Route::Origin),
            Command::Resume => Order::Resume,
        };
        let pin = Pin {
            until: state.clock().wall + TICK * PIN,
            author: "alice".into(),
            reason: "test".into(),
        };
        self.feed(state, site, Event::Commanded(core::Command { order, pin }));
        self.settle(state);
    }
}

impl State {
    pub fn is_dark(&self) -> bool {
        self.tick < self.dark_until
    }

    fn reflection(&self) -> Reflection {
        let (answered, proven, clock) = if self.is_dark() {
            (0, Faculties::default(), core::ClockCheck::Unknown)
        } else {
            (2, Faculties::ALL, core::ClockCheck::Agrees)
        };
        Reflection {
            answered,
            proven,
            clock,
        }
    }

    /// What the origin eye finds.
    pub fn probe(&self, site: usize) -> Outcome {
        let used = Faculties {
            resolver: true,
            ipv4: true,
            ..Faculties::default()
        };
        let failed = |why| Outcome::Failed(Failing { why, used });
        match (self.is_dark(), self.sites[site].home) {
            (true, _) => failed(Why::Dns),
            (false, true) => Outcome::Ok,
            (false, false) => failed(Why::Timeout(Part::Connect)),
        }
    }

    fn sighting(&self, site: usize, eye: Eye) -> Sighting {
        let gate = self.remotes[0].visible;
        let standby = if gate == Position::On {
            View::Standby
        } else {
            View::Shut
        };
        let redirect = self.remotes[object(site, Role::Redirect)].visible;
        let (view, redirect) = match (self.is_dark(), eye, redirect) {
            (true, ..) => (View::Nothing, None),
            (false, Eye::Visitor, Position::On) => (standby, Some(Position::On)),
            (false, Eye::Visitor, Position::Off) if self.sites[site].home => (View::Home, Some(Position::Off)),
            (false, Eye::Visitor, Position::Off) => (View::EdgeLostHome(522), Some(Position::Off)),
            (false, Eye::Standby | Eye::Edge | Eye::Mirror, _) => (standby, None),
        };
        Sighting {
            view,
            redirect,
            took: WINDOW,
        }
    }
}
