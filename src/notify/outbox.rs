//! One target's notices that are not yet delivered, on disk: one file each, in order, bounded in number. Blocking.

use std::convert::Infallible;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Told;
use super::tellers::Parcel;
use crate::clock::Clock;
use crate::store::{StoreError, is_temporary, sync_dir, write_durably};

/// A notice in the outbox: its place in the order, and itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) place: u64,
    pub(super) told: Arc<Told>,
}

/// A notice in the queue. It ages by the monotonic clock: a wall clock that is set does not make it old.
pub(super) struct Waiting {
    pub(super) place: u64,
    pub(super) told: Arc<Told>,
    pub(super) aged: Duration,
    pub(super) since: Instant,
    /// Held while it is not on disk here: until it is delivered or given up, the state file has to keep it.
    pub(super) owed: Option<mpsc::Sender<Infallible>>,
}

/// The directory of one target.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    dir: PathBuf,
}

/// What was found at start.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What waits, in order.
    pub(super) entries: Vec<Entry>,
    /// How many files could not be used; what could be read and is no notice was removed.
    pub(super) broken: usize,
}

impl Outbox {
    /// Opens, and creates (mode 0700), the directory and reads what waits in it.
    pub(super) fn open(dir: &Path) -> Result<(Self, Found), StoreError> {
        let io_error = |doing| {
            move |source| StoreError::Io {
                doing,
                path: dir.to_owned(),
                source,
            }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io_error("create"))?;
        let outbox = Self { dir: dir.to_owned() };
        let found = outbox.read().map_err(io_error("read"))?;
        Ok((outbox, found))
    }

    /// Puts a notice on disk.
    pub(super) fn put(&self, entry: &Entry) -> Result<(), StoreError> {
        let text = serde_json::to_vec(entry.told.as_ref()).map_err(|error| StoreError::Io {
            doing: "encode a notice for",
            path: self.dir.clone(),
            source: error.into(),
        })?;
        write_durably(&self.dir, &file_name(entry.place), &text)
    }

    /// Takes delivered or dropped notices off the disk, as many as go. An error: not all of them went.
    pub(super) fn remove(&self, places: &[u64]) -> Result<(), StoreError> {
        let mut refused = Ok(());
        for place in places {
            let path = self.dir.join(file_name(*place));
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    let doing = "remove";
                    refused = Err(StoreError::Io { doing, path, source });
                }
                _ => {}
            }
        }
        sync_dir(&self.dir).and(refused)
    }

    fn read(&self) -> io::Result<Found> {
        let mut found = Found::default();
        for file in fs::read_dir(&self.dir)? {
            let file = file?;
            let name = file.file_name();
            let name = name.to_str().unwrap_or_default();
            if is_temporary(name) {
                // From a kill in the middle of a write. A disk that does not let it go is no reason not to start.
                let _ = fs::remove_file(file.path());
            }
            let Some(place) = place(name) else {
                continue;
            };
            let Ok(text) = fs::read(file.path()) else {
                found.broken += 1;
                continue;
            };
            if let Ok(told) = serde_json::from_slice::<Told>(&text) {
                let told = Arc::new(told);
                found.entries.push(Entry { place, told });
            } else {
                fs::remove_file(file.path())?;
                found.broken += 1;
            }
        }
        found.entries.sort_unstable_by_key(|entry| entry.place);
        Ok(found)
    }
}

impl Waiting {
    pub(super) fn new(place: u64, parcel: Parcel) -> Self {
        Self {
            place,
            told: parcel.told,
            aged: parcel.aged,
            since: Instant::now(),
            owed: Some(parcel.owed),
        }
    }

    /// One from before the start: only the wall clock knows how old it is.
    pub(super) fn since_before(entry: Entry, clock: &Clock) -> Self {
        Self {
            place: entry.place,
            aged: entry.told.age(clock.wall()),
            told: entry.told,
            since: Instant::now(),
            owed: None,
        }
    }

    pub(super) fn age(&self) -> Duration {
        self.aged.saturating_add(self.since.elapsed())
    }
}

fn file_name(place: u64) -> String {
    format!("{place:020}.json")
}

/// Only names that [`file_name`] gives: under another one a delivered notice could not be taken off the disk.
fn place(name: &str) -> Option<u64> {
    let place = name.strip_suffix(".json")?.parse().ok()?;
    (name == file_name(place)).then_some(place)
}
