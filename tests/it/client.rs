//! The command line's side of the admin server, against the real one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pilotlight::admin::command::Request;
use pilotlight::cli::client::{Client, ClientError, Endpoint, Output};
use pilotlight::core::{Order, Route};
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::admin::Daemon;
use crate::sample::failed_over;
use crate::scratch::Scratch;

const CANARY: &str = "canary-c11e";

fn client(address: SocketAddr, token: Option<&str>) -> Client {
    Client::new(address.to_string().parse().unwrap(), token.map(SecretString::from))
}

fn request(reason: &str) -> Request {
    Request::new(reason, Some("ann".to_owned()), Some(Duration::from_secs(7200)))
}

#[tokio::test(start_paused = true)]
async fn the_status_is_one_glance() {
    let daemon = Daemon::start(None).await;
    daemon.status.send_replace(Arc::new(failed_over()));
    let text = client(daemon.address, None).status(None, Output::Human).await.unwrap();
    insta::assert_snapshot!(text, @r"
    home: home is down (home's line is silent); the standby serves visitors
      visitors  served by the standby, seen under 1 s ago; wanted: the standby, verified
      home      down, judged under 1 s ago: home's line is silent
      phase     failed over for under 1 s
      outage    number 7 since 2026-01-01T00:00:00Z: home's line is silent
      switches  gate      wanted on, found on, proven on
                redirect  wanted on, found on, proven on
    ");
}

#[tokio::test]
async fn machines_get_the_servers_json() {
    let daemon = Daemon::start(None).await;
    let text = client(daemon.address, None)
        .status(Some("home"), Output::Json)
        .await
        .unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["sites"][0]["site"], "home");
}

#[tokio::test]
async fn an_unknown_site_lists_those_there_are() {
    let address = Daemon::start(Some(CANARY)).await.obey();
    let client = client(address, Some(CANARY));
    let error = client.status(Some("blog"), Output::Human).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no site \"blog\"; known sites: home");
    let because = request("because");
    let order = client.order(Order::Pause, "blog", &because, Output::Human);
    assert_eq!(
        order.await.unwrap_err().to_string(),
        "there is no site \"blog\"; known sites: home"
    );
}

#[tokio::test]
async fn an_order_is_carried_out_and_told() {
    let address = Daemon::start(Some(CANARY)).await.obey();
    let client = client(address, Some("canary-c11e\n"));
    let standby = Order::Force(Route::Standby);
    let text = client
        .order(standby, "home", &request("new router"), Output::Human)
        .await
        .unwrap();
    assert!(
        text.starts_with("home: visitors are sent to the standby until 2026-01-01T02:00:00Z."),
        "{text}"
    );
    let text = client.status(None, Output::Human).await.unwrap();
    // Within the same millisecond nothing of the two hours is over.
    let told = ["1 h 59 min", "2 h"]
        .map(|left| format!("  command   kept at the standby by ann for another {left}: new router"));
    assert!(told.iter().any(|told| text.contains(told)), "{text}");
    let text = client
        .order(Order::Resume, "home", &request("done"), Output::Json)
        .await
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["mode"]["name"], "auto");
}

#[tokio::test]
async fn refusals_say_what_to_do_and_never_show_the_token() {
    let daemon = Daemon::start(Some("the right one")).await;
    let error = client(daemon.address, Some(CANARY))
        .order(Order::Pause, "home", &request("because"), Output::Human)
        .await
        .unwrap_err();
    assert!(
        error.to_string().starts_with("the token is missing or wrong; "),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains(CANARY));
    assert!(!format!("{:?}", client(daemon.address, Some(CANARY))).contains(CANARY));
    let error = client(daemon.address, None)
        .order(Order::Pause, "home", &request("because"), Output::Human)
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::NoToken));
    let error = client(daemon.address, Some("two\nlines"))
        .order(Order::Pause, "home", &request("because"), Output::Human)
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::UnusableToken));
    let error = client(daemon.address, Some("the right one"))
        .order(Order::Pause, "home", &request(" "), Output::Human)
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("reason is empty; "), "{error}");
}

#[tokio::test]
async fn a_daemon_that_does_not_run_is_told_so() {
    let scratch = Scratch::new();
    let socket = Endpoint::Unix(scratch.path().join("admin.sock"));
    let error = Client::new(socket, None).status(None, Output::Human).await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }));
    assert!(error.to_string().contains("admin.sock; is it running?"), "{error}");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client(free, None).status(None, Output::Human).await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }));
}

#[tokio::test(start_paused = true)]
async fn another_program_or_a_silent_one_is_told_apart() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = client(silent.local_addr().unwrap(), None)
        .status(None, Output::Human)
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::NoAnswer { .. }), "{error}");

    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = other.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = other.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
            .await
            .unwrap();
    });
    let error = client(address, None).status(None, Output::Human).await.unwrap_err();
    assert!(matches!(error, ClientError::Nonsense { .. }), "{error}");
}
