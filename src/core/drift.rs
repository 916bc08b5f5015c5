//! What the end of an operation on a toggle meant, and what is done when somebody else moved it.

use super::toggles::Position;

/// What the end of an operation meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Not an operation of this switch.
    NotMine,
    /// Failed; it will be tried again.
    Failed,
    /// Read or written; nothing unexpected.
    Known,
    /// Somebody else moved it.
    Drifted {
        /// Where it was found.
        found: Position,
        /// What is done about it.
        reply: DriftReply,
    },
}

/// What is done about a drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DriftReply {
    /// It is put back.
    Repair,
    /// It is left alone, as configured.
    Report,
    /// It was put back too often: it is left alone.
    Limit,
}
