//! The providers' side: lanes, fates of operations, writes that arrive late, and what visitors see a while later.

use pilotlight::core::{Failure, FailureKind, Observed, Position, Role};
use pilotlight::toggle::claims::Errand;

use super::kinds::{Due, Fate, Ghost, MOST_LAG, NAMES, Op, Plant, Stage, State, TICK};
use super::rig::Rig;

impl Op {
    /// The position that it writes, if it writes.
    pub fn writes(&self) -> Option<Position> {
        match self.errand {
            Some(Errand::Write(position)) => Some(position),
            Some(Errand::Read | Errand::Release) | None => None,
        }
    }
}

impl State {
    /// A write reaches the record.
    pub fn apply(&mut self, object: usize, position: Position) {
        let (now, tick) = (self.now, self.tick);
        let remote = &mut self.remotes[object];
        if remote.configured == position {
            return;
        }
        remote.configured = position;
        remote.moved_at = Some(now);
        remote.version += 1;
        if remote.role == Role::Gate {
            let off_spreads = remote.spreading.iter().any(|(spreads, _)| *spreads == Position::Off);
            remote.unsteady |= position == Position::On && off_spreads;
            remote.spreading.push((position, tick));
        } else {
            remote.visible = position;
        }
    }

    /// A write will arrive although its sender is gone.
    pub fn haunt(&mut self, object: usize, position: Position, after: u16) {
        let at = self.tick + after;
        let remote = &mut self.remotes[object];
        remote.ghosts.push(Ghost {
            position,
            version: remote.version,
            at,
        });
    }

    /// The first operation that is under way and whose fate is open.
    pub fn open_operation(&self) -> Option<(usize, &Op)> {
        let firsts = self.remotes.iter().map(|remote| remote.lane.first());
        let mut open = firsts.enumerate().filter_map(|(object, op)| Some((object, op?)));
        open.find(|(_, op)| matches!(op.stage, Stage::Open | Stage::Last))
    }

    fn settled(&mut self, op: &Op, result: Result<Observed, Failure>) {
        self.sites[op.site].inbox.push(Due::Settled(op.id, result));
    }
}

impl Rig {
    /// The first operation in a lane decides what it sends: claims may have changed while it waited.
    pub fn advance(&self, state: &mut State, object: usize) {
        let remote = &mut state.remotes[object];
        let Some(op) = remote.lane.first_mut().filter(|op| op.errand.is_none()) else {
            return;
        };
        let errand = remote.claims.errand(NAMES[op.site], op.wish);
        op.errand = Some(errand);
        let site = op.site;
        if remote.role == Role::Gate && errand == Errand::Write(Position::Off) {
            state.check_shut(self, site);
        }
    }

    /// The fate of the first operation in a lane.
    pub fn operate(&self, state: &mut State, object: usize, fate: Fate) {
        match fate {
            Fate::Slow => state.remotes[object].lane[0].stage = Stage::Slow,
            Fate::Lost => state.remotes[object].lane[0].stage = Stage::Silent,
            Fate::ReplyLost => {
                state.remotes[object].lane[0].stage = Stage::Silent;
                if let Some(position) = state.remotes[object].lane[0].writes() {
                    state.apply(object, position);
                }
            }
            Fate::Late => {
                state.remotes[object].lane[0].stage = Stage::Silent;
                if let Some(position) = state.remotes[object].lane[0].writes() {
                    state.haunt(object, position, 2);
                }
            }
            Fate::Refused => {
                self.end(state, object, Err(Failure::new(FailureKind::Unavailable)));
            }
            Fate::Done => {
                let op = &state.remotes[object].lane[0];
                let (site, fully) = (op.site, op.wish.is_none());
                if let Some(position) = op.writes() {
                    state.apply(object, position);
                }
                let remote = &state.remotes[object];
                let observed = Observed {
                    configured: Some(remote.configured),
                    effective: (fully && remote.role == Role::Gate).then_some(remote.visible),
                    ..Observed::default()
                };
                let observed = remote.claims.tell(NAMES[site], observed);
                self.end(state, object, Ok(observed));
            }
        }
        self.settle(state);
    }

    fn end(&self, state: &mut State, object: usize, result: Result<Observed, Failure>) {
        let op = state.remotes[object].lane.remove(0);
        state.settled(&op, result);
        self.advance(state, object);
    }

    /// Time passes.
    pub fn tick(&self, state: &mut State, spread: bool) {
        state.check_told();
        state.tick += 1;
        state.now = pilotlight::core::Instant::ZERO + TICK * u32::from(state.tick);
        state.spread(spread);
        for object in 0..state.remotes.len() {
            state.arrive(object);
            self.meet_deadlines(state, object);
        }
        for site in 0..state.sites.len() {
            let probe = state.probe(site);
            let loop_of = &mut state.sites[site];
            let late = std::mem::take(&mut loop_of.held);
            let late = late.into_iter().map(|(id, sighting)| Due::Sighted(id, sighting));
            loop_of.inbox.extend(late.chain([Due::Probe(probe)]));
        }
        self.settle(state);
    }

    /// The deadline of what was silent, and of what waited behind it, has come; what was slow goes on.
    fn meet_deadlines(&self, state: &mut State, object: usize) {
        let lane = std::mem::take(&mut state.remotes[object].lane);
        for (place, mut op) in lane.into_iter().enumerate() {
            let failed = match op.stage {
                Stage::Silent if self.plant == Some(Plant::NoDeadline) => None,
                Stage::Silent => Some(FailureKind::NoAnswer),
                _ if place > 0 => Some(FailureKind::HeldBack),
                Stage::Open | Stage::Slow | Stage::Last => None,
            };
            if let Some(kind) = failed {
                state.settled(&op, Err(Failure::new(kind)));
                continue;
            }
            if op.stage == Stage::Slow {
                op.stage = Stage::Last;
            }
            state.remotes[object].lane.push(op);
        }
        self.advance(state, object);
    }

    /// One tick in which nothing goes wrong.
    pub fn calm_tick(&self, state: &mut State) {
        self.calm_down(state);
        self.tick(state, true);
        self.calm_down(state);
    }

    /// Everything on its way ends well.
    fn calm_down(&self, state: &mut State) {
        loop {
            if let Some(site) = state.sites.iter().position(|site| site.saving.is_some()) {
                self.saved(state, site, true);
            } else if let Some((object, _)) = state.open_operation() {
                self.operate(state, object, Fate::Done);
            } else {
                return;
            }
        }
    }
}

impl State {
    /// What visitors see of the gate follows its record: one step if `along`, and at last in any case.
    fn spread(&mut self, along: bool) {
        let tick = self.tick;
        let gate = &mut self.remotes[0];
        let due = |gate: &super::kinds::Remote| {
            gate.spreading
                .first()
                .is_some_and(|(_, since)| tick.saturating_sub(*since) >= MOST_LAG)
        };
        let mut go = along;
        while (go || due(gate)) && !gate.spreading.is_empty() {
            gate.visible = gate.spreading.remove(0).0;
            go = false;
        }
        gate.unsteady &= !gate.spreading.is_empty();
    }

    /// Writes without a sender arrive. The gate's carry the version that they were built on.
    fn arrive(&mut self, object: usize) {
        let tick = self.tick;
        let (due, later) = std::mem::take(&mut self.remotes[object].ghosts)
            .into_iter()
            .partition(|ghost| ghost.at <= tick);
        self.remotes[object].ghosts = later;
        let due: Vec<Ghost> = due;
        for ghost in due {
            let remote = &self.remotes[object];
            if remote.role != Role::Gate || remote.version == ghost.version {
                self.apply(object, ghost.position);
                let shut = ghost.position == Position::Off;
                self.remotes[object].shut_late = shut.then_some(tick).or(self.remotes[object].shut_late);
            }
        }
    }
}
