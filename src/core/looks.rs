//! When to look through which eye. Looks may overlap: an edge takes many seconds to say that it cannot reach home.

use super::evidence::Eye;
use super::ring::OpId;
use super::time::{Alarms, Duration, Instant};

/// Looks in flight through one eye, whatever the reason: a bound, far above what the cadences ask for.
pub const MOST_IN_FLIGHT: usize = 16;

/// All looks in flight and when each eye was last used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Looks {
    in_flight: Vec<InFlight>,
    last_sent: [Option<Instant>; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct InFlight {
    id: OpId,
    eye: Eye,
    sent_at: Instant,
}

/// How often to look through an eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Time between two looks.
    pub every: Duration,
    /// How many may overlap.
    pub overlap: usize,
    /// Looks sent before this do not count: something changed, look anew at once.
    pub anew_since: Instant,
}

impl Looks {
    /// Whether a look is due.
    pub fn is_due(&self, eye: Eye, cadence: Cadence, alarms: &mut Alarms) -> bool {
        let of_eye = self.in_flight.iter().filter(|look| look.eye == eye);
        if of_eye.clone().count() >= MOST_IN_FLIGHT
            || of_eye.filter(|look| look.sent_at >= cadence.anew_since).count() >= cadence.overlap
        {
            return false;
        }
        let due = match self.last_sent(eye) {
            Some(at) if at >= cadence.anew_since => alarms.passed(at + cadence.every),
            Some(_) | None => true,
        };
        if due {
            // The next one goes out beside it, also when nothing happens until then.
            alarms.passed(alarms.now() + cadence.every);
        }
        due
    }

    /// Notes that a look is in flight.
    pub fn begin(&mut self, id: OpId, eye: Eye, now: Instant) {
        self.in_flight.push(InFlight { id, eye, sent_at: now });
        if let Some(slot) = self.last_sent.get_mut(eye as usize) {
            *slot = Some(now);
        }
    }

    /// Takes a look's end: which eye it was and when it was sent.
    pub fn end(&mut self, id: OpId) -> Option<(Eye, Instant)> {
        let index = self.in_flight.iter().position(|look| look.id == id)?;
        let look = self.in_flight.swap_remove(index);
        Some((look.eye, look.sent_at))
    }

    fn last_sent(&self, eye: Eye) -> Option<Instant> {
        self.last_sent.get(eye as usize).copied().flatten()
    }
}
