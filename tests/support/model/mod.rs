//! A model world for core: home, edge, mirror, remote switches, disk and visitors, driven in simulated time.
//!
//! The rule tests set its fields by hand; the simulator of `tests/proof` sets them by chance. Every step is audited ([`audit`]).

mod audit;
mod chance;
mod decisions;
mod disk;
mod glimpse;
mod invariants;
mod keyed;
mod kinds;
mod liveness;
mod notices;
mod operations;
mod providers;
mod readings;
mod scenes;
mod sights;
mod step;
mod written;

use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

pub use audit::Audit;
pub use chance::{Chance, mix};
pub use glimpse::Glimpse;
pub use invariants::Invariant;
pub use keyed::Keyed;
pub use kinds::{DiskFares, Fate, Home, Plant, Remote, Standby, Write};
use kinds::{Item, Pending};
pub use liveness::Tally;
pub use readings::{find, rests};
pub use scenes::{failed_over, failed_over_with, healthy, healthy_with};
pub use step::Line;

use pilotlight::core::machine::Pin;
use pilotlight::core::{
    BrokenStandby, ClockCheck, Command, Controller, DriftPolicy, Event, Eye, Faculties, Failback, Instant, Notice, Now,
    OpId, Order, Policy, Position, Reflection, Role, Snapshot, ToggleKey, Wall, controller::Layout,
};
use pilotlight::probe::schedule::{Cadence, Schedule};
use pilotlight::toggle::budget::Budget;

/// The wall clock when a world begins.
pub const EPOCH: Wall = Wall(1_790_000_000_000);
/// The driver gives up on an operation after this time.
pub const TOGGLE_TIMEOUT: Duration = Duration::from_secs(15);
/// A snooze lasts so long unless it is renewed.
const SNOOZE: Duration = Duration::from_secs(3600);

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
    /// The watcher's own line is cut: no probe, look or call gets anywhere.
    pub cut_off: bool,
    pub propagation: Duration,
    pub edge_lag: Duration,
    pub slow_edge: Duration,
    pub remotes: Keyed<Remote>,
    pub disk: Option<Snapshot>,
    pub disk_fares: DiskFares,
    pub writes: Vec<Write>,
    pub sets: u64,
    pub notices: Vec<(Instant, Notice)>,
    /// When core asked to have credentials and connections ready.
    pub warmed: Vec<Instant>,
    /// The last looks that core asked for.
    pub looked: VecDeque<(Instant, Eye)>,
    /// Broken invariants, in words.
    pub violations: Vec<String>,
    pub probes_run: bool,
    pub plant: Option<Plant>,
    /// Calls are counted against the real budget of each provider.
    pub metered: bool,
    /// Quiet probes of a healthy home are left out, but for the last before something may change.
    pub hurries: bool,
    /// Whoever drives the world says when it changes: then it can be asked to come to rest in time.
    pub announced: bool,
    /// Nothing was changed from outside since, as far as that is announced.
    pub calm_since: Instant,
    pub tally: Tally,
    pub chance: Chance,
    pub audit: Audit,
    /// What the process showed last, and whether it lives.
    pub glimpse: Glimpse,
    pub alive: bool,
    /// The last lines of the story, when it is wanted.
    pub story: Option<Vec<Line>>,
    /// A digest of everything that was done and told.
    pub history: u64,
    pending: BinaryHeap<Item>,
    sequence: u64,
    schedule: Schedule,
    in_flight: Keyed<OpId>,
    budgets: [Budget; 2],
    wall_jump: i64,
    woken: (Instant, u32),
    next_lapse: Option<Instant>,
    save_ends: Instant,
    disk_busy_until: Instant,
    /// What was saved last says that nothing is under way.
    saved_at_peace: bool,
    /// The process said that it has observed enough.
    seen_enough: bool,
    /// The last probe that ended was quiet: it was well and moved nothing. Nor has anything else since.
    quiet: bool,
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

fn cadence(policy: &Policy) -> Cadence {
    let timeout = secs(4).min(policy.interval * 4 / 5);
    Cadence {
        interval: policy.interval,
        timeout,
        confirm_interval: policy.confirm_interval,
        hedge_after: secs(1).min(timeout / 2),
        failures_wanted: policy.unhealthy_threshold,
    }
}

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
        let remotes = layout.toggles.iter().map(|key| (*key, Remote::new())).collect();
        let clock = Now {
            at: now,
            wall: EPOCH + secs(1),
        };
        let mut world = Self {
            now,
            controller: Controller::new(policy.clone(), layout.clone(), None, 42, clock),
            schedule: Schedule::new(cadence(&policy), now),
            policy,
            layout,
            home: Home::Serving,
            standby: Standby::Serving,
            edge_works: true,
            edge_blocks: false,
            edge_caches: false,
            loops: false,
            mirror: CLEAR,
            cut_off: false,
            propagation: secs(60),
            edge_lag: secs(1),
            slow_edge: secs(17),
            remotes,
            disk: None,
            disk_fares: DiskFares::Well,
            writes: Vec::new(),
            sets: 0,
            notices: Vec::new(),
            warmed: Vec::new(),
            looked: VecDeque::new(),
            violations: Vec::new(),
            probes_run: true,
            plant: None,
            metered: false,
            hurries: false,
            announced: false,
            calm_since: now,
            tally: Tally::new(now),
            chance: Chance::new(42),
            audit: Audit::new(now),
            glimpse: Glimpse::default(),
            alive: true,
            story: None,
            history: 0,
            pending: BinaryHeap::new(),
            sequence: 0,
            in_flight: Keyed::default(),
            budgets: <[Budget; 2]>::default(),
            wall_jump: 0,
            woken: (Instant::ZERO, 0),
            next_lapse: None,
            save_ends: Instant::ZERO,
            disk_busy_until: Instant::ZERO,
            saved_at_peace: false,
            seen_enough: false,
            quiet: false,
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

    /// Something changes from outside: the calm counts from here.
    pub fn disturb(&mut self) {
        self.calm_since = self.now;
        self.quiet = false;
    }

    /// Sets the wall clock forward or back.
    pub fn jump_wall(&mut self, by_secs: i64) {
        self.disturb();
        self.wall_jump += by_secs * 1000;
        self.feed(Event::Gap);
    }

    /// The process is stopped for a while; everything that came meanwhile is found afterwards.
    pub fn sleep(&mut self, span: Duration) {
        self.now = self.now + span;
        self.disturb();
        self.feed(Event::Gap);
    }

    /// kill -9 and a new start from what is on disk.
    pub fn crash_and_restart(&mut self) {
        self.crash();
        self.start();
    }

    /// kill -9. Replies to the dead process are lost; its writes in flight may still be applied.
    pub fn crash(&mut self) {
        let pending = std::mem::take(&mut self.pending).into_sorted_vec();
        for item in pending.into_iter().rev() {
            if let Some(what) = self.outlives(item.what) {
                self.pending.push(Item { what, ..item });
            }
        }
        self.in_flight.clear();
        self.audit.crashed(self.disk_busy_until > self.now);
        self.disk_busy_until = Instant::ZERO;
        self.save_ends = Instant::ZERO;
        self.alive = false;
        self.disturb();
        self.record(6, 1, || "the process dies".into());
        self.quiet = false;
    }

    /// A new process starts from what is on disk.
    pub fn start(&mut self) {
        self.budgets = <[Budget; 2]>::default();
        self.schedule = Schedule::new(cadence(&self.policy), self.now);
        let clock = self.clock();
        self.controller = Controller::new(self.policy.clone(), self.layout.clone(), self.disk.as_ref(), 43, clock);
        self.alive = true;
        self.seen_enough = false;
        self.saved_at_peace = false;
        self.audit.restarted(self.now, self.disk.as_ref());
        self.disturb();
        self.record(6, 0, || "a new process starts".into());
        self.glimpse = Glimpse::of(&self.controller.status(clock));
        self.feed(Event::Woke);
    }

    /// The settings are read anew.
    pub fn reload(&mut self, policy: Policy) {
        self.audit_reload();
        self.policy = policy.clone();
        self.disturb();
        self.schedule = Schedule::new(cadence(&policy), self.now);
        self.feed(Event::Reloaded(Box::new(policy)));
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
        self.audit.commanded(self.now);
        self.disturb();
        self.feed(Event::Commanded(Command { order, pin }));
    }

    /// Somebody else moves a toggle at the provider.
    pub fn meddle(&mut self, key: ToggleKey, position: Position) {
        self.disturb();
        if self.position(key) != position {
            self.audit.meddled(key, self.now);
        }
        self.apply(key, position);
    }

    pub fn remote(&mut self, key: ToggleKey) -> &mut Remote {
        self.remotes.get_mut(key).expect("the layout has it")
    }
}
