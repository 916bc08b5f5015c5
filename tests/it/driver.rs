//! The event loop of a site under the paused clock, between fakes that record what reaches them and when.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilotlight::clock::{Clock, SetWall};
use pilotlight::core::machine::Pin;
use pilotlight::core::{
    ClockCheck, Command, Controller, Event, Faculties, Failing, FailureKind, Layout, Notice, Observed, Order, Outcome,
    Position, Reflection, Route, Sighting, Status, ToggleKey, View, Why,
};
use pilotlight::driver::{COMMANDS_WAITING, Driver, Limbs, Links, PROBES_WAITING};
use pilotlight::metrics::Metrics;
use pilotlight::probe::task::Probed;
use pilotlight::probe::{BoxFuture, Look, Mirror, Report, Timings};
use pilotlight::toggle::{ResourceKey, Toggle, ToggleError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance, sleep};

use crate::sample::{GATE, REDIRECT, metrics};
use crate::support::disk::{Condition, FakeDisk, Release};
use crate::support::model::{EPOCH, policy};

const TOGGLE_TIMEOUT: Duration = Duration::from_secs(15);
const PROBE_PATIENCE: Duration = Duration::from_secs(15);

/// How a fake answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    AtOnce,
    After(Duration),
    Never,
}

async fn answer(how: Answers) {
    match how {
        Answers::AtOnce => {}
        Answers::After(wait) => sleep(wait).await,
        Answers::Never => std::future::pending().await,
    }
}

/// A switch that notes when it was told what.
struct Switch {
    key: ResourceKey,
    answers: Mutex<Answers>,
    position: Mutex<Position>,
    told: Mutex<Vec<(Position, Instant)>>,
}

impl Switch {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            key: ResourceKey {
                object: "object".to_owned(),
                lane: "lane".to_owned(),
                credential: "credential".to_owned(),
            },
            answers: Mutex::new(Answers::AtOnce),
            position: Mutex::new(Position::Off),
            told: Mutex::default(),
        })
    }

    /// When it was told to go on.
    fn told_on(&self) -> Vec<Instant> {
        let told = self.told.lock().unwrap();
        let on = told.iter().filter(|(position, _)| *position == Position::On);
        on.map(|(_, at)| *at).collect()
    }

    fn observed(&self) -> Observed {
        Observed {
            configured: Some(*self.position.lock().unwrap()),
            ..Observed::default()
        }
    }
}

impl Toggle for Switch {
    fn key(&self) -> &ResourceKey {
        &self.key
    }
    fn kind(&self) -> &'static str {
        "fake"
    }
    fn observe(&self) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        Box::pin(async { Ok(self.observed()) })
    }
    fn set(&self, position: Position) -> BoxFuture<'_, Result<Observed, ToggleError>> {
        self.told.lock().unwrap().push((position, Instant::now()));
        let how = *self.answers.lock().unwrap();
        Box::pin(async move {
            answer(how).await;
            *self.position.lock().unwrap() = position;
            Ok(self.observed())
        })
    }
}

/// An eye that sees the same always.
struct Gaze(View, Answers);

impl Look for Gaze {
    fn look(&self) -> BoxFuture<'_, Sighting> {
        Box::pin(async {
            answer(self.1).await;
            Sighting {
                view: self.0,
                redirect: None,
                took: Duration::from_millis(20),
            }
        })
    }
}

/// References that count how often they are asked.
struct Glass {
    asked: AtomicU32,
    answers: Mutex<Answers>,
}

impl Mirror for Glass {
    fn ask(&self) -> BoxFuture<'_, Reflection> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let how = *self.answers.lock().unwrap();
        Box::pin(async move {
            answer(how).await;
            Reflection {
                answered: 2,
                proven: Faculties::ALL,
                clock: ClockCheck::Agrees,
            }
        })
    }
}

/// A driver with everything around it.
struct Rig {
    clock: Clock,
    wall: SetWall,
    disk: Arc<FakeDisk>,
    gate: Arc<Switch>,
    glass: Arc<Glass>,
    metrics: Arc<Metrics>,
    notices: Arc<Mutex<Vec<&'static str>>>,
    pulses: Arc<AtomicU32>,
    home_answers: Arc<AtomicBool>,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Arc<Status>>,
    stop: oneshot::Sender<()>,
    driver: JoinHandle<()>,
    prober: JoinHandle<()>,
    _release: Release,
}

impl Rig {
    /// A site with a gate and a redirect, home well and probed every second.
    fn start(condition: Condition) -> Self {
        Self::with_eyes(condition, Answers::AtOnce)
    }

    fn with_eyes(condition: Condition, eyes: Answers) -> Self {
        let (clock, wall) = Clock::settable(EPOCH);
        let (gate, redirect) = (Switch::new(), Switch::new());
        let glass = Arc::new(Glass {
            asked: AtomicU32::new(0),
            answers: Mutex::new(Answers::AtOnce),
        });
        let toggles: Vec<(ToggleKey, Arc<dyn Toggle>)> =
            vec![(GATE, Arc::clone(&gate) as _), (REDIRECT, redirect as _)];
        let limbs = Limbs {
            visitor: Arc::new(Gaze(View::Nothing, eyes)),
            standby: Arc::new(Gaze(View::Standby, eyes)),
            edge: None,
            mirror: Arc::clone(&glass) as _,
            toggles,
            toggle_timeout: TOGGLE_TIMEOUT,
            probe_patience: PROBE_PATIENCE,
        };
        let layout = Layout {
            toggles: vec![GATE, REDIRECT],
            edge_eye: false,
        };
        let controller = Controller::new(policy(), layout, None, 1, clock.now());
        let (probes_in, probes) = mpsc::channel(PROBES_WAITING);
        let (commands_in, commands) = mpsc::channel(COMMANDS_WAITING);
        let (status_in, status) = watch::channel(Arc::new(controller.status(clock.now())));
        let (stop, stopped) = oneshot::channel::<()>();
        let (notices, pulses, metrics) = (Arc::default(), Arc::new(AtomicU32::new(0)), metrics());
        let disk = FakeDisk::new(condition);
        let links = Links {
            probes,
            commands,
            status: status_in,
            tell: teller(&notices),
            pulse: counter(&pulses),
            disk: Arc::clone(&disk) as _,
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
        };
        let driver = Driver::new("home".to_owned(), controller, limbs, links);
        let stopped = async { stopped.await.unwrap_or_default() };
        let home_answers = Arc::new(AtomicBool::new(true));
        Self {
            wall,
            gate,
            glass,
            metrics,
            notices,
            pulses,
            commands: commands_in,
            status,
            stop,
            driver: tokio::spawn(driver.run(Event::Woke, stopped)),
            prober: tokio::spawn(probe(probes_in, clock.clone(), Arc::clone(&home_answers))),
            home_answers,
            clock,
            _release: Release(Arc::clone(&disk)),
            disk,
        }
    }

    async fn order(&self, order: Order) {
        let pin = Pin {
            until: self.clock.wall() + Duration::from_secs(3600),
            author: "ann".to_owned(),
            reason: "a test".to_owned(),
        };
        self.commands.send(Command { order, pin }).await.unwrap();
    }

    fn was_told(&self, name: &str) -> bool {
        self.notices.lock().unwrap().contains(&name)
    }

    fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.borrow())
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics.encode().unwrap().lines().any(|found| found == line)
    }
}

fn teller(notices: &Arc<Mutex<Vec<&'static str>>>) -> pilotlight::driver::Tell {
    let notices = Arc::clone(notices);
    Box::new(move |notice: &Notice, _: &Status| notices.lock().unwrap().push(notice.what.name()))
}

fn counter(count: &Arc<AtomicU32>) -> Box<dyn Fn() + Send + Sync> {
    let count = Arc::clone(count);
    Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    })
}

/// A probe every second, of a home that answers or refuses.
async fn probe(probes: mpsc::Sender<Probed>, clock: Clock, home_answers: Arc<AtomicBool>) {
    let refused = Outcome::Failed(Failing {
        why: Why::Refused,
        used: Faculties::default(),
    });
    loop {
        let outcome = if home_answers.load(Ordering::Relaxed) {
            Outcome::Ok
        } else {
            refused
        };
        let probed = Probed {
            sent_at: clock.now().at,
            scheduled: true,
            report: Report {
                outcome,
                timings: Timings::default(),
            },
        };
        if probes.send(probed).await.is_err() {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Lets `span` pass in small steps, also while a thread hangs in the disk (the paused clock would then stand still).
async fn pass(span: Duration) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        for _ in 0..16 {
            yield_now().await;
        }
        advance(Duration::from_millis(10).min(end - Instant::now())).await;
    }
    for _ in 0..16 {
        yield_now().await;
    }
}

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
