//! Outboxes and what lies beside the intent: a notice is told once, under one id, and is safe somewhere at any moment.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use pilotlight::core::{Notice, What};
use pilotlight::notify::{Happening, TellFailure};
use tokio::time::{Instant, sleep};

use crate::notify::{FAILED_OVER, START, failure, files, start, start_at, target};
use crate::sample::failed_over;
use crate::scratch::Scratch;

#[tokio::test(start_paused = true)]
async fn r14_a_notice_that_waits_in_the_outbox_already_is_told_once() {
    let scratch = Scratch::new();
    let (dead, mut tries) = target("ops", vec![failure(TellFailure::NoAnswer)]);
    let world = start(scratch.path(), vec![dead]);
    let told = world.tell(FAILED_OVER);
    let first = tries.recv().await.unwrap();
    for task in &world.tasks {
        task.abort();
    }
    let (alive, mut tries) = target("ops", vec![]);
    let world = start_at(START + Duration::from_secs(3600), scratch.path(), vec![alive]);
    let teller = world.tellers.of_site("home");
    teller.tell_again(&told).safe().await;
    world.tell(What::FailbackStarted);
    assert_eq!(tries.recv().await.unwrap().id, first.id);
    assert_eq!(tries.recv().await.unwrap().name, "failback_started");
    drop(teller);
    let notes = world.stop().await;
    assert_eq!(notes.sent(), 2);
}

#[tokio::test(start_paused = true)]
async fn r14_a_notice_that_is_decided_again_after_a_kill_has_an_id_of_its_own_and_is_told() {
    let scratch = Scratch::new();
    let (dead, mut tries) = target("ops", vec![failure(TellFailure::NoAnswer)]);
    let world = start(scratch.path(), vec![dead]);
    world.tell(FAILED_OVER);
    let first = tries.recv().await.unwrap();
    for task in &world.tasks {
        task.abort();
    }
    let (alive, mut tries) = target("ops", vec![]);
    let world = start(scratch.path(), vec![alive]);
    world.tell(FAILED_OVER);
    assert_eq!(tries.recv().await.unwrap().id, first.id);
    let second = tries.recv().await.unwrap();
    assert_eq!(second.name, first.name);
    assert_ne!(second.id, first.id);
}

#[tokio::test(start_paused = true)]
async fn r14_a_notice_from_before_the_start_that_no_outbox_has_is_told_and_says_that_it_is_late() {
    let scratch = Scratch::new();
    let (target, mut tries) = target("ops", vec![]);
    let world = start(scratch.path(), vec![target]);
    let teller = world.tellers.of_site("home");
    let notice = Notice {
        what: FAILED_OVER,
        episode: None,
        wall: START,
    };
    let told = Arc::new(teller.word(&notice, &failed_over()));
    world.wall.set(START + Duration::from_secs(600));
    teller.tell_again(&told);
    let seen = tries.recv().await.unwrap();
    assert_eq!((seen.id, seen.late), (told.id.clone(), Some(Duration::from_secs(600))));
}

#[tokio::test(start_paused = true)]
async fn r14_a_notice_is_safe_once_it_is_on_disk_or_else_once_it_is_delivered() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("ops"), b"a file in the way").unwrap();
    let (no_disk, mut tries) = target("ops", vec![failure(TellFailure::NoAnswer)]);
    let (dead, _dead_tries) = target("dead", vec![failure(TellFailure::NoAnswer); 50]);
    let world = start(scratch.path(), vec![no_disk, dead]);
    let teller = world.tellers.of_site("home");
    let notice = Notice {
        what: FAILED_OVER,
        episode: None,
        wall: START,
    };
    let began = Instant::now();
    let receipt = teller.tell(&Arc::new(teller.word(&notice, &failed_over())));
    receipt.safe().await;
    assert!(
        began.elapsed() >= Duration::from_secs(5),
        "one target has no disk, its first try failed"
    );
    assert_eq!((tries.try_recv().is_ok(), tries.try_recv().is_ok()), (true, true));
    assert_eq!(files(scratch.path(), "dead").len(), 1, "the other one has it on disk");
}

#[tokio::test(start_paused = true)]
async fn r14_a_delivered_notice_that_the_disk_does_not_let_go_is_taken_off_it_later() {
    let scratch = Scratch::new();
    let (target, mut tries) = target("ops", vec![failure(TellFailure::NoAnswer)]);
    let world = start(scratch.path(), vec![target]);
    world.tell(FAILED_OVER);
    tries.recv().await.unwrap();
    let file = scratch.path().join("ops").join("00000000000000000001.json");
    let text = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    tries.recv().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let refused = world.notes.count(Happening::Failed(TellFailure::Local));
    assert!(refused > 0, "it does not go");
    fs::remove_dir(&file).unwrap();
    fs::write(&file, text).unwrap();
    sleep(Duration::from_secs(70)).await;
    assert!(files(scratch.path(), "ops").is_empty(), "a restart would tell it again");
}
