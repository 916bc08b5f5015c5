//! The versioned snapshot on disk: temp file, fsync, rename, fsync of the directory. Blocking; the driver calls it off its loop.

#[cfg(test)]
mod arbitrary;
pub mod format;

use std::error::Error;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use self::format::FormatError;
use crate::core::Snapshot;

/// A snapshot is a few hundred bytes, each notice beside it a kilobyte or two; whatever is larger than this is neither.
const LARGEST_SNAPSHOT: u64 = 1 << 20;
/// How many broken files are kept per site, the newest ones.
const BROKEN_KEPT: usize = 5;

/// What went wrong with the state directory or a file in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the directory.
    #[error("state directory {} is in use by another pilotlight{}; stop it, or give this one a state_dir of its own",
        dir.display(), holder.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process that holds it, if it could be read.
        holder: Option<String>,
    },
    /// The name cannot be a file's name.
    #[error("name {name:?} cannot be used as a file name: use letters, digits, '-', '_' and '.'")]
    Name {
        /// The name.
        name: String,
    },
    /// The system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A snapshot could not be put into words.
    #[error("cannot encode the snapshot")]
    Encode(#[source] FormatError),
}

impl StoreError {
    /// The word in logs and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "in_use",
            Self::Name { .. } => "name",
            Self::Io { .. } => "io",
            Self::Encode(_) => "encode",
        }
    }

    /// The error and its causes on one line, for logs: what was tried, with which file, and why it did not work.
    pub fn whole(&self) -> String {
        let causes = std::iter::successors(self.source(), |&cause| cause.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}

/// What is kept of a site, in one file: after a crash there is all of it or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The intent.
    pub snapshot: Snapshot,
    /// The notices that go with it and are not yet safe elsewhere, oldest first; as they come, the store does not look inside.
    pub notices: Vec<Value>,
}

/// An intent of which nobody has to be told.
impl From<Snapshot> for Kept {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            notices: Vec::new(),
        }
    }
}

/// What was found at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// There was no file.
    Fresh,
    /// What was saved last.
    Restored(Box<Kept>),
    /// There was a file that cannot be used; people have to be told.
    SetAside {
        /// Where it is now.
        kept_as: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The state directory, held by this process alone until it and all its stores are dropped.
#[derive(Clone, Debug)]
pub struct StateDir {
    dir: PathBuf,
    lock: Arc<File>,
}

impl StateDir {
    /// Creates the directory (mode 0700) if need be and takes its lock. A disk that takes no writes any more is no reason not to start.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(failed("create", dir))?;
        let path = dir.join(".lock");
        let mut file = open_lock(&path).map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(dir, &file)),
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
        // Only words for a second instance: on a disk that is full or read-only the watch goes on without them.
        let _ = note_holder(&mut file);
        Ok(Self {
            dir: dir.to_owned(),
            lock: Arc::new(file),
        })
    }

    /// The store of one site.
    pub fn site(&self, name: &str) -> Result<SiteStore, StoreError> {
        check_name(name)?;
        Ok(SiteStore {
            dir: self.dir.clone(),
            file: format!("{name}.json"),
            _lock: Arc::clone(&self.lock),
        })
    }

    /// Where the outboxes of all targets live.
    pub fn outbox(&self) -> PathBuf {
        self.dir.join("outbox")
    }
}

/// One site's snapshot, in `NAME.json`.
#[derive(Clone, Debug)]
pub struct SiteStore {
    dir: PathBuf,
    file: String,
    _lock: Arc<File>,
}

impl SiteStore {
    /// Reads the snapshot. A file that cannot be used is set aside as `NAME.json.broken-N`; an error means that not even that worked.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        let path = self.dir.join(&self.file);
        match read(&path) {
            Ok(None) => Ok(Loaded::Fresh),
            Ok(Some(text)) => match format::decode(&text) {
                Ok(kept) => Ok(Loaded::Restored(Box::new(kept))),
                Err(error) => self.set_aside(&path, error.to_string()),
            },
            Err(error) => self.set_aside(&path, error.to_string()),
        }
    }

    /// Saves so that a loss of power leaves either this or what was saved last.
    pub fn save(&self, kept: &Kept) -> Result<(), StoreError> {
        let text = format::encode(kept).map_err(StoreError::Encode)?;
        write_durably(&self.dir, &self.file, &text)
    }

    fn set_aside(&self, path: &Path, why: String) -> Result<Loaded, StoreError> {
        let mut numbers = self.broken().map_err(failed("list", &self.dir))?;
        let number = numbers.last().map_or(1, |last| last.saturating_add(1));
        let kept_as = self.dir.join(format!("{}.broken-{number}", self.file));
        fs::rename(path, &kept_as).map_err(failed("rename", path))?;
        numbers.push(number);
        let superfluous = numbers.len().saturating_sub(BROKEN_KEPT);
        for number in numbers.iter().take(superfluous) {
            let path = self.dir.join(format!("{}.broken-{number}", self.file));
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        sync_dir(&self.dir)?;
        Ok(Loaded::SetAside { kept_as, why })
    }

    /// The numbers of this site's broken files, in order.
    fn broken(&self) -> io::Result<Vec<u64>> {
        let prefix = format!("{}.broken-", self.file);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(&prefix));
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// Refuses names that cannot be a file's name in the state directory, or would lead out of it.
pub fn check_name(name: &str) -> Result<(), StoreError> {
    let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.chars().all(usable) {
        return Err(StoreError::Name { name: name.to_owned() });
    }
    Ok(())
}

/// Writes `dir/file` (mode 0600) by way of a temp file: after a crash there is the old content or the new, never a part.
pub fn write_durably(dir: &Path, file: &str, content: &[u8]) -> Result<(), StoreError> {
    let temporary = dir.join(temporary(file));
    let path = dir.join(file);
    let written = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, &path));
    if let Err(source) = written {
        // A full disk is helped by every byte; if this fails too, the next save writes over it.
        let _ = fs::remove_file(&temporary);
        return Err(failed("write", &path)(source));
    }
    sync_dir(dir)
}

/// Whether a file of this name is what a killed [`write_durably`] leaves behind.
pub fn is_temporary(file: &str) -> bool {
    let middle = file.strip_prefix('.').and_then(|rest| rest.strip_suffix(".tmp"));
    middle.is_some()
}

fn temporary(file: &str) -> String {
    format!(".{file}.tmp")
}

/// Makes renames and removals in `dir` last.
pub fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("sync", dir))
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(LARGEST_SNAPSHOT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST_SNAPSHOT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "far too large for a snapshot",
        ));
    }
    Ok(Some(text))
}

/// A disk that has become read-only can still be locked, and what is on it can be read: a watch from memory beats none.
fn open_lock(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    match opened {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(path),
        opened => opened,
    }
}

fn note_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn in_use(dir: &Path, mut lock: &File) -> StoreError {
    let mut text = String::new();
    let read = lock.rewind().and_then(|()| lock.take(32).read_to_string(&mut text));
    let pid = text.trim();
    let holder = (read.is_ok() && !pid.is_empty() && pid.chars().all(|c| c.is_ascii_digit())).then(|| pid.to_owned());
    StoreError::InUse {
        dir: dir.to_owned(),
        holder,
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { doing, path, source }
}
