//! Builds a site's settings from its tables.

use super::inspector::Inspector;
use super::raw;
use super::rules::{self, Parts};
use super::settings::{Marker, Probe, References, Site, Standby, Visitor};
use super::source::KeyPath;
use super::toggles::{self, Credentials};
use super::value;
use crate::core::Policy;

/// A site, unless there is something to complain about. All parts are looked at in any case.
pub(super) fn build(
    inspector: &mut Inspector<'_>,
    credentials: Credentials<'_>,
    name: &str,
    raw: &raw::Site,
) -> Option<Site> {
    let path = KeyPath::of(&["site", name]);
    inspector.name(&path, name);
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
    let standby_path = path.join("standby");
    let pass = toggles::pass(inspector, credentials, &standby_path, raw);
    let standby = standby(inspector, &standby_path, &raw.standby);
    let standby = standby.zip(pass).map(|(standby, google)| Standby { google, ..standby });
    let probe = probe(inspector, &path.join("probe"), &raw.probe, url.as_ref());
    let visitor = visitor(inspector, &path.join("visitor"), &raw.visitor);
    let references = references(inspector, &path.join("references"), &raw.references);
    let gate = raw
        .gate
        .as_ref()
        .map(|raw| toggles::gate(inspector, credentials, &path.join("gate"), raw));
    let redirect_path = path.join("redirect");
    let host = url.as_ref().and_then(url::Url::host_str);
    let coverage = raw
        .redirect
        .as_ref()
        .map(|raw| toggles::coverage(inspector, &redirect_path, raw, host));
    let redirect = raw.redirect.as_ref().zip(coverage.clone());
    let redirect =
        redirect.map(|(raw, coverage)| toggles::redirect(inspector, credentials, &redirect_path, raw, coverage));
    let silences = toggles::silences(inspector, credentials, &path.join("silence"), &raw.silence);
    rules::durations(inspector, &path, raw);
    rules::thresholds(inspector, &path, raw);
    rules::no_gate_beside_a_worker(inspector, &path, raw);
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
        google: None,
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
