//! The files of a config: found, read, layered, and each key's line in them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::complaint::Complaint;
use super::raw::SHARED_SECTIONS;

/// One step of a key path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// The path of a key: `site.blog.silence[0].google`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(pub(super) Vec<Step>);

impl KeyPath {
    pub(super) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::from(*key)).collect())
    }

    pub(super) fn join(&self, step: impl Into<Step>) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.into());
        Self(steps)
    }

    pub(super) fn parent(&self) -> Option<Self> {
        let (_, front) = self.0.split_last()?;
        (!front.is_empty()).then(|| Self(front.to_vec()))
    }

    /// Whether one of the two is the other or lies in it.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }

    /// Where a site's key gets its value from when the site itself does not set it.
    pub(super) fn shared(&self) -> Option<Self> {
        match self.0.as_slice() {
            [Step::Key(site), Step::Key(_), rest @ ..] if site == "site" && rest.len() > 1 => match rest.first() {
                Some(Step::Key(section)) if SHARED_SECTIONS.contains(&section.as_str()) => Some(Self(rest.to_vec())),
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            let bare = |key: &str| key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            match step {
                Step::Key(key) if bare(key) && !key.is_empty() => write!(f, "{dot}{key}")?,
                Step::Key(key) => write!(f, "{dot}{key:?}")?,
                Step::Index(number) => write!(f, "[{number}]")?,
            }
        }
        Ok(())
    }
}

/// Where a key was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The file.
    pub(super) file: PathBuf,
    /// The line in it, from 1.
    pub(super) line: usize,
    /// The path it was found at: a shared section's for a value that a site takes from there.
    pub(super) path: KeyPath,
}

/// One file that could be parsed.
#[derive(Debug)]
struct Source {
    file: PathBuf,
    text: String,
    lines: BTreeMap<KeyPath, usize>,
}

/// All files, in the order in which they are layered.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Source>);

impl Sources {
    /// Reads all files; complains of those that cannot be read or parsed.
    pub(super) fn read(paths: &[PathBuf]) -> (Self, Vec<Complaint>) {
        let mut sources = Vec::new();
        let mut complaints = Vec::new();
        for path in paths {
            match files(path) {
                Ok(files) => {
                    for file in files {
                        match read(file) {
                            Ok(source) => sources.push(source),
                            Err(wrong) => complaints.extend(wrong),
                        }
                    }
                }
                Err(complaint) => complaints.push(complaint),
            }
        }
        (Self(sources), complaints)
    }

    /// The layers merged: later files win key by key, arrays are replaced whole.
    pub(super) fn layered(&self) -> Result<toml::Table, Complaint> {
        let builder = self.0.iter().fold(config::Config::builder(), |builder, source| {
            builder.add_source(config::File::from_str(&source.text, config::FileFormat::Toml))
        });
        builder
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| Complaint {
                file: self.0.first().map(|source| source.file.clone()),
                line: None,
                key: String::new(),
                wrong: format!("the files cannot be layered: {error}"),
                fix: "look for a number that does not fit into 64 bits".to_owned(),
            })
    }

    /// Where the value of `path` comes from: its own line, else the shared section's, else its nearest ancestor's.
    pub(super) fn locate(&self, path: &KeyPath) -> Option<Found> {
        let exact = |path: &KeyPath| {
            self.0.iter().rev().find_map(|source| {
                source.lines.get(path).map(|line| Found {
                    file: source.file.clone(),
                    line: *line,
                    path: path.clone(),
                })
            })
        };
        exact(path)
            .or_else(|| exact(&path.shared()?))
            .or_else(|| self.locate(&path.parent()?))
    }

    /// The last file, for complaints about something that stands in none.
    pub(super) fn last(&self) -> Option<&Path> {
        self.0.last().map(|source| source.file.as_path())
    }
}

/// The file itself, or a directory's `*.toml` in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, Complaint> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| unreadable(path, &error))?.path();
        if file.extension().is_some_and(|extension| extension == "toml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: PathBuf) -> Result<Source, Vec<Complaint>> {
    let text = fs::read_to_string(&file).map_err(|error| vec![unreadable(&file, &error)])?;
    let (table, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| broken(&file, &text, error)).collect());
    }
    let mut lines = BTreeMap::new();
    note_table(&text, &KeyPath::default(), table.get_ref(), &mut lines);
    let mut numbers = Vec::new();
    huge_numbers(&KeyPath::default(), table.get_ref(), &mut numbers);
    if !numbers.is_empty() {
        let huge = |path: KeyPath| Complaint {
            line: lines.get(&path).copied(),
            key: path.to_string(),
            wrong: "is a number that does not fit into 64 bits".to_owned(),
            fix: "write a smaller one".to_owned(),
            file: Some(file.clone()),
        };
        return Err(numbers.into_iter().map(huge).collect());
    }
    Ok(Source { file, text, lines })
}

/// Numbers that the layers could not hold. Those in lists are met again as values of the wrong type.
fn huge_numbers(path: &KeyPath, table: &DeTable<'_>, numbers: &mut Vec<KeyPath>) {
    for (key, value) in table {
        let here = path.join(key.get_ref().as_ref());
        match value.get_ref() {
            DeValue::Integer(number) if i64::from_str_radix(number.as_str(), number.radix()).is_err() => {
                numbers.push(here);
            }
            DeValue::Table(table) => huge_numbers(&here, table, numbers),
            _ => {}
        }
    }
}

fn note_table(text: &str, path: &KeyPath, table: &DeTable<'_>, lines: &mut BTreeMap<KeyPath, usize>) {
    for (key, value) in table {
        let here = path.join(key.get_ref().as_ref());
        lines.insert(here.clone(), line_of(text, key.span().start));
        note_value(text, &here, value.get_ref(), lines);
    }
}

fn note_value(text: &str, path: &KeyPath, value: &DeValue<'_>, lines: &mut BTreeMap<KeyPath, usize>) {
    match value {
        DeValue::Table(table) => note_table(text, path, table, lines),
        DeValue::Array(array) => {
            for (index, element) in array.iter().enumerate() {
                let here = path.join(index);
                lines.insert(here.clone(), line_of(text, element.span().start));
                note_value(text, &here, element.get_ref(), lines);
            }
        }
        _ => {}
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn unreadable(path: &Path, error: &std::io::Error) -> Complaint {
    let (wrong, fix) = match error.kind() {
        std::io::ErrorKind::InvalidData => (
            "is not UTF-8 text, so no TOML".to_owned(),
            "save it as UTF-8, or name another file with --config",
        ),
        kind => (
            format!("cannot be read: {kind}"),
            "create it, mend its permissions, or name another file or directory with --config",
        ),
    };
    Complaint {
        file: Some(path.to_owned()),
        line: None,
        key: String::new(),
        wrong,
        fix: fix.to_owned(),
    }
}

fn broken(file: &Path, text: &str, error: &toml::de::Error) -> Complaint {
    Complaint {
        file: Some(file.to_owned()),
        line: error.span().map(|span| line_of(text, span.start)),
        key: String::new(),
        wrong: format!("is not TOML: {}", error.message()),
        fix: "mend the syntax; the rest is checked once every file can be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_text_is_told_from_one_that_is_missing() {
        let told = |kind: std::io::ErrorKind| unreadable(Path::new("a.toml"), &kind.into()).to_string();
        assert!(told(std::io::ErrorKind::InvalidData).contains("is not UTF-8 text"));
        assert!(told(std::io::ErrorKind::NotFound).contains("cannot be read: entity not found"));
    }
}
