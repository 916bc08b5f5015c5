//! A site's notices between the decision and the outboxes: first on disk with the intent, then told, then safe.
//!
//! The intent says "this was told". Were the notice written beside it, a kill between the two would lose it, or tell it twice
//! under two ids. So both stand in one file: either both happened or neither, and a notice is told only when it is on disk
//! (or saving it was given up on). It leaves the file once every outbox has it; until then the next start tells it again,
//! with the same id.
//!
//! What was told although its save was overdue, and was not saved before a kill, is decided and told again under another id:
//! a receiver that drops ids it knows must not miss the next outage because a dead disk remembers nothing of the last one.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use crate::core::{Notice, Status};
use crate::notify::{MOST_PENDING, Receipt, Teller, Told};

/// The notices of a site that are decided and not yet safe.
pub struct Pending {
    teller: Box<dyn Teller>,
    notices: VecDeque<Held>,
}

/// One of them.
struct Held {
    told: Arc<Told>,
    stage: Stage,
    /// It stands in the state file, or is about to.
    kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// From before the start.
    Restored,
    /// To be told once the save of this number has ended.
    WaitsFor(u64),
    /// Handed over to the deliveries.
    Told,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids = self.notices.iter().map(|held| (&held.told.id, held.stage));
        f.debug_list().entries(ids).finish()
    }
}

impl Pending {
    /// Starts with the notices that stood beside the intent. What is no notice (any more) is reported and left out.
    pub fn new(teller: Box<dyn Teller>, restored: Vec<Value>) -> Self {
        let read = |value| match serde_json::from_value::<Told>(value) {
            Ok(told) => Some(told),
            Err(error) => {
                tracing::warn!(%error, "a notice in the state file cannot be read and is left out");
                None
            }
        };
        let held = |told| Held {
            told: Arc::new(told),
            stage: Stage::Restored,
            kept: true,
        };
        Self {
            teller,
            notices: restored.into_iter().filter_map(read).map(held).collect(),
        }
    }

    /// Puts a notice into words and holds it until the save of this number has ended.
    pub fn hold(&mut self, notice: &Notice, status: &Status, save: u64) {
        self.notices.push_back(Held {
            told: Arc::new(self.teller.word(notice, status)),
            stage: Stage::WaitsFor(save),
            kept: false,
        });
    }

    /// What belongs beside the intent, oldest first.
    pub fn keep(&mut self) -> Vec<Value> {
        let superfluous = self.notices.len().saturating_sub(MOST_PENDING);
        let mut kept = Vec::new();
        for held in self.notices.iter_mut().skip(superfluous) {
            if let Ok(value) = serde_json::to_value(held.told.as_ref()) {
                held.kept = true;
                kept.push(value);
            }
        }
        kept
    }

    /// The saves up to this number have ended: tells what waited for them and what is from before the start, in order.
    pub fn tell(&mut self, saved: u64) -> Vec<(Arc<Told>, Receipt)> {
        let mut receipts = Vec::new();
        for held in &mut self.notices {
            let receipt = match held.stage {
                Stage::Told => continue,
                Stage::WaitsFor(save) if save > saved => break,
                Stage::WaitsFor(_) => self.teller.tell(&held.told),
                Stage::Restored => self.teller.tell_again(&held.told),
            };
            held.stage = Stage::Told;
            receipts.push((Arc::clone(&held.told), receipt));
        }
        receipts
    }

    /// This notice is safe without us. Whether the state file still holds it.
    #[must_use]
    pub fn forget(&mut self, id: &str) -> bool {
        let kept = self.notices.iter().any(|held| held.kept && held.told.id == id);
        self.notices.retain(|held| held.told.id != id);
        kept
    }
}
