//! Chance by seed. Every draw has a name and a number, so that none depends on what else was drawn before it.

use std::time::Duration;

/// A source of draws.
#[derive(Clone, Copy, Debug)]
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The source of the `nth` draw called `what`; the same for the same seed, whenever it is asked for.
    pub fn of(self, what: &str, nth: u64) -> Self {
        let named = what
            .bytes()
            .fold(self.0 ^ 0xCBF2_9CE4_8422_2325, |hash, byte| mix(hash, u64::from(byte)));
        let mut dice = Self(mix(named, nth));
        dice.number();
        dice
    }

    /// The next number of this source (splitmix64).
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub const fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// True so often in a thousand.
    pub const fn in_a_thousand(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.below(from.len() as u64);
        from[usize::try_from(at).expect("an index")]
    }

    /// To the millisecond, as the runtime's timers go.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_millis()).expect("a short span");
        least + Duration::from_millis(self.below(span.max(1)))
    }

    /// From 0 (exclusive) to 1.
    fn fraction(&mut self) -> f64 {
        let high = u32::try_from(self.number() >> 32).expect("the upper half");
        (f64::from(high) + 1.0) / (f64::from(u32::MAX) + 1.0)
    }

    /// The wait for the next of things that happen at random, `mean` apart.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-self.fraction().ln())
    }

    /// A span with this median; at most `most`.
    pub fn lognormal(&mut self, median: Duration, sigma: f64, most: Duration) -> Duration {
        let normal = (-2.0 * self.fraction().ln()).sqrt() * (std::f64::consts::TAU * self.fraction()).cos();
        let secs = median.as_secs_f64() * (sigma * normal).exp();
        Duration::from_secs_f64(secs.clamp(0.5, most.as_secs_f64()))
    }
}

/// Folds a number into a hash (FNV-1a over whole words).
pub const fn mix(hash: u64, number: u64) -> u64 {
    (hash ^ number).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23) ^ (number >> 7)
}
