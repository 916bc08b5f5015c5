//! When to probe: a fixed rate, and bursts of confirming probes (DESIGN rule 5). Pure: the time is handed in.
//!
//! Scheduled probes go out every `interval`, whatever became of those before. A failure, or a scheduled probe that is late, starts a hunt
//! for certainty: confirming probes every `confirm_interval`, the first at once, until one probe succeeds or enough have failed to pass
//! the threshold. An origin that stays dead is then probed at the fixed rate only, until a success makes the next failure news again.

use crate::core::{Duration, Instant};

/// Probes in flight at once, beyond which no confirming one is sent (DESIGN rule 5).
const MAX_IN_FLIGHT: usize = 3;

/// How often to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Time between two scheduled probes.
    pub interval: Duration,
    /// The total deadline of one probe, at most `interval`.
    pub timeout: Duration,
    /// Time between two confirming probes.
    pub confirm_interval: Duration,
    /// A probe that has taken this long is late: it is confirmed by another, not failed.
    pub hedge_after: Duration,
    /// Failures in a row that make a burst long enough: the policy's `unhealthy_threshold`.
    pub failures_wanted: u32,
}

/// A probe to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// Numbers it, in the order of sending.
    pub number: u64,
    /// Whether it stands on the fixed-rate schedule, or confirms.
    pub scheduled: bool,
}

/// Decides when which probe is sent.
#[derive(Clone, Debug)]
pub struct Schedule {
    cadence: Cadence,
    next_tick: Instant,
    /// In the order of sending.
    in_flight: Vec<Flight>,
    next_number: u64,
    /// The newest probe that landed; what lands after it but was sent before tells nothing new.
    newest_landed: Option<u64>,
    /// Failures since the last success.
    failures: u32,
    hunt: Option<Hunt>,
}

/// A probe in flight.
#[derive(Clone, Copy, Debug)]
struct Flight {
    number: u64,
    sent_at: Instant,
    scheduled: bool,
}

/// A burst under way.
#[derive(Clone, Copy, Debug)]
struct Hunt {
    next_at: Instant,
}

impl Schedule {
    /// A schedule whose first probe is due at `start`.
    pub const fn new(cadence: Cadence, start: Instant) -> Self {
        Self {
            cadence,
            next_tick: start,
            in_flight: Vec::new(),
            next_number: 0,
            newest_landed: None,
            failures: 0,
            hunt: None,
        }
    }

    /// The probe to send now, if one is due. Ask again until there is none.
    pub fn due(&mut self, now: Instant) -> Option<Dispatch> {
        if now >= self.next_tick {
            self.advance(now);
            return Some(self.send(true, now));
        }
        if self.hunt.is_none() && self.newest_is_late(now) && self.wants_more() {
            self.hunt = Some(Hunt { next_at: now });
        }
        let hunt = self.hunt?;
        if now < hunt.next_at || !self.wants_more() || self.in_flight.len() >= MAX_IN_FLIGHT {
            return None;
        }
        self.hunt = Some(Hunt {
            next_at: now + self.cadence.confirm_interval,
        });
        Some(self.send(false, now))
    }

    /// A probe ended.
    pub fn landed(&mut self, number: u64, ok: bool, now: Instant) {
        self.in_flight.retain(|flight| flight.number != number);
        if self.newest_landed.is_some_and(|newest| newest > number) {
            return;
        }
        self.newest_landed = Some(number);
        if ok {
            self.failures = 0;
            self.hunt = None;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.cadence.failures_wanted {
            self.hunt = None;
        } else if self.hunt.is_none() {
            self.hunt = Some(Hunt { next_at: now });
        }
    }

    /// When [`Schedule::due`] is to be asked next if nothing lands before.
    pub fn next_wake(&self) -> Instant {
        let hedge = match self.hunt {
            Some(hunt) => Some(hunt.next_at),
            None => self.newest_due_late(),
        };
        match hedge {
            Some(at) if self.wants_more() && self.in_flight.len() < MAX_IN_FLIGHT => at.min(self.next_tick),
            _ => self.next_tick,
        }
    }

    /// Stays on the grid of ticks; those that were slept through are left out.
    fn advance(&mut self, now: Instant) {
        let interval = self.cadence.interval.max(Duration::from_millis(1));
        let behind = now.since(self.next_tick).as_nanos() / interval.as_nanos();
        let skipped = u32::try_from(behind).unwrap_or(u32::MAX);
        self.next_tick = self.next_tick + interval.saturating_mul(skipped) + interval;
    }

    fn send(&mut self, scheduled: bool, now: Instant) -> Dispatch {
        let number = self.next_number;
        self.next_number += 1;
        self.in_flight.push(Flight {
            number,
            sent_at: now,
            scheduled,
        });
        Dispatch { number, scheduled }
    }

    /// Whether all in flight may fail and the threshold would still not be reached.
    fn wants_more(&self) -> bool {
        let newest = self.newest_landed;
        let telling = self
            .in_flight
            .iter()
            .filter(|flight| Some(flight.number) > newest)
            .count();
        u32::try_from(telling).unwrap_or(u32::MAX).saturating_add(self.failures) < self.cadence.failures_wanted
    }

    fn newest_is_late(&self, now: Instant) -> bool {
        self.newest_due_late().is_some_and(|late_at| now >= late_at)
    }

    /// When the newest probe sent will be late, if it is in flight and a scheduled one: a late confirming probe
    /// asks for no further one, or an origin that is merely slow would be probed at `hedge_after` for ever.
    fn newest_due_late(&self) -> Option<Instant> {
        let newest = self
            .in_flight
            .last()
            .filter(|flight| flight.number + 1 == self.next_number)?;
        newest.scheduled.then(|| newest.sent_at + self.cadence.hedge_after)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const CADENCE: Cadence = Cadence {
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(4),
        confirm_interval: Duration::from_millis(500),
        hedge_after: Duration::from_secs(1),
        failures_wanted: 3,
    };

    fn ms(millis: u64) -> Instant {
        Instant::at(Duration::from_millis(millis))
    }

    /// How the origin answers a probe sent at a time: after how long, and whether well.
    type Origin = fn(u64) -> (u64, bool);

    /// Runs the schedule against an origin; gives when each probe was sent and whether it was a scheduled one, and the most in flight.
    fn drive(origin: Origin, until: u64) -> (Vec<(u64, bool)>, usize) {
        let mut schedule = Schedule::new(CADENCE, Instant::ZERO);
        let mut sent = Vec::new();
        let mut landing: BTreeMap<(u64, u64), bool> = BTreeMap::new();
        let mut most = 0;
        for now in 0..=until {
            let mut woken = ms(now) >= schedule.next_wake();
            while let Some(entry) = landing.first_entry()
                && entry.key().0 <= now
            {
                let ((_, number), ok) = entry.remove_entry();
                schedule.landed(number, ok, ms(now));
                woken = true;
            }
            while woken && let Some(dispatch) = schedule.due(ms(now)) {
                let (took, ok) = origin(now);
                sent.push((now, dispatch.scheduled));
                landing.insert((now + took, dispatch.number), ok);
            }
            most = most.max(landing.len());
        }
        (sent, most)
    }

    fn confirming(sent: &[(u64, bool)]) -> Vec<u64> {
        sent.iter()
            .filter(|(_, scheduled)| !scheduled)
            .map(|&(at, _)| at)
            .collect()
    }

    fn scheduled(sent: &[(u64, bool)]) -> Vec<u64> {
        sent.iter()
            .filter(|(_, scheduled)| *scheduled)
            .map(|&(at, _)| at)
            .collect()
    }

    #[test]
    fn a_healthy_origin_is_probed_at_the_fixed_rate_only() {
        let (sent, most) = drive(|_| (80, true), 20_000);
        assert_eq!(sent, [0, 5_000, 10_000, 15_000, 20_000].map(|at| (at, true)));
        assert_eq!(most, 1);
    }

    #[test]
    fn a_refusing_origin_is_confirmed_within_two_confirm_intervals_and_then_left_at_the_fixed_rate() {
        let (sent, _) = drive(|at| (1, at < 5_000), 60_000);
        assert_eq!(scheduled(&sent), (0..=12).map(|n| n * 5_000).collect::<Vec<_>>());
        assert_eq!(confirming(&sent), [5_001, 5_501]);
    }

    #[test]
    fn a_silent_origin_is_hedged_before_its_timeout_and_never_by_more_than_three() {
        let (sent, most) = drive(|at| (4_000, at < 5_000), 60_000);
        // The first one takes 4 s as well, and then answers: late is confirmed too.
        assert_eq!(scheduled(&sent), (0..=12).map(|n| n * 5_000).collect::<Vec<_>>());
        assert_eq!(confirming(&sent), [1_000, 1_500, 6_000, 6_500]);
        assert_eq!(most, 3);
    }

    #[test]
    fn a_success_ends_the_burst_and_the_next_failure_starts_another() {
        let (sent, _) = drive(|at| (1, !matches!(at, 5_000 | 15_000..=15_600)), 24_000);
        assert_eq!(confirming(&sent), [5_001, 15_001, 15_501]);
    }

    #[test]
    fn an_origin_that_answers_late_but_well_never_makes_a_burst_longer_than_two() {
        let (sent, most) = drive(|_| (1_200, true), 14_000);
        assert_eq!(confirming(&sent), [1_000, 6_000, 11_000]);
        assert_eq!(most, 2);
    }

    #[test]
    fn an_older_probe_that_lands_last_tells_nothing_new() {
        let mut schedule = Schedule::new(CADENCE, Instant::ZERO);
        assert_eq!(schedule.due(ms(0)).map(|probe| probe.number), Some(0));
        assert_eq!(schedule.due(ms(1_000)).map(|probe| probe.number), Some(1));
        schedule.landed(1, true, ms(1_100));
        schedule.landed(0, false, ms(4_000));
        assert_eq!(schedule.due(ms(4_000)), None, "no burst for an overtaken failure");
    }

    #[test]
    fn slept_through_ticks_are_left_out_and_the_grid_stays() {
        let mut schedule = Schedule::new(CADENCE, Instant::ZERO);
        assert!(schedule.due(ms(0)).is_some());
        schedule.landed(0, true, ms(10));
        assert!(schedule.due(ms(63_000)).is_some_and(|probe| probe.scheduled));
        schedule.landed(1, true, ms(63_010));
        assert_eq!(schedule.due(ms(63_020)), None);
        assert_eq!(schedule.next_wake(), ms(65_000));
    }

    #[test]
    fn a_threshold_of_one_needs_no_confirming() {
        let mut schedule = Schedule::new(
            Cadence {
                failures_wanted: 1,
                ..CADENCE
            },
            Instant::ZERO,
        );
        assert!(schedule.due(ms(0)).is_some());
        assert_eq!(schedule.due(ms(1_000)), None);
        schedule.landed(0, false, ms(4_000));
        assert_eq!(schedule.due(ms(4_000)), None);
        assert_eq!(schedule.next_wake(), ms(5_000));
    }

    #[test]
    fn a_high_threshold_is_reached_by_overlap_and_not_beyond_the_cap() {
        let mut schedule = Schedule::new(
            Cadence {
                failures_wanted: 10,
                ..CADENCE
            },
            Instant::ZERO,
        );
        let sent = |schedule: &mut Schedule, at| schedule.due(ms(at)).map(|probe| probe.scheduled);
        assert_eq!(sent(&mut schedule, 0), Some(true));
        assert_eq!(sent(&mut schedule, 1_000), Some(false));
        assert_eq!(sent(&mut schedule, 1_500), Some(false));
        assert_eq!(sent(&mut schedule, 2_000), None, "three are in flight");
        assert_eq!(sent(&mut schedule, 5_000), Some(true), "a scheduled one is always sent");
        schedule.landed(0, false, ms(5_001));
        assert_eq!(sent(&mut schedule, 5_001), None, "three are in flight again");
        schedule.landed(1, false, ms(5_002));
        assert_eq!(sent(&mut schedule, 5_002), Some(false));
    }

    proptest::proptest! {
        /// Whatever the origin does: the rate holds, confirming probes keep to the cap and the pace, and the task never spins.
        #[test]
        fn r05_the_rate_the_cap_and_the_pace_hold_for_any_origin(
            answers in proptest::collection::vec((0_u64..4_500, proptest::bool::weighted(0.4)), 1..60),
            failures_wanted in 1_u32..6,
        ) {
            let mut schedule = Schedule::new(Cadence { failures_wanted, ..CADENCE }, Instant::ZERO);
            let mut answers = answers.into_iter().cycle();
            let mut landing: BTreeMap<(u64, u64), bool> = BTreeMap::new();
            let (mut now, mut ticks, mut confirmed, mut burst) = (0, 0, None, 0);
            while now < 120_000 {
                while let Some(dispatch) = schedule.due(ms(now)) {
                    if dispatch.scheduled {
                        assert_eq!(now, ticks * 5_000);
                        ticks += 1;
                    } else {
                        assert!(landing.len() < MAX_IN_FLIGHT);
                        burst += 1;
                        // One that was cut short by a success may be followed at once by another's first.
                        assert!(burst == 1 || confirmed.is_none_or(|at| now >= at + 500));
                        confirmed = Some(now);
                    }
                    let (took, ok) = answers.next().expect("endless");
                    landing.insert((now + took, dispatch.number), ok);
                }
                assert!(schedule.next_wake() > ms(now), "no spinning");
                let wake = u64::try_from(schedule.next_wake().since_start().as_millis()).expect("small");
                now = landing.first_key_value().map_or(wake, |(&(at, _), _)| at.min(wake));
                while let Some(entry) = landing.first_entry() && entry.key().0 <= now {
                    let ((_, number), ok) = entry.remove_entry();
                    burst = if ok { 0 } else { burst };
                    schedule.landed(number, ok, ms(now));
                }
            }
            assert_eq!(ticks, 24);
        }
    }
}
