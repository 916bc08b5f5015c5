//! Rules that span several keys: what a config may say key by key but not all at once.

use std::collections::BTreeMap;

use url::Url;

use super::inspector::Inspector;
use super::raw;
use super::settings::{Marker, Probe, ProbePath, Reference, References, Standby, Visitor};
use super::source::KeyPath;
use super::switches::Coverage;
use super::table::Table;
use super::value;

/// How two durations have to stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Below,
    AtMost,
}

/// Durations that contradict each other.
pub(super) fn durations(inspector: &mut Inspector<'_>, site: &KeyPath, raw: &raw::Site) {
    use Order::{AtMost, Below};

    let (probe, policy, timing) = (&raw.probe, &raw.policy, &raw.timing);
    let toggle_timeout = (("timing", "toggle_timeout"), timing.toggle_timeout);
    let pairs = [
        (
            (("probe", "timeout"), probe.timeout),
            AtMost,
            (("probe", "interval"), probe.interval),
            "or probes pile up while home is silent",
        ),
        (
            (("probe", "hedge_after"), probe.hedge_after),
            Below,
            (("probe", "timeout"), probe.timeout),
            "or no probe is ever late before it has failed",
        ),
        (
            (("probe", "confirm_interval"), probe.confirm_interval),
            AtMost,
            (("probe", "interval"), probe.interval),
            "or confirming is slower than the schedule",
        ),
        (
            toggle_timeout,
            Below,
            (("timing", "gate_patience"), timing.gate_patience),
            "or patience ends before the first try on the gate does",
        ),
        (
            toggle_timeout,
            Below,
            (("timing", "drain"), timing.drain),
            "or the gate may shut while the redirect's answer is still out",
        ),
        (
            toggle_timeout,
            Below,
            (("timing", "verify_every"), timing.verify_every),
            "or reads of a toggle overtake each other",
        ),
        (
            (("policy", "up_for"), policy.up_for),
            AtMost,
            (("policy", "up_for_max"), policy.up_for_max),
            "or the first failback waits longer than any relapse may make it",
        ),
    ];
    for ((left, is), order, (right, limit), why) in pairs {
        let holds = match order {
            Below => is < limit,
            AtMost => is <= limit,
        };
        if !holds {
            let relation = if order == Below { "below" } else { "at most" };
            let at = |(section, key): (&str, &str)| site.join(section).join(key);
            inspector.complain_together(
                &[&at(left), &at(right)],
                format!("is {is}, and {}.{} is {limit}", right.0, right.1),
                format!("keep {}.{} {relation} {}.{}, {why}", left.0, left.1, right.0, right.1),
            );
        }
    }
}

/// Thresholds that decide on nothing.
pub(super) fn thresholds(inspector: &mut Inspector<'_>, site: &KeyPath, raw: &raw::Site) {
    let policy = &raw.policy;
    let thresholds = [
        ("unhealthy_threshold", policy.unhealthy_threshold),
        ("clear_threshold", policy.clear_threshold),
        ("healthy_threshold", policy.healthy_threshold),
    ];
    for (key, threshold) in thresholds {
        if threshold == 0 {
            inspector.complain(
                &site.join("policy").join(key),
                "is 0, so it would be reached without a probe",
                "write 1 or more",
            );
        }
    }
}

/// A redirect that browsers forget.
pub(super) fn redirect_status(inspector: &mut Inspector<'_>, path: &KeyPath, status: Option<u16>) -> Option<u16> {
    let fix = "write 302 (or 307, which keeps the method) here, and set the same in the rule at Cloudflare";
    match status {
        Some(status @ (302 | 307)) => return Some(status),
        None => inspector.complain(
            path,
            "is missing, and Cloudflare then sends 301, which browsers keep for ever",
            fix,
        ),
        Some(status @ (301 | 308)) => inspector.complain(
            path,
            format!("is {status}, which browsers keep for ever: they would not come home again"),
            fix,
        ),
        Some(status) => inspector.complain(path, format!("is {status}, which is no temporary redirect"), fix),
    }
    None
}

/// Those parts of a site that could be read.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) url: Option<&'a Url>,
    pub(super) home: Option<&'a Marker>,
    pub(super) standby: Option<&'a Standby>,
    pub(super) probe: Option<&'a Probe>,
    pub(super) visitor: Option<&'a Visitor>,
    pub(super) references: Option<&'a References>,
    pub(super) coverage: Option<&'a Coverage>,
    /// Whether the redirect's kind can leave paths alone.
    pub(super) excludes_paths: bool,
}

/// Everything that takes several parts of a site to see.
pub(super) fn together(inspector: &mut Inspector<'_>, site: &KeyPath, parts: &Parts<'_>) {
    if let (Some(home), Some(standby)) = (parts.home, parts.standby) {
        markers(inspector, site, home, &standby.marker);
    }
    if let Some(references) = parts.references {
        mirror(inspector, site, parts, references);
    }
    if let Some(coverage) = parts.coverage {
        covered(inspector, site, parts, coverage);
        caught(inspector, site, parts, coverage);
    }
}

fn markers(inspector: &mut Inspector<'_>, site: &KeyPath, home: &Marker, standby: &Marker) {
    let (key, alike) = match (home, standby) {
        (Marker::Body(home), Marker::Body(standby)) => (
            "body",
            home.contains(standby.as_str()) || standby.contains(home.as_str()),
        ),
        (home, standby) => ("header", home == standby),
    };
    if alike {
        inspector.complain(
            &site.join("standby").join(key),
            "also matches home's pages, so the standby would pass for home",
            "give home and standby markers of which neither contains the other",
        );
    }
}

fn mirror(inspector: &mut Inspector<'_>, site: &KeyPath, parts: &Parts<'_>, references: &References) {
    let targets = &references.targets;
    let targets_path = site.join("references").join("targets");
    let over_tls = |target: &Reference| matches!(target, Reference::Page(url) if url.scheme() == "https");
    if parts.probe.is_some_and(|probe| probe.url.scheme() == "https") && !targets.iter().any(over_tls) {
        inspector.complain(
            &targets_path,
            "has no https page, but the probe uses TLS: a fault in our own TLS would pass for an outage at home",
            "add one, for example \"https://www.gstatic.com/generate_204\"",
        );
    }
    let Some(own) = parts.url.map(value::url_owner) else {
        return;
    };
    if let Some(index) = targets.iter().position(|target| value::reference_owner(target) == own) {
        inspector.complain(
            &targets_path.join(index),
            "belongs to the site itself, and goes dark with it",
            "name a third party's",
        );
    }
}

/// The redirect covers the public host and not the standby's.
fn covered(inspector: &mut Inspector<'_>, site: &KeyPath, parts: &Parts<'_>, coverage: &Coverage) {
    let hosts_path = site.join("redirect").join("hosts");
    if parts.url.is_some_and(|url| !coverage.catches(url)) {
        inspector.complain(
            &hosts_path,
            "does not cover the site's public URL, so visitors would stay where they are",
            "add the host of the site's url, and do not exclude its path",
        );
    }
    let host = parts.standby.and_then(|standby| standby.url.host_str());
    if host.is_some_and(|host| coverage.covers(host)) {
        inspector.complain_together(
            &[&site.join("standby").join("url"), &hosts_path],
            "has a host that the redirect covers: visitors would go in a circle",
            "serve the standby under a host of its own, outside redirect.hosts",
        );
    }
}

/// Neither the probe nor the edge eye may be sent to the standby by our own redirect.
fn caught(inspector: &mut Inspector<'_>, site: &KeyPath, parts: &Parts<'_>, coverage: &Coverage) {
    let remedy = if parts.excludes_paths {
        "use a path in redirect.excluded_paths or a host outside redirect.hosts"
    } else {
        "a page_rule takes the whole host, so use a host outside redirect.hosts"
    };
    let hosts_path = site.join("redirect").join("hosts");
    if let Some(probe) = parts.probe {
        let covered = probe.url.host_str().is_some_and(|host| coverage.covers(host));
        let url_path = site.join("probe").join("url");
        match probe.path {
            ProbePath::Edge if coverage.catches(&probe.url) => inspector.complain_together(
                &[&url_path, &hosts_path],
                "is caught by the redirect: after a failover the probe would see the standby and call it home",
                remedy,
            ),
            ProbePath::Direct if probe.connect_to.is_none() && covered => inspector.complain_together(
                &[&url_path, &hosts_path, &site.join("probe").join("connect_to")],
                "is caught by the redirect: its host is one that the edge serves, so path = \"direct\" would not pass it",
                format!("set connect_to = \"HOME:443\", or write path = \"edge\" and {remedy}"),
            ),
            ProbePath::Edge | ProbePath::Direct => {}
        }
    }
    let edge_url = parts.visitor.and_then(|visitor| visitor.edge_url.as_ref());
    if edge_url.is_some_and(|url| coverage.catches(url)) {
        inspector.complain_together(
            &[&site.join("visitor").join("edge_url"), &hosts_path],
            "is caught by the redirect: it shall show whether the edge reaches home while the redirect is on",
            remedy,
        );
    }
}

/// A route takes what its pattern says, whatever is declared beside it.
pub(super) fn within_pattern(inspector: &mut Inspector<'_>, redirect: &KeyPath, pattern: &str, coverage: &Coverage) {
    let taken = Coverage {
        hosts: vec![pattern.trim_end_matches("/*").to_owned()],
        excluded_paths: Vec::new(),
    };
    let outside = coverage
        .hosts
        .iter()
        .find(|host| !taken.covers(host) && !taken.hosts.contains(host));
    if let Some(host) = outside {
        inspector.complain_together(
            &[&redirect.join("pattern"), &redirect.join("hosts")],
            format!("does not take the host {host:?}"),
            "one route serves one host, or with *.HOST/* all below it: make pattern and hosts agree",
        );
    }
}

/// The Worker has its own way through a closed gate; one that opens would only let strangers in.
pub(super) fn no_gate_beside_a_worker(inspector: &mut Inspector<'_>, site: &KeyPath, raw: &raw::Site) {
    let kind = raw.redirect.as_ref().and_then(|redirect| redirect.kind);
    if kind == Some(raw::RedirectKind::WorkerRoute) && raw.gate.is_some() {
        inspector.complain_together(
            &[&site.join("gate"), &site.join("redirect").join("kind")],
            "stands beside a worker_route, which passes a closed gate: it would open the standby for nothing",
            "take the gate out, and write standby.google = \"NAME\", the credential that the closed standby is asked with",
        );
    }
}

/// Two sites on one redirect rule: one's failover would move the other's visitors.
pub(super) fn one_rule_each(inspector: &mut Inspector<'_>, sites: &BTreeMap<String, Table<raw::Site>>) {
    let mut owners: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for (name, site) in sites {
        let Some(redirect) = &site.redirect else { continue };
        let named = [
            ("ref", &redirect.rule_ref),
            ("rule_id", &redirect.rule_id),
            ("pattern", &redirect.pattern),
        ];
        let Some((key, rule)) = named.into_iter().find_map(|(key, rule)| Some((key, rule.as_ref()?))) else {
            continue;
        };
        let Some(zone) = &redirect.zone_id else { continue };
        if let Some(first) = owners.insert((zone, rule), name) {
            inspector.complain(
                &KeyPath::of(&["site", name, "redirect", key]),
                format!("is the same rule as site.{first}'s: one site's failover would move the other's visitors"),
                "give each site a rule of its own",
            );
        }
    }
}

/// Sites that share a service share one way to open it: the first one's would drive it for all.
pub(super) fn one_mode_each(inspector: &mut Inspector<'_>, sites: &BTreeMap<String, Table<raw::Site>>) {
    let mut modes: BTreeMap<[&str; 3], (&str, raw::GateMode)> = BTreeMap::new();
    for (name, site) in sites {
        let Some(gate) = &site.gate else { continue };
        let (Some(project), Some(region), Some(service)) = (&gate.project, &gate.region, &gate.service) else {
            continue;
        };
        let own = gate.mode.unwrap_or_default();
        let (first, mode) = *modes.entry([project, region, service]).or_insert((name, own));
        if mode != own {
            inspector.complain(
                &KeyPath::of(&["site", name, "gate", "mode"]),
                format!("is not the mode of site.{first}'s gate, which is the same service"),
                "give both the same mode",
            );
        }
    }
}

/// Two sites cannot share one program that sends visitors away.
pub(super) fn one_program_each(inspector: &mut Inspector<'_>, sites: &BTreeMap<String, Table<raw::Site>>) {
    let mut owners: BTreeMap<&[String], &str> = BTreeMap::new();
    for (name, site) in sites {
        let command = site.redirect.as_ref().map(|redirect| redirect.command.as_slice());
        let Some(command) = command.filter(|command| !command.is_empty()) else {
            continue;
        };
        if let Some(first) = owners.insert(command, name) {
            inspector.complain(
                &KeyPath::of(&["site", name, "redirect", "command"]),
                format!("is the same as site.{first}'s: one site's failover would move the other's visitors"),
                "give each site a command of its own: an argument that names the site will do",
            );
        }
    }
}
