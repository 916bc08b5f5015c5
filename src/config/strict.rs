//! Strict deserialization that finds every unknown key and every wrong type, not just the first.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use super::source::{KeyPath, Step};

/// A key that does not fit the shapes.
#[derive(Debug)]
pub(super) struct Fault {
    /// Where it stands.
    pub(super) path: KeyPath,
    /// What is wrong.
    pub(super) wrong: String,
    /// What to do.
    pub(super) fix: String,
    /// The key that was probably meant, when this one is unknown.
    pub(super) meant: Option<KeyPath>,
    /// Whether the key itself is unknown (and not its value wrong).
    pub(super) unknown_key: bool,
}

/// Reads the shape out of `table`. Whatever does not fit is taken out of it and told, until the rest fits.
///
/// `None` only when something that does not fit cannot be taken out.
pub(super) fn read<T: DeserializeOwned>(table: &mut toml::Table) -> (Option<T>, Vec<Fault>) {
    let mut faults = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(table.clone()) {
            Ok(shape) => return (Some(shape), faults),
            Err(error) => error,
        };
        let path = steps(error.path());
        let message = error.inner().message();
        let stand_in = if message.ends_with("expected a table") {
            toml::Value::Table(toml::Table::new())
        } else {
            toml::Value::String(String::new())
        };
        let removed = remove(table, &path, stand_in);
        faults.push(fault(path, message));
        if !removed {
            return (None, faults);
        }
    }
}

fn steps(path: &Path) -> KeyPath {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    KeyPath(path.iter().filter_map(step).collect())
}

/// Takes out what stands at `path`; tells whether there was something.
///
/// In a list the stand-in takes its place, so that the others keep theirs.
fn remove(table: &mut toml::Table, path: &KeyPath, stand_in: toml::Value) -> bool {
    let Some((last, front)) = path.0.split_last() else {
        return false;
    };
    let mut steps = front.iter();
    let Some(Step::Key(first)) = steps.next() else {
        return match last {
            Step::Key(key) => table.remove(key).is_some(),
            Step::Index(_) => false,
        };
    };
    let mut here = table.get_mut(first);
    for step in steps {
        here = here.and_then(|value| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Index(index) => value.get_mut(*index),
        });
    }
    match (here, last) {
        (Some(toml::Value::Table(parent)), Step::Key(key)) => parent.remove(key).is_some(),
        (Some(toml::Value::Array(parent)), Step::Index(index)) => match parent.get_mut(*index) {
            Some(element) if *element != stand_in => {
                *element = stand_in;
                true
            }
            _ => false,
        },
        _ => false,
    }
}

/// Puts serde's message into the words of this program.
fn fault(path: KeyPath, message: &str) -> Fault {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (given, known) = names
        .split_first()
        .map_or(("", [].as_slice()), |(given, known)| (*given, known));
    if message.starts_with("unknown field") {
        let near = nearest(given, known.iter().copied());
        return Fault {
            wrong: "is not a known key".to_owned(),
            fix: near.map_or_else(
                || format!("take it out; the keys here are {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            ),
            meant: near.map(|near| path.parent().unwrap_or_default().join(near)),
            path,
            unknown_key: true,
        };
    }
    let (wrong, fix) = if message.starts_with("unknown variant") {
        (
            format!("is \"{given}\", which is not known"),
            format!("write one of \"{}\"", known.join("\", \"")),
        )
    } else {
        let (found, expected) = message
            .split_once(", expected ")
            .unwrap_or((message, "what config/pilotlight.toml shows"));
        (given_value(found), format!("write {}", wanted(expected)))
    };
    Fault {
        path,
        wrong,
        fix,
        meant: None,
        unknown_key: false,
    }
}

/// What serde found, in plain words. Texts are not repeated: one may be a secret in the wrong place.
fn given_value(found: &str) -> String {
    let (problem, found) = found.split_once(": ").unwrap_or(("", found));
    if let Some(own_words) = found.strip_prefix("it ") {
        return own_words.to_owned();
    }
    let number = || found.split('`').nth(1).unwrap_or_default();
    match found.split([' ', '`']).next().unwrap_or_default() {
        "integer" | "floating" => format!("is the number {}", number()),
        "boolean" => format!("is {}", number()),
        "sequence" => "is a list".to_owned(),
        "map" => "is a table".to_owned(),
        "string" if problem == "invalid type" => "is a text".to_owned(),
        _ => "is not of the right form".to_owned(),
    }
}

/// serde's name of a type in plain words.
fn wanted(expected: &str) -> &str {
    match expected.trim() {
        "u16" | "u32" | "u64" => "a whole number, not negative, without quotes",
        "a string" | "path string" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list in brackets",
        "a map" => "a table",
        other if other.starts_with("struct") => "a table",
        other => other,
    }
}

/// The known name that is nearest to the given one, if any is near.
pub(super) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(given.len()) / 3)
        .min()
        .map(|(_, name)| name)
}
