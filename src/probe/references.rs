//! The mirror: do well-known third parties answer, and do they agree with our clock? If not, it is us.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use hyper::header::{DATE, HeaderMap};
use jiff::fmt::rfc2822::DateTimeParser;
use tokio::time::{Instant, timeout_at};

use super::fetch::{Answer, Reading, Request, Way, fetch, touch};
use super::sight;
use super::target::{HostPort, SettingsError, Target};
use super::{BoxFuture, Mirror};
use crate::core::{ClockCheck, Faculties, Reflection, Wall};

/// Clocks this close agree (DESIGN rule 3).
const TOLERANCE_MS: u64 = 60_000;

/// Beside the answer, each family that a reference's name has is given this long to let us connect.
const FAMILY_PATIENCE: Duration = Duration::from_millis(500);

/// Tells our wall clock.
pub type WallClock = Arc<dyn Fn() -> Wall + Send + Sync>;

/// What is asked of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Any HTTP answer at all.
    Http(Target),
    /// A TCP connection.
    Tcp(HostPort),
}

impl Question {
    /// Reads `https://...`, `http://...` or `tcp://host:port`.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        match text.strip_prefix("tcp://") {
            Some(place) => HostPort::parse(place.trim_end_matches('/')).map(Self::Tcp),
            None if text.starts_with("https://") || text.starts_with("http://") => Target::parse(text).map(Self::Http),
            None => Err(SettingsError::Reference),
        }
    }
}

/// One reference.
#[derive(Clone, Debug)]
pub struct Reference {
    /// What to ask.
    pub question: Question,
    /// How to get there. `connect_to` is for `http` and `https` only.
    pub way: Way,
}

/// What [`References`] needs.
#[derive(Clone)]
pub struct ReferencesSettings {
    /// Whom to ask: two or more, from different companies.
    pub references: Vec<Reference>,
    /// The total deadline; whoever has not answered by then did not answer.
    pub timeout: Duration,
    /// Our wall clock.
    pub wall: WallClock,
}

impl fmt::Debug for ReferencesSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReferencesSettings")
            .field("references", &self.references)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Asks all references at once.
#[derive(Clone, Debug)]
pub struct References {
    settings: ReferencesSettings,
    headers: HeaderMap,
}

/// What one reference proved.
#[derive(Clone, Copy, Debug)]
struct Reply {
    proven: Faculties,
    /// How far its clock is ahead of ours, in milliseconds.
    ahead_ms: Option<i64>,
}

impl References {
    /// A mirror with these settings.
    pub fn new(settings: ReferencesSettings) -> Self {
        Self {
            settings,
            headers: HeaderMap::new(),
        }
    }

    async fn ask_all(&self) -> Reflection {
        let deadline = Instant::now() + self.settings.timeout;
        let questions = self
            .settings
            .references
            .iter()
            .map(|reference| self.ask_one(reference, deadline));
        let replies: Vec<Reply> = join_all(questions).await.into_iter().flatten().collect();
        let ahead: Vec<i64> = replies.iter().filter_map(|reply| reply.ahead_ms).collect();
        Reflection {
            answered: u32::try_from(replies.len()).unwrap_or(u32::MAX),
            proven: replies
                .iter()
                .fold(Faculties::default(), |proven, reply| proven.union(reply.proven)),
            clock: clock_check(&ahead),
        }
    }

    async fn ask_one(&self, reference: &Reference, deadline: Instant) -> Option<Reply> {
        let (reply, families) = join(self.answer(reference, deadline), families(reference, deadline)).await;
        reply.map(|reply| Reply {
            proven: reply.proven.union(families),
            ..reply
        })
    }

    async fn answer(&self, reference: &Reference, deadline: Instant) -> Option<Reply> {
        let target = match &reference.question {
            Question::Tcp(place) => {
                let proven = touch(place, &reference.way.resolver, deadline).await.1.ok()?;
                return Some(Reply { proven, ahead_ms: None });
            }
            Question::Http(target) => target,
        };
        let request = Request {
            target,
            way: &reference.way,
            headers: &self.headers,
            deadline,
            reading: Reading::Nothing,
        };
        let answer = fetch(&request).await.1.ok()?;
        Some(Reply {
            proven: answer.used,
            ahead_ms: date_ms(&answer).and_then(|theirs| theirs.checked_sub_unsigned((self.settings.wall)().0)),
        })
    }
}

impl Mirror for References {
    fn ask(&self) -> BoxFuture<'_, Reflection> {
        Box::pin(self.ask_all())
    }
}

/// Which address families reach the reference, if its name has both: its answer alone would prove only the one that was quicker, and a
/// home without the other would never be found dead.
async fn families(reference: &Reference, deadline: Instant) -> Faculties {
    let (host, port) = match &reference.question {
        Question::Http(_) if reference.way.connect_to.is_some() => return Faculties::default(),
        Question::Http(target) => (target.host(), target.port()),
        Question::Tcp(place) => (place.host.as_str(), place.port),
    };
    let deadline = deadline.min(Instant::now() + FAMILY_PATIENCE);
    let resolver = &reference.way.resolver;
    let Ok(Ok(addresses)) = timeout_at(deadline, resolver.resolve(host)).await else {
        return Faculties::default();
    };
    let first = |of_family: fn(&IpAddr) -> bool| addresses.iter().copied().find(of_family);
    let (Some(v4), Some(v6)) = (first(IpAddr::is_ipv4), first(IpAddr::is_ipv6)) else {
        return Faculties::default();
    };
    let reach = async |address: IpAddr| {
        let place = HostPort {
            host: address.to_string(),
            port,
        };
        touch(&place, resolver, deadline).await.1.unwrap_or_default()
    };
    let (v4, v6) = join(reach(v4), reach(v6)).await;
    v4.union(v6)
}

/// The answer's time in milliseconds since the Unix epoch: its `Date`, and the time that it lay in a cache since.
fn date_ms(answer: &Answer) -> Option<i64> {
    let date = answer.header(DATE.as_str())?;
    let date = DateTimeParser::new().parse_timestamp(date).ok()?;
    date.as_millisecond()
        .checked_add(i64::from(sight::age(answer).unwrap_or(0)) * 1000)
}

/// One reference that agrees is enough; to contradict us it takes two that agree with each other.
fn clock_check(ahead_ms: &[i64]) -> ClockCheck {
    if ahead_ms.iter().any(|ahead| ahead.unsigned_abs() <= TOLERANCE_MS) {
        return ClockCheck::Agrees;
    }
    let mut sorted = ahead_ms.to_vec();
    sorted.sort_unstable();
    let in_agreement = sorted.windows(2).any(|pair| match pair {
        [one, other] => one.abs_diff(*other) <= TOLERANCE_MS,
        _ => false,
    });
    if in_agreement {
        ClockCheck::Contradicts
    } else {
        ClockCheck::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r03_two_references_in_agreement_contradict_a_clock_and_one_alone_does_not() {
        for (ahead_ms, check) in [
            (&[][..], ClockCheck::Unknown),
            (&[500], ClockCheck::Agrees),
            (&[-60_000, 3_600_000], ClockCheck::Agrees),
            (&[3_600_000], ClockCheck::Unknown),
            (&[3_600_000, 3_601_000], ClockCheck::Contradicts),
            (&[-90_000, 9_000_000, -91_000], ClockCheck::Contradicts),
            (&[3_600_000, -3_600_000], ClockCheck::Unknown),
            (&[i64::MIN, i64::MAX], ClockCheck::Unknown),
        ] {
            assert_eq!(clock_check(ahead_ms), check, "{ahead_ms:?}");
        }
    }

    #[test]
    fn dates_are_read_with_the_time_in_a_cache() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().expect("a date"));
        let mut answer = Answer {
            status: 200,
            headers,
            body: Vec::new(),
            used: Faculties::default(),
        };
        assert_eq!(date_ms(&answer), Some(784_111_777_000));
        answer.headers.insert("age", "3".parse().expect("an age"));
        assert_eq!(date_ms(&answer), Some(784_111_780_000));
        answer.headers.insert(DATE, "yesterday".parse().expect("a value"));
        assert_eq!(date_ms(&answer), None);
    }

    #[test]
    fn references_are_read_by_their_scheme() {
        assert!(matches!(Question::parse("https://a.example/"), Ok(Question::Http(_))));
        assert!(matches!(Question::parse("tcp://9.9.9.9:53"), Ok(Question::Tcp(_))));
        for bad in ["9.9.9.9:53", "udp://9.9.9.9:53", ""] {
            assert_eq!(Question::parse(bad), Err(SettingsError::Reference), "{bad}");
        }
        assert_eq!(Question::parse("tcp://9.9.9.9"), Err(SettingsError::HostPort));
    }
}
