//! A model world for core: home, edge, mirror, three remote switches and visitors, driven in simulated time.

use std::collections::BTreeMap;
use std::time::Duration;

use pilotlight::core::machine::Pin;
use pilotlight::core::{
    Action, Breakage, BrokenStandby, ClockCheck, Command, Controller, DriftPolicy, Effect, Event, Eye, Faculties,
    Failback, Failing, Failure, FailureKind, Instant, Notice, Now, Observed, OpId, Order, Outcome, Policy, Position,
    Reflection, Role, Route, Sighting, Snapshot, ToggleKey, View, Wall, What, Why, controller::Layout,
};

/// The wall clock when a world begins.
pub const EPOCH: Wall = Wall(1_790_000_000_000);
/// The driver gives up on an operation after this time.
pub const TOGGLE_TIMEOUT: Duration = Duration::from_secs(15);

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

/// How home fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Serving,
    /// Power cut: silence.
    Silent,
    /// Box up, server dead.
    Refusing,
    /// The origin eye sees home, the edge does not.
    EdgeLost,
    /// The edge sees home, the origin eye does not.
    OwnPathBroken,
    /// The health path is well, the page is not.
    AppBroken,
    /// Home answers, but its certificate has expired: the edge does not mind.
    BadCertificate,
}

/// How the standby fares when its gate is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standby {
    Serving,
    Broken(Breakage),
    Overloaded,
}

/// What the next operation on a toggle meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// Not applied.
    Fails(Failure),
    /// Applied, but the answer is lost.
    LostReply,
    /// The answer is lost, and it is applied this much later.
    Late(Duration),
}

/// One remote switch.
#[derive(Clone, Debug)]
pub struct Remote {
    pub position: Position,
    /// When it last moved.
    pub moved_at: Instant,
    pub version: u64,
    pub fates: Vec<Fate>,
    pub fate: Fate,
    /// Another site wants it on.
    pub held: bool,
    pub told_on_since: Option<Instant>,
}

#[derive(Clone, Debug)]
enum Pending {
    Probe {
        sent_at: Instant,
        scheduled: bool,
        outcome: Outcome,
    },
    Look {
        id: OpId,
        sighting: Sighting,
    },
    Mirror {
        id: OpId,
    },
    Op {
        id: OpId,
        action: Action,
        fate: Fate,
    },
    TimedOut {
        id: OpId,
    },
    /// A write that was sent when the object had this version. The gate's carries an etag, the others do not.
    Apply {
        key: ToggleKey,
        position: Position,
        version: u64,
    },
}

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub at: Instant,
    pub key: ToggleKey,
    pub position: Position,
}

/// The world.
#[derive(Debug)]
pub struct World {
    pub now: Instant,
    pub policy: Policy,
    pub layout: Layout,
    pub controller: Controller,
    pub home: Home,
    pub standby: Standby,
    pub edge_works: bool,
    pub edge_blocks: bool,
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
    /// Whether broken rules of order are recorded (foreign writers make some of them unavoidable).
    pub violations: Vec<String>,
    pub probes_run: bool,
    pending: Vec<(Instant, u64, Pending)>,
    sequence: u64,
    next_probe: Instant,
    confirming: u32,
    in_flight: BTreeMap<ToggleKey, OpId>,
    wall_jump: i64,
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
            violations: Vec::new(),
            probes_run: true,
            pending: Vec::new(),
            sequence: 0,
            next_probe: now,
            confirming: 0,
            in_flight: BTreeMap::new(),
            wall_jump: 0,
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

    pub fn position(&self, key: ToggleKey) -> Position {
        self.remotes.get(&key).map_or(Position::Off, |remote| remote.position)
    }

    /// Names of the notices so far, in order.
    pub fn told(&self) -> Vec<&'static str> {
        self.notices.iter().map(|(_, notice)| notice.what.name()).collect()
    }

    pub fn was_told(&self, name: &str) -> bool {
        self.told().contains(&name)
    }

    pub fn told_times(&self, name: &str) -> usize {
        self.told().into_iter().filter(|told| *told == name).count()
    }

    /// When a notice was first given, since the start.
    pub fn told_at(&self, name: &str) -> Option<Instant> {
        self.notices
            .iter()
            .find(|(_, notice)| notice.what.name() == name)
            .map(|(at, _)| *at)
    }

    /// When a toggle was last written to `position`.
    pub fn written_at(&self, key: ToggleKey, position: Position) -> Option<Instant> {
        self.writes
            .iter()
            .rev()
            .find(|write| write.key == key && write.position == position)
            .map(|write| write.at)
    }

    pub fn phase(&self) -> &'static str {
        self.controller.status(self.clock()).phase.label()
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
            self.feed(Event::Woke);
        }
        self.check();
        true
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

    fn finish(&mut self, id: OpId, action: Action, fate: Fate) {
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
                self.feed(Event::Settled {
                    id,
                    result: Ok(observed),
                });
            }
        }
    }

    fn observe(&self, key: ToggleKey, fully: bool) -> Observed {
        let remote = &self.remotes[&key];
        let effective = (fully && key.role == Role::Gate && self.standby == Standby::Serving)
            .then_some(if self.gate_open() { Position::On } else { Position::Off });
        let lapses_in = (key.role == Role::Silence).then_some(
            self.snooze_until
                .filter(|_| remote.position == Position::On)
                .map(|until| until.since(self.now)),
        );
        Observed {
            configured: Some(remote.position),
            effective,
            lapses_in: lapses_in.flatten(),
            held_by_other: remote.held,
            edited: false,
        }
    }

    /// A write that pilotlight sent reaches the provider.
    fn write(&mut self, key: ToggleKey, position: Position) {
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

    fn apply(&mut self, key: ToggleKey, position: Position) {
        let now = self.now;
        let remote = self.remote(key);
        if remote.position != position {
            remote.position = position;
            remote.moved_at = now;
            remote.version += 1;
        }
    }

    /// Whether visitors get into the standby now.
    pub fn gate_open(&self) -> bool {
        self.lagged(GATE, self.propagation) == Position::On
    }

    /// Whether the edge redirects visitors now.
    pub fn redirects(&self) -> bool {
        self.lagged(REDIRECT, self.edge_lag) == Position::On
    }

    fn lagged(&self, key: ToggleKey, lag: Duration) -> Position {
        let Some(remote) = self.remotes.get(&key) else {
            return if key == GATE { Position::On } else { Position::Off };
        };
        let settled = self.now.since(remote.moved_at) >= lag || remote.moved_at == Instant::ZERO;
        match (remote.position, settled) {
            (position, true) => position,
            (Position::On, false) => Position::Off,
            (Position::Off, false) => Position::On,
        }
    }

    /// What a visitor gets now, and after how long.
    pub fn visit(&self) -> (Sighting, Duration) {
        let quick = Duration::from_millis(100);
        let seen = |view, redirect, took| (Sighting { view, redirect, took }, took);
        if !self.edge_works {
            return seen(View::EdgeBroken, None, secs(2));
        }
        if self.loops && self.redirects() {
            return seen(View::Loop, Some(Position::On), quick);
        }
        if self.redirects() {
            return seen(self.standby_view(), Some(Position::On), quick);
        }
        if self.edge_blocks {
            return seen(View::Blocked, Some(Position::Off), quick);
        }
        match self.home {
            Home::Serving | Home::OwnPathBroken | Home::BadCertificate => seen(View::Home, Some(Position::Off), quick),
            Home::Silent => seen(View::EdgeLostHome(522), Some(Position::Off), self.slow_edge),
            Home::Refusing | Home::EdgeLost => seen(View::EdgeLostHome(521), Some(Position::Off), quick),
            Home::AppBroken => seen(View::HomeBroken(500), Some(Position::Off), quick),
        }
    }

    /// What the standby shows now.
    pub fn standby_view(&self) -> View {
        match (self.gate_open(), self.standby) {
            (false, _) => View::Shut,
            (true, Standby::Serving) => View::Standby,
            (true, Standby::Overloaded) => View::Overloaded,
            (true, Standby::Broken(breakage)) => View::StandbyBroken(breakage),
        }
    }

    fn send_probe(&mut self, scheduled: bool) {
        let used = Faculties {
            resolver: true,
            ipv4: true,
            ..Faculties::default()
        };
        let failed = |why| Outcome::Failed(Failing { why, used });
        let timeout = Duration::from_secs(4).min(self.policy.interval * 4 / 5);
        let (outcome, took) = match self.home {
            _ if self.mirror.answered == 0 => (failed(Why::Dns), Duration::from_millis(10)),
            Home::Serving | Home::EdgeLost | Home::AppBroken => (Outcome::Ok, Duration::from_millis(50)),
            Home::Silent | Home::OwnPathBroken => (failed(Why::Timeout(pilotlight::core::Part::Connect)), timeout),
            Home::Refusing => (failed(Why::Refused), Duration::from_millis(5)),
            Home::BadCertificate => (failed(Why::Certificate), Duration::from_millis(50)),
        };
        let sent_at = self.now;
        self.later(
            took,
            Pending::Probe {
                sent_at,
                scheduled,
                outcome,
            },
        );
    }

    /// Gives core an event and carries out the effects.
    pub fn feed(&mut self, event: Event) {
        let clock = self.clock();
        for effect in self.controller.handle(event, clock) {
            match effect {
                Effect::Save(snapshot) => self.disk = Some(*snapshot),
                Effect::Notify(notice) => self.notices.push((self.now, notice)),
                Effect::Warm => {}
                Effect::Act { id, action } => self.act(id, action),
            }
        }
    }

    fn act(&mut self, id: OpId, action: Action) {
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
                let view = match self.home {
                    Home::Serving | Home::OwnPathBroken | Home::BadCertificate | Home::AppBroken => View::Home,
                    Home::Silent | Home::Refusing | Home::EdgeLost => View::EdgeLostHome(521),
                };
                let took = Duration::from_millis(100);
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

    fn operate(&mut self, id: OpId, key: ToggleKey, action: Action) {
        if self.in_flight.insert(key, id).is_some() {
            self.violations
                .push(format!("{:?}: two operations in flight on {key}", self.now));
        }
        if let Action::Set(_, position) = action {
            self.sets += 1;
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

    /// Rules of order, checked when a write is about to leave.
    fn check_set(&mut self, key: ToggleKey, position: Position) {
        let now = self.now;
        if key == GATE && position == Position::On {
            let remote = self.remote(GATE);
            remote.told_on_since = remote.told_on_since.or(Some(now));
        }
        if key == GATE && position == Position::Off {
            let redirect = &self.remotes[&REDIRECT];
            let gate = &self.remotes[&GATE];
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
        if key == REDIRECT && position == Position::On && self.position(REDIRECT) == Position::Off {
            let patience = self.remotes[&GATE]
                .told_on_since
                .is_none_or(|since| now.since(since) < self.policy.gate_patience);
            if !self.gate_open() && patience {
                self.violations
                    .push(format!("{now:?}: redirect told to go on before the gate was open"));
            }
        }
    }

    /// Checked on the world after every step.
    fn check(&mut self) {
        if self.redirects() && !self.gate_open() {
            let patience = self.remotes[&GATE]
                .told_on_since
                .is_none_or(|since| self.now.since(since) < self.policy.gate_patience);
            if patience {
                self.violations.push(format!(
                    "{:?}: visitors meet a shut gate although patience lasts",
                    self.now
                ));
            }
        }
    }
}

/// A notice's inner value, by name.
pub fn find<'a>(world: &'a World, name: &str) -> Option<&'a What> {
    world
        .notices
        .iter()
        .map(|(_, notice)| &notice.what)
        .find(|what| what.name() == name)
}

/// Whether the route is what it should be, proven, with nothing left to do.
pub fn rests(world: &World, route: Route) -> bool {
    let status = world.controller.status(world.clock());
    status.route == route && status.switched == pilotlight::core::status::Switched::Verified
}
