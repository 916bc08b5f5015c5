//! The model: from each state, all that can happen next.

use pilotlight::core::{Eye, Position, Role};
use pilotlight::toggle::claims::Errand;
use stateright::{Model, Property};

use super::kinds::{Command, Fate, Left, Stage, State, Step, Wreck};
use super::rig::Rig;
use super::rules::Rule;

/// Visitors are sent to an open standby.
pub const AT_STANDBY: &str = "visitors reach the standby";
/// Everything was switched there and back.
pub const HOME_AGAIN: &str = "everything is home again";
/// Visitors are sent to a gate that is shut for them.
pub const SPENT: &str = "patience is spent";
/// One site lets go of a gate that stays open for another one.
pub const HELD: &str = "the gate is held for another site";

/// A world with bounds.
#[derive(Clone, Debug)]
pub struct Bounded {
    pub rig: Rig,
    pub begins: Vec<State>,
}

impl Bounded {
    /// All lives of `ticks` ticks from these states with no more than `left` rare things.
    pub fn new(rig: Rig, begins: Vec<State>, ticks: u16, left: Left) -> Self {
        let begins = begins
            .into_iter()
            .map(|state| State {
                end: state.tick + ticks,
                left,
                ..state
            })
            .collect();
        Self { rig, begins }
    }
}

impl Model for Bounded {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        self.begins.clone()
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.broken.is_none() && !state.is_over() {
            state.next_steps(steps);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        self.rig.take(&mut state, step);
        if state.is_over() {
            self.rig.end_of_life(&mut state);
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = Rule::ALL.map(|(name, holds)| Property::always(name, holds)).to_vec();
        all.extend([
            Property::sometimes(AT_STANDBY, |_, state: &State| state.sends_to(Position::On)),
            Property::sometimes(SPENT, |_, state: &State| state.sends_to(Position::Off)),
            Property::sometimes(HOME_AGAIN, |_, state: &State| state.is_home_again()),
            Property::sometimes(HELD, |_, state: &State| state.is_held()),
        ]);
        all
    }
}

impl State {
    /// Whether visitors are sent to a gate that is so for them.
    fn sends_to(&self, gate: Position) -> bool {
        let mut redirects = self.remotes.iter().filter(|remote| remote.role == Role::Redirect);
        self.remotes[0].visible == gate && redirects.any(|redirect| redirect.visible == Position::On)
    }

    fn is_home_again(&self) -> bool {
        let switched = |role| {
            self.remotes
                .iter()
                .any(|remote| remote.role == role && remote.version > 1)
        };
        let off = self.remotes.iter().all(|remote| remote.configured == Position::Off);
        off && Role::ALL.into_iter().all(switched)
    }

    fn is_held(&self) -> bool {
        let mut under_way = self.remotes.iter().filter_map(|remote| remote.lane.first());
        under_way.any(|op| op.errand == Some(Errand::Release))
    }

    /// Nothing is on its way that could still branch, and no time is left.
    pub fn is_over(&self) -> bool {
        self.tick >= self.end && self.open_operation().is_none() && self.sites.iter().all(|site| site.saving.is_none())
    }

    fn next_steps(&self, steps: &mut Vec<Step>) {
        if let Some(site) = self.sites.iter().position(|site| site.saving.is_some()) {
            steps.push(Step::Saved { site });
            if self.left.troubles > 0 {
                steps.push(Step::SaveFails { site });
                self.crashes(steps);
            }
            return;
        }
        if let Some((object, op)) = self.open_operation() {
            let fate = |fate| Step::Operation { object, fate };
            steps.push(fate(Fate::Done));
            if self.left.troubles > 0 {
                steps.push(fate(Fate::Lost));
                if op.stage == Stage::Open {
                    steps.push(fate(Fate::Slow));
                }
                if op.writes().is_some() {
                    steps.extend([Fate::Refused, Fate::ReplyLost, Fate::Late].map(fate));
                }
                self.crashes(steps);
                self.commands(steps);
            }
            return;
        }
        self.between_ticks(steps);
    }

    fn between_ticks(&self, steps: &mut Vec<Step>) {
        let spreads_for = self.remotes[0].spreading.first().map(|(_, since)| self.tick - since);
        if spreads_for.is_none_or(|age| age <= 1) {
            steps.push(Step::Tick { spread: true });
        }
        if spreads_for.is_some() {
            steps.push(Step::Tick { spread: false });
        }
        for (site, of) in self.sites.iter().enumerate() {
            if self.left.homes > 0 {
                steps.push(Step::Home { site, serves: !of.home });
            }
        }
        if self.left.troubles == 0 {
            return;
        }
        self.crashes(steps);
        self.commands(steps);
        for (site, of) in self.sites.iter().enumerate() {
            if of.hold.is_none() {
                steps.extend([Eye::Visitor, Eye::Standby].map(|eye| Step::LateLook { site, eye }));
            }
        }
        if !self.is_dark() {
            steps.push(Step::Dark);
        }
    }

    fn crashes(&self, steps: &mut Vec<Step>) {
        steps.push(Step::Crash(Wreck::Lost));
        let mut writes = self.remotes.iter().flat_map(|remote| &remote.lane);
        if writes.any(|op| op.writes().is_some() && op.stage != Stage::Silent) {
            steps.extend([Wreck::Applied, Wreck::Late].map(Step::Crash));
        }
    }

    fn commands(&self, steps: &mut Vec<Step>) {
        for site in 0..self.sites.len() {
            let all = [
                Command::Pause,
                Command::ForceStandby,
                Command::ForceOrigin,
                Command::Resume,
            ];
            steps.extend(all.map(|command| Step::Commanded { site, command }));
        }
    }
}

impl Rig {
    fn take(&self, state: &mut State, step: Step) {
        match step {
            Step::Tick { .. } | Step::Saved { .. } | Step::Operation { fate: Fate::Done, .. } => {}
            Step::Home { .. } => state.left.homes -= 1,
            Step::SaveFails { .. }
            | Step::Operation { .. }
            | Step::Crash(_)
            | Step::Commanded { .. }
            | Step::LateLook { .. }
            | Step::Dark => state.left.troubles -= 1,
        }
        match step {
            Step::Tick { spread } => self.tick(state, spread),
            Step::Home { site, serves } => state.sites[site].home = serves,
            Step::Saved { site } => self.saved(state, site, true),
            Step::SaveFails { site } => self.saved(state, site, false),
            Step::Operation { object, fate } => self.operate(state, object, fate),
            Step::Crash(wreck) => self.crash(state, wreck),
            Step::Commanded { site, command } => self.command(state, site, command),
            Step::LateLook { site, eye } => state.sites[site].hold = Some(eye),
            Step::Dark => state.dark_until = state.tick + 3,
        }
    }
}
