//! The port to everything that looks: the origin eye, the other eyes and the mirror.

mod dial;
pub mod edge;
pub mod expect;
pub mod fetch;
pub mod http;
pub mod references;
pub mod resolve;
pub mod schedule;
mod sight;
pub mod standby;
pub mod target;
pub mod task;
pub mod visitor;
mod walk;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;

use crate::core::{Outcome, Part, Reflection, Sighting};

pub use expect::{Expect, Marker, StatusSet};
pub use fetch::Way;
pub use resolve::Resolver;
pub use target::{HostPort, SettingsError, Target};

/// A boxed future, so that the traits can be used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How long each part of one try took; `None` for parts that were not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    parts: [Option<Duration>; Part::ALL.len()],
}

impl Timings {
    /// How long `part` took, if it was reached.
    pub fn get(&self, part: Part) -> Option<Duration> {
        self.parts.get(part as usize).copied().flatten()
    }

    /// Notes how long `part` took.
    pub fn set(&mut self, part: Part, took: Duration) {
        if let Some(slot) = self.parts.get_mut(part as usize) {
            *slot = Some(took);
        }
    }
}

/// What a closed standby lets its bearer in for: the header's value, if there is one now. Asking never waits.
#[derive(Clone)]
pub struct Pass(Arc<dyn Fn() -> Option<HeaderValue> + Send + Sync>);

impl Pass {
    /// A pass that is asked for before each look.
    pub fn new(tell: impl Fn() -> Option<HeaderValue> + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    fn show(&self) -> Option<HeaderValue> {
        (self.0)()
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").finish_non_exhaustive()
    }
}

/// One try's result with its timings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What came of it.
    pub outcome: Outcome,
    /// How long each part took.
    pub timings: Timings,
}

/// The origin eye. One try with one total deadline over all its parts; it never retries.
pub trait Probe: Send + Sync {
    /// Probes once.
    fn probe(&self) -> BoxFuture<'_, Report>;
}

/// The visitor's, the standby's or the edge's eye. One look with one total deadline.
pub trait Look: Send + Sync {
    /// Looks once.
    fn look(&self) -> BoxFuture<'_, Sighting>;
}

/// The mirror: asks all references at once, with one total deadline.
pub trait Mirror: Send + Sync {
    /// Asks once.
    fn ask(&self) -> BoxFuture<'_, Reflection>;
}
