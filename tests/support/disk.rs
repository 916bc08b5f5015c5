//! A disk that works, refuses or hangs, as a test wants it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use pilotlight::core::Snapshot;
use pilotlight::saver::Disk;
use pilotlight::store::{Kept, StoreError};

/// How the disk fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Works,
    /// As a full disk does.
    Refuses,
    /// A write does not come back until the condition changes.
    Hangs,
}

/// A disk that keeps all snapshots that reached it.
#[derive(Debug)]
pub struct FakeDisk {
    condition: Mutex<Condition>,
    changed: Condvar,
    kept: Mutex<Vec<Kept>>,
    tries: AtomicU32,
}

impl FakeDisk {
    pub fn new(condition: Condition) -> Arc<Self> {
        Arc::new(Self {
            condition: Mutex::new(condition),
            changed: Condvar::new(),
            kept: Mutex::default(),
            tries: AtomicU32::new(0),
        })
    }

    pub fn becomes(&self, condition: Condition) {
        *self.condition.lock().unwrap() = condition;
        self.changed.notify_all();
    }

    /// The intents that reached it, oldest first.
    pub fn kept(&self) -> Vec<Snapshot> {
        let kept = self.kept.lock().unwrap();
        kept.iter().map(|kept| kept.snapshot.clone()).collect()
    }

    /// How often something was to be kept, with or without success.
    pub fn tries(&self) -> u32 {
        self.tries.load(Ordering::Relaxed)
    }

    /// The notices that lie on it beside the intent.
    pub fn notices(&self) -> Vec<serde_json::Value> {
        let kept = self.kept.lock().unwrap();
        kept.last().map(|kept| kept.notices.clone()).unwrap_or_default()
    }
}

impl Disk for FakeDisk {
    fn save(&self, kept: &Kept) -> Result<(), StoreError> {
        self.tries.fetch_add(1, Ordering::Relaxed);
        let condition = self.condition.lock().unwrap();
        let condition = self
            .changed
            .wait_while(condition, |condition| *condition == Condition::Hangs)
            .unwrap();
        if *condition == Condition::Refuses {
            return Err(StoreError::Io {
                doing: "write",
                path: "site.json".into(),
                source: std::io::ErrorKind::StorageFull.into(),
            });
        }
        self.kept.lock().unwrap().push(kept.clone());
        Ok(())
    }
}

/// Lets a hanging disk go at the end of a test, also of one that failed: a runtime waits for its blocking threads.
#[derive(Debug)]
pub struct Release(pub Arc<FakeDisk>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.becomes(Condition::Works);
    }
}
