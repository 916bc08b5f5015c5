//! The standby eye: what the standby gives to someone who is sent there.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::walk::{Deadlines, Door, Side, Walker};
use super::{BoxFuture, Look};
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
    /// The total deadline of a look.
    pub timeout: Duration,
    /// The total deadline of a look that may have to wait for a cold start.
    pub cold_timeout: Duration,
}

/// Asks the standby itself. The first look of a run that comes through the gate is given a cold start's patience.
#[derive(Debug)]
pub struct StandbyEye {
    walker: Walker,
    timeout: Duration,
    cold_timeout: Duration,
    /// When the last look that came through the gate ended.
    warmed: Mutex<Option<Instant>>,
}

impl StandbyEye {
    /// An eye with these settings.
    pub fn new(settings: StandbyEyeSettings) -> Self {
        Self {
            walker: Walker::new(settings.home, settings.standby),
            timeout: settings.timeout,
            cold_timeout: settings.cold_timeout,
            warmed: Mutex::new(None),
        }
    }

    fn patience(&self, now: Instant) -> Duration {
        let warmed = *self.warmed.lock().unwrap_or_else(PoisonError::into_inner);
        match warmed {
            Some(at) if now.duration_since(at) < RUN_ENDS_AFTER => self.timeout,
            _ => self.cold_timeout.max(self.timeout),
        }
    }

    async fn look_once(&self) -> Sighting {
        let began = Instant::now();
        let deadlines = Deadlines::within(self.patience(began));
        let view = self.walker.walk(Side::Standby, deadlines).await.view;
        // A shut gate starts nothing: the container behind it is as cold as before.
        if view != View::Shut {
            *self.warmed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        Sighting {
            view,
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
