//! The shared state of the sandbox, its clock and its chance.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::cloudflare::Zone;
use super::door::Latch;
use super::faults::{Api, Call, Fault, Faults, Journal};
use super::identity::Identity;
use super::lagging::{Chance, Spread};
use super::levers::{EdgeState, Home, Notice, References, StandbyState, WorkerState};
use super::monitoring::Monitoring;
use super::run::Run;
use super::secrets::Secrets;
use super::visitors::{Book, Tally};
use super::{Options, SandboxError};

/// The Google project of the sandbox.
pub const PROJECT: &str = "sandbox-project";
/// The Cloud Run region of the sandbox.
pub const REGION: &str = "europe-west1";
/// The Cloudflare zone of the sandbox.
pub const ZONE: &str = "5a9db0c5a9db0c5a9db0c5a9db0c5a9d";

/// Everything that changes in the sandbox, behind one lock that is never held across an await.
pub struct World {
    pub(super) options: Options,
    pub(super) latches: Mutex<Latches>,
    started: Instant,
    addresses: OnceLock<Addresses>,
    state: Mutex<State>,
    tasks: Mutex<JoinSet<()>>,
    connector: TlsConnector,
    visitors: Mutex<Option<Arc<Mutex<Book>>>>,
}

/// Where everything listens.
#[derive(Clone, Debug, Serialize)]
pub struct Addresses {
    /// The control endpoint.
    pub control: SocketAddr,
    /// The Cloud Run API.
    pub run: SocketAddr,
    /// The Monitoring API.
    pub monitoring: SocketAddr,
    /// The token endpoint.
    pub token: SocketAddr,
    /// The metadata server.
    pub metadata: SocketAddr,
    /// The Secret Manager API.
    pub secrets: SocketAddr,
    /// The Cloudflare API.
    pub cloudflare: SocketAddr,
    /// The webhook receiver.
    pub webhook: SocketAddr,
    /// The edge, for the hosts of all sites (TLS).
    pub edge: SocketAddr,
    /// The home of each site (TLS).
    pub homes: BTreeMap<String, SocketAddr>,
    /// The standby of each site (TLS).
    pub standbys: BTreeMap<String, SocketAddr>,
    /// Two references (TLS).
    pub references: [SocketAddr; 2],
}

/// The hands on the doors that can be shut.
#[derive(Debug, Default)]
pub(super) struct Latches {
    pub(super) homes: BTreeMap<String, Latch>,
    pub(super) standbys: BTreeMap<String, Latch>,
    pub(super) edge: Option<Latch>,
    pub(super) references: Vec<Latch>,
}

/// A site's hosts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SiteState {
    pub(super) home: Home,
    pub(super) standby: StandbyState,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

type Slip = Box<dyn FnOnce(&World) + Send>;

pub(super) struct State {
    pub(super) chance: Chance,
    pub(super) skew: SignedDuration,
    pub(super) journal: Journal,
    pub(super) faults: Faults,
    pub(super) slips: Vec<(Api, Slip)>,
    pub(super) lanes: BTreeMap<String, u32>,
    pub(super) identity: Identity,
    pub(super) run: Run,
    pub(super) monitoring: Monitoring,
    pub(super) secrets: Secrets,
    pub(super) zone: Zone,
    pub(super) sites: BTreeMap<String, SiteState>,
    pub(super) edge: EdgeState,
    pub(super) worker: WorkerState,
    pub(super) references: References,
    pub(super) notices: Vec<Notice>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// A site's gate as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GateFacts {
    /// Whether the record says that everyone may come in.
    pub configured: bool,
    /// Whether every front end lets everyone in.
    pub effective: bool,
    /// Whether what is in effect everywhere is what the record says.
    pub settled: bool,
}

/// A site's redirect as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RedirectFacts {
    /// Whether the record says that visitors are sent to the standby.
    pub configured: bool,
    /// Whether every city of the edge does so.
    pub effective: bool,
}

/// A site's silence as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SilenceFacts {
    /// How long a snooze on the site's alert policy still lasts, if one is active.
    pub snoozed_for: Option<Duration>,
    /// Whether the site's uptime check is disabled.
    pub check_disabled: bool,
    /// Whether the site's alert policy is enabled.
    pub policy_enabled: bool,
}

impl World {
    pub(super) fn new(options: Options, connector: TlsConnector) -> Result<Self, SandboxError> {
        let mut chance = Chance::new(options.seed);
        let state = State {
            identity: Identity::create(&mut chance)?,
            run: Run::with_services(&options.sites),
            monitoring: Monitoring::with_sites(&options.sites),
            secrets: Secrets::default(),
            zone: Zone::with_sites(&options.sites, &mut chance),
            chance,
            skew: SignedDuration::ZERO,
            journal: Journal::default(),
            faults: Faults::default(),
            slips: Vec::new(),
            lanes: BTreeMap::new(),
            sites: options
                .sites
                .iter()
                .map(|site| (site.clone(), SiteState::default()))
                .collect(),
            edge: EdgeState::default(),
            worker: WorkerState::default(),
            references: References::default(),
            notices: Vec::new(),
        };
        Ok(Self {
            options,
            latches: Mutex::default(),
            started: Instant::now(),
            addresses: OnceLock::new(),
            state: Mutex::new(state),
            tasks: Mutex::default(),
            connector,
            visitors: Mutex::default(),
        })
    }

    /// Trusts the sandbox's authority.
    pub(super) const fn connector(&self) -> &TlsConnector {
        &self.connector
    }

    /// Lets the control endpoint see these visitors.
    pub(super) fn show_visitors(&self, book: Arc<Mutex<Book>>) {
        *self.visitors.lock().unwrap_or_else(PoisonError::into_inner) = Some(book);
    }

    /// What the visitors that were started last got so far.
    pub fn visitors(&self) -> Option<Tally> {
        let book = self.visitors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        book.map(|book| book.lock().unwrap_or_else(PoisonError::into_inner).tally())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug that its own task reports; the state stays usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settle_in(&self, addresses: Addresses, latches: Latches) {
        self.addresses.set(addresses).ok();
        *self.latches.lock().unwrap_or_else(PoisonError::into_inner) = latches;
    }

    pub(super) fn addresses(&self) -> Option<&Addresses> {
        self.addresses.get()
    }

    /// Runs a task that ends with the sandbox.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    pub(super) fn take_tasks(&self) -> JoinSet<()> {
        std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Time since the sandbox's start: what the journal, visits and notices are dated by.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) const fn spread(&self) -> Spread {
        if self.options.flapping {
            Spread::PerFront
        } else {
            Spread::Even
        }
    }

    /// The names of the sites.
    pub fn sites(&self) -> &[String] {
        &self.options.sites
    }

    pub(super) fn site_of_host(&self, host: &str) -> Option<&String> {
        self.options
            .sites
            .iter()
            .find(|site| site_host(site) == host || standby_host(site) == host)
    }

    fn first_site(&self) -> &str {
        self.options.sites.first().map_or("", String::as_str)
    }

    /// Moves the providers' wall clock: tokens, JWTs, snoozes and dates follow it.
    pub fn advance_clock(&self, by: SignedDuration) {
        let mut state = self.lock();
        state.skew = state.skew.saturating_add(by);
    }

    /// Injects a fault into the providers' answers.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// The faults that are still to come.
    pub fn faults(&self) -> Vec<Fault> {
        self.lock().faults.pending().to_vec()
    }

    /// The calls to the providers, oldest first.
    pub fn journal(&self) -> Vec<Call> {
        self.lock().journal.calls()
    }

    /// Empties the journal.
    pub fn clear_journal(&self) {
        self.lock().journal.clear();
    }

    /// A foreign writer: does something just before the next write to `api` is carried out, after the daemon's read.
    pub fn before_next_write(&self, api: Api, slip: impl FnOnce(&Self) + Send + 'static) {
        self.lock().slips.push((api, Box::new(slip)));
    }

    pub(super) fn let_slip(&self, api: Api) {
        let slip = {
            let mut state = self.lock();
            let place = state.slips.iter().position(|(of, _)| *of == api);
            place.map(|place| state.slips.remove(place).1)
        };
        if let Some(slip) = slip {
            slip(self);
        }
    }

    /// The first site's gate.
    pub fn gate(&self) -> GateFacts {
        self.gate_of(self.first_site())
    }

    /// A site's gate; shut when there is no such site.
    pub fn gate_of(&self, site: &str) -> GateFacts {
        let now = Instant::now();
        self.lock().run.gate(&service_name(site), now)
    }

    /// The first site's redirect.
    pub fn redirect(&self) -> RedirectFacts {
        self.redirect_of(self.first_site())
    }

    /// A site's redirect: whether `https://HOST/` is redirected, by whichever rule.
    pub fn redirect_of(&self, site: &str) -> RedirectFacts {
        let now = Instant::now();
        self.lock().zone.redirects(&site_host(site), now)
    }

    /// The first site's silence.
    pub fn silence(&self) -> SilenceFacts {
        self.silence_of(self.first_site())
    }

    /// A site's silence.
    pub fn silence_of(&self, site: &str) -> SilenceFacts {
        let state = self.lock();
        state.monitoring.silence(site, state.now())
    }

    /// What the whole world looks like, for people and the control endpoint.
    pub fn summary(&self) -> Value {
        let sites: BTreeMap<&String, Value> = self
            .sites()
            .iter()
            .map(|site| {
                let hosts = self.lock().sites.get(site).copied().unwrap_or_default();
                let facts = serde_json::json!({
                    "home": hosts.home,
                    "standby": hosts.standby,
                    "gate": self.gate_of(site),
                    "redirect": self.redirect_of(site),
                    "silence": self.silence_of(site),
                });
                (site, facts)
            })
            .collect();
        let state = self.lock();
        serde_json::json!({
            "sites": sites,
            "edge": state.edge,
            "worker": state.worker,
            "references": state.references,
            "faults": state.faults.pending(),
            "notices": state.notices.len(),
            "elapsed_secs": self.elapsed().as_secs_f64(),
        })
    }
}

impl State {
    /// The providers' wall clock.
    pub(super) fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.checked_add(self.skew).unwrap_or(now)
    }
}

/// The public host of a site.
pub(super) fn site_host(site: &str) -> String {
    format!("{site}.example")
}

/// The host of a site's standby.
pub(super) fn standby_host(site: &str) -> String {
    format!("{site}-standby.example")
}

/// The Cloud Run service of a site's standby.
pub(super) fn service_name(site: &str) -> String {
    format!("{site}-standby")
}
