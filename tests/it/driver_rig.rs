//! A site's event loop with everything around it faked: switches, eyes, references, disk, clocks and probes.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilotlight::clock::{Clock, SetWall};
use pilotlight::core::machine::Pin;
use pilotlight::core::{
    ClockCheck, Command, Controller, Event, Faculties, Failing, Layout, Notice, Observed, Order, Outcome, Position,
    Reflection, Sighting, Snapshot, Status, ToggleKey, View, Why,
};
use pilotlight::driver::{COMMANDS_WAITING, Driver, Limbs, Links, PROBES_WAITING, Pending};
use pilotlight::metrics::Metrics;
use pilotlight::notify::{Receipt, Teller, Told};
use pilotlight::probe::task::Probed;
use pilotlight::probe::{BoxFuture, Look, Mirror, Report, Timings};
use pilotlight::toggle::{ResourceKey, Toggle, ToggleError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance, sleep};

use crate::sample::{GATE, REDIRECT, metrics};
use crate::support::disk::{Condition, FakeDisk, Release};
use crate::support::model::{EPOCH, policy};

pub const TOGGLE_TIMEOUT: Duration = Duration::from_secs(15);
pub const PROBE_PATIENCE: Duration = Duration::from_secs(15);

/// How a fake answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
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
pub struct Switch {
    key: ResourceKey,
    pub answers: Mutex<Answers>,
    position: Mutex<Position>,
    told: Mutex<Vec<(Position, Instant)>>,
    pub warmed: AtomicU32,
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
            warmed: AtomicU32::new(0),
        })
    }

    /// When it was told to go on.
    pub fn told_on(&self) -> Vec<Instant> {
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
    fn warm(&self) -> BoxFuture<'_, ()> {
        self.warmed.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
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
pub struct Glass {
    pub asked: AtomicU32,
    pub answers: Mutex<Answers>,
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
pub struct Rig {
    pub clock: Clock,
    pub wall: SetWall,
    pub disk: Arc<FakeDisk>,
    pub gate: Arc<Switch>,
    pub glass: Arc<Glass>,
    pub metrics: Arc<Metrics>,
    pub ears: Arc<Ears>,
    pub pulses: Arc<AtomicU32>,
    pub home_answers: Arc<AtomicBool>,
    pub commands: mpsc::Sender<Command>,
    pub status: watch::Receiver<Arc<Status>>,
    pub stop: oneshot::Sender<()>,
    pub driver: JoinHandle<()>,
    pub prober: JoinHandle<()>,
    _release: Release,
}

impl Rig {
    /// A site with a gate and a redirect, home well and probed every second.
    pub fn start(condition: Condition) -> Self {
        Self::with_eyes(condition, Answers::AtOnce)
    }

    /// As after a restart with these notices beside the intent.
    pub fn with_notices(restored: Vec<serde_json::Value>) -> Self {
        Self::build(Condition::Works, Answers::AtOnce, None, restored)
    }

    /// As after a kill: what reached the disk of the one before is all that is known.
    pub fn after_a_kill_of(before: &Self) -> Self {
        before.driver.abort();
        let (saved, notices) = (before.disk.kept().last().cloned(), before.disk.notices());
        // A thread that hangs in it would hold the paused clock.
        before.disk.becomes(Condition::Refuses);
        Self::build(Condition::Works, Answers::AtOnce, saved.as_ref(), notices)
    }

    pub fn with_eyes(condition: Condition, eyes: Answers) -> Self {
        Self::build(condition, eyes, None, Vec::new())
    }

    fn build(condition: Condition, eyes: Answers, saved: Option<&Snapshot>, restored: Vec<serde_json::Value>) -> Self {
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
        let controller = Controller::new(policy(), layout, saved, 1, clock.now());
        let (probes_in, probes) = mpsc::channel(PROBES_WAITING);
        let (commands_in, commands) = mpsc::channel(COMMANDS_WAITING);
        let (status_in, status) = watch::channel(Arc::new(controller.status(clock.now())));
        let (stop, stopped) = oneshot::channel::<()>();
        let (ears, pulses, metrics) = (Arc::<Ears>::default(), Arc::new(AtomicU32::new(0)), metrics());
        let disk = FakeDisk::new(condition);
        let links = Links {
            probes,
            commands,
            status: status_in,
            notices: Pending::new(Box::new(Mouth(Arc::clone(&ears))), restored),
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
            ears,
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

    pub async fn order(&self, order: Order) {
        let pin = Pin {
            until: self.clock.wall() + Duration::from_secs(3600),
            author: "ann".to_owned(),
            reason: "a test".to_owned(),
        };
        self.commands.send(Command { order, pin }).await.unwrap();
    }

    pub fn was_told(&self, name: &str) -> bool {
        let told = self.ears.told.lock().unwrap();
        told.iter().any(|(_, told)| told == name)
    }

    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.borrow())
    }

    pub fn metric(&self, line: &str) -> bool {
        self.metrics.encode().unwrap().lines().any(|found| found == line)
    }
}

/// Writes down what is told. It is safe at once, or when the test says so.
#[derive(Default)]
pub struct Ears {
    /// Ids and names, as they were told.
    pub told: Mutex<Vec<(String, String)>>,
    /// Nothing is safe as long as these are held.
    pub owed: Mutex<Option<Vec<mpsc::Sender<Infallible>>>>,
    words: AtomicU32,
}

struct Mouth(Arc<Ears>);

impl Teller for Mouth {
    fn word(&self, notice: &Notice, status: &Status) -> Told {
        let number = self.0.words.fetch_add(1, Ordering::Relaxed);
        Told::new(format!("pl_{number}"), "home", notice, Some(status))
    }

    fn tell(&self, told: &Arc<Told>) -> Receipt {
        self.0.told.lock().unwrap().push((told.id.clone(), told.name.clone()));
        let (owed, receipt) = Receipt::owed();
        if let Some(held) = self.0.owed.lock().unwrap().as_mut() {
            held.push(owed);
        }
        receipt
    }

    fn tell_again(&self, told: &Arc<Told>) -> Receipt {
        self.tell(told)
    }
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
pub async fn pass(span: Duration) {
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
