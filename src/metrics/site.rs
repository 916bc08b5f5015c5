//! The series of one site, resolved once at start so that counting never makes a new one.

use std::sync::{Mutex, PoisonError};

use prometheus::{Counter, Gauge, Histogram, IntCounter, IntGauge, IntGaugeVec};

use super::families::Families;
use super::{Operation, seconds};
use crate::core::status::{Judgement, Seen, Switched, ToggleStatus, Totals};
use crate::core::{
    Duration, Eye, FailureKind, Instant, Mode, Now, Outcome, Part, Phase, Position, Route, Sighting, Status, ToggleKey,
    Verdict, View, Wall,
};
use crate::probe::Report;

/// The causes that are not an origin's outcome; with those, every value of `Cause::label`.
const CAUSES: [&str; 8] = [
    "home_serves",
    "own_path",
    "own_uplink",
    "edge_broken",
    "edge_lost_home",
    "app_broken",
    "operator",
    "found_switched",
];
/// The eyes whose looks are sightings.
const EYES: [Eye; 3] = [Eye::Visitor, Eye::Standby, Eye::Edge];

#[derive(Debug)]
pub(super) struct SiteMetrics {
    phase: OneHot,
    phase_seconds: Vec<(&'static str, Counter)>,
    counted_to: Mutex<Option<(Instant, &'static str)>>,
    mode: OneHot,
    override_expiry: IntGauge,
    route: OneHot,
    switched: OneHot,
    verdict: OneHot,
    verdict_cause: OneHot,
    verdict_timestamp: IntGauge,
    verdict_age: Gauge,
    eyes: Vec<(Eye, EyeMetrics)>,
    pub(super) references: IntGauge,
    probes: Vec<(&'static str, IntCounter)>,
    probe_parts: Vec<(Part, Histogram)>,
    probe_total: Histogram,
    toggles: Vec<(ToggleKey, ToggleMetrics)>,
    totals: TotalMetrics,
    episode_start: IntGauge,
    up_for: Gauge,
    blind: IntGauge,
    observed_enough: IntGauge,
    clock_doubtful: IntGauge,
    save_failing: IntGauge,
    pub(super) save_failures: IntCounter,
}

/// A gauge per label, of which at most one is 1.
#[derive(Debug)]
struct OneHot(Vec<(&'static str, IntGauge)>);

#[derive(Debug)]
struct EyeMetrics {
    view: OneHot,
    timestamp: IntGauge,
    looks: Vec<(&'static str, IntCounter)>,
    duration: Histogram,
}

#[derive(Debug)]
pub(super) struct ToggleMetrics {
    desired: IntGauge,
    configured: IntGauge,
    effective: IntGauge,
    verified: IntGauge,
    failing: IntGauge,
    operations: Vec<(Operation, &'static str, IntCounter)>,
    durations: Vec<(Operation, Histogram)>,
}

#[derive(Debug)]
struct TotalMetrics {
    episodes: IntCounter,
    failovers: IntCounter,
    failbacks: IntCounter,
    rollbacks: IntCounter,
    drifts: IntCounter,
}

impl SiteMetrics {
    pub(super) fn new(families: &Families, site: &str, toggles: &[ToggleKey]) -> Self {
        let counters = |label: &'static str| (label, families.phase_seconds.with_label_values(&[site, label]));
        let causes = CAUSES.into_iter().chain(Outcome::LABELS.into_iter().skip(1));
        let probes = |label: &'static str| (label, families.probes.with_label_values(&[site, label]));
        let part = |part: Part| (part, families.probe_duration.with_label_values(&[site, part.label()]));
        Self {
            phase: OneHot::new(&families.phase, &[site], Phase::LABELS),
            phase_seconds: Phase::LABELS.into_iter().map(counters).collect(),
            counted_to: Mutex::new(None),
            mode: OneHot::new(&families.mode, &[site], Mode::LABELS),
            override_expiry: families.override_expiry.with_label_values(&[site]),
            route: OneHot::new(
                &families.route,
                &[site],
                [Route::Origin, Route::Standby].map(Route::label),
            ),
            switched: OneHot::new(&families.switched, &[site], Switched::LABELS),
            verdict: OneHot::new(&families.verdict, &[site], Verdict::ALL.map(Verdict::label)),
            verdict_cause: OneHot::new(&families.verdict_cause, &[site], causes),
            verdict_timestamp: families.verdict_timestamp.with_label_values(&[site]),
            verdict_age: families.verdict_age.with_label_values(&[site]),
            eyes: Vec::from(EYES.map(|eye| (eye, EyeMetrics::new(families, site, eye)))),
            references: families.references.with_label_values(&[site]),
            probes: Outcome::LABELS.into_iter().map(probes).collect(),
            probe_parts: Part::ALL.into_iter().map(part).collect(),
            probe_total: families.probe_duration.with_label_values(&[site, "total"]),
            toggles: toggles
                .iter()
                .map(|key| (*key, ToggleMetrics::new(families, site, *key)))
                .collect(),
            totals: TotalMetrics::new(families, site),
            episode_start: families.episode_start.with_label_values(&[site]),
            up_for: families.up_for.with_label_values(&[site]),
            blind: families.blind.with_label_values(&[site]),
            observed_enough: families.observed_enough.with_label_values(&[site]),
            clock_doubtful: families.clock_doubtful.with_label_values(&[site]),
            save_failing: families.save_failing.with_label_values(&[site]),
            save_failures: families.save_failures.with_label_values(&[site]),
        }
    }

    pub(super) fn observe_status(&self, status: &Status, now: Now) {
        self.count_phase(status, now.at);
        self.phase.set(Some(status.phase.label()));
        self.mode.set(Some(status.mode.label()));
        self.override_expiry
            .set(status.mode.pin().map_or(0, |pin| seconds(pin.until)));
        self.route.set(Some(status.route.label()));
        self.switched.set(Some(status.switched.label()));
        self.observe_verdict(status.verdict.as_ref(), now);
        for (eye, seen) in [(Eye::Visitor, status.visitor), (Eye::Standby, status.standby)] {
            if let Some(metrics) = self.eye(eye) {
                metrics.seen(seen, now);
            }
        }
        for toggle in &status.toggles {
            if let Some(metrics) = self.toggle(toggle.key) {
                metrics.observe(toggle, now);
            }
        }
        self.totals.observe(&status.totals);
        self.episode_start
            .set(status.episode.map_or(0, |episode| seconds(episode.began)));
        self.up_for.set(status.up_for.as_secs_f64());
        self.blind.set(timestamp(status.blind_since, now));
        self.observed_enough.set(i64::from(status.observed_enough));
        self.clock_doubtful.set(i64::from(status.clock_doubtful));
        self.save_failing.set(i64::from(!status.saving));
    }

    pub(super) fn probed(&self, report: &Report) {
        count(&self.probes, report.outcome.label());
        let mut total = Duration::ZERO;
        for (part, histogram) in &self.probe_parts {
            if let Some(took) = report.timings.get(*part) {
                histogram.observe(took.as_secs_f64());
                total += took;
            }
        }
        self.probe_total.observe(total.as_secs_f64());
    }

    pub(super) fn looked(&self, eye: Eye, sighting: &Sighting) {
        if let Some(metrics) = self.eye(eye) {
            count(&metrics.looks, sighting.view.label());
            metrics.duration.observe(sighting.took.as_secs_f64());
            if eye == Eye::Edge {
                metrics.view.set(Some(sighting.view.label()));
            }
        }
    }

    pub(super) fn toggle(&self, key: ToggleKey) -> Option<&ToggleMetrics> {
        let mut toggles = self.toggles.iter();
        toggles.find(|(found, _)| *found == key).map(|(_, metrics)| metrics)
    }

    fn eye(&self, eye: Eye) -> Option<&EyeMetrics> {
        let mut eyes = self.eyes.iter();
        eyes.find(|(found, _)| *found == eye).map(|(_, metrics)| metrics)
    }

    fn observe_verdict(&self, verdict: Option<&Judgement>, now: Now) {
        self.verdict.set(verdict.map(|judged| judged.verdict.label()));
        self.verdict_cause.set(verdict.map(|judged| judged.cause.label()));
        self.verdict_timestamp
            .set(timestamp(verdict.map(|judged| judged.at), now));
        let since = verdict.map_or(Instant::ZERO, |judged| judged.at);
        self.verdict_age.set(now.at.since(since).as_secs_f64());
    }

    /// Adds the time since the last call to the phases it was spent in.
    fn count_phase(&self, status: &Status, now: Instant) {
        let mut counted_to = self.counted_to.lock().unwrap_or_else(PoisonError::into_inner);
        let (from, before) = counted_to.unwrap_or((status.phase_since, status.phase.label()));
        let changed = status.phase_since.clamp(from, now.max(from));
        self.add_phase(before, changed.since(from));
        self.add_phase(status.phase.label(), now.since(changed));
        *counted_to = Some((now.max(from), status.phase.label()));
    }

    fn add_phase(&self, label: &str, spent: Duration) {
        if let Some((_, counter)) = self.phase_seconds.iter().find(|(found, _)| *found == label) {
            counter.inc_by(spent.as_secs_f64());
        }
    }
}

impl OneHot {
    fn new(family: &IntGaugeVec, before: &[&str], labels: impl IntoIterator<Item = &'static str>) -> Self {
        let gauge = |label: &'static str| {
            let values: Vec<&str> = before.iter().copied().chain([label]).collect();
            (label, family.with_label_values(&values))
        };
        Self(labels.into_iter().map(gauge).collect())
    }

    fn set(&self, label: Option<&str>) {
        for (found, gauge) in &self.0 {
            gauge.set(i64::from(Some(*found) == label));
        }
    }
}

impl EyeMetrics {
    fn new(families: &Families, site: &str, eye: Eye) -> Self {
        let looks = |label: &'static str| {
            let values = [site, eye.label(), label];
            (label, families.looks.with_label_values(&values))
        };
        Self {
            view: OneHot::new(&families.view, &[site, eye.label()], View::LABELS),
            timestamp: families.view_timestamp.with_label_values(&[site, eye.label()]),
            looks: View::LABELS.into_iter().map(looks).collect(),
            duration: families.look_duration.with_label_values(&[site, eye.label()]),
        }
    }

    fn seen(&self, seen: Option<Seen>, now: Now) {
        self.view.set(seen.as_ref().map(|seen| seen.view.label()));
        self.timestamp.set(timestamp(seen.map(|seen| seen.at), now));
    }
}

impl ToggleMetrics {
    fn new(families: &Families, site: &str, key: ToggleKey) -> Self {
        let key = key.to_string();
        let position = |view: &str| {
            let gauge = families.toggle_position.with_label_values(&[site, &key, view]);
            gauge.set(position_value(None));
            gauge
        };
        let results: Vec<&str> = std::iter::once("ok")
            .chain(FailureKind::ALL.map(FailureKind::label))
            .collect();
        let operation = |operation: Operation, result: &'static str| {
            let values = [site, &key, operation.label(), result];
            (operation, result, families.toggle_operations.with_label_values(&values))
        };
        let duration = |operation: Operation| {
            let values = [site, &key, operation.label()];
            (operation, families.toggle_duration.with_label_values(&values))
        };
        Self {
            desired: position("desired"),
            configured: position("configured"),
            effective: position("effective"),
            verified: position("verified"),
            failing: families.toggle_failing.with_label_values(&[site, &key]),
            operations: Operation::ALL
                .into_iter()
                .flat_map(|which| results.iter().map(move |result| (which, *result)))
                .map(|(which, result)| operation(which, result))
                .collect(),
            durations: Vec::from(Operation::ALL.map(duration)),
        }
    }

    fn observe(&self, toggle: &ToggleStatus, now: Now) {
        self.desired.set(position_value(toggle.desired));
        self.configured.set(position_value(toggle.observed.configured));
        self.effective.set(position_value(toggle.observed.effective));
        self.verified.set(position_value(toggle.verified));
        self.failing.set(timestamp(toggle.failing_since, now));
    }

    pub(super) fn settled(&self, operation: Operation, result: Result<(), FailureKind>, took: Duration) {
        let result = result.map_or_else(FailureKind::label, |()| "ok");
        let mut operations = self.operations.iter();
        if let Some((.., counter)) = operations.find(|(which, found, _)| *which == operation && *found == result) {
            counter.inc();
        }
        if let Some((_, histogram)) = self.durations.iter().find(|(which, _)| *which == operation) {
            histogram.observe(took.as_secs_f64());
        }
    }
}

impl TotalMetrics {
    fn new(families: &Families, site: &str) -> Self {
        Self {
            episodes: families.episodes.with_label_values(&[site]),
            failovers: families.failovers.with_label_values(&[site]),
            failbacks: families.failbacks.with_label_values(&[site]),
            rollbacks: families.rollbacks.with_label_values(&[site]),
            drifts: families.drifts.with_label_values(&[site]),
        }
    }

    fn observe(&self, totals: &Totals) {
        let pairs = [
            (&self.episodes, totals.episodes),
            (&self.failovers, totals.failovers),
            (&self.failbacks, totals.failbacks),
            (&self.rollbacks, totals.rollbacks),
            (&self.drifts, totals.drifts),
        ];
        for (counter, total) in pairs {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }
}

fn count(series: &[(&'static str, IntCounter)], label: &str) {
    if let Some((_, counter)) = series.iter().find(|(found, _)| *found == label) {
        counter.inc();
    }
}

/// 1 standby in use, 0 not in use, -1 not known.
const fn position_value(position: Option<Position>) -> i64 {
    match position {
        Some(Position::On) => 1,
        Some(Position::Off) => 0,
        None => -1,
    }
}

/// When `instant` was on the wall, in seconds; 0 for none.
fn timestamp(instant: Option<Instant>, now: Now) -> i64 {
    let Some(instant) = instant else { return 0 };
    let ago = u64::try_from(now.at.since(instant).as_millis()).unwrap_or(u64::MAX);
    seconds(Wall(now.wall.0.saturating_sub(ago)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Cause, Why};

    #[test]
    fn every_cause_has_a_series() {
        let known = |cause: Cause| match cause {
            Cause::Origin(_) => Outcome::LABELS.contains(&cause.label()),
            Cause::HomeServes
            | Cause::OwnPath
            | Cause::OwnUplink
            | Cause::EdgeBroken
            | Cause::EdgeLostHome
            | Cause::AppBroken
            | Cause::Operator
            | Cause::FoundSwitched => CAUSES.contains(&cause.label()),
        };
        for cause in [
            Cause::HomeServes,
            Cause::OwnPath,
            Cause::OwnUplink,
            Cause::EdgeBroken,
            Cause::EdgeLostHome,
            Cause::AppBroken,
            Cause::Operator,
            Cause::FoundSwitched,
            Cause::Origin(Why::Certificate),
            Cause::Origin(Why::Status(500)),
        ] {
            assert!(known(cause), "{cause:?}");
        }
    }
}
