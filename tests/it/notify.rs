//! Deliveries to a recording target under the paused clock.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilotlight::clock::{Clock, SetWall};
use pilotlight::core::{EpisodeId, Notice, Wall, What};
use pilotlight::notify::{
    Dropped, Happening, MOST_PENDING, Notifier, Tally, Target, TellError, TellFailure, Tellers, Told, open,
};
use pilotlight::probe::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::sample::failed_over;
use crate::scratch::Scratch;

pub const START: Wall = Wall(1_767_225_600_000);

/// Answers by script and then with success; records every try.
struct Recorder {
    script: Mutex<VecDeque<Result<(), TellError>>>,
    tries: mpsc::UnboundedSender<Try>,
}

#[derive(Debug)]
pub struct Try {
    pub id: String,
    pub name: String,
    pub late: Option<Duration>,
    pub at: Instant,
}

impl Notifier for Recorder {
    fn tell<'a>(&'a self, told: &'a Told, late: Option<Duration>) -> BoxFuture<'a, Result<(), TellError>> {
        Box::pin(async move {
            let _ = self.tries.send(Try {
                id: told.id.clone(),
                name: told.name.clone(),
                late,
                at: Instant::now(),
            });
            self.script.lock().unwrap().pop_front().unwrap_or(Ok(()))
        })
    }
}

#[derive(Default)]
pub struct Notes(Mutex<Vec<(String, Happening)>>);

impl Tally for Notes {
    fn note(&self, target: &str, happening: Happening) {
        self.0.lock().unwrap().push((target.to_owned(), happening));
    }
}

impl Notes {
    pub fn count(&self, happening: Happening) -> usize {
        let notes = self.0.lock().unwrap();
        notes.iter().filter(|(_, noted)| *noted == happening).count()
    }

    pub fn sent(&self) -> usize {
        let notes = self.0.lock().unwrap();
        let sent = |(_, noted): &&(String, Happening)| matches!(noted, Happening::Sent(_));
        notes.iter().filter(sent).count()
    }

    pub fn waiting(&self) -> Option<Happening> {
        let notes = self.0.lock().unwrap();
        let mut waiting = notes.iter().rev().map(|(_, noted)| *noted);
        waiting.find(|noted| matches!(noted, Happening::Waiting(_)))
    }
}

pub fn failure(kind: TellFailure) -> Result<(), TellError> {
    Err(TellError {
        kind,
        detail: "as scripted".to_owned(),
        retry_after: None,
    })
}

pub fn target(name: &str, script: Vec<Result<(), TellError>>) -> (Target, mpsc::UnboundedReceiver<Try>) {
    let (tries, seen) = mpsc::unbounded_channel();
    let notifier = Arc::new(Recorder {
        script: Mutex::new(script.into()),
        tries,
    });
    let target = Target {
        name: name.to_owned(),
        sites: Vec::new(),
        notifier,
    };
    (target, seen)
}

pub struct World {
    pub tellers: Tellers,
    pub notes: Arc<Notes>,
    pub wall: SetWall,
    pub clock: Clock,
    pub tasks: Vec<JoinHandle<()>>,
}

pub fn start(outbox: &Path, targets: Vec<Target>) -> World {
    start_at(START, outbox, targets)
}

pub fn start_at(now: Wall, outbox: &Path, targets: Vec<Target>) -> World {
    let (clock, wall) = Clock::settable(now);
    let notes = Arc::new(Notes::default());
    let tally: Arc<dyn Tally> = Arc::clone(&notes) as Arc<dyn Tally>;
    let (tellers, deliveries) = open(targets, outbox, &clock, &tally).unwrap();
    let tasks = deliveries
        .into_iter()
        .map(|delivery| tokio::spawn(delivery.run()))
        .collect();
    World {
        tellers,
        notes,
        wall,
        clock,
        tasks,
    }
}

impl World {
    pub fn tell(&self, what: What) -> Arc<Told> {
        let notice = Notice {
            what,
            episode: Some(EpisodeId(7)),
            wall: self.clock.wall(),
        };
        let teller = self.tellers.of_site("home");
        let told = Arc::new(teller.word(&notice, &failed_over()));
        teller.tell(&told);
        told
    }

    /// Stops as the daemon does.
    pub async fn stop(self) -> Arc<Notes> {
        drop(self.tellers);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.notes
    }
}

pub fn files(outbox: &Path, target: &str) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(outbox.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub const FAILED_OVER: What = What::FailedOver {
    after: Duration::from_secs(31),
};

#[tokio::test(start_paused = true)]
async fn r14_a_notice_keeps_its_id_over_retries_and_order_is_kept() {
    let scratch = Scratch::new();
    let script = vec![failure(TellFailure::NoAnswer), failure(TellFailure::Unavailable)];
    let (target, mut tries) = target("ops", script);
    let world = start(scratch.path(), vec![target]);
    world.tell(FAILED_OVER);
    world.tell(What::FailbackStarted);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(tries.recv().await.unwrap());
    }
    let names: Vec<_> = seen.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["failed_over", "failed_over", "failed_over", "failback_started"]);
    assert!(seen[0].id == seen[1].id && seen[1].id == seen[2].id && seen[2].id != seen[3].id);
    assert!(!seen[0].id.contains('.'));
    let waits: Vec<_> = seen
        .windows(2)
        .map(|pair| (pair[1].at - pair[0].at).as_secs())
        .collect();
    assert!(
        (5..=10).contains(&waits[0]) && (15..=30).contains(&waits[1]),
        "{waits:?}"
    );
    assert_eq!(waits[2], 0, "the way is free again");
    let notes = world.stop().await;
    assert_eq!(notes.sent(), 2);
    assert_eq!(notes.waiting(), Some(Happening::Waiting(0)));
    assert!(files(scratch.path(), "ops").is_empty());
}

#[tokio::test(start_paused = true)]
async fn r14_a_dead_target_does_not_delay_another() {
    let scratch = Scratch::new();
    let (dead, mut dead_tries) = target("dead", vec![failure(TellFailure::NoAnswer); 50]);
    let (alive, mut tries) = target("alive", vec![]);
    let world = start(scratch.path(), vec![dead, alive]);
    let began = Instant::now();
    world.tell(FAILED_OVER);
    world.tell(What::FailbackStarted);
    assert_eq!(tries.recv().await.unwrap().at, began);
    assert_eq!(tries.recv().await.unwrap().at, began);
    dead_tries.recv().await.unwrap();
    assert_eq!(files(scratch.path(), "dead").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn r14_what_was_not_delivered_survives_a_restart_and_says_that_it_is_late() {
    let scratch = Scratch::new();
    let (dead, mut tries) = target("ops", vec![failure(TellFailure::NoAnswer)]);
    let world = start(scratch.path(), vec![dead]);
    world.tell(FAILED_OVER);
    world.tell(What::FailbackStarted);
    let first = tries.recv().await.unwrap();
    assert_eq!(first.late, None);
    world.stop().await;
    assert_eq!(files(scratch.path(), "ops").len(), 2);

    let (alive, mut tries) = target("ops", vec![]);
    let world = start_at(START + Duration::from_secs(3600), scratch.path(), vec![alive]);
    let again = tries.recv().await.unwrap();
    assert_eq!(
        (&again.id, again.late.map(|late| late.as_secs())),
        (&first.id, Some(3600))
    );
    assert_eq!(tries.recv().await.unwrap().name, "failback_started");
    world.tell(What::Orphan);
    assert_eq!(
        tries.recv().await.unwrap().late,
        None,
        "new ones come after the old and are not late"
    );
    world.stop().await;
    assert!(files(scratch.path(), "ops").is_empty());
}

#[tokio::test(start_paused = true)]
async fn r14_a_kill_loses_nothing_that_is_on_disk() {
    let scratch = Scratch::new();
    let (dead, mut tries) = target("ops", vec![failure(TellFailure::NoAnswer)]);
    let world = start(scratch.path(), vec![dead]);
    world.tell(FAILED_OVER);
    let first = tries.recv().await.unwrap();
    for task in &world.tasks {
        task.abort();
    }
    let (alive, mut tries) = target("ops", vec![]);
    let _again = start(scratch.path(), vec![alive]);
    assert_eq!(tries.recv().await.unwrap().id, first.id);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_a_minimum_but_not_more_than_an_hour() {
    let scratch = Scratch::new();
    let wait = |secs| {
        Err(TellError {
            kind: TellFailure::Unavailable,
            detail: String::new(),
            retry_after: Some(Duration::from_secs(secs)),
        })
    };
    let (target, mut tries) = target("ops", vec![wait(300), wait(86_400 * 365)]);
    let world = start(scratch.path(), vec![target]);
    world.tell(FAILED_OVER);
    let (first, second, third) = (
        tries.recv().await.unwrap(),
        tries.recv().await.unwrap(),
        tries.recv().await.unwrap(),
    );
    assert_eq!((second.at - first.at).as_secs(), 300);
    assert_eq!((third.at - second.at).as_secs(), 3600);
}

#[tokio::test(start_paused = true)]
async fn a_refused_notice_is_given_up_and_the_next_goes_out() {
    let scratch = Scratch::new();
    let (target, mut tries) = target("ops", vec![failure(TellFailure::Refused)]);
    let world = start(scratch.path(), vec![target]);
    world.tell(FAILED_OVER);
    world.tell(What::FailbackStarted);
    assert_eq!(tries.recv().await.unwrap().name, "failed_over");
    assert_eq!(tries.recv().await.unwrap().name, "failback_started");
    let notes = world.stop().await;
    assert_eq!(notes.count(Happening::Dropped(Dropped::Refused)), 1);
    assert!(files(scratch.path(), "ops").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_is_left_alone_until_restart_and_then_told_the_rest() {
    let scratch = Scratch::new();
    let (gone, mut tries) = target("ops", vec![failure(TellFailure::Gone)]);
    let world = start(scratch.path(), vec![gone]);
    world.tell(FAILED_OVER);
    tries.recv().await.unwrap();
    world.tell(What::FailbackStarted);
    sleep(Duration::from_secs(7200)).await;
    assert!(tries.try_recv().is_err());
    let notes = world.stop().await;
    assert_eq!(notes.count(Happening::Disabled), 1);

    let (back, mut tries) = target("ops", vec![]);
    let _world = start(scratch.path(), vec![back]);
    assert_eq!(tries.recv().await.unwrap().name, "failed_over");
    assert_eq!(tries.recv().await.unwrap().name, "failback_started");
}

#[tokio::test(start_paused = true)]
async fn after_a_day_a_notice_is_given_up() {
    let scratch = Scratch::new();
    let (dead, mut tries) = target("ops", vec![failure(TellFailure::NoAnswer); 1000]);
    let world = start(scratch.path(), vec![dead]);
    world.tell(FAILED_OVER);
    sleep(Duration::from_secs(27 * 3600)).await;
    assert_eq!(world.notes.count(Happening::Dropped(Dropped::Expired)), 1);
    assert_eq!(world.notes.waiting(), Some(Happening::Waiting(0)));
    assert!(files(scratch.path(), "ops").is_empty());
    let mut last = Duration::ZERO;
    while let Ok(one) = tries.try_recv() {
        last = one.late.unwrap_or_default();
    }
    assert!(
        last > Duration::from_secs(20 * 3600) && last < Duration::from_secs(26 * 3600),
        "{last:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_makes_no_notice_old_or_late() {
    let scratch = Scratch::new();
    let (target, mut tries) = target("ops", vec![failure(TellFailure::NoAnswer)]);
    let world = start_at(Wall(0), scratch.path(), vec![target]);
    world.tell(FAILED_OVER);
    tries.recv().await.unwrap();
    world.wall.set(START);
    assert_eq!(tries.recv().await.unwrap().late, None);
}

#[tokio::test(start_paused = true)]
async fn r14_telling_never_waits_and_a_flood_is_bounded_and_counted() {
    let scratch = Scratch::new();
    let (dead, _tries) = target("ops", vec![failure(TellFailure::NoAnswer); 10_000]);
    let world = start(scratch.path(), vec![dead]);
    for _ in 0..20 * MOST_PENDING + 36 {
        world.tell(What::Orphan);
    }
    assert_eq!(
        world.notes.count(Happening::Dropped(Dropped::Full)),
        36,
        "what twenty sites tell again at a start fits in while nobody takes it"
    );
    for _ in 0..10 {
        sleep(Duration::from_secs(1)).await;
        for _ in 0..60 {
            world.tell(What::Orphan);
        }
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.notes.waiting(), Some(Happening::Waiting(500)));
    assert_eq!(files(scratch.path(), "ops").len(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_broken_file_in_the_outbox_stops_nothing() {
    let scratch = Scratch::new();
    let dir = scratch.path().join("ops");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("00000000000000000003.json"), b"{\"id\":").unwrap();
    fs::write(dir.join(".00000000000000000004.json.tmp"), b"").unwrap();
    let (target, mut tries) = target("ops", vec![]);
    let world = start(scratch.path(), vec![target]);
    world.tell(FAILED_OVER);
    assert_eq!(tries.recv().await.unwrap().name, "failed_over");
    assert_eq!(world.notes.count(Happening::Dropped(Dropped::Broken)), 1);
    world.stop().await;
    assert!(
        files(scratch.path(), "ops").is_empty(),
        "what a kill in the middle of a write leaves behind is tidied up"
    );
}

/// Found by the fuzz target `outbox`: `1.json` was told, could not be removed under that name, and was told again after each restart.
#[tokio::test(start_paused = true)]
async fn r14_a_file_that_the_outbox_did_not_name_is_not_told_at_every_restart() {
    let scratch = Scratch::new();
    let (silent, _tries) = target("ops", vec![failure(TellFailure::NoAnswer)]);
    let world = start(scratch.path(), vec![silent]);
    world.tell(FAILED_OVER);
    world.stop().await;
    let dir = scratch.path().join("ops");
    let [kept] = files(scratch.path(), "ops").try_into().unwrap();
    for name in ["1.json", "+1.json", "099999999999999999999.json"] {
        fs::copy(dir.join(&kept), dir.join(name)).unwrap();
    }
    let (target, mut tries) = target("ops", vec![]);
    let notes = start(scratch.path(), vec![target]).stop().await;
    assert_eq!(notes.sent(), 1);
    assert!(tries.recv().await.is_some() && tries.recv().await.is_none());
    assert_eq!(files(scratch.path(), "ops").len(), 3, "what is not ours stays");
}

#[tokio::test(start_paused = true)]
async fn without_a_usable_outbox_people_are_told_all_the_same() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("ops"), b"a file in the way").unwrap();
    let (target, mut tries) = target("ops", vec![failure(TellFailure::NoAnswer)]);
    let world = start(scratch.path(), vec![target]);
    world.tell(FAILED_OVER);
    tries.recv().await.unwrap();
    assert_eq!(tries.recv().await.unwrap().name, "failed_over");
    assert!(world.notes.count(Happening::Failed(TellFailure::Local)) > 0);
}

#[tokio::test(start_paused = true)]
async fn a_target_hears_only_of_its_sites() {
    let scratch = Scratch::new();
    let (mut other, mut other_tries) = target("other", vec![]);
    other.sites = vec!["elsewhere".to_owned()];
    let (all, mut tries) = target("all", vec![]);
    let world = start(scratch.path(), vec![other, all]);
    world.tell(FAILED_OVER);
    tries.recv().await.unwrap();
    world.stop().await;
    assert!(other_tries.try_recv().is_err());
}
