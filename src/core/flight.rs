//! An operation in flight, whether its answer can be believed, and the trouble that operations have.

use super::ring::{Action, OpId};
use super::time::Instant;
use super::toggles::{Failure, FailureKind, Observed};

/// An operation in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flight {
    /// Numbers it.
    pub(super) id: OpId,
    /// What was started.
    pub(super) action: Action,
}

/// A run of operations that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Trouble {
    /// When the first of the run failed.
    pub(super) since: Instant,
    /// How many failed.
    pub(super) attempts: u32,
    /// How the last one failed.
    pub(super) kind: FailureKind,
    /// People were told.
    pub(super) told: bool,
}

impl Flight {
    /// An answer without a position, or a write that left another one, is a failure: tried again later, not at once.
    pub(super) fn checked(&self, observed: Observed) -> Result<Observed, Failure> {
        match (self.action, observed.configured) {
            (_, None) => Err(Failure::new(FailureKind::Nonsense)),
            (Action::Set(_, wanted), Some(is)) if is != wanted && !observed.held_by_other => {
                Err(Failure::new(FailureKind::NotApplied))
            }
            (_, Some(_)) => Ok(observed),
        }
    }
}
