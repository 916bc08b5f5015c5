//! The disk under the state file: a save reaches it at once, late or never.

use std::time::Duration;

use pilotlight::core::{Instant, Snapshot};
use pilotlight::saver::PATIENCE;

use super::{DiskFares, Pending, World};

/// A working disk takes this long.
const QUICK: Duration = Duration::from_millis(5);

impl World {
    pub(super) fn save(&mut self, snapshot: Snapshot) {
        self.saved_at_peace = snapshot.episode.is_none() && snapshot.since_home.is_none();
        let takes = match self.disk_fares {
            DiskFares::Well | DiskFares::Fails => QUICK,
            DiskFares::Slow(takes) => takes,
        };
        // One save at a time.
        let ends = self.disk_busy_until.since(self.now) + takes;
        let fails = self.disk_fares == DiskFares::Fails;
        if !fails && ends == QUICK {
            // On a working disk the write leaves at once: a few milliseconds change nothing.
            self.disk = Some(snapshot);
            self.save_ends = Instant::ZERO;
        } else {
            self.disk_busy_until = self.now + ends;
            self.save_ends = self.now + ends.min(PATIENCE);
            if !fails {
                let snapshot = Box::new(snapshot);
                self.later(ends, Pending::OnDisk { snapshot });
            }
        }
        let in_time = !fails && ends <= PATIENCE;
        self.later(ends.min(PATIENCE), Pending::Saved { in_time });
    }

    /// How long a write still has to wait for its intent.
    pub(super) fn save_takes(&self) -> Duration {
        self.save_ends.since(self.now)
    }
}
