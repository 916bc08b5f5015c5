//! The standby eye: what the standby gives to someone who is sent there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::walk::{Deadlines, Door, Side, Walker};
use super::{BoxFuture, Look, Pass};
use crate::core::{Sighting, View};

/// A run of looks ends when none was taken for this long; the next one may meet a cold start again.
const RUN_ENDS_AFTER: Duration = Duration::from_secs(60);

/// What [`StandbyEye`] needs.
#[derive(Clone, Debug)]
pub struct StandbyEyeSettings {
    /// The public URL: a chain that leads there from the standby is a loop.
    pub home: Door,
    /// The standby.
    pub standby: Door,
    /// What a closed standby lets us in for; without it we come as a stranger.
    pub pass: Option<Pass>,
    /// The total deadline of a look.
    pub timeout: Duration,
    /// The total deadline of a look that may have to wait for a cold start.
    pub cold_timeout: Duration,
}

/// Asks the standby itself. The first look of a run that comes through the gate is given a cold start's patience.
#[derive(Debug)]
pub struct StandbyEye {
    walker: Walker,
    pass: Option<Pass>,
    patience: Mutex<Patience>,
}

/// How long a look may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    warm: Duration,
    cold: Duration,
    /// When the last look that came through the gate ended.
    warmed_at: Option<Instant>,
}

impl Patience {
    fn at(&self, now: Instant) -> Duration {
        match self.warmed_at {
            Some(at) if now.duration_since(at) < RUN_ENDS_AFTER => self.warm,
            _ => self.cold.max(self.warm),
        }
    }

    /// A shut gate starts nothing: the container behind it is as cold as before.
    fn saw(&mut self, view: View, now: Instant) {
        if view != View::Shut {
            self.warmed_at = Some(now);
        }
    }
}

impl StandbyEye {
    /// An eye with these settings.
    pub fn new(settings: StandbyEyeSettings) -> Self {
        Self {
            walker: Walker::new(settings.home, settings.standby),
            pass: settings.pass,
            patience: Mutex::new(Patience {
                warm: settings.timeout,
                cold: settings.cold_timeout,
                warmed_at: None,
            }),
        }
    }

    fn patience(&self) -> MutexGuard<'_, Patience> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look_once(&self) -> Sighting {
        let began = Instant::now();
        let timeout = self.patience().at(began);
        let pass = self.pass.as_ref().and_then(Pass::show);
        let walk = self
            .walker
            .walk_with(Side::Standby, Deadlines::within(timeout), pass.as_ref());
        let end = walk.await;
        self.patience().saw(end.view, Instant::now());
        Sighting {
            view: end.view,
            redirect: None,
            took: began.elapsed(),
        }
    }
}

impl Look for StandbyEye {
    fn look(&self) -> BoxFuture<'_, Sighting> {
        Box::pin(self.look_once())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Breakage;

    #[test]
    fn a_cold_start_is_waited_for_once_the_gate_is_open_and_once_a_run() {
        let (warm, cold) = (Duration::from_secs(5), Duration::from_secs(20));
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        let mut patience = Patience {
            warm,
            cold,
            warmed_at: None,
        };
        assert_eq!(patience.at(start), cold);
        patience.saw(View::Shut, after(1));
        assert_eq!(patience.at(after(1)), cold, "behind a shut gate nothing starts");
        patience.saw(View::StandbyBroken(Breakage::Silent), after(21));
        assert_eq!(patience.at(after(22)), warm, "the cold start had its time");
        patience.saw(View::Standby, after(50));
        assert_eq!(patience.at(after(109)), warm);
        assert_eq!(patience.at(after(110)), cold, "another run");
    }
}
