//! One runtime, one provider and one client for all inputs of a process, and the toggles built on them.

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pilotlight::core::{Observed, Position, Sighting, View, Wall};
use pilotlight::http::{Http, HttpSettings};
use pilotlight::toggle::cloud_run::{CloudRunGate, CloudRunSettings};
use pilotlight::toggle::cloudflare::CloudflareClient;
use pilotlight::toggle::google::GoogleClient;
use pilotlight::toggle::google_token::TokenSource;
use pilotlight::toggle::monitoring::{Snooze, SnoozeSettings};
use pilotlight::toggle::page_rule::{PageRule, PageRuleSettings};
use pilotlight::toggle::single_redirect::{SingleRedirect, SingleRedirectSettings};
use pilotlight::toggle::uptime_check::{UptimeCheck, UptimeCheckSettings};
use pilotlight::toggle::{AskStandby, Meter, Toggle, ToggleError};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::provider::{Call, Provider, TOKEN_PATH};
use crate::script::{Ask, Script};

/// What time it is, unless the provider says otherwise.
pub const NOW: Wall = Wall(1_795_255_200_000);
/// The same as a provider says it.
pub const NOW_HTTP: &str = "Sat, 21 Nov 2026 10:00:00 GMT";
/// A token from the token endpoint; no error may show it.
pub const FETCHED_TOKEN: &str = "ya29.canary0fetched0token0canary0fetched0token0canary0fetched";
/// The token for the redirects; no error may show it.
pub const CLOUDFLARE_TOKEN: &str = "canary0cloudflare0token0canary0cloudflare";
/// The project of all that is Google's.
pub const PROJECT: &str = "p";

/// A runtime with a paused clock, for one thread.
pub fn paused() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime can be made")
}

/// The runtime, the provider and the client.
pub struct Rig {
    /// The runtime; the provider lives in it.
    pub runtime: Runtime,
    /// The provider.
    pub provider: Provider,
    /// Where it listens.
    pub base_url: String,
    /// The client.
    pub http: Http,
    google: GoogleClient,
}

thread_local! {
    static RIG: OnceCell<Rig> = const { OnceCell::new() };
}

/// Does something with this process's rig.
pub fn with<T>(work: impl FnOnce(&Rig) -> T) -> T {
    RIG.with(|rig| work(rig.get_or_init(Rig::new)))
}

/// What became of one operation: its result and every call.
#[derive(Debug)]
pub struct Run {
    /// What was asked.
    pub ask: Ask,
    /// What came of it.
    pub result: Result<Observed, ToggleError>,
    /// The calls, in order; those for a token are left out.
    pub calls: Vec<Call>,
}

impl Run {
    /// The position that was wanted.
    pub const fn wanted(&self) -> Option<Position> {
        match self.ask {
            Ask::Observe => None,
            Ask::On => Some(Position::On),
            Ask::Off => Some(Position::Off),
        }
    }

    /// Each write with the last good answer before it, as JSON: what the write was built from.
    pub fn writes(&self) -> Vec<(&Call, Value)> {
        let mut writes = Vec::new();
        let mut read = Value::Null;
        for call in &self.calls {
            if call.is_write() {
                writes.push((call, read.clone()));
            } else {
                read = good(call);
            }
        }
        writes
    }

    /// The last answer as JSON, `Null` when it was none or no success.
    pub fn last(&self) -> Value {
        self.calls.last().map(good).unwrap_or_default()
    }
}

/// The answer as JSON if it was a good one.
fn good(call: &Call) -> Value {
    let body = Some(&call.answered.body).filter(|_| call.answered.is_success());
    body.and_then(|body| serde_json::from_slice(body).ok())
        .unwrap_or_default()
}

impl Rig {
    fn new() -> Self {
        let runtime = paused();
        let provider = Provider::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port of loopback is free");
        let address = listener.local_addr().expect("a listener has an address");
        runtime.spawn(provider.clone().serve(listener));
        let base_url = format!("http://{address}");
        let http = Http::new(&HttpSettings::default()).expect("a client can be made");
        let google = GoogleClient::new(http.clone(), key_tokens(&http, &format!("{base_url}{TOKEN_PATH}")));
        Self {
            runtime,
            provider,
            base_url,
            http,
            google,
        }
    }

    /// Runs one operation of a toggle against the script's provider, and checks what holds for every kind:
    /// reading writes nothing, no operation writes more than a first try and one repetition for each object it found, success is what was
    /// asked for, and no error shows a secret.
    pub fn run(&self, data: &[u8], build: impl FnOnce(&Self) -> Box<dyn Toggle>) -> Run {
        let script = Script::read(data);
        let ask = script.ask;
        self.provider.play(script.answers);
        let result = self.runtime.block_on(async {
            let toggle = build(self);
            match ask {
                Ask::Observe => toggle.observe().await,
                Ask::On => toggle.set(Position::On).await,
                Ask::Off => toggle.set(Position::Off).await,
            }
        });
        let mut calls = self.provider.calls();
        calls.retain(|call| call.path != TOKEN_PATH);
        let run = Run { ask, result, calls };
        if ask == Ask::Observe {
            assert!(run.writes().is_empty(), "reading wrote: {run:?}");
        }
        match &run.result {
            Ok(observed) if ask != Ask::Observe => assert_eq!(observed.configured, run.wanted(), "{run:?}"),
            Ok(observed) => assert!(observed.configured.is_some(), "{run:?}"),
            Err(error) => fit_for_a_log(&format!("{error} {error:?}")),
        }
        run
    }

    /// The gate. The standby says nothing of its position.
    pub fn gate(&self) -> Box<dyn Toggle> {
        let settings = CloudRunSettings {
            base_url: self.base_url.clone(),
            project: PROJECT.to_owned(),
            region: "r".to_owned(),
            service: "standby".to_owned(),
        };
        let ask: AskStandby = Arc::new(|| {
            Box::pin(async {
                Sighting {
                    view: View::Nothing,
                    redirect: None,
                    took: Duration::ZERO,
                }
            })
        });
        Box::new(CloudRunGate::new(
            &settings,
            self.google.clone(),
            ask,
            Meter::new("google/main"),
        ))
    }

    /// The redirect by a rule whose `ref` is [`crate::foreign::ruleset::REF`].
    pub fn single_redirect(&self) -> Box<dyn Toggle> {
        let settings = SingleRedirectSettings {
            zone_id: "z".to_owned(),
            rule_ref: crate::foreign::ruleset::REF.to_owned(),
            status_code: Some(307),
            hosts: vec!["site.example".to_owned()],
            excluded_paths: vec!["/healthz".to_owned()],
        };
        Box::new(SingleRedirect::new(
            settings,
            self.cloudflare(),
            Meter::new("cloudflare/main"),
        ))
    }

    /// The redirect by the page rule `p1`.
    pub fn page_rule(&self) -> Box<dyn Toggle> {
        let settings = PageRuleSettings {
            zone_id: "z".to_owned(),
            rule_id: "p1".to_owned(),
            hosts: vec!["site.example".to_owned()],
        };
        Box::new(PageRule::new(
            settings,
            self.cloudflare(),
            Meter::new("cloudflare/main"),
        ))
    }

    /// The silence by a snooze of the alert policy `17`, for the instance `box`.
    pub fn snooze(&self) -> Box<dyn Toggle> {
        let settings = SnoozeSettings {
            base_url: self.base_url.clone(),
            project: PROJECT.to_owned(),
            alert_policy: "17".to_owned(),
            instance: "box".to_owned(),
            length: SnoozeSettings::LENGTH,
        };
        let meter = Meter::new("google/main");
        Box::new(Snooze::new(settings, self.google.clone(), meter, Arc::new(|| NOW)))
    }

    /// The silence by the uptime check `home`.
    pub fn uptime_check(&self) -> Box<dyn Toggle> {
        let settings = UptimeCheckSettings {
            base_url: self.base_url.clone(),
            project: PROJECT.to_owned(),
            check_id: "home".to_owned(),
        };
        Box::new(UptimeCheck::new(
            &settings,
            self.google.clone(),
            Meter::new("google/main"),
        ))
    }

    fn cloudflare(&self) -> CloudflareClient {
        let base = format!("{}/client/v4", self.base_url);
        let client = CloudflareClient::new(self.http.clone(), &CLOUDFLARE_TOKEN.into(), &base);
        client.expect("the token is a bare one")
    }
}

/// Tokens signed with a key that opens nothing; an API that refuses them is given one from `endpoint`.
pub fn key_tokens(http: &Http, endpoint: &str) -> TokenSource {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/worthless_key.json");
    let source = TokenSource::from_key_file(
        Path::new(file),
        Some(endpoint.to_owned()),
        http.clone(),
        Arc::new(|| NOW),
    );
    source.expect("the fixture is a key")
}

/// Whether a text may stand in a log: one line, short, without URLs and without the secrets we were given.
pub fn fit_for_a_log(text: &str) {
    for secret in [FETCHED_TOKEN, CLOUDFLARE_TOKEN, "PRIVATE KEY"] {
        assert!(!text.contains(secret), "a secret is shown: {text}");
    }
    assert!(!text.contains("://"), "a URL is shown: {text}");
    assert!(
        !text.contains(char::is_control),
        "more than one line, or worse: {text:?}"
    );
    assert!(text.chars().count() <= 1500, "too long: {text}");
}
