//! Complaints about a config: where, which key, what is wrong, what to do.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// One complaint about a config.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Complaint {
    /// The file; `None` when no file is at fault.
    pub file: Option<PathBuf>,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// The key path, for example `site.blog.probe.timeout`; empty when the whole file is meant.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}\n    {}", self.wrong, self.fix)
    }
}

/// All complaints about a config, in the order of files and lines. Never empty, never with a secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Complaints(Vec<Complaint>);

impl Complaints {
    pub(super) fn new(mut complaints: Vec<Complaint>) -> Self {
        complaints.sort();
        complaints.dedup();
        Self(complaints)
    }

    /// The complaints one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Complaint> {
        self.0.iter()
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, complaint) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            complaint.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Complaints {}
