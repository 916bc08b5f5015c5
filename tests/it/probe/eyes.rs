//! The visitor's, the standby's and the edge's eye: every view, met for real.

use std::net::Ipv4Addr;
use std::time::Duration;

use hyper::header::HeaderValue;
use pilotlight::core::{Breakage, Position, Sighting, View};
use pilotlight::probe::edge::{EdgeEye, EdgeEyeSettings};
use pilotlight::probe::standby::{StandbyEye, StandbyEyeSettings};
use pilotlight::probe::visitor::{Door, Leads, VisitorEye, VisitorEyeSettings};
use pilotlight::probe::{Look, Marker, Pass, Target, Way};

use super::server::{Asked, Authority, Reply, Server, nobody, page};

const PATIENT: Duration = Duration::from_secs(20);
/// A fifth of it is for the trace.
const SHORT: Duration = Duration::from_millis(2_500);
const HOME: &str = "x-served-by: home";
const STANDBY: &str = "x-served-by: standby";
const TO_STANDBY: &str = "location: https://standby.example/page";
const TRACE: &str = "fl=1f1\nh=site.example\ncolo=FRA\ntls=TLSv1.3\n";

fn door(url: &str, way: Way, marker: &str) -> Door {
    Door {
        target: Target::parse(url).expect("a URL"),
        way,
        marker: Marker::header(marker).expect("a marker"),
    }
}

/// An edge before home, and a standby.
struct Scene {
    authority: Authority,
    edge: Server,
    standby: Server,
}

impl Scene {
    async fn new(
        edge: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
        standby: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let authority = Authority::new();
        Self {
            edge: Server::tls(authority.serves("site.example"), edge).await,
            standby: Server::tls(authority.serves("standby.example"), standby).await,
            authority,
        }
    }

    fn home_door(&self) -> Door {
        let way = self.authority.way_to(self.edge.address);
        door("https://site.example/page", way, HOME)
    }

    fn standby_door(&self) -> Door {
        let way = self.authority.way_to(self.standby.address);
        door("https://standby.example/", way, STANDBY)
    }

    async fn visit_within(&self, timeout: Duration) -> Sighting {
        let settings = VisitorEyeSettings {
            home: self.home_door(),
            standby: self.standby_door(),
            leads: Leads::default(),
            timeout,
        };
        VisitorEye::new(settings).look().await
    }

    async fn visit(&self) -> (View, Option<Position>) {
        let sighting = self.visit_within(PATIENT).await;
        (sighting.view, sighting.redirect)
    }

    async fn peek_within(&self, timeout: Duration) -> View {
        let settings = EdgeEyeSettings {
            page: self.home_door(),
            standby_marker: Marker::header(STANDBY).expect("a marker"),
            timeout,
        };
        EdgeEye::new(settings).look().await.view
    }

    fn standby_eye(&self, timeout: Duration, cold_timeout: Duration) -> StandbyEye {
        StandbyEye::new(StandbyEyeSettings {
            home: self.home_door(),
            standby: self.standby_door(),
            pass: None,
            timeout,
            cold_timeout,
        })
    }
}

fn unused(_: &Asked) -> Reply {
    page(500, &[], "this side should not have been asked")
}

/// An edge whose trace works and whose page is `reply`.
fn living_edge(reply: Reply) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
    move |asked| match asked.path() {
        "/cdn-cgi/trace" => page(200, &["server: cloudflare"], TRACE),
        _ => reply.clone(),
    }
}

#[tokio::test]
async fn home_is_seen_by_its_marker_as_a_browser_sees_it() {
    let scene = Scene::new(|_| page(200, &[HOME], "welcome"), unused).await;
    assert_eq!(scene.visit().await, (View::Home, Some(Position::Off)));
    let asked = scene.edge.asked();
    let head = asked[0].head.to_lowercase();
    assert!(head.contains("\r\naccept: text/html"), "{head}");
    assert!(head.contains("\r\nuser-agent: pilotlight/"), "{head}");
    assert_eq!(asked.len(), 1, "no trace is asked when it is plain what was seen");
    assert!(scene.standby.asked().is_empty());
}

#[tokio::test]
async fn a_redirect_to_the_standby_is_followed_and_told() {
    let scene = Scene::new(|_| page(302, &[TO_STANDBY], ""), |_| page(200, &[STANDBY], "welcome")).await;
    assert_eq!(scene.visit().await, (View::Standby, Some(Position::On)));
    let asked = &scene.standby.asked()[0];
    assert_eq!(asked.path(), "/page");
    assert_eq!(asked.sni.as_deref(), Some("standby.example"));
}

#[tokio::test]
async fn behind_the_redirect_the_standby_is_judged() {
    for (reply, view) in [
        (page(403, &[], "forbidden"), View::Shut),
        (page(401, &[], ""), View::Shut),
        (page(429, &[], ""), View::Overloaded),
        (page(503, &[], ""), View::StandbyBroken(Breakage::Status(503))),
        (page(200, &[], "not found"), View::StandbyBroken(Breakage::Marker)),
        (Reply::Say(String::new()), View::StandbyBroken(Breakage::Refused)),
    ] {
        let scene = Scene::new(|_| page(307, &[TO_STANDBY], ""), move |_| reply.clone()).await;
        assert_eq!(scene.visit().await, (view, Some(Position::On)), "{view:?}");
    }
    let silent = |_: &Asked| Reply::SayAndHang(String::new());
    let scene = Scene::new(|_| page(302, &[TO_STANDBY], ""), silent).await;
    let sighting = scene.visit_within(SHORT).await;
    assert_eq!(sighting.view, View::StandbyBroken(Breakage::Silent));
    assert_eq!(sighting.redirect, Some(Position::On));
}

#[tokio::test]
async fn a_dead_or_wrongly_certified_standby_is_told_apart() {
    let mut scene = Scene::new(|_| page(302, &[TO_STANDBY], ""), unused).await;
    scene.standby.address = nobody().await;
    assert_eq!(scene.visit().await.0, View::StandbyBroken(Breakage::Refused));
    let expired = scene.authority.serves_expired("standby.example");
    scene.standby = Server::tls(expired, |_| page(200, &[STANDBY], "")).await;
    assert_eq!(scene.visit().await.0, View::StandbyBroken(Breakage::Certificate));
    let mut settings = VisitorEyeSettings {
        home: scene.home_door(),
        standby: scene.standby_door(),
        leads: Leads::default(),
        timeout: PATIENT,
    };
    settings.standby.way.connect_to = None;
    let sighting = VisitorEye::new(settings).look().await;
    assert_eq!(sighting.view, View::StandbyBroken(Breakage::Dns));
}

#[tokio::test]
async fn the_edges_own_words_for_a_lost_home_are_understood() {
    for status in [520, 521, 522, 523, 524, 525, 526, 530] {
        let scene = Scene::new(move |_| page(status, &["server: cloudflare"], ""), unused).await;
        let lost = (View::EdgeLostHome(status), Some(Position::Off));
        assert_eq!(scene.visit().await, lost);
        assert_eq!(scene.edge.asked().len(), 1);
    }
}

#[tokio::test]
async fn another_5xx_is_homes_if_the_trace_answers_and_else_the_edges() {
    let scene = Scene::new(living_edge(page(502, &[], "")), unused).await;
    assert_eq!(scene.visit().await, (View::HomeBroken(502), Some(Position::Off)));
    assert_eq!(scene.edge.asked()[1].path(), "/cdn-cgi/trace");
    let scene = Scene::new(|_| page(502, &[], ""), unused).await;
    assert_eq!(scene.visit().await, (View::EdgeBroken, None));
}

#[tokio::test]
async fn a_page_at_the_traces_path_is_no_trace() {
    let every_path = |asked: &Asked| match asked.path() {
        "/cdn-cgi/trace" => page(200, &[HOME], "<html>\ncolo=none\n"),
        _ => page(500, &[], ""),
    };
    let scene = Scene::new(every_path, unused).await;
    assert_eq!(scene.visit().await, (View::EdgeBroken, None));
}

#[tokio::test]
async fn silence_is_a_lost_home_while_the_trace_answers_and_else_a_broken_edge() {
    let scene = Scene::new(living_edge(Reply::SayAndHang(String::new())), unused).await;
    let sighting = scene.visit_within(SHORT).await;
    assert_eq!((sighting.view, sighting.redirect), (View::EdgeLostHome(0), None));
    let scene = Scene::new(|_| Reply::SayAndHang(String::new()), unused).await;
    let sighting = scene.visit_within(SHORT).await;
    assert_eq!((sighting.view, sighting.redirect), (View::EdgeBroken, None));
}

#[tokio::test]
async fn a_page_that_dies_after_its_headers_serves_nobody() {
    let half = |marker: &str| {
        Reply::Say(format!(
            "HTTP/1.1 200 OK\r\n{marker}\r\ncontent-length: 4000\r\n\r\n<html>"
        ))
    };
    let scene = Scene::new(living_edge(half(HOME)), unused).await;
    assert_eq!(scene.visit().await, (View::EdgeLostHome(0), None));
    let to_standby = |_: &Asked| page(307, &[TO_STANDBY], "");
    let scene = Scene::new(to_standby, move |_| half(STANDBY)).await;
    let broken = View::StandbyBroken(Breakage::Refused);
    assert_eq!(scene.visit().await, (broken, Some(Position::On)));
}

#[tokio::test]
async fn an_edge_with_a_bad_certificate_or_no_listener_is_broken() {
    let mut scene = Scene::new(unused, unused).await;
    let expired = scene.authority.serves_expired("site.example");
    scene.edge = Server::tls(expired, |_| page(200, &[HOME], "")).await;
    assert_eq!(scene.visit().await, (View::EdgeBroken, None));
    scene.edge.address = nobody().await;
    assert_eq!(scene.visit().await, (View::EdgeBroken, None));
}

#[tokio::test]
async fn a_page_without_any_marker_is_a_broken_home() {
    let scene = Scene::new(living_edge(page(200, &[], "It works!")), unused).await;
    assert_eq!(scene.visit().await, (View::HomeBroken(200), Some(Position::Off)));
}

#[tokio::test]
async fn cached_pages_and_challenges_are_no_evidence() {
    for line in ["cf-cache-status: HIT", "cf-cache-status: STALE", "age: 12"] {
        let scene = Scene::new(move |_| page(200, &[HOME, line], ""), unused).await;
        assert_eq!(scene.visit().await, (View::Cached, Some(Position::Off)), "{line}");
    }
    let scene = Scene::new(|_| page(403, &["cf-mitigated: challenge"], ""), unused).await;
    assert_eq!(scene.visit().await, (View::Blocked, Some(Position::Off)));
}

#[tokio::test]
async fn r07_a_chain_that_returns_to_itself_is_a_loop() {
    let back = "location: https://site.example/other";
    let scene = Scene::new(|_| page(302, &[TO_STANDBY], ""), move |_| page(302, &[back], "")).await;
    assert_eq!(scene.visit().await, (View::Loop, Some(Position::On)));
    let scene = Scene::new(unused, move |_| page(302, &[back], "")).await;
    let eye = scene.standby_eye(PATIENT, PATIENT);
    assert_eq!(eye.look().await.view, View::Loop, "the standby sends people home");
}

#[tokio::test]
async fn a_home_that_turns_in_circles_is_broken_unless_a_cookie_would_end_it() {
    let circle = Scene::new(|_| page(302, &["location: /page"], ""), unused).await;
    assert_eq!(circle.visit().await, (View::HomeBroken(302), Some(Position::Off)));
    let wants_cookie = |_: &Asked| page(302, &["location: /page", "set-cookie: seen=1"], "");
    let scene = Scene::new(wants_cookie, unused).await;
    assert_eq!(scene.visit().await, (View::Blocked, Some(Position::Off)));
}

#[tokio::test]
async fn homes_own_redirects_are_followed_and_are_not_the_redirect() {
    let home = |asked: &Asked| match asked.path() {
        "/page" => page(301, &["location: /en/"], ""),
        "/en/" => page(302, &["location: start"], ""),
        "/en/start" => page(200, &[HOME], ""),
        _ => page(404, &[], ""),
    };
    let scene = Scene::new(home, unused).await;
    assert_eq!(scene.visit().await, (View::Home, Some(Position::Off)));
    let endless = |asked: &Asked| page(302, &[&format!("location: {}x", asked.path())], "");
    let scene = Scene::new(endless, unused).await;
    assert_eq!(scene.visit().await, (View::HomeBroken(302), Some(Position::Off)));
    assert_eq!(scene.edge.asked().len(), 6);
}

#[tokio::test]
async fn a_marker_in_the_page_is_read_as_well() {
    let scene = Scene::new(
        |_| page(200, &[], "<p>greetings from home</p>"),
        |_| page(200, &[], "<p>greetings from the cloud</p>"),
    )
    .await;
    let mut settings = VisitorEyeSettings {
        home: scene.home_door(),
        standby: scene.standby_door(),
        leads: Leads::default(),
        timeout: PATIENT,
    };
    settings.home.marker = Marker::Body("from home".into());
    settings.standby.marker = Marker::Body("from the cloud".into());
    assert_eq!(VisitorEye::new(settings.clone()).look().await.view, View::Home);
    let eye = StandbyEye::new(StandbyEyeSettings {
        home: settings.home,
        standby: settings.standby,
        pass: None,
        timeout: PATIENT,
        cold_timeout: PATIENT,
    });
    assert_eq!(eye.look().await.view, View::Standby);
}

#[tokio::test]
async fn the_standby_eye_asks_the_standby_itself() {
    for (reply, view) in [
        (page(200, &[STANDBY], ""), View::Standby),
        (page(302, &["location: /page"], ""), View::Loop),
        (page(403, &[], ""), View::Shut),
        (page(429, &[], ""), View::Overloaded),
        (page(200, &[HOME], ""), View::StandbyBroken(Breakage::Marker)),
    ] {
        let scene = Scene::new(unused, move |_| reply.clone()).await;
        let sighting = scene.standby_eye(PATIENT, PATIENT).look().await;
        assert_eq!((sighting.view, sighting.redirect), (view, None));
        assert!(scene.edge.asked().is_empty());
    }
    let scene = Scene::new(unused, |_| Reply::SayAndHang(String::new())).await;
    let eye = scene.standby_eye(Duration::ZERO, Duration::from_millis(700));
    let silent = View::StandbyBroken(Breakage::Silent);
    assert_eq!(eye.look().await.view, silent);
    assert_eq!(eye.look().await.view, silent);
    assert_eq!(
        scene.standby.asked().len(),
        1,
        "only the first look had the time to ask"
    );
}

#[tokio::test]
async fn the_edge_eye_asks_an_excluded_page_and_follows_nothing() {
    for (reply, view) in [
        (page(200, &[HOME], ""), View::Home),
        (page(522, &[], ""), View::EdgeLostHome(522)),
        (page(500, &[], ""), View::HomeBroken(500)),
        (page(200, &[], ""), View::HomeBroken(200)),
        (page(302, &[TO_STANDBY], ""), View::Nothing),
        (page(200, &[HOME, "age: 3"], ""), View::Cached),
    ] {
        let scene = Scene::new(living_edge(reply), unused).await;
        assert_eq!(scene.peek_within(PATIENT).await, view);
        assert!(scene.standby.asked().is_empty());
    }
    let scene = Scene::new(|_| page(500, &[], ""), unused).await;
    assert_eq!(scene.peek_within(PATIENT).await, View::EdgeBroken);
    let scene = Scene::new(living_edge(Reply::SayAndHang(String::new())), unused).await;
    assert_eq!(scene.peek_within(SHORT).await, View::EdgeLostHome(0));
}

#[tokio::test]
async fn a_standby_in_place_of_home_is_told_by_its_own_pages() {
    for (reply, view, redirect) in [
        (page(200, &[STANDBY], "welcome"), View::Standby, Some(Position::On)),
        (page(200, &[HOME], "welcome"), View::Home, Some(Position::Off)),
        (
            page(503, &["x-pilotlight: standby-unavailable"], "sorry"),
            View::StandbyBroken(Breakage::Status(503)),
            Some(Position::On),
        ),
        (page(404, &[], "whose?"), View::HomeBroken(404), None),
        (page(522, &[], ""), View::EdgeLostHome(522), Some(Position::Off)),
    ] {
        let scene = Scene::new(living_edge(reply), unused).await;
        let settings = VisitorEyeSettings {
            home: scene.home_door(),
            standby: scene.standby_door(),
            leads: Leads::InPlace,
            timeout: PATIENT,
        };
        let sighting = VisitorEye::new(settings).look().await;
        assert_eq!((sighting.view, sighting.redirect), (view, redirect), "{view:?}");
    }
}

#[tokio::test]
async fn r16_a_pass_is_shown_to_the_closed_standby_and_to_nobody_it_redirects_to() {
    let shows = |asked: &Asked| {
        asked
            .head
            .to_lowercase()
            .contains("\r\nx-serverless-authorization: bearer canary")
    };
    let authority = Authority::new();
    let other = Server::tls(authority.serves("other.example"), |_| page(200, &[STANDBY], "")).await;
    let away = format!("location: https://other.example:{}/", other.address.port());
    let closed = move |asked: &Asked| match (shows(asked), asked.path()) {
        (false, _) => page(403, &[], "forbidden"),
        (true, "/") => page(302, &["location: /moved"], ""),
        (true, _) => page(302, &[&away], ""),
    };
    let scene = Scene {
        edge: Server::tls(authority.serves("site.example"), unused).await,
        standby: Server::tls(authority.serves("standby.example"), closed).await,
        authority,
    };
    let look = async |pass: Option<Pass>| {
        let mut standby = scene.standby_door();
        standby.way.resolver = scene
            .authority
            .way_by(|_| Ok(vec![Ipv4Addr::LOCALHOST.into()]))
            .resolver;
        let settings = StandbyEyeSettings {
            home: scene.home_door(),
            standby,
            pass,
            timeout: PATIENT,
            cold_timeout: PATIENT,
        };
        StandbyEye::new(settings).look().await.view
    };
    assert_eq!(look(None).await, View::Shut);
    assert_eq!(look(Some(Pass::new(|| None))).await, View::Shut, "no token yet");
    let pass = Pass::new(|| Some(HeaderValue::from_static("Bearer canary")));
    assert!(!format!("{pass:?}").contains("canary"));
    assert_eq!(look(Some(pass)).await, View::Standby);
    let paths: Vec<_> = scene
        .standby
        .asked()
        .iter()
        .filter(|asked| shows(asked))
        .map(|asked| asked.path().to_owned())
        .collect();
    assert_eq!(paths, ["/", "/moved"]);
    assert_eq!(other.asked().len(), 1);
    assert!(!other.asked().iter().any(shows), "the pass went to another host");
}
