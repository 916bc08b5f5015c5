//! The silence by an uptime check: the one write moves `disabled` and nothing else, and only what was read back is believed.

use pilotlight::core::Position;
use serde_json::{Value, json};

use crate::rig::{self, Run};
use crate::script::Ask;

/// Runs one input.
pub fn try_one(data: &[u8]) {
    rig::with(|rig| check(&rig.run(data, rig::Rig::uptime_check)));
}

fn check(run: &Run) {
    let writes = run.writes();
    // One, and once more with a fresh token.
    assert!(writes.len() <= 2, "{run:?}");
    for (write, read) in writes {
        let wanted = run.ask == Ask::On;
        assert_eq!(
            is_disabled(&read),
            Some(!wanted),
            "built from garbage, or nothing differed: {run:?}"
        );
        assert_eq!(
            (write.method.as_str(), write.path.as_str()),
            ("PATCH", "/v3/projects/p/uptimeCheckConfigs/home?updateMask=disabled")
        );
        assert_eq!(write.json(), json!({ "disabled": wanted }), "{run:?}");
    }
    if let Ok(observed) = &run.result {
        let disabled = is_disabled(&run.last());
        assert_eq!(disabled, Some(observed.configured == Some(Position::On)), "{run:?}");
    }
}

/// `None` when it is no uptime check.
fn is_disabled(check: &Value) -> Option<bool> {
    check["name"].as_str()?;
    match check.get("disabled") {
        None => Some(false),
        Some(disabled) => disabled.as_bool(),
    }
}
