//! An operation in flight, and whether its answer can be believed.

use super::ring::{Action, OpId};
use super::toggles::{Failure, FailureKind, Observed};

/// An operation in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flight {
    /// Numbers it.
    pub(super) id: OpId,
    /// What was started.
    pub(super) action: Action,
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
