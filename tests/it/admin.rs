//! The admin server over real sockets, spoken to in raw HTTP.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use pilotlight::admin::{AdminState, Listen, ListenError, Listener, SiteHandle, Token, VERDICT_STALE_AFTER, serve};
use pilotlight::clock::{Clock, SetWall};
use pilotlight::core::{Command, Mode, Order, Status, Wall};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::sample::{failed_over, healthy, metrics};
use crate::scratch::Scratch;

const CANARY: &str = "canary-5f0c";

/// A server with one site, `home`, whose loop is in the test's hands.
pub(crate) struct Daemon {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) status: watch::Sender<Arc<Status>>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) wall: SetWall,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn state(token: Option<&str>) -> (AdminState, watch::Sender<Arc<Status>>, mpsc::Receiver<Command>, SetWall) {
    let (status, seen) = watch::channel(Arc::new(healthy()));
    let (given, commands) = mpsc::channel(4);
    let (clock, wall) = Clock::settable(Wall(1_767_225_600_000));
    let state = AdminState {
        sites: vec![SiteHandle {
            name: "home".to_owned(),
            status: seen,
            commands: given,
        }],
        metrics: metrics(),
        token: token.map(|token| Token::new(&SecretString::from(token)).unwrap()),
        clock,
        verdict_stale_after: VERDICT_STALE_AFTER,
    };
    (state, status, commands, wall)
}

impl Daemon {
    pub(crate) async fn start(token: Option<&str>) -> Self {
        let (state, status, commands, wall) = state(token);
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.tcp_address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, state, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            status,
            commands,
            wall,
            stop,
            task,
        }
    }

    /// Obeys commands as core would.
    pub(crate) fn obey(mut self) -> std::net::SocketAddr {
        let address = self.address;
        tokio::spawn(async move {
            while let Some(Command { order, pin }) = self.commands.recv().await {
                let mode = match order {
                    Order::Force(route) => Mode::Pinned { route, pin },
                    Order::Pause => Mode::Paused { pin },
                    Order::Resume => Mode::Auto,
                };
                self.status.send_modify(|status| Arc::make_mut(status).mode = mode);
            }
            drop((self.stop, self.task, self.wall));
        });
        address
    }

    async fn get(&self, path: &str) -> Answer {
        ask(
            self.address,
            &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
        )
        .await
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn parse(raw: &str) -> Self {
        let (head, body) = raw.split_once("\r\n\r\n").unwrap_or((raw, ""));
        Self {
            status: head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts the shape of every error and returns its code.
    fn error(&self) -> String {
        let json = self.json();
        let detail = json["error"].as_object().unwrap();
        assert_eq!(detail.keys().collect::<Vec<_>>(), ["code", "hint", "message"]);
        for (field, text) in detail {
            assert!(!text.as_str().unwrap().is_empty(), "{field} is empty");
        }
        assert!(self.head.contains("content-type: application/json"));
        detail["code"].as_str().unwrap().to_owned()
    }
}

async fn ask(address: std::net::SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.unwrap();
    Answer::parse(&String::from_utf8(raw).unwrap())
}

pub(crate) async fn command(address: std::net::SocketAddr, path: &str, token: &str, body: &str) -> Answer {
    let length = body.len();
    ask(
        address,
        &format!(
            "POST /api/v1/sites/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
    )
    .await
}

#[tokio::test]
async fn the_readers_answer_without_a_token() {
    let daemon = Daemon::start(Some(CANARY)).await;
    let alive = daemon.get("/healthz").await;
    assert_eq!((alive.status, alive.json()), (200, json!({"alive": true})));
    let ready = daemon.get("/readyz").await;
    assert_eq!(
        (ready.status, ready.json()),
        (200, json!({"ready": true, "reasons": []}))
    );
    let metrics = daemon.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"));
    assert!(
        metrics
            .body
            .contains(r#"pilotlight_phase{phase="healthy",site="home"} 1"#)
    );
    assert!(metrics.head.contains("cache-control: no-store"));
}

#[tokio::test]
async fn the_status_tells_names_numbers_and_times() {
    let daemon = Daemon::start(None).await;
    daemon.status.send_replace(Arc::new(failed_over()));
    let answer = daemon.get("/api/v1/status").await;
    assert_eq!(answer.status, 200);
    let status = answer.json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["now"], "2026-01-01T00:00:00Z");
    let site = &status["sites"][0];
    assert_eq!(site["site"], "home");
    assert_eq!(
        site["summary"],
        "home is down (home's line is silent); the standby serves visitors"
    );
    assert_eq!(site["serving"], "standby");
    assert_eq!(site["phase"], "failed_over");
    assert_eq!(site["phase_since"], "2026-01-01T00:00:00Z");
    assert_eq!(site["mode"], json!({"name": "auto"}));
    assert_eq!(site["verdict"]["cause"], "timeout");
    assert_eq!(site["up_for_seconds"], 600.0);
    assert_eq!(site["home_in_seconds"], Value::Null);
    assert_eq!(site["toggles"][1]["toggle"], "redirect");
    assert_eq!(site["toggles"][1]["verified"], "on");
    assert_eq!(site["episode"]["id"], 7);
    assert_eq!(site["totals"]["failovers"], 1);
}

#[tokio::test]
async fn readyz_names_every_reason() {
    let daemon = Daemon::start(None).await;
    daemon.status.send_modify(|status| {
        let status = Arc::make_mut(status);
        status.observed_enough = false;
        status.saving = false;
    });
    let answer = daemon.get("/readyz").await;
    assert_eq!(answer.status, 503);
    let codes = |answer: &Answer| {
        let json = answer.json();
        let reasons = json["reasons"].as_array().unwrap().clone();
        reasons
            .iter()
            .map(|reason| reason["code"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(codes(&answer), ["not_observed_enough", "save_failing"]);
    let Daemon { address, status, .. } = daemon;
    drop(status);
    let answer = ask(address, "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(codes(&answer)[0], "loop_stopped");
}

#[tokio::test(start_paused = true)]
async fn readyz_says_when_the_last_verdict_is_too_old() {
    let daemon = Daemon::start(None).await;
    tokio::time::advance(VERDICT_STALE_AFTER + std::time::Duration::from_secs(1)).await;
    let answer = daemon.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["reasons"][0]["code"], "verdict_stale");
}

#[tokio::test]
async fn a_command_reaches_the_loop_and_its_effect_is_told() {
    let address = Daemon::start(Some(CANARY)).await.obey();
    let body = r#"{"reason":"new router","author":"ann","for":"2h"}"#;
    let answer = command(address, "home/failover", CANARY, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    assert_eq!(json["command"], "failover");
    assert_eq!(json["in_force"], true);
    assert_eq!(
        json["mode"],
        json!({"name": "pinned", "route": "standby", "until": "2026-01-01T02:00:00Z",
            "expires_in_seconds": json["mode"]["expires_in_seconds"], "author": "ann", "reason": "new router"})
    );
    for (path, mode) in [("failback", "pinned"), ("pause", "paused"), ("resume", "auto")] {
        let answer = command(address, &format!("home/{path}"), CANARY, r#"{"reason":"because"}"#).await;
        assert_eq!(
            (answer.status, &answer.json()["mode"]["name"]),
            (200, &json!(mode)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_command_without_visible_effect_is_accepted_for_later() {
    let mut daemon = Daemon::start(Some(CANARY)).await;
    let answer = command(daemon.address, "home/pause", CANARY, r#"{"reason":"because"}"#).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["in_force"], false);
    let given = daemon.commands.recv().await.unwrap();
    assert_eq!(given.order, Order::Pause);
    assert_eq!(
        given.pin.until,
        Wall(1_767_225_600_000 + 4 * 3_600_000 + given.pin.until.0 % 1000)
    );
}

#[tokio::test]
async fn a_loop_that_is_gone_is_told_as_busy() {
    let mut daemon = Daemon::start(Some(CANARY)).await;
    daemon.commands.close();
    let answer = command(daemon.address, "home/pause", CANARY, r#"{"reason":"because"}"#).await;
    assert_eq!((answer.status, answer.error().as_str()), (503, "busy"));
}

#[tokio::test]
async fn r17_refusals_have_their_status_and_change_nothing() {
    let mut daemon = Daemon::start(Some(CANARY)).await;
    let good = r#"{"reason":"because"}"#;
    let large = format!(r#"{{"reason":"{}"}}"#, "x".repeat(5000));
    for (path, token, body, status, code) in [
        ("home/failover", "wrong", good, 401, "unauthorized"),
        ("home/failover", "", good, 401, "unauthorized"),
        ("nowhere/failover", "wrong", good, 401, "unauthorized"),
        ("nowhere/failover", CANARY, good, 404, "no_such_site"),
        ("%ff%fe/failover", CANARY, good, 404, "no_such_site"),
        ("home%2f..%2fx/failover", CANARY, good, 404, "no_such_site"),
        ("home/explode", CANARY, good, 404, "no_such_route"),
        ("home/failover", CANARY, "", 422, "invalid_body"),
        ("home/failover", CANARY, "{", 422, "invalid_body"),
        ("home/failover", CANARY, "{}", 422, "invalid_body"),
        ("home/failover", CANARY, r#"{"reason":""}"#, 422, "invalid_body"),
        (
            "home/failover",
            CANARY,
            r#"{"reason":"a","for":"8d"}"#,
            422,
            "invalid_body",
        ),
        (
            "home/failover",
            CANARY,
            r#"{"reason":"a","force":true}"#,
            422,
            "invalid_body",
        ),
        ("home/failover", CANARY, &large, 413, "body_too_large"),
    ] {
        let answer = command(daemon.address, path, token, body).await;
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (status, code),
            "{path} {body:.40}"
        );
        assert!(!format!("{answer:?}").contains(CANARY), "the token shows");
        assert_eq!(answer.status == 401, answer.head.contains("www-authenticate: bearer"));
    }
    let answer = command(daemon.address, "nowhere/pause", CANARY, good).await;
    assert_eq!(answer.json()["error"]["hint"], "known sites: home");
    for path in ["/api/v1/sites/home/failover", "/api/v1/sites/home/resume"] {
        let answer = daemon.get(path).await;
        assert_eq!((answer.status, answer.error().as_str()), (405, "method_not_allowed"));
        assert!(answer.head.contains("allow: post"), "{answer:?}");
    }
    let answer = daemon.get("/nothing?here=1").await;
    assert_eq!((answer.status, answer.error().as_str()), (404, "no_such_route"));
    assert!(daemon.commands.try_recv().is_err(), "no command got through");
}

#[tokio::test]
async fn r17_without_a_configured_token_all_commands_are_refused() {
    let daemon = Daemon::start(None).await;
    let answer = command(daemon.address, "home/failover", "", r#"{"reason":"because"}"#).await;
    assert_eq!((answer.status, answer.error().as_str()), (403, "commands_off"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_ends_its_header_is_cut_off_while_others_are_served() {
    let daemon = Daemon::start(None).await;
    let mut slow = TcpStream::connect(daemon.address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nx-slow: ").await.unwrap();
    let mut idle = TcpStream::connect(daemon.address).await.unwrap();
    assert_eq!(daemon.get("/healthz").await.status, 200);
    for stream in [&mut slow, &mut idle] {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!String::from_utf8_lossy(&rest).contains("200"), "it got no answer");
    }
}

#[tokio::test(start_paused = true)]
async fn more_silent_clients_than_places_only_delay() {
    let daemon = Daemon::start(None).await;
    let mut silent = Vec::new();
    for _ in 0..140 {
        silent.push(TcpStream::connect(daemon.address).await.unwrap());
    }
    assert_eq!(
        daemon.get("/healthz").await.status,
        200,
        "served once the silent ones are cut"
    );
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_frees_the_port() {
    let daemon = Daemon::start(None).await;
    let mut idle = TcpStream::connect(daemon.address).await.unwrap();
    assert_eq!(daemon.get("/healthz").await.status, 200);
    daemon.stop.send(()).unwrap();
    daemon.task.await.unwrap();
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest).await;
    assert!(TcpStream::connect(daemon.address).await.is_err());
}

#[tokio::test]
async fn a_unix_socket_is_the_owners_alone_and_goes_with_the_server() {
    let scratch = Scratch::new();
    let path = scratch.path().join("admin.sock");
    let listen = Listen::Unix(path.clone());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a stale socket lies there");
    let listener = Listener::bind(&listen).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(Listener::bind(&listen).await, Err(ListenError::Taken(_))));
    let (state, _status, _commands, _wall) = state(None);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, state, async {
        let _ = stopped.await;
    }));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut raw = String::new();
    stream.read_to_string(&mut raw).await.unwrap();
    assert_eq!(Answer::parse(&raw).status, 200);
    drop(stop);
    server.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_no_socket_is_never_removed() {
    let scratch = Scratch::new();
    let path = scratch.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    let error = Listener::bind(&Listen::Unix(path.clone())).await.unwrap_err();
    assert!(matches!(error, ListenError::NoSocket(_)));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
}

#[test]
fn listen_addresses_are_read_and_told_the_same_way() {
    for text in ["127.0.0.1:9911", "[::1]:9911", "unix:/run/pilotlight/admin.sock"] {
        assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
    }
    for text in ["", "9911", "localhost:9911", "unix:", "unix:relative.sock"] {
        assert!(matches!(text.parse::<Listen>(), Err(ListenError::Form(_))), "{text}");
    }
}
