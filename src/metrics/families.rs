//! Every metric's name, help and labels. A rename here is a breaking change for dashboards and alerts.

use prometheus::core::Collector;
use prometheus::{CounterVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// Buckets of everything that goes over the network: from a neighbour to the longest deadline.
const SECONDS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 25.0];

/// All families but the process's own.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) phase: IntGaugeVec,
    pub(super) phase_seconds: CounterVec,
    pub(super) mode: IntGaugeVec,
    pub(super) override_expiry: IntGaugeVec,
    pub(super) route: IntGaugeVec,
    pub(super) switched: IntGaugeVec,
    pub(super) verdict: IntGaugeVec,
    pub(super) verdict_cause: IntGaugeVec,
    pub(super) verdict_timestamp: IntGaugeVec,
    pub(super) verdict_age: prometheus::GaugeVec,
    pub(super) view: IntGaugeVec,
    pub(super) view_timestamp: IntGaugeVec,
    pub(super) looks: IntCounterVec,
    pub(super) look_duration: HistogramVec,
    pub(super) references: IntGaugeVec,
    pub(super) probes: IntCounterVec,
    pub(super) probe_duration: HistogramVec,
    pub(super) toggle_position: IntGaugeVec,
    pub(super) toggle_failing: IntGaugeVec,
    pub(super) toggle_operations: IntCounterVec,
    pub(super) toggle_duration: HistogramVec,
    pub(super) provider_calls: IntCounterVec,
    pub(super) episodes: IntCounterVec,
    pub(super) failovers: IntCounterVec,
    pub(super) failbacks: IntCounterVec,
    pub(super) rollbacks: IntCounterVec,
    pub(super) drifts: IntCounterVec,
    pub(super) episode_start: IntGaugeVec,
    pub(super) up_for: prometheus::GaugeVec,
    pub(super) blind: IntGaugeVec,
    pub(super) observed_enough: IntGaugeVec,
    pub(super) clock_doubtful: IntGaugeVec,
    pub(super) save_failing: IntGaugeVec,
    pub(super) save_failures: IntCounterVec,
    pub(super) notices_sent: IntCounterVec,
    pub(super) notices_failed: IntCounterVec,
    pub(super) notices_dropped: IntCounterVec,
    pub(super) notices_waiting: IntGaugeVec,
    pub(super) notice_disabled: IntGaugeVec,
    pub(super) notice_success: IntGaugeVec,
    pub(super) build: IntGaugeVec,
}

impl Families {
    /// Makes and registers them all.
    #[expect(clippy::too_many_lines, reason = "a table: one entry per metric")]
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let r = registry;
        Ok(Self {
            phase: gauge(
                r,
                "pilotlight_phase",
                "Where the site stands: 1 for the current phase, 0 for the others.",
                &["site", "phase"],
            )?,
            phase_seconds: add(
                r,
                CounterVec::new(
                    Opts::new(
                        "pilotlight_phase_seconds_total",
                        "Time spent in each phase since the start of the process.",
                    ),
                    &["site", "phase"],
                )?,
            )?,
            mode: gauge(
                r,
                "pilotlight_mode",
                "Who is in command: 1 for the current mode, 0 for the others.",
                &["site", "mode"],
            )?,
            override_expiry: gauge(
                r,
                "pilotlight_override_expiry_timestamp_seconds",
                "When the operator's override ends by itself; 0 without one.",
                &["site"],
            )?,
            route: gauge(
                r,
                "pilotlight_route",
                "Where visitors shall go: 1 for the current route, 0 for the other.",
                &["site", "route"],
            )?,
            switched: gauge(
                r,
                "pilotlight_switched",
                "How far the switch towards the route is: 1 for the current state, 0 for the others.",
                &["site", "state"],
            )?,
            verdict: gauge(
                r,
                "pilotlight_verdict",
                "What the last round of probing says of home: 1 for it, 0 for the others; all 0 before the first.",
                &["site", "verdict"],
            )?,
            verdict_cause: gauge(
                r,
                "pilotlight_verdict_cause",
                "Why the last verdict is what it is: 1 for the cause, 0 for the others; all 0 before the first.",
                &["site", "cause"],
            )?,
            verdict_timestamp: gauge(
                r,
                "pilotlight_last_verdict_timestamp_seconds",
                "When the last round was judged; 0 before the first.",
                &["site"],
            )?,
            verdict_age: gauge_f64(
                r,
                "pilotlight_last_verdict_age_seconds",
                "Time since the last round was judged; before the first, since the start of the process.",
                &["site"],
            )?,
            view: gauge(
                r,
                "pilotlight_view",
                "What the eye saw last: 1 for it, 0 for the others; all 0 before the first look.",
                &["site", "eye", "view"],
            )?,
            view_timestamp: gauge(
                r,
                "pilotlight_view_timestamp_seconds",
                "When the eye's last look was sent; 0 before the first.",
                &["site", "eye"],
            )?,
            looks: counter(
                r,
                "pilotlight_looks_total",
                "Looks by eye and by what was seen.",
                &["site", "eye", "view"],
            )?,
            look_duration: histogram(
                r,
                "pilotlight_look_duration_seconds",
                "How long looks took, redirects included.",
                &["site", "eye"],
            )?,
            references: gauge(
                r,
                "pilotlight_references_answering",
                "How many references answered when last asked; 0 before the first time.",
                &["site"],
            )?,
            probes: counter(
                r,
                "pilotlight_probes_total",
                "Probes of the origin by outcome.",
                &["site", "outcome"],
            )?,
            probe_duration: histogram(
                r,
                "pilotlight_probe_duration_seconds",
                "How long probes of the origin took, by part and in total; parts that were not reached are not counted.",
                &["site", "part"],
            )?,
            toggle_position: gauge(
                r,
                "pilotlight_toggle_position",
                "The toggle's position: 1 standby in use, 0 not in use, -1 not known. View: desired (wanted), configured (the provider's record), effective (what a visitor sees), verified (proven).",
                &["site", "toggle", "view"],
            )?,
            toggle_failing: gauge(
                r,
                "pilotlight_toggle_failing_since_timestamp_seconds",
                "Since when operations on the toggle fail; 0 while they work.",
                &["site", "toggle"],
            )?,
            toggle_operations: counter(
                r,
                "pilotlight_toggle_operations_total",
                "Operations on toggles by result.",
                &["site", "toggle", "operation", "result"],
            )?,
            toggle_duration: histogram(
                r,
                "pilotlight_toggle_operation_duration_seconds",
                "How long operations on toggles took.",
                &["site", "toggle", "operation"],
            )?,
            provider_calls: counter(
                r,
                "pilotlight_provider_calls_total",
                "Calls to provider APIs by credential; held_back: not sent, our own budget was spent.",
                &["credential", "kind"],
            )?,
            episodes: counter(
                r,
                "pilotlight_episodes_total",
                "Episodes begun: outages, and suspicions that passed.",
                &["site"],
            )?,
            failovers: counter(
                r,
                "pilotlight_failovers_total",
                "Decisions to send visitors to the standby.",
                &["site"],
            )?,
            failbacks: counter(
                r,
                "pilotlight_failbacks_total",
                "Decisions to send visitors home.",
                &["site"],
            )?,
            rollbacks: counter(
                r,
                "pilotlight_rollbacks_total",
                "Failbacks undone because home was not proven at the public URL.",
                &["site"],
            )?,
            drifts: counter(
                r,
                "pilotlight_drifts_total",
                "Toggles found moved by someone else.",
                &["site"],
            )?,
            episode_start: gauge(
                r,
                "pilotlight_episode_start_timestamp_seconds",
                "When the episode under way began; 0 without one.",
                &["site"],
            )?,
            up_for: gauge_f64(
                r,
                "pilotlight_up_for_seconds",
                "How much quiet going home asks for now; relapses double it.",
                &["site"],
            )?,
            blind: gauge(
                r,
                "pilotlight_blind_since_timestamp_seconds",
                "Since when our own uplink is in doubt and time is frozen; 0 while we see.",
                &["site"],
            )?,
            observed_enough: gauge(
                r,
                "pilotlight_observed_enough",
                "1 once the first full window of own observation is over.",
                &["site"],
            )?,
            clock_doubtful: gauge(
                r,
                "pilotlight_clock_doubtful",
                "1 while references contradict our wall clock.",
                &["site"],
            )?,
            save_failing: gauge(
                r,
                "pilotlight_state_save_failing",
                "1 while the last save of the state did not reach the disk in time.",
                &["site"],
            )?,
            save_failures: counter(
                r,
                "pilotlight_state_save_failures_total",
                "Saves of the state that failed or took too long.",
                &["site"],
            )?,
            notices_sent: counter(r, "pilotlight_notices_sent_total", "Notices delivered.", &["target"])?,
            notices_failed: counter(
                r,
                "pilotlight_notices_failed_total",
                "Tries to deliver a notice that failed.",
                &["target", "reason"],
            )?,
            notices_dropped: counter(
                r,
                "pilotlight_notices_dropped_total",
                "Notices given up.",
                &["target", "reason"],
            )?,
            notices_waiting: gauge(
                r,
                "pilotlight_notices_waiting",
                "Notices in the outbox that are not yet delivered.",
                &["target"],
            )?,
            notice_disabled: gauge(
                r,
                "pilotlight_notice_target_disabled",
                "1 once the target said that it is gone for good; until restart.",
                &["target"],
            )?,
            notice_success: gauge(
                r,
                "pilotlight_notice_last_success_timestamp_seconds",
                "When a notice was last delivered; 0 before the first.",
                &["target"],
            )?,
            build: gauge(
                r,
                "pilotlight_build_info",
                "Always 1; the labels say what runs.",
                &["version"],
            )?,
        })
    }
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    add(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn gauge_f64(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<prometheus::GaugeVec, prometheus::Error> {
    add(registry, prometheus::GaugeVec::new(Opts::new(name, help), labels)?)
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    add(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn histogram(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
    add(registry, HistogramVec::new(options, labels)?)
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, family: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}
