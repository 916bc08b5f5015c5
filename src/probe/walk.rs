//! The way of a visitor: a page, the redirects behind it, followed by hand, and whose page it was in the end.

use std::time::Duration;

use hyper::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderMap, HeaderValue, LOCATION, SET_COOKIE};
use tokio::time::Instant;

use super::expect::{Marker, StatusSet};
use super::fetch::{Answer, FetchError, Reading, Request, Way, fetch};
use super::sight::{self, Sight};
use super::target::{HostPort, Target};
use crate::core::{Breakage, View};

/// A browser follows more, but no site that is well sends its visitors round five corners.
const MAX_HOPS: usize = 5;
/// Cloud Run takes the caller's ID token from here, and leaves `Authorization` to the site.
/// Source: <https://cloud.google.com/run/docs/authenticating/service-to-service>.
const PASS: &str = "x-serverless-authorization";
/// The part of a look's time that is kept for asking the trace when the page stays silent: a fifth.
/// Of the default 25 s the page so has 20 s; an edge needs up to 19 s to say 522.
const TRACE_SHARE: u32 = 5;

/// One of the two places that a visitor may come to: home's public URL or the standby's.
#[derive(Clone, Debug)]
pub struct Door {
    /// The URL.
    pub target: Target,
    /// How to get there.
    pub way: Way,
    /// What tells its pages from the other's.
    pub marker: Marker,
}

/// On whose side a chain of redirects is. Whoever was sent to the standby does not come back unless in a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Home,
    Standby,
}

/// Until when pages of either side have to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    home: Instant,
    all: Instant,
}

impl Deadlines {
    /// For a look of `timeout` that begins now.
    pub(super) fn within(timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            home: now + timeout.saturating_sub(timeout / TRACE_SHARE),
            all: now + timeout,
        }
    }
}

/// Where a chain ended, and whether home's side sent it to the standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) view: View,
    pub(super) crossed: bool,
}

/// Walks from either door.
#[derive(Clone, Debug)]
pub(super) struct Walker {
    home: Door,
    standby: Door,
    headers: HeaderMap,
}

impl Walker {
    pub(super) fn new(home: Door, standby: Door) -> Self {
        Self {
            home,
            standby,
            headers: as_a_browser(),
        }
    }

    /// Fetches the door's page on the given side and follows its redirects.
    pub(super) async fn walk(&self, start: Side, deadlines: Deadlines) -> End {
        self.walk_with(start, deadlines, None).await
    }

    /// The same with a pass, which is shown to the standby itself and to nobody else, and only over TLS.
    pub(super) async fn walk_with(&self, start: Side, deadlines: Deadlines, pass: Option<&HeaderValue>) -> End {
        let mut side = start;
        let mut visited = vec![self.door(side).target.clone()];
        let mut crossed = false;
        let mut view = View::Nothing;
        while let Some(here) = visited.last()
            && visited.len() <= MAX_HOPS + 1
        {
            let fetched = self.page(here, side, deadlines, pass).await;
            let Some(redirect) = redirect_of(&fetched, here) else {
                let view = self.judge(here, side, &fetched, deadlines).await;
                return End { view, crossed };
            };
            let Redirect { to: next, .. } = &redirect;
            let comes_back = side == Side::Standby && next.same_site(&self.home.target);
            if side == Side::Home && next.same_site(&self.standby.target) {
                side = Side::Standby;
                crossed = true;
            }
            view = redirect.leads_nowhere(side);
            if comes_back || visited.contains(next) {
                if side == Side::Standby {
                    view = View::Loop;
                }
                return End { view, crossed };
            }
            visited.push(redirect.to);
        }
        End { view, crossed }
    }

    const fn door(&self, side: Side) -> &Door {
        match side {
            Side::Home => &self.home,
            Side::Standby => &self.standby,
        }
    }

    async fn page(
        &self,
        target: &Target,
        side: Side,
        deadlines: Deadlines,
        pass: Option<&HeaderValue>,
    ) -> Result<Answer, FetchError> {
        let way = self.way_to(target, side);
        let mut headers = self.headers.clone();
        let pass = pass.filter(|_| target.is_https() && target.same_site(&self.standby.target));
        if let Some(pass) = pass {
            headers.insert(PASS, pass.clone());
        }
        let request = Request {
            target,
            way: &way,
            headers: &headers,
            deadline: match side {
                Side::Home => deadlines.home,
                Side::Standby => deadlines.all,
            },
            reading: Reading::Whole(&final_answers()),
        };
        fetch(&request).await.1
    }

    async fn judge(
        &self,
        target: &Target,
        side: Side,
        fetched: &Result<Answer, FetchError>,
        deadlines: Deadlines,
    ) -> View {
        match side {
            Side::Standby => sight::at_standby(fetched, &self.standby.marker),
            Side::Home => {
                let sight = sight::at_home(fetched, &self.home.marker, &self.standby.marker);
                clear_up(sight, target, &self.way_to(target, side), deadlines).await
            }
        }
    }

    /// A door's own `connect_to` holds for that door's host only, and its port for that door's port only.
    fn way_to(&self, target: &Target, side: Side) -> Way {
        let door = [&self.home, &self.standby]
            .into_iter()
            .find(|door| target.same_site(&door.target));
        let Some(door) = door else {
            return Way {
                connect_to: None,
                ..self.door(side).way.clone()
            };
        };
        let mut way = door.way.clone();
        if let Some(HostPort { port, .. }) = &mut way.connect_to
            && target.port() != door.target.port()
        {
            *port = target.port();
        }
        way
    }
}

/// Fetches the page of a door without following redirects, and asks the trace when in doubt.
pub(super) async fn peek(door: &Door, other: &Marker, timeout: Duration) -> View {
    let deadlines = Deadlines::within(timeout);
    let request = Request {
        target: &door.target,
        way: &door.way,
        headers: &as_a_browser(),
        deadline: deadlines.home,
        reading: Reading::Whole(&StatusSet::any()),
    };
    let (_, fetched) = fetch(&request).await;
    let sight = sight::at_home(&fetched, &door.marker, other);
    clear_up(sight, &door.target, &door.way, deadlines).await
}

/// Asks the edge's trace when only that can tell whether home or the edge is broken.
async fn clear_up(sight: Sight, target: &Target, way: &Way, deadlines: Deadlines) -> View {
    let if_edge_lives = match sight {
        Sight::Clear(view) => return view,
        Sight::Doubtful { if_edge_lives } => if_edge_lives,
    };
    let request = Request {
        target: &target.at_path(sight::TRACE_PATH),
        way,
        headers: &HeaderMap::new(),
        deadline: deadlines.all,
        reading: Reading::Whole(&StatusSet::any()),
    };
    match fetch(&request).await {
        (_, Ok(answer)) if sight::is_trace(&answer) => if_edge_lives,
        _ => View::EdgeBroken,
    }
}

/// An answer that sends the visitor on.
struct Redirect {
    status: u16,
    to: Target,
    sets_cookie: bool,
}

impl Redirect {
    /// What it means that a chain of these has no end, or comes back without the standby in it.
    ///
    /// Whoever sets a cookie may end the chain for a browser, which sends it back as we do not: that is no evidence.
    const fn leads_nowhere(&self, side: Side) -> View {
        match side {
            Side::Home if self.sets_cookie => View::Blocked,
            Side::Home => View::HomeBroken(self.status),
            Side::Standby => View::StandbyBroken(Breakage::Status(self.status)),
        }
    }
}

/// Where an answer redirects to. A `Location` that no browser could follow is none.
fn redirect_of(fetched: &Result<Answer, FetchError>, from: &Target) -> Option<Redirect> {
    let answer = fetched.as_ref().ok()?;
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    Some(Redirect {
        status: answer.status,
        to: from.join(answer.header(LOCATION.as_str())?).ok()?,
        sets_cookie: answer.headers.contains_key(SET_COOKIE),
    })
}

/// Bodies of redirects are not read.
fn final_answers() -> StatusSet {
    StatusSet::parse(["2xx", "4xx", "5xx"]).unwrap_or_else(|_| StatusSet::any())
}

/// The headers of a browser that opens a page; the name stays our own. Nothing compressed: we look for text.
fn as_a_browser() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("en;q=0.8,*;q=0.5"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert("upgrade-insecure-requests", HeaderValue::from_static("1"));
    headers
}
