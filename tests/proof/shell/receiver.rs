//! The target of notices: answers, or does not, and holds what it got against what was told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pilotlight::notify::{LATE_AFTER, Notifier, TellError, TellFailure, Told};
use pilotlight::probe::BoxFuture;
use tokio::time::{Instant, sleep};

use super::laws::Law;
use super::world::{Shared, lock};

/// What was said and has not arrived yet, and whose ids have.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    inner: Arc<Mutex<Ledger>>,
}

#[derive(Debug, Default)]
struct Ledger {
    waiting: Vec<Item>,
    seen: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Item {
    id: String,
    site: &'static str,
    name: String,
    said_at: Instant,
    /// Said in the moment in which the process was killed.
    may_be_lost: bool,
}

impl Sent {
    /// The loop has something to tell.
    pub fn said(&self, site: &'static str, told: &Told) {
        self.with(|ledger| {
            ledger.waiting.push(Item {
                id: told.id.clone(),
                site,
                name: told.name.clone(),
                said_at: Instant::now(),
                may_be_lost: false,
            });
        });
    }

    /// The process was killed: what was said just now may not have come to the disk.
    pub fn crashed(&self) {
        self.with(|ledger| {
            for item in &mut ledger.waiting {
                item.may_be_lost |= item.said_at.elapsed() <= Duration::from_millis(1);
            }
        });
    }

    /// How many have been said and not arrived, though they had to.
    pub fn owed(&self) -> usize {
        self.with(|ledger| ledger.waiting.iter().filter(|item| !item.may_be_lost).count())
    }

    /// One has arrived: what is wrong with it, if anything. The same id again is the same notice.
    fn arrived(&self, told: &Told, late: Option<Duration>) -> Option<String> {
        self.with(|ledger| {
            if !ledger.seen.insert(told.id.clone()) {
                return None;
            }
            let Some(place) = ledger.waiting.iter().position(|item| item.id == told.id) else {
                return Some(format!("{} was never said", told.name));
            };
            let item = ledger.waiting.remove(place);
            let before = ledger
                .waiting
                .iter()
                .take(place)
                .find(|before| before.site == item.site && !before.may_be_lost);
            if let Some(before) = before {
                return Some(format!("{} arrived before {}", item.name, before.name));
            }
            let age = item.said_at.elapsed();
            let wrong = (age >= LATE_AFTER) != late.is_some() && age.abs_diff(LATE_AFTER) > Duration::from_secs(2);
            wrong.then(|| format!("{} is {age:?} old and says late: {late:?}", item.name))
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The target.
#[derive(Debug)]
pub struct Receiver {
    pub world: Shared,
    pub sent: Sent,
}

impl Notifier for Receiver {
    fn tell<'a>(&'a self, told: &'a Told, late: Option<Duration>) -> BoxFuture<'a, Result<(), TellError>> {
        Box::pin(async move {
            let (up, mut dice) = {
                let mut world = lock(&self.world);
                (world.webhook && world.line, world.draw("receiver"))
            };
            let failed = |kind, retry_after| {
                Err(TellError {
                    kind,
                    detail: "the target is down".to_owned(),
                    retry_after,
                })
            };
            if !up {
                sleep(dice.pick(&[Duration::from_millis(20), Duration::from_secs(15)])).await;
                let asks = dice.pick(&[None, None, Some(Duration::from_secs(120))]);
                return failed(dice.pick(&[TellFailure::NoAnswer, TellFailure::Unavailable]), asks);
            }
            sleep(dice.between(Duration::from_millis(20), Duration::from_millis(200))).await;
            let wrong = self.sent.arrived(told, late);
            let mut world = lock(&self.world);
            world.aside(&format!("  delivered: {} {}", told.site, told.name));
            // How old one from before a restart is, only the wall clock knows: a wrong clock is believed.
            let excused = world.wall_offset_ms != 0 || !world.clock_was_right;
            if let Some(wrong) = wrong.filter(|wrong| !(excused && wrong.contains("says late"))) {
                world.broken(Law::ToldOnceInOrder, &wrong);
            }
            if dice.in_a_thousand(20) {
                return failed(TellFailure::NoAnswer, None);
            }
            Ok(())
        })
    }
}
