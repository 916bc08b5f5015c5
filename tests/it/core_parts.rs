//! Small parts of core by themselves: looks in flight, what an episode remembers, several toggles of one role, stopwatches.

use pilotlight::core::episode::Episode;
use pilotlight::core::jitter::Jitter;
use pilotlight::core::looks::{Cadence, Looks, MOST_IN_FLIGHT};
use pilotlight::core::reconciler::{Proof, Reconciler, Turn};
use pilotlight::core::time::Alarms;
use pilotlight::core::{
    Action, Cause, DriftPolicy, EpisodeId, Eye, Instant, Observed, OpId, Position, Role, Sighting, Stopwatch,
    ToggleKey, View, Wall,
};

use crate::support::model::{GATE, REDIRECT, SILENCE, secs};

const fn at(span: u64) -> Instant {
    Instant::at(secs(span))
}

fn cadence(overlap: usize, anew_since: Instant) -> Cadence {
    Cadence {
        every: secs(60),
        overlap,
        anew_since,
    }
}

fn due(looks: &Looks, cadence: Cadence, now: u64) -> (bool, Option<Instant>) {
    let mut alarms = Alarms::new(at(now));
    let due = looks.is_due(Eye::Visitor, cadence, &mut alarms);
    (due, alarms.next())
}

#[test]
fn a_look_is_due_each_interval_and_anew_when_something_changed() {
    let mut looks = Looks::default();
    assert_eq!(
        due(&looks, cadence(1, at(0)), 10),
        (true, Some(at(70))),
        "the first at once"
    );
    looks.begin(OpId(1), Eye::Visitor, at(10));
    assert_eq!(looks.end(OpId(1)), Some((Eye::Visitor, at(10))));
    assert_eq!(looks.end(OpId(1)), None, "it has ended already");
    assert_eq!(due(&looks, cadence(1, at(0)), 69), (false, Some(at(70))));
    assert_eq!(
        due(&looks, cadence(1, at(10)), 69),
        (false, Some(at(70))),
        "sent at the very change"
    );
    assert!(due(&looks, cadence(1, at(0)), 70).0);
    assert!(due(&looks, cadence(1, at(11)), 12).0, "something changed since");
    looks.begin(OpId(2), Eye::Mirror, at(12));
    assert_eq!(
        due(&looks, cadence(1, at(0)), 69),
        (false, Some(at(70))),
        "another eye is none of this one's"
    );
}

#[test]
fn looks_in_flight_are_bounded_and_old_ones_do_not_hold_new_ones_back() {
    let mut looks = Looks::default();
    looks.begin(OpId(1), Eye::Visitor, at(10));
    assert!(!due(&looks, cadence(1, at(10)), 100).0, "one is in flight");
    assert!(due(&looks, cadence(2, at(10)), 100).0);
    assert!(due(&looks, cadence(1, at(11)), 100).0, "that one saw another world");
    let most = u64::try_from(MOST_IN_FLIGHT).unwrap();
    for id in 2..most {
        looks.begin(OpId(id), Eye::Visitor, at(10));
    }
    assert!(due(&looks, cadence(1, at(11)), 100).0);
    looks.begin(OpId(most), Eye::Visitor, at(10));
    assert!(!due(&looks, cadence(1, at(11)), 100).0, "a bound, whatever the reason");
}

#[test]
fn r14_an_episode_forgets_what_was_told_on_a_leg_with_the_leg_and_nothing_else() {
    let mut episode = Episode::new(EpisodeId(1), Wall(0), Cause::Operator);
    let on_leg = episode.on_leg("failed_over");
    assert!(episode.tell_once("stuck") && episode.tell_once(&on_leg));
    assert!(!episode.tell_once("stuck"));
    assert!(episode.was_told_on_leg("failed_over") && !episode.was_told_on_leg("recovering"));
    episode.begin_leg();
    assert_eq!(episode.leg, 1);
    assert_eq!(episode.told, ["stuck"]);
    assert!(!episode.was_told_on_leg("failed_over"));
    episode.untell("stuck");
    assert!(episode.tell_once("stuck"));
}

#[test]
fn an_episode_remembers_a_bounded_number_of_notices() {
    let mut episode = Episode::new(EpisodeId(1), Wall(0), Cause::Operator);
    for number in 0..300 {
        assert!(episode.tell_once(&number.to_string()));
    }
    assert_eq!(episode.told.len(), 256);
    assert_eq!(
        episode.told.first().map(String::as_str),
        Some("44"),
        "the oldest go first"
    );
}

/// Ends an operation on this toggle with this position.
fn moves(reconciler: &mut Reconciler, key: ToggleKey, position: Position, now: Instant) -> Vec<Turn> {
    reconciler.begin(OpId(1), Action::Observe(key), now);
    let observed = Observed {
        configured: Some(position),
        ..Observed::default()
    };
    reconciler.ended(OpId(1), Ok(observed), DriftPolicy::Repair, &mut Jitter::new(7), now)
}

#[test]
fn toggles_of_one_role_have_a_position_together_only_if_all_have_the_same() {
    let second = ToggleKey {
        role: Role::Redirect,
        index: 1,
    };
    let mut reconciler = Reconciler::new(&[GATE, REDIRECT, second, SILENCE]);
    assert_eq!(reconciler.configured(Role::Redirect), None);
    moves(&mut reconciler, REDIRECT, Position::On, at(1));
    assert_eq!(reconciler.configured(Role::Redirect), None, "one is not known");
    moves(&mut reconciler, second, Position::On, at(2));
    assert_eq!(reconciler.configured(Role::Redirect), Some(Position::On));
    moves(&mut reconciler, second, Position::Off, at(3));
    assert_eq!(reconciler.configured(Role::Redirect), None);
    moves(&mut reconciler, REDIRECT, Position::Off, at(4));
    assert_eq!(reconciler.configured(Role::Redirect), Some(Position::Off));
}

fn seen(view: View, redirect: Option<Position>) -> Sighting {
    Sighting {
        view,
        redirect,
        took: secs(0),
    }
}

#[test]
fn r06_a_look_proves_the_way_out_if_it_was_sent_since_the_redirect_moved() {
    for (sent, turn, proof) in [
        (
            9,
            None,
            Proof::Out {
                waited: Stopwatch::running(at(10)),
            },
        ),
        (10, Some(Turn::StandbyProven), Proof::OutProven),
    ] {
        let mut reconciler = Reconciler::new(&[GATE, REDIRECT]);
        let turns = moves(&mut reconciler, REDIRECT, Position::On, at(10));
        assert!(turns.contains(&Turn::RedirectMoved));
        assert_eq!((reconciler.moved_at(), reconciler.standby_serves()), (at(10), false));
        let sighting = seen(View::Standby, Some(Position::On));
        assert_eq!(reconciler.saw_visitor(sighting, at(sent), false, at(11)), turn);
        assert_eq!(reconciler.proof(), proof);
    }
}

#[test]
fn a_sight_of_the_redirect_moving_is_a_turn_when_its_record_cannot_be_read() {
    let mut reconciler = Reconciler::new(&[GATE, REDIRECT]);
    assert_eq!(reconciler.redirect(), None);
    reconciler.saw_visitor(seen(View::Home, Some(Position::Off)), at(1), true, at(1));
    assert_eq!(reconciler.redirect(), Some(Position::Off));
    assert!(reconciler.visitor_judges_home());
    let turns = moves(&mut reconciler, REDIRECT, Position::Off, at(2));
    assert!(!turns.contains(&Turn::RedirectMoved), "it was known: {turns:?}");
    let mut unseen = Reconciler::new(&[GATE, REDIRECT]);
    let turns = moves(&mut unseen, REDIRECT, Position::Off, at(2));
    assert!(
        turns.contains(&Turn::RedirectMoved),
        "where it is was learnt: {turns:?}"
    );
    assert_eq!(unseen.proof(), Proof::Unneeded);
}

#[test]
fn r07_a_loop_is_told_once_and_forgiven_with_the_next_switch() {
    let mut reconciler = Reconciler::new(&[GATE, REDIRECT]);
    moves(&mut reconciler, REDIRECT, Position::On, at(10));
    let looping = seen(View::Loop, Some(Position::On));
    assert!(!reconciler.is_looped());
    assert_eq!(reconciler.saw_visitor(looping, at(11), false, at(11)), Some(Turn::Loop));
    assert!(reconciler.is_looped());
    assert_eq!(reconciler.saw_visitor(looping, at(12), false, at(12)), None);
    reconciler.forgive_loop();
    assert!(!reconciler.is_looped());
    let elsewhere = seen(View::Loop, Some(Position::Off));
    assert_eq!(
        reconciler.saw_visitor(elsewhere, at(13), false, at(13)),
        None,
        "that loop is not ours"
    );
}

#[test]
fn r06_the_clock_of_a_proof_stands_still_while_frozen_and_goes_on_from_there() {
    let mut reconciler = Reconciler::new(&[GATE, REDIRECT]);
    moves(&mut reconciler, REDIRECT, Position::On, at(10));
    reconciler.resume_proof(at(15));
    reconciler.freeze_proof();
    let waited = |reconciler: &Reconciler, now| match reconciler.proof() {
        Proof::Out { waited } | Proof::Home { waited } => waited.read(at(now)),
        other => panic!("{other:?}"),
    };
    assert_eq!(waited(&reconciler, 100), secs(5));
    reconciler.resume_proof(at(100));
    assert_eq!(waited(&reconciler, 107), secs(12));
    moves(&mut reconciler, REDIRECT, Position::Off, at(110));
    reconciler.resume_proof(at(114));
    reconciler.freeze_proof();
    reconciler.resume_proof(at(200));
    assert_eq!(waited(&reconciler, 203), secs(7));
}

#[test]
fn a_mark_at_the_instant_of_the_last_one_changes_nothing_and_a_target_reached_now_is_no_deadline() {
    let watch = Stopwatch::running(at(10)).mark(at(15));
    assert_eq!(watch.mark(at(15)), watch);
    assert_eq!(watch.reaches(secs(10), at(20)), None, "it shows that now");
    assert_eq!(watch.reaches(secs(11), at(20)), Some(at(21)));
    let mut alarms = Alarms::new(at(20));
    assert!(alarms.passed(at(20)) && alarms.next().is_none());
    assert!(!alarms.passed(at(22)) && !alarms.passed(at(21)) && !alarms.passed(at(23)));
    assert_eq!(alarms.next(), Some(at(21)), "the earliest");
    assert!(alarms.shows(&watch, secs(10)) && !alarms.shows(&watch, secs(11)));
}
