//! The origin eye: one GET, judged by status and marker.

use std::time::Duration;

use hyper::header::HeaderMap;
use tokio::time::Instant;

use super::expect::Expect;
use super::fetch::{Answer, Reading, Request, Way, fetch};
use super::target::Target;
use super::{BoxFuture, Probe, Report};
use crate::core::{Failing, Outcome, Why};

/// What [`HttpProbe`] needs.
#[derive(Clone, Debug)]
pub struct HttpProbeSettings {
    /// What to fetch.
    pub target: Target,
    /// How to get there.
    pub way: Way,
    /// The total deadline of a try, from DNS to the body.
    pub timeout: Duration,
    /// What a good answer is.
    pub expect: Expect,
}

/// The origin eye over HTTP. Follows no redirect: neither our own redirect nor the standby can pass for home.
#[derive(Clone, Debug)]
pub struct HttpProbe {
    settings: HttpProbeSettings,
    headers: HeaderMap,
}

impl HttpProbe {
    /// An eye with these settings.
    pub fn new(settings: HttpProbeSettings) -> Self {
        Self {
            settings,
            headers: HeaderMap::new(),
        }
    }

    async fn try_once(&self) -> Report {
        let HttpProbeSettings {
            target,
            way,
            timeout,
            expect,
        } = &self.settings;
        let request = Request {
            target,
            way,
            headers: &self.headers,
            deadline: Instant::now() + *timeout,
            reading: Reading::Whole(&expect.status),
        };
        let (timings, result) = fetch(&request).await;
        let outcome = match result {
            Ok(answer) => judged(&answer, expect),
            Err(error) => Outcome::Failed(Failing {
                why: error.why,
                used: error.used,
            }),
        };
        Report { outcome, timings }
    }
}

impl Probe for HttpProbe {
    fn probe(&self) -> BoxFuture<'_, Report> {
        Box::pin(self.try_once())
    }
}

fn judged(answer: &Answer, expect: &Expect) -> Outcome {
    let why = if answer.is_challenge() {
        Why::Blocked
    } else if !expect.status.contains(answer.status) {
        Why::Status(answer.status)
    } else if expect.marker.as_ref().is_some_and(|marker| !answer.shows(marker)) {
        Why::Body
    } else {
        return Outcome::Ok;
    };
    Outcome::Failed(Failing { why, used: answer.used })
}
