//! The event loop of a site under the paused clock, between fakes that record what reaches them and when.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pilotlight::core::{EpisodeId, FailureKind, Order, Position, Route};
use tokio::time::{Instant, advance, sleep};

use crate::driver_rig::{Answers, PROBE_PATIENCE, Rig, TOGGLE_TIMEOUT, pass};
use crate::support::disk::Condition;

#[tokio::test(start_paused = true)]
async fn r10_the_intent_is_on_disk_before_the_first_write_leaves() {
    let rig = Rig::start(Condition::Works);
    sleep(Duration::from_secs(2)).await;
    rig.disk.becomes(Condition::Hangs);
    rig.order(Order::Force(Route::Standby)).await;
    pass(Duration::from_millis(500)).await;
    assert_eq!(rig.gate.told_on(), [], "the write waits for the disk");
    rig.disk.becomes(Condition::Works);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(rig.gate.told_on().len(), 1, "and for nothing else");
    let kept = rig.disk.kept();
    assert_eq!(kept.last().unwrap().route, Route::Standby);
    assert!(rig.status().saving && !rig.was_told("save_failed"));
}

#[tokio::test(start_paused = true)]
async fn r10_a_disk_that_hangs_delays_the_switch_by_a_second_and_no_more_and_it_is_said() {
    let rig = Rig::start(Condition::Works);
    sleep(Duration::from_secs(2)).await;
    rig.disk.becomes(Condition::Hangs);
    let ordered = Instant::now();
    rig.order(Order::Force(Route::Standby)).await;
    pass(Duration::from_secs(2)).await;
    let waited = rig.gate.told_on()[0] - ordered;
    assert!(
        waited >= Duration::from_millis(990) && waited <= Duration::from_millis(1050),
        "{waited:?}"
    );
    assert!(!rig.status().saving, "this is what makes /readyz say save_failing");
    assert!(rig.was_told("save_failed"));
    assert!(!rig.metric("pilotlight_state_save_failures_total{site=\"home\"} 0"));
    rig.disk.becomes(Condition::Works);
    sleep(Duration::from_secs(70)).await;
    assert!(rig.was_told("save_works") && rig.status().saving);
    assert_eq!(rig.disk.kept().last().unwrap().route, Route::Standby);
}

#[tokio::test(start_paused = true)]
async fn r10_a_full_disk_does_not_hold_the_switch_up_at_all() {
    let rig = Rig::start(Condition::Refuses);
    sleep(Duration::from_secs(2)).await;
    let ordered = Instant::now();
    rig.order(Order::Force(Route::Standby)).await;
    sleep(Duration::from_millis(100)).await;
    assert!(rig.gate.told_on()[0] - ordered < Duration::from_millis(50));
    assert!(rig.was_told("save_failed") && !rig.status().saving);
}

#[tokio::test(start_paused = true)]
async fn r09_a_toggle_that_never_answers_is_given_up_at_its_deadline_and_told_again() {
    let rig = Rig::start(Condition::Works);
    sleep(Duration::from_secs(2)).await;
    *rig.gate.answers.lock().unwrap() = Answers::Never;
    rig.order(Order::Force(Route::Standby)).await;
    sleep(TOGGLE_TIMEOUT.checked_sub(Duration::from_secs(1)).unwrap()).await;
    assert!(rig.status().toggles[0].busy);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.status().toggles[0].failing, Some(FailureKind::NoAnswer));
    let counted =
        "pilotlight_toggle_operations_total{operation=\"set\",result=\"no_answer\",site=\"home\",toggle=\"gate\"} 1";
    assert!(rig.metric(counted));
    *rig.gate.answers.lock().unwrap() = Answers::AtOnce;
    sleep(TOGGLE_TIMEOUT * 2).await;
    let toggle = rig.status().toggles[0];
    assert_eq!((toggle.failing, toggle.observed.configured), (None, Some(Position::On)));
}

#[tokio::test(start_paused = true)]
async fn r09_an_answer_after_the_deadline_is_no_answer() {
    let rig = Rig::start(Condition::Works);
    sleep(Duration::from_secs(2)).await;
    *rig.gate.answers.lock().unwrap() = Answers::After(TOGGLE_TIMEOUT + Duration::from_millis(1));
    rig.order(Order::Force(Route::Standby)).await;
    sleep(TOGGLE_TIMEOUT + Duration::from_millis(100)).await;
    assert_eq!(rig.status().toggles[0].failing, Some(FailureKind::NoAnswer));
}

#[tokio::test(start_paused = true)]
async fn r03_a_wall_clock_that_is_set_is_a_gap_and_the_references_are_asked() {
    let rig = Rig::start(Condition::Works);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        rig.glass.asked.load(Ordering::Relaxed),
        0,
        "home is well: nobody is asked"
    );
    rig.wall.set(rig.clock.wall() + Duration::from_secs(3600));
    sleep(Duration::from_secs(2)).await;
    assert!(rig.glass.asked.load(Ordering::Relaxed) > 0);
    assert!(!rig.status().clock_doubtful, "the references agree with the new time");
}

#[tokio::test(start_paused = true)]
async fn r03_a_small_correction_of_the_wall_clock_is_no_gap() {
    let rig = Rig::start(Condition::Works);
    sleep(Duration::from_secs(5)).await;
    rig.wall.set(rig.clock.wall() + Duration::from_secs(5));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(rig.glass.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn r03_time_that_the_process_did_not_see_is_a_gap_and_does_not_count_as_darkness() {
    let rig = Rig::start(Condition::Works);
    sleep(Duration::from_secs(60)).await;
    rig.home_answers.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(rig.status().phase.label(), "suspect");
    // As after SIGSTOP and SIGCONT: the next turn of the loop comes ten minutes late.
    advance(Duration::from_secs(600)).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        rig.status().phase.label(),
        "suspect",
        "ten seconds of darkness were seen, not ten minutes"
    );
    sleep(Duration::from_secs(30)).await;
    assert_eq!(rig.status().phase.label(), "failed_over");
}

#[tokio::test(start_paused = true)]
async fn references_that_never_answer_do_not_keep_a_dead_home_unjudged_for_ever() {
    let rig = Rig::start(Condition::Works);
    sleep(Duration::from_secs(60)).await;
    *rig.glass.answers.lock().unwrap() = Answers::Never;
    rig.home_answers.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(120)).await;
    *rig.glass.answers.lock().unwrap() = Answers::AtOnce;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(rig.status().phase.label(), "failed_over");
}

#[tokio::test(start_paused = true)]
async fn r03_eyes_that_hang_are_never_waited_for() {
    let rig = Rig::with_eyes(Condition::Works, Answers::Never);
    sleep(Duration::from_secs(60)).await;
    rig.home_answers.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(rig.status().phase.label(), "failed_over");
    assert_eq!(rig.gate.told_on().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn r15_the_pulse_stops_when_probes_stop_and_returns_with_them() {
    let rig = Rig::start(Condition::Works);
    sleep(Duration::from_secs(10)).await;
    assert!(rig.pulses.load(Ordering::Relaxed) > 5);
    rig.prober.abort();
    sleep(PROBE_PATIENCE + Duration::from_secs(2)).await;
    let last = rig.pulses.load(Ordering::Relaxed);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        rig.pulses.load(Ordering::Relaxed),
        last,
        "a loop without probes watches nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_is_stopped_saves_its_intent_and_drops_what_is_in_flight() {
    let rig = Rig::start(Condition::Works);
    sleep(Duration::from_secs(2)).await;
    *rig.gate.answers.lock().unwrap() = Answers::Never;
    rig.order(Order::Force(Route::Standby)).await;
    sleep(Duration::from_secs(1)).await;
    let before = rig.disk.kept().len();
    let stopping = Instant::now();
    rig.stop.send(()).unwrap();
    rig.driver.await.unwrap();
    assert_eq!(stopping.elapsed(), Duration::ZERO);
    let kept = rig.disk.kept();
    assert!(kept.len() > before);
    assert_eq!(kept.last().unwrap().toggles[0].desired, Position::On);
}

#[tokio::test(start_paused = true)]
async fn r18_the_toggles_are_warmed_at_the_first_suspicion_and_that_is_never_waited_for() {
    let rig = Rig::start(Condition::Works);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.gate.warmed.load(Ordering::Relaxed), 0);
    rig.home_answers.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.gate.warmed.load(Ordering::Relaxed), 1);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(
        rig.status().phase.label(),
        "failed_over",
        "the warming of this rig never ends"
    );
    assert_eq!(rig.gate.told_on().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn r14_a_notice_is_on_disk_in_one_piece_with_its_intent_before_anybody_is_told() {
    let rig = Rig::start(Condition::Works);
    *rig.ears.owed.lock().unwrap() = Some(Vec::new());
    sleep(Duration::from_secs(2)).await;
    rig.disk.becomes(Condition::Hangs);
    rig.order(Order::Force(Route::Standby)).await;
    pass(Duration::from_millis(500)).await;
    assert!(!rig.was_told("overridden"), "it waits for the disk");
    rig.disk.becomes(Condition::Works);
    sleep(Duration::from_millis(1)).await;
    assert!(rig.was_told("overridden"));
    assert_eq!(rig.disk.kept().last().unwrap().route, Route::Standby);
    let told = rig.ears.told.lock().unwrap().clone();
    let kept: Vec<_> = rig.disk.notices().iter().map(|kept| kept["id"].clone()).collect();
    assert_eq!(kept, told.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn r14_a_notice_leaves_the_state_file_once_every_outbox_has_it() {
    let rig = Rig::start(Condition::Works);
    *rig.ears.owed.lock().unwrap() = Some(Vec::new());
    sleep(Duration::from_secs(2)).await;
    rig.order(Order::Force(Route::Standby)).await;
    sleep(Duration::from_secs(120)).await;
    assert!(!rig.disk.notices().is_empty(), "no outbox has it");
    *rig.ears.owed.lock().unwrap() = None;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(rig.disk.notices(), Vec::<serde_json::Value>::new());
    assert_eq!(rig.disk.kept().last().unwrap().route, Route::Standby);
}

#[tokio::test(start_paused = true)]
async fn r14_what_lies_beside_the_intent_at_a_start_is_told_once_under_its_old_id() {
    let rig = Rig::start(Condition::Works);
    *rig.ears.owed.lock().unwrap() = Some(Vec::new());
    sleep(Duration::from_secs(2)).await;
    rig.order(Order::Force(Route::Standby)).await;
    sleep(Duration::from_secs(1)).await;
    let mut left = rig.disk.notices();
    assert!(!left.is_empty());
    let ids: Vec<_> = left
        .iter()
        .map(|kept| kept["id"].as_str().unwrap().to_owned())
        .collect();
    left.push(serde_json::json!({"id": "no notice"}));
    let again = Rig::with_notices(left);
    sleep(Duration::from_secs(1)).await;
    let told = again.ears.told.lock().unwrap().clone();
    assert_eq!(told.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), ids);
    assert_eq!(again.disk.notices(), Vec::<serde_json::Value>::new());
}

#[tokio::test(start_paused = true)]
async fn r14_people_are_told_from_memory_when_the_disk_refuses_and_it_is_not_asked_more_often_for_that() {
    let rig = Rig::start(Condition::Refuses);
    sleep(Duration::from_secs(2)).await;
    rig.order(Order::Force(Route::Standby)).await;
    sleep(Duration::from_secs(5)).await;
    assert!(rig.was_told("overridden") && rig.was_told("save_failed"));
    let tries = rig.disk.tries();
    sleep(Duration::from_secs(600)).await;
    let more = rig.disk.tries() - tries;
    assert!((9..=11).contains(&more), "once a minute, not {more} times in ten");
}

/// The same id would be worse than a second message: after an outage that a dead disk kept nothing of, and a restart to mend
/// it, receivers would drop every notice of the next outage.
#[tokio::test(start_paused = true)]
async fn r14_what_was_told_from_memory_and_not_saved_before_a_kill_is_told_again() {
    let rig = Rig::start(Condition::Works);
    sleep(Duration::from_secs(2)).await;
    rig.disk.becomes(Condition::Hangs);
    rig.home_answers.store(false, Ordering::Relaxed);
    pass(Duration::from_secs(5)).await;
    assert!(rig.was_told("suspected") && rig.was_told("save_failed"));
    let again = Rig::after_a_kill_of(&rig);
    again.home_answers.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(5)).await;
    assert!(again.was_told("suspected") && !again.was_told("save_failed"));
    let suspected = again.disk.kept().last().unwrap().clone();
    assert_eq!(
        suspected.episode.map(|episode| episode.id),
        Some(EpisodeId(1)),
        "the same episode"
    );
}
