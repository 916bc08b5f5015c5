//! The clocks: monotonic time as core counts it, and wall time for people. The only place that asks the system for either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use crate::core::{Duration, Instant, Now, Wall};

/// Both clocks of the process; clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    start: tokio::time::Instant,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Set(SetWall),
}

/// A wall clock that is set by hand and goes on with tokio's clock, paused or not: for tests.
#[derive(Clone, Debug)]
pub struct SetWall {
    start: tokio::time::Instant,
    at_start: Arc<AtomicU64>,
}

impl SetWall {
    /// Makes it `wall` now.
    pub fn set(&self, wall: Wall) {
        let at_start = wall.0.saturating_sub(millis(self.start.elapsed()));
        self.at_start.store(at_start, Ordering::Relaxed);
    }

    fn now(&self) -> Wall {
        Wall(self.at_start.load(Ordering::Relaxed)) + self.start.elapsed()
    }
}

impl Clock {
    /// The system's clocks. Monotonic time counts from this call.
    pub fn system() -> Self {
        Self {
            start: tokio::time::Instant::now(),
            source: Source::System,
        }
    }

    /// A clock whose wall time starts at `wall` and can be set.
    pub fn settable(wall: Wall) -> (Self, SetWall) {
        let start = tokio::time::Instant::now();
        let hand = SetWall {
            start,
            at_start: Arc::new(AtomicU64::new(wall.0)),
        };
        let clock = Self {
            start,
            source: Source::Set(hand.clone()),
        };
        (clock, hand)
    }

    /// Both clocks, read together.
    pub fn now(&self) -> Now {
        Now {
            at: self.at(tokio::time::Instant::now()),
            wall: self.wall(),
        }
    }

    /// Wall time. A clock before 1970 reads as 1970.
    pub fn wall(&self) -> Wall {
        match &self.source {
            Source::System => system_wall(),
            Source::Set(hand) => hand.now(),
        }
    }

    /// Core's name for a moment of tokio's clock; the start of the process for any earlier one.
    pub fn at(&self, moment: tokio::time::Instant) -> Instant {
        Instant::at(moment.saturating_duration_since(self.start))
    }

    /// The moment of tokio's clock that core calls `instant`; `None` when it is too far off to be waited for.
    pub fn moment(&self, instant: Instant) -> Option<tokio::time::Instant> {
        self.start.checked_add(instant.since_start())
    }

    /// The wall time of `instant` as the wall clock stands now.
    pub fn wall_of(&self, instant: Instant) -> Wall {
        let now = self.now();
        if instant >= now.at {
            return now.wall + instant.since(now.at);
        }
        Wall(now.wall.0.saturating_sub(millis(now.at.since(instant))))
    }
}

/// `wall` as RFC 3339 in UTC, to the second: `2026-01-31T14:20:05Z`.
pub fn rfc3339(wall: Wall) -> String {
    i64::try_from(wall.unix_secs())
        .ok()
        .and_then(|secs| jiff::Timestamp::from_second(secs).ok())
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

#[expect(clippy::disallowed_methods, reason = "this is clock.rs")]
fn system_wall() -> Wall {
    let since_epoch = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    Wall(millis(since_epoch.unwrap_or_default()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn monotonic_time_follows_the_paused_clock_and_converts_both_ways() {
        let (clock, _) = Clock::settable(Wall(0));
        tokio::time::advance(Duration::from_secs(5)).await;
        let now = clock.now();
        assert_eq!(now.at, Instant::at(Duration::from_secs(5)));
        assert_eq!(clock.moment(now.at), Some(tokio::time::Instant::now()));
        assert_eq!(clock.moment(Instant::at(Duration::MAX)), None);
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_set_wall_jumps_and_then_goes_on() {
        let (clock, hand) = Clock::settable(Wall(1_000));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.wall(), Wall(3_000));
        hand.set(Wall(900_000));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.wall(), Wall(901_000));
        assert_eq!(
            clock.now().at,
            Instant::at(Duration::from_secs(3)),
            "monotonic time does not jump"
        );
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn an_instant_has_a_wall_time_before_and_after_now() {
        let (clock, _) = Clock::settable(Wall(60_000));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(clock.wall_of(Instant::at(Duration::from_secs(4))), Wall(64_000));
        assert_eq!(clock.wall_of(Instant::at(Duration::from_secs(12))), Wall(72_000));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_system_wall_is_after_the_year_2020() {
        assert!(Clock::system().wall() > Wall(1_577_836_800_000));
    }

    #[test]
    fn times_are_told_in_utc_to_the_second() {
        assert_eq!(rfc3339(Wall(1_767_225_600_999)), "2026-01-01T00:00:00Z");
        assert_eq!(rfc3339(Wall(u64::MAX)), jiff::Timestamp::MAX.to_string());
    }
}
