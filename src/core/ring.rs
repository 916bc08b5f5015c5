//! The only door to core: events in, effects out.

use super::evidence::{Eye, Outcome, Reflection, Sighting};
use super::machine::{Pin, Policy};
use super::notice::Notice;
use super::snapshot::Snapshot;
use super::time::Instant;
use super::toggles::{Failure, Observed, Position, Route, ToggleKey};

/// Numbers one operation or look, so that its answer is known when it comes, however late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A probe of the origin ended.
    Probed {
        /// When it was sent.
        sent_at: Instant,
        /// Whether it stood on the fixed-rate schedule (or was a confirming one).
        scheduled: bool,
        /// What came of it.
        outcome: Outcome,
    },
    /// A look ended.
    Looked {
        /// Which look.
        id: OpId,
        /// What was seen.
        sighting: Sighting,
    },
    /// The references answered, or did not.
    Mirrored {
        /// Which look.
        id: OpId,
        /// What they said.
        reflection: Reflection,
    },
    /// An operation on a toggle ended, or its time was up.
    Settled {
        /// Which operation.
        id: OpId,
        /// The position read back, or why it failed.
        result: Result<Observed, Failure>,
    },
    /// An operator's command.
    Commanded(Command),
    /// The clocks jumped: the process or the machine slept, or somebody set the wall clock.
    Gap,
    /// The settings were read anew.
    Reloaded(Box<Policy>),
    /// A save ended.
    Saved {
        /// Whether it reached the disk in time.
        in_time: bool,
    },
    /// At start the state file could not be used and was set aside.
    SetAside,
    /// The deadline that was asked for has come.
    Woke,
}

/// An operator's command, with the audit line's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What to do.
    pub order: Order,
    /// Until when, who and why. For `Resume` the expiry means nothing.
    pub pin: Pin,
}

/// What an operator orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Force a route.
    Force(Route),
    /// Stop all writes.
    Pause,
    /// Give command back.
    Resume,
}

/// Something to do. Effects are carried out in their order: intent first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Put this on disk; `Set`s that follow wait for it (for a second at most).
    Save(Box<Snapshot>),
    /// Tell people.
    Notify(Notice),
    /// Have credentials and connections of all toggles ready: they may soon be needed.
    Warm,
    /// Start this; its answer comes back as an event with the same id.
    Act {
        /// Numbers it.
        id: OpId,
        /// What to start.
        action: Action,
    },
}

/// Something to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read a toggle.
    Observe(ToggleKey),
    /// Make it so. The only action that may write at a provider.
    Set(ToggleKey, Position),
    /// Look through an eye.
    Look(Eye),
}
