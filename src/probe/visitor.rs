//! The visitor eye: what the public URL gives to someone at a browser now.

use std::time::Duration;

use tokio::time::Instant;

use super::sight::redirect_by;
use super::walk::{Deadlines, Side, Walker};
use super::{BoxFuture, Look};
use crate::core::{Position, Sighting};

pub use super::walk::Door;

/// What [`VisitorEye`] needs.
#[derive(Clone, Debug)]
pub struct VisitorEyeSettings {
    /// The public URL with home's marker, and the way to the edge.
    pub home: Door,
    /// The standby.
    pub standby: Door,
    /// The total deadline of a look, over all redirects. The edge may take 19 s to say 522.
    pub timeout: Duration,
}

/// Fetches the public URL as a browser does and tells whose page it was, and whether the redirect was on.
#[derive(Clone, Debug)]
pub struct VisitorEye {
    walker: Walker,
    timeout: Duration,
}

impl VisitorEye {
    /// An eye with these settings.
    pub fn new(settings: VisitorEyeSettings) -> Self {
        Self {
            walker: Walker::new(settings.home, settings.standby),
            timeout: settings.timeout,
        }
    }

    async fn look_once(&self) -> Sighting {
        let began = Instant::now();
        let end = self.walker.walk(Side::Home, Deadlines::within(self.timeout)).await;
        Sighting {
            view: end.view,
            redirect: if end.crossed {
                Some(Position::On)
            } else {
                redirect_by(end.view)
            },
            took: began.elapsed(),
        }
    }
}

impl Look for VisitorEye {
    fn look(&self) -> BoxFuture<'_, Sighting> {
        Box::pin(self.look_once())
    }
}
