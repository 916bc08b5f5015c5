//! Status and answers for people: one glance per site.

use std::time::Duration;

use crate::admin::command::Answer;
use crate::admin::view::{ModeView, SeenView, Serving, SiteView, StatusView, ToggleView, VerdictView};
use crate::clock::in_words;

/// All sites, the one sentence first and what stands behind it below.
pub fn status(view: &StatusView) -> String {
    if view.sites.is_empty() {
        return "no site is configured".to_owned();
    }
    let sites: Vec<_> = view.sites.iter().map(site).collect();
    sites.join("\n\n")
}

/// What came of an order.
pub fn answer(answer: &Answer) -> String {
    let site = &answer.site;
    if !answer.in_force {
        return format!(
            "{site}: {} accepted, but not yet in force; look at: pilotlight status {site}",
            answer.command
        );
    }
    let until = answer.mode.until.as_deref().unwrap_or("further notice");
    match answer.command.as_str() {
        "failover" => format!(
            "{site}: visitors are sent to the standby until {until}.\nTo give command back earlier: pilotlight resume {site}"
        ),
        "failback" => format!(
            "{site}: visitors are sent home until {until}, whether home is well or not.\nTo give command back earlier: pilotlight resume {site}"
        ),
        "pause" => format!(
            "{site}: nothing is switched until {until}; pilotlight goes on watching.\nTo give command back earlier: pilotlight resume {site}"
        ),
        _ => format!("{site}: pilotlight decides again."),
    }
}

fn site(view: &SiteView) -> String {
    let mut lines = vec![format!("{}: {}", view.site, view.summary)];
    let mut add = |label: &str, text: String| lines.push(format!("  {label:<10}{text}"));
    add("visitors", visitors(view));
    add("home", home(view));
    add(
        "phase",
        format!("{} for {}", view.phase.replace('_', " "), ago(view.phase_seconds)),
    );
    if let Some(countdown) = countdown(view) {
        add("countdown", countdown);
    }
    if view.mode.name != "auto" {
        add("command", command(&view.mode));
    }
    if let Some(episode) = &view.episode {
        add(
            "outage",
            format!(
                "number {} since {}: {}",
                episode.id, episode.began, episode.cause_in_words
            ),
        );
    }
    for (number, toggle) in view.toggles.iter().enumerate() {
        let label = if number == 0 { "switches" } else { "" };
        add(label, switch(toggle));
    }
    for warning in warnings(view) {
        add("look", warning);
    }
    lines.join("\n")
}

fn visitors(view: &SiteView) -> String {
    let served = match view.serving {
        Serving::Home => "served by home",
        Serving::Standby => "served by the standby",
        Serving::Nobody => "served by nobody",
        Serving::Unknown => "not seen yet",
    };
    let wanted = match view.route.as_str() {
        "standby" => "the standby",
        _ => "home",
    };
    let seen = view.visitor.as_ref().map(|look| seen(look, view.serving));
    format!(
        "{served}{}; wanted: {wanted}, {}",
        seen.unwrap_or_default(),
        view.switched
    )
}

/// When it was seen, and what if the words before do not say so.
fn seen(look: &SeenView, serving: Serving) -> String {
    let age = ago(look.age_seconds);
    match serving {
        Serving::Home | Serving::Standby => format!(", seen {age} ago"),
        Serving::Nobody | Serving::Unknown => format!(" ({}, seen {age} ago)", look.view.replace('_', " ")),
    }
}

fn home(view: &SiteView) -> String {
    let text = |verdict: &VerdictView| {
        let age = ago(verdict.age_seconds);
        format!("{}, judged {age} ago: {}", verdict.verdict, verdict.cause_in_words)
    };
    view.verdict.as_ref().map_or_else(|| "not judged yet".to_owned(), text)
}

fn countdown(view: &SiteView) -> Option<String> {
    let failover = view
        .failover_in_seconds
        .map(|left| format!("to the standby in {} if home stays dark", ago(left)));
    let home = view
        .home_in_seconds
        .map(|left| format!("home in {} if it stays up", ago(left)));
    failover.or(home)
}

fn command(mode: &ModeView) -> String {
    let what = match (mode.name.as_str(), mode.route.as_deref()) {
        ("pinned", Some("standby")) => "kept at the standby",
        ("pinned", _) => "kept at home",
        _ => "paused, nothing is switched",
    };
    let author = mode.author.as_deref().unwrap_or("somebody");
    let left = ago(mode.expires_in_seconds.unwrap_or_default());
    let reason = mode.reason.as_deref().unwrap_or("no reason given");
    format!("{what} by {author} for another {left}: {reason}")
}

/// `gate      wanted on, found on, proven on`: found is what a visitor sees, or the provider's record where there is no such view.
fn switch(toggle: &ToggleView) -> String {
    let position = |position: &Option<String>| position.clone().unwrap_or_else(|| "?".to_owned());
    let found = match (&toggle.configured, &toggle.effective) {
        (Some(configured), Some(effective)) if configured != effective => {
            format!("{configured} (visitors see {effective} so far)")
        }
        (None, effective) => position(effective),
        (configured, _) => position(configured),
    };
    let mut text = format!(
        "{:<10}wanted {}, found {found}, proven {}",
        toggle.toggle,
        position(&toggle.desired),
        position(&toggle.verified)
    );
    if toggle.busy {
        text.push_str("; in motion");
    }
    if toggle.held_by_other {
        text.push_str("; another site or its owner keeps it on");
    }
    if let Some(failing) = &toggle.failing {
        let since = toggle.failing_since.as_deref().unwrap_or("now");
        text.push_str("; fails since ");
        text.push_str(since);
        text.push_str(": ");
        text.push_str(&failing.replace('_', " "));
    }
    text
}

fn warnings(view: &SiteView) -> Vec<String> {
    let blind = view
        .blind_since
        .as_ref()
        .map(|since| format!("home cannot be judged since {since}; time is frozen"));
    let checks = [
        (!view.saving, "the state cannot be saved; a restart would forget"),
        (!view.observed_enough, "not watched for long enough to decide"),
        (view.clock_doubtful, "the watcher's clock is in doubt"),
    ];
    let others = checks.into_iter().filter(|(applies, _)| *applies);
    blind
        .into_iter()
        .chain(others.map(|(_, text)| text.to_owned()))
        .collect()
}

fn ago(seconds: f64) -> String {
    in_words(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_is_in_force_and_how_to_end_it() {
        let mut given = Answer {
            site: "blog".to_owned(),
            command: "failover".to_owned(),
            in_force: true,
            mode: ModeView {
                name: "pinned".to_owned(),
                route: Some("standby".to_owned()),
                until: Some("2026-01-01T02:00:00Z".to_owned()),
                expires_in_seconds: Some(7200.0),
                author: Some("ann".to_owned()),
                reason: Some("new router".to_owned()),
            },
        };
        assert_eq!(
            answer(&given),
            "blog: visitors are sent to the standby until 2026-01-01T02:00:00Z.\nTo give command back earlier: pilotlight resume blog"
        );
        assert_eq!(
            command(&given.mode),
            "kept at the standby by ann for another 2 h: new router"
        );
        given.in_force = false;
        assert!(answer(&given).contains("not yet in force"));
    }
}
