//! The edge eye: does the edge reach home, asked on a page that the redirect excludes?

use std::time::Duration;

use tokio::time::Instant;

use super::expect::Marker;
use super::walk::{Door, peek};
use super::{BoxFuture, Look};
use crate::core::{Sighting, View};

/// What [`EdgeEye`] needs.
#[derive(Clone, Debug)]
pub struct EdgeEyeSettings {
    /// The page that the redirect excludes, the way to the edge, and home's marker.
    pub page: Door,
    /// The standby's marker.
    pub standby_marker: Marker,
    /// The total deadline of a look.
    pub timeout: Duration,
}

/// Fetches a page through the edge, following no redirect.
#[derive(Clone, Debug)]
pub struct EdgeEye {
    settings: EdgeEyeSettings,
}

impl EdgeEye {
    /// An eye with these settings.
    pub const fn new(settings: EdgeEyeSettings) -> Self {
        Self { settings }
    }

    async fn look_once(&self) -> Sighting {
        let began = Instant::now();
        let EdgeEyeSettings {
            page,
            standby_marker,
            timeout,
        } = &self.settings;
        let view = match peek(page, standby_marker, *timeout).await {
            // A redirect may be the edge's own: without home's marker it tells nothing of home.
            View::HomeBroken(300..=399) => View::Nothing,
            view => view,
        };
        Sighting {
            view,
            redirect: None,
            took: began.elapsed(),
        }
    }
}

impl Look for EdgeEye {
    fn look(&self) -> BoxFuture<'_, Sighting> {
        Box::pin(self.look_once())
    }
}
