//! Time as core sees it: instants that are handed in, and stopwatches that can be frozen and saved.

use std::fmt;
use std::ops::{Add, Sub};
pub use std::time::Duration;

/// A point on the monotonic clock, counted from the start of the process.
///
/// Core never asks for the time; whoever calls it says what time it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The start of the process.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The instant `since_start` after the start of the process.
    pub const fn at(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// Time since the start of the process.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// Time from `earlier` to this instant; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(rhs))
    }
}

/// Wall-clock time: milliseconds since the Unix epoch. Only told to people and compared with a pin's expiry; never used for timing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

impl Wall {
    /// Whole seconds since the Unix epoch.
    pub const fn unix_secs(self) -> u64 {
        self.0 / 1000
    }
}

impl Add<Duration> for Wall {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix {}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// What time it is: both clocks, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock. All timing uses this one.
    pub at: Instant,
    /// The wall clock.
    pub wall: Wall,
}

/// A duration that grows while it runs: it can be frozen, saved as a plain number and continued after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stopwatch {
    banked: Duration,
    running_since: Option<Instant>,
}

impl Stopwatch {
    /// A stopwatch that runs from `since` on.
    pub const fn running(since: Instant) -> Self {
        Self {
            banked: Duration::ZERO,
            running_since: Some(since),
        }
    }

    /// A stopped stopwatch that shows `banked`.
    pub const fn stopped(banked: Duration) -> Self {
        Self {
            banked,
            running_since: None,
        }
    }

    /// What it shows at `now`.
    pub fn read(&self, now: Instant) -> Duration {
        self.banked + self.running_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Keeps what has run up to `at` and goes on from there. A stopped one starts at `at`.
    #[must_use]
    pub fn mark(self, at: Instant) -> Self {
        match self.running_since {
            Some(since) if at < since => self,
            _ => Self {
                banked: self.read(at),
                running_since: Some(at),
            },
        }
    }

    /// Stops it at the last mark: what ran since then was not seen and does not count.
    #[must_use]
    pub const fn freeze(self) -> Self {
        Self {
            banked: self.banked,
            running_since: None,
        }
    }

    /// Whether it runs.
    pub const fn is_running(&self) -> bool {
        self.running_since.is_some()
    }

    /// When it will show `target`, if it runs and does not yet show it.
    pub fn reaches(&self, target: Duration, now: Instant) -> Option<Instant> {
        let since = self.running_since?;
        let due = since + target.saturating_sub(self.banked);
        (due > now).then_some(due)
    }
}

/// Collects deadlines while they are being checked: what has not passed yet is what to wake up for.
#[derive(Clone, Copy, Debug)]
pub struct Alarms {
    now: Instant,
    next: Option<Instant>,
}

impl Alarms {
    /// No deadline yet; it is `now`.
    pub const fn new(now: Instant) -> Self {
        Self { now, next: None }
    }

    /// What time it is.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Whether `at` has passed; if not, it becomes a deadline.
    pub fn passed(&mut self, at: Instant) -> bool {
        if at <= self.now {
            return true;
        }
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
        false
    }

    /// Whether `watch` shows `target`; if it runs and does not yet, the time when it will becomes a deadline.
    pub fn shows(&mut self, watch: &Stopwatch, target: Duration) -> bool {
        if watch.read(self.now) >= target {
            return true;
        }
        if let Some(at) = watch.reaches(target, self.now) {
            self.passed(at);
        }
        false
    }

    /// The earliest deadline that has not passed.
    pub const fn next(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Instant {
        Instant::at(Duration::from_secs(secs))
    }

    #[test]
    fn a_frozen_stopwatch_forgets_what_ran_since_its_last_mark() {
        let watch = Stopwatch::running(at(10)).mark(at(15));
        assert_eq!(watch.read(at(20)), Duration::from_secs(10));
        let frozen = watch.freeze();
        assert_eq!(frozen.read(at(90)), Duration::from_secs(5));
        assert_eq!(frozen.mark(at(100)).read(at(101)), Duration::from_secs(6));
    }

    #[test]
    fn a_mark_older_than_the_last_one_changes_nothing() {
        let watch = Stopwatch::running(at(10)).mark(at(15));
        assert_eq!(watch.mark(at(12)), watch);
    }

    #[test]
    fn a_running_stopwatch_tells_when_it_reaches_a_target() {
        let watch = Stopwatch::running(at(10)).mark(at(15));
        assert_eq!(watch.reaches(Duration::from_secs(30), at(16)), Some(at(40)));
        assert_eq!(watch.reaches(Duration::from_secs(5), at(16)), None);
        assert_eq!(watch.freeze().reaches(Duration::from_secs(30), at(16)), None);
    }
}
