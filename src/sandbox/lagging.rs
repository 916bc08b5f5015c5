//! Values that others see later than they were written, and the seeded chance behind it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How many front ends (or edge cities) see a change each at its own time.
pub(super) const FRONTS: usize = 4;
/// Changes that are still on their way; more than a caller in its senses makes within one propagation.
const MAX_CHANGES: usize = 1024;

/// A value with its changes on their way.
#[derive(Clone, Debug)]
pub(super) struct Lagging<T> {
    settled: T,
    changes: VecDeque<Change<T>>,
}

#[derive(Clone, Debug)]
struct Change<T> {
    value: T,
    visible_at: [Instant; FRONTS],
}

impl<T: Clone> Lagging<T> {
    pub(super) const fn new(value: T) -> Self {
        Self {
            settled: value,
            changes: VecDeque::new(),
        }
    }

    /// What was written last.
    pub(super) fn written(&self) -> &T {
        self.changes.back().map_or(&self.settled, |change| &change.value)
    }

    /// Writes; each front end sees it after its own delay.
    pub(super) fn write(&mut self, value: T, now: Instant, delays: [Duration; FRONTS]) {
        let arrived = |change: &Change<T>| change.visible_at.iter().all(|at| *at <= now);
        while self.changes.front().is_some_and(arrived) || self.changes.len() >= MAX_CHANGES {
            if let Some(change) = self.changes.pop_front() {
                self.settled = change.value;
            }
        }
        self.changes.push_back(Change {
            value,
            visible_at: delays.map(|delay| now + delay),
        });
    }

    /// What the front end with this number sees.
    pub(super) fn seen_by(&self, front: usize, now: Instant) -> &T {
        self.changes
            .iter()
            .rev()
            .find(|change| change.visible_at.get(front % FRONTS).is_some_and(|at| *at <= now))
            .map_or(&self.settled, |change| &change.value)
    }

    /// Whether all front ends see what was written last.
    pub(super) fn has_arrived(&self, now: Instant) -> bool {
        self.changes
            .back()
            .is_none_or(|change| change.visible_at.iter().all(|at| *at <= now))
    }
}

/// Chance from a seed (splitmix64): the same seed gives the same run.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of the front ends.
    pub(super) fn front(&mut self) -> usize {
        usize::try_from(self.next() % 1024).unwrap_or_default() % FRONTS
    }

    /// 32 lower-case hex digits, the form of Cloudflare's ids.
    pub(super) fn hex_id(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }

    /// Delays for the front ends: all equal, or spread over the second half of `most` with the last at `most`.
    pub(super) fn delays(&mut self, most: Duration, spread: Spread) -> [Duration; FRONTS] {
        match spread {
            Spread::Even => [most; FRONTS],
            Spread::PerFront => {
                let mut delays = [most; FRONTS];
                for delay in delays.iter_mut().skip(1) {
                    let share = u32::try_from(self.next() % 500).unwrap_or_default();
                    *delay = most * (500 + share) / 1000;
                }
                delays
            }
        }
    }
}

/// Whether front ends see a change together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spread {
    /// All at the same moment.
    Even,
    /// Each at its own: meanwhile answers flap.
    PerFront,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_is_seen_after_its_delay_and_in_order() {
        let mut value = Lagging::new("old");
        let start = Instant::now();
        let seconds = |secs| [Duration::from_secs(secs); FRONTS];
        value.write("open", start, seconds(5));
        value.write("shut", start + Duration::from_secs(1), seconds(5));
        assert_eq!(*value.written(), "shut");
        assert_eq!(*value.seen_by(0, start + Duration::from_secs(4)), "old");
        assert_eq!(*value.seen_by(0, start + Duration::from_secs(5)), "open");
        assert_eq!(*value.seen_by(0, start + Duration::from_secs(6)), "shut");
        assert!(!value.has_arrived(start + Duration::from_secs(5)));
        assert!(value.has_arrived(start + Duration::from_secs(6)));
    }

    #[tokio::test(start_paused = true)]
    async fn spread_delays_make_front_ends_disagree_until_the_longest_has_passed() {
        let mut chance = Chance::new(7);
        let most = Duration::from_secs(10);
        let start = Instant::now();
        let mut value = Lagging::new(false);
        value.write(true, start, chance.delays(most, Spread::PerFront));
        let midway = start + Duration::from_millis(9_999);
        let seen: Vec<bool> = (0..FRONTS).map(|front| *value.seen_by(front, midway)).collect();
        assert!(seen.contains(&true) && seen.contains(&false), "{seen:?}");
        assert!((0..FRONTS).all(|front| *value.seen_by(front, start + most)));
    }
}
