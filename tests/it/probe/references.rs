//! The mirror: who answers, what that proves, and what it says of our clock.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use pilotlight::core::{ClockCheck, Faculties, Reflection, Wall};
use pilotlight::probe::Mirror;
use pilotlight::probe::Way;
use pilotlight::probe::references::{Question, Reference, References, ReferencesSettings};
use tokio::net::TcpListener;

use super::server::{Authority, Reply, Server, nobody, page};

/// Sun, 22 Nov 2026 12:00:00 GMT.
const NOON: Wall = Wall(1_795_348_800_000);
const AT_NOON: &str = "date: Sun, 22 Nov 2026 12:00:10 GMT";
const AT_ONE: &str = "date: Sun, 22 Nov 2026 13:00:10 GMT";

const IPV4: Faculties = Faculties {
    resolver: false,
    ipv4: true,
    ipv6: false,
    tls: false,
};

fn reference(question: &str, way: Way) -> Reference {
    Reference {
        question: Question::parse(question).expect("a question"),
        way,
    }
}

async fn ask(references: Vec<Reference>) -> Reflection {
    let mirror = References::new(ReferencesSettings {
        references,
        timeout: Duration::from_secs(2),
        wall: Arc::new(|| NOON),
    });
    mirror.ask().await
}

async fn web(authority: &Authority, name: &str, date: &'static str) -> (Server, Reference) {
    let server = Server::tls(authority.serves(name), move |_| page(404, &[date], "any answer counts")).await;
    let way = authority.way_to(server.address);
    let asked = reference(&format!("https://{name}/"), way);
    (server, asked)
}

#[tokio::test]
async fn r03_each_reference_proves_what_it_used() {
    let authority = Authority::new();
    let (_server, over_tls) = web(&authority, "a.example", AT_NOON).await;
    let reflection = ask(vec![over_tls]).await;
    assert_eq!(reflection.answered, 1);
    assert_eq!(
        reflection.proven,
        Faculties { tls: true, ..IPV4 },
        "connect_to is an address: no resolver"
    );
    assert_eq!(reflection.clock, ClockCheck::Agrees);

    let plain = Server::plain(|_| page(500, &[], "")).await;
    let by_name = authority.way_by(|_| Ok(vec![[127, 0, 0, 1].into()]));
    let port = plain.address.port();
    let named = reference(&format!("http://b.example:{port}/"), by_name.clone());
    let reflection = ask(vec![named]).await;
    let with_resolver = Faculties { resolver: true, ..IPV4 };
    assert_eq!(reflection.proven, with_resolver);
    assert_eq!(reflection.clock, ClockCheck::Unknown);

    let tcp = reference(&format!("tcp://c.example:{port}"), by_name.clone());
    assert_eq!(ask(vec![tcp]).await.proven, with_resolver);
    let tcp = reference(&format!("tcp://127.0.0.1:{port}"), by_name);
    assert_eq!(ask(vec![tcp]).await.proven, IPV4);
}

#[tokio::test]
async fn r03_a_reference_with_both_families_proves_both() {
    let authority = Authority::new();
    let over_v6 = Server::plain_at("[::1]:0", |_| page(200, &[], "")).await;
    let port = over_v6.address.port();
    let over_v4 = TcpListener::bind(("127.0.0.1", port)).await.expect("the same port");
    let both = authority.way_by(|_| Ok(vec![Ipv6Addr::LOCALHOST.into(), [127, 0, 0, 1].into()]));
    let proven = Faculties {
        resolver: true,
        ipv6: true,
        ..IPV4
    };
    for scheme in ["http", "tcp"] {
        let named = reference(&format!("{scheme}://a.example:{port}"), both.clone());
        assert_eq!(ask(vec![named]).await.proven, proven, "{scheme}");
    }
    drop(over_v4);
    let named = reference(&format!("http://a.example:{port}/"), both);
    let v6_alone = Faculties { ipv4: false, ..proven };
    assert_eq!(ask(vec![named]).await.proven, v6_alone, "nobody listens at the other");
}

#[tokio::test]
async fn a_mirror_in_which_nobody_answers_is_dark() {
    let authority = Authority::new();
    let silent = Server::tls(authority.serves("a.example"), |_| Reply::SayAndHang(String::new())).await;
    let closed = nobody().await;
    let reflection = ask(vec![
        reference("https://a.example/", authority.way_to(silent.address)),
        reference(&format!("tcp://{closed}"), authority.way_to(closed)),
        reference("https://unknown.example/", authority.way_by(|_| Ok(Vec::new()))),
    ])
    .await;
    let dark = Reflection {
        answered: 0,
        proven: Faculties::default(),
        clock: ClockCheck::Unknown,
    };
    assert_eq!(reflection, dark);
}

#[tokio::test]
async fn one_silent_reference_does_not_darken_the_mirror() {
    let authority = Authority::new();
    let (_server, good) = web(&authority, "a.example", AT_NOON).await;
    let closed = nobody().await;
    let dead = reference(&format!("tcp://{closed}"), authority.way_to(closed));
    let reflection = ask(vec![dead, good]).await;
    assert_eq!(reflection.answered, 1);
    assert!(reflection.proven.tls);
}

#[tokio::test]
async fn r03_two_dates_against_ours_contradict_it() {
    let authority = Authority::new();
    let (_a, one) = web(&authority, "a.example", AT_ONE).await;
    let (_b, two) = web(&authority, "b.example", AT_ONE).await;
    let (_c, agrees) = web(&authority, "c.example", AT_NOON).await;
    assert_eq!(ask(vec![one.clone()]).await.clock, ClockCheck::Unknown);
    let contradicted = ask(vec![one.clone(), two.clone()]).await;
    assert_eq!(contradicted.clock, ClockCheck::Contradicts);
    assert_eq!(ask(vec![one, two, agrees]).await.clock, ClockCheck::Agrees);
}
