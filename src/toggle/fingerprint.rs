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
    /// Remembers `now` and tells whether it differs from what was remembered; the first sight is no difference.
    pub fn differs(&self, now: u64) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.replace(now).is_some_and(|before| before != now)
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
        assert!(!seen.differs(1), "first sight");
        assert!(!seen.differs(1));
        assert!(seen.differs(2));
        assert!(!seen.differs(2));
    }
}
