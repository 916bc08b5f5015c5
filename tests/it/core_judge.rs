//! The judge by itself: which evidence counts, for how long, and in which order.

use pilotlight::core::judge::{Judge, Limits, Ruling};
use pilotlight::core::{
    Cause, ClockCheck, Faculties, Failing, Instant, Outcome, Reflection, Sighting, Verdict, View, Why,
};

use crate::support::model::{CLEAR, DARK, secs};

const LIMITS: Limits = Limits {
    mirror_fresh: secs(10),
    home_fresh: secs(15),
};

const V4: Faculties = Faculties {
    resolver: false,
    ipv4: true,
    ipv6: false,
    tls: false,
};

const FAILS: Outcome = Outcome::Failed(Failing {
    why: Why::Refused,
    used: V4,
});

const fn at(span: u64) -> Instant {
    Instant::at(secs(span))
}

fn sighting(view: View) -> Sighting {
    Sighting {
        view,
        redirect: None,
        took: secs(0),
    }
}

fn probed(judge: &mut Judge, sent: u64, outcome: Outcome, now: u64) -> Option<Verdict> {
    let ruling = judge.probed(at(sent), true, outcome, LIMITS, at(now));
    ruling.map(|ruling| ruling.round.verdict)
}

fn saw(judge: &mut Judge, sent: u64, view: View, now: u64) -> Option<Verdict> {
    let ruling = judge.saw_visitor(at(sent), sighting(view), LIMITS, at(now));
    ruling.map(|ruling| ruling.round.verdict)
}

fn verdicts(rulings: &[Ruling]) -> Vec<(Verdict, Instant)> {
    rulings
        .iter()
        .map(|ruling| (ruling.round.verdict, ruling.round.sent_at))
        .collect()
}

/// A judge whose mirror shone at 100.
fn clear() -> Judge {
    let mut judge = Judge::default();
    judge.mirrored(CLEAR, LIMITS, at(100));
    judge
}

#[test]
fn a_failure_waits_for_the_mirror_and_is_judged_when_it_answers() {
    let mut judge = Judge::default();
    assert!(!judge.wants_mirror());
    assert_eq!(probed(&mut judge, 1, FAILS, 2), None);
    assert!(judge.wants_mirror());
    assert_eq!(judge.last_outcome(), None);
    let rulings = judge.mirrored(CLEAR, LIMITS, at(3));
    assert_eq!(verdicts(&rulings), [(Verdict::Down, at(1))]);
    assert_eq!(judge.last_outcome(), Some(FAILS));
    assert!(!judge.wants_mirror());
}

#[test]
fn what_waited_is_judged_in_the_order_of_sending() {
    let mut judge = Judge::default();
    for sent in [3, 1, 2] {
        probed(&mut judge, sent, FAILS, 4);
    }
    let rulings = judge.mirrored(CLEAR, LIMITS, at(5));
    let sent: Vec<_> = rulings.iter().map(|ruling| ruling.round.sent_at).collect();
    assert_eq!(sent, [at(1), at(2), at(3)]);
}

#[test]
fn a_success_ends_the_waiting_of_what_was_sent_before_or_with_it() {
    let mut judge = Judge::default();
    for sent in [1, 2, 3] {
        probed(&mut judge, sent, FAILS, 4);
    }
    assert_eq!(probed(&mut judge, 2, Outcome::Ok, 4), Some(Verdict::Up));
    let rulings = judge.mirrored(CLEAR, LIMITS, at(5));
    assert_eq!(verdicts(&rulings), [(Verdict::Down, at(3))]);
}

#[test]
fn no_more_than_sixteen_failures_wait() {
    let mut judge = Judge::default();
    for sent in 1..=20 {
        probed(&mut judge, sent, FAILS, 30);
    }
    let rulings = judge.mirrored(CLEAR, LIMITS, at(31));
    assert_eq!(rulings.len(), 16);
    assert_eq!(rulings[0].round.sent_at, at(1));
}

#[test]
fn a_reflection_counts_for_its_time_and_no_longer() {
    assert_eq!(probed(&mut clear(), 105, FAILS, 109), Some(Verdict::Down));
    assert_eq!(probed(&mut clear(), 105, FAILS, 110), None);
    let mut dark = Judge::default();
    dark.mirrored(DARK, LIMITS, at(100));
    assert_eq!(probed(&mut dark, 105, FAILS, 114), Some(Verdict::Unknown));
    assert_eq!(
        probed(&mut dark, 105, FAILS, 115),
        None,
        "a dark one counts as long as a sight of home"
    );
}

#[test]
fn r03_a_dark_mirror_a_faculty_that_is_not_proven_and_a_wrong_clock_make_unknown() {
    for (said, expected) in [
        (CLEAR, Verdict::Down),
        (DARK, Verdict::Unknown),
        (Reflection { answered: 0, ..CLEAR }, Verdict::Unknown),
        (
            Reflection {
                proven: Faculties::default(),
                ..CLEAR
            },
            Verdict::Unknown,
        ),
        (
            Reflection {
                clock: ClockCheck::Contradicts,
                ..CLEAR
            },
            Verdict::Unknown,
        ),
        (
            Reflection {
                clock: ClockCheck::Unknown,
                ..CLEAR
            },
            Verdict::Down,
        ),
    ] {
        let mut judge = Judge::default();
        judge.mirrored(said, LIMITS, at(100));
        assert_eq!(probed(&mut judge, 101, FAILS, 102), Some(expected), "{said:?}");
        assert_eq!(judge.clock(), Some(said.clock));
    }
}

#[test]
fn a_success_needs_nothing_proven_but_a_fresh_dark_mirror_doubts_it() {
    let mut judge = Judge::default();
    assert_eq!(probed(&mut judge, 1, Outcome::Ok, 2), Some(Verdict::Up));
    judge.mirrored(
        Reflection {
            proven: Faculties::default(),
            ..CLEAR
        },
        LIMITS,
        at(3),
    );
    assert_eq!(probed(&mut judge, 4, Outcome::Ok, 5), Some(Verdict::Up));
    judge.mirrored(DARK, LIMITS, at(6));
    assert_eq!(probed(&mut judge, 7, Outcome::Ok, 8), Some(Verdict::Unknown));
    assert_eq!(
        probed(&mut judge, 30, Outcome::Ok, 31),
        Some(Verdict::Up),
        "it is old by then"
    );
}

#[test]
fn r05_an_older_probe_is_not_counted_and_one_sent_at_the_same_instant_is() {
    let mut judge = clear();
    assert_eq!(probed(&mut judge, 102, FAILS, 103), Some(Verdict::Down));
    assert_eq!(probed(&mut judge, 101, Outcome::Ok, 103), None);
    assert_eq!(judge.last_outcome(), Some(FAILS));
    assert_eq!(probed(&mut judge, 102, Outcome::Ok, 103), Some(Verdict::Up));
}

#[test]
fn r03_after_a_gap_only_what_was_sent_since_counts() {
    let mut judge = clear();
    probed(&mut judge, 101, Outcome::Ok, 102);
    saw(&mut judge, 101, View::EdgeLostHome(521), 102);
    judge.saw_edge(at(101), sighting(View::Home));
    judge.let_edge_decide(true);
    judge.gap(at(103));
    assert_eq!(
        (judge.clock(), judge.edge_view()),
        (None, None),
        "evidence from before is gone"
    );
    assert_eq!(
        judge.last_outcome(),
        Some(Outcome::Ok),
        "what was counted stays counted"
    );
    assert_eq!(probed(&mut judge, 102, Outcome::Ok, 104), None);
    assert_eq!(saw(&mut judge, 102, View::EdgeLostHome(521), 104), None);
    judge.saw_edge(at(102), sighting(View::Home));
    assert_eq!(judge.edge_view(), None);
    assert_eq!(
        probed(&mut judge, 103, Outcome::Ok, 104),
        Some(Verdict::Down),
        "sent at that very instant, and the edge still decides"
    );
    judge.saw_edge(at(103), sighting(View::Home));
    assert_eq!(probed(&mut judge, 104, Outcome::Ok, 105), Some(Verdict::Up));
    assert_eq!(saw(&mut judge, 103, View::EdgeLostHome(521), 105), Some(Verdict::Down));
}

#[test]
fn a_sight_older_than_the_last_one_is_not_believed_and_one_of_the_same_instant_is() {
    let mut judge = clear();
    probed(&mut judge, 101, Outcome::Ok, 102);
    assert_eq!(saw(&mut judge, 102, View::EdgeLostHome(521), 103), Some(Verdict::Down));
    assert_eq!(saw(&mut judge, 101, View::Home, 103), None);
    assert_eq!(probed(&mut judge, 103, Outcome::Ok, 103), Some(Verdict::Down));
    assert_eq!(saw(&mut judge, 102, View::Home, 103), Some(Verdict::Up));
    judge.saw_edge(at(102), sighting(View::EdgeLostHome(521)));
    judge.saw_edge(at(101), sighting(View::Home));
    assert_eq!(judge.edge_view(), Some(View::EdgeLostHome(521)));
    judge.saw_edge(at(102), sighting(View::Home));
    assert_eq!(judge.edge_view(), Some(View::Home));
}

#[test]
fn a_sight_judges_a_failed_probe_again_only_under_a_fresh_mirror() {
    let mut judge = clear();
    probed(&mut judge, 101, FAILS, 102);
    assert_eq!(saw(&mut judge, 103, View::Home, 104), Some(Verdict::Up));
    assert_eq!(saw(&mut judge, 111, View::Home, 112), None, "the mirror is stale");
    let mut well = Judge::default();
    assert_eq!(
        saw(&mut well, 1, View::EdgeLostHome(521), 2),
        None,
        "there is no probe to judge"
    );
    probed(&mut well, 3, Outcome::Ok, 4);
    assert_eq!(saw(&mut well, 5, View::EdgeLostHome(521), 6), Some(Verdict::Down));
    assert_eq!(saw(&mut well, 7, View::Cached, 8), None);
}

#[test]
fn r03_a_sight_of_home_excuses_a_failure_only_if_it_was_taken_during_it_and_is_fresh() {
    for (seen, judged, expected) in [
        (100, 103, Verdict::Down),
        (101, 103, Verdict::Up),
        (102, 105, Verdict::Up),
        (101, 109, Verdict::Up),
    ] {
        let mut judge = clear();
        probed(&mut judge, 101, FAILS, 102);
        saw(&mut judge, seen, View::Home, 103);
        assert_eq!(probed(&mut judge, 103, FAILS, judged), Some(expected), "seen at {seen}");
    }
    for (judged, expected) in [(116, Verdict::Up), (117, Verdict::Down)] {
        let mut judge = clear();
        probed(&mut judge, 101, FAILS, 101);
        saw(&mut judge, 101, View::Home, 102);
        judge.mirrored(CLEAR, LIMITS, at(115));
        assert_eq!(
            probed(&mut judge, 115, FAILS, judged),
            Some(expected),
            "judged at {judged}"
        );
    }
}

#[test]
fn when_the_edge_decides_home_is_up_only_if_the_edge_eye_sees_it() {
    let mut judge = clear();
    judge.let_edge_decide(true);
    let ruling = judge.probed(at(101), true, Outcome::Ok, LIMITS, at(102));
    let ruling = ruling.expect("counted");
    assert_eq!(
        (ruling.round.verdict, ruling.cause),
        (Verdict::Down, Cause::EdgeLostHome)
    );
    judge.saw_edge(at(103), sighting(View::Home));
    assert_eq!(probed(&mut judge, 104, Outcome::Ok, 105), Some(Verdict::Up));
    judge.let_edge_decide(false);
    judge.saw_edge(at(106), sighting(View::EdgeLostHome(521)));
    assert_eq!(probed(&mut judge, 107, Outcome::Ok, 108), Some(Verdict::Up));
}

#[test]
fn when_the_redirect_moved_what_was_seen_is_forgotten() {
    let mut judge = clear();
    probed(&mut judge, 101, Outcome::Ok, 102);
    saw(&mut judge, 102, View::HomeBroken(500), 103);
    assert_eq!(probed(&mut judge, 103, Outcome::Ok, 104), Some(Verdict::Down));
    judge.forget_visitor();
    assert_eq!(probed(&mut judge, 104, Outcome::Ok, 105), Some(Verdict::Up));
}
