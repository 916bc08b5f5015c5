//! Counts the calls made with one credential and keeps them within its budget.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::core::{FailureKind, Instant as CoreInstant};

use super::ToggleError;
use super::budget::{Budget, CallKind};

/// How many calls were made since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Calls that were not made because the budget was spent.
    pub refused: u64,
}

impl Calls {
    /// Reads and writes together.
    pub const fn total(&self) -> u64 {
        self.reads + self.writes
    }
}

/// The meter of one credential; clones count together. Every edge asks it before each call.
#[derive(Clone, Debug)]
pub struct Meter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    credential: String,
    started: Instant,
    state: Mutex<(Budget, Calls)>,
}

impl Meter {
    /// A meter for the credential of this name.
    pub fn new(credential: &str) -> Self {
        Self {
            inner: Arc::new(Inner {
                credential: credential.to_owned(),
                started: Instant::now(),
                state: Mutex::default(),
            }),
        }
    }

    /// The credential's name, for example `google/main`.
    pub fn credential(&self) -> &str {
        &self.inner.credential
    }

    /// Counts one call that is about to be made, or refuses it when the budget is spent.
    pub fn call(&self, kind: CallKind, doing: &'static str) -> Result<(), ToggleError> {
        let now = CoreInstant::at(self.inner.started.elapsed());
        let (budget, calls) = &mut *self.state();
        if let Err(wait) = budget.spend(kind, now) {
            calls.refused += 1;
            let detail = "not sent: our own budget of calls with this credential is spent for now";
            return Err(ToggleError::new(FailureKind::HeldBack, doing, detail).after(Some(wait)));
        }
        match kind {
            CallKind::Routine | CallKind::Read => calls.reads += 1,
            CallKind::Write => calls.writes += 1,
        }
        Ok(())
    }

    /// Whether a call of this kind would be within the budget now.
    pub fn allows(&self, kind: CallKind) -> bool {
        let now = CoreInstant::at(self.inner.started.elapsed());
        self.state().0.wait(kind, now).is_none()
    }

    /// The calls made so far.
    pub fn total(&self) -> Calls {
        self.state().1
    }

    /// Nothing can be broken half-way in there, so a poisoned lock is as good as a sound one.
    fn state(&self) -> MutexGuard<'_, (Budget, Calls)> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_spent_budget_refuses_with_a_wait_and_counts_what_was_made() {
        let meter = Meter::new("google/main");
        for _ in 0..Budget::WRITES {
            meter.clone().call(CallKind::Write, "test").unwrap();
        }
        assert!(!meter.allows(CallKind::Write) && meter.allows(CallKind::Read));
        let refused = meter.call(CallKind::Write, "test").unwrap_err();
        assert_eq!(refused.kind, FailureKind::HeldBack);
        assert_eq!(refused.retry_after, Some(Duration::from_secs(60)));
        tokio::time::advance(Duration::from_secs(60)).await;
        meter.call(CallKind::Write, "test").unwrap();
        meter.call(CallKind::Routine, "test").unwrap();
        assert!(meter.allows(CallKind::Routine));
        let total = meter.total();
        assert_eq!((total.reads, total.writes, total.refused), (1, 7, 1));
    }
}
