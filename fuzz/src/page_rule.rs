//! The redirect by a page rule: the one write carries its status and nothing else, and no permanent redirect is enabled.

use pilotlight::core::Position;
use serde_json::{Value, json};

use crate::rig::{self, Run};
use crate::script::Ask;

/// Runs one input.
pub fn try_one(data: &[u8]) {
    rig::with(|rig| check(&rig.run(data, rig::Rig::page_rule)));
}

fn check(run: &Run) {
    let writes = run.writes();
    assert!(writes.len() <= 1, "{run:?}");
    for (write, read) in writes {
        let rule = &read["result"];
        let (was, becomes) = match run.ask {
            Ask::On => ("disabled", "active"),
            Ask::Off | Ask::Observe => ("active", "disabled"),
        };
        assert!(
            read["success"] == true && rule["id"] == "p1",
            "built from garbage: {run:?}"
        );
        assert_eq!(rule["status"], was, "nothing differed: {run:?}");
        if run.ask == Ask::On {
            assert_eq!(forwards_with(rule), Some(302), "browsers would keep it: {run:?}");
        }
        assert_eq!(
            (write.method.as_str(), write.path.as_str()),
            ("PATCH", "/client/v4/zones/z/pagerules/p1")
        );
        assert_eq!(write.json(), json!({ "status": becomes }), "{run:?}");
    }
    if let Ok(observed) = &run.result {
        let last = run.last();
        assert_eq!(last["result"]["id"], "p1", "{run:?}");
        let active = last["result"]["status"] == "active";
        assert_eq!(observed.configured == Some(Position::On), active, "{run:?}");
    }
}

fn forwards_with(rule: &Value) -> Option<u64> {
    let mut actions = rule["actions"].as_array()?.iter();
    actions.find(|action| action["id"] == "forwarding_url")?["value"]["status_code"].as_u64()
}
