//! The decisions: pure, synchronous, infallible. Std only; no clock, no I/O, no log, no metric.

mod cadence;
mod commands;
pub mod controller;
pub mod drift;
pub mod episode;
pub mod evidence;
mod flight;
pub mod jitter;
pub mod judge;
pub mod looks;
pub mod machine;
pub mod notice;
mod order;
mod phases;
pub mod picture;
pub mod reconciler;
pub mod ring;
pub mod snapshot;
pub mod standby;
pub mod status;
pub mod switch;
pub mod telling;
pub mod time;
pub mod toggles;
mod turns;

pub use controller::{Controller, Layout};
pub use evidence::{
    Breakage, Cause, ClockCheck, Eye, Faculties, Failing, Outcome, Part, Reflection, Sighting, Verdict, View, Why,
};
pub use machine::{BrokenStandby, DriftPolicy, Failback, Mode, Phase, Policy};
pub use notice::{EpisodeId, Notice, Severity, What};
pub use ring::{Action, Command, Effect, Event, OpId, Order};
pub use snapshot::Snapshot;
pub use status::Status;
pub use time::{Duration, Instant, Now, Stopwatch, Wall};
pub use toggles::{Failure, FailureKind, Observed, Position, Role, Route, ToggleKey};
