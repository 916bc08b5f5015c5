//! A steady stream of visitors with browsers, and the tally of what they got.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_rustls::TlsConnector;

use super::client::{NoPage, Page, get};
use super::hosts::MARKER;
use super::world::{Addresses, World, site_host, standby_host};

/// How many redirects a browser follows.
const MAX_HOPS: u32 = 10;
/// How many visits are remembered for the spans; a demo makes a few thousand.
const MAX_VISITS: usize = 200_000;

/// How visitors come and how long they wait.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Time between two visits.
    pub every: Duration,
    /// How long a visitor waits before going away.
    pub patience: Duration,
    /// How many visitors may be waiting at once; more are not let in, so that the stream is bounded.
    pub at_once: usize,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(100),
            patience: Duration::from_secs(10),
            at_once: 256,
        }
    }
}

/// What a visit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// The page, with home's marker.
    Home,
    /// The page, with the standby's marker.
    Standby,
    /// Anything else: an error page, a wrong page, nothing in time.
    Lost,
}

/// Visits in a row with the same result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// When the first of these visits began, since the sandbox's start.
    pub from: Duration,
    /// When the last of them began.
    pub until: Duration,
    /// What they came to.
    pub service: Service,
    /// How many they were.
    pub visits: u64,
}

/// What visitors got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Visits served by home.
    pub home: u64,
    /// Visits served by the standby.
    pub standby: u64,
    /// Visits that got no good page.
    pub lost: u64,
    /// Visitors that were not let in because too many were waiting already.
    pub turned_away: u64,
    /// Why visits were lost: a status or a word, with how often.
    pub reasons: BTreeMap<String, u64>,
    /// The visits in the order in which they began, those with the same result together.
    pub spans: Vec<Span>,
}

impl Tally {
    /// How many visits that began between two moments (since the sandbox's start) were lost.
    pub fn lost_between(&self, from: Duration, until: Duration) -> u64 {
        let within = |span: &&Span| span.service == Service::Lost && (from..until).contains(&span.from);
        self.spans.iter().filter(within).map(|span| span.visits).sum()
    }

    /// How long visitors got no good page: the spans of lost visits, each until the next good visit began.
    pub fn outage(&self) -> Duration {
        self.outage_between(Duration::ZERO, Duration::MAX)
    }

    /// The same, of the spans that began between two moments (since the sandbox's start).
    pub fn outage_between(&self, from: Duration, until: Duration) -> Duration {
        let next = self.spans.iter().skip(1).map(|span| span.from);
        let ends = next.chain(self.spans.last().map(|span| span.until));
        let dark = self
            .spans
            .iter()
            .zip(ends)
            .filter(|(span, _)| span.service == Service::Lost && (from..until).contains(&span.from));
        dark.map(|(span, end)| end.saturating_sub(span.from)).sum()
    }
}

/// The stream of visitors to a site; ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Visitors {
    book: Arc<Mutex<Book>>,
    stop: watch::Sender<Stage>,
    stream: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Coming,
    Leaving,
}

/// What visits came to, by when they began.
#[derive(Debug, Default)]
pub(super) struct Book {
    visits: BTreeMap<(Duration, u64), Service>,
    turned_away: u64,
    reasons: BTreeMap<String, u64>,
    next: u64,
}

impl Visitors {
    /// Sends visitors to a site's public URL.
    pub fn start(world: &Arc<World>, site: &str, crowd: Crowd) -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        world.show_visitors(Arc::clone(&book));
        let (stop, stage) = watch::channel(Stage::Coming);
        let url = format!("https://{}/", site_host(site));
        let mut stream = JoinSet::new();
        stream.spawn(flow(Arc::clone(world), url, crowd, Arc::clone(&book), stage));
        Self { book, stop, stream }
    }

    /// What visitors got so far.
    pub fn tally(&self) -> Tally {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).tally()
    }

    /// Lets nobody in any more, waits for those who are waiting, and counts.
    pub async fn stop(mut self) -> Tally {
        self.stop.send_replace(Stage::Leaving);
        while self.stream.join_next().await.is_some() {}
        self.tally()
    }
}

async fn flow(world: Arc<World>, url: String, crowd: Crowd, book: Arc<Mutex<Book>>, mut stage: watch::Receiver<Stage>) {
    let Some(addresses) = world.addresses() else {
        return;
    };
    let guide = Arc::new(Addressbook {
        patience: crowd.patience,
        ..Addressbook::of(&world, addresses)
    });
    let mut ticks = tokio::time::interval(crowd.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut waiting = JoinSet::new();
    loop {
        // Cancel-safe: a tick, a finished visit and a change of stage lose nothing when another branch wins.
        tokio::select! {
            _ = stage.wait_for(|stage| *stage == Stage::Leaving) => break,
            Some(_) = waiting.join_next() => {}
            _ = ticks.tick() => {
                if waiting.len() >= crowd.at_once {
                    book.lock().unwrap_or_else(PoisonError::into_inner).turned_away += 1;
                } else {
                    waiting.spawn(visit(Arc::clone(&guide), url.clone(), world.elapsed(), Arc::clone(&book)));
                }
            }
        }
    }
    while waiting.join_next().await.is_some() {}
}

async fn visit(guide: Arc<Addressbook>, url: String, began: Duration, book: Arc<Mutex<Book>>) {
    let end = fetch(&guide, &url).await;
    let marker = |page: &Page| page.header(MARKER).map(ToOwned::to_owned);
    let (service, reason) = match &end {
        Ok(page) if page.status == 200 => match marker(page).as_deref() {
            Some("home") => (Service::Home, None),
            Some("standby") => (Service::Standby, None),
            _ => (Service::Lost, Some("wrong page".to_owned())),
        },
        Ok(page) => (Service::Lost, Some(page.status.to_string())),
        Err(why) => (Service::Lost, Some(why.to_string())),
    };
    book.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .note(began, service, reason);
}

impl Book {
    fn note(&mut self, began: Duration, service: Service, reason: Option<String>) {
        if self.visits.len() >= MAX_VISITS {
            self.visits.pop_first();
        }
        self.visits.insert((began, self.next), service);
        self.next += 1;
        if let Some(reason) = reason {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally {
            turned_away: self.turned_away,
            reasons: self.reasons.clone(),
            ..Tally::default()
        };
        for (&(began, _), &service) in &self.visits {
            *match service {
                Service::Home => &mut tally.home,
                Service::Standby => &mut tally.standby,
                Service::Lost => &mut tally.lost,
            } += 1;
            match tally.spans.last_mut() {
                Some(span) if span.service == service => {
                    span.until = began;
                    span.visits += 1;
                }
                _ => tally.spans.push(Span {
                    from: began,
                    until: began,
                    service,
                    visits: 1,
                }),
            }
        }
        tally
    }
}

/// How a visitor of the sandbox finds hosts: the sandbox's own name service and trust.
#[derive(Clone)]
pub(super) struct Addressbook {
    hosts: BTreeMap<String, SocketAddr>,
    tls: TlsConnector,
    patience: Duration,
}

impl Addressbook {
    pub(super) fn of(world: &World, addresses: &Addresses) -> Self {
        let edge = world.sites().iter().map(|site| (site_host(site), addresses.edge));
        let standbys = addresses.standbys.iter();
        let standbys = standbys.map(|(site, address)| (standby_host(site), *address));
        Self {
            hosts: edge.chain(standbys).collect(),
            tls: world.connector().clone(),
            patience: Crowd::default().patience,
        }
    }
}

/// Fetches a page as a browser does: redirects are followed, all within one patience.
pub(super) async fn fetch(book: &Addressbook, url: &str) -> Result<Page, NoPage> {
    let deadline = Instant::now() + book.patience;
    let mut url = url.to_owned();
    for _ in 0..=MAX_HOPS {
        let (host, path) = split(&url).ok_or(NoPage::NoHost)?;
        let address = book.hosts.get(host).copied().ok_or(NoPage::NoHost)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let page = get(&book.tls, address, host, path, left).await?;
        match page.header("location") {
            Some(location) if (300..400).contains(&page.status) => location.clone_into(&mut url),
            _ => return Ok(page),
        }
    }
    Err(NoPage::Loop)
}

/// Host and path of an `https` URL.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://")?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    Some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_follow_the_order_in_which_visits_began_and_outage_lasts_until_the_next_good_one() {
        let mut book = Book::default();
        let at = Duration::from_secs;
        book.note(at(3), Service::Standby, None);
        book.note(at(0), Service::Home, None);
        book.note(at(2), Service::Lost, Some("522".to_owned()));
        book.note(at(1), Service::Lost, Some("522".to_owned()));
        let tally = book.tally();
        assert_eq!((tally.home, tally.standby, tally.lost), (1, 1, 2));
        let order: Vec<Service> = tally.spans.iter().map(|span| span.service).collect();
        assert_eq!(order, [Service::Home, Service::Lost, Service::Standby]);
        assert_eq!(tally.outage(), at(2));
        assert_eq!(tally.reasons.get("522"), Some(&2));
    }

    #[test]
    fn urls_are_split_at_the_first_slash() {
        assert_eq!(split("https://a.example/b?c"), Some(("a.example", "/b?c")));
        assert_eq!(split("https://a.example"), Some(("a.example", "/")));
        assert_eq!(split("http://a.example/"), None);
    }
}
