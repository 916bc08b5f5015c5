//! The inspector: turns raw values into settings and collects every complaint on the way.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use url::Url;

use super::complaint::Complaint;
use super::secret::{self, SecretError};
use super::source::{KeyPath, Sources};
use super::strict::nearest;
use super::value::{self, Objection};

/// What the config depends on besides its files.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Where systemd puts credentials; names of secret files are looked for there first.
    pub credentials_directory: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process: `$CREDENTIALS_DIRECTORY`.
    pub fn of_this_process() -> Self {
        Self {
            credentials_directory: env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        }
    }
}

/// What a secret's file has to hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum SecretKind {
    Token,
    Url,
    ServiceAccountKey,
}

/// Collects complaints.
#[derive(Debug)]
pub(super) struct Inspector<'a> {
    sources: &'a Sources,
    surroundings: &'a Surroundings,
    faulty: Vec<KeyPath>,
    complaints: Vec<Complaint>,
}

impl<'a> Inspector<'a> {
    pub(super) fn new(sources: &'a Sources, surroundings: &'a Surroundings, complaints: Vec<Complaint>) -> Self {
        Self {
            sources,
            surroundings,
            faulty: Vec::new(),
            complaints,
        }
    }

    pub(super) fn is_content(&self) -> bool {
        self.complaints.is_empty()
    }

    pub(super) fn into_complaints(self) -> Vec<Complaint> {
        self.complaints
    }

    /// Takes down a finished complaint.
    pub(super) fn add(&mut self, complaint: Complaint) {
        self.complaints.push(complaint);
    }

    /// Complains of a key, unless it was complained of already.
    pub(super) fn complain(&mut self, path: &KeyPath, wrong: impl Into<String>, fix: impl Into<String>) {
        self.complain_together(&[path], wrong, fix);
    }

    /// Complains of the first of several keys that contradict each other, unless one of them was complained of already.
    pub(super) fn complain_together(&mut self, paths: &[&KeyPath], wrong: impl Into<String>, fix: impl Into<String>) {
        let known = |path: &KeyPath| self.faulty.iter().any(|faulty| faulty.overlaps(path));
        if paths
            .iter()
            .any(|path| known(path) || path.shared().is_some_and(|shared| known(&shared)))
        {
            return;
        }
        if let Some(path) = paths.first() {
            self.note(path, wrong.into(), fix.into());
        }
    }

    /// Takes down a complaint about a key that exists, and lets later ones about the same key pass unsaid.
    pub(super) fn note_fault(&mut self, path: &KeyPath, wrong: String, fix: String) {
        self.note(path, wrong, fix);
        self.silence(path.clone());
    }

    /// Lets later complaints about this key pass unsaid.
    pub(super) fn silence(&mut self, path: KeyPath) {
        self.faulty.push(path);
    }

    fn note(&mut self, path: &KeyPath, wrong: String, fix: String) {
        let found = self.sources.locate(path);
        // A value taken from a shared section is told by that section's key, once for all sites.
        let shared = found.as_ref().filter(|found| found.path.0.first() != path.0.first());
        let key = shared.map_or(path, |found| &found.path).to_string();
        let complaint = Complaint {
            file: found
                .as_ref()
                .map(|found| found.file.clone())
                .or_else(|| self.sources.last().map(Path::to_owned)),
            line: found.map(|found| found.line),
            key,
            wrong,
            fix,
        };
        self.complaints.push(complaint);
    }

    /// The value, or a complaint.
    pub(super) fn take<T>(&mut self, path: &KeyPath, read: Result<T, Objection>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(Objection { wrong, fix }) => {
                self.complain(path, wrong, fix);
                self.silence(path.clone());
                None
            }
        }
    }

    /// The value, or a complaint that it is missing.
    pub(super) fn required<T: Clone>(&mut self, path: &KeyPath, value: Option<&T>, fix: &str) -> Option<T> {
        if value.is_none() {
            self.complain(path, "is missing", fix);
            self.silence(path.clone());
        }
        value.cloned()
    }

    /// A URL.
    pub(super) fn url(&mut self, path: &KeyPath, text: &str) -> Option<Url> {
        self.take(path, value::url(text))
    }

    /// A value that may be left out. `None` after a complaint; `Some(None)` when it was left out.
    #[expect(clippy::option_option, reason = "left out and complained of are two things")]
    pub(super) fn optional<T>(
        &mut self,
        path: &KeyPath,
        text: Option<&String>,
        read: fn(&str) -> Result<T, Objection>,
    ) -> Option<Option<T>> {
        match text {
            Some(text) => self.take(path, read(text)).map(Some),
            None => Some(None),
        }
    }

    /// Each of a list's values that will do.
    pub(super) fn each<T>(
        &mut self,
        path: &KeyPath,
        texts: &[String],
        read: fn(&str) -> Result<T, Objection>,
    ) -> Vec<T> {
        let take = |(index, text): (usize, &String)| self.take(&path.join(index), read(text));
        texts.iter().enumerate().filter_map(take).collect()
    }

    /// An identifier that becomes a part of an API's path.
    pub(super) fn identifier(&mut self, path: &KeyPath, value: Option<&String>, fix: &str) -> Option<String> {
        let value = self.required(path, value, fix)?;
        if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)) {
            return Some(value);
        }
        self.complain(
            path,
            "is not an id",
            "write the bare id: letters, digits, `-`, `_`, `.` and `:`, no path before it",
        );
        None
    }

    /// A name that somebody chose for a table.
    pub(super) fn name(&mut self, path: &KeyPath, name: &str) {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) {
            self.complain(
                path,
                "is not a good name",
                "use 1 to 63 lower-case letters, digits, `-` and `_`: names become file names, labels and parts of URLs",
            );
        }
    }

    /// A name that has to be among `known`.
    pub(super) fn known_name<'n>(
        &mut self,
        path: &KeyPath,
        name: &str,
        table: &str,
        known: impl Iterator<Item = &'n String> + Clone,
    ) {
        if known.clone().any(|one| one == name) {
            return;
        }
        let fix = match nearest(name, known.map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("add a table [{table}.{name}], or name one that is there"),
        };
        self.complain(path, format!("names \"{name}\", but there is no [{table}.{name}]"), fix);
    }

    /// A file with certificates, if one is named.
    #[expect(clippy::option_option, reason = "left out and complained of are two things")]
    pub(super) fn ca_file(&mut self, path: &KeyPath, name: Option<&PathBuf>) -> Option<Option<PathBuf>> {
        let Some(name) = name else { return Some(None) };
        let file = self.beside(path, name);
        match fs::read_to_string(&file) {
            Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => return Some(Some(file)),
            Ok(_) => self.complain(
                path,
                "names a file without a certificate in PEM form",
                "name a file with BEGIN CERTIFICATE lines, or take the key out to trust the system's authorities",
            ),
            Err(error) => self.complain(
                path,
                format!("names a file that cannot be read: {}: {}", file.display(), error.kind()),
                "mend the name (relative ones are looked for beside this config file) or take the key out",
            ),
        }
        None
    }

    /// A secret's file that was named, is there, is guarded and holds what it should.
    pub(super) fn secret_file(&mut self, path: &KeyPath, name: &Path, kind: SecretKind) -> Option<PathBuf> {
        if name.to_str().is_some_and(|name| name.contains("://")) {
            self.complain(
                path,
                "is a URL, not the name of a file",
                "put the URL into a file that only the daemon may read and name the file here",
            );
            return None;
        }
        let (file, by_systemd) = self.find_secret(path, name);
        let guarded = if by_systemd { Ok(()) } else { secret::guarded(&file) };
        let good = guarded.and_then(|()| match kind {
            SecretKind::Token => secret::read(&file).map(drop),
            SecretKind::Url => secret::is_url(&file),
            SecretKind::ServiceAccountKey => secret::is_service_account_key(&file),
        });
        match good {
            Ok(()) => Some(file),
            Err(error) => {
                self.complain(path, secret_wrong(&error), error.fix());
                None
            }
        }
    }

    /// Resolves a file's name: relative ones stand beside the config file that names them.
    pub(super) fn beside(&self, path: &KeyPath, name: &Path) -> PathBuf {
        let found = self.sources.locate(path);
        match found.as_ref().and_then(|found| found.file.parent()) {
            Some(directory) => directory.join(name),
            None => name.to_owned(),
        }
    }

    /// Where a secret's file is, and whether systemd put it there.
    pub(super) fn find_secret(&self, path: &KeyPath, name: &Path) -> (PathBuf, bool) {
        if let Some(directory) = &self.surroundings.credentials_directory {
            let file = directory.join(name);
            if file.starts_with(directory) && file.exists() {
                return (file, true);
            }
        }
        (self.beside(path, name), false)
    }
}

/// The file's name may be a secret written in the wrong place, so only its problem is told.
fn secret_wrong(error: &SecretError) -> String {
    match error {
        SecretError::Unreadable { error, .. } => format!("names a file that cannot be read: {}", error.kind()),
        SecretError::Open { mode, .. } => {
            format!("names a secret file that others than its owner can read (mode {mode:04o})")
        }
        SecretError::Content { problem, .. } => format!("names a file that {problem}"),
    }
}
