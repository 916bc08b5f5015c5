//! Composition root: configuration in, running tasks out. The only file that names everything.

mod credentials;
mod eyes;
mod toggles;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::admin::{self, AdminState, SiteHandle, Token};
use crate::clock::Clock;
use crate::config::{self, Config, GoogleCredential, Site};
use crate::core::{Controller, Event, Layout, Role, ToggleKey};
use crate::driver::{COMMANDS_WAITING, Driver, Limbs, Links, PROBES_WAITING, Pending};
use crate::http;
use crate::metrics::{Labels, Metrics};
use crate::notify::webhook::Webhook;
use crate::notify::{self, Delivery, Tellers};
use crate::probe::resolve::Resolver;
use crate::probe::schedule::Cadence;
use crate::probe::task;
use crate::store::{Loaded, StateDir};
use crate::systemd::{self, Beat, Watchdog};
use crate::toggle::cloudflare::CloudflareClient;
use crate::toggle::google::GoogleClient;
use crate::toggle::google_id_token::IdToken;
use crate::toggle::shared::Resources;

use credentials::{cloudflare_clients, cloudflare_label, google_clients, google_label, http_settings};
use eyes::Eyes;
use toggles::build_toggles;

/// A site whose probes do not come in for this long (or three intervals) does not feed the watchdog.
const PROBE_PATIENCE: Duration = Duration::from_secs(15);
/// How often the picture for systemd and the count of calls are brought up to date.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// The daemon, running.
#[derive(Debug)]
pub struct Running {
    /// The way to each site's loop.
    pub sites: Vec<SiteHandle>,
    /// Every provider object and the calls made so far.
    pub resources: Resources,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Where the admin server listens, if on TCP.
    pub admin: Option<std::net::SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    helpers: Vec<JoinHandle<()>>,
    patience: Duration,
}

impl Running {
    /// Stops in order: no new commands, loops save their intent, then helpers. All of it has one deadline.
    pub async fn stop(self) {
        systemd::stopping();
        self.stop.send_replace(true);
        let deadline = Instant::now() + self.patience;
        for task in self.tasks {
            if timeout_at(deadline, task).await.is_err() {
                tracing::warn!("a task did not stop in time");
            }
        }
        for helper in self.helpers {
            helper.abort();
        }
    }
}

/// What all sites share.
struct Shared {
    clock: Clock,
    metrics: Arc<Metrics>,
    resources: Resources,
    google: BTreeMap<String, (GoogleClient, GoogleCredential)>,
    cloudflare: BTreeMap<String, CloudflareClient>,
    resolver: Resolver,
}

/// Builds everything and starts it. Nothing is written at any provider before home was judged or an intent was restored.
pub async fn start(config: &Config) -> anyhow::Result<Running> {
    let clock = Clock::system();
    let state = StateDir::open(&config.daemon.state_dir)?;
    let metrics = Arc::new(Metrics::new(&labels(config), clock.wall()).context("metrics")?);
    let mut helpers = Vec::new();
    let shared = Shared {
        google: google_clients(config, &clock, &mut helpers)?,
        cloudflare: cloudflare_clients(config)?,
        resources: Resources::new(),
        metrics: Arc::clone(&metrics),
        resolver: Resolver::default(),
        clock: clock.clone(),
    };
    let token = config.admin.token_file.as_deref().map(admin_token).transpose()?;
    let listener = admin::Listener::bind(&admin_listen(&config.admin.listen)).await?;
    let (stop, stopped) = watch::channel(false);
    let mut tasks = Vec::new();
    let mut sites = Vec::new();
    let (tellers, deliveries) = open_notices(config, &state, &clock, &metrics)?;
    let (_watchdog, beats) = Watchdog::new(config.sites.len(), systemd::feed);
    for (site, beat) in config.sites.values().zip(beats) {
        let built = build_site(site, &shared, &state, &tellers, beat).with_context(|| format!("site {}", site.name))?;
        sites.push(built.handle);
        helpers.push(tokio::spawn(built.probing));
        helpers.extend(built.pass.map(|pass| tokio::spawn(pass.keep_fresh())));
        tasks.push(tokio::spawn(built.driver.run(built.first, on_stop(stopped.clone()))));
    }
    drop(tellers);
    helpers.push(tokio::spawn(report(
        sites.clone(),
        shared.resources.clone(),
        Arc::clone(&metrics),
    )));
    let admin = listener.tcp_address();
    let interval = config
        .sites
        .values()
        .map(|site| site.policy.interval)
        .max()
        .unwrap_or_default();
    let admin_state = AdminState {
        sites: sites.clone(),
        metrics: Arc::clone(&metrics),
        token,
        clock,
        verdict_stale_after: admin::VERDICT_STALE_AFTER.max(interval * 3),
    };
    tasks.push(tokio::spawn(admin::serve(listener, admin_state, on_stop(stopped))));
    // Last of all: a delivery ends when every loop is gone and its queue is on disk.
    tasks.extend(deliveries.into_iter().map(|delivery| tokio::spawn(delivery.run())));
    systemd::ready();
    Ok(Running {
        sites,
        resources: shared.resources,
        metrics,
        admin,
        stop,
        tasks,
        helpers,
        patience: config.daemon.shutdown_timeout,
    })
}

/// Everyone who is told, with outboxes in the state directory.
fn open_notices(
    config: &Config,
    state: &StateDir,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<(Tellers, Vec<Delivery>)> {
    let mut targets = Vec::new();
    for (name, webhook) in &config.webhooks {
        let url = config::secret::read(&webhook.url_file)?;
        let client = http::client(&http_settings(webhook.ca_file.as_deref()))?;
        let notifier = Webhook::new(client, &url, clock.clone()).with_context(|| format!("webhook {name}"))?;
        targets.push(notify::Target {
            name: name.clone(),
            sites: webhook.sites.clone(),
            notifier: Arc::new(notifier),
        });
    }
    let tally: Arc<dyn notify::Tally> = Arc::clone(metrics) as _;
    Ok(notify::open(targets, &state.outbox(), clock, &tally)?)
}

/// Keeps systemd's STATUS text and the count of provider calls up to date.
async fn report(sites: Vec<SiteHandle>, resources: Resources, metrics: Arc<Metrics>) {
    let mut said = String::new();
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    loop {
        ticks.tick().await;
        let pictures: Vec<_> = sites
            .iter()
            .map(|site| (site.name.clone(), Arc::clone(&site.status.borrow())))
            .collect();
        let text = systemd::status_text(pictures.iter().map(|(name, status)| (name.as_str(), &**status)));
        if text != said {
            systemd::status(&text);
            said = text;
        }
        for (credential, calls) in resources.calls() {
            metrics.called(&credential, [calls.reads, calls.writes, calls.refused]);
        }
    }
}

async fn on_stop(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, and that means stop as well.
    stopped.wait_for(|stop| *stop).await.map(drop).unwrap_or_default();
}

fn labels(config: &Config) -> Labels {
    let keys = |site: &Site| toggle_keys(site);
    Labels {
        sites: config
            .sites
            .iter()
            .map(|(name, site)| (name.clone(), keys(site)))
            .collect(),
        targets: config.webhooks.keys().cloned().collect(),
        credentials: {
            let google = config.google.keys().map(|name| google_label(name));
            google
                .chain(config.cloudflare.keys().map(|name| cloudflare_label(name)))
                .collect()
        },
    }
}

fn toggle_keys(site: &Site) -> Vec<ToggleKey> {
    let one = |role| ToggleKey { role, index: 0 };
    let silences = (0_u8..).zip(&site.silences).map(|(index, _)| ToggleKey {
        role: Role::Silence,
        index,
    });
    let gate = site.gate.as_ref().map(|_| one(Role::Gate));
    let redirect = site.redirect.as_ref().map(|_| one(Role::Redirect));
    gate.into_iter().chain(redirect).chain(silences).collect()
}

fn admin_token(file: &Path) -> anyhow::Result<Token> {
    Ok(Token::new(&config::secret::read(file)?)?)
}

fn admin_listen(listen: &config::Listen) -> admin::Listen {
    match listen {
        config::Listen::Tcp(address) => admin::Listen::Tcp(*address),
        config::Listen::Unix(path) => admin::Listen::Unix(path.clone()),
    }
}

/// One site, built and not yet started.
struct Built {
    handle: SiteHandle,
    driver: Driver,
    first: Event,
    /// What lets the standby eye in, to be kept fresh.
    pass: Option<IdToken>,
    probing: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

fn build_site(site: &Site, shared: &Shared, state: &StateDir, tellers: &Tellers, beat: Beat) -> anyhow::Result<Built> {
    let store = state.site(&site.name)?;
    let (kept, first) = match store.load()? {
        Loaded::Fresh => (None, Event::Woke),
        Loaded::Restored(kept) => (Some(*kept), Event::Woke),
        Loaded::SetAside { kept_as, why } => {
            tracing::warn!(site = site.name, kept_as = %kept_as.display(), why, "the state file was broken and is set aside");
            (None, Event::SetAside)
        }
    };
    let (snapshot, told) = kept.map_or_else(Default::default, |kept| (Some(kept.snapshot), kept.notices));
    let eyes = Eyes::build(site, shared)?;
    let standby = Arc::clone(&eyes.standby);
    let toggles = build_toggles(site, shared, standby)?;
    let layout = Layout {
        toggles: toggles.iter().map(|(key, _)| *key).collect(),
        edge_eye: eyes.edge.is_some(),
    };
    let now = shared.clock.now();
    let seed = now.wall.0 ^ u64::from(std::process::id());
    let controller = Controller::new(site.policy.clone(), layout, snapshot.as_ref(), seed, now);
    let (status_sender, status) = watch::channel(Arc::new(controller.status(now)));
    let (commands_sender, commands) = mpsc::channel(COMMANDS_WAITING);
    let (probes_sender, probes) = mpsc::channel(PROBES_WAITING);
    let epoch = shared.clock.moment(crate::core::Instant::ZERO).context("clock")?;
    let probing = Box::pin(task::run(eyes.probe, cadence(site), epoch, probes_sender));
    let limbs = Limbs {
        visitor: eyes.visitor,
        standby: eyes.standby,
        edge: eyes.edge,
        mirror: eyes.mirror,
        toggles,
        toggle_timeout: site.toggle_timeout,
        probe_patience: PROBE_PATIENCE.max(site.policy.interval * 3),
    };
    let links = Links {
        probes,
        commands,
        status: status_sender,
        notices: Pending::new(tellers.of_site(&site.name), told),
        pulse: Box::new(move || beat.progressed()),
        disk: Arc::new(store),
        metrics: Arc::clone(&shared.metrics),
        clock: shared.clock.clone(),
    };
    let driver = Driver::new(site.name.clone(), controller, limbs, links);
    let handle = SiteHandle {
        name: site.name.clone(),
        status,
        commands: commands_sender,
    };
    Ok(Built {
        handle,
        driver,
        first,
        pass: eyes.pass,
        probing,
    })
}

const fn cadence(site: &Site) -> Cadence {
    Cadence {
        interval: site.policy.interval,
        timeout: site.probe.timeout,
        confirm_interval: site.policy.confirm_interval,
        hedge_after: site.probe.hedge_after,
        failures_wanted: site.policy.unhealthy_threshold,
    }
}
