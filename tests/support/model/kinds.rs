//! How home, the standby and the providers may fare, and what is still to happen.

use std::time::Duration;

use pilotlight::core::{Action, Breakage, Failure, Instant, OpId, Outcome, Position, Sighting, ToggleKey};

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
    /// Somebody edited the object; the next read tells.
    pub edited: bool,
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
}

#[derive(Clone, Copy, Debug)]
pub enum Pending {
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
