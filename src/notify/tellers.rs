//! The way from the loops to the deliveries: bounded, and never waited for.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;
use tracing::error;

use super::{Dropped, Happening, Receipt, Tally, Teller, Told};
use crate::clock::Clock;
use crate::core::{Notice, Status};

/// Hands notices to all deliveries. Never waits.
#[derive(Clone)]
pub struct Tellers {
    ways: Arc<[Way]>,
    ids: Arc<Ids>,
    clock: Clock,
}

/// The same for one site.
#[derive(Debug)]
struct OfSite {
    site: String,
    tellers: Tellers,
}

/// The way to one delivery.
pub(super) struct Way {
    pub(super) name: String,
    /// The sites it wants to hear of; all when empty.
    pub(super) sites: Vec<String>,
    pub(super) notices: mpsc::Sender<Parcel>,
    pub(super) tally: Arc<dyn Tally>,
}

/// A notice on its way to a delivery.
pub(super) struct Parcel {
    pub(super) told: Arc<Told>,
    /// How old it is already.
    pub(super) aged: Duration,
    /// Dropped once the notice is safe: in the outbox, delivered, or given up.
    pub(super) owed: mpsc::Sender<Infallible>,
}

/// Ids that no other process and no other notice has.
struct Ids {
    process: u64,
    next: AtomicU64,
}

impl Tellers {
    pub(super) fn new(ways: Vec<Way>, clock: &Clock) -> Self {
        Self {
            ways: ways.into(),
            ids: Arc::new(Ids::new(clock)),
            clock: clock.clone(),
        }
    }

    /// The way to tell people of one site.
    pub fn of_site(&self, site: &str) -> Box<dyn Teller> {
        Box::new(OfSite {
            site: site.to_owned(),
            tellers: self.clone(),
        })
    }

    /// Hands a notice, that is so old already, to everyone who wants to hear of its site.
    fn hand_over(&self, told: &Arc<Told>, aged: Duration) -> Receipt {
        let (owed, receipt) = Receipt::owed();
        for way in self.ways.iter().filter(|way| way.wants(&told.site)) {
            let parcel = Parcel {
                told: Arc::clone(told),
                aged,
                owed: owed.clone(),
            };
            if way.notices.try_send(parcel).is_err() {
                error!(
                    target_name = way.name,
                    notice = told.name,
                    site = told.site,
                    "notice lost: its delivery does not keep up"
                );
                way.tally.note(&way.name, Happening::Dropped(Dropped::Full));
            }
        }
        receipt
    }
}

impl Teller for OfSite {
    fn word(&self, notice: &Notice, status: &Status) -> Told {
        Told::new(self.tellers.ids.next(), &self.site, notice, Some(status))
    }

    fn tell(&self, told: &Arc<Told>) -> Receipt {
        self.tellers.hand_over(told, Duration::ZERO)
    }

    fn tell_again(&self, told: &Arc<Told>) -> Receipt {
        self.tellers.hand_over(told, told.age(self.tellers.clock.wall()))
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
