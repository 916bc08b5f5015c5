//! One delivery task per target: outbox, order, retries. A dead target delays neither the loop nor another target.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, warn};

use super::outbox::{Entry, Found, Outbox, Waiting};
use super::tellers::{Parcel, Tellers, Way};
use super::{Dropped, Happening, LATE_AFTER, MOST_PENDING, Notifier, Tally, TellError, TellFailure};
use crate::clock::Clock;
use crate::probe::BoxFuture;
use crate::store::{self, StoreError};

/// From the loop to a delivery task: what twenty sites tell again at a start, after weeks in which no outbox could be written.
const WAY_DEPTH: usize = 20 * MOST_PENDING;
/// In an outbox: weeks of outages. Beyond it the oldest go.
const MOST_WAITING: usize = 500;
/// Nobody wants to be told of it after this.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// A disk that takes longer hangs: people are told from memory meanwhile.
const DISK_PATIENCE: Duration = Duration::from_secs(1);
/// A file that the disk did not let go is taken off it so much later: a restart would tell its notice again.
const TIDY_AGAIN: Duration = Duration::from_secs(60);
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

/// The delivery to one target; [`Delivery::run`] is its task.
pub struct Delivery {
    name: String,
    notifier: Arc<dyn Notifier>,
    notices: mpsc::Receiver<Parcel>,
    outbox: Option<Outbox>,
    clock: Clock,
    tally: Arc<dyn Tally>,
    queue: VecDeque<Waiting>,
    /// The ids of what lay in the outbox at the start.
    found: BTreeSet<String>,
    next_place: u64,
    backoff: ExponentialBackoff,
    not_before: Instant,
    attempt: Option<BoxFuture<'static, Result<(), TellError>>>,
    /// The places of notices that are done and whose files may still be there.
    done: Vec<u64>,
    tidy_at: Option<Instant>,
    disabled: bool,
    /// Work on the outbox that did not come back in time. Nothing else is begun before it ends: hanging threads do not pile up.
    hanging: Option<JoinHandle<Result<(), StoreError>>>,
}

enum Step {
    New(Parcel),
    Closed,
    Ended(Result<(), TellError>),
    Tidy,
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
    Ok((Tellers::new(ways, clock), deliveries))
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
        notices: mpsc::Receiver<Parcel>,
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
        let ids = found.entries.iter().map(|entry| entry.told.id.clone()).collect();
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
            found: ids,
            next_place,
            backoff: schedule(),
            not_before: Instant::now(),
            attempt: None,
            done: Vec::new(),
            tidy_at: None,
            disabled: false,
            hanging: None,
        }
    }

    /// Delivers until all [`Tellers`] are gone and then what waits, up to the first failure; the rest stays in the outbox.
    pub async fn run(mut self) {
        loop {
            self.forget_the_old().await;
            self.arm();
            match self.step().await {
                Step::New(parcel) => self.keep(parcel).await,
                Step::Ended(result) => self.ended(result).await,
                Step::Tidy => self.tidy().await,
                Step::Closed => break,
            }
        }
        while self.not_before <= Instant::now() {
            self.arm();
            let Some(attempt) = self.attempt.as_mut() else { break };
            let result = attempt.await;
            self.ended(result).await;
        }
        self.tidy().await;
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
        let Self {
            notices,
            attempt,
            tidy_at,
            ..
        } = self;
        let attempt = async {
            match attempt.as_mut() {
                Some(attempt) => attempt.await,
                None => pending().await,
            }
        };
        let tidy = async {
            match *tidy_at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        // Cancel-safe: `recv` is by its docs, and the attempt is only lent; it goes on at the next step. The sleep is made anew.
        // In this order: a notice goes to disk before anything else is done.
        tokio::select! {
            biased;
            parcel = notices.recv() => parcel.map_or(Step::Closed, Step::New),
            result = attempt => Step::Ended(result),
            () = tidy => Step::Tidy,
        }
    }

    /// Takes a notice in, on disk and into the queue; not one from before the start that lay in the outbox then.
    async fn keep(&mut self, parcel: Parcel) {
        if self.found.contains(&parcel.told.id) {
            return;
        }
        let place = self.next_place;
        let entry = Entry {
            place,
            told: Arc::clone(&parcel.told),
        };
        self.next_place = place.saturating_add(1);
        self.queue.push_back(Waiting::new(place, parcel));
        let put = self
            .on_disk("the notice is in memory only", move |outbox| outbox.put(&entry))
            .await;
        if let Some(newest) = self.queue.back_mut().filter(|_| put) {
            newest.owed = None;
        }
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
        self.done.extend(entry.as_ref().map(|done| done.place));
        self.tidy().await;
        self.tally.note(&self.name, Happening::Waiting(self.queue.len()));
    }

    /// Takes what is done off the disk. What does not go is tried again, or the next start would tell it again.
    async fn tidy(&mut self) {
        self.tidy_at = None;
        if self.outbox.is_none() || self.done.is_empty() {
            return;
        }
        let places = self.done.clone();
        let gone = self
            .on_disk(
                "a notice that is done may be told again after a restart",
                move |outbox| outbox.remove(&places),
            )
            .await;
        if gone {
            self.done.clear();
        } else {
            self.tidy_at = Some(Instant::now() + TIDY_AGAIN);
        }
    }

    /// Does something to the outbox, off the event loop, and tells whether it is done. `else_what` says what it means when that does not work.
    async fn on_disk(
        &mut self,
        else_what: &'static str,
        work: impl FnOnce(&Outbox) -> Result<(), StoreError> + Send + 'static,
    ) -> bool {
        let Some(outbox) = self.outbox.clone() else {
            return false;
        };
        let hangs = || "the disk hangs".to_owned();
        let failed = if self.hanging.as_ref().is_some_and(|before| !before.is_finished()) {
            Some(hangs())
        } else {
            self.hanging = None;
            let mut working = spawn_blocking(move || work(&outbox));
            match timeout(DISK_PATIENCE, &mut working).await {
                Ok(Ok(Ok(()))) => return true,
                // The runtime's: it stops, and what was not written is still in the caller's log.
                Ok(Err(_)) => return false,
                Ok(Ok(Err(error))) => Some(error.whole()),
                Err(_) => {
                    self.hanging = Some(working);
                    Some(hangs())
                }
            }
        };
        if let Some(error) = failed {
            error!(
                target_name = self.name,
                error, "the outbox could not be written: {else_what}"
            );
            self.tally.note(&self.name, Happening::Failed(TellFailure::Local));
        }
        false
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::super::Told;
    use super::*;
    use crate::core::Wall;

    struct Deaf;

    impl Notifier for Deaf {
        fn tell<'a>(&'a self, _: &'a Told, _: Option<Duration>) -> BoxFuture<'a, Result<(), TellError>> {
            Box::pin(pending())
        }
    }

    struct Uncounted;

    impl Tally for Uncounted {
        fn note(&self, _: &str, _: Happening) {}
    }

    fn delivery(dir: &Path) -> Delivery {
        let target = Target {
            name: "ops".to_owned(),
            sites: Vec::new(),
            notifier: Arc::new(Deaf),
        };
        let (clock, _) = Clock::settable(Wall(0));
        let tally: Arc<dyn Tally> = Arc::new(Uncounted);
        let (_, mut deliveries) = open(vec![target], dir, &clock, &tally).unwrap();
        deliveries.pop().unwrap()
    }

    /// Work that hangs until the sender is dropped.
    fn hang() -> (Sender<()>, impl FnOnce(&Outbox) -> Result<(), StoreError> + Send) {
        let (release, hanging) = channel::<()>();
        (release, move |_: &Outbox| {
            hanging.recv().unwrap_or_default();
            Ok(())
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_delays_a_notice_by_a_second_once_and_threads_do_not_pile_up() {
        let dir = std::env::temp_dir().join(format!("pilotlight-hang-{}", std::process::id()));
        let mut delivery = delivery(&dir);
        let (release, work) = hang();
        let began = Instant::now();
        let waits = tokio::spawn(async move {
            delivery.on_disk("", work).await;
            delivery
        });
        while !waits.is_finished() {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let waited = began.elapsed();
        assert!(waited >= DISK_PATIENCE && waited < DISK_PATIENCE * 2, "{waited:?}");
        let mut delivery = waits.await.unwrap();
        delivery
            .on_disk("", |_| unreachable!("another one hangs already"))
            .await;
        assert_eq!(began.elapsed(), waited, "it is not waited for again");
        drop(release);
        delivery.hanging.take().unwrap().await.unwrap().unwrap();
        delivery.on_disk("", |_| Ok(())).await;
        assert!(delivery.hanging.is_none());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
