//! How many calls one credential may make: pure, two sliding windows.

use std::collections::VecDeque;

use crate::core::{Duration, Instant};

/// What a call is for, as far as the budget cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// A read that may wait: a routine look at the position.
    Routine,
    /// A read that a switch needs.
    Read,
    /// A write.
    Write,
}

/// At most 6 writes a minute and 80 calls an hour, of which routine reads may take the first 40 only.
#[derive(Debug, Default)]
pub struct Budget {
    calls: VecDeque<Instant>,
    writes: VecDeque<Instant>,
}

impl Budget {
    /// Writes in any minute.
    pub const WRITES: usize = 6;
    /// Calls in any hour.
    pub const CALLS: usize = 80;
    /// Once so many calls were made within the hour, routine reads have to wait.
    pub const ROUTINE: usize = 40;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    /// Spends one call, or tells how long to wait until there is room for it.
    pub fn spend(&mut self, kind: CallKind, now: Instant) -> Result<(), Duration> {
        if let Some(wait) = self.wait(kind, now) {
            return Err(wait);
        }
        self.calls.push_back(now);
        if kind == CallKind::Write {
            self.writes.push_back(now);
        }
        Ok(())
    }

    /// How long to wait until there is room for one call; `None` when there is.
    pub fn wait(&mut self, kind: CallKind, now: Instant) -> Option<Duration> {
        forget(&mut self.calls, Self::HOUR, now);
        forget(&mut self.writes, Self::MINUTE, now);
        let cap = match kind {
            CallKind::Routine => Self::ROUTINE,
            CallKind::Read | CallKind::Write => Self::CALLS,
        };
        let mut wait = wait_for(&self.calls, cap, Self::HOUR, now);
        if kind == CallKind::Write {
            wait = wait.max(wait_for(&self.writes, Self::WRITES, Self::MINUTE, now));
        }
        wait
    }
}

fn forget(spent: &mut VecDeque<Instant>, window: Duration, now: Instant) {
    while spent.front().is_some_and(|at| now.since(*at) >= window) {
        spent.pop_front();
    }
}

/// How long until fewer than `cap` remain in the window; `None` when that is so already.
fn wait_for(spent: &VecDeque<Instant>, cap: usize, window: Duration, now: Instant) -> Option<Duration> {
    let last_to_leave = spent.get(spent.len().checked_sub(cap)?)?;
    Some(window.saturating_sub(now.since(*last_to_leave)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(secs: u64) -> Instant {
        Instant::at(Duration::from_secs(secs))
    }

    #[test]
    fn the_seventh_write_within_a_minute_waits_for_the_first_to_be_a_minute_old() {
        let mut budget = Budget::default();
        for second in 0..6 {
            assert_eq!(budget.spend(CallKind::Write, at(second)), Ok(()));
        }
        assert_eq!(budget.spend(CallKind::Write, at(10)), Err(Duration::from_secs(50)));
        assert_eq!(budget.spend(CallKind::Read, at(10)), Ok(()), "reads are not writes");
        assert_eq!(budget.spend(CallKind::Write, at(60)), Ok(()));
    }

    #[test]
    fn routine_reads_stop_at_forty_and_leave_room_for_a_switch() {
        let mut budget = Budget::default();
        for _ in 0..Budget::ROUTINE {
            assert_eq!(budget.spend(CallKind::Routine, at(0)), Ok(()));
        }
        assert_eq!(budget.spend(CallKind::Routine, at(600)), Err(Duration::from_secs(3000)));
        for _ in 0..40 {
            assert_eq!(budget.spend(CallKind::Read, at(600)), Ok(()));
        }
        assert_eq!(budget.spend(CallKind::Write, at(600)), Err(Duration::from_secs(3000)));
        assert_eq!(
            budget.spend(CallKind::Routine, at(3600)),
            Err(Duration::from_secs(600)),
            "the forty reads of the switch are still in the hour"
        );
        assert_eq!(budget.spend(CallKind::Write, at(3600)), Ok(()));
    }

    proptest! {
        #[test]
        fn r11_no_window_ever_holds_more_than_its_cap(steps in prop::collection::vec((0_u64..30, 0_u8..3), 0..400)) {
            let mut budget = Budget::default();
            let mut now = 0;
            let (mut calls, mut writes) = (Vec::new(), Vec::new());
            for (pause, kind) in steps {
                now += pause;
                let kind = [CallKind::Routine, CallKind::Read, CallKind::Write][usize::from(kind)];
                match budget.spend(kind, at(now)) {
                    Ok(()) => {
                        calls.push(now);
                        if kind == CallKind::Write {
                            writes.push(now);
                        }
                    }
                    Err(wait) => prop_assert!(wait > Duration::ZERO, "a refusal tells a real wait"),
                }
                let recent = |list: &[u64], window| list.iter().filter(|at| now - **at < window).count();
                prop_assert!(recent(&calls, 3600) <= Budget::CALLS);
                prop_assert!(recent(&writes, 60) <= Budget::WRITES);
            }
        }
    }
}
