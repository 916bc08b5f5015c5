//! Builds a site's settings from its tables.

use std::collections::BTreeMap;

use super::inspector::Inspector;
use super::raw;
use super::rules::{self, Parts};
use super::settings::{Coverage, Gate, Marker, Probe, Redirect, References, Silence, Site, Standby, Visitor};
use super::source::KeyPath;
use super::value;
use crate::core::Policy;

/// The credentials that a site may name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credentials<'a> {
    pub(super) google: &'a BTreeMap<String, raw::Google>,
    pub(super) cloudflare: &'a BTreeMap<String, raw::Cloudflare>,
}

/// A site, unless there is something to complain about. All parts are looked at in any case.
pub(super) fn build(
    inspector: &mut Inspector<'_>,
    credentials: Credentials<'_>,
    name: &str,
    raw: &raw::Site,
) -> Option<Site> {
    let path = KeyPath::of(&["site", name]);
    check_name(inspector, &path, name);
    let url_path = path.join("url");
    let url = inspector
        .required(
            &url_path,
            raw.url.as_ref(),
            "write the site's public URL: url = \"https://site.example/\"",
        )
        .and_then(|text| inspector.url(&url_path, &text));
    let home = marker(
        inspector,
        &path.join("home"),
        raw.home.header.as_ref(),
        raw.home.body.as_ref(),
    );
    let standby = standby(inspector, &path.join("standby"), &raw.standby);
    let probe = probe(inspector, &path.join("probe"), &raw.probe, url.as_ref());
    let visitor = visitor(inspector, &path.join("visitor"), &raw.visitor);
    let references = references(inspector, &path.join("references"), &raw.references);
    let gate = raw
        .gate
        .as_ref()
        .map(|raw| gate(inspector, credentials, &path.join("gate"), raw));
    let redirect_path = path.join("redirect");
    let host = url.as_ref().and_then(url::Url::host_str);
    let coverage = raw
        .redirect
        .as_ref()
        .map(|raw| coverage(inspector, &redirect_path, raw, host));
    let redirect = raw.redirect.as_ref().zip(coverage.clone());
    let redirect = redirect.map(|(raw, coverage)| redirect_rule(inspector, credentials, &redirect_path, raw, coverage));
    let silences = silences(inspector, credentials, &path.join("silence"), &raw.silence);
    rules::durations(inspector, &path, raw);
    rules::thresholds(inspector, &path, raw);
    let parts = Parts {
        url: url.as_ref(),
        home: home.as_ref(),
        standby: standby.as_ref(),
        probe: probe.as_ref(),
        visitor: visitor.as_ref(),
        references: references.as_ref(),
        coverage: coverage.as_ref(),
        excludes_paths: raw
            .redirect
            .as_ref()
            .is_some_and(|redirect| redirect.kind != Some(raw::RedirectKind::PageRule)),
    };
    rules::together(inspector, &path, &parts);
    Some(Site {
        name: name.to_owned(),
        url: url?,
        home: home?,
        standby: standby?,
        probe: probe?,
        visitor: visitor?,
        references: references?,
        policy: policy(raw),
        toggle_timeout: raw.timing.toggle_timeout.0,
        gate: optional(gate)?,
        redirect: optional(redirect)?,
        silences: silences?,
    })
}

/// A part that may be left out but not be wrong.
#[expect(clippy::option_option, reason = "left out and complained of are two things")]
fn optional<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    match part {
        Some(None) => None,
        Some(part) => Some(part),
        None => Some(None),
    }
}

fn check_name(inspector: &mut Inspector<'_>, path: &KeyPath, name: &str) {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) {
        inspector.complain(
            path,
            "is not a name for a site",
            "use 1 to 63 lower-case letters, digits, `-` and `_`: it becomes a file name, a label and a part of URLs",
        );
    }
}

fn marker(
    inspector: &mut Inspector<'_>,
    path: &KeyPath,
    header: Option<&String>,
    body: Option<&String>,
) -> Option<Marker> {
    match (header, body) {
        (Some(header), None) => inspector.take(&path.join("header"), value::header_marker(header)),
        (None, Some(body)) => inspector.take(&path.join("body"), value::body_marker(body)),
        (Some(_), Some(_)) => {
            inspector.complain(
                &path.join("body"),
                "stands beside `header`",
                "keep one of the two markers",
            );
            None
        }
        (None, None) => {
            inspector.complain(
                path,
                "has no marker, so nobody could tell home from standby",
                "write header = \"x-served-by: ...\" or body = \"a text only this one sends\"",
            );
            None
        }
    }
}

fn standby(inspector: &mut Inspector<'_>, path: &KeyPath, raw: &raw::Standby) -> Option<Standby> {
    let url_path = path.join("url");
    let url = inspector
        .required(
            &url_path,
            raw.url.as_ref(),
            "write the standby's URL: url = \"https://standby.example/\"",
        )
        .and_then(|text| inspector.url(&url_path, &text));
    let marker = marker(inspector, path, raw.header.as_ref(), raw.body.as_ref());
    let connect_to = inspector.optional(&path.join("connect_to"), raw.connect_to.as_ref(), value::host_port);
    let ca_file = inspector.ca_file(&path.join("ca_file"), raw.ca_file.as_ref());
    Some(Standby {
        url: url?,
        marker: marker?,
        connect_to: connect_to?,
        ca_file: ca_file?,
    })
}

fn probe(
    inspector: &mut Inspector<'_>,
    path: &KeyPath,
    raw: &raw::Probe,
    site_url: Option<&url::Url>,
) -> Option<Probe> {
    let url = match &raw.url {
        Some(text) => inspector.url(&path.join("url"), text),
        None => site_url.cloned(),
    };
    let connect_to = inspector.optional(&path.join("connect_to"), raw.connect_to.as_ref(), value::host_port);
    let ca_file = inspector.ca_file(&path.join("ca_file"), raw.ca_file.as_ref());
    let status = inspector.take(&path.join("status"), value::statuses(&raw.status));
    Some(Probe {
        url: url?,
        path: raw.path,
        connect_to: connect_to?,
        ca_file: ca_file?,
        status: status?,
        timeout: raw.timeout.0,
        hedge_after: raw.hedge_after.0,
    })
}

fn visitor(inspector: &mut Inspector<'_>, path: &KeyPath, raw: &raw::Visitor) -> Option<Visitor> {
    let connect_to = inspector.optional(&path.join("connect_to"), raw.connect_to.as_ref(), value::host_port);
    let ca_file = inspector.ca_file(&path.join("ca_file"), raw.ca_file.as_ref());
    let edge_url = inspector.optional(&path.join("edge_url"), raw.edge_url.as_ref(), value::url);
    Some(Visitor {
        timeout: raw.timeout.0,
        connect_to: connect_to?,
        ca_file: ca_file?,
        edge_url: edge_url?,
    })
}

fn references(inspector: &mut Inspector<'_>, path: &KeyPath, raw: &raw::References) -> Option<References> {
    let targets_path = path.join("targets");
    let targets = inspector.each(&targets_path, &raw.targets, value::reference);
    let ca_file = inspector.ca_file(&path.join("ca_file"), raw.ca_file.as_ref());
    let whole = targets.len() == raw.targets.len();
    let mut owners: Vec<String> = targets.iter().map(value::reference_owner).collect();
    owners.sort();
    owners.dedup();
    if whole && owners.len() < 2 {
        let wrong = match raw.targets.len() {
            0 => "is empty, so pilotlight could not tell its own line's outage from home's".to_owned(),
            1 => "names only one reference, and its outage would look like our own".to_owned(),
            count => format!("names {count} references of one owner, and its outage would look like our own"),
        };
        inspector.complain(
            &targets_path,
            wrong,
            "name two or more of different companies: targets = [\"https://www.gstatic.com/generate_204\", \
             \"https://www.wikipedia.org/\"]",
        );
        return None;
    }
    (whole && ca_file.is_some()).then(|| References {
        targets,
        ca_file: ca_file.flatten(),
    })
}

fn gate(inspector: &mut Inspector<'_>, credentials: Credentials<'_>, path: &KeyPath, raw: &raw::Gate) -> Option<Gate> {
    let kind = inspector.required(&path.join("kind"), raw.kind.as_ref(), "write kind = \"cloud_run\"");
    let google = google(inspector, credentials, path, raw.google.as_ref());
    let project = inspector.identifier(&path.join("project"), raw.project.as_ref(), "write the project's id");
    let region = inspector.identifier(
        &path.join("region"),
        raw.region.as_ref(),
        "write the service's region: region = \"europe-west1\"",
    );
    let service = inspector.identifier(&path.join("service"), raw.service.as_ref(), "write the service's name");
    match kind? {
        raw::GateKind::CloudRun => Some(Gate::CloudRun {
            google: google?,
            project: project?,
            region: region?,
            service: service?,
        }),
    }
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

/// What a redirect covers; without hosts, the site's own.
fn coverage(inspector: &mut Inspector<'_>, path: &KeyPath, raw: &raw::Redirect, site_host: Option<&str>) -> Coverage {
    let mut hosts = inspector.each(&path.join("hosts"), &raw.hosts, value::covered_host);
    if raw.hosts.is_empty() {
        hosts.extend(site_host.map(str::to_owned));
    }
    Coverage {
        hosts,
        excluded_paths: inspector.each(&path.join("excluded_paths"), &raw.excluded_paths, value::excluded_path),
    }
}

fn redirect_rule(
    inspector: &mut Inspector<'_>,
    credentials: Credentials<'_>,
    path: &KeyPath,
    raw: &raw::Redirect,
    coverage: Coverage,
) -> Option<Redirect> {
    let kind_fix = "write kind = \"single_redirect\" or kind = \"page_rule\"";
    let kind = inspector.required(&path.join("kind"), raw.kind.as_ref(), kind_fix);
    let name_path = path.join("cloudflare");
    let name_fix = "name a credential: cloudflare = \"NAME\" for a table [cloudflare.NAME]";
    let cloudflare = inspector.required(&name_path, raw.cloudflare.as_ref(), name_fix);
    if let Some(name) = &cloudflare {
        inspector.known_name(&name_path, name, "cloudflare", credentials.cloudflare.keys());
    }
    let zone_id = inspector.identifier(&path.join("zone_id"), raw.zone_id.as_ref(), "write the zone's id");
    match kind? {
        raw::RedirectKind::SingleRedirect => {
            out_of_place(
                inspector,
                path,
                "rule_id",
                raw.rule_id.is_some(),
                "a single_redirect is found by its `ref`",
            );
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
            let why = "a page_rule has its own in the rule at Cloudflare";
            out_of_place(
                inspector,
                path,
                "ref",
                raw.rule_ref.is_some(),
                "a page_rule is found by its `rule_id`",
            );
            out_of_place(inspector, path, "status_code", raw.status_code.is_some(), why);
            let excludes = !raw.excluded_paths.is_empty();
            out_of_place(
                inspector,
                path,
                "excluded_paths",
                excludes,
                "a page_rule excludes nothing on its host",
            );
            let rule_id = inspector.identifier(&path.join("rule_id"), raw.rule_id.as_ref(), "write the rule's id");
            Some(Redirect::PageRule {
                cloudflare: cloudflare?,
                zone_id: zone_id?,
                rule_id: rule_id?,
                coverage,
            })
        }
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

fn silences(
    inspector: &mut Inspector<'_>,
    credentials: Credentials<'_>,
    path: &KeyPath,
    raw: &[raw::Silence],
) -> Option<Vec<Silence>> {
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
    let kind_fix = "write kind = \"snooze\" or kind = \"uptime_check\"";
    let kind = inspector.required(&path.join("kind"), raw.kind.as_ref(), kind_fix);
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
    }
}

fn policy(raw: &raw::Site) -> Policy {
    let (probe, policy, timing) = (&raw.probe, &raw.policy, &raw.timing);
    Policy {
        interval: probe.interval.0,
        confirm_interval: probe.confirm_interval.0,
        visitor_interval: raw.visitor.interval.0,
        references_again: raw.references.again.0,
        unhealthy_threshold: policy.unhealthy_threshold,
        down_for: policy.down_for.0,
        clear_threshold: policy.clear_threshold,
        clear_for: policy.clear_for.0,
        healthy_threshold: policy.healthy_threshold,
        up_for: policy.up_for.0,
        up_for_max: policy.up_for_max.0,
        relapse_window: policy.relapse_window.0,
        prewarm: policy.prewarm,
        failback: policy.failback.into(),
        broken_standby: policy.broken_standby.into(),
        drift: policy.drift.into(),
        gate_patience: timing.gate_patience.0,
        drain: timing.drain.0,
        verify_every: timing.verify_every.0,
        home_proof: timing.home_proof.0,
    }
}
