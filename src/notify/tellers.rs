//! The way from the loops to the deliveries: bounded, and never waited for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;
use tracing::error;

use super::{Dropped, Happening, Tally, Told};
use crate::clock::Clock;
use crate::core::{Notice, Status};

/// Hands notices to all deliveries. Never waits.
#[derive(Clone)]
pub struct Tellers {
    ways: Arc<[Way]>,
    ids: Arc<Ids>,
}

/// The way to one delivery.
pub(super) struct Way {
    pub(super) name: String,
    /// The sites it wants to hear of; all when empty.
    pub(super) sites: Vec<String>,
    pub(super) notices: mpsc::Sender<Arc<Told>>,
    pub(super) tally: Arc<dyn Tally>,
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
        }
    }

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
