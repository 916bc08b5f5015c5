//! One delivery task per target: outbox, order, retries. A dead target delays neither the loop nor another target.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, warn};

use super::outbox::{Entry, Found, Outbox};
use super::{Dropped, Happening, LATE_AFTER, Notifier, Tally, TellError, TellFailure, Told};
use crate::clock::Clock;
use crate::core::{Notice, Status};
use crate::probe::BoxFuture;
use crate::store::{self, StoreError};

/// From the loop to a delivery task: what a burst of edges at several sites makes while a disk is slow to sync.
const WAY_DEPTH: usize = 64;
/// In an outbox: weeks of outages. Beyond it the oldest go.
const MOST_WAITING: usize = 500;
/// Nobody wants to be told of it after this.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// The first wait after a failed try; each next one is three times as long.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// The longest wait, also when the target asks for more.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// Someone to be told.
#[derive(Clone)]
pub struct Target {
    /// Its name in the config, in metrics and in the outbox.
    pub name: String,
    /// The sites it wants to hear of; all when empty.
    pub sites: Vec<String>,
    /// The way to tell it.
    pub notifier: Arc<dyn Notifier>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .field("sites", &self.sites)
            .finish_non_exhaustive()
    }
}

/// Hands notices to all deliveries. Never waits.
#[derive(Clone)]
pub struct Tellers {
    ways: Arc<[Way]>,
    ids: Arc<Ids>,
}

struct Way {
    name: String,
    sites: Vec<String>,
    notices: mpsc::Sender<Arc<Told>>,
    tally: Arc<dyn Tally>,
}

/// Ids that no other process and no other notice has.
struct Ids {
    process: u64,
    next: AtomicU64,
}

/// The delivery to one target; [`Delivery::run`] is its task.
pub struct Delivery {
    name: String,
    notifier: Arc<dyn Notifier>,
    notices: mpsc::Receiver<Arc<Told>>,
    outbox: Option<Outbox>,
    clock: Clock,
    tally: Arc<dyn Tally>,
    queue: VecDeque<Waiting>,
    next_place: u64,
    backoff: ExponentialBackoff,
    not_before: Instant,
    attempt: Option<BoxFuture<'static, Result<(), TellError>>>,
    disabled: bool,
}

/// A notice in the queue. It ages by the monotonic clock: a wall clock that is set does not make it old.
struct Waiting {
    place: u64,
    told: Arc<Told>,
    aged: Duration,
    since: Instant,
}

enum Step {
    New(Arc<Told>),
    Closed,
    Ended(Result<(), TellError>),
}

/// Opens the outboxes under `outbox` and makes a delivery for each target. Blocking, once at start.
///
/// An outbox that cannot be opened is reported, and its target told from memory alone; only a target's name that is no file name is an error.
pub fn open(
    targets: Vec<Target>,
    outbox: &Path,
    clock: &Clock,
    tally: &Arc<dyn Tally>,
) -> Result<(Tellers, Vec<Delivery>), StoreError> {
    let (mut ways, mut deliveries) = (Vec::new(), Vec::new());
    for target in targets {
        store::check_name(&target.name)?;
        let (sender, receiver) = mpsc::channel(WAY_DEPTH);
        ways.push(Way {
            name: target.name.clone(),
            sites: target.sites.clone(),
            notices: sender,
            tally: Arc::clone(tally),
        });
        deliveries.push(Delivery::open(target, outbox, receiver, clock, tally));
    }
    let tellers = Tellers {
        ways: ways.into(),
        ids: Arc::new(Ids::new(clock)),
    };
    Ok((tellers, deliveries))
}

impl Tellers {
    /// Tells everyone who wants to hear of the site. `status` is the site's picture at this moment.
    pub fn tell(&self, site: &str, notice: &Notice, status: Option<&Status>) {
        let told = Arc::new(Told::new(self.ids.next(), site, notice, status));
        for way in self.ways.iter().filter(|way| way.wants(site)) {
            if way.notices.try_send(Arc::clone(&told)).is_err() {
                error!(
                    target_name = way.name,
                    notice = told.name,
                    site,
                    "notice lost: its delivery does not keep up"
                );
                way.tally.note(&way.name, Happening::Dropped(Dropped::Full));
            }
        }
    }
}

impl fmt::Debug for Tellers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ways.iter().map(|way| &way.name)).finish()
    }
}

impl Way {
    fn wants(&self, site: &str) -> bool {
        self.sites.is_empty() || self.sites.iter().any(|wanted| wanted == site)
    }
}

impl Ids {
    fn new(clock: &Clock) -> Self {
        let mut bytes = [0; 8];
        // Without random bytes the start's time tells processes apart well enough.
        let random = SystemRandom::new().fill(&mut bytes);
        Self {
            process: random.map_or_else(|_| clock.wall().0, |()| u64::from_ne_bytes(bytes)),
            next: AtomicU64::new(1),
        }
    }

    fn next(&self) -> String {
        format!("pl_{:016x}_{}", self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("name", &self.name)
            .field("waiting", &self.queue.len())
            .finish_non_exhaustive()
    }
}

impl Delivery {
    fn open(
        target: Target,
        outbox: &Path,
        notices: mpsc::Receiver<Arc<Told>>,
        clock: &Clock,
        tally: &Arc<dyn Tally>,
    ) -> Self {
        let (outbox, found) = match Outbox::open(&outbox.join(&target.name)) {
            Ok((outbox, found)) => (Some(outbox), found),
            Err(error) => {
                let reason = error.reason();
                let error = error.whole();
                error!(
                    target_name = target.name,
                    error, reason, "outbox cannot be used; notices are kept in memory only"
                );
                tally.note(&target.name, Happening::Failed(TellFailure::Local));
                (None, Found::default())
            }
        };
        for _ in 0..found.broken {
            warn!(target_name = target.name, "a broken notice in the outbox was removed");
            tally.note(&target.name, Happening::Dropped(Dropped::Broken));
        }
        let next_place = found.entries.last().map_or(1, |last| last.place.saturating_add(1));
        let queue: VecDeque<_> = found
            .entries
            .into_iter()
            .map(|entry| Waiting::since_before(entry, clock))
            .collect();
        tally.note(&target.name, Happening::Waiting(queue.len()));
        Self {
            name: target.name,
            notifier: target.notifier,
            notices,
            outbox,
            clock: clock.clone(),
            tally: Arc::clone(tally),
            queue,
            next_place,
            backoff: schedule(),
            not_before: Instant::now(),
            attempt: None,
            disabled: false,
        }
    }

    /// Delivers until all [`Tellers`] are gone and then what waits, up to the first failure; the rest stays in the outbox.
    pub async fn run(mut self) {
        loop {
            self.forget_the_old().await;
            self.arm();
            match self.step().await {
                Step::New(told) => self.keep(told).await,
                Step::Ended(result) => self.ended(result).await,
                Step::Closed => break,
            }
        }
        while self.not_before <= Instant::now() {
            self.arm();
            let Some(attempt) = self.attempt.as_mut() else { break };
            let result = attempt.await;
            self.ended(result).await;
        }
    }

    /// Prepares the next try, if there is something to tell and nothing under way.
    fn arm(&mut self) {
        let Some(front) = self.queue.front().filter(|_| self.attempt.is_none() && !self.disabled) else {
            return;
        };
        let (told, notifier) = (Arc::clone(&front.told), Arc::clone(&self.notifier));
        let (aged, since, not_before) = (front.aged, front.since, self.not_before);
        self.attempt = Some(Box::pin(async move {
            sleep_until(not_before).await;
            let age = aged.saturating_add(since.elapsed());
            notifier.tell(&told, Some(age).filter(|age| *age >= LATE_AFTER)).await
        }));
    }

    async fn step(&mut self) -> Step {
        let new = |told: Option<Arc<Told>>| told.map_or(Step::Closed, Step::New);
        match self.attempt.as_mut() {
            None => new(self.notices.recv().await),
            // Cancel-safe: `recv` is by its docs, and the attempt is only lent; it goes on at the next step.
            Some(attempt) => tokio::select! {
                told = self.notices.recv() => new(told),
                result = attempt => Step::Ended(result),
            },
        }
    }

    /// Takes a notice in: on disk first, then into the queue.
    async fn keep(&mut self, told: Arc<Told>) {
        let entry = Entry {
            place: self.next_place,
            told,
        };
        self.next_place = self.next_place.saturating_add(1);
        self.queue.push_back(Waiting::new(&entry));
        self.on_disk(move |outbox| outbox.put(&entry)).await;
        if self.queue.len() > MOST_WAITING {
            // The first one may be on its way; the second is the oldest that is not.
            let dropped = self.queue.remove(1);
            self.dropped(dropped, Dropped::Full).await;
        }
        self.tally.note(&self.name, Happening::Waiting(self.queue.len()));
    }

    async fn ended(&mut self, result: Result<(), TellError>) {
        self.attempt = None;
        let Err(error) = result else {
            let sent = self.queue.pop_front();
            self.settle();
            self.tally.note(&self.name, Happening::Sent(self.clock.wall()));
            self.off_disk(sent).await;
            return;
        };
        self.tally.note(&self.name, Happening::Failed(error.kind));
        match error.kind {
            TellFailure::Refused => {
                let dropped = self.queue.pop_front();
                self.settle();
                warn!(target_name = self.name, %error, "the target refuses a notice; look at its settings");
                self.dropped(dropped, Dropped::Refused).await;
            }
            TellFailure::Gone => {
                self.disabled = true;
                error!(
                    target_name = self.name,
                    "the target is gone; it is not told anything until restart"
                );
                self.tally.note(&self.name, Happening::Disabled);
            }
            TellFailure::NoAnswer | TellFailure::Unavailable | TellFailure::Local => self.put_off(&error),
        }
    }

    fn put_off(&mut self, error: &TellError) {
        let planned = self.backoff.next().unwrap_or(LONGEST_RETRY);
        let wait = planned.max(error.retry_after.unwrap_or_default()).min(LONGEST_RETRY);
        self.not_before = Instant::now() + wait;
        warn!(
            target_name = self.name, %error, reason = error.kind.label(), waiting = self.queue.len(),
            retry_in_secs = wait.as_secs(), "a notice could not be delivered"
        );
    }

    /// The way is free again: the next notice waits for nothing.
    fn settle(&mut self) {
        self.backoff = schedule();
        self.not_before = Instant::now();
    }

    /// Gives up what is too old, unless it is on its way or about to be for the last time.
    async fn forget_the_old(&mut self) {
        while let Some(front) = self.queue.front().filter(|_| !self.in_flight())
            && front.age() >= GIVE_UP_AFTER
        {
            self.attempt = None;
            let dropped = self.queue.pop_front();
            self.dropped(dropped, Dropped::Expired).await;
        }
    }

    fn in_flight(&self) -> bool {
        self.attempt.is_some() && self.not_before <= Instant::now()
    }

    async fn dropped(&mut self, dropped: Option<Waiting>, why: Dropped) {
        if let Some(told) = dropped.as_ref().map(|waiting| &waiting.told) {
            let (notice, site) = (told.name.as_str(), told.site.as_str());
            error!(
                target_name = self.name,
                notice,
                site,
                why = why.label(),
                "notice given up"
            );
            self.tally.note(&self.name, Happening::Dropped(why));
        }
        self.off_disk(dropped).await;
    }

    async fn off_disk(&mut self, entry: Option<Waiting>) {
        if let Some(Waiting { place, .. }) = entry {
            self.on_disk(move |outbox| outbox.remove(place)).await;
        }
        self.tally.note(&self.name, Happening::Waiting(self.queue.len()));
    }

    /// Does something to the outbox, off the event loop.
    async fn on_disk(&mut self, work: impl FnOnce(&Outbox) -> Result<(), StoreError> + Send + 'static) {
        let Some(outbox) = self.outbox.clone() else { return };
        match spawn_blocking(move || work(&outbox)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = error.whole();
                error!(
                    target_name = self.name,
                    error, "the outbox could not be written; the notice is in memory only"
                );
                self.tally.note(&self.name, Happening::Failed(TellFailure::Local));
            }
            // The runtime stops; what was not written is still in the caller's log.
            Err(_) => debug!(target_name = self.name, "the outbox was not written any more"),
        }
    }
}

impl Waiting {
    fn new(entry: &Entry) -> Self {
        Self {
            place: entry.place,
            told: Arc::clone(&entry.told),
            aged: Duration::ZERO,
            since: Instant::now(),
        }
    }

    /// One from before the start: only the wall clock knows how old it is.
    fn since_before(entry: Entry, clock: &Clock) -> Self {
        Self {
            place: entry.place,
            aged: entry.told.age(clock.wall()),
            told: entry.told,
            since: Instant::now(),
        }
    }

    fn age(&self) -> Duration {
        self.aged.saturating_add(self.since.elapsed())
    }
}

/// The waits between tries: 5 s, 15 s, 45 s, ... an hour, each up to doubled by jitter.
fn schedule() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_RETRY)
        .with_factor(3.0)
        .with_max_delay(LONGEST_RETRY)
        .without_max_times()
        .with_jitter()
        .build()
}
