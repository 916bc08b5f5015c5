//! The admin server: status, metrics and health to read, four commands that need the token. Loopback or a Unix socket.
//!
//! | route | answer |
//! |---|---|
//! | `GET /healthz` | 200 while the process is alive |
//! | `GET /readyz` | 200, or 503 with the reasons why a decision cannot be trusted now |
//! | `GET /metrics` | Prometheus' text format |
//! | `GET /api/v1/status` | [`view::StatusView`] |
//! | `POST /api/v1/sites/{site}/failover`, `failback`, `pause`, `resume` | [`command::Request`] in, [`command::Answer`] out; needs `Authorization: Bearer TOKEN` |
//!
//! Every error is `{"error":{"code","message","hint"}}`. A GET changes nothing.

mod auth;
pub mod command;
mod error;
mod routes;
mod server;
pub mod view;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

pub use self::auth::{Token, TokenError};
pub use self::error::{ErrorBody, ErrorDetail};
pub use self::server::{Listen, ListenError, Listener, serve};
use crate::clock::Clock;
use crate::core::{Command, Duration, Status};
use crate::metrics::Metrics;

/// When the last verdict is older than this, `/readyz` says so, unless `app` knows better from the interval.
pub const VERDICT_STALE_AFTER: Duration = Duration::from_secs(60);

/// What the server knows of one site's loop.
#[derive(Clone, Debug)]
pub struct SiteHandle {
    /// The site's name.
    pub name: String,
    /// Its picture, always the newest.
    pub status: watch::Receiver<Arc<Status>>,
    /// The way for commands into its loop.
    pub commands: mpsc::Sender<Command>,
}

/// What the server works with.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// All sites.
    pub sites: Vec<SiteHandle>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// What changing calls have to bring; without one they are all refused.
    pub token: Option<Token>,
    /// Both clocks.
    pub clock: Clock,
    /// When the last verdict is older than this, `/readyz` says so.
    pub verdict_stale_after: Duration,
}

impl AdminState {
    fn site(&self, name: &str) -> Option<&SiteHandle> {
        self.sites.iter().find(|site| site.name == name)
    }
}
