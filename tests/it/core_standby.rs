//! The watch over the standby by itself: runs of answers, their order and their age.

use pilotlight::core::standby::StandbyWatch;
use pilotlight::core::{Breakage, Instant, View};

use crate::support::model::secs;

const BAD: View = View::StandbyBroken(Breakage::Status(503));

const fn at(span: u64) -> Instant {
    Instant::at(secs(span))
}

fn seen(views: &[(u64, View)]) -> StandbyWatch {
    let mut watch = StandbyWatch::default();
    for (span, view) in views {
        watch.saw(*view, at(*span), at(*span));
    }
    watch
}

#[test]
fn an_answer_older_than_the_last_one_counts_not_and_one_of_the_same_instant_does() {
    let mut watch = seen(&[(10, View::Standby)]);
    watch.saw(View::Standby, at(9), at(11));
    assert!(!watch.is_seen());
    assert_eq!(watch.last().expect("seen").at, at(10));
    watch.saw(View::Standby, at(10), at(11));
    assert!(watch.is_seen());
}

#[test]
fn two_minutes_between_two_answers_are_one_run_and_more_are_two() {
    assert!(seen(&[(10, View::Standby), (130, View::Standby)]).is_seen());
    assert!(!seen(&[(10, View::Standby), (131, View::Standby)]).is_seen());
    let mut watch = seen(&[(10, BAD), (131, BAD), (140, BAD)]);
    assert!(!watch.is_broken(), "two tries in this run");
    watch.saw(BAD, at(161), at(161));
    assert!(watch.is_broken());
}

#[test]
fn one_good_answer_asks_for_the_next_at_once_until_something_else_is_seen() {
    assert!(!seen(&[]).is_half_seen());
    assert!(seen(&[(1, View::Standby)]).is_half_seen());
    assert!(!seen(&[(1, View::Standby), (2, View::Standby)]).is_half_seen());
    assert!(!seen(&[(1, View::Standby), (2, View::Shut)]).is_half_seen());
    assert!(!seen(&[(1, View::Standby), (2, View::Cached)]).is_half_seen());
    assert!(!seen(&[(1, View::Shut)]).is_half_seen());
    let mut watch = seen(&[(1, View::Standby)]);
    watch.begin_anew();
    assert!(!watch.is_half_seen(), "the gate moved since");
}

#[test]
fn r06_a_proof_of_the_standby_counts_for_its_time_and_no_longer() {
    let watch = seen(&[(10, View::Standby), (11, View::Standby)]);
    assert!(watch.is_proven(secs(10), at(21)));
    assert!(!watch.is_proven(secs(10), at(22)));
    assert!(watch.is_seen(), "however long ago");
}

#[test]
fn r07_what_is_no_evidence_of_the_standby_changes_nothing() {
    for view in [
        View::Home,
        View::EdgeLostHome(521),
        View::HomeBroken(500),
        View::EdgeBroken,
        View::Cached,
        View::Blocked,
    ] {
        assert!(
            seen(&[(1, View::Standby), (2, view), (3, View::Standby)]).is_seen(),
            "{view:?}"
        );
        assert!(seen(&[(1, BAD), (2, view)]).is_suspect(), "{view:?}");
    }
    for view in [View::Loop, View::Nothing] {
        assert!(
            !seen(&[(1, View::Standby), (2, view), (3, View::Standby)]).is_seen(),
            "{view:?}"
        );
        assert!(seen(&[(1, BAD), (2, view)]).is_suspect(), "{view:?}");
    }
    for view in [View::Shut, View::Overloaded, View::Standby] {
        assert!(!seen(&[(1, BAD), (2, view)]).is_suspect(), "{view:?}");
    }
}

#[test]
fn r07_broken_takes_three_tries_and_thirty_seconds_and_a_certificate_no_time() {
    assert!(!seen(&[(0, BAD), (30, BAD)]).is_broken(), "two tries");
    assert!(!seen(&[(0, BAD), (10, BAD), (29, BAD)]).is_broken(), "29 seconds");
    assert!(seen(&[(0, BAD), (10, BAD), (30, BAD)]).is_broken());
    assert!(seen(&[(0, View::StandbyBroken(Breakage::Certificate))]).is_broken());
    assert!(
        seen(&[(0, View::StandbyBroken(Breakage::Certificate)), (1, BAD)]).is_broken(),
        "broken stays broken until something better is seen"
    );
}
