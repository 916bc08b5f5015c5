//! One toggle under control, over time: echoes of lost writes, lapsing positions, drift, trouble, and what survives a restart.

use pilotlight::core::drift::{DriftReply, Ended};
use pilotlight::core::jitter::Jitter;
use pilotlight::core::snapshot::ToggleRecord;
use pilotlight::core::switch::Switch;
use pilotlight::core::time::Alarms;
use pilotlight::core::{
    Action, DriftPolicy, Duration, Failure, FailureKind, Instant, Observed, OpId, Position, Route, ToggleKey,
};

use crate::support::model::{REDIRECT, SILENCE, secs};

const NOW: Instant = Instant::at(secs(10_000));
const VERIFY_EVERY: Duration = secs(7200);

/// A switch and the number of the operation that comes next.
struct Bench {
    switch: Switch,
    next: u64,
    drift: DriftPolicy,
}

fn read(position: Position) -> Observed {
    Observed {
        configured: Some(position),
        ..Observed::default()
    }
}

impl Bench {
    fn new(key: ToggleKey) -> Self {
        Self {
            switch: Switch::new(key),
            next: 0,
            drift: DriftPolicy::Repair,
        }
    }

    /// Settled at `position` since `now`, by a set.
    fn settled(key: ToggleKey, position: Position, now: Instant) -> Self {
        let mut bench = Self::new(key);
        bench.switch.want(position);
        assert_eq!(
            bench.does(Action::Set(key, position), Ok(read(position)), now),
            Ended::Known
        );
        bench
    }

    fn due(&mut self, now: Instant) -> Option<Action> {
        self.switch.next_action(true, VERIFY_EVERY, &mut Alarms::new(now))
    }

    fn does(&mut self, action: Action, result: Result<Observed, Failure>, now: Instant) -> Ended {
        self.next += 1;
        self.switch.begin(OpId(self.next), action, now);
        self.switch
            .end(OpId(self.next), result, self.drift, &mut Jitter::new(7), now)
    }

    fn reads(&mut self, position: Position, now: Instant) -> Ended {
        let key = self.switch.key();
        self.does(Action::Observe(key), Ok(read(position)), now)
    }

    fn fails(&mut self, action: Action, kind: FailureKind, now: Instant) {
        assert_eq!(self.does(action, Err(Failure::new(kind)), now), Ended::Failed);
    }
}

#[test]
fn it_is_busy_while_an_operation_is_in_flight() {
    let mut switch = Switch::new(REDIRECT);
    assert!(!switch.is_busy());
    switch.begin(OpId(1), Action::Observe(REDIRECT), NOW);
    assert!(switch.is_busy() && !switch.is_writing());
    switch.end(
        OpId(1),
        Ok(read(Position::Off)),
        DriftPolicy::Repair,
        &mut Jitter::new(7),
        NOW,
    );
    assert!(!switch.is_busy());
}

#[test]
fn it_may_be_on_from_being_told_or_read_on_until_it_is_read_off() {
    let mut bench = Bench::new(REDIRECT);
    assert!(!bench.switch.may_be_on());
    bench.reads(Position::On, NOW);
    assert!(bench.switch.may_be_on());
    bench.reads(Position::Off, NOW + secs(5));
    assert!(!bench.switch.may_be_on());
    assert_eq!(
        bench.switch.off_for().map(|watch| watch.read(NOW + secs(8))),
        Some(secs(3))
    );
    bench.fails(
        Action::Set(REDIRECT, Position::On),
        FailureKind::Unavailable,
        NOW + secs(9),
    );
    assert!(bench.switch.may_be_on(), "told to, whatever became of it");
}

#[test]
fn r08_an_off_may_be_spreading_for_ten_minutes_after_it_was_told_or_first_read() {
    let mut bench = Bench::new(REDIRECT);
    assert!(!bench.switch.may_be_settling_off(NOW));
    bench.reads(Position::On, NOW);
    assert!(!bench.switch.may_be_settling_off(NOW));
    bench.reads(Position::Off, NOW);
    bench.reads(Position::Off, NOW + secs(300));
    assert!(bench.switch.may_be_settling_off(NOW + secs(599)));
    assert!(!bench.switch.may_be_settling_off(NOW + secs(600)));
    bench.fails(
        Action::Set(REDIRECT, Position::Off),
        FailureKind::NoAnswer,
        NOW + secs(700),
    );
    assert!(bench.switch.may_be_settling_off(NOW + secs(1299)));
}

#[test]
fn r10_what_was_kept_goes_on_after_a_restart_but_patience_begins_anew_after_an_off() {
    for (desired, on_for, open) in [(Position::On, secs(60), true), (Position::Off, secs(0), false)] {
        let record = ToggleRecord {
            key: REDIRECT,
            desired,
            settled: true,
            on_for: Some(secs(50)),
            off_for: None,
        };
        let mut switch = Switch::new(REDIRECT);
        switch.restore(&record, Route::Origin, NOW);
        assert_eq!(switch.desired(), Some(desired));
        assert!(switch.is_settled());
        let kept = switch.record(NOW + secs(10)).expect("it has a wish");
        assert_eq!(
            kept,
            ToggleRecord {
                on_for: Some(on_for),
                ..record
            }
        );
        assert_eq!(switch.open_for().is_some(), open);
    }
}

#[test]
fn r09_a_position_that_another_site_holds_is_not_fought_over() {
    let held = Observed {
        held_by_other: true,
        ..read(Position::On)
    };
    let mut bench = Bench::new(REDIRECT);
    bench.switch.want(Position::Off);
    assert_eq!(
        bench.does(Action::Set(REDIRECT, Position::Off), Ok(held), NOW),
        Ended::Known
    );
    assert!(bench.switch.is_settled());
    assert_eq!(bench.due(NOW + secs(1)), None);
    let mut bench = Bench::settled(REDIRECT, Position::On, NOW);
    let moved = Observed {
        held_by_other: true,
        ..read(Position::Off)
    };
    bench.does(Action::Observe(REDIRECT), Ok(moved), NOW + secs(1));
    assert_eq!(
        bench.due(NOW + secs(1)),
        Some(Action::Set(REDIRECT, Position::On)),
        "off is held by nobody"
    );
}

#[test]
fn r12_a_lapsing_position_is_set_again_at_half_its_time_if_it_is_wanted() {
    let lapsing = |position| Observed {
        lapses_in: Some(secs(3600)),
        ..read(position)
    };
    let mut bench = Bench::new(SILENCE);
    bench.switch.want(Position::On);
    bench.does(Action::Set(SILENCE, Position::On), Ok(lapsing(Position::On)), NOW);
    assert_eq!(bench.due(NOW + secs(1799)), None);
    assert_eq!(bench.due(NOW + secs(1800)), Some(Action::Set(SILENCE, Position::On)));
    bench.switch.want(Position::Off);
    bench.does(Action::Set(SILENCE, Position::Off), Ok(lapsing(Position::Off)), NOW);
    assert_eq!(bench.due(NOW + secs(1800)), None);
}

#[test]
fn r11_a_write_without_an_answer_is_read_again_after_half_a_minute_and_after_two() {
    let mut bench = Bench::new(REDIRECT);
    bench.switch.want(Position::On);
    bench.fails(Action::Set(REDIRECT, Position::On), FailureKind::NoAnswer, NOW);
    bench.does(
        Action::Set(REDIRECT, Position::On),
        Ok(read(Position::On)),
        NOW + secs(1),
    );
    for (after, due) in [(29, false), (30, true), (119, false), (120, true), (600, false)] {
        let now = NOW + secs(after);
        assert_eq!(bench.due(now).is_some(), due, "{after} s");
        if due {
            assert_eq!(bench.reads(Position::On, now), Ended::Known);
            assert_eq!(bench.due(now), None, "once is enough at {after} s");
        }
    }
}

#[test]
fn r11_a_renewal_that_our_own_budget_holds_back_is_no_routine_read_and_stays_due() {
    let mut snooze = Bench::new(SILENCE);
    snooze.switch.want(Position::On);
    let lapsing = Observed {
        lapses_in: Some(secs(3600)),
        ..read(Position::On)
    };
    let renewal = Action::Set(SILENCE, Position::On);
    snooze.does(renewal, Ok(lapsing), NOW);
    let held_back = Failure {
        kind: FailureKind::HeldBack,
        retry_after: Some(secs(400)),
    };
    assert_eq!(snooze.due(NOW + secs(1800)), Some(renewal));
    snooze.does(renewal, Err(held_back), NOW + secs(1800));
    assert_eq!(snooze.switch.configured(), Some(Position::On), "nothing was sent");
    assert_eq!(snooze.due(NOW + secs(2199)), None);
    assert_eq!(snooze.due(NOW + secs(2300)), Some(renewal));
}

#[test]
fn r12_a_write_that_comes_true_within_three_minutes_is_our_own_and_later_somebody_elses() {
    for (after, ours) in [(170, true), (180, true), (181, false)] {
        let mut bench = Bench::new(REDIRECT);
        bench.switch.want(Position::On);
        bench.fails(Action::Set(REDIRECT, Position::On), FailureKind::NoAnswer, NOW);
        bench.switch.want(Position::Off);
        bench.does(
            Action::Set(REDIRECT, Position::Off),
            Ok(read(Position::Off)),
            NOW + secs(1),
        );
        let ended = bench.reads(Position::On, NOW + secs(after));
        assert_eq!(ended == Ended::Known, ours, "{after} s: {ended:?}");
        assert_eq!(bench.due(NOW + secs(after)), Some(Action::Set(REDIRECT, Position::Off)));
    }
}

#[test]
fn r12_only_a_silence_that_was_known_to_lapse_goes_off_by_itself() {
    let drifted = Ended::Drifted {
        found: Position::Off,
        reply: DriftReply::Repair,
    };
    let mut redirect = Bench::settled(REDIRECT, Position::On, NOW);
    assert_eq!(redirect.reads(Position::Off, NOW + secs(60)), drifted);
    let mut silence = Bench::settled(SILENCE, Position::On, NOW);
    silence.switch.doubt(NOW + secs(60));
    assert_eq!(
        silence.reads(Position::Off, NOW + secs(60)),
        drifted,
        "this one had no end"
    );
    let mut snooze = Bench::new(SILENCE);
    snooze.switch.want(Position::On);
    let lapsing = Observed {
        lapses_in: Some(secs(60)),
        ..read(Position::On)
    };
    snooze.does(Action::Set(SILENCE, Position::On), Ok(lapsing), NOW);
    assert_eq!(snooze.reads(Position::Off, NOW + secs(61)), Ended::Known);
}

#[test]
fn r12_three_repairs_an_hour_and_the_fourth_when_the_hour_is_over() {
    let mut bench = Bench::settled(REDIRECT, Position::Off, NOW);
    for _ in 0..3 {
        let ended = bench.reads(Position::On, NOW);
        assert!(
            matches!(
                ended,
                Ended::Drifted {
                    reply: DriftReply::Repair,
                    ..
                }
            ),
            "{ended:?}"
        );
        assert!(bench.switch.is_found_on() && !bench.switch.is_left_alone());
        bench.does(Action::Set(REDIRECT, Position::Off), Ok(read(Position::Off)), NOW);
    }
    let ended = bench.reads(Position::On, NOW + secs(3599));
    assert!(
        matches!(
            ended,
            Ended::Drifted {
                reply: DriftReply::Limit,
                ..
            }
        ),
        "{ended:?}"
    );
    assert!(bench.switch.is_left_alone());
    assert_eq!(bench.reads(Position::On, NOW + secs(3599)), Ended::Known, "said once");
    assert_eq!(bench.due(NOW + secs(3599)), None);
    let ended = bench.reads(Position::On, NOW + secs(3600));
    assert!(
        matches!(
            ended,
            Ended::Drifted {
                reply: DriftReply::Repair,
                ..
            }
        ),
        "{ended:?}"
    );
    assert!(!bench.switch.is_left_alone());
}

#[test]
fn r12_a_drift_that_is_only_reported_is_left_alone_until_the_wish_changes() {
    let mut bench = Bench::settled(REDIRECT, Position::Off, NOW);
    bench.drift = DriftPolicy::Report;
    let ended = bench.reads(Position::On, NOW);
    assert!(
        matches!(
            ended,
            Ended::Drifted {
                reply: DriftReply::Report,
                ..
            }
        ),
        "{ended:?}"
    );
    assert!(bench.switch.is_left_alone());
    assert_eq!(bench.due(NOW), None);
    bench.switch.want(Position::On);
    assert!(!bench.switch.is_left_alone());
}

#[test]
fn r11_a_routine_read_that_is_held_back_waits_before_the_next() {
    let mut bench = Bench::new(REDIRECT);
    bench.fails(Action::Observe(REDIRECT), FailureKind::HeldBack, NOW);
    assert_eq!(bench.due(NOW), None);
    assert_eq!(bench.due(NOW + secs(1)), Some(Action::Observe(REDIRECT)));
}

#[test]
fn r11_people_are_told_of_a_toggle_that_has_to_move_after_two_minutes_and_of_a_denied_one_at_once() {
    let stuck = |bench: &mut Bench, after| bench.switch.newly_stuck(&mut Alarms::new(NOW + secs(after)));
    let set = Action::Set(REDIRECT, Position::On);
    let observe = Action::Observe(REDIRECT);

    let mut moving = Bench::new(REDIRECT);
    moving.switch.want(Position::On);
    moving.fails(set, FailureKind::Unavailable, NOW);
    assert_eq!(stuck(&mut moving, 119), None);
    assert!(!moving.switch.is_told_stuck());
    assert_eq!(stuck(&mut moving, 120), Some((Position::On, FailureKind::Unavailable)));
    assert!(moving.switch.is_told_stuck());
    assert_eq!(stuck(&mut moving, 500), None, "once");

    let mut unread = Bench::new(REDIRECT);
    unread.reads(Position::Off, NOW);
    unread.switch.want(Position::On);
    unread.fails(observe, FailureKind::Unavailable, NOW);
    assert_eq!(
        stuck(&mut unread, 120),
        Some((Position::On, FailureKind::Unavailable)),
        "not where it should be"
    );

    let mut resting = Bench::settled(REDIRECT, Position::On, NOW);
    resting.fails(observe, FailureKind::Unavailable, NOW);
    assert_eq!(
        stuck(&mut resting, 7200),
        None,
        "it is where it should be, and a read can wait"
    );

    let mut lost = Bench::settled(REDIRECT, Position::On, NOW);
    lost.fails(set, FailureKind::NoAnswer, NOW);
    assert_eq!(
        stuck(&mut lost, 120),
        Some((Position::On, FailureKind::NoAnswer)),
        "nobody knows where it is"
    );

    let mut denied = Bench::settled(REDIRECT, Position::On, NOW);
    denied.fails(observe, FailureKind::Denied, NOW);
    assert_eq!(stuck(&mut denied, 0), Some((Position::On, FailureKind::Denied)));
}

#[test]
fn the_same_seed_gives_the_same_delays() {
    let mut jitter = Jitter::new(7);
    let failure = Failure::new(FailureKind::Unavailable);
    for (attempt, expected) in (6..).zip(EXPECTED_NANOS) {
        let nanos = jitter.delay(failure, attempt).as_nanos();
        assert!(nanos.abs_diff(expected) <= 2, "{attempt}: {nanos}, expected {expected}");
    }
}

/// As the generator's published form gives them, for seed 7.
const EXPECTED_NANOS: [u128; 8] = [
    13_123_946_663,
    29_705_285_005,
    5_718_373_924,
    9_686_468_386,
    33_708_224_867,
    36_654_665_689,
    76_759_500_189,
    15_363_526_773,
];
