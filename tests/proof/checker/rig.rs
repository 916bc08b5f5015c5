//! A tiny policy whose durations are a few ticks, and the states from which the checker sets out.

use std::time::Duration;

use pilotlight::core::controller::Layout;
use pilotlight::core::{BrokenStandby, Controller, DriftPolicy, Failback, Instant, Policy, Position, Role, Snapshot};
use pilotlight::toggle::claims::Claims;

use super::kinds::{Due, Left, NAMES, Plant, Remote, Site, State, TICK, Told, key, object};
use super::rules::Rule;

/// Ticks in which a calm world has to come to rest: the longest chain of waits (blind window, proof, patience, return, drain, the last
/// repeated read after a lost answer) is about half of it.
const CALM: u16 = 60;

/// What does not change while a world runs.
#[derive(Clone, Debug)]
pub struct Rig {
    pub policy: Policy,
    pub layout: Layout,
    pub plant: Option<Plant>,
}

const fn ticks(count: u32) -> Duration {
    TICK.saturating_mul(count)
}

impl Rig {
    pub fn new(plant: Option<Plant>) -> Self {
        let policy = Policy {
            interval: ticks(1),
            confirm_interval: ticks(1),
            visitor_interval: ticks(2),
            references_again: ticks(2),
            unhealthy_threshold: 2,
            down_for: ticks(1),
            clear_threshold: 1,
            clear_for: Duration::ZERO,
            healthy_threshold: 2,
            up_for: ticks(2),
            up_for_max: ticks(4),
            relapse_window: ticks(6),
            prewarm: true,
            failback: Failback::Auto,
            broken_standby: BrokenStandby::Hold,
            drift: DriftPolicy::Repair,
            gate_patience: ticks(2),
            drain: ticks(4),
            verify_every: ticks(3),
            home_proof: ticks(2),
        };
        let layout = Layout {
            toggles: Role::ALL.map(key).to_vec(),
            edge_eye: false,
        };
        Self { policy, layout, plant }
    }

    /// A process that has just started, for this many sites, with the gate and each site's redirect where somebody left them.
    pub fn started(&self, sites: usize, found: Position) -> State {
        let remote = |role, position| Remote {
            role,
            configured: position,
            visible: position,
            spreading: Vec::new(),
            unsteady: false,
            shut_late: None,
            moved_at: None,
            version: 0,
            claims: Claims::default(),
            lane: Vec::new(),
            ghosts: Vec::new(),
        };
        let mut remotes = vec![remote(Role::Gate, found)];
        for _ in 0..sites {
            remotes.extend([remote(Role::Redirect, found), remote(Role::Silence, Position::Off)]);
        }
        let mut state = State {
            tick: 0,
            end: u16::MAX,
            now: Instant::ZERO,
            sites: Vec::new(),
            remotes,
            dark_until: 0,
            left: Left { homes: 0, troubles: 0 },
            broken: None,
        };
        let clock = state.moment();
        state.sites = (0..sites)
            .map(|_| Site {
                controller: self.controller(None, 42, clock),
                disk: None,
                saving: None,
                from_memory: false,
                waiting: Vec::new(),
                inbox: vec![Due::Woke],
                hold: None,
                held: Vec::new(),
                home: true,
                gate: Told::default(),
                told_shut: false,
            })
            .collect();
        self.join(&mut state);
        self.settle(&mut state);
        state
    }

    pub fn controller(&self, disk: Option<&Snapshot>, seed: u64, clock: pilotlight::core::Now) -> Controller {
        Controller::new(self.policy.clone(), self.layout.clone(), disk, seed, clock)
    }

    /// The sites of a new process share what they share, and none has yet said what it wants.
    pub fn join(&self, state: &mut State) {
        let names = NAMES.iter().enumerate().take(state.sites.len());
        for (site, name) in names {
            for role in Role::ALL {
                let remote = &mut state.remotes[object(site, role)];
                if site == 0 || role != Role::Gate {
                    remote.claims = Claims::default();
                }
                if !(self.plant == Some(Plant::ClaimForgotten) && site == 1) {
                    remote.claims.join(name);
                }
            }
        }
    }

    /// A world that has run calmly, with home serving, until everything rested.
    pub fn at_home(&self, sites: usize) -> State {
        let mut state = self.started(sites, Position::Off);
        for _ in 0..4 {
            self.calm_tick(&mut state);
        }
        assert!(state.rests(), "{state:#?}");
        state
    }

    /// A world whose first site has been at the standby for a while; the other sites are at home.
    pub fn at_standby(&self, sites: usize) -> State {
        let mut state = self.at_home(sites);
        state.sites[0].home = false;
        for _ in 0..8 {
            self.calm_tick(&mut state);
        }
        assert!(state.rests(), "{state:#?}");
        state
    }

    /// The end of a life: nothing goes wrong any more, and the world has to come to rest without breaking a rule on the way.
    pub fn end_of_life(&self, state: &mut State) {
        let calm = self.calm_end(state);
        let restless = (!calm.rests()).then_some(Rule::Converges);
        state.broken = state.broken.or(calm.broken).or(restless);
    }

    /// How it goes on calmly, until everything rests or time is up.
    pub fn calm_end(&self, state: &State) -> State {
        let mut calm = state.clone();
        for _ in 0..CALM {
            if calm.broken.is_some() || calm.rests() {
                break;
            }
            self.calm_tick(&mut calm);
        }
        calm
    }
}
