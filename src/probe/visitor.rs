//! The visitor eye: what the public URL gives to someone at a browser now.

use std::time::Duration;

use tokio::time::Instant;

use super::sight::{in_place_by, redirect_by};
use super::walk::{Deadlines, Side, Walker};
use super::{BoxFuture, Look};
use crate::core::{Position, Sighting};

pub use super::walk::Door;

/// What being sent to the standby looks like from a browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leads {
    /// The browser is redirected to the standby's own URL.
    #[default]
    Away,
    /// The public URL itself is served by the standby.
    InPlace,
}

/// What [`VisitorEye`] needs.
#[derive(Clone, Debug)]
pub struct VisitorEyeSettings {
    /// The public URL with home's marker, and the way to the edge.
    pub home: Door,
    /// The standby.
    pub standby: Door,
    /// What being sent to the standby looks like.
    pub leads: Leads,
    /// The total deadline of a look, over all redirects. The edge may take 19 s to say 522.
    pub timeout: Duration,
}

/// Fetches the public URL as a browser does and tells whose page it was, and whether the redirect was on.
#[derive(Clone, Debug)]
pub struct VisitorEye {
    walker: Walker,
    leads: Leads,
    timeout: Duration,
}

impl VisitorEye {
    /// An eye with these settings.
    pub fn new(settings: VisitorEyeSettings) -> Self {
        Self {
            walker: Walker::new(settings.home, settings.standby),
            leads: settings.leads,
            timeout: settings.timeout,
        }
    }

    async fn look_once(&self) -> Sighting {
        let began = Instant::now();
        let end = self.walker.walk(Side::Home, Deadlines::within(self.timeout)).await;
        Sighting {
            view: end.view,
            redirect: match self.leads {
                _ if end.crossed => Some(Position::On),
                Leads::Away => redirect_by(end.view),
                Leads::InPlace => in_place_by(end.view),
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
