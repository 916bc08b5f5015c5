//! Tells whether somebody edited an object in another way than on or off.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// A hash of `object` without the named top-level fields. Two JSON objects that differ only in the order of keys are the same.
pub fn fingerprint(object: &Value, without: &[&str]) -> u64 {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|key, _| !without.contains(&key.as_str()));
    }
    let mut hasher = DefaultHasher::new();
    object.to_string().hash(&mut hasher);
    hasher.finish()
}

/// The object's definition as last seen by this process.
#[derive(Debug, Default)]
pub struct LastSeen(Mutex<Option<u64>>);

impl LastSeen {
    /// Remembers `now` and compares it with what was remembered.
    pub fn look(&self, now: u64) -> Sight {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.replace(now) {
            None => Sight::First,
            Some(before) if before == now => Sight::Same,
            Some(_) => Sight::Edited,
        }
    }
}

/// How a definition compares with what was last seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It was never seen before.
    First,
    /// It is as it was.
    Same,
    /// Somebody edited it.
    Edited,
}

impl Sight {
    /// Whether somebody edited it.
    pub const fn is_edited(self) -> bool {
        matches!(self, Self::Edited)
    }

    /// Logs `complaints` about the definition when there is something new to say of it.
    pub fn warn(self, kind: &'static str, complaints: &[String]) {
        if self == Self::Same {
            return;
        }
        for complaint in complaints {
            tracing::warn!(kind, %complaint, "toggle is not as declared");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_not_left_out_counts() {
        let of = |value: &Value| fingerprint(value, &["enabled"]);
        let rule = json!({"enabled": true, "expression": "a", "n": {"x": 1, "y": 2}});
        assert_eq!(
            of(&rule),
            of(&json!({"n": {"y": 2, "x": 1}, "expression": "a", "enabled": false}))
        );
        assert_ne!(
            of(&rule),
            of(&json!({"enabled": true, "expression": "b", "n": {"x": 1, "y": 2}}))
        );
    }

    #[test]
    fn an_edit_is_told_once() {
        let seen = LastSeen::default();
        let sights = [1, 1, 2, 2].map(|now| seen.look(now));
        assert_eq!(sights, [Sight::First, Sight::Same, Sight::Edited, Sight::Same]);
    }
}
