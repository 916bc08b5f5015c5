//! The webhook sender over a real socket.

use std::sync::Arc;
use std::time::Duration;

use pilotlight::clock::Clock;
use pilotlight::core::{Cause, EpisodeId, Notice, Wall, What, Why};
use pilotlight::notify::webhook::{Webhook, WebhookError};
use pilotlight::notify::{Notifier, TellError, TellFailure, Told};
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::sample::failed_over;

const CANARY: &str = "canary-91ab";
const START: Wall = Wall(1_767_225_600_000);

/// Answers one request with `answer` and gives the request back.
async fn receiver(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook/{CANARY}?key={CANARY}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let read = stream.read(&mut chunk).await.unwrap();
            request.extend_from_slice(&chunk[..read]);
            let text = String::from_utf8_lossy(&request);
            if read == 0 || text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.ends_with('}')) {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, task)
}

fn client() -> reqwest::Client {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let tls = tokio_rustls::rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(tokio_rustls::rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

fn told() -> Told {
    let notice = Notice {
        what: What::FailoverStarted {
            cause: Cause::Origin(Why::Refused),
            after: Duration::from_millis(31_500),
        },
        episode: Some(EpisodeId(7)),
        wall: START,
    };
    Told::new("pl_1_1".to_owned(), "home", &notice, Some(&failed_over()))
}

async fn post(url: &str, late: Option<Duration>) -> Result<(), TellError> {
    let (clock, _) = Clock::settable(START);
    let webhook = Webhook::new(client(), &SecretString::from(url), clock).unwrap();
    assert!(!format!("{webhook:?}").contains(CANARY));
    webhook.tell(&told(), late).await
}

#[tokio::test]
async fn a_webhook_gets_the_notice_in_words_and_in_facts() {
    let (url, request) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
    post(&format!(" {url}\n"), Some(Duration::from_secs(3660)))
        .await
        .unwrap();
    let request = request.await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /hook/"));
    for line in [
        "content-type: application/json",
        "webhook-id: pl_1_1",
        "webhook-timestamp: 1767225600",
    ] {
        assert!(head.contains(line), "{head}");
    }
    let mut body: Value = serde_json::from_str(body).unwrap();
    for changing in ["version", "sent_at"] {
        assert!(body["data"][changing].take().is_string());
    }
    insta::assert_json_snapshot!(body, @r#"
    {
      "data": {
        "advice": "The box at home is up: look at its web server.",
        "episode": 7,
        "event_id": "pl_1_1",
        "facts": {
          "after_seconds": 31.5,
          "cause": "refused"
        },
        "late": "This is 1 h 1 min late.",
        "late_seconds": 3660,
        "meaning": "Visitors see errors until the switch is through, usually for less than a minute.",
        "next": "Pilotlight opens the standby, proves that it answers and turns the redirect on.",
        "sent_at": null,
        "severity": "warning",
        "site": "home",
        "state": {
          "mode": "auto",
          "phase": "failed_over",
          "route": "standby",
          "switched": "verified"
        },
        "summary": "Home has been down for 31 s: the box at home is up, but nothing listens. Switching to the standby.",
        "version": null
      },
      "timestamp": "2026-01-01T00:00:00Z",
      "type": "pilotlight.failover_started"
    }
    "#);
}

#[tokio::test]
async fn r16_a_redirect_is_not_followed_and_the_url_is_in_no_error() {
    let (elsewhere, unwanted) = receiver("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n");
    let (url, _request) = receiver(answer.leak()).await;
    let error = post(&url, None).await.unwrap_err();
    assert_eq!(error.kind, TellFailure::Refused);
    assert_eq!(error.detail, "answered with status 302");
    assert!(!unwanted.is_finished());
    unwanted.abort();
}

#[tokio::test]
async fn r16_the_url_is_in_no_error_about_a_receiver_that_is_not_there_or_hangs_up() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (hangs_up, _request) = receiver("").await;
    for url in [format!("http://{gone}/{CANARY}"), hangs_up] {
        let error = post(&url, None).await.unwrap_err();
        assert_eq!(error.kind, TellFailure::NoAnswer);
        let shown = format!("{error:?} {error}");
        assert!(!shown.contains(CANARY) && !shown.contains("127.0.0.1"), "{shown}");
    }
}

#[tokio::test]
async fn answers_decide_what_becomes_of_a_notice() {
    for (answer, kind, wait) in [
        (
            "HTTP/1.1 503 Oops\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
            TellFailure::Unavailable,
            Some(7),
        ),
        (
            "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n",
            TellFailure::Gone,
            None,
        ),
        (
            "HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n",
            TellFailure::Refused,
            None,
        ),
        ("", TellFailure::NoAnswer, None),
        ("this is not HTTP", TellFailure::NoAnswer, None),
    ] {
        let (url, _request) = receiver(answer).await;
        let error = post(&url, None).await.unwrap_err();
        assert_eq!(
            (error.kind, error.retry_after),
            (kind, wait.map(Duration::from_secs)),
            "{answer}"
        );
        assert!(
            !format!("{error:?} {error}").contains(CANARY) && !error.detail.contains("127.0.0.1"),
            "{error:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_never_answers_is_given_up_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/{CANARY}", listener.local_addr().unwrap());
    let began = Instant::now();
    let error = post(&url, None).await.unwrap_err();
    assert_eq!(
        (error.kind, error.detail.as_str()),
        (TellFailure::NoAnswer, "no answer in time")
    );
    assert_eq!(began.elapsed().as_secs(), 15, "of the paused clock");
}

#[test]
fn what_is_no_web_address_is_refused_without_being_shown() {
    for text in ["", CANARY, "ftp://host/canary-91ab", "https://", "/canary-91ab"] {
        let (clock, _) = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(async { Clock::settable(START) });
        let error = Webhook::new(client(), &SecretString::from(text), clock).unwrap_err();
        assert_eq!(error, WebhookError::Url);
        assert!(!error.to_string().contains(CANARY));
    }
}
