//! The gate: whatever Google answers, what is written is the policy that was read with our one member moved, or nothing is.

use serde_json::Value;

use crate::foreign::policy;
use crate::rig::{self, Run};
use crate::script::{Ask, made};

/// Runs one input: a script, or behind `=` what is asked and bytes that a policy is made from.
pub fn try_one(data: &[u8]) {
    let script = made(data, |bytes| policy::policy(bytes).ok());
    let script = script.as_deref().unwrap_or(data);
    rig::with(|rig| check(&rig.run(script, rig::Rig::gate)));
}

fn check(run: &Run) {
    let writes = run.writes();
    assert!(
        writes.len() <= 3,
        "more than a try, a fresh token and one repetition: {run:?}"
    );
    for (write, read) in writes {
        assert!(policy::may_be_edited(&read), "built from garbage: {run:?}");
        assert_eq!(write.method, "POST");
        assert_eq!(write.path, "/v2/projects/p/locations/r/services/standby:setIamPolicy");
        let sent = write.json();
        assert_eq!(sent.as_object().map(serde_json::Map::len), Some(1), "{run:?}");
        let difference = policy::one_members_difference(&read, &sent["policy"], run.ask == Ask::On);
        assert_eq!(difference, Ok(()), "{run:?}");
    }
    if let Ok(observed) = &run.result {
        let last: Value = run.last();
        assert!(policy::may_be_edited(&last), "garbage was believed: {run:?}");
        let open = observed.configured == Some(pilotlight::core::Position::On);
        assert_eq!(policy::is_open(&last), open, "{run:?}");
    }
}
