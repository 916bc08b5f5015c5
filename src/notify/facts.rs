//! What a notice says to machines: the numbers and labels behind the words.

use serde_json::{Map, Value, json};

use crate::clock::rfc3339;
use crate::core::{Duration, Route, Status, What};

/// The fields of what happened. Durations are seconds, labels those of the metrics.
pub(super) fn of(what: &What) -> Map<String, Value> {
    let fields = match what {
        What::Suspected { cause }
        | What::Relapsed { cause }
        | What::Blind { cause }
        | What::BackForVisitorsOnly { cause } => json!({ "cause": cause.label() }),
        What::FailoverStarted { cause, after } => json!({ "cause": cause.label(), "after_seconds": secs(*after) }),
        What::FailedOver { after } | What::BackHome { after } => json!({ "after_seconds": secs(*after) }),
        What::SuspicionCleared { lasted } | What::EpisodeOver { lasted } => json!({ "lasted_seconds": secs(*lasted) }),
        What::Recovering { up_for } | What::RolledBack { up_for } => json!({ "up_for_seconds": secs(*up_for) }),
        What::Stuck { toggle, desired, kind } => {
            json!({ "toggle": toggle.to_string(), "desired": desired.label(), "failure": kind.label() })
        }
        What::Unstuck { toggle } | What::DriftLimit { toggle } | What::Edited { toggle } => {
            json!({ "toggle": toggle.to_string() })
        }
        What::StandbyBroken { held } => json!({ "held": held }),
        What::Unverified { route } => json!({ "expected": route.label() }),
        What::Drifted {
            toggle,
            found,
            repaired,
        } => json!({ "toggle": toggle.to_string(), "found": found.label(), "repaired": repaired }),
        What::Overridden {
            route,
            until,
            author,
            reason,
        } => json!({
            "order": route.map_or("pause", order),
            "until": rfc3339(*until),
            "author": author,
            "reason": reason,
        }),
        What::OverrideEnded { expired } => json!({ "expired": expired }),
        What::FailbackStarted
        | What::PartlySwitched
        | What::StandbyMended
        | What::RedirectLoop
        | What::Orphan
        | What::GateLeaks
        | What::Adopted
        | What::FoundOff
        | What::SeesAgain
        | What::OwnPathBroken
        | What::VisitorEyeBlocked
        | What::SaveFailed
        | What::SaveWorks
        | What::StateSetAside => Value::Null,
    };
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The site at that moment.
pub(super) fn state(status: &Status) -> Map<String, Value> {
    [
        ("phase", status.phase.label()),
        ("mode", status.mode.label()),
        ("route", status.route.label()),
        ("switched", status.switched.label()),
    ]
    .into_iter()
    .map(|(field, label)| (field.to_owned(), Value::from(label)))
    .collect()
}

const fn order(route: Route) -> &'static str {
    match route {
        Route::Standby => "failover",
        Route::Origin => "failback",
    }
}

/// Seconds, to the millisecond.
fn secs(duration: Duration) -> f64 {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)).as_secs_f64()
}
