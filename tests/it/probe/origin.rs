//! The origin eye: every outcome, met for real.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use pilotlight::core::{Faculties, Failing, Outcome, Part, Why};
use pilotlight::probe::http::{HttpProbe, HttpProbeSettings};
use pilotlight::probe::{Expect, Marker, Probe, Report, StatusSet, Target, Way};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::server::{Authority, Reply, Server, nobody, page};

const PATIENT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(700);
const HOME: &str = "x-served-by: home";
const OVER_TLS: Faculties = Faculties {
    resolver: false,
    ipv4: true,
    ipv6: false,
    tls: true,
};

fn settings(url: &str, way: Way) -> HttpProbeSettings {
    HttpProbeSettings {
        target: Target::parse(url).expect("a URL"),
        way,
        timeout: PATIENT,
        expect: Expect {
            status: StatusSet::default(),
            marker: Some(Marker::header(HOME).expect("a marker")),
        },
    }
}

fn by_text(url: &str, way: Way) -> HttpProbeSettings {
    let mut settings = settings(url, way);
    settings.expect.marker = Some(Marker::Body("served by home".into()));
    settings
}

async fn probed(settings: HttpProbeSettings) -> Report {
    HttpProbe::new(settings).probe().await
}

async fn outcome(settings: HttpProbeSettings) -> Outcome {
    probed(settings).await.outcome
}

fn failed(why: Why, used: Faculties) -> Outcome {
    Outcome::Failed(Failing { why, used })
}

/// A home that answers every request with `reply`, and the way to it.
async fn home(reply: Reply) -> (Server, Way) {
    let authority = Authority::new();
    let server = Server::tls(authority.serves("site.example"), move |_| reply.clone()).await;
    let way = authority.way_to(server.address);
    (server, way)
}

const URL: &str = "https://site.example/health?full";

#[tokio::test]
async fn a_good_answer_is_ok_and_its_parts_are_timed() {
    let (server, way) = home(page(200, &[HOME], "hello")).await;
    let report = probed(settings(URL, way.clone())).await;
    assert_eq!(report.outcome, Outcome::Ok);
    let reached = Part::ALL.map(|part| report.timings.get(part).is_some());
    assert_eq!(reached, [false, true, true, true, true], "an address needs no DNS");
    let (server_by_text, way) = home(page(200, &[], "this page is served by home")).await;
    let report = probed(by_text(URL, way)).await;
    assert_eq!(report.outcome, Outcome::Ok);
    assert!(report.timings.get(Part::Body).is_some());
    assert_eq!((server.asked().len(), server_by_text.asked().len()), (1, 1));
}

#[tokio::test]
async fn connect_to_changes_the_address_only_and_sni_and_host_stay_the_urls() {
    let (server, way) = home(page(200, &[HOME], "")).await;
    assert_eq!(outcome(settings(URL, way)).await, Outcome::Ok);
    let asked = &server.asked()[0];
    assert_eq!(asked.sni.as_deref(), Some("site.example"));
    assert!(
        asked.head.starts_with("GET /health?full HTTP/1.1\r\n"),
        "{}",
        asked.head
    );
    let head = asked.head.to_lowercase();
    assert!(head.contains("\r\nhost: site.example\r\n"), "{head}");
    let own_name = concat!("\r\nuser-agent: pilotlight/", env!("CARGO_PKG_VERSION"), "\r\n");
    assert!(head.contains(own_name), "{head}");
}

#[tokio::test]
async fn each_try_takes_a_fresh_connection() {
    let keep_alive = format!("HTTP/1.1 204 No Content\r\n{HOME}\r\n\r\n");
    let (server, way) = home(Reply::SayAndHang(keep_alive)).await;
    let probe = HttpProbe::new(settings(URL, way));
    for _ in 0..2 {
        assert_eq!(probe.probe().await.outcome, Outcome::Ok);
    }
    server.until(|progress| progress.left_by_client == 2).await;
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let authority = Authority::new();
    let report = probed(settings(URL, authority.way_to(nobody().await))).await;
    let used = Faculties { tls: false, ..OVER_TLS };
    assert_eq!(report.outcome, failed(Why::Refused, used));
    assert!(report.timings.get(Part::Connect).is_some());
    assert_eq!(report.timings.get(Part::Tls), None);
}

#[tokio::test]
async fn a_name_without_an_address_is_a_dns_failure_of_the_resolver_alone() {
    let authority = Authority::new();
    let way = authority.way_by(|_| Err(io::Error::other("NXDOMAIN")));
    let used = Faculties {
        resolver: true,
        ..Faculties::default()
    };
    assert_eq!(outcome(settings(URL, way)).await, failed(Why::Dns, used));
}

#[tokio::test]
async fn a_resolver_that_hangs_is_a_timeout_in_dns_and_takes_one_thread_only() {
    let authority = Authority::new();
    let (release, hold) = mpsc::channel::<()>();
    let hold = std::sync::Mutex::new(hold);
    let (tell, told) = mpsc::channel();
    let way = authority.way_by(move |_| {
        tell.send(()).ok();
        hold.lock().expect("not poisoned").recv().ok();
        Err(io::Error::other("gone"))
    });
    let mut settings = settings(URL, way);
    settings.timeout = Duration::from_millis(50);
    let probe = HttpProbe::new(settings);
    let used = Faculties {
        resolver: true,
        ..Faculties::default()
    };
    for _ in 0..2 {
        assert_eq!(probe.probe().await.outcome, failed(Why::Timeout(Part::Dns), used));
    }
    drop(release);
    assert_eq!(told.try_iter().count(), 1);
}

#[tokio::test]
async fn a_name_is_resolved_and_its_addresses_are_tried_in_turn() {
    let authority = Authority::new();
    let server = Server::tls(authority.serves("site.example"), |_| page(503, &[], "")).await;
    let way = authority.way_by(|name| {
        assert_eq!(name, "site.example");
        // Nobody listens at the first address.
        Ok(vec![IpAddr::from([127, 9, 9, 9]), IpAddr::from([127, 0, 0, 1])])
    });
    let url = format!("https://site.example:{}/", server.address.port());
    let report = probed(settings(&url, way)).await;
    let used = Faculties {
        resolver: true,
        ..OVER_TLS
    };
    assert_eq!(report.outcome, failed(Why::Status(503), used));
    assert!(report.timings.get(Part::Dns).is_some());
    let host = format!("host: site.example:{}\r\n", server.address.port());
    assert!(server.asked()[0].head.to_lowercase().contains(&host));
}

#[tokio::test]
async fn silence_is_a_timeout_in_the_part_that_was_reached() {
    let authority = Authority::new();
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = mute.local_addr().expect("bound");
    let in_tls = failed(Why::Timeout(Part::Tls), OVER_TLS);
    let mut probe = settings(URL, authority.way_to(address));
    probe.timeout = SHORT;
    assert_eq!(outcome(probe).await, in_tls, "packets accepted and never answered");

    let (server, way) = home(Reply::SayAndHang(String::new())).await;
    let mut probe = settings(URL, way);
    probe.timeout = SHORT;
    let report = probed(probe).await;
    assert_eq!(report.outcome, failed(Why::Timeout(Part::FirstByte), OVER_TLS));
    assert!(
        report.timings.get(Part::FirstByte).is_some(),
        "timed up to the deadline"
    );
    server.until(|progress| progress.left_by_client == 1).await;

    let (_server, way) = home(Reply::SayAndHang(
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nthis page".into(),
    ))
    .await;
    let mut probe = by_text(URL, way);
    probe.timeout = SHORT;
    assert_eq!(outcome(probe).await, failed(Why::Timeout(Part::Body), OVER_TLS));
}

#[tokio::test]
async fn packets_that_nobody_answers_are_a_timeout_in_the_connect() {
    let dead_line = DeadLine::at("127.0.0.1:0").await;
    let authority = Authority::new();
    let mut probe = settings(URL, authority.way_to(dead_line.address));
    probe.timeout = SHORT;
    let used = Faculties { tls: false, ..OVER_TLS };
    assert_eq!(outcome(probe).await, failed(Why::Timeout(Part::Connect), used));
}

#[tokio::test]
async fn r03_a_silent_family_does_not_hide_the_one_that_was_refused() {
    let dead_line = DeadLine::at("[::1]:0").await;
    let port = dead_line.address.port();
    let authority = Authority::new();
    let way = authority.way_by(|_| Ok(vec![IpAddr::from(Ipv6Addr::LOCALHOST), IpAddr::from([127, 0, 0, 1])]));
    let mut probe = settings(&format!("https://site.example:{port}/"), way);
    probe.timeout = SHORT;
    let used = Faculties {
        resolver: true,
        ipv6: true,
        tls: false,
        ..OVER_TLS
    };
    assert_eq!(
        outcome(probe).await,
        failed(Why::Timeout(Part::Connect), used),
        "either family may be the one that the mirror proves"
    );
}

/// Takes packets and never answers.
struct DeadLine {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl DeadLine {
    async fn at(address: &str) -> Self {
        let address: SocketAddr = address.parse().expect("an address");
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        };
        let socket = socket.expect("a socket");
        socket.bind(address).expect("loopback");
        let listener = socket.listen(1).expect("a listener");
        let address = listener.local_addr().expect("bound");
        // Nobody accepts: when the queue is full, the kernel drops what comes as a dead line does.
        let mut queue = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queue.push(stream);
            assert!(queue.len() < 64, "the queue has a limit");
        }
        Self {
            address,
            _listener: listener,
            _queue: queue,
        }
    }
}

#[tokio::test]
async fn a_bad_certificate_is_told_from_other_tls_trouble() {
    let (ours, strangers) = (Authority::new(), Authority::new());
    for (config, what) in [
        (ours.serves_expired("site.example"), "expired"),
        (ours.serves("other.example"), "wrong name"),
        (strangers.serves("site.example"), "unknown issuer"),
    ] {
        let server = Server::tls(config, |_| page(200, &[HOME], "")).await;
        let found = outcome(settings(URL, ours.way_to(server.address))).await;
        assert_eq!(found, failed(Why::Certificate, OVER_TLS), "{what}");
        assert!(server.asked().is_empty(), "nothing is sent: {what}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let text = b"SSH-2.0-OpenSSH_9.2\r\nand more\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, text).await.ok();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new())
            .await
            .ok();
    });
    assert_eq!(
        outcome(settings(URL, ours.way_to(address))).await,
        failed(Why::Tls, OVER_TLS)
    );
}

#[tokio::test]
async fn a_certificate_is_verified_at_each_try_and_no_tls_session_stands_in_for_it() {
    let authority = Authority::new();
    let (config, expired) = authority.serves_until_expired("site.example");
    let server = Server::tls(config, |_| page(200, &[HOME], "")).await;
    let probe = HttpProbe::new(settings(URL, authority.way_to(server.address)));
    for _ in 0..2 {
        assert_eq!(probe.probe().await.outcome, Outcome::Ok);
    }
    expired.store(true, Ordering::SeqCst);
    assert_eq!(probe.probe().await.outcome, failed(Why::Certificate, OVER_TLS));
}

#[tokio::test]
async fn answers_are_judged_by_status_marker_and_challenge() {
    for (reply, why) in [
        (page(503, &[HOME], ""), Why::Status(503)),
        (page(404, &[], ""), Why::Status(404)),
        (page(200, &[], "served by home"), Why::Body),
        (page(200, &["x-served-by: standby"], ""), Why::Body),
        (page(403, &["cf-mitigated: challenge"], ""), Why::Blocked),
        (Reply::Say("SSH-2.0-OpenSSH_9.2\r\n\r\n".into()), Why::Protocol),
        (Reply::Say(String::new()), Why::Reset),
    ] {
        let (_server, way) = home(reply.clone()).await;
        let found = outcome(settings(URL, way)).await;
        assert_eq!(found, failed(why, OVER_TLS), "{reply:?}");
    }
    let (_server, way) = home(page(200, &[HOME], "another page")).await;
    assert_eq!(outcome(by_text(URL, way)).await, failed(Why::Body, OVER_TLS));
}

#[tokio::test]
async fn r05_a_redirect_is_not_followed() {
    let (server, way) = home(page(302, &["location: /elsewhere", HOME], "")).await;
    assert_eq!(outcome(settings(URL, way)).await, failed(Why::Status(302), OVER_TLS));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn r05_a_page_that_dies_after_its_headers_is_no_answer() {
    for framing in [
        "content-length: 4000\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nff\r\n",
    ] {
        let half = format!("HTTP/1.1 200 OK\r\n{HOME}\r\n{framing}this page is served by home");
        let (_server, way) = home(Reply::Say(half.clone())).await;
        for settings in [settings(URL, way.clone()), by_text(URL, way)] {
            assert_eq!(outcome(settings).await, failed(Why::Protocol, OVER_TLS), "{framing:?}");
        }
        let (_server, way) = home(Reply::SayAndHang(half)).await;
        for mut settings in [settings(URL, way.clone()), by_text(URL, way)] {
            settings.timeout = SHORT;
            let silent = failed(Why::Timeout(Part::Body), OVER_TLS);
            assert_eq!(outcome(settings).await, silent, "{framing:?}");
        }
    }
}

#[tokio::test]
async fn a_page_that_ends_with_its_connection_needs_no_goodbye() {
    let page = format!("HTTP/1.1 200 OK\r\n{HOME}\r\nconnection: close\r\n\r\nthis page is served by home");
    for reply in [Reply::Say(page.clone()), Reply::SayAndCut(page)] {
        let (_server, way) = home(reply.clone()).await;
        for settings in [settings(URL, way.clone()), by_text(URL, way)] {
            assert_eq!(outcome(settings).await, Outcome::Ok, "{reply:?}");
        }
    }
}

#[tokio::test]
async fn a_body_is_never_read_beyond_the_cap() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let endless = Reply::SayForever(format!("{head}served by home"), "x".repeat(1000));
    let (server, way) = home(endless).await;
    assert_eq!(outcome(by_text(URL, way)).await, Outcome::Ok);
    server.until(|progress| progress.left_by_client == 1).await;

    let endless = Reply::SayForever(head.into(), "x".repeat(1000));
    let (server, way) = home(endless).await;
    assert_eq!(outcome(by_text(URL, way)).await, failed(Why::Body, OVER_TLS));
    server.until(|progress| progress.left_by_client == 1).await;
}

#[tokio::test]
async fn dropping_a_try_closes_its_socket() {
    let (server, way) = home(Reply::SayAndHang(String::new())).await;
    let probe = HttpProbe::new(settings(URL, way));
    // Cancel-safe: the probe is meant to be dropped.
    tokio::select! {
        report = probe.probe() => panic!("{report:?}"),
        () = server.until(|progress| progress.asked == 1) => {}
    }
    server.until(|progress| progress.left_by_client == 1).await;
}

#[tokio::test]
async fn plain_http_is_probed_without_tls() {
    let server = Server::plain(|_| page(200, &[HOME], "")).await;
    let SocketAddr::V4(address) = server.address else {
        panic!("bound to IPv4")
    };
    let authority = Authority::new();
    let way = authority.way_by(|_| Err(io::Error::other("an address needs no resolver")));
    let report = probed(settings(&format!("http://{address}/"), way)).await;
    assert_eq!(report.outcome, Outcome::Ok);
    assert_eq!(report.timings.get(Part::Tls), None);
}
