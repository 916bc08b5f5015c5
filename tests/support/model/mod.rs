//! A model world for core: home, edge, mirror, three remote switches and visitors, driven in simulated time.

mod kinds;
mod providers;
mod readings;
mod sights;

use std::collections::BTreeMap;
use std::time::Duration;

use kinds::Pending;
pub use kinds::{Fate, Home, Plant, Remote, Standby, Write};
pub use readings::{find, rests};

use pilotlight::core::machine::Pin;
use pilotlight::core::{
    Action, BrokenStandby, ClockCheck, Command, Controller, DriftPolicy, Event, Faculties, Failback, Failure,
    FailureKind, Instant, Notice, Now, OpId, Order, Policy, Position, Reflection, Role, Snapshot, ToggleKey, Wall,
    controller::Layout,
};

/// The wall clock when a world begins.
pub const EPOCH: Wall = Wall(1_790_000_000_000);
/// The driver gives up on an operation after this time.
pub const TOGGLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Core may ask to be woken at one instant this often.
const MOST_WAKES: u32 = 3;

/// The site's gate.
pub const GATE: ToggleKey = ToggleKey {
    role: Role::Gate,
    index: 0,
};
/// The site's redirect.
pub const REDIRECT: ToggleKey = ToggleKey {
    role: Role::Redirect,
    index: 0,
};
/// The site's silence.
pub const SILENCE: ToggleKey = ToggleKey {
    role: Role::Silence,
    index: 0,
};

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// DESIGN's defaults.
pub fn policy() -> Policy {
    Policy {
        interval: secs(5),
        confirm_interval: Duration::from_millis(500),
        visitor_interval: secs(60),
        references_again: secs(10),
        unhealthy_threshold: 3,
        down_for: secs(30),
        clear_threshold: 2,
        clear_for: secs(10),
        healthy_threshold: 12,
        up_for: secs(600),
        up_for_max: secs(6 * 3600),
        relapse_window: secs(3600),
        prewarm: true,
        failback: Failback::Auto,
        broken_standby: BrokenStandby::Hold,
        drift: DriftPolicy::Repair,
        gate_patience: secs(120),
        drain: secs(600),
        verify_every: secs(300),
        home_proof: secs(30),
    }
}

/// The world.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of the world that a test sets"
)]
pub struct World {
    pub now: Instant,
    pub policy: Policy,
    pub layout: Layout,
    pub controller: Controller,
    pub home: Home,
    pub standby: Standby,
    pub edge_works: bool,
    pub edge_blocks: bool,
    pub edge_caches: bool,
    pub loops: bool,
    pub mirror: Reflection,
    pub propagation: Duration,
    pub edge_lag: Duration,
    pub slow_edge: Duration,
    pub remotes: BTreeMap<ToggleKey, Remote>,
    pub disk: Option<Snapshot>,
    pub writes: Vec<Write>,
    pub sets: u64,
    pub notices: Vec<(Instant, Notice)>,
    /// When core asked to have credentials and connections ready.
    pub warmed: Vec<Instant>,
    /// Whether broken rules of order are recorded (foreign writers make some of them unavoidable).
    pub violations: Vec<String>,
    pub probes_run: bool,
    pub plant: Option<Plant>,
    pending: Vec<(Instant, u64, Pending)>,
    sequence: u64,
    next_probe: Instant,
    confirming: u32,
    in_flight: BTreeMap<ToggleKey, OpId>,
    wall_jump: i64,
    woken: (Instant, u32),
    snooze_until: Option<Instant>,
}

/// Everything proven by the references.
pub const CLEAR: Reflection = Reflection {
    answered: 2,
    proven: Faculties::ALL,
    clock: ClockCheck::Agrees,
};
/// No reference answers.
pub const DARK: Reflection = Reflection {
    answered: 0,
    proven: Faculties {
        resolver: false,
        ipv4: false,
        ipv6: false,
        tls: false,
    },
    clock: ClockCheck::Unknown,
};

impl World {
    pub fn new(policy: Policy) -> Self {
        Self::with(
            policy,
            Layout {
                toggles: vec![GATE, REDIRECT, SILENCE],
                edge_eye: false,
            },
        )
    }

    pub fn with(policy: Policy, layout: Layout) -> Self {
        let now = Instant::at(secs(1));
        let remote = Remote {
            position: Position::Off,
            moved_at: Instant::ZERO,
            version: 0,
            fates: Vec::new(),
            fate: Fate::Done,
            held: false,
            told_on_since: None,
            edited: false,
        };
        let remotes = layout.toggles.iter().map(|key| (*key, remote.clone())).collect();
        let controller = Controller::new(
            policy.clone(),
            layout.clone(),
            None,
            42,
            Now {
                at: now,
                wall: EPOCH + secs(1),
            },
        );
        let mut world = Self {
            now,
            controller,
            policy,
            layout,
            home: Home::Serving,
            standby: Standby::Serving,
            edge_works: true,
            edge_blocks: false,
            edge_caches: false,
            loops: false,
            mirror: CLEAR,
            propagation: secs(60),
            edge_lag: secs(1),
            slow_edge: secs(17),
            remotes,
            disk: None,
            writes: Vec::new(),
            sets: 0,
            notices: Vec::new(),
            warmed: Vec::new(),
            violations: Vec::new(),
            probes_run: true,
            plant: None,
            pending: Vec::new(),
            sequence: 0,
            next_probe: now,
            confirming: 0,
            in_flight: BTreeMap::new(),
            wall_jump: 0,
            woken: (Instant::ZERO, 0),
            snooze_until: None,
        };
        world.feed(Event::Woke);
        world
    }

    /// Both clocks.
    pub fn clock(&self) -> Now {
        let wall = EPOCH + self.now.since_start();
        Now {
            at: self.now,
            wall: Wall(wall.0.saturating_add_signed(self.wall_jump)),
        }
    }

    /// Sets the wall clock forward or back.
    pub fn jump_wall(&mut self, by_secs: i64) {
        self.wall_jump += by_secs * 1000;
        self.feed(Event::Gap);
    }

    /// kill -9 and a new start from what is on disk. Replies to the dead process are lost; its writes in flight may still be applied.
    pub fn crash_and_restart(&mut self) {
        let applying: Vec<_> = std::mem::take(&mut self.pending)
            .into_iter()
            .filter_map(|(at, sequence, pending)| match pending {
                Pending::Op {
                    action: Action::Set(key, position),
                    fate: Fate::Done | Fate::LostReply,
                    ..
                } => {
                    let version = self.remotes[&key].version;
                    Some((at, sequence, Pending::Apply { key, position, version }))
                }
                Pending::Apply { .. } => Some((at, sequence, pending)),
                _ => None,
            })
            .collect();
        self.pending = applying;
        self.in_flight.clear();
        self.next_probe = self.now;
        self.confirming = 0;
        let clock = self.clock();
        self.controller = Controller::new(self.policy.clone(), self.layout.clone(), self.disk.as_ref(), 43, clock);
        self.feed(Event::Woke);
    }

    /// Loses what is on disk.
    pub fn forget_disk(&mut self) {
        self.disk = None;
    }

    /// An operator's command.
    pub fn command(&mut self, order: Order, for_secs: u64) {
        let until = self.clock().wall + secs(for_secs);
        let pin = Pin {
            until,
            author: "alice".into(),
            reason: "test".into(),
        };
        self.feed(Event::Commanded(Command { order, pin }));
    }

    /// Somebody else moves a toggle at the provider.
    pub fn meddle(&mut self, key: ToggleKey, position: Position) {
        self.apply(key, position);
    }

    pub fn remote(&mut self, key: ToggleKey) -> &mut Remote {
        self.remotes.get_mut(&key).expect("the layout has it")
    }

    /// Runs until `condition` holds; false if it does not within `limit`.
    pub fn run_until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !condition(self) {
            if !self.step(end) {
                return condition(self);
            }
        }
        true
    }

    /// Runs for a while.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
    }

    /// The next thing happens, if it does so before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let pending = self.pending.iter().map(|(at, sequence, _)| (*at, *sequence)).min();
        let probe = if self.probes_run {
            self.next_probe
        } else {
            end + secs(1)
        };
        let wake = self.controller.next_deadline().unwrap_or(end + secs(1));
        let next = pending.map_or(probe.min(wake), |(at, _)| at.min(probe).min(wake));
        if next > end {
            self.now = end;
            return false;
        }
        self.now = self.now.max(next);
        self.let_snooze_lapse();
        if let Some((at, sequence)) = pending
            && at <= next
        {
            let index = self
                .pending
                .iter()
                .position(|(_, number, _)| *number == sequence)
                .expect("just found");
            let (_, _, what) = self.pending.swap_remove(index);
            self.happen(what);
        } else if probe <= next {
            self.next_probe = self.next_probe + self.policy.interval;
            self.send_probe(true);
        } else {
            self.wake();
        }
        self.check();
        true
    }

    /// The deadline has come. More than a few at one instant are a loop that never waits.
    fn wake(&mut self) {
        self.woken = match self.woken {
            (at, times) if at == self.now => (at, times + 1),
            _ => (self.now, 1),
        };
        if self.woken.1 > MOST_WAKES {
            self.violations
                .push(format!("{:?}: woken {} times at one instant", self.now, self.woken.1));
        }
        self.feed(Event::Woke);
    }

    fn later(&mut self, after: Duration, what: Pending) {
        self.sequence += 1;
        self.pending.push((self.now + after, self.sequence, what));
    }

    fn happen(&mut self, what: Pending) {
        match what {
            Pending::Probe {
                sent_at,
                scheduled,
                outcome,
            } => {
                if outcome.is_ok() {
                    self.confirming = 0;
                } else if self.confirming < self.policy.unhealthy_threshold - 1 {
                    self.confirming += 1;
                    self.send_probe(false);
                }
                self.feed(Event::Probed {
                    sent_at,
                    scheduled,
                    outcome,
                });
            }
            Pending::Look { id, sighting } => self.feed(Event::Looked { id, sighting }),
            Pending::Mirror { id } => {
                let reflection = self.mirror;
                self.feed(Event::Mirrored { id, reflection });
            }
            Pending::Op { id, action, fate } => self.finish(id, action, fate),
            Pending::TimedOut { id } => {
                self.in_flight.retain(|_, flight| *flight != id);
                self.feed(Event::Settled {
                    id,
                    result: Err(Failure::new(FailureKind::NoAnswer)),
                });
            }
            Pending::Apply { key, position, version } => {
                if key.role != Role::Gate || self.remotes[&key].version == version {
                    self.apply(key, position);
                }
            }
        }
    }
}
