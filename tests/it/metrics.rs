//! The metrics as a scraper reads them.

use std::collections::{BTreeMap, BTreeSet};

use pilotlight::core::{
    Duration, Eye, Faculties, Failing, FailureKind, Now, Outcome, Part, Reflection, Sighting, View, Wall, Why,
};
use pilotlight::metrics::{Metrics, Operation};
use pilotlight::notify::{Dropped, Happening, Tally, TellFailure};
use pilotlight::probe::{Report, Timings};

use crate::sample::{GATE, REDIRECT, at, failed_over, healthy, metrics};

/// All samples by name with labels.
fn samples(metrics: &Metrics) -> BTreeMap<String, String> {
    let text = metrics.encode().unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.to_owned())
        })
        .collect()
}

fn now(secs: u64) -> Now {
    Now {
        at: at(secs),
        wall: Wall(1_767_225_600_000 + secs * 1000),
    }
}

fn report(outcome: Outcome) -> Report {
    let mut timings = Timings::default();
    timings.set(Part::Dns, Duration::from_millis(10));
    timings.set(Part::Connect, Duration::from_millis(20));
    Report { outcome, timings }
}

#[test]
fn every_metric_has_help_and_a_sound_name() {
    let text = metrics().encode().unwrap();
    let mut names = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("# HELP ")) {
        let (name, help) = line.trim_start_matches("# HELP ").split_once(' ').unwrap();
        assert!(help.len() > 10, "{name} has no help");
        assert!(
            name.starts_with("pilotlight_") || name.starts_with("process_"),
            "{name}"
        );
        assert!(names.insert(name), "{name} is told twice");
    }
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let (name, kind) = line.trim_start_matches("# TYPE ").split_once(' ').unwrap();
        assert!(names.contains(name), "{name} has no help");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    }
    assert!(names.len() > 40);
}

#[test]
fn all_series_are_there_at_zero_from_the_start() {
    let samples = samples(&metrics());
    let zero = [
        r#"pilotlight_phase{phase="failed_over",site="home"}"#,
        r#"pilotlight_phase_seconds_total{phase="recovering",site="home"}"#,
        r#"pilotlight_mode{mode="paused",site="home"}"#,
        r#"pilotlight_probes_total{outcome="timeout",site="home"}"#,
        r#"pilotlight_probe_duration_seconds_count{part="total",site="home"}"#,
        r#"pilotlight_verdict{site="home",verdict="unknown"}"#,
        r#"pilotlight_verdict_cause{cause="certificate",site="home"}"#,
        r#"pilotlight_view{eye="visitor",site="home",view="edge_lost_home"}"#,
        r#"pilotlight_toggle_operations_total{operation="set",result="denied",site="home",toggle="redirect"}"#,
        r#"pilotlight_toggle_operation_duration_seconds_count{operation="observe",site="home",toggle="gate"}"#,
        r#"pilotlight_failovers_total{site="home"}"#,
        r#"pilotlight_override_expiry_timestamp_seconds{site="home"}"#,
        r#"pilotlight_state_save_failures_total{site="home"}"#,
        r#"pilotlight_notices_dropped_total{reason="expired",target="ops"}"#,
        r#"pilotlight_notices_waiting{target="ops"}"#,
        r#"pilotlight_provider_calls_total{credential="google.main",kind="held_back"}"#,
    ];
    for series in zero {
        assert_eq!(samples.get(series), Some(&"0".to_owned()), "{series}");
    }
    for view in ["desired", "configured", "effective", "verified"] {
        let series = format!(r#"pilotlight_toggle_position{{site="home",toggle="gate",view="{view}"}}"#);
        assert_eq!(samples.get(&series), Some(&"-1".to_owned()), "{series}");
    }
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        samples.get(&format!(r#"pilotlight_build_info{{version="{version}"}}"#)),
        Some(&"1".to_owned())
    );
}

#[test]
fn nothing_that_happens_makes_a_new_series() {
    let metrics = metrics();
    let before: Vec<_> = samples(&metrics).into_keys().collect();
    metrics.observe_status("home", &failed_over(), now(5));
    for outcome in [Why::Dns, Why::Status(503), Why::Timeout(Part::Tls)] {
        let used = Faculties::ALL;
        metrics.probed("home", &report(Outcome::Failed(Failing { why: outcome, used })));
    }
    for eye in [Eye::Visitor, Eye::Standby, Eye::Edge, Eye::Mirror] {
        let sighting = Sighting {
            view: View::EdgeLostHome(522),
            redirect: None,
            took: Duration::from_secs(16),
        };
        metrics.looked("home", eye, &sighting);
    }
    for kind in FailureKind::ALL {
        metrics.settled("home", GATE, Operation::Set, Err(kind), Duration::from_millis(5));
    }
    for site in ["elsewhere", ""] {
        metrics.observe_status(site, &healthy(), now(5));
        metrics.probed(site, &report(Outcome::Ok));
        metrics.save_failed(site);
        metrics.note(site, Happening::Sent(Wall(0)));
        metrics.called(site, [1, 0, 0]);
    }
    let after: Vec<_> = samples(&metrics).into_keys().collect();
    assert_eq!(before, after);
}

#[test]
fn a_status_sets_exactly_one_of_each_set() {
    let metrics = metrics();
    metrics.observe_status("home", &healthy(), now(1));
    metrics.observe_status("home", &failed_over(), now(2));
    let samples = samples(&metrics);
    for (family, expected) in [
        ("pilotlight_phase{", r#"phase="failed_over""#),
        ("pilotlight_mode{", r#"mode="auto""#),
        ("pilotlight_route{", r#"route="standby""#),
        ("pilotlight_verdict{", r#"verdict="down""#),
        ("pilotlight_verdict_cause{", r#"cause="timeout""#),
        ("pilotlight_view{eye=\"visitor\"", r#"view="standby""#),
    ] {
        let set: Vec<_> = samples
            .iter()
            .filter(|(series, value)| series.starts_with(family) && *value != "0")
            .collect();
        let [(series, value)] = set[..] else {
            panic!("{family}: {set:?}")
        };
        assert!(series.contains(expected) && *value == "1", "{series} {value}");
    }
    let position = r#"pilotlight_toggle_position{site="home",toggle="redirect",view="verified"}"#;
    assert_eq!(samples[position], "1");
    assert_eq!(samples[r#"pilotlight_failovers_total{site="home"}"#], "1");
    assert_eq!(
        samples[r#"pilotlight_episode_start_timestamp_seconds{site="home"}"#],
        "1767225600"
    );
    assert_eq!(samples[r#"pilotlight_last_verdict_age_seconds{site="home"}"#], "2");
    assert_eq!(
        samples[r#"pilotlight_last_verdict_timestamp_seconds{site="home"}"#],
        "1767225600"
    );
}

#[test]
fn time_is_counted_to_the_phase_it_was_spent_in() {
    let metrics = metrics();
    metrics.observe_status("home", &healthy(), now(10));
    let mut later = failed_over();
    later.phase_since = at(40);
    metrics.observe_status("home", &later, now(100));
    metrics.observe_status("home", &later, now(130));
    let samples = samples(&metrics);
    let spent =
        |phase: &str| samples[&format!(r#"pilotlight_phase_seconds_total{{phase="{phase}",site="home"}}"#)].as_str();
    assert_eq!(spent("healthy"), "40");
    assert_eq!(spent("failed_over"), "90");
    assert_eq!((spent("suspect"), spent("recovering")), ("0", "0"));
}

#[test]
fn what_is_counted_is_counted_once() {
    let metrics = metrics();
    metrics.probed("home", &report(Outcome::Ok));
    metrics.settled("home", REDIRECT, Operation::Set, Ok(()), Duration::from_millis(80));
    metrics.mirrored(
        "home",
        &Reflection {
            answered: 2,
            proven: Faculties::ALL,
            clock: pilotlight::core::ClockCheck::Agrees,
        },
    );
    metrics.save_failed("home");
    metrics.called("google.main", [3, 1, 0]);
    metrics.note("ops", Happening::Sent(Wall(5_000)));
    metrics.note("ops", Happening::Failed(TellFailure::Unavailable));
    metrics.note("ops", Happening::Dropped(Dropped::Full));
    metrics.note("ops", Happening::Waiting(3));
    let samples = samples(&metrics);
    for (series, value) in [
        (r#"pilotlight_probes_total{outcome="ok",site="home"}"#, "1"),
        (
            r#"pilotlight_probe_duration_seconds_count{part="connect",site="home"}"#,
            "1",
        ),
        (
            r#"pilotlight_probe_duration_seconds_count{part="tls",site="home"}"#,
            "0",
        ),
        (
            r#"pilotlight_toggle_operations_total{operation="set",result="ok",site="home",toggle="redirect"}"#,
            "1",
        ),
        (r#"pilotlight_references_answering{site="home"}"#, "2"),
        (r#"pilotlight_state_save_failures_total{site="home"}"#, "1"),
        (
            r#"pilotlight_provider_calls_total{credential="google.main",kind="write"}"#,
            "1",
        ),
        (r#"pilotlight_notices_sent_total{target="ops"}"#, "1"),
        (r#"pilotlight_notice_last_success_timestamp_seconds{target="ops"}"#, "5"),
        (
            r#"pilotlight_notices_failed_total{reason="unavailable",target="ops"}"#,
            "1",
        ),
        (r#"pilotlight_notices_dropped_total{reason="full",target="ops"}"#, "1"),
        (r#"pilotlight_notices_waiting{target="ops"}"#, "3"),
    ] {
        assert_eq!(samples[series], value, "{series}");
    }
    let sum = &samples[r#"pilotlight_probe_duration_seconds_sum{part="total",site="home"}"#];
    let total: f64 = sum.parse().unwrap();
    assert!((total - 0.03).abs() < 1e-9, "{total}");
}
