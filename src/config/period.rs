//! Durations as people write them.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::friendly::{Designator, SpanPrinter};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A duration as people write it: "500ms", "90s", "5m 30s", "6h". Longer than nothing, at most a year.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Period(pub(super) Duration);

impl Period {
    const MAX: Duration = Duration::from_secs(366 * 24 * 3600);

    pub(super) const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    pub(super) const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub(super) const fn mins(mins: u64) -> Self {
        Self(Duration::from_secs(mins * 60))
    }

    /// Reads a duration; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let signed: SignedDuration = text.parse().map_err(|_| "it is not a duration")?;
        let duration = Duration::try_from(signed).map_err(|_| "it is negative")?;
        if duration.is_zero() {
            Err("it is zero")
        } else if duration > Self::MAX {
            Err("it is longer than a year")
        } else {
            Ok(Self(duration))
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printer = SpanPrinter::new().designator(Designator::Compact);
        f.write_str(&printer.unsigned_duration_to_string(&self.0))
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"500ms\", \"90s\", \"5m 30s\" or \"1h\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                Period::parse(text).map_err(|wrong| E::invalid_value(de::Unexpected::Other(wrong), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_reads_what_it_writes() {
        for text in ["500ms", "1m 30s", "6h", "10m"] {
            assert_eq!(Period::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_period_is_neither_zero_nor_negative_nor_endless() {
        for text in ["0s", "-5s", "5", "", "9000h", "soon"] {
            assert!(Period::parse(text).is_err(), "{text}");
        }
    }
}
