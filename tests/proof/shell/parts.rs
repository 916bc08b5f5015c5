//! The parts that a process is made of, and what of the world each of them meets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pilotlight::clock::Clock;
use pilotlight::core::{Command, Mode, Notice, Position, Snapshot, Status, ToggleKey};
use pilotlight::driver::{Links, Pending};
use pilotlight::http::Http;
use pilotlight::metrics::{Labels, Metrics};
use pilotlight::notify::{self, Receipt, Teller, Tellers, Told};
use pilotlight::probe::Look;
use pilotlight::probe::task;
use pilotlight::saver::Disk;
use pilotlight::store::{Kept, SiteStore, StoreError};
use pilotlight::toggle::cloud_run::{CloudRunGate, CloudRunSettings};
use pilotlight::toggle::cloudflare::CloudflareClient;
use pilotlight::toggle::google::GoogleClient;
use pilotlight::toggle::google_token::TokenSource;
use pilotlight::toggle::monitoring::{Snooze, SnoozeSettings};
use pilotlight::toggle::page_rule::{PageRule, PageRuleSettings};
use pilotlight::toggle::single_redirect::{SingleRedirect, SingleRedirectSettings};
use pilotlight::toggle::uptime_check::{UptimeCheck, UptimeCheckSettings};
use pilotlight::toggle::{AskStandby, Resources, TellWall, Toggle};
use tokio::sync::{mpsc, watch};

use super::eyes::key;
use super::laws::Law;
use super::objects::Object;
use super::planted::Plant;
use super::receiver::{Receiver, Sent};
use super::wire::TOGGLE_TIMEOUT;
use super::world::{Kind, SITES, Shared, lock};

const GOOGLE: &str = "google/main";
const CLOUDFLARE: &str = "cloudflare/main";
/// The one target that is told.
const TARGET: &str = "ops";

/// What the parts of a process share.
pub struct Parts {
    pub world: Shared,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub resources: Resources,
    pub google: GoogleClient,
    pub cloudflare: CloudflareClient,
    pub tellers: Tellers,
    pub sent: Sent,
}

pub fn metrics(kind: Kind, clock: &Clock) -> Metrics {
    let keys = [Object::Gate, Object::Redirect(0), Object::Silence(0)]
        .map(key)
        .to_vec();
    let labels = Labels {
        sites: SITES
            .iter()
            .take(kind.sites)
            .map(|site| ((*site).to_owned(), keys.clone()))
            .collect::<BTreeMap<_, _>>(),
        targets: vec![TARGET.to_owned()],
        credentials: vec![GOOGLE.to_owned(), CLOUDFLARE.to_owned()],
    };
    Metrics::new(&labels, clock.wall()).expect("names of their own")
}

fn wall(clock: &Clock) -> TellWall {
    let clock = clock.clone();
    Arc::new(move || clock.wall())
}

pub fn tokens(kind: Kind, http: &Http, clock: &Clock) -> TokenSource {
    if !kind.key_file {
        return TokenSource::from_metadata_server("http://metadata.example".to_owned(), http.clone(), wall(clock));
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/worthless_key.json");
    let endpoint = Some("https://tokens.example/token".to_owned());
    TokenSource::from_key_file(&file, endpoint, http.clone(), wall(clock)).expect("a key")
}

pub fn open_notices(
    world: &Shared,
    sent: &Sent,
    outbox: &Path,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> (Tellers, Vec<notify::Delivery>) {
    let target = notify::Target {
        name: TARGET.to_owned(),
        sites: Vec::new(),
        notifier: Arc::new(Receiver {
            world: Arc::clone(world),
            sent: sent.clone(),
        }),
    };
    let tally: Arc<dyn notify::Tally> = Arc::<Metrics>::clone(metrics);
    notify::open(vec![target], outbox, clock, &tally).expect("a plain name")
}

impl Parts {
    pub fn toggles(&self, site: usize, standby: &Arc<dyn Look>) -> Vec<(ToggleKey, Arc<dyn Toggle>)> {
        let kind = lock(&self.world).kind;
        let (google, cloudflare) = (self.resources.meter(GOOGLE), self.resources.meter(CLOUDFLARE));
        let eye = Arc::clone(standby);
        let ask: AskStandby = Arc::new(move || {
            let eye = Arc::clone(&eye);
            Box::pin(async move { eye.look().await })
        });
        let gate = CloudRunSettings {
            base_url: "https://run.example".to_owned(),
            project: "p".to_owned(),
            region: "r".to_owned(),
            service: "standby".to_owned(),
        };
        let gate: Arc<dyn Toggle> = Arc::new(CloudRunGate::new(&gate, self.google.clone(), ask, google.clone()));
        let redirect: Arc<dyn Toggle> = if kind.page_rules {
            let settings = PageRuleSettings {
                zone_id: "z".to_owned(),
                rule_id: format!("p{site}"),
                hosts: vec![format!("{site}.example")],
            };
            Arc::new(PageRule::new(settings, self.cloudflare.clone(), cloudflare))
        } else {
            let settings = SingleRedirectSettings {
                zone_id: "z".to_owned(),
                rule_ref: format!("ours{site}"),
                status_code: Some(307),
                ..SingleRedirectSettings::default()
            };
            Arc::new(SingleRedirect::new(settings, self.cloudflare.clone(), cloudflare))
        };
        let base_url = "https://monitoring.example".to_owned();
        let project = "p".to_owned();
        let silence: Arc<dyn Toggle> = if kind.uptime_checks {
            let check_id = format!("c{site}");
            let settings = UptimeCheckSettings {
                base_url,
                project,
                check_id,
            };
            Arc::new(UptimeCheck::new(&settings, self.google.clone(), google))
        } else {
            let settings = SnoozeSettings {
                base_url,
                project,
                alert_policy: format!("{}", 17 + site),
                instance: SITES[site].to_owned(),
                length: SnoozeSettings::LENGTH,
            };
            Arc::new(Snooze::new(settings, self.google.clone(), google, wall(&self.clock)))
        };
        let all = [
            (Object::Gate, gate),
            (Object::Redirect(site), redirect),
            (Object::Silence(site), silence),
        ];
        all.into_iter()
            .map(|(object, toggle)| (key(object), self.resources.handle(SITES[site], toggle, TOGGLE_TIMEOUT)))
            .collect()
    }

    pub fn links(
        &self,
        site: usize,
        ends: Ends,
        (store, restored): Found,
        picture: watch::Receiver<Arc<Status>>,
    ) -> Links {
        let (probes, commands, status) = ends;
        let teller = Box::new(WatchedTeller {
            inner: self.tellers.of_site(SITES[site]),
            sent: self.sent.clone(),
            site,
            world: Arc::clone(&self.world),
        });
        let turning = Arc::clone(&self.world);
        let clock = self.clock.clone();
        lock(&self.world).sites[site].turned_at = tokio::time::Instant::now();
        Links {
            probes,
            commands,
            status,
            notices: Pending::new(teller, restored),
            pulse: Box::new(move || {
                let mut world = lock(&turning);
                world.turns += 1;
                let unseen = world.kind.plant == Some(Plant::TurnsSlowly) && !world.turns.is_multiple_of(3);
                if !unseen {
                    let status = Arc::clone(&picture.borrow());
                    world.turned(site, &status, clock.now().at);
                }
            }),
            disk: Arc::new(WatchedDisk {
                store,
                site,
                world: Arc::clone(&self.world),
            }),
            metrics: Arc::clone(&self.metrics),
            clock: self.clock.clone(),
        }
    }

    /// What was on disk is what a new process begins with; compared with the last picture of the one before.
    pub fn check_restart(&self, site: usize, found: Option<&Snapshot>) {
        let mut world = lock(&self.world);
        let watched = &world.sites[site];
        let same = match (found, &watched.saved) {
            (Some(found), Some(saved)) => {
                found.route == saved.route && found.mode == saved.mode && told(found) == told(saved)
            }
            (None, None) => true,
            _ => false,
        };
        if !same {
            let detail = format!("{}: found {found:?}, saved {:?}", SITES[site], watched.saved);
            world.broken(Law::RestartChangesNothing, &detail);
        }
        let mode = found.map_or(Mode::Auto, |found| found.mode.clone());
        let record =
            |object| found.and_then(|found| found.toggles.iter().find(move |record| record.key == key(object)));
        let wished = record(Object::Gate).is_some_and(|gate| gate.desired == Position::On);
        let remembers_gate = record(Object::Gate).is_some_and(|gate| gate.on_for.is_some());
        let known_on =
            record(Object::Redirect(site)).is_some_and(|redirect| redirect.on_for.or(redirect.off_for).is_some());
        let watched = &mut world.sites[site];
        watched.forget_begun();
        watched.mode = mode;
        watched.route = found.map_or(watched.route, |found| found.route);
        if !wished {
            watched.gate_wished_since = None;
        }
        if !remembers_gate {
            (watched.gate_wished_at, watched.gate_wished_before) = (watched.gate_wished_since, None);
            watched.gate_forgotten_at = Some(tokio::time::Instant::now());
        }
        if !known_on {
            watched.redirect_known_on = None;
        }
    }
}

/// What each toggle was told.
fn told(snapshot: &Snapshot) -> Vec<(ToggleKey, Position)> {
    snapshot
        .toggles
        .iter()
        .map(|record| (record.key, record.desired))
        .collect()
}

/// A site's store, and the notices that stood in it.
pub type Found = (SiteStore, Vec<serde_json::Value>);
pub type Ends = (
    mpsc::Receiver<task::Probed>,
    mpsc::Receiver<Command>,
    watch::Sender<Arc<Status>>,
);

/// The real store, on a disk that at times takes no writes.
#[derive(Debug)]
struct WatchedDisk {
    store: SiteStore,
    site: usize,
    world: Shared,
}

impl Disk for WatchedDisk {
    fn save(&self, kept: &Kept) -> Result<(), StoreError> {
        if !lock(&self.world).disk {
            lock(&self.world).sites[self.site].refuse();
            return Err(StoreError::Io {
                doing: "write",
                path: "site.json".into(),
                source: std::io::ErrorKind::StorageFull.into(),
            });
        }
        if lock(&self.world).kind.plant == Some(Plant::DiskLies) {
            return Ok(());
        }
        self.store.save(kept)?;
        lock(&self.world).sites[self.site].save(kept.snapshot.clone());
        Ok(())
    }
}

/// The real teller; what passes through it is noted.
struct WatchedTeller {
    inner: Box<dyn Teller>,
    sent: Sent,
    site: usize,
    world: Shared,
}

impl Teller for WatchedTeller {
    fn word(&self, notice: &Notice, status: &Status) -> Told {
        let told = self.inner.word(notice, status);
        lock(&self.world).said(self.site, notice);
        self.sent.said(SITES[self.site], &told);
        told
    }

    fn tell(&self, told: &Arc<Told>) -> Receipt {
        if lock(&self.world).kind.plant == Some(Plant::TellsNobody) {
            return Receipt::owed().1;
        }
        self.inner.tell(told)
    }

    fn tell_again(&self, told: &Arc<Told>) -> Receipt {
        self.inner.tell_again(told)
    }
}
