//! What the daemon counts: one registry with every series present at zero from the start. Names are in `families.rs`.

mod families;
mod process;
mod site;

use std::collections::BTreeMap;

use prometheus::{IntCounter, IntGauge, Registry, TextEncoder};

use self::families::Families;
use self::process::ProcessCollector;
use self::site::SiteMetrics;
use crate::core::{Duration, Eye, FailureKind, Now, Reflection, Sighting, Status, ToggleKey, Wall};
use crate::notify::{Dropped, Happening, Tally, TellFailure};
use crate::probe::Report;

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// What has to be known at start, so that every series is there at zero.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// The sites, each with its toggles.
    pub sites: BTreeMap<String, Vec<ToggleKey>>,
    /// The targets of notices.
    pub targets: Vec<String>,
    /// The credentials that provider calls are made with.
    pub credentials: Vec<String>,
}

/// What is done with a toggle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Read it.
    Observe,
    /// Make it so.
    Set,
}

impl Operation {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Observe, Self::Set];

    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Set => "set",
        }
    }
}

/// Kinds of calls to a provider's API, as the meters count them.
const CALL_KINDS: [&str; 3] = ["read", "write", "held_back"];

/// All metrics. Every call with a site, target or credential that was not declared at start is passed over: label sets are closed.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sites: BTreeMap<String, SiteMetrics>,
    targets: BTreeMap<String, TargetMetrics>,
    calls: BTreeMap<String, [IntCounter; CALL_KINDS.len()]>,
}

#[derive(Debug)]
struct TargetMetrics {
    sent: IntCounter,
    failed: Vec<(TellFailure, IntCounter)>,
    dropped: Vec<(Dropped, IntCounter)>,
    waiting: IntGauge,
    disabled: IntGauge,
    last_success: IntGauge,
}

impl Metrics {
    /// All series at zero. Fails only when two metrics share a name.
    pub fn new(labels: &Labels, started: Wall) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let families = Families::new(&registry)?;
        registry.register(Box::new(ProcessCollector::new(started)?))?;
        families.build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let sites = labels.sites.iter();
        let calls = |credential: &String| {
            let series = CALL_KINDS.map(|kind| families.provider_calls.with_label_values(&[credential.as_str(), kind]));
            (credential.clone(), series)
        };
        Ok(Self {
            sites: sites
                .map(|(name, toggles)| (name.clone(), SiteMetrics::new(&families, name, toggles)))
                .collect(),
            targets: labels
                .targets
                .iter()
                .map(|name| (name.clone(), TargetMetrics::new(&families, name)))
                .collect(),
            calls: labels.credentials.iter().map(calls).collect(),
            registry,
        })
    }

    /// Takes over a site's status: on each change, and once more when the metrics are read.
    pub fn observe_status(&self, site: &str, status: &Status, now: Now) {
        if let Some(site) = self.sites.get(site) {
            site.observe_status(status, now);
        }
    }

    /// A probe of the origin ended.
    pub fn probed(&self, site: &str, report: &Report) {
        if let Some(site) = self.sites.get(site) {
            site.probed(report);
        }
    }

    /// A look through the visitor's, the standby's or the edge's eye ended.
    pub fn looked(&self, site: &str, eye: Eye, sighting: &Sighting) {
        if let Some(site) = self.sites.get(site) {
            site.looked(eye, sighting);
        }
    }

    /// The references answered, or did not.
    pub fn mirrored(&self, site: &str, reflection: &Reflection) {
        if let Some(site) = self.sites.get(site) {
            site.references.set(i64::from(reflection.answered));
        }
    }

    /// An operation on a toggle ended.
    pub fn settled(
        &self,
        site: &str,
        toggle: ToggleKey,
        operation: Operation,
        result: Result<(), FailureKind>,
        took: Duration,
    ) {
        if let Some(toggle) = self.sites.get(site).and_then(|site| site.toggle(toggle)) {
            toggle.settled(operation, result, took);
        }
    }

    /// A save of a site's state failed, or took too long.
    pub fn save_failed(&self, site: &str) {
        if let Some(site) = self.sites.get(site) {
            site.save_failures.inc();
        }
    }

    /// Calls made so far with a credential: reads, writes, and those held back because our own budget was spent.
    pub fn called(&self, credential: &str, totals: [u64; 3]) {
        for (counter, total) in self.calls.get(credential).into_iter().flatten().zip(totals) {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    /// All series in Prometheus' text format.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl Tally for Metrics {
    fn note(&self, target: &str, happening: Happening) {
        let Some(target) = self.targets.get(target) else { return };
        match happening {
            Happening::Sent(at) => {
                target.sent.inc();
                target.last_success.set(seconds(at));
            }
            Happening::Failed(why) => increment(&target.failed, why),
            Happening::Dropped(why) => increment(&target.dropped, why),
            Happening::Waiting(waiting) => target.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX)),
            Happening::Disabled => target.disabled.set(1),
        }
    }
}

impl TargetMetrics {
    fn new(families: &Families, name: &str) -> Self {
        Self {
            sent: families.notices_sent.with_label_values(&[name]),
            failed: TellFailure::ALL
                .map(|why| (why, families.notices_failed.with_label_values(&[name, why.label()])))
                .to_vec(),
            dropped: Dropped::ALL
                .map(|why| (why, families.notices_dropped.with_label_values(&[name, why.label()])))
                .to_vec(),
            waiting: families.notices_waiting.with_label_values(&[name]),
            disabled: families.notice_disabled.with_label_values(&[name]),
            last_success: families.notice_success.with_label_values(&[name]),
        }
    }
}

fn increment<L: Copy + PartialEq>(series: &[(L, IntCounter)], label: L) {
    if let Some((_, counter)) = series.iter().find(|(found, _)| *found == label) {
        counter.inc();
    }
}

/// A wall time as a gauge of whole seconds.
fn seconds(wall: Wall) -> i64 {
    i64::try_from(wall.unix_secs()).unwrap_or(i64::MAX)
}
