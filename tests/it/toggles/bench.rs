//! The edges pointed at a sandbox, from the config that it prints.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pilotlight::clock::Clock;
use pilotlight::core::{Sighting, View};
use pilotlight::http::{Http, HttpSettings};
use pilotlight::sandbox::{Api, Call, Kinds, Options, Profile, RedirectKind, Sandbox, SilenceKind, World};
use pilotlight::toggle::cloud_run::{CloudRunGate, CloudRunSettings};
use pilotlight::toggle::cloudflare::CloudflareClient;
use pilotlight::toggle::google::GoogleClient;
use pilotlight::toggle::google_token::TokenSource;
use pilotlight::toggle::invoker_check::InvokerCheckGate;
use pilotlight::toggle::monitoring::{Snooze, SnoozeSettings};
use pilotlight::toggle::open_gate::OpenGate;
use pilotlight::toggle::page_rule::{PageRule, PageRuleSettings};
use pilotlight::toggle::single_redirect::{SingleRedirect, SingleRedirectSettings};
use pilotlight::toggle::uptime_check::{UptimeCheck, UptimeCheckSettings};
use pilotlight::toggle::worker_route::{WorkerRoute, WorkerRouteSettings};
use pilotlight::toggle::{AskStandby, Meter, TellWall, Toggle};
use serde_json::Value;

/// A text of a config.
fn text(config: &Value, path: &str) -> String {
    config.pointer(path).and_then(Value::as_str).unwrap().to_owned()
}

pub(crate) const SITE: &str = "site";

/// A sandbox without delays, and what is needed to build edges for it.
pub(crate) struct Bench {
    sandbox: Sandbox,
    pub(crate) world: Arc<World>,
    config: Value,
    /// The same with the other kinds of redirect and silence.
    other_kinds: Value,
}

impl Bench {
    /// `name` keeps the files of tests apart.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, Duration::ZERO).await
    }

    pub(crate) async fn start_with(name: &str, propagation: Duration) -> Self {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("toggles").join(name);
        let options = Options {
            api_delay: Duration::ZERO,
            iam_propagation: propagation,
            edge_propagation: propagation,
            ..Options::new(dir)
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let other = Kinds {
            redirect: RedirectKind::PageRule,
            silence: SilenceKind::UptimeCheck,
            ..Kinds::default()
        };
        let config = |kinds| toml::from_str(&sandbox.config_toml_with(Profile::Demo, kinds)).unwrap();
        Self {
            world: sandbox.world(),
            config: config(Kinds::default()),
            other_kinds: config(other),
            sandbox,
        }
    }

    pub(crate) fn wall() -> TellWall {
        let clock = Clock::system();
        Arc::new(move || clock.wall())
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.sandbox.ca_file()
    }

    /// A server that speaks TLS under the sandbox's authority and answers everything.
    pub(crate) fn reference_url(&self) -> String {
        let [first, _] = self.sandbox.addresses().references;
        format!("https://{first}/")
    }

    pub(crate) fn http() -> Http {
        Http::new(&HttpSettings::default()).unwrap()
    }

    pub(crate) fn google(&self) -> GoogleClient {
        let file = text(&self.config, "/google/sandbox/key_file");
        let endpoint = text(&self.config, "/google/sandbox/token_url");
        let tokens = TokenSource::from_key_file(Path::new(&file), Some(endpoint), Self::http(), Self::wall());
        GoogleClient::new(Self::http(), tokens.unwrap())
    }

    pub(crate) fn google_by_metadata(&self) -> GoogleClient {
        let base = text(&self.config, "/google/sandbox/metadata_url");
        GoogleClient::new(
            Self::http(),
            TokenSource::from_metadata_server(base, Self::http(), Self::wall()),
        )
    }

    fn service(&self) -> CloudRunSettings {
        let of = |key| text(&self.config, &format!("/site/{SITE}/gate/{key}"));
        CloudRunSettings {
            base_url: text(&self.config, "/google/sandbox/run_url"),
            project: of("project"),
            region: of("region"),
            service: of("service"),
        }
    }

    pub(crate) fn gate(&self, client: GoogleClient) -> CloudRunGate {
        CloudRunGate::new(&self.service(), client, self.ask(), Meter::new("google/sandbox"))
    }

    pub(crate) fn invoker_check(&self) -> InvokerCheckGate {
        let meter = Meter::new("google/sandbox");
        InvokerCheckGate::new(&self.service(), self.google(), self.ask(), meter)
    }

    pub(crate) fn open_gate(&self) -> OpenGate {
        let meter = Meter::new("google/sandbox");
        OpenGate::new(&self.service(), self.google(), self.ask(), meter)
    }

    /// What visitors of the standby get.
    fn ask(&self) -> AskStandby {
        let world = Arc::clone(&self.world);
        Arc::new(move || {
            let view = if world.gate().effective {
                View::Standby
            } else {
                View::Shut
            };
            Box::pin(async move {
                Sighting {
                    view,
                    redirect: None,
                    took: Duration::ZERO,
                }
            })
        })
    }

    pub(crate) fn cloudflare(&self) -> CloudflareClient {
        let token = std::fs::read_to_string(text(&self.config, "/cloudflare/sandbox/token_file")).unwrap();
        let base = text(&self.config, "/cloudflare/sandbox/api_url");
        CloudflareClient::new(Self::http(), &token.into(), &base).unwrap()
    }

    pub(crate) fn single_redirect(&self) -> SingleRedirect {
        let of = |key| text(&self.config, &format!("/site/{SITE}/redirect/{key}"));
        let settings = SingleRedirectSettings {
            zone_id: of("zone_id"),
            rule_ref: of("ref"),
            status_code: Some(307),
            hosts: vec!["site.example".to_owned()],
            excluded_paths: vec!["/healthz".to_owned()],
        };
        SingleRedirect::new(settings, self.cloudflare(), Meter::new("cloudflare/sandbox"))
    }

    pub(crate) fn page_rule(&self) -> PageRule {
        let of = |key| text(&self.other_kinds, &format!("/site/{SITE}/redirect/{key}"));
        let settings = PageRuleSettings {
            zone_id: of("zone_id"),
            rule_id: of("rule_id"),
            hosts: vec!["site.example".to_owned()],
        };
        PageRule::new(settings, self.cloudflare(), Meter::new("cloudflare/sandbox"))
    }

    pub(crate) fn snooze(&self, length: Duration) -> Snooze {
        let of = |key| text(&self.config, &format!("/site/{SITE}/silence/0/{key}"));
        let settings = SnoozeSettings {
            base_url: text(&self.config, "/google/sandbox/monitoring_url"),
            project: of("project"),
            alert_policy: of("alert_policy"),
            instance: "box".to_owned(),
            length,
        };
        Snooze::new(settings, self.google(), Meter::new("google/sandbox"), Self::wall())
    }

    pub(crate) fn uptime_check(&self) -> UptimeCheck {
        let of = |key| text(&self.other_kinds, &format!("/site/{SITE}/silence/0/{key}"));
        let settings = UptimeCheckSettings {
            base_url: text(&self.config, "/google/sandbox/monitoring_url"),
            project: of("project"),
            check_id: of("check_id"),
        };
        UptimeCheck::new(&settings, self.google(), Meter::new("google/sandbox"))
    }

    pub(crate) fn worker_route(&self) -> WorkerRoute {
        self.worker_route_of("standby")
    }

    pub(crate) fn worker_route_of(&self, script: &str) -> WorkerRoute {
        let settings = WorkerRouteSettings {
            zone_id: text(&self.config, &format!("/site/{SITE}/redirect/zone_id")),
            pattern: format!("{SITE}.example/*"),
            script: script.to_owned(),
            excluded_paths: vec!["/healthz".to_owned()],
        };
        WorkerRoute::new(settings, self.cloudflare(), Meter::new("cloudflare/sandbox"))
    }

    /// One toggle of every kind.
    pub(crate) fn every_kind(&self) -> Vec<Arc<dyn Toggle>> {
        vec![
            Arc::new(self.gate(self.google())),
            Arc::new(self.invoker_check()),
            Arc::new(self.single_redirect()),
            Arc::new(self.page_rule()),
            Arc::new(self.worker_route()),
            Arc::new(self.snooze(SnoozeSettings::LENGTH)),
            Arc::new(self.uptime_check()),
        ]
    }

    /// The accepted writes since the journal was last emptied.
    pub(crate) fn writes(&self) -> Vec<Call> {
        self.world.journal().into_iter().filter(|call| call.wrote).collect()
    }

    pub(crate) fn calls_to(&self, api: Api) -> usize {
        self.world.journal().iter().filter(|call| call.api == api).count()
    }

    pub(crate) async fn stop(self) {
        self.sandbox.stop().await;
    }
}
