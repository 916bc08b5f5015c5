//! One toggle under control, by itself: what an odd answer leads to.

use pilotlight::core::drift::Ended;
use pilotlight::core::jitter::Jitter;
use pilotlight::core::switch::Switch;
use pilotlight::core::time::Alarms;
use pilotlight::core::{Action, DriftPolicy, Failure, FailureKind, Instant, Observed, OpId, Position};

use crate::support::model::{REDIRECT, secs};

const NOW: Instant = Instant::at(secs(100));

fn read(configured: Option<Position>) -> Observed {
    Observed {
        configured,
        ..Observed::default()
    }
}

/// Starts what is due at `now` and ends it with `observed`.
fn turn(switch: &mut Switch, id: u64, observed: Observed, now: Instant) -> (Option<Action>, Ended) {
    let mut jitter = Jitter::new(7);
    let action = switch.next_action(true, secs(300), &mut Alarms::new(now));
    if let Some(action) = action {
        switch.begin(OpId(id), action, now);
    }
    let ended = switch.end(OpId(id), Ok(observed), DriftPolicy::Repair, &mut jitter, now);
    (action, ended)
}

#[test]
fn r11_an_answer_without_a_position_is_a_failure_and_waits_before_the_next_try() {
    let mut switch = Switch::new(REDIRECT);
    let (action, ended) = turn(&mut switch, 1, read(None), NOW);
    assert_eq!(action, Some(Action::Observe(REDIRECT)));
    assert_eq!(ended, Ended::Failed);
    assert_eq!(switch.failing().map(|(kind, _)| kind), Some(FailureKind::Nonsense));
    let mut alarms = Alarms::new(NOW);
    assert_eq!(switch.next_action(true, secs(300), &mut alarms), None);
    assert!(alarms.next().is_some_and(|at| at > NOW));
}

#[test]
fn r09_a_write_that_left_another_position_is_not_believed_and_not_repeated_at_once() {
    let mut switch = Switch::new(REDIRECT);
    switch.want(Position::On);
    let (action, ended) = turn(&mut switch, 1, read(Some(Position::Off)), NOW);
    assert_eq!(action, Some(Action::Set(REDIRECT, Position::On)));
    assert_eq!(ended, Ended::Failed);
    assert_eq!(switch.failing().map(|(kind, _)| kind), Some(FailureKind::NotApplied));
    assert_eq!(switch.configured(), None, "the position is unknown");
    assert_eq!(switch.next_action(true, secs(300), &mut Alarms::new(NOW)), None);
    let (action, ended) = turn(&mut switch, 2, read(Some(Position::On)), NOW + secs(91));
    assert_eq!(action, Some(Action::Set(REDIRECT, Position::On)));
    assert_eq!(ended, Ended::Known);
    assert!(switch.is_settled());
}

#[test]
fn r09_an_answer_to_an_operation_of_another_time_is_not_mine() {
    let mut switch = Switch::new(REDIRECT);
    let (_, ended) = turn(&mut switch, 1, read(Some(Position::Off)), NOW);
    assert_eq!(ended, Ended::Known);
    let late = switch.end(
        OpId(1),
        Ok(read(Some(Position::On))),
        DriftPolicy::Repair,
        &mut Jitter::new(7),
        NOW + secs(1),
    );
    assert_eq!(late, Ended::NotMine);
    assert_eq!(switch.configured(), Some(Position::Off));
}

#[test]
fn r11_a_routine_read_that_our_own_budget_holds_back_delays_no_write_and_is_no_trouble() {
    let mut jitter = Jitter::new(7);
    let mut switch = Switch::new(REDIRECT);
    switch.want(Position::Off);
    switch.begin(OpId(1), Action::Observe(REDIRECT), NOW);
    let held_back = Failure {
        kind: FailureKind::HeldBack,
        retry_after: Some(secs(3000)),
    };
    switch.end(OpId(1), Err(held_back), DriftPolicy::Repair, &mut jitter, NOW);
    assert_eq!(switch.failing(), None);
    switch.want(Position::On);
    let next = switch.next_action(true, secs(300), &mut Alarms::new(NOW));
    assert_eq!(next, Some(Action::Set(REDIRECT, Position::On)));
}

#[test]
fn r07_a_hint_from_outside_cuts_a_retry_delay_short_but_not_the_providers_wait() {
    for (retry_after, due) in [(None, true), (Some(secs(50)), false)] {
        let mut jitter = Jitter::new(7);
        let mut switch = Switch::new(REDIRECT);
        switch.want(Position::On);
        for id in 1..=12 {
            switch.begin(OpId(id), Action::Set(REDIRECT, Position::On), NOW);
            let failure = Failure {
                kind: FailureKind::Unavailable,
                retry_after,
            };
            switch.end(OpId(id), Err(failure), DriftPolicy::Repair, &mut jitter, NOW);
        }
        let soon = NOW + secs(1);
        assert_eq!(switch.next_action(true, secs(300), &mut Alarms::new(soon)), None);
        switch.doubt(soon);
        let next = switch.next_action(true, secs(300), &mut Alarms::new(soon));
        assert_eq!(next.is_some(), due);
    }
}

#[test]
fn r11_a_hint_that_goes_on_counts_once_a_minute() {
    let mut jitter = Jitter::new(7);
    let mut switch = Switch::new(REDIRECT);
    switch.want(Position::On);
    let mut fail = |switch: &mut Switch, id, now| {
        switch.begin(OpId(id), Action::Set(REDIRECT, Position::On), now);
        let failure = Failure::new(FailureKind::Unavailable);
        switch.end(OpId(id), Err(failure), DriftPolicy::Repair, &mut jitter, now);
    };
    let is_due = |switch: &mut Switch, now| switch.next_action(true, secs(300), &mut Alarms::new(now)).is_some();
    for id in 1..=12 {
        fail(&mut switch, id, NOW);
    }
    switch.doubt(NOW);
    assert!(is_due(&mut switch, NOW));
    fail(&mut switch, 13, NOW);
    let soon = NOW + secs(1);
    switch.doubt(soon);
    assert!(!is_due(&mut switch, soon), "it was just tried");
    let later = NOW + secs(60);
    fail(&mut switch, 14, later);
    assert!(!is_due(&mut switch, later));
    switch.doubt(later);
    assert!(is_due(&mut switch, later));
}

#[test]
fn r08_the_drain_counts_from_the_telling_after_which_it_was_read_on_and_no_later_one() {
    let mut jitter = Jitter::new(7);
    let mut switch = Switch::new(REDIRECT);
    switch.want(Position::On);
    let set = Action::Set(REDIRECT, Position::On);
    let mut age = |id, result, at| {
        switch.begin(OpId(id), set, at);
        switch.end(OpId(id), result, DriftPolicy::Repair, &mut jitter, at);
        switch.on_for().map(|on_for| on_for.read(NOW + secs(300)))
    };
    let failed = Err(Failure::new(FailureKind::Unavailable));
    let done = Ok(read(Some(Position::On)));
    assert_eq!(age(1, failed, NOW), Some(secs(300)), "told to, and nothing is known");
    assert_eq!(age(2, done, NOW + secs(100)), Some(secs(200)), "this telling put it on");
    assert_eq!(age(3, done, NOW + secs(200)), Some(secs(200)), "it was on already");
}

#[test]
fn r08_a_telling_off_that_is_read_on_makes_it_no_younger() {
    let mut jitter = Jitter::new(7);
    let mut switch = Switch::new(REDIRECT);
    switch.want(Position::On);
    for (id, position, at) in [(1, Position::On, NOW), (2, Position::Off, NOW + secs(100))] {
        switch.begin(OpId(id), Action::Set(REDIRECT, position), at);
        let is = Ok(read(Some(Position::On)));
        switch.end(OpId(id), is, DriftPolicy::Repair, &mut jitter, at);
    }
    let on_for = switch.on_for().map(|on_for| on_for.read(NOW + secs(300)));
    assert_eq!(on_for, Some(secs(300)));
}
