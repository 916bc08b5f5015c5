//! Retry delays: exponential with full jitter, from a seed that is handed in.

use super::time::Duration;
use super::toggles::Failure;

/// The first delay's ceiling.
const FIRST: Duration = Duration::from_millis(500);
/// The largest ceiling.
const MOST: Duration = Duration::from_secs(90);
/// No delay is shorter, whatever the jitter says.
const LEAST: Duration = Duration::from_millis(250);

/// A small pseudo-random generator (xorshift64*); good enough to keep watchers from retrying in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Jitter(u64);

impl Jitter {
    /// Starts from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number from 0 (inclusive) to 1 (exclusive).
    fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = u32::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32).unwrap_or(u32::MAX);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }

    /// How long to wait after the `attempt`th failure in a row (from 1): full jitter, the provider's own wait as a minimum.
    ///
    /// What only a person can mend is retried slowly, between half the largest delay and all of it.
    pub fn delay(&mut self, failure: Failure, attempt: u32) -> Duration {
        let delay = if failure.kind.needs_a_person() {
            MOST.mul_f64(0.5 + self.fraction() / 2.0)
        } else {
            let ceiling = FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(MOST);
            ceiling.mul_f64(self.fraction()).max(LEAST)
        };
        delay.max(failure.retry_after.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::toggles::FailureKind;

    #[test]
    fn r11_delays_grow_to_ninety_seconds_and_respect_the_providers_wait() {
        let mut jitter = Jitter::new(7);
        let failure = Failure::new(FailureKind::Unavailable);
        let longest = |jitter: &mut Jitter, attempt| (0..500).map(|_| jitter.delay(failure, attempt)).max().unwrap();
        assert!(longest(&mut jitter, 1) <= FIRST);
        assert!(longest(&mut jitter, 4) > Duration::from_secs(3));
        assert!(longest(&mut jitter, 4) <= Duration::from_secs(4));
        assert!(longest(&mut jitter, 40) <= MOST);
        let asked = Failure {
            retry_after: Some(Duration::from_secs(300)),
            ..failure
        };
        assert!(jitter.delay(asked, 1) >= Duration::from_secs(300));
    }

    #[test]
    fn r11_a_denied_call_is_retried_slowly_but_never_given_up() {
        let mut jitter = Jitter::new(7);
        for attempt in [1, 2, 1000] {
            let delay = jitter.delay(Failure::new(FailureKind::Denied), attempt);
            assert!(delay >= MOST / 2 && delay <= MOST, "{delay:?}");
        }
    }
}
