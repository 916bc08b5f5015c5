//! The redirect by a rule: the one write carries our rule's whole definition with `enabled` moved, or there is none.

use pilotlight::core::Position;
use serde_json::{Value, json};

use crate::foreign::ruleset::{Due, REF, due, ruleset};
use crate::rig::{self, Run};
use crate::script::{Ask, made};

/// Runs one input: a script, or behind `=` what is asked and bytes that a ruleset is made from.
pub fn try_one(data: &[u8]) {
    let script = made(data, |bytes| {
        let ruleset = ruleset(bytes).ok()?;
        Some(json!({"success": true, "errors": [], "messages": [], "result": ruleset}))
    });
    let script = script.as_deref().unwrap_or(data);
    rig::with(|rig| check(&rig.run(script, rig::Rig::single_redirect)));
}

fn check(run: &Run) {
    let writes = run.writes();
    assert!(writes.len() <= 1, "{run:?}");
    for (write, read) in writes {
        assert_eq!(read["success"], true, "built from a failure: {run:?}");
        let Due::Patch { path, body } = due(&read["result"], run.ask == Ask::On) else {
            panic!("nothing was due: {run:?}");
        };
        assert_eq!(write.method, "PATCH");
        assert_eq!(write.path, format!("/client/v4/zones/z/{path}"));
        assert_eq!(write.json(), body, "{run:?}");
    }
    if let Ok(observed) = &run.result {
        let last = run.last();
        let all = last["result"]["rules"].as_array().cloned().unwrap_or_default();
        let ours: Vec<Value> = all.into_iter().filter(|rule| rule["ref"] == REF).collect();
        let [rule] = ours.as_slice() else {
            panic!("our rule was not there once: {run:?}");
        };
        let enabled = rule.get("enabled").is_none_or(|enabled| *enabled == true);
        assert_eq!(observed.configured == Some(Position::On), enabled, "{run:?}");
    }
}
