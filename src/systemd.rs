//! What systemd is told: READY, STATUS in words, WATCHDOG fed by the loops' progress, STOPPING. Without systemd all of it does nothing.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sd_notify::NotifyState;
use tokio::time::Instant;
use tracing::debug;

use crate::core::{Duration, Status};
use crate::notify::glance;

/// More sites than this are told as a sum.
const MOST_TOLD: usize = 4;
/// The watchdog is not fed more often than this, however fast the loops are.
const LEAST_BETWEEN_FEEDS: Duration = Duration::from_secs(1);

/// The daemon is up: state read, listeners open, loops running.
pub fn ready() {
    say(&[NotifyState::Ready]);
}

/// What the daemon is doing, in words; see [`status_text`].
pub fn status(text: &str) {
    say(&[NotifyState::Status(text)]);
}

/// The daemon stops.
pub fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// Feeds the watchdog. Only [`Watchdog`] has a reason to call this.
pub fn feed() {
    say(&[NotifyState::Watchdog]);
}

/// How long systemd waits for the watchdog to be fed; `None` when it does not watch.
pub fn watchdog_timeout() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn say(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "systemd could not be told");
    }
}

/// One line on all sites: each in words, or a sum when there are many.
pub fn status_text<'a>(sites: impl IntoIterator<Item = (&'a str, &'a Status)>) -> String {
    let told: Vec<_> = sites.into_iter().map(|(name, status)| (name, glance(status))).collect();
    if told.len() > MOST_TOLD {
        let quiet = told.iter().filter(|(_, text)| text == "home serves visitors").count();
        let others: Vec<_> = told
            .iter()
            .filter(|(_, text)| text != "home serves visitors")
            .map(|(name, _)| *name)
            .collect();
        return match others.as_slice() {
            [] => format!("{quiet} sites: home serves visitors"),
            others => format!("{quiet} sites at home; look at {}", others.join(", ")),
        };
    }
    let lines: Vec<_> = told.iter().map(|(name, text)| format!("{name}: {text}")).collect();
    lines.join(" | ")
}

/// Feeds a watchdog once every loop has made progress since the last time. It has no timer: when one loop hangs, nobody feeds.
#[derive(Clone)]
pub struct Watchdog(Arc<Kennel>);

struct Kennel {
    progress: Mutex<Progress>,
    feed: Box<dyn Fn() + Send + Sync>,
}

struct Progress {
    loops: Vec<bool>,
    fed: Option<Instant>,
}

/// One loop's way to say that it made progress.
#[derive(Clone)]
pub struct Beat {
    watchdog: Watchdog,
    number: usize,
}

impl Watchdog {
    /// A watchdog over as many loops as there are beats asked for. `feed` is called from within [`Beat::progressed`] and must not wait.
    pub fn new(loops: usize, feed: impl Fn() + Send + Sync + 'static) -> (Self, Vec<Beat>) {
        let progress = Progress {
            loops: vec![false; loops],
            fed: None,
        };
        let watchdog = Self(Arc::new(Kennel {
            progress: Mutex::new(progress),
            feed: Box::new(feed),
        }));
        let beat = |number| Beat {
            watchdog: watchdog.clone(),
            number,
        };
        let beats = (0..loops).map(beat).collect();
        (watchdog, beats)
    }

    fn progressed(&self, number: usize) {
        let mut progress = self.0.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = progress.loops.get_mut(number) {
            *done = true;
        }
        let now = Instant::now();
        let rested = progress
            .fed
            .is_none_or(|fed| now.saturating_duration_since(fed) >= LEAST_BETWEEN_FEEDS);
        if rested && progress.loops.iter().all(|done| *done) {
            progress.loops.fill(false);
            progress.fed = Some(now);
            (self.0.feed)();
        }
    }
}

impl Beat {
    /// The loop has come round: an event was handled, a deadline kept. Call it once per turn, and have a turn at least every few seconds.
    pub fn progressed(&self) {
        self.watchdog.progressed(self.number);
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").finish_non_exhaustive()
    }
}

impl fmt::Debug for Beat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beat")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
