//! Builds the settings of a site's toggles from their tables.

use std::collections::BTreeMap;

use super::exec;
use super::inspector::Inspector;
use super::raw;
use super::rules;
use super::source::KeyPath;
use super::switches::{Coverage, Gate, GateMode, Redirect, Silence};
use super::table::Table;
use super::value;

/// Toggles of one role are numbered, and each costs calls of a small budget.
const MAX_SILENCES: usize = 16;

const ONLY_EXEC: &str = "only an exec runs a command";

/// The credentials that a site may name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credentials<'a> {
    pub(super) google: &'a BTreeMap<String, Table<raw::Google>>,
    pub(super) cloudflare: &'a BTreeMap<String, Table<raw::Cloudflare>>,
}

/// Public access to the standby.
pub(super) fn gate(
    inspector: &mut Inspector<'_>,
    credentials: Credentials<'_>,
    path: &KeyPath,
    raw: &raw::Gate,
) -> Option<Gate> {
    let kind_fix = "write kind = \"cloud_run\" or kind = \"exec\"";
    let kind = inspector.required(&path.join("kind"), raw.kind.as_ref(), kind_fix);
    if kind == Some(raw::GateKind::Exec) {
        let others = [
            ("mode", raw.mode.is_some()),
            ("google", raw.google.is_some()),
            ("project", raw.project.is_some()),
            ("region", raw.region.is_some()),
            ("service", raw.service.is_some()),
        ];
        exec::alone(inspector, path, &others);
        let command = exec::command(inspector, path, &raw.command)?;
        return Some(Gate::Exec { command });
    }
    out_of_place(inspector, path, "command", !raw.command.is_empty(), ONLY_EXEC);
    let google = google(inspector, credentials, path, raw.google.as_ref());
    let project = inspector.identifier(&path.join("project"), raw.project.as_ref(), "write the project's id");
    let region = inspector.identifier(
        &path.join("region"),
        raw.region.as_ref(),
        "write the service's region: region = \"europe-west1\"",
    );
    let service = inspector.identifier(&path.join("service"), raw.service.as_ref(), "write the service's name");
    kind?;
    Some(Gate::CloudRun {
        mode: match raw.mode.unwrap_or_default() {
            raw::GateMode::Iam => GateMode::Iam,
            raw::GateMode::InvokerCheck => GateMode::InvokerCheck,
            raw::GateMode::Open => GateMode::Open,
        },
        google: google?,
        project: project?,
        region: region?,
        service: service?,
    })
}

fn google(
    inspector: &mut Inspector<'_>,
    credentials: Credentials<'_>,
    path: &KeyPath,
    name: Option<&String>,
) -> Option<String> {
    let path = path.join("google");
    let name = inspector.required(
        &path,
        name,
        "name a credential: google = \"NAME\" for a table [google.NAME]",
    )?;
    inspector.known_name(&path, &name, "google", credentials.google.keys());
    Some(name)
}

/// The credential that the standby is asked with, if one is named.
#[expect(clippy::option_option, reason = "left out and complained of are two things")]
pub(super) fn pass(
    inspector: &mut Inspector<'_>,
    credentials: Credentials<'_>,
    path: &KeyPath,
    raw: &raw::Site,
) -> Option<Option<String>> {
    let Some(name) = &raw.standby.google else {
        return Some(None);
    };
    let name = google(inspector, credentials, path, Some(name));
    let kind = raw.redirect.as_ref().and_then(|redirect| redirect.kind);
    if kind != Some(raw::RedirectKind::WorkerRoute) {
        inspector.complain(
            &path.join("google"),
            "belongs to a worker_route: with a token the standby would pass for well where visitors are refused",
            "take it out, or let a Worker serve visitors: redirect.kind = \"worker_route\"",
        );
    }
    name.map(Some)
}

/// What a redirect covers: without hosts, the site's own; a page rule excludes nothing.
pub(super) fn coverage(
    inspector: &mut Inspector<'_>,
    path: &KeyPath,
    raw: &raw::Redirect,
    site_host: Option<&str>,
) -> Coverage {
    let mut hosts = inspector.each(&path.join("hosts"), &raw.hosts, value::covered_host);
    if raw.hosts.is_empty() {
        hosts.extend(site_host.map(str::to_owned));
    }
    let excluded_paths = match raw.kind {
        Some(raw::RedirectKind::PageRule) => Vec::new(),
        _ => inspector.each(&path.join("excluded_paths"), &raw.excluded_paths, value::excluded_path),
    };
    Coverage { hosts, excluded_paths }
}

/// What sends visitors to the standby; `coverage` was read before.
pub(super) fn redirect(
    inspector: &mut Inspector<'_>,
    credentials: Credentials<'_>,
    path: &KeyPath,
    raw: &raw::Redirect,
    coverage: Coverage,
) -> Option<Redirect> {
    let kind_fix = "write kind = \"single_redirect\", kind = \"page_rule\", kind = \"worker_route\" or kind = \"exec\"";
    let kind = inspector.required(&path.join("kind"), raw.kind.as_ref(), kind_fix);
    if kind == Some(raw::RedirectKind::Exec) {
        let others = [
            ("cloudflare", raw.cloudflare.is_some()),
            ("zone_id", raw.zone_id.is_some()),
            ("ref", raw.rule_ref.is_some()),
            ("rule_id", raw.rule_id.is_some()),
            ("pattern", raw.pattern.is_some()),
            ("script", raw.script.is_some()),
            ("status_code", raw.status_code.is_some()),
        ];
        exec::alone(inspector, path, &others);
        let command = exec::command(inspector, path, &raw.command)?;
        return Some(Redirect::Exec { command, coverage });
    }
    out_of_place(inspector, path, "command", !raw.command.is_empty(), ONLY_EXEC);
    let name_path = path.join("cloudflare");
    let name_fix = "name a credential: cloudflare = \"NAME\" for a table [cloudflare.NAME]";
    let cloudflare = inspector.required(&name_path, raw.cloudflare.as_ref(), name_fix);
    if let Some(name) = &cloudflare {
        inspector.known_name(&name_path, name, "cloudflare", credentials.cloudflare.keys());
    }
    let zone_id = inspector.identifier(&path.join("zone_id"), raw.zone_id.as_ref(), "write the zone's id");
    let kind = kind?;
    out_of_kind(inspector, path, raw, kind);
    match kind {
        raw::RedirectKind::SingleRedirect => {
            let ref_path = path.join("ref");
            let rule_ref = inspector.required(&ref_path, raw.rule_ref.as_ref(), "write the rule's ref");
            let status_code = rules::redirect_status(inspector, &path.join("status_code"), raw.status_code);
            Some(Redirect::SingleRedirect {
                cloudflare: cloudflare?,
                zone_id: zone_id?,
                rule_ref: rule_ref?,
                status_code: status_code?,
                coverage,
            })
        }
        raw::RedirectKind::PageRule => {
            let rule_id = inspector.identifier(&path.join("rule_id"), raw.rule_id.as_ref(), "write the rule's id");
            Some(Redirect::PageRule {
                cloudflare: cloudflare?,
                zone_id: zone_id?,
                rule_id: rule_id?,
                coverage,
            })
        }
        raw::RedirectKind::WorkerRoute => {
            let pattern_path = path.join("pattern");
            let pattern_fix = "write the route's pattern: pattern = \"site.example/*\"";
            let pattern = inspector.required(&pattern_path, raw.pattern.as_ref(), pattern_fix);
            let pattern = pattern.and_then(|text| inspector.take(&pattern_path, value::route_pattern(&text)));
            let script_fix = "write the Worker's name: script = \"standby\"";
            let script = inspector.identifier(&path.join("script"), raw.script.as_ref(), script_fix);
            if let Some(pattern) = &pattern {
                rules::within_pattern(inspector, path, pattern, &coverage);
            }
            Some(Redirect::WorkerRoute {
                cloudflare: cloudflare?,
                zone_id: zone_id?,
                pattern: pattern?,
                script: script?,
                coverage,
            })
        }
        raw::RedirectKind::Exec => None,
    }
}

/// Complains of the keys that other kinds have.
fn out_of_kind(inspector: &mut Inspector<'_>, path: &KeyPath, raw: &raw::Redirect, kind: raw::RedirectKind) {
    use raw::RedirectKind::{Exec, PageRule, SingleRedirect, WorkerRoute};

    let (found_by, status) = match kind {
        SingleRedirect => ("a single_redirect is found by its `ref`", ""),
        PageRule => (
            "a page_rule is found by its `rule_id`",
            "a page_rule has its own in the rule at Cloudflare",
        ),
        WorkerRoute => (
            "a worker_route is found by its `pattern`",
            "a worker_route redirects nobody: the Worker serves the public URL itself",
        ),
        Exec => return,
    };
    let excludes = !raw.excluded_paths.is_empty();
    for (key, is_wrong, why) in [
        ("ref", raw.rule_ref.is_some() && kind != SingleRedirect, found_by),
        ("rule_id", raw.rule_id.is_some() && kind != PageRule, found_by),
        ("pattern", raw.pattern.is_some() && kind != WorkerRoute, found_by),
        (
            "script",
            raw.script.is_some() && kind != WorkerRoute,
            "only a worker_route runs a Worker",
        ),
        (
            "status_code",
            raw.status_code.is_some() && kind != SingleRedirect,
            status,
        ),
        (
            "excluded_paths",
            excludes && kind == PageRule,
            "a page_rule excludes nothing on its host",
        ),
    ] {
        out_of_place(inspector, path, key, is_wrong, why);
    }
}

fn out_of_place(inspector: &mut Inspector<'_>, path: &KeyPath, key: &str, present: bool, why: &str) {
    if present {
        inspector.complain(
            &path.join(key),
            "does not belong to this kind",
            format!("take it out: {why}"),
        );
    }
}

/// What mutes the provider's monitoring.
pub(super) fn silences(
    inspector: &mut Inspector<'_>,
    credentials: Credentials<'_>,
    path: &KeyPath,
    raw: &[Table<raw::Silence>],
) -> Option<Vec<Silence>> {
    if raw.len() > MAX_SILENCES {
        inspector.complain(
            path,
            format!("has {} entries", raw.len()),
            format!("keep at most {MAX_SILENCES}: each one is a call on the way out and home"),
        );
    }
    let built: Vec<Option<Silence>> = raw
        .iter()
        .enumerate()
        .map(|(index, raw)| silence(inspector, credentials, &path.join(index), raw))
        .collect();
    built.into_iter().collect()
}

fn silence(
    inspector: &mut Inspector<'_>,
    credentials: Credentials<'_>,
    path: &KeyPath,
    raw: &raw::Silence,
) -> Option<Silence> {
    let kind_fix = "write kind = \"snooze\", kind = \"uptime_check\" or kind = \"exec\"";
    let kind = inspector.required(&path.join("kind"), raw.kind.as_ref(), kind_fix);
    if kind == Some(raw::SilenceKind::Exec) {
        let others = [
            ("google", raw.google.is_some()),
            ("project", raw.project.is_some()),
            ("alert_policy", raw.alert_policy.is_some()),
            ("check_id", raw.check_id.is_some()),
        ];
        exec::alone(inspector, path, &others);
        let command = exec::command(inspector, path, &raw.command)?;
        return Some(Silence::Exec { command });
    }
    out_of_place(inspector, path, "command", !raw.command.is_empty(), ONLY_EXEC);
    let google = google(inspector, credentials, path, raw.google.as_ref());
    let project = inspector.identifier(&path.join("project"), raw.project.as_ref(), "write the project's id");
    match kind? {
        raw::SilenceKind::Snooze => {
            out_of_place(
                inspector,
                path,
                "check_id",
                raw.check_id.is_some(),
                "a snooze mutes an `alert_policy`",
            );
            let policy_path = path.join("alert_policy");
            let alert_policy =
                inspector.identifier(&policy_path, raw.alert_policy.as_ref(), "write the alert policy's id");
            Some(Silence::Snooze {
                google: google?,
                project: project?,
                alert_policy: alert_policy?,
            })
        }
        raw::SilenceKind::UptimeCheck => {
            let present = raw.alert_policy.is_some();
            out_of_place(
                inspector,
                path,
                "alert_policy",
                present,
                "an uptime_check is found by its `check_id`",
            );
            let check_id = inspector.identifier(&path.join("check_id"), raw.check_id.as_ref(), "write the check's id");
            Some(Silence::UptimeCheck {
                google: google?,
                project: project?,
                check_id: check_id?,
            })
        }
        raw::SilenceKind::Exec => None,
    }
}
