//! Saves a site's intent off the event loop: one write at a time, the newest snapshot last, and nobody waits longer than a second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Duration, timeout};

use crate::store::{Kept, SiteStore, StoreError};

/// A save that takes longer is given up on: the switch goes on from memory.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Where snapshots go. Behind a trait so that the driver's tests can use a slow or broken disk.
pub trait Disk: Send + Sync + 'static {
    /// Writes and syncs; blocking.
    fn save(&self, kept: &Kept) -> Result<(), StoreError>;
}

impl Disk for SiteStore {
    fn save(&self, kept: &Kept) -> Result<(), StoreError> {
        Self::save(self, kept)
    }
}

/// Hands snapshots to a blocking thread and tells how far the disk is.
#[derive(Debug)]
pub struct Saver {
    newest: watch::Sender<(u64, Option<Arc<Kept>>)>,
    progress: Arc<Progress>,
    number: u64,
    task: JoinHandle<()>,
}

/// How far the disk is, and who waits to hear of it. A `watch` would wake them in any order; here whoever asked first goes first,
/// so writes leave in the order in which core wants them.
#[derive(Debug, Default)]
struct Progress {
    written: Mutex<Written>,
    moved: Notify,
}

/// The newest snapshot whose write ended.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    number: u64,
    failed: bool,
    /// Nothing will be written any more.
    over: bool,
}

/// Held by the task that writes: without it nobody waits.
struct Pen(Arc<Progress>);

/// Waits for one snapshot to be on disk.
#[derive(Clone, Debug)]
pub struct Ticket {
    number: u64,
    progress: Arc<Progress>,
}

impl Saver {
    /// Starts the task that writes.
    pub fn start(disk: Arc<dyn Disk>) -> Self {
        let (newest, mut to_write) = watch::channel((0_u64, None::<Arc<Kept>>));
        let progress = Arc::<Progress>::default();
        let pen = Pen(Arc::clone(&progress));
        let task = tokio::spawn(async move {
            let mut failing = false;
            while to_write.changed().await.is_ok() {
                let (number, kept) = to_write.borrow_and_update().clone();
                let Some(kept) = kept else { continue };
                let disk = Arc::clone(&disk);
                let result = tokio::task::spawn_blocking(move || disk.save(&kept)).await;
                let failed = !matches!(result, Ok(Ok(())));
                if let Ok(Err(error)) = result
                    && !failing
                {
                    tracing::error!(error = error.whole(), "state not saved; going on from memory");
                }
                failing = failed;
                pen.wrote(Written {
                    number,
                    failed,
                    over: false,
                });
            }
        });
        Self {
            newest,
            progress,
            number: 0,
            task,
        }
    }

    /// Hands over what is to be kept. One that waits for the disk is replaced: the newest intent is what counts.
    pub fn save(&mut self, kept: Kept) -> Ticket {
        self.number = self.next_number();
        self.newest.send_replace((self.number, Some(Arc::new(kept))));
        self.ticket()
    }

    /// The number that the next save will have.
    pub const fn next_number(&self) -> u64 {
        self.number + 1
    }

    /// A ticket for the newest snapshot handed over.
    pub fn ticket(&self) -> Ticket {
        Ticket {
            number: self.number,
            progress: Arc::clone(&self.progress),
        }
    }

    /// Stops taking snapshots and waits until the last one is written.
    pub async fn finish(self) {
        let Self { newest, task, .. } = self;
        drop(newest);
        task.await.unwrap_or_default();
    }
}

impl Ticket {
    /// Which save it is for.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Whether the snapshot (or a newer one) reached the disk within [`PATIENCE`]; nothing handed over is nothing to wait for.
    pub async fn on_disk(self) -> bool {
        let reached = self.progress.reached(self.number);
        timeout(PATIENCE, reached).await.unwrap_or(false)
    }
}

impl Progress {
    /// Whether the snapshot of this number, or a newer one, was written; waits until that is known.
    async fn reached(&self, number: u64) -> bool {
        loop {
            // Made before the look: what is written in between wakes it as well.
            let moved = self.moved.notified();
            let written = *self.written();
            if written.number >= number {
                return !written.failed;
            }
            if written.over {
                return false;
            }
            moved.await;
        }
    }

    /// Replaced whole, so a poisoned lock is as good as a sound one.
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pen {
    fn wrote(&self, written: Written) {
        *self.0.written() = written;
        self.0.moved.notify_waiters();
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        self.0.written().over = true;
        self.0.moved.notify_waiters();
    }
}
