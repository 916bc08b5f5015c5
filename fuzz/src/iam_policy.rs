//! The edit of an IAM policy: one member's difference, or nothing.

use arbitrary::Unstructured;
use pilotlight::core::Position;
use pilotlight::toggle::iam_policy::{LastPolicy, Policy};
use serde_json::Value;

use crate::foreign::policy;

/// Runs one input: JSON text when it begins with a brace, else bytes that a policy is made from.
pub fn try_one(data: &[u8]) {
    let value = if data.first() == Some(&b'{') {
        serde_json::from_slice(data).ok()
    } else {
        policy::policy(&mut Unstructured::new(data)).ok()
    };
    if let Some(value) = value {
        check(&value);
    }
}

fn check(before: &Value) {
    let parsed = Policy::parse(before.clone());
    assert_eq!(parsed.is_ok(), policy::may_be_edited(before), "{before}");
    let Ok(parsed) = parsed else { return };
    let seen = LastPolicy::default();
    assert!(
        seen.accept(parsed.clone()).is_ok(),
        "the first one is believed: {before}"
    );
    assert!(
        seen.accept(parsed.clone()).is_ok(),
        "and so is the same again: {before}"
    );
    assert_eq!(parsed.position() == Position::On, policy::is_open(before), "{before}");
    for wanted in [Position::On, Position::Off] {
        let open = wanted == Position::On;
        let Some(after) = parsed.moved_to(wanted) else {
            assert_eq!(policy::is_open(before), open, "{before}");
            continue;
        };
        assert_eq!(after.moved_to(wanted), None, "a second write: {before}");
        let after = after.into_json();
        let difference = policy::one_members_difference(before, &after, open);
        assert_eq!(difference, Ok(()), "{before} becomes {after}");
        assert!(
            Policy::parse(after.clone()).is_ok_and(|after| after.position() == wanted),
            "{after}"
        );
    }
}
