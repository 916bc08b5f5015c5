//! How home, the standby and the providers may fare, and what is still to happen.

use std::cmp::Ordering;
use std::time::Duration;

use pilotlight::core::{
    Action, Breakage, Failure, Instant, OpId, Outcome, Position, Reflection, Sighting, Snapshot, ToggleKey,
};

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

/// How the disk under the state file fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFares {
    Well,
    /// A save takes this long.
    Slow(Duration),
    /// No save works; what is on disk stays.
    Fails,
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
    /// Of a thousand calls so many meet a fate by chance.
    pub trouble: u64,
    /// A call takes this long.
    pub takes: Duration,
    /// Another site wants it on.
    pub held: bool,
    /// Somebody edited the object; the next read tells.
    pub edited: bool,
    /// What visitors see follows the record after this time; the world's own lag if not given.
    pub lag: Option<Duration>,
    /// While it follows it goes to and fro.
    pub flaps: bool,
    /// It goes off by itself then.
    pub lapses_at: Option<Instant>,
}

impl Remote {
    pub const fn new() -> Self {
        Self {
            position: Position::Off,
            moved_at: Instant::ZERO,
            version: 0,
            fates: Vec::new(),
            fate: Fate::Done,
            trouble: 0,
            takes: Duration::from_millis(200),
            held: false,
            edited: false,
            lag: None,
            flaps: false,
            lapses_at: None,
        }
    }
}

/// A wrong order that core would never give; the world has to notice it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The redirect goes on with the gate.
    RedirectBeforeProof,
    /// The gate shuts with the redirect.
    GateBeforeDrain,
    /// The gate shuts as soon as visitors are at the standby.
    GateUnderRedirect,
    /// Every write is sent twice.
    Doubled,
    /// A write although paused.
    WriteWhilePaused,
    /// A write before its intent is on disk.
    WriteBeforeIntent,
    /// The references are said to answer although the line is cut.
    LyingMirror,
    /// Nobody counts the calls.
    NoBudget,
    /// Core hears of nothing any more, and its deadlines are not kept.
    Deaf,
}

#[derive(Clone, Debug)]
pub enum Pending {
    Probe {
        number: u64,
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
        reflection: Option<Reflection>,
    },
    /// A write that waited for its intent to be on disk leaves.
    Start {
        id: OpId,
        action: Action,
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
    /// A slow save reaches the disk.
    OnDisk {
        snapshot: Box<Snapshot>,
    },
    /// A save ended, or is given up.
    Saved {
        in_time: bool,
    },
}

/// Something to come; the earliest is the greatest.
#[derive(Debug)]
pub struct Item {
    pub at: Instant,
    pub sequence: u64,
    pub what: Pending,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub at: Instant,
    pub key: ToggleKey,
    pub position: Position,
}
