//! What an answer, or the lack of one, means: at the standby, and at home behind its edge (DESIGN rule 3). Pure.

use super::expect::Marker;
use super::fetch::{Answer, FetchError};
use crate::core::{Breakage, Part, Position, View, Why};

/// The path that Cloudflare's edge answers itself, whatever home does.
/// Source: <https://developers.cloudflare.com/fundamentals/reference/cdn-cgi-endpoint/>.
pub(super) const TRACE_PATH: &str = "/cdn-cgi/trace";
/// What a trace is recognised by.
const TRACE_KEY: &str = "colo=";

/// What `worker/standby.js` says on an error page of its own, that it is not taken for home's.
const WORKER_SAYS: &str = "x-pilotlight";
const UNAVAILABLE: &str = "standby-unavailable";

type Fetched = Result<Answer, FetchError>;

/// What a page on home's side showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It is plain what it was.
    Clear(View),
    /// Home or the edge? The edge's own trace tells: without it the edge is broken.
    Doubtful {
        /// What it was if the edge lives.
        if_edge_lives: View,
    },
}

/// What was seen at the standby, or behind its redirects.
pub(super) fn at_standby(fetched: &Fetched, marker: &Marker) -> View {
    let answer = match fetched {
        Ok(answer) => answer,
        Err(error) => {
            return match error.why {
                Why::Dns | Why::Timeout(Part::Dns) => View::StandbyBroken(Breakage::Dns),
                Why::Certificate => View::StandbyBroken(Breakage::Certificate),
                Why::Timeout(_) => View::StandbyBroken(Breakage::Silent),
                Why::Unreachable => View::Nothing,
                Why::Refused | Why::Reset | Why::Tls | Why::Protocol | Why::Status(_) | Why::Body | Why::Blocked => {
                    View::StandbyBroken(Breakage::Refused)
                }
            };
        }
    };
    match answer.status {
        _ if answer.is_challenge() => View::Blocked,
        429 => View::Overloaded,
        status @ 500.. => View::StandbyBroken(Breakage::Status(status)),
        _ if answer.shows(marker) => View::Standby,
        401 | 403 => View::Shut,
        200..=299 => View::StandbyBroken(Breakage::Marker),
        status => View::StandbyBroken(Breakage::Status(status)),
    }
}

/// What was seen at the public URL, or at a page that the redirect excludes.
pub(super) fn at_home(fetched: &Fetched, home: &Marker, standby: &Marker) -> Sight {
    let answer = match fetched {
        Ok(answer) => answer,
        Err(error) => return without_answer(error.why),
    };
    let (is_home, is_standby) = (answer.shows(home), answer.shows(standby));
    Sight::Clear(match answer.status {
        _ if answer.is_challenge() => View::Blocked,
        // Cloudflare's own words for "I cannot reach the origin"; 530 comes with 1033 when a tunnel is down.
        status @ (520..=526 | 530) => View::EdgeLostHome(status),
        status @ 500.. if answer.header(WORKER_SAYS) == Some(UNAVAILABLE) => {
            View::StandbyBroken(Breakage::Status(status))
        }
        _ if is_cached(answer) => View::Cached,
        status @ 500.. if is_home => View::HomeBroken(status),
        status @ 500.. if is_standby => View::StandbyBroken(Breakage::Status(status)),
        status @ 500.. => {
            return Sight::Doubtful {
                if_edge_lives: View::HomeBroken(status),
            };
        }
        _ if is_home => View::Home,
        _ if is_standby => View::Standby,
        // A firewall at the edge may refuse just us, as a challenge does: that is no evidence against home.
        401 | 403 | 407 | 429 | 451 => View::Blocked,
        status => View::HomeBroken(status),
    })
}

const fn without_answer(why: Why) -> Sight {
    let if_edge_lives = match why {
        // Our own resolver or route: that tells nothing of the edge.
        Why::Timeout(Part::Dns) | Why::Unreachable => return Sight::Clear(View::Nothing),
        Why::Dns => return Sight::Clear(View::EdgeBroken),
        // Silence or a cut on the page while the trace answers.
        Why::Timeout(Part::FirstByte | Part::Body) | Why::Reset | Why::Protocol => View::EdgeLostHome(0),
        // Trouble below HTTP that is over when the trace is asked.
        Why::Timeout(Part::Connect | Part::Tls)
        | Why::Refused
        | Why::Tls
        | Why::Certificate
        | Why::Status(_)
        | Why::Body
        | Why::Blocked => View::Nothing,
    };
    Sight::Doubtful { if_edge_lives }
}

/// Source: <https://developers.cloudflare.com/cache/concepts/cache-responses/>; `Age` is any other cache's word (RFC 9111, section 5.1).
fn is_cached(answer: &Answer) -> bool {
    let by_edge = answer
        .header("cf-cache-status")
        .is_some_and(|status| matches!(status, "HIT" | "STALE" | "UPDATING"));
    by_edge || age(answer).is_some_and(|age| age > 0)
}

/// The age of a cached answer in seconds, if it says so.
pub(super) fn age(answer: &Answer) -> Option<u32> {
    answer.header("age")?.trim().parse().ok()
}

/// Whether this is the edge's trace: `key=value` lines, `colo` among them, and not a page that home serves at that path.
pub(super) fn is_trace(answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.body);
    let mut lines = text.lines();
    answer.status == 200
        && lines
            .by_ref()
            .take_while(|line| line.contains('=') && !line.contains('<'))
            .any(|line| line.starts_with(TRACE_KEY))
}

/// What a chain that never came to the standby says of the redirect.
///
/// A page withheld from us by the edge's firewall says that it is off: redirects come first.
/// Source: <https://developers.cloudflare.com/ruleset-engine/reference/phases-list/>.
pub(super) const fn redirect_by(view: View) -> Option<Position> {
    match view {
        View::Home
        | View::Standby
        | View::EdgeLostHome(1..)
        | View::HomeBroken(_)
        | View::StandbyBroken(_)
        | View::Overloaded
        | View::Shut
        | View::Loop
        | View::Cached
        | View::Blocked => Some(Position::Off),
        View::EdgeLostHome(0) | View::EdgeBroken | View::Nothing => None,
    }
}

/// The same where the standby serves the public URL itself: its own pages say that it does.
///
/// A page without any marker may be either's.
pub(super) const fn in_place_by(view: View) -> Option<Position> {
    match view {
        View::Standby | View::StandbyBroken(_) | View::Overloaded | View::Shut | View::Loop => Some(Position::On),
        View::HomeBroken(_) => None,
        View::Home | View::EdgeLostHome(_) | View::EdgeBroken | View::Nothing | View::Cached | View::Blocked => {
            redirect_by(view)
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::core::Faculties;

    const HOME: &str = "x-served-by: home";
    const STANDBY: &str = "x-served-by: standby";

    fn answer(status: u16, lines: &[&str], body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").expect("name: value");
            let name: HeaderName = name.parse().expect("a name");
            headers.insert(name, HeaderValue::from_str(value).expect("a value"));
        }
        Answer {
            status,
            headers,
            body: body.as_bytes().to_vec(),
            used: Faculties::default(),
        }
    }

    fn failed(why: Why) -> Fetched {
        Err(FetchError {
            why,
            used: Faculties::default(),
        })
    }

    fn home_sight(fetched: &Fetched) -> Sight {
        let marker = |line| Marker::header(line).expect("a marker");
        at_home(fetched, &marker(HOME), &marker(STANDBY))
    }

    #[test]
    fn answers_at_home_mean_what_rule_3_says() {
        for (status, lines, view) in [
            (200, &[HOME][..], View::Home),
            (404, &[HOME], View::Home),
            (200, &[STANDBY], View::Standby),
            (200, &[], View::HomeBroken(200)),
            (404, &[], View::HomeBroken(404)),
            (521, &[], View::EdgeLostHome(521)),
            (530, &[], View::EdgeLostHome(530)),
            (502, &[HOME], View::HomeBroken(502)),
            (200, &[HOME, "cf-cache-status: HIT"], View::Cached),
            (200, &[HOME, "cf-cache-status: UPDATING"], View::Cached),
            (200, &[HOME, "cf-cache-status: DYNAMIC"], View::Home),
            (200, &[HOME, "age: 7"], View::Cached),
            (
                503,
                &["x-pilotlight: standby-unavailable"],
                View::StandbyBroken(Breakage::Status(503)),
            ),
            (200, &[HOME, "age: 0"], View::Home),
            (403, &["cf-mitigated: challenge"], View::Blocked),
            (403, &[], View::Blocked),
            (429, &[], View::Blocked),
        ] {
            assert_eq!(
                home_sight(&Ok(answer(status, lines, ""))),
                Sight::Clear(view),
                "{status} {lines:?}"
            );
        }
        for status in [500, 502, 503, 504, 527] {
            let doubtful = Sight::Doubtful {
                if_edge_lives: View::HomeBroken(status),
            };
            assert_eq!(home_sight(&Ok(answer(status, &[], ""))), doubtful, "{status}");
        }
    }

    #[test]
    fn silence_at_home_is_the_edges_loss_only_if_the_edge_lives() {
        let lost = Sight::Doubtful {
            if_edge_lives: View::EdgeLostHome(0),
        };
        for why in [Why::Timeout(Part::FirstByte), Why::Timeout(Part::Body), Why::Reset] {
            assert_eq!(home_sight(&failed(why)), lost, "{why:?}");
        }
        let over = Sight::Doubtful {
            if_edge_lives: View::Nothing,
        };
        for why in [Why::Refused, Why::Certificate, Why::Timeout(Part::Connect)] {
            assert_eq!(home_sight(&failed(why)), over, "{why:?}");
        }
        assert_eq!(home_sight(&failed(Why::Unreachable)), Sight::Clear(View::Nothing));
    }

    #[test]
    fn answers_at_the_standby_mean_what_rule_7_says() {
        let marker = Marker::header(STANDBY).expect("a marker");
        for (fetched, view) in [
            (Ok(answer(200, &[STANDBY], "")), View::Standby),
            (Ok(answer(404, &[STANDBY], "")), View::Standby),
            (Ok(answer(403, &[], "")), View::Shut),
            (Ok(answer(401, &[], "")), View::Shut),
            (Ok(answer(429, &[], "")), View::Overloaded),
            (
                Ok(answer(503, &[STANDBY], "")),
                View::StandbyBroken(Breakage::Status(503)),
            ),
            (Ok(answer(404, &[], "")), View::StandbyBroken(Breakage::Status(404))),
            (Ok(answer(200, &[HOME], "")), View::StandbyBroken(Breakage::Marker)),
            (failed(Why::Dns), View::StandbyBroken(Breakage::Dns)),
            (failed(Why::Refused), View::StandbyBroken(Breakage::Refused)),
            (
                failed(Why::Timeout(Part::FirstByte)),
                View::StandbyBroken(Breakage::Silent),
            ),
            (failed(Why::Certificate), View::StandbyBroken(Breakage::Certificate)),
            (failed(Why::Unreachable), View::Nothing),
        ] {
            assert_eq!(at_standby(&fetched, &marker), view, "{fetched:?}");
        }
    }

    #[test]
    fn a_standby_in_place_is_known_by_its_pages_and_a_page_of_nobody_says_nothing() {
        for (view, redirect) in [
            (View::Standby, Some(Position::On)),
            (View::StandbyBroken(Breakage::Status(503)), Some(Position::On)),
            (View::Home, Some(Position::Off)),
            (View::Cached, Some(Position::Off)),
            (View::EdgeLostHome(522), Some(Position::Off)),
            (View::EdgeLostHome(0), None),
            (View::HomeBroken(404), None),
            (View::EdgeBroken, None),
        ] {
            assert_eq!(in_place_by(view), redirect, "{view:?}");
        }
    }

    #[test]
    fn a_trace_is_key_value_lines_and_not_a_page() {
        let is = |status, body| is_trace(&answer(status, &[], body));
        assert!(is(200, "fl=1f1\nh=site.example\nts=1.0\ncolo=FRA\n"));
        assert!(is(200, "colo="));
        assert!(!is(200, "<html lang=en>\ncolo=FRA\n"));
        assert!(!is(200, "fl=1\n"));
        assert!(!is(502, "colo=FRA\n"));
    }
}
