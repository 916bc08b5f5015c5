//! The saver under the paused clock: what is on disk, how long anybody waits for it, and what happens at the end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilotlight::core::{Controller, Layout, Snapshot};
use pilotlight::saver::{PATIENCE, Saver};
use pilotlight::store::Kept;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, advance};

use crate::support::disk::{Condition, FakeDisk, Release};
use crate::support::model::policy;

/// A snapshot that is told from others by its `next_episode`.
fn snapshot(number: u64) -> Kept {
    let layout = Layout {
        toggles: Vec::new(),
        edge_eye: false,
    };
    let (clock, _) = pilotlight::clock::Clock::settable(pilotlight::core::Wall(0));
    Kept::from(Snapshot {
        next_episode: number,
        ..Controller::new(policy(), layout, None, 1, clock.now()).snapshot(clock.now())
    })
}

fn numbers(disk: &FakeDisk) -> Vec<u64> {
    disk.kept().iter().map(|kept| kept.next_episode).collect()
}

fn saver(disk: &Arc<FakeDisk>) -> Saver {
    Saver::start(Arc::clone(disk) as _)
}

#[tokio::test(start_paused = true)]
async fn r10_a_ticket_is_good_once_its_snapshot_is_on_disk() {
    let disk = FakeDisk::new(Condition::Works);
    let mut saver = saver(&disk);
    assert!(
        saver.ticket().on_disk().await,
        "nothing was handed over: nothing to wait for"
    );
    assert!(saver.save(snapshot(7)).on_disk().await);
    assert_eq!(numbers(&disk), [7]);
}

#[tokio::test(start_paused = true)]
async fn r10_a_disk_that_refuses_is_not_waited_for() {
    let disk = FakeDisk::new(Condition::Refuses);
    let mut saver = saver(&disk);
    let began = Instant::now();
    assert!(!saver.save(snapshot(1)).on_disk().await);
    assert_eq!(began.elapsed(), Duration::ZERO);
    disk.becomes(Condition::Works);
    assert!(saver.save(snapshot(2)).on_disk().await, "the next save is a new try");
}

#[tokio::test(start_paused = true)]
async fn r10_a_disk_that_hangs_is_waited_for_a_second_and_no_longer() {
    let disk = FakeDisk::new(Condition::Hangs);
    let _release = Release(Arc::clone(&disk));
    let mut saver = saver(&disk);
    let waiting = tokio::spawn(saver.save(snapshot(1)).on_disk());
    yield_now().await;
    advance(PATIENCE.checked_sub(Duration::from_millis(1)).unwrap()).await;
    assert!(!waiting.is_finished());
    advance(Duration::from_millis(2)).await;
    assert!(!waiting.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn r10_while_the_disk_hangs_only_the_newest_intent_waits() {
    let disk = FakeDisk::new(Condition::Hangs);
    let _release = Release(Arc::clone(&disk));
    let mut saver = saver(&disk);
    let first = saver.save(snapshot(1));
    yield_now().await;
    let second = saver.save(snapshot(2));
    let third = saver.save(snapshot(3));
    disk.becomes(Condition::Works);
    assert!(first.on_disk().await);
    assert!(second.on_disk().await, "a newer intent on disk is as good");
    assert!(third.on_disk().await);
    assert_eq!(numbers(&disk), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn r10_the_last_intent_is_written_before_the_end() {
    let disk = FakeDisk::new(Condition::Works);
    let mut saver = saver(&disk);
    saver.save(snapshot(1));
    saver.save(snapshot(2));
    saver.finish().await;
    assert_eq!(numbers(&disk).last(), Some(&2));
}

/// The gate's write before the silence's, also when the budget has room for one of them only.
#[tokio::test(start_paused = true)]
async fn r06_writes_that_wait_for_one_save_leave_in_the_order_in_which_they_were_decided() {
    let disk = FakeDisk::new(Condition::Hangs);
    let _release = Release(Arc::clone(&disk));
    let mut saver = saver(&disk);
    let ticket = saver.save(snapshot(1));
    let left = Arc::<Mutex<Vec<usize>>>::default();
    let mut writes = JoinSet::new();
    for number in 0..20 {
        let (ticket, left) = (ticket.clone(), Arc::clone(&left));
        writes.spawn(async move {
            assert!(ticket.on_disk().await);
            left.lock().unwrap().push(number);
        });
    }
    yield_now().await;
    disk.becomes(Condition::Works);
    writes.join_all().await;
    assert_eq!(*left.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

#[test]
fn r10_a_save_that_nobody_does_any_more_is_not_waited_for() {
    let disk = FakeDisk::new(Condition::Works);
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    let (before, after) = runtime().block_on(async {
        let mut saver = saver(&disk);
        let before = saver.save(snapshot(1));
        assert!(before.clone().on_disk().await);
        (before, saver.save(snapshot(2)))
    });
    runtime().block_on(async {
        let began = Instant::now();
        assert!(!after.on_disk().await);
        assert!(before.on_disk().await, "what is on disk stays there");
        assert_eq!(began.elapsed(), Duration::ZERO);
    });
}
