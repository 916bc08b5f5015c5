//! A local stand-in for home, standby, edge and the providers: a fake that can refuse.
//!
//! Everything runs on the caller's runtime and listens on loopback, or on an address of this machine that it is told. Home, standby, edge and references speak TLS under a
//! throwaway authority; the providers' APIs speak plain HTTP, one port each. What the providers do is as in the facts that
//! the design collects: etags, propagation, error envelopes, limits, lost replies. Nothing of it is of any use elsewhere.
//! A home of one's own can take the place of the built-in one: the edge then goes there.
//!
//! ```text
//!  visitors --TLS--> edge --TLS--> home            the daemon --HTTP--> run, monitoring, token, metadata, secrets,
//!      \--(redirect)--TLS--> standby                                    cloudflare, webhook
//!                              ^ public, after a propagation, when run's record says so;
//!                                or closed, and the edge's Worker goes there with an ID token
//! ```

mod checker;
mod client;
mod cloudflare;
mod control;
mod dns;
mod door;
mod edge;
mod edge_rules;
mod expression;
mod faults;
mod google;
mod hosts;
mod iam;
mod identity;
mod lagging;
mod levers;
mod monitoring;
mod page_rules;
mod profile;
mod provider;
mod records;
mod rulesets;
mod run;
mod secrets;
mod serve;
mod tls;
mod tokens;
mod visitors;
mod webhook;
mod worker_routes;
mod world;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use checker::CheckRun;
pub use cloudflare::Owner;
pub use faults::{Api, Call, Calls, Fault, FaultKind};
pub use identity::{SERVICE_ACCOUNT, SelfSigned};
pub use levers::{EdgeState, Home, Notice, References, StandbyState, WorkerState};
pub use profile::{CredentialKind, Kinds, Profile, RedirectKind, SilenceKind};
pub use run::OrgPolicy;
pub use secrets::SecretVersion;
pub use visitors::{Crowd, Service, Span, Tally, Visitors};
pub use world::{Addresses, GateFacts, PROJECT, REGION, RedirectFacts, SilenceFacts, World, ZONE};

use door::{Door, Latch};
use profile::Files;
use serve::{Answer, PickTls};
use tls::Authority;
use world::Latches;

/// Names that the references are certified for besides their address, for whoever has a resolver that knows them.
const REFERENCE_HOSTS: [&str; 2] = ["one-reference.example", "two-reference.example"];

/// How the sandbox behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What chance starts from; the same seed gives the same delays and ids.
    pub seed: u64,
    /// How long each provider call takes.
    pub api_delay: Duration,
    /// How long the standby's front ends take to follow the gate's record.
    pub iam_propagation: Duration,
    /// How long the edge takes to follow the redirect's record.
    pub edge_propagation: Duration,
    /// Whether front ends follow one by one, so that answers flap meanwhile.
    pub flapping: bool,
    /// After how long the edge gives up on a silent home and says 522; the real one takes 15 to 19 s.
    pub edge_timeout: Duration,
    /// How long the standby's container takes for its first request.
    pub cold_start: Duration,
    /// How often Google's checkers fetch the public URLs by themselves; never when not given.
    pub uptime_period: Option<Duration>,
    /// Where the control endpoint listens, on loopback; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address of this machine on which everything but the control endpoint listens.
    pub public: IpAddr,
    /// A home of one's own, for all sites; the built-in ones are then not there.
    pub home: Option<SocketAddr>,
    /// Where the daemon's admin server shall listen; a Unix socket in `dir` when not given.
    pub admin_listen: Option<String>,
    /// Where certificates, keys, tokens and the config are written; made if missing.
    pub dir: PathBuf,
    /// The names of the sites: letters, digits and `-`.
    pub sites: Vec<String>,
}

impl Options {
    /// A quick sandbox with one site, `site`, that writes its files into `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            seed: 1,
            api_delay: Duration::from_millis(100),
            iam_propagation: Duration::from_secs(5),
            edge_propagation: Duration::from_millis(500),
            flapping: false,
            edge_timeout: Duration::from_secs(3),
            cold_start: Duration::from_millis(200),
            uptime_period: None,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public: Ipv4Addr::LOCALHOST.into(),
            home: None,
            admin_listen: None,
            dir: dir.into(),
            sites: vec!["site".to_owned()],
        }
    }

    /// A sandbox as slow as the real providers: 90 s until the gate is open everywhere, 17 s until the edge says 522.
    pub fn realistic(dir: impl Into<PathBuf>) -> Self {
        Self {
            api_delay: Duration::from_millis(300),
            iam_propagation: Duration::from_secs(90),
            edge_propagation: Duration::from_secs(3),
            flapping: true,
            edge_timeout: Duration::from_secs(17),
            cold_start: Duration::from_secs(3),
            uptime_period: Some(Duration::from_secs(60)),
            ..Self::new(dir)
        }
    }
}

/// Why the sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A port could not be bound or a file not be written.
    #[error("cannot bind or write")]
    Io(#[from] std::io::Error),
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// A certificate could not be used.
    #[error("cannot use a certificate")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// The throwaway key in the source cannot be read.
    #[error("the throwaway key is damaged")]
    Key,
    /// Its control endpoint knows no password.
    #[error("the sandbox's control endpoint listens on loopback only, for example on 127.0.0.1:0")]
    NotLoopback,
    /// The config that is printed has to name an address.
    #[error("the sandbox needs one address of this machine, not all of them")]
    NoAddress,
    /// A site's name cannot stand in a host name, or there is none.
    #[error("sites need names of lower-case letters, digits and `-`")]
    Sites,
}

/// A running sandbox. Its tasks end when it is stopped or dropped.
#[derive(Debug)]
pub struct Sandbox {
    world: Arc<World>,
    addresses: Addresses,
    files: Files,
}

impl Sandbox {
    /// Starts everything on the current runtime and writes the files that a config names.
    pub async fn start(options: Options) -> Result<Self, SandboxError> {
        check_sites(&options.sites)?;
        if !options.listen.ip().is_loopback() {
            return Err(SandboxError::NotLoopback);
        }
        if options.public.is_unspecified() {
            return Err(SandboxError::NoAddress);
        }
        let files = Files::create(&options.dir)?;
        let authority = Authority::create()?;
        let world = Arc::new(World::new(options, authority.connector()?)?);
        let addresses = Builder {
            world: &world,
            authority: &authority,
            latches: Latches::default(),
        }
        .open()
        .await?;
        files.write(profile::CA, authority.pem())?;
        if world.options.home.is_some() {
            files.write_home_certificates(&authority, world.sites())?;
        }
        files.write(profile::WEBHOOK_URL, &profile::webhook_url(&addresses))?;
        world.write_secrets(&files, &format!("http://{}/token", addresses.token))?;
        if let Some(period) = world.options.uptime_period {
            world.spawn(checker::check_for_ever(Arc::downgrade(&world), period));
        }
        Ok(Self {
            world,
            addresses,
            files,
        })
    }

    /// The world, to look at and to change.
    pub fn world(&self) -> Arc<World> {
        Arc::clone(&self.world)
    }

    /// Where everything listens.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Where the control endpoint listens.
    pub const fn control_addr(&self) -> SocketAddr {
        self.addresses.control
    }

    /// Ends all tasks and closes all ports.
    pub async fn stop(self) {
        self.world.take_tasks().shutdown().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Dropping the set ends its tasks; without this the tasks and the world would keep each other alive.
        drop(self.world.take_tasks());
    }
}

fn check_sites(sites: &[String]) -> Result<(), SandboxError> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let good = |site: &String| !site.is_empty() && site.len() < 40 && site.bytes().all(letter);
    if sites.is_empty() || !sites.iter().all(good) {
        return Err(SandboxError::Sites);
    }
    Ok(())
}

/// Opens the doors one after the other.
struct Builder<'a> {
    world: &'a Arc<World>,
    authority: &'a Authority,
    latches: Latches,
}

impl Builder<'_> {
    async fn open(mut self) -> Result<Addresses, SandboxError> {
        let mut homes = BTreeMap::new();
        let mut standbys = BTreeMap::new();
        for site in self.world.sites() {
            let home = match self.world.options.home {
                Some(own) => own,
                None => self.open_home(site).await?,
            };
            homes.insert(site.clone(), home);
            standbys.insert(site.clone(), self.open_standby(site).await?);
        }
        let addresses = Addresses {
            control: self
                .open_plain(control::answer(self.world), self.world.options.listen)
                .await?,
            run: self.open_provider(Api::Run).await?,
            monitoring: self.open_provider(Api::Monitoring).await?,
            token: self.open_provider(Api::Token).await?,
            metadata: self.open_provider(Api::Metadata).await?,
            secrets: self.open_provider(Api::Secrets).await?,
            cloudflare: self.open_provider(Api::Cloudflare).await?,
            webhook: self.open_provider(Api::Webhook).await?,
            edge: self.open_edge().await?,
            homes,
            standbys,
            references: [self.open_reference().await?, self.open_reference().await?],
        };
        self.world.settle_in(addresses.clone(), self.latches);
        Ok(addresses)
    }

    async fn open_plain(&self, answer: Answer, address: SocketAddr) -> Result<SocketAddr, SandboxError> {
        let (door, latch) = Door::bind(address).await?;
        let address = latch.address();
        let serve = serve::plain(answer);
        self.world.spawn(async move {
            door.run(serve).await;
            // Kept to the end: a door closes with its latch.
            drop(latch);
        });
        Ok(address)
    }

    async fn open_provider(&self, api: Api) -> Result<SocketAddr, SandboxError> {
        self.open_plain(provider::answer(self.world, api), self.any_port())
            .await
    }

    async fn open_tls(&self, pick: PickTls, answer: Answer) -> Result<Latch, SandboxError> {
        let (door, latch) = Door::bind(self.any_port()).await?;
        self.world.spawn(door.run(serve::secure(pick, answer)));
        Ok(latch)
    }

    async fn open_home(&mut self, site: &str) -> Result<SocketAddr, SandboxError> {
        let certificates = self.authority.certify(&[world::site_host(site)])?;
        let pick = hosts::home_tls(self.world, site, certificates);
        let latch = self.open_tls(pick, hosts::home(self.world, site)).await?;
        let address = latch.address();
        self.latches.homes.insert(site.to_owned(), latch);
        Ok(address)
    }

    async fn open_standby(&mut self, site: &str) -> Result<SocketAddr, SandboxError> {
        let certificates = self.authority.certify(&[world::standby_host(site)])?;
        let pick = hosts::standby_tls(self.world, site, certificates);
        let latch = self.open_tls(pick, hosts::standby(self.world, site)).await?;
        let address = latch.address();
        self.latches.standbys.insert(site.to_owned(), latch);
        Ok(address)
    }

    async fn open_edge(&mut self) -> Result<SocketAddr, SandboxError> {
        let hosts: Vec<String> = self.world.sites().iter().map(|site| world::site_host(site)).collect();
        let pick = edge::tls(self.world, self.authority.certify(&hosts)?);
        let latch = self
            .open_tls(pick, edge::answer(self.world, self.world.connector()))
            .await?;
        let address = latch.address();
        self.latches.edge = Some(latch);
        Ok(address)
    }

    async fn open_reference(&mut self) -> Result<SocketAddr, SandboxError> {
        let address = self.world.options.public.to_string();
        let names = [
            vec![address, "localhost".to_owned()],
            REFERENCE_HOSTS.map(String::from).to_vec(),
        ]
        .concat();
        let certificates = self.authority.certify(&names)?;
        let pick: PickTls = Arc::new(move || certificates.pick(tls::Flaw::None));
        let latch = self.open_tls(pick, hosts::reference(self.world)).await?;
        let address = latch.address();
        self.latches.references.push(latch);
        Ok(address)
    }

    fn any_port(&self) -> SocketAddr {
        SocketAddr::new(self.world.options.public, 0)
    }
}
