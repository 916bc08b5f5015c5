//! One life of the process: the real parts put together as `app` does it, over a simulated wire, eyes, wall clock, disk and target.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pilotlight::clock::{Clock, SetWall};
use pilotlight::core::machine::Pin;
use pilotlight::core::{Command, Controller, Event, Layout, Order, Policy, Route, Status};
use pilotlight::driver::{COMMANDS_WAITING, Driver, Limbs, PROBES_WAITING};
use pilotlight::http::Http;
use pilotlight::probe::Look;
use pilotlight::probe::schedule::Cadence;
use pilotlight::probe::task;
use pilotlight::store::{Loaded, StateDir, StoreError};
use pilotlight::toggle::Resources;
use pilotlight::toggle::cloudflare::CloudflareClient;
use pilotlight::toggle::google::GoogleClient;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, yield_now};

use super::eyes::{OriginEye, PROBE_TIMEOUT, References, StandbyEye, VisitorEye};
use super::laws::Law;
use super::parts::{Parts, metrics, open_notices, tokens};
use super::planted::Plant;
use super::receiver::Sent;
use super::wire::{Cable, TOGGLE_TIMEOUT};
use super::world::{Kind, SITES, Shared, lock};
use crate::support::model;

/// A task that was dropped is gone, and what hung on it as well, after the runtime went round so often.
const YIELDS: usize = 100;

/// The policy of all sites of a life.
pub fn policy(kind: Kind) -> Policy {
    Policy {
        prewarm: kind.prewarm,
        ..model::policy()
    }
}

/// What the program is told, which is the same unless a wrong is planted.
fn told_policy(kind: Kind) -> Policy {
    let mut policy = policy(kind);
    match kind.plant {
        Some(Plant::NoPatience) => policy.gate_patience = Duration::from_millis(1),
        Some(Plant::ShortDrain) => policy.drain = Duration::from_secs(60),
        _ => {}
    }
    policy
}

/// A running process.
pub struct Process {
    world: Shared,
    tasks: JoinSet<()>,
    helpers: JoinSet<()>,
    /// One for each site: a shared one would wake them in any order.
    stop: Vec<oneshot::Sender<()>>,
    commands: Vec<mpsc::Sender<Command>>,
    pub status: Vec<watch::Receiver<Arc<Status>>>,
    clock: Clock,
    hand: SetWall,
}

impl Process {
    /// Starts on what the state directory holds.
    pub async fn start(world: &Shared, dir: &Path, sent: &Sent) -> Self {
        let state = open(dir).await;
        let (kind, number) = {
            let mut world = lock(world);
            world.process_began = tokio::time::Instant::now();
            world.processes += 1;
            world.spent.clear();
            world.read.clear();
            world.policy_seen = false;
            (world.kind, world.processes)
        };
        let (clock, hand) = Clock::settable(lock(world).wall());
        let metrics = Arc::new(metrics(kind, &clock));
        let http = Http::over(Arc::new(Cable(Arc::clone(world))));
        let tokens = tokens(kind, &http, &clock);
        let (tellers, deliveries) = open_notices(world, sent, &state.outbox(), &clock, &metrics);
        let mut process = Self {
            world: Arc::clone(world),
            tasks: JoinSet::new(),
            helpers: JoinSet::new(),
            stop: Vec::new(),
            commands: Vec::new(),
            status: Vec::new(),
            clock: clock.clone(),
            hand,
        };
        process.helpers.spawn(tokens.clone().keep_fresh());
        let parts = Parts {
            world: Arc::clone(world),
            clock,
            metrics,
            resources: Resources::new(),
            google: GoogleClient::new(http.clone(), tokens),
            cloudflare: CloudflareClient::new(http, &"cf-token".into(), "https://cloudflare.example/v4").expect("bare"),
            tellers,
            sent: sent.clone(),
        };
        for site in 0..kind.sites {
            process.add(site, &parts, &state, number);
        }
        drop(parts);
        if kind.plant == Some(Plant::Leaks) {
            tokio::spawn(std::future::pending::<()>());
        }
        for delivery in deliveries {
            process.tasks.spawn(delivery.run());
        }
        process
    }

    fn add(&mut self, site: usize, parts: &Parts, state: &StateDir, number: u64) {
        let store = state.site(SITES[site]).expect("a plain name");
        let (kept, first) = match store.load().expect("a readable directory") {
            Loaded::Fresh => (None, Event::Woke),
            Loaded::Restored(kept) => (Some(*kept), Event::Woke),
            Loaded::SetAside { .. } => (None, Event::SetAside),
        };
        let (snapshot, restored) = kept.map_or_else(Default::default, |kept| (Some(kept.snapshot), kept.notices));
        parts.check_restart(site, snapshot.as_ref());
        let policy = told_policy(lock(&parts.world).kind);
        let standby: Arc<dyn Look> = Arc::new(StandbyEye(Arc::clone(&parts.world)));
        let toggles = parts.toggles(site, &standby);
        let layout = Layout {
            toggles: toggles.iter().map(|(key, _)| *key).collect(),
            edge_eye: false,
        };
        let now = parts.clock.now();
        let seed = lock(&parts.world).dice.of("jitter", number).number();
        let controller = Controller::new(policy.clone(), layout, snapshot.as_ref(), seed, now);
        let (status_sender, status) = watch::channel(Arc::new(controller.status(now)));
        let (commands_sender, commands) = mpsc::channel(COMMANDS_WAITING);
        let (probes_sender, probes) = mpsc::channel(PROBES_WAITING);
        let epoch = parts.clock.moment(pilotlight::core::Instant::ZERO).expect("the start");
        let cadence = Cadence {
            interval: policy.interval,
            timeout: PROBE_TIMEOUT,
            confirm_interval: policy.confirm_interval,
            hedge_after: Duration::from_secs(1),
            failures_wanted: policy.unhealthy_threshold,
        };
        let eye = Arc::new(OriginEye(Arc::clone(&parts.world), site));
        self.helpers.spawn(task::run(eye, cadence, epoch, probes_sender));
        let limbs = Limbs {
            visitor: Arc::new(VisitorEye(Arc::clone(&parts.world), site)),
            standby,
            edge: None,
            mirror: Arc::new(References(Arc::clone(&parts.world))),
            toggles,
            toggle_timeout: TOGGLE_TIMEOUT,
            probe_patience: Duration::from_secs(15),
        };
        let links = parts.links(
            site,
            (probes, commands, status_sender),
            (store, restored),
            status.clone(),
        );
        let driver = Driver::new(SITES[site].to_owned(), controller, limbs, links);
        let (stop, stopped) = oneshot::channel();
        self.stop.push(stop);
        let shutdown = async move { stopped.await.unwrap_or_default() };
        self.tasks.spawn(driver.run(first, shutdown));
        self.status.push(status);
        self.commands.push(commands_sender);
    }

    /// An operator's command.
    pub async fn order(&self, site: usize, order: Order, lasts: Duration) {
        let pin = Pin {
            until: self.clock.wall() + lasts,
            author: "ann".to_owned(),
            reason: "proof".to_owned(),
        };
        let plant = lock(&self.world).kind.plant;
        let order = match (plant, order) {
            (Some(Plant::WritesWhilePaused), Order::Pause) => Order::Force(Route::Standby),
            _ => order,
        };
        lock(&self.world).sites[site].ordered_at = Some(tokio::time::Instant::now());
        // Only a loop that ended takes none, and that is found when it is joined.
        self.commands[site]
            .send(Command { order, pin })
            .await
            .unwrap_or_default();
    }

    /// Somebody, or a time server, sets the wall clock.
    pub fn set_wall(&self) {
        self.hand.set(lock(&self.world).wall());
    }

    /// kill -9: every task is dropped where it stands.
    pub async fn crash(mut self) {
        self.tasks.abort_all();
        self.helpers.abort_all();
        self.bury().await;
    }

    /// Stops in order.
    pub async fn stop(mut self) {
        self.stop.clear();
        drop(std::mem::take(&mut self.commands));
        let patience = Duration::from_secs(60);
        while let Ok(Some(ended)) = tokio::time::timeout(patience, self.tasks.join_next()).await {
            self.judge(ended);
        }
        if !self.tasks.is_empty() {
            lock(&self.world).broken(Law::NoTaskLeaks, "a task did not stop within a minute");
            self.tasks.abort_all();
        }
        self.helpers.abort_all();
        self.bury().await;
    }

    async fn bury(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            self.judge(ended);
        }
        while let Some(ended) = self.helpers.join_next().await {
            self.judge(ended);
        }
        let world = Arc::clone(&self.world);
        drop(self);
        // What waits for the disk goes on when its last write is over (the runtime has one thread for those), and then ends by itself:
        // nothing of it may have to wait for time to pass.
        tokio::task::spawn_blocking(|| ()).await.expect("nothing panics here");
        let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        for _ in 0..YIELDS {
            yield_now().await;
        }
        if alive() > 0 {
            lock(&world).broken(Law::NoTaskLeaks, &format!("{} tasks outlive their process", alive()));
        }
        let flights = std::mem::take(&mut lock(&world).flights);
        if !flights.is_empty() {
            lock(&world).broken(Law::NoTaskLeaks, &format!("{flights:?} still in flight"));
        }
    }

    fn judge(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            lock(&self.world).broken(Law::NoTaskLeaks, &format!("a task panicked: {error}"));
        }
    }
}

/// The lock of a process that was killed goes with its last file handle, which a write to the disk may hold a moment longer.
async fn open(dir: &Path) -> StateDir {
    loop {
        match StateDir::open(dir) {
            Ok(state) => return state,
            Err(StoreError::InUse { .. }) => yield_now().await,
            Err(error) => panic!("{}", error.whole()),
        }
    }
}
