//! The machine's table: every (phase, verdict), scheduled or not, one below, at and above each threshold.

use pilotlight::core::machine::{Bearings, Round};
use pilotlight::core::{Instant, Phase, Policy, Stopwatch, Verdict};

use crate::support::model::{policy, secs};

const NOW: Instant = Instant::at(secs(1000));

const FREE: Bearings = Bearings {
    observed_enough: true,
    standby_serves: true,
    may_return: true,
    home_in_doubt: false,
    up_for: secs(600),
};

fn ago(span: u64) -> Instant {
    NOW - secs(span)
}

fn running(span: u64) -> Stopwatch {
    Stopwatch::running(ago(span))
}

fn healthy() -> Phase {
    Phase::Healthy { well: running(100) }
}

fn suspect(failures: u32, successes: u32, dark: u64, quiet: Option<u64>) -> Phase {
    Phase::Suspect {
        failures,
        successes,
        dark: running(dark),
        quiet: quiet.map_or_else(Stopwatch::default, running),
    }
}

fn failed_over() -> Phase {
    Phase::FailedOver { out: running(50) }
}

fn recovering(successes: u32, quiet: u64) -> Phase {
    Phase::Recovering {
        successes,
        quiet: running(quiet),
    }
}

fn next(policy: &Policy, phase: Phase, verdict: Verdict, scheduled: bool, bearings: &Bearings) -> Phase {
    let round = Round {
        verdict,
        sent_at: NOW,
        scheduled,
    };
    policy.next(phase, round, bearings, NOW)
}

/// Successes counted, if the phase counts any.
fn successes(phase: &Phase) -> Option<u32> {
    match phase {
        Phase::Suspect { successes, .. } | Phase::Recovering { successes, .. } => Some(*successes),
        Phase::Healthy { .. } | Phase::FailedOver { .. } => None,
    }
}

fn failures(phase: &Phase) -> Option<u32> {
    match phase {
        Phase::Suspect { failures, .. } => Some(*failures),
        Phase::Healthy { .. } | Phase::FailedOver { .. } | Phase::Recovering { .. } => None,
    }
}

fn watches(phase: &Phase) -> Vec<Stopwatch> {
    match *phase {
        Phase::Healthy { well } => vec![well],
        Phase::Suspect { dark, quiet, .. } => vec![dark, quiet],
        Phase::FailedOver { out } => vec![out],
        Phase::Recovering { quiet, .. } => vec![quiet],
    }
}

#[test]
fn every_phase_and_verdict_leads_where_the_diagram_says() {
    use Verdict::{Down, Unknown, Up};
    let rows = [
        (healthy(), Up, "healthy"),
        (healthy(), Down, "suspect"),
        (healthy(), Unknown, "healthy"),
        (suspect(1, 0, 5, None), Up, "suspect"),
        (suspect(1, 0, 5, None), Down, "suspect"),
        (suspect(1, 0, 5, None), Unknown, "suspect"),
        (suspect(2, 0, 30, None), Down, "failed_over"),
        (suspect(2, 0, 30, None), Up, "suspect"),
        (suspect(2, 0, 30, None), Unknown, "suspect"),
        (suspect(9, 0, 300, None), Unknown, "suspect"),
        (suspect(3, 1, 20, Some(10)), Up, "healthy"),
        (suspect(3, 1, 20, Some(10)), Down, "suspect"),
        (suspect(3, 1, 20, Some(10)), Unknown, "suspect"),
        (failed_over(), Up, "recovering"),
        (failed_over(), Down, "failed_over"),
        (failed_over(), Unknown, "failed_over"),
        (recovering(3, 20), Up, "recovering"),
        (recovering(3, 20), Down, "failed_over"),
        (recovering(3, 20), Unknown, "recovering"),
        (recovering(11, 600), Up, "healthy"),
        (recovering(11, 600), Down, "failed_over"),
        (recovering(11, 600), Unknown, "recovering"),
        (recovering(500, 9000), Unknown, "recovering"),
    ];
    for (phase, verdict, expected) in rows {
        let after = next(&policy(), phase, verdict, true, &FREE);
        assert_eq!(after.label(), expected, "{phase:?} and {verdict:?}");
    }
}

#[test]
fn r01_failing_over_takes_the_failures_and_the_time_since_the_first_was_sent() {
    let policy = policy();
    for (before, dark, expected) in [
        (1, 30, "suspect"),
        (1, 300, "suspect"),
        (2, 29, "suspect"),
        (2, 30, "failed_over"),
        (2, 31, "failed_over"),
        (50, 29, "suspect"),
    ] {
        let after = next(&policy, suspect(before, 0, dark, None), Verdict::Down, false, &FREE);
        assert_eq!(
            after.label(),
            expected,
            "{} failures over {dark} s, confirming ones count",
            before + 1
        );
    }
}

#[test]
fn r01_a_suspicion_clears_by_scheduled_successes_in_a_row_and_time_without_failure() {
    let policy = policy();
    for (before, quiet, scheduled, expected) in [
        (0, 10, true, "suspect"),
        (1, 9, true, "suspect"),
        (1, 10, true, "healthy"),
        (1, 10, false, "suspect"),
        (2, 10, false, "healthy"),
        (0, 300, false, "suspect"),
    ] {
        let phase = suspect(3, before, 25, Some(quiet));
        let after = next(&policy, phase, Verdict::Up, scheduled, &FREE);
        assert_eq!(
            after.label(),
            expected,
            "{before} + scheduled {scheduled}, {quiet} s quiet"
        );
    }
    let after = next(&policy, suspect(3, 1, 25, Some(20)), Verdict::Down, true, &FREE);
    assert_eq!(successes(&after), Some(0), "in a row");
    assert_eq!(failures(&after), Some(4));
}

#[test]
fn r01_a_single_success_never_stops_the_time_since_the_first_failure() {
    let policy = policy();
    let calmer = next(&policy, suspect(3, 0, 28, None), Verdict::Up, true, &FREE);
    let Phase::Suspect { dark, .. } = calmer else {
        panic!("{calmer:?}");
    };
    assert_eq!(dark.read(NOW), secs(28));
    let later = policy.decide(calmer, &FREE, NOW + secs(3));
    assert_eq!(later.label(), "suspect", "not decided while the last word was good");
}

#[test]
fn r02_unscheduled_successes_start_the_way_home_but_do_not_count() {
    let policy = policy();
    let first = next(&policy, failed_over(), Verdict::Up, false, &FREE);
    assert_eq!(successes(&first), Some(0));
    let second = next(&policy, first, Verdict::Up, false, &FREE);
    assert_eq!(successes(&second), Some(0));
    let third = next(&policy, second, Verdict::Up, true, &FREE);
    assert_eq!(successes(&third), Some(1));
}

#[test]
fn r02_going_home_takes_the_successes_and_the_quiet() {
    let policy = policy();
    for (before, quiet, expected) in [
        (10, 600, "recovering"),
        (11, 599, "recovering"),
        (11, 600, "healthy"),
        (400, 599, "recovering"),
    ] {
        let after = next(&policy, recovering(before, quiet), Verdict::Up, true, &FREE);
        assert_eq!(after.label(), expected, "{} successes over {quiet} s", before + 1);
    }
}

#[test]
fn r02_delays_hold_only_while_the_standby_serves_or_home_is_in_doubt() {
    let policy = policy();
    let alone = Bearings {
        standby_serves: false,
        ..FREE
    };
    let doubted = Bearings {
        home_in_doubt: true,
        ..alone
    };
    for (bearings, before, expected) in [
        (FREE, 11, "recovering"),
        (alone, 10, "recovering"),
        (alone, 11, "healthy"),
        (doubted, 11, "recovering"),
    ] {
        let after = next(&policy, recovering(before, 60), Verdict::Up, true, &bearings);
        assert_eq!(after.label(), expected, "{bearings:?}");
    }
}

#[test]
fn r03_unknown_stops_every_stopwatch_and_keeps_every_counter() {
    for phase in [healthy(), suspect(2, 1, 20, Some(5)), failed_over(), recovering(4, 30)] {
        let frozen = next(&policy(), phase, Verdict::Unknown, true, &FREE);
        assert_eq!(frozen.label(), phase.label());
        assert_eq!(successes(&frozen), successes(&phase));
        assert_eq!(failures(&frozen), failures(&phase));
        for watch in watches(&frozen) {
            assert!(!watch.is_running());
            assert_eq!(watch.read(NOW), watch.read(NOW + secs(9000)), "time stands still");
        }
    }
}

#[test]
fn r03_frozen_time_stays_and_goes_on_with_the_next_verdict() {
    let policy = policy();
    let seen = next(&policy, suspect(2, 0, 20, None), Verdict::Down, true, &FREE);
    let frozen = next(&policy, seen, Verdict::Unknown, true, &FREE);
    let later = NOW + secs(500);
    let round = Round {
        verdict: Verdict::Down,
        sent_at: later,
        scheduled: true,
    };
    let on = policy.next(frozen, round, &FREE, later);
    assert_eq!(on.dark_for(later), Some(secs(20)), "500 s unseen do not count");
    assert_eq!(policy.decide(on, &FREE, later + secs(9)).label(), "suspect");
    assert_eq!(policy.decide(on, &FREE, later + secs(10)).label(), "failed_over");
}

#[test]
fn r04_nothing_is_decided_before_a_full_window_of_own_observation() {
    let policy = policy();
    let fresh = Bearings {
        observed_enough: false,
        ..FREE
    };
    let dark = next(&policy, suspect(50, 0, 900, None), Verdict::Down, true, &fresh);
    assert_eq!(dark.label(), "suspect");
    let quiet = next(&policy, recovering(50, 9000), Verdict::Up, true, &fresh);
    assert_eq!(quiet.label(), "recovering");
}

#[test]
fn r13_an_operator_who_keeps_the_way_home_for_himself_is_waited_for() {
    let kept = Bearings {
        may_return: false,
        ..FREE
    };
    let after = next(&policy(), recovering(500, 90_000), Verdict::Up, true, &kept);
    assert_eq!(after.label(), "recovering");
}

#[test]
fn decides_at_is_when_decide_changes_its_mind() {
    let policy = policy();
    for phase in [suspect(3, 0, 12, None), recovering(12, 40)] {
        let at = policy.decides_at(&phase, &FREE, NOW).expect("time decides");
        assert_eq!(policy.decide(phase, &FREE, at - secs(1)).label(), phase.label());
        assert_ne!(policy.decide(phase, &FREE, at).label(), phase.label());
    }
    for phase in [healthy(), failed_over(), suspect(3, 1, 12, Some(3))] {
        assert_eq!(policy.decides_at(&phase, &FREE, NOW), None, "{phase:?}");
    }
}

#[test]
fn a_threshold_of_one_and_no_hold_decide_at_the_first_failure() {
    let hasty = Policy {
        unhealthy_threshold: 1,
        down_for: secs(0),
        ..policy()
    };
    let suspected = next(&hasty, healthy(), Verdict::Down, true, &FREE);
    assert_eq!(suspected.label(), "failed_over");
}

#[test]
fn a_phase_at_rest_comes_back_with_what_its_stopwatches_showed() {
    for phase in [healthy(), suspect(2, 1, 20, Some(5)), failed_over(), recovering(4, 30)] {
        let rested = phase.at_rest(NOW);
        let shown: Vec<_> = watches(&phase).iter().map(|watch| watch.read(NOW)).collect();
        let kept: Vec<_> = watches(&rested)
            .iter()
            .map(|watch| watch.read(NOW + secs(77)))
            .collect();
        assert_eq!(shown, kept);
    }
}
