//! The eyes: whatever bytes come from home, the standby, the edge's trace and the references, nobody is taken for another, nothing is
//! believed that did not come, and every look ends in time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pilotlight::core::{ClockCheck, Faculties, Outcome, Position, Reflection, Sighting, View};
use pilotlight::probe::edge::{EdgeEye, EdgeEyeSettings};
use pilotlight::probe::http::{HttpProbe, HttpProbeSettings};
use pilotlight::probe::references::{Question, Reference, References, ReferencesSettings};
use pilotlight::probe::standby::{StandbyEye, StandbyEyeSettings};
use pilotlight::probe::visitor::{Door, Leads, VisitorEye, VisitorEyeSettings};
use pilotlight::probe::{Expect, HostPort, Look, Marker, Mirror, Probe, Resolver, StatusSet, Target, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

use crate::rig::NOW;
use crate::script::{find, parts};

const HOME: &str = "http://home.example/";
const STANDBY: &str = "http://standby.example/";
const HOME_MARKER: &str = "served-by-home";
const STANDBY_MARKER: &str = "served-by-standby";
const TIMEOUT: Duration = Duration::from_secs(20);
/// The timer's grain.
const GRAIN: Duration = Duration::from_millis(5);
/// A connection that is kept open for ever.
const HANG: Duration = Duration::from_secs(3600);

/// What is said by whom; the parts of an input in this order.
#[derive(Clone, Debug, Default)]
struct Pages {
    /// The public URL, and home itself.
    home: Vec<u8>,
    standby: Vec<u8>,
    trace: Vec<u8>,
    references: [Vec<u8>; 2],
}

/// The server, which outlives the inputs.
struct Rig {
    runtime: Runtime,
    pages: Arc<Mutex<Pages>>,
    eyes: Eyes,
}

struct Eyes {
    probe: HttpProbe,
    visitor: VisitorEye,
    standby: StandbyEye,
    edge: EdgeEye,
    mirror: References,
}

thread_local! {
    static RIG: Rig = Rig::new();
}

/// Runs one input: raw answers of home, standby, trace and two references, parted as in [`crate::script`]. One that begins with `~` comes
/// in pieces of seven bytes, an empty one closes the connection, and one that ends in `^` keeps it open for ever.
pub fn try_one(data: &[u8]) {
    let mut parts = parts(data).into_iter().map(<[u8]>::to_vec);
    let mut next = || parts.next().unwrap_or_default();
    let pages = Pages {
        home: next(),
        standby: next(),
        trace: next(),
        references: [next(), next()],
    };
    if leads_out(&pages) {
        return;
    }
    RIG.with(|rig| {
        *lock(&rig.pages) = pages.clone();
        rig.runtime.block_on(look(&rig.eyes, &pages));
    });
}

/// Whether a redirect might lead to an address outside: nothing but loopback is ever connected to.
fn leads_out(pages: &Pages) -> bool {
    let here = Target::parse(HOME).expect("a URL");
    let all = [&pages.home, &pages.standby];
    all.into_iter().any(|page| {
        let text = String::from_utf8_lossy(page).to_lowercase();
        let mut values = text.split("location").skip(1).flat_map(|rest| rest.lines().take(2));
        values.any(|value| {
            let value = value.trim_start_matches([':', ' ', '\t']).trim();
            let names = [HOME, STANDBY]
                .iter()
                .any(|own| here.join(value).is_ok_and(|to| to.to_string().starts_with(own)));
            !names
                && here
                    .join(value)
                    .is_ok_and(|to| to.host().parse::<std::net::IpAddr>().is_ok())
        })
    })
}

async fn look(eyes: &Eyes, pages: &Pages) {
    let began = Instant::now();
    let report = eyes.probe.probe().await;
    assert!(began.elapsed() <= TIMEOUT + GRAIN, "a probe took {:?}", began.elapsed());
    probed(report.outcome, pages);
    visited(in_time(eyes.visitor.look()).await, pages);
    at_standby(in_time(eyes.standby.look()).await, pages);
    through_the_edge(in_time(eyes.edge.look()).await, pages);
    let began = Instant::now();
    reflected(eyes.mirror.ask().await, pages);
    assert!(
        began.elapsed() <= TIMEOUT + GRAIN,
        "the mirror took {:?}",
        began.elapsed()
    );
}

async fn in_time(look: impl Future<Output = Sighting>) -> Sighting {
    let began = Instant::now();
    let sighting = look.await;
    assert!(began.elapsed() <= TIMEOUT + GRAIN, "a look took {:?}", began.elapsed());
    assert!(sighting.took <= began.elapsed());
    sighting
}

fn probed(outcome: Outcome, pages: &Pages) {
    match outcome {
        Outcome::Ok => {
            assert!(shows(&pages.home, HOME_MARKER), "up without home's marker");
            assert!(find(&pages.home, b" 2").is_some(), "up without a good status");
        }
        Outcome::Failed(failing) => {
            assert!(
                !failing.used.tls && !failing.used.resolver && !failing.used.ipv6,
                "{failing:?}"
            );
        }
    }
}

fn visited(sighting: Sighting, pages: &Pages) {
    let from_home = |text| shows(&pages.home, text);
    let from_either = |text| from_home(text) || shows(&pages.standby, text);
    match sighting.view {
        View::Home => assert!(from_home(HOME_MARKER)),
        View::Standby => assert!(from_either(STANDBY_MARKER)),
        View::Cached => assert!(mentions(&pages.home, "age") || mentions(&pages.home, "cf-cache-status")),
        View::EdgeLostHome(status @ 1..) | View::HomeBroken(status) => {
            assert!(mentions(&pages.home, &status.to_string()));
        }
        View::Loop => assert!(mentions(&pages.standby, "location")),
        _ => {}
    }
    if sighting.redirect == Some(Position::On) {
        assert!(
            mentions(&pages.home, "location"),
            "a redirect that home's side never sent: {sighting:?}"
        );
    }
}

fn at_standby(sighting: Sighting, pages: &Pages) {
    assert_eq!(sighting.redirect, None);
    match sighting.view {
        View::Standby => assert!(shows(&pages.standby, STANDBY_MARKER)),
        View::Home | View::HomeBroken(_) | View::EdgeBroken | View::EdgeLostHome(_) | View::Cached => {
            panic!("the standby is taken for home: {sighting:?}")
        }
        _ => {}
    }
}

fn through_the_edge(sighting: Sighting, pages: &Pages) {
    assert_eq!(sighting.redirect, None);
    match sighting.view {
        View::Home => assert!(shows(&pages.home, HOME_MARKER)),
        View::Standby => assert!(shows(&pages.home, STANDBY_MARKER)),
        View::HomeBroken(status) => assert!(!(300..400).contains(&status), "a redirect tells nothing of home"),
        View::Loop => panic!("no redirect was followed: {sighting:?}"),
        _ => {}
    }
}

fn reflected(reflection: Reflection, pages: &Pages) {
    let [one, other] = &pages.references;
    let spoke = |page: &[u8]| find(page, b"HTTP/1.").is_some();
    let most = u32::from(spoke(one)) + u32::from(spoke(other));
    assert!(reflection.answered <= most, "an answer that never came: {reflection:?}");
    let proven = Faculties {
        ipv4: reflection.answered > 0,
        ..Faculties::default()
    };
    assert_eq!(reflection.proven, proven, "proven by nobody");
    let dated = |page: &[u8]| spoke(page) && mentions(page, "date");
    match reflection.clock {
        ClockCheck::Agrees => assert!(dated(one) || dated(other), "{reflection:?}"),
        ClockCheck::Contradicts => assert!(dated(one) && dated(other), "one alone contradicts: {reflection:?}"),
        ClockCheck::Unknown => {}
    }
}

/// Whether the marker's text stands in the page; only chunks may part it.
fn shows(page: &[u8], text: &str) -> bool {
    if !mentions(page, "chunked") {
        return find(page, text.as_bytes()).is_some();
    }
    let mut rest = text.bytes().peekable();
    for byte in page {
        if rest.peek() == Some(byte) {
            rest.next();
        }
    }
    rest.peek().is_none()
}

fn mentions(page: &[u8], text: &str) -> bool {
    find(&page.to_ascii_lowercase(), text.as_bytes()).is_some()
}

fn lock(pages: &Mutex<Pages>) -> MutexGuard<'_, Pages> {
    pages.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rig {
    fn new() -> Self {
        let runtime = crate::rig::paused();
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port of loopback is free");
        let address = listener.local_addr().expect("a listener has an address");
        let pages = Arc::new(Mutex::new(Pages::default()));
        runtime.spawn(serve(listener, Arc::clone(&pages)));
        let eyes = Eyes::new(address);
        Self { runtime, pages, eyes }
    }
}

async fn serve(listener: TcpListener, pages: Arc<Mutex<Pages>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, Arc::clone(&pages)));
    }
}

/// Reads one request and says the page of its host. A client that hangs up early is none of our business.
async fn answer(mut stream: TcpStream, pages: Arc<Mutex<Pages>>) {
    let mut request = Vec::new();
    while find(&request, b"\r\n\r\n").is_none() {
        match stream.read_buf(&mut request).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
    let page = page_for(&request, &lock(&pages));
    let (page, pieces) = page
        .strip_prefix(b"~")
        .map_or((page.as_slice(), 65536), |page| (page, 7));
    let (page, hangs) = page.strip_suffix(b"^").map_or((page, false), |page| (page, true));
    for piece in page.chunks(pieces) {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    if hangs {
        // Until the client has had enough.
        let _ = tokio::time::timeout(HANG, stream.read_u8()).await;
        return;
    }
    let _ = stream.shutdown().await;
    // What is not read would reset the connection before the client has read the page.
    sleep(Duration::from_millis(1)).await;
}

fn page_for(request: &[u8], pages: &Pages) -> Vec<u8> {
    let says = |text: &[u8]| find(request, text).is_some();
    if says(b"GET /cdn-cgi/trace ") {
        pages.trace.clone()
    } else if says(b"\r\nhost: standby.example\r\n") {
        pages.standby.clone()
    } else if says(b"\r\nhost: one.example\r\n") {
        pages.references[0].clone()
    } else if says(b"\r\nhost: two.example\r\n") {
        pages.references[1].clone()
    } else {
        pages.home.clone()
    }
}

impl Eyes {
    fn new(address: SocketAddr) -> Self {
        let way = Way {
            connect_to: Some(HostPort {
                host: address.ip().to_string(),
                port: address.port(),
            }),
            tls: pilotlight::tls::client_config(None).expect("the system's authorities are there"),
            resolver: Resolver::with(|_| Err(std::io::Error::other("no names here"))),
        };
        let target = |url: &str| Target::parse(url).expect("a URL");
        let door = |url: &str, marker: &str| Door {
            target: target(url),
            way: way.clone(),
            marker: Marker::Body(marker.to_owned()),
        };
        let home = door(HOME, HOME_MARKER);
        let standby = Door {
            marker: Marker::header(&format!("x-served-by: {STANDBY_MARKER}")).expect("a header"),
            ..door(STANDBY, STANDBY_MARKER)
        };
        let reference = |url: &str| Reference {
            question: Question::Http(target(url)),
            way: way.clone(),
        };
        Self {
            probe: HttpProbe::new(HttpProbeSettings {
                target: target(HOME),
                way: way.clone(),
                timeout: TIMEOUT,
                expect: Expect {
                    status: StatusSet::default(),
                    marker: Some(home.marker.clone()),
                },
            }),
            visitor: VisitorEye::new(VisitorEyeSettings {
                home: home.clone(),
                standby: standby.clone(),
                leads: Leads::default(),
                timeout: TIMEOUT,
            }),
            standby: StandbyEye::new(StandbyEyeSettings {
                home: home.clone(),
                standby: standby.clone(),
                pass: None,
                timeout: TIMEOUT,
                cold_timeout: TIMEOUT,
            }),
            edge: EdgeEye::new(EdgeEyeSettings {
                page: home,
                standby_marker: standby.marker,
                timeout: TIMEOUT,
            }),
            mirror: References::new(ReferencesSettings {
                references: ["http://one.example/", "http://two.example/"].map(reference).into(),
                timeout: TIMEOUT,
                wall: Arc::new(|| NOW),
            }),
        }
    }
}
