//! A site's state in one plain sentence, for systemd's status line, the API and the terminal.

use crate::clock::{in_words, rfc3339};
use crate::core::status::Switched;
use crate::core::{Cause, Duration, Mode, Phase, Position, Role, Route, Status, Verdict};

/// What is going on, without a full stop and without the site's name.
pub fn glance(status: &Status) -> String {
    let mut parts = vec![situation(status)];
    match &status.mode {
        Mode::Auto => {}
        Mode::Pinned { route, pin } => {
            let place = match route {
                Route::Origin => "home",
                Route::Standby => "the standby",
            };
            let until = rfc3339(pin.until);
            parts.push(format!("{} keeps visitors at {place} until {until}", pin.author));
        }
        Mode::Paused { pin } => {
            let until = rfc3339(pin.until);
            parts.push(format!("{} paused all switching until {until}", pin.author));
        }
    }
    if status.toggles.iter().any(|toggle| toggle.failing_since.is_some()) {
        parts.push("a switch fails and is retried".to_owned());
    }
    if !status.saving {
        parts.push("the state cannot be saved".to_owned());
    }
    parts.join("; ")
}

fn situation(status: &Status) -> String {
    if status.blind_since.is_some() {
        let why = status.verdict.map_or(Cause::OwnUplink, |judged| judged.cause);
        return format!("cannot judge home: {}; nothing is switched", why.in_words());
    }
    match (&status.phase, status.route) {
        (Phase::Suspect { .. }, _) => suspicion(status),
        (Phase::Healthy { .. }, Route::Origin) => at_home(status),
        (Phase::FailedOver { .. } | Phase::Recovering { .. }, Route::Origin) => {
            format!("home is down{}, visitors are kept there", cause(status))
        }
        (Phase::Healthy { .. }, Route::Standby) => format!("home is well; {}", at_standby(status)),
        (Phase::FailedOver { .. }, Route::Standby) => format!("home is down{}; {}", cause(status), at_standby(status)),
        (Phase::Recovering { .. }, Route::Standby) => {
            let home_in = countdown(status.home_in, "visitors go back in", "if it stays up");
            format!("home answers again{home_in}; {}", at_standby(status))
        }
    }
}

fn suspicion(status: &Status) -> String {
    let failover_in = countdown(status.failover_in, "visitors go to the standby in", "if it stays dark");
    format!("home may be down{}{failover_in}", cause(status))
}

fn at_home(status: &Status) -> String {
    let watched = if status.observed_enough {
        ""
    } else {
        "; not watched for long enough to decide"
    };
    let standby_open = status
        .toggles
        .iter()
        .any(|toggle| toggle.role() == Role::Gate && toggle.observed.configured == Some(Position::On));
    let serves = match status.switched {
        Switched::Verified => "home serves visitors",
        Switched::Settling if standby_open => "home serves visitors; the standby is about to be closed",
        Switched::Settling => "home serves visitors; the switches are being checked",
        Switched::Switching => "visitors are being brought home",
        Switched::Partly => "visitors are only partly brought home",
    };
    format!("{serves}{watched}")
}

const fn at_standby(status: &Status) -> &'static str {
    match status.switched {
        Switched::Verified | Switched::Settling => "the standby serves visitors",
        Switched::Switching => "visitors are being sent to the standby",
        Switched::Partly => "visitors are only partly sent to the standby",
    }
}

fn cause(status: &Status) -> String {
    // What is seen now; while home answers again, why it all began.
    let now = status
        .verdict
        .filter(|judged| judged.verdict == Verdict::Down)
        .map(|judged| judged.cause);
    let cause = now.or(status.episode.map(|episode| episode.cause));
    cause
        .map(|cause| format!(" ({})", cause.in_words()))
        .unwrap_or_default()
}

fn countdown(left: Option<Duration>, what: &str, unless: &str) -> String {
    left.map(|left| format!("; {what} {} {unless}", in_words(left)))
        .unwrap_or_default()
}
