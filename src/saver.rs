//! Saves a site's intent off the event loop: one write at a time, the newest snapshot last, and nobody waits longer than a second.

use std::sync::Arc;

use tokio::sync::watch;
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
    written: watch::Receiver<Written>,
    number: u64,
    task: JoinHandle<()>,
}

/// How far the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The number of the newest snapshot whose write ended.
    pub number: u64,
    /// Whether it succeeded.
    pub ok: bool,
}

/// Waits for one snapshot to be on disk.
#[derive(Clone, Debug)]
pub struct Ticket {
    number: u64,
    written: watch::Receiver<Written>,
}

impl Saver {
    /// Starts the task that writes.
    pub fn start(disk: Arc<dyn Disk>) -> Self {
        let (newest, mut to_write) = watch::channel((0_u64, None::<Arc<Kept>>));
        let (done, written) = watch::channel(Written { number: 0, ok: true });
        let task = tokio::spawn(async move {
            let mut worked = true;
            while to_write.changed().await.is_ok() {
                let (number, kept) = to_write.borrow_and_update().clone();
                let Some(kept) = kept else { continue };
                let disk = Arc::clone(&disk);
                let result = tokio::task::spawn_blocking(move || disk.save(&kept)).await;
                let ok = matches!(result, Ok(Ok(())));
                if let Ok(Err(error)) = result
                    && worked
                {
                    tracing::error!(error = error.whole(), "state not saved; going on from memory");
                }
                worked = ok;
                done.send_replace(Written { number, ok });
            }
        });
        Self {
            newest,
            written,
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
            written: self.written.clone(),
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
    pub async fn on_disk(mut self) -> bool {
        let number = self.number;
        match timeout(PATIENCE, self.written.wait_for(|written| written.number >= number)).await {
            Ok(Ok(written)) => written.ok,
            Ok(Err(_)) | Err(_) => false,
        }
    }
}
