//! The sandbox's hosts: home dies in every way and comes back, the edge tells visitors, the references answer.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use pilotlight::sandbox::{
    CredentialKind, Crowd, EdgeState, Home, Kinds, Options, Profile, RedirectKind, References, Sandbox, Service,
    SilenceKind, StandbyState, Visitors,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::sandbox_rig::{Rig, options, plain, zone};

async fn home(rig: &Rig, path: &str) -> Result<(u16, String), String> {
    let at = rig.sandbox.addresses().homes["site"];
    let got = rig.try_https(at, "site.example", path, None).await?;
    Ok((got.status, got.header("x-served-by").to_owned()))
}

#[tokio::test]
async fn home_serves_its_page_and_its_health_path_with_its_marker() {
    let rig = Rig::start("home").await;
    let served = Ok((200, "home".to_owned()));
    assert_eq!(home(&rig, "/").await, served);
    assert_eq!(home(&rig, "/healthz").await, served);
    rig.world.set_home(Home::HealthOnly);
    assert_eq!(
        (home(&rig, "/healthz").await, home(&rig, "/").await.unwrap().0),
        (served.clone(), 500)
    );
    rig.world.set_home(Home::WrongPageHealthy);
    assert_eq!(
        (home(&rig, "/healthz").await, home(&rig, "/").await),
        (served, Ok((200, String::new())))
    );
    rig.world.set_home(Home::WrongPage);
    assert_eq!(home(&rig, "/healthz").await, Ok((200, String::new())));
    rig.world.set_home(Home::Erroring(503));
    assert_eq!(home(&rig, "/healthz").await.unwrap().0, 503);
    for flaw in [Home::ExpiredCertificate, Home::WrongCertificate] {
        rig.world.set_home(flaw);
        assert!(home(&rig, "/").await.unwrap_err().contains("certificate"), "{flaw:?}");
    }
}

#[tokio::test]
async fn a_refusing_home_cuts_what_exists_and_comes_back_on_the_same_port() {
    let rig = Rig::start("refusing").await;
    let at = rig.sandbox.addresses().homes["site"];
    let mut existing = TcpStream::connect(at).await.unwrap();
    assert_eq!(home(&rig, "/").await.unwrap().0, 200);
    rig.world.set_home(Home::Refusing);
    let cut = existing.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(at).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    for _ in 0..3 {
        rig.world.set_home(Home::Serving);
        while TcpStream::connect(at).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(home(&rig, "/").await.unwrap().0, 200);
        rig.world.set_home(Home::Refusing);
        while TcpStream::connect(at).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_home_takes_packets_and_never_answers_until_it_forgets_them() {
    let rig = Rig::start("silent").await;
    let at = rig.sandbox.addresses().homes["site"];
    let mut before = TcpStream::connect(at).await.unwrap();
    rig.world.set_home(Home::Silent);
    let mut after = TcpStream::connect(at).await.unwrap();
    for stream in [&mut before, &mut after] {
        stream.write_all(b"anything").await.unwrap();
        let waited = timeout(Duration::from_secs(3600), stream.read(&mut [0; 1])).await;
        assert!(waited.is_err(), "not a byte, not an end");
    }
    assert!(timeout(Duration::from_secs(3600), home(&rig, "/")).await.is_err());
    rig.world.set_home(Home::Serving);
    let forgotten = before.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(forgotten.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(home(&rig, "/").await.unwrap().0, 200);
}

#[tokio::test(start_paused = true)]
async fn the_edge_says_how_it_lost_home_and_the_timeout_comes_late() {
    let rig = Rig::with(Options {
        edge_timeout: Duration::from_secs(17),
        ..options("edge-errors")
    })
    .await;
    let served = rig.edge("/").await;
    assert_eq!(
        (served.header("x-served-by"), served.header("server")),
        ("home", "cloudflare")
    );
    assert_ne!(served.header("cf-ray"), "");
    rig.world.set_home(Home::Refusing);
    let began = Instant::now();
    assert_eq!(rig.edge("/").await.status, 521);
    assert!(began.elapsed() < Duration::from_secs(17), "at once");
    rig.world.set_home(Home::Silent);
    let began = Instant::now();
    assert_eq!(rig.edge("/").await.status, 522);
    assert!(began.elapsed() >= Duration::from_secs(17), "late");
    rig.world.set_home(Home::ExpiredCertificate);
    assert_eq!(rig.edge("/").await.status, 526);
    rig.world.set_home(Home::Erroring(500));
    assert_eq!(rig.edge("/").await.status, 500);
    rig.world.set_home(Home::Serving);
    rig.world.set_edge(EdgeState::LostHome(530));
    assert_eq!(rig.edge("/").await.status, 530);
    assert!(
        rig.edge("/cdn-cgi/trace").await.body.contains("colo=FRA\n"),
        "the edge itself is well"
    );
}

#[tokio::test(start_paused = true)]
async fn the_edge_has_troubles_of_its_own() {
    let rig = Rig::start("edge-own").await;
    rig.world.set_edge(EdgeState::Broken(503));
    assert_eq!(rig.edge("/").await.status, 503);
    assert_eq!(rig.edge("/cdn-cgi/trace").await.status, 503);
    rig.world.set_edge(EdgeState::Caching);
    rig.world.set_home(Home::Refusing);
    let cached = rig.edge("/").await;
    assert_eq!(
        (cached.status, cached.header("cf-cache-status"), cached.header("age")),
        (200, "HIT", "3600")
    );
    rig.world.set_edge(EdgeState::Challenging);
    let challenged = rig.edge("/").await;
    assert_eq!(
        (challenged.status, challenged.header("cf-mitigated")),
        (403, "challenge")
    );
    rig.world.set_edge(EdgeState::Looping);
    assert_eq!(rig.edge("/").await.header("location"), "https://site.example/");
    rig.world.set_edge(EdgeState::ExpiredCertificate);
    let at = rig.sandbox.addresses().edge;
    let refused = rig.try_https(at, "site.example", "/", None).await;
    assert!(refused.err().is_some_and(|error| error.contains("certificate")));
    rig.world.set_edge(EdgeState::Silent);
    let silent = timeout(Duration::from_secs(60), rig.try_https(at, "site.example", "/", None)).await;
    assert!(silent.is_err());
}

#[tokio::test]
async fn the_standby_breaks_in_its_own_ways() {
    let rig = Rig::start("standby").await;
    rig.open_gate().await;
    assert_eq!(rig.standby("/", None).await.header("x-served-by"), "standby");
    rig.world.set_standby(StandbyState::Broken(500));
    assert_eq!(rig.standby("/", None).await.status, 500);
    rig.world.set_standby(StandbyState::Overloaded);
    assert_eq!(rig.standby("/", None).await.status, 429);
    rig.world.set_standby(StandbyState::NoMarker);
    assert_eq!(rig.standby("/", None).await.header("x-served-by"), "");
    let at = rig.sandbox.addresses().standbys["site"];
    rig.world.set_standby(StandbyState::ExpiredCertificate);
    let expired = rig.try_https(at, "site-standby.example", "/", None).await;
    assert!(expired.err().is_some_and(|error| error.contains("certificate")));
    rig.world.set_standby(StandbyState::Refusing);
    while TcpStream::connect(at).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn references_tell_the_date_rightly_wrongly_or_not_at_all() {
    let rig = Rig::start("references").await;
    let at = rig.sandbox.addresses().references[0];
    let date = async || {
        let got = rig.https(at, "127.0.0.1", "/").await;
        let date = jiff::fmt::rfc2822::parse(got.header("date")).unwrap().timestamp();
        date.duration_since(jiff::Timestamp::now()).abs()
    };
    assert!(date().await < jiff::SignedDuration::from_secs(60));
    rig.world.set_references(References::WrongClock);
    assert!(date().await > jiff::SignedDuration::from_hours(4));
    rig.world.set_references(References::Dark);
    let dark = timeout(Duration::from_secs(60), rig.try_https(at, "127.0.0.1", "/", None)).await;
    assert!(dark.is_err());
}

#[tokio::test(start_paused = true)]
async fn visitors_are_counted_through_an_outage() {
    let rig = Rig::start("visitors").await;
    let crowd = Crowd {
        every: Duration::from_millis(500),
        patience: Duration::from_secs(2),
        ..Crowd::default()
    };
    let visitors = Visitors::start(&rig.world, "site", crowd);
    let until = async |service: Service| {
        while visitors.tally().spans.last().map(|span| span.service) != Some(service) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    until(Service::Home).await;
    rig.world.set_home(Home::Silent);
    until(Service::Lost).await;
    rig.open_gate().await;
    rig.world.switch_rule("site", true);
    until(Service::Standby).await;
    rig.world.set_home(Home::Serving);
    rig.world.switch_rule("site", false);
    until(Service::Home).await;
    assert!(
        rig.world.visitors().is_some_and(|tally| tally.home > 0),
        "the control endpoint sees them"
    );
    let tally = visitors.stop().await;
    let order: Vec<Service> = tally.spans.iter().map(|span| span.service).collect();
    assert_eq!(
        order,
        [Service::Home, Service::Lost, Service::Standby, Service::Home],
        "{tally:?}"
    );
    assert!(tally.lost > 0 && tally.outage() >= Duration::from_millis(500));
    assert_eq!(tally.turned_away, 0);
}

#[tokio::test]
async fn the_control_endpoint_pulls_the_levers() {
    let rig = Rig::start("control").await;
    let at = rig.sandbox.control_addr();
    let post = async |path: &str, body: Value| plain(at, "POST", path, None, body).await;
    assert!(
        plain(at, "GET", "/", None, Value::Null)
            .await
            .body
            .contains("POST   /home/WHAT")
    );
    assert_eq!(
        post("/home/silent", Value::Null).await.json()["sites"]["site"]["home"],
        "silent"
    );
    assert_eq!(rig.world.home_of("site"), Some(Home::Silent));
    post("/home/erroring/503?site=site", Value::Null).await;
    assert_eq!(rig.world.home_of("site"), Some(Home::Erroring(503)));
    assert_eq!(post("/home/flying", Value::Null).await.status, 422);
    assert_eq!(post("/home/silent?site=other", Value::Null).await.status, 404);
    assert_eq!(
        post("/edge/lost_home/530", Value::Null).await.json()["edge"]["lost_home"],
        530
    );
    assert_eq!(post("/standby/overloaded", Value::Null).await.status, 200);
    assert_eq!(post("/references/dark", Value::Null).await.json()["references"], "dark");
    let fault = json!({"api": "cloudflare", "kind": {"too_many": 30}, "times": 1});
    assert_eq!(post("/faults", fault).await.status, 200);
    assert_eq!(rig.cloudflare("GET", &zone("rulesets"), Value::Null).await.status, 429);
    let journal = plain(at, "GET", "/journal", None, Value::Null).await;
    assert_eq!(journal.json()[0]["status"], 429);
    assert!(!journal.body.contains(&rig.cloudflare));
    assert_eq!(post("/faults", json!({"api": "cloudflare"})).await.status, 422);
    assert_eq!(post("/rights", json!(["run.services.update"])).await.status, 200);
    assert_eq!(rig.world.rights().len(), 1);
    assert_eq!(post("/org_policy/domain_restricted", Value::Null).await.status, 200);
    assert_eq!(post("/self_signed/refused", Value::Null).await.status, 200);
    assert_eq!(post("/clock/3600", Value::Null).await.status, 200);
    assert_eq!(post("/clock/soon", Value::Null).await.status, 422);
    let records = plain(at, "GET", "/records/site", None, Value::Null).await.json();
    assert_eq!(records["rule"]["ref"], "pilotlight_site");
}

#[tokio::test]
async fn the_config_is_toml_and_the_files_it_names_are_for_the_owner_alone() {
    let rig = Rig::start("config").await;
    let kinds = Kinds {
        redirect: RedirectKind::PageRule,
        silence: SilenceKind::Both,
        credentials: CredentialKind::MetadataServer,
    };
    let default: toml::Table = rig.sandbox.config_toml(Profile::Demo).parse().unwrap();
    let other: toml::Table = rig.sandbox.config_toml_with(Profile::Realistic, kinds).parse().unwrap();
    assert_eq!(default["probe"]["interval"].as_str(), Some("1s"));
    assert!(other.get("probe").is_none(), "the defaults are the daemon's");
    assert_eq!(
        default["site"]["site"]["redirect"]["kind"].as_str(),
        Some("single_redirect")
    );
    assert_eq!(other["site"]["site"]["silence"].as_array().map(Vec::len), Some(2));
    let named = [
        &default["admin"]["token_file"],
        &default["google"]["sandbox"]["key_file"],
        &default["cloudflare"]["sandbox"]["token_file"],
        &default["webhook"]["sandbox"]["url_file"],
        &default["site"]["site"]["probe"]["ca_file"],
    ];
    for file in named {
        let meta = std::fs::metadata(file.as_str().unwrap()).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    let written = rig.sandbox.write_config(Profile::Demo, Kinds::default()).unwrap();
    assert_eq!(
        std::fs::read_to_string(written).unwrap(),
        rig.sandbox.config_toml(Profile::Demo)
    );
}

#[tokio::test]
async fn the_daemon_takes_every_config_of_the_sandbox_without_complaint() {
    let rig = Rig::start("config-load").await;
    let other = Kinds {
        redirect: RedirectKind::PageRule,
        silence: SilenceKind::Both,
        credentials: CredentialKind::MetadataServer,
    };
    let worker = Kinds {
        redirect: RedirectKind::WorkerRoute,
        ..Kinds::default()
    };
    for profile in [Profile::Demo, Profile::Realistic] {
        for kinds in [Kinds::default(), other, worker] {
            let written = rig.sandbox.write_config(profile, kinds).unwrap();
            let loaded = pilotlight::config::load(std::slice::from_ref(&written));
            assert!(loaded.is_ok(), "{profile:?} {kinds:?}: {}", loaded.unwrap_err());
        }
    }
}

#[tokio::test]
async fn the_webhook_receiver_keeps_notices_and_can_fail() {
    let rig = Rig::start("webhook").await;
    let config: toml::Table = rig.sandbox.config_toml(Profile::Demo).parse().unwrap();
    let url = std::fs::read_to_string(config["webhook"]["sandbox"]["url_file"].as_str().unwrap()).unwrap();
    let (_, path) = url.trim().strip_prefix("http://").unwrap().split_once('/').unwrap();
    let post = async || {
        let at = rig.sandbox.addresses().webhook;
        plain(at, "POST", &format!("/{path}"), None, json!({"type": "test"}))
            .await
            .status
    };
    rig.world.inject(pilotlight::sandbox::Fault::once(
        pilotlight::sandbox::Api::Webhook,
        pilotlight::sandbox::FaultKind::ServerError(503),
    ));
    assert_eq!((post().await, post().await), (503, 204));
    assert_eq!(rig.world.notices().len(), 1);
    let journal = serde_json::to_string(&rig.world.journal()).unwrap();
    assert!(!journal.contains("worthless"), "the path is a secret");
}

#[tokio::test]
async fn sites_are_apart_and_stopping_closes_every_port() {
    let rig = Rig::with(Options {
        sites: vec!["one".to_owned(), "two".to_owned()],
        ..options("sites")
    })
    .await;
    rig.world.set_home_of("one", Home::Erroring(500));
    rig.world.switch_rule("two", true);
    let edge = rig.sandbox.addresses().edge;
    assert_eq!(rig.https(edge, "one.example", "/").await.status, 500);
    assert_eq!(rig.https(edge, "two.example", "/").await.status, 307);
    assert!(!rig.world.redirect_of("one").configured && rig.world.redirect_of("two").configured);
    let addresses = rig.sandbox.addresses().clone();
    rig.sandbox.stop().await;
    for address in [addresses.control, addresses.edge, addresses.run, addresses.homes["one"]] {
        assert!(TcpStream::connect(address).await.is_err());
    }
    let bad = Sandbox::start(Options {
        sites: vec!["No Good".to_owned()],
        ..options("bad-site")
    });
    assert!(bad.await.is_err());
}
