//! A disk that works, refuses or hangs, as a test wants it.

use std::sync::{Arc, Condvar, Mutex};

use pilotlight::core::Snapshot;
use pilotlight::saver::Disk;
use pilotlight::store::StoreError;

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
    kept: Mutex<Vec<Snapshot>>,
}

impl FakeDisk {
    pub fn new(condition: Condition) -> Arc<Self> {
        Arc::new(Self {
            condition: Mutex::new(condition),
            changed: Condvar::new(),
            kept: Mutex::default(),
        })
    }

    pub fn becomes(&self, condition: Condition) {
        *self.condition.lock().unwrap() = condition;
        self.changed.notify_all();
    }

    /// What reached it, oldest first.
    pub fn kept(&self) -> Vec<Snapshot> {
        self.kept.lock().unwrap().clone()
    }
}

impl Disk for FakeDisk {
    fn save(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
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
        self.kept.lock().unwrap().push(snapshot.clone());
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
