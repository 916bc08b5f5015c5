//! The words of the checked world: what a state holds, what can happen next, and which wrong orders can be planted.

use std::sync::Arc;
use std::time::Duration;

use pilotlight::core::{
    Controller, Eye, Instant, Now, Observed, OpId, Position, Role, Sighting, Snapshot, ToggleKey, Wall,
};
use pilotlight::core::{Failure, Outcome};
use pilotlight::toggle::claims::{Claims, Errand};

use super::rules::Rule;

/// Time passes in steps of this length; all durations of the policy are a few of them.
pub const TICK: Duration = Duration::from_secs(15);
/// A deadline this soon after a tick began is met within it. Shorter than any delay of a retry.
pub const WINDOW: Duration = Duration::from_millis(200);
/// What visitors see of the gate follows its record after one, two or this many ticks: longer than patience, shorter than a drain.
pub const MOST_LAG: u16 = 3;
/// The wall clock when the world begins.
const EPOCH: Wall = Wall(1_790_000_000_000);

/// The sites' names; a world has one or both.
pub const NAMES: [&str; 2] = ["a", "b"];

/// One toggle of a site, by its role.
pub const fn key(role: Role) -> ToggleKey {
    ToggleKey { role, index: 0 }
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub tick: u16,
    /// No tick after this one.
    pub end: u16,
    /// Strictly later with each event, so that no two of them look simultaneous.
    pub now: Instant,
    pub sites: Vec<Site>,
    /// The providers' objects: see [`object`].
    pub remotes: Vec<Remote>,
    /// The watcher's own line is down until this tick.
    pub dark_until: u16,
    pub left: Left,
    /// The first rule that was broken.
    pub broken: Option<Rule>,
}

/// How many rare things may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// Home falls or returns.
    pub homes: u8,
    /// Crashes, faults, commands, late looks and dark mirrors together.
    pub troubles: u8,
}

/// Where a site's toggle is among the remotes: one gate for all, then a redirect and a silence for each site.
pub const fn object(site: usize, role: Role) -> usize {
    match role {
        Role::Gate => 0,
        Role::Redirect => 1 + 2 * site,
        Role::Silence => 2 + 2 * site,
    }
}

/// One site: its core, its disk and what is on the way between them and the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    pub controller: Controller,
    pub disk: Option<Arc<Snapshot>>,
    /// On its way to the disk.
    pub saving: Option<Arc<Snapshot>>,
    /// The last save was given up on, and people were told.
    pub from_memory: bool,
    /// Writes that wait for the save.
    pub waiting: Vec<(OpId, ToggleKey, Position)>,
    /// Events that are due now, in order.
    pub inbox: Vec<Due>,
    /// The next look through this eye is answered a tick late.
    pub hold: Option<Eye>,
    /// Answers of late looks.
    pub held: Vec<(OpId, Sighting)>,
    pub home: bool,
    /// What the gate was told.
    pub gate: Told,
    /// On this leg people were told that visitors meet a shut gate.
    pub told_shut: bool,
}

/// What a site has told the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Told {
    /// When it was told to open, after it had been told to shut or nothing.
    pub open: Option<Instant>,
    /// It was told to shut since.
    pub shut: bool,
}

/// Something that a site's core hears of as soon as its save is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Due {
    Woke,
    Probe(Outcome),
    Look(OpId, Eye),
    Sighted(OpId, Sighting),
    Settled(OpId, Result<Observed, Failure>),
}

/// A provider's object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    pub role: Role,
    pub configured: Position,
    /// What visitors see; follows the record through what is still spreading.
    pub visible: Position,
    /// Positions on their way to visitors, oldest first, with the tick of the write.
    pub spreading: Vec<(Position, u16)>,
    /// It was opened anew while an off was still spreading: what visitors see goes back and forth, whatever is done now.
    pub unsteady: bool,
    /// The tick in which an off arrived that nobody waited for any more.
    pub shut_late: Option<u16>,
    /// When the record last moved.
    pub moved_at: Option<Instant>,
    pub version: u16,
    pub claims: Claims,
    /// Operations of all sites in their order; only the first one is under way.
    pub lane: Vec<Op>,
    /// Writes whose sender has given up on them and that still arrive.
    pub ghosts: Vec<Ghost>,
}

/// An operation that a core has started.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Op {
    pub site: usize,
    pub id: OpId,
    pub wish: Option<Position>,
    /// What it sends, decided when it is first in its lane.
    pub errand: Option<Errand>,
    pub stage: Stage,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Nothing is decided.
    Open,
    /// It is answered in the next tick.
    Slow,
    /// It was slow already: now or never.
    Last,
    /// No answer will come; its deadline is the next tick.
    Silent,
}

/// A write that arrives although nobody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ghost {
    pub position: Position,
    /// The object's version when it was sent; the gate's writes carry it and are refused if it has changed.
    pub version: u16,
    pub at: u16,
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    Done,
    /// Answered in the next tick.
    Slow,
    /// The provider is in trouble; not applied.
    Refused,
    /// Lost before it was applied.
    Lost,
    /// Applied, and the answer is lost.
    ReplyLost,
    /// The answer is lost, and it is applied after the driver has given up on it.
    Late,
}

/// What a crash does to the writes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wreck {
    Lost,
    Applied,
    /// Applied a tick later.
    Late,
}

/// What an operator orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    Pause,
    ForceStandby,
    ForceOrigin,
    Resume,
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Time passes, and what visitors see of the gate follows its record (or not yet).
    Tick {
        spread: bool,
    },
    Home {
        site: usize,
        serves: bool,
    },
    Saved {
        site: usize,
    },
    SaveFails {
        site: usize,
    },
    Operation {
        object: usize,
        fate: Fate,
    },
    Crash(Wreck),
    Commanded {
        site: usize,
        command: Command,
    },
    LateLook {
        site: usize,
        eye: Eye,
    },
    /// The watcher's own line is down for two ticks.
    Dark,
}

/// A wrong order that core would never give; the checker has to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plant {
    RedirectWithTheGate,
    GateShutsWithTheRedirect,
    WriteBeforeSave,
    /// One site's claim on the shared gate is forgotten.
    ClaimForgotten,
    Doubled,
    WriteWhilePaused,
    /// An operation without an answer is never given up on.
    NoDeadline,
    /// The patience with a shut gate is spent without a word.
    Unspoken,
}

impl State {
    /// Both clocks.
    pub fn clock(&self) -> Now {
        Now {
            at: self.now,
            wall: EPOCH + self.now.since_start(),
        }
    }

    /// A moment later.
    pub fn moment(&mut self) -> Now {
        self.now = self.now + Duration::from_millis(1);
        self.clock()
    }

    /// Notes a broken rule; the first one counts.
    pub fn breaks(&mut self, rule: Rule) {
        self.broken = self.broken.or(Some(rule));
    }
}
