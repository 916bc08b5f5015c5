//! The ticking task on a paused clock, with a scripted probe.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilotlight::core::{Faculties, Failing, Instant, Outcome, Part, Why};
use pilotlight::probe::schedule::Cadence;
use pilotlight::probe::task::{Probed, run};
use pilotlight::probe::{BoxFuture, Probe, Report, Timings};
use tokio::sync::mpsc;
use tokio::time::{Instant as Tick, sleep};

const CADENCE: Cadence = Cadence {
    interval: Duration::from_secs(5),
    timeout: Duration::from_secs(4),
    confirm_interval: Duration::from_millis(500),
    hedge_after: Duration::from_secs(1),
    failures_wanted: 3,
};

/// What the origin does with a probe sent at that many milliseconds.
type Script = fn(u64) -> Answer;

enum Answer {
    After(u64, Outcome),
    Never,
}

/// A probe that keeps to a script and records when it was sent.
struct Scripted {
    epoch: Tick,
    script: Script,
    sent: Mutex<Vec<u64>>,
    in_flight: AtomicUsize,
    most: AtomicUsize,
}

impl Probe for Scripted {
    fn probe(&self) -> BoxFuture<'_, Report> {
        Box::pin(async move {
            let at = u64::try_from(self.epoch.elapsed().as_millis()).expect("small");
            self.sent.lock().expect("not poisoned").push(at);
            let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(in_flight, Ordering::SeqCst);
            let outcome = match (self.script)(at) {
                Answer::After(millis, outcome) => {
                    sleep(Duration::from_millis(millis)).await;
                    outcome
                }
                Answer::Never => std::future::pending().await,
            };
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            Report {
                outcome,
                timings: Timings::default(),
            }
        })
    }
}

struct Scene {
    probe: Arc<Scripted>,
    probed: mpsc::Receiver<Probed>,
    task: tokio::task::JoinHandle<()>,
}

impl Scene {
    fn start(script: Script, room: usize) -> Self {
        let epoch = Tick::now();
        let probe = Arc::new(Scripted {
            epoch,
            script,
            sent: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let (out, probed) = mpsc::channel(room);
        let task = tokio::spawn(run(Arc::clone(&probe) as Arc<dyn Probe>, CADENCE, epoch, out));
        Self { probe, probed, task }
    }

    /// What came of the probes until `millis`.
    async fn until(&mut self, millis: u64) -> Vec<Probed> {
        let end = self.probe.epoch + Duration::from_millis(millis);
        let mut all = Vec::new();
        while let Ok(Some(probed)) = tokio::time::timeout_at(end, self.probed.recv()).await {
            all.push(probed);
        }
        all
    }

    fn sent(&self) -> Vec<u64> {
        self.probe.sent.lock().expect("not poisoned").clone()
    }
}

const fn well(after: u64) -> Answer {
    Answer::After(after, Outcome::Ok)
}

fn badly(after: u64, why: Why) -> Answer {
    let used = Faculties::default();
    Answer::After(after, Outcome::Failed(Failing { why, used }))
}

fn ms(millis: u64) -> Instant {
    Instant::at(Duration::from_millis(millis))
}

#[tokio::test(start_paused = true)]
async fn the_first_probe_goes_out_at_once_and_the_rate_does_not_drift() {
    let mut scene = Scene::start(|_| well(70), 8);
    let all = scene.until(21_000).await;
    let sent_at: Vec<Instant> = all.iter().map(|probed| probed.sent_at).collect();
    assert_eq!(sent_at, [0, 5_000, 10_000, 15_000, 20_000].map(ms));
    assert!(
        all.iter()
            .all(|probed| probed.scheduled && probed.report.outcome.is_ok())
    );
}

#[tokio::test(start_paused = true)]
async fn r05_a_probe_that_hangs_never_delays_the_next() {
    let mut scene = Scene::start(|at| if at == 5_000 { Answer::Never } else { well(10) }, 8);
    let all = scene.until(16_000).await;
    let scheduled: Vec<Instant> = all
        .iter()
        .filter(|probed| probed.scheduled)
        .map(|probed| probed.sent_at)
        .collect();
    // The one that never ends is given up on, later than those after it.
    assert_eq!(scheduled, [0, 10_000, 5_000, 15_000].map(ms));
    assert_eq!(scene.sent(), [0, 5_000, 6_000, 10_000, 15_000]);
}

#[tokio::test(start_paused = true)]
async fn r05_late_is_not_failed() {
    let mut scene = Scene::start(|at| well(if at == 5_000 { 3_000 } else { 10 }), 8);
    let all = scene.until(14_000).await;
    assert!(all.iter().all(|probed| probed.report.outcome.is_ok()));
    assert_eq!(scene.sent(), [0, 5_000, 6_000, 10_000], "one hedge, and no burst");
    assert!(
        all.iter()
            .any(|probed| !probed.scheduled && probed.sent_at == ms(6_000))
    );
}

#[tokio::test(start_paused = true)]
async fn r05_a_refused_home_is_confirmed_at_once_and_then_probed_at_the_rate_only() {
    let mut scene = Scene::start(
        |at| {
            if at < 5_000 { well(1) } else { badly(1, Why::Refused) }
        },
        8,
    );
    scene.until(26_000).await;
    assert_eq!(scene.sent(), [0, 5_000, 5_001, 5_501, 10_000, 15_000, 20_000, 25_000]);
}

#[tokio::test(start_paused = true)]
async fn r05_a_silent_home_is_confirmed_by_overlap_and_at_most_three_are_in_flight() {
    let mut scene = Scene::start(
        |at| {
            if at < 5_000 {
                well(1)
            } else {
                badly(4_000, Why::Timeout(Part::FirstByte))
            }
        },
        8,
    );
    let all = scene.until(29_000).await;
    assert_eq!(scene.sent(), [0, 5_000, 6_000, 6_500, 10_000, 15_000, 20_000, 25_000]);
    assert_eq!(scene.probe.most.load(Ordering::SeqCst), 3);
    let failures = all.iter().filter(|probed| !probed.report.outcome.is_ok()).take(3);
    assert_eq!(
        failures.map(|probed| probed.sent_at).collect::<Vec<_>>(),
        [5_000, 6_000, 6_500].map(ms)
    );
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_keep_up_delays_no_probe() {
    let mut scene = Scene::start(|_| well(1), 1);
    sleep(Duration::from_secs(41)).await;
    assert_eq!(scene.sent().len(), 9);
    let all = scene.until(41_001).await;
    assert_eq!(all.len(), 9, "and nothing is lost");
    assert!(all.is_sorted_by_key(|probed| probed.sent_at));
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_its_receiver_and_lets_go_of_what_is_in_flight() {
    let scene = Scene::start(|_| Answer::Never, 8);
    tokio::task::yield_now().await;
    assert_eq!(scene.sent(), [0]);
    drop(scene.probed);
    scene.task.await.expect("it ended by itself");
    assert_eq!(Arc::strong_count(&scene.probe), 1);
}
