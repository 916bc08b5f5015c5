//! One GET on a fresh connection, with one total deadline and every part timed. All eyes look through this.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tokio_rustls::rustls::ClientConfig;

use super::expect::{Marker, StatusSet};
use super::resolve::Resolver;
use super::target::{HostPort, Target};
use super::{Timings, dial};
use crate::core::{Faculties, Part, Why};

/// No more of a body than this is read, in bytes.
pub const BODY_CAP: usize = 64 * 1024;

const OUR_NAME: &str = concat!("pilotlight/", env!("CARGO_PKG_VERSION"));

/// How to get to a target: where to connect, whom to trust, who resolves names.
#[derive(Clone, Debug)]
pub struct Way {
    /// Connect here instead of to the URL's host; SNI and Host stay the URL's.
    pub connect_to: Option<HostPort>,
    /// Roots and protocol versions.
    pub tls: Arc<ClientConfig>,
    /// Looks names up.
    pub resolver: Resolver,
}

/// One GET to send.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What to fetch.
    pub target: &'a Target,
    /// How to get there.
    pub way: &'a Way,
    /// Headers to send besides `Host` and `User-Agent`.
    pub headers: &'a HeaderMap,
    /// All of it has to be done by then.
    pub deadline: Instant,
    /// Whether to read the body.
    pub reading: Reading<'a>,
}

/// Whether a body is read. Headers alone do not prove that a page arrives: a line may let small packets through and no large ones.
#[derive(Clone, Copy, Debug)]
pub enum Reading<'a> {
    /// It is not.
    Nothing,
    /// To its end or to [`BODY_CAP`], if the status is one of these. A body that ends early or never is no answer.
    Whole(&'a StatusSet),
}

/// The answer to one GET.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// What was read of the body.
    pub body: Vec<u8>,
    /// Which of our own faculties this proves.
    pub used: Faculties,
}

impl Answer {
    /// Whether the marker is there.
    pub fn shows(&self, marker: &Marker) -> bool {
        match marker {
            Marker::Header { name, value } => self
                .headers
                .get_all(name.as_str())
                .iter()
                .any(|found| found.as_bytes().trim_ascii() == value.as_bytes()),
            Marker::Body(text) => find(&self.body, text.as_bytes()),
        }
    }

    /// The header's first value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether Cloudflare sent a bot challenge in place of the page.
    ///
    /// Source: `cf-mitigated: challenge`, <https://developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response/>.
    pub fn is_challenge(&self) -> bool {
        self.status >= 400 && self.header("cf-mitigated") == Some("challenge")
    }
}

/// No answer: why, and which of our own faculties the try depended on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer: {}", .why.label())]
pub struct FetchError {
    /// Why.
    pub why: Why,
    /// What it depended on.
    pub used: Faculties,
}

impl FetchError {
    /// The value of the metric label.
    pub const fn reason(&self) -> &'static str {
        self.why.label()
    }
}

/// How far a try has come; outlives it, so that a deadline can tell what it interrupted.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) used: Faculties,
    timings: Timings,
    part: Part,
    since: Instant,
}

impl Course {
    fn start() -> Self {
        Self {
            used: Faculties::default(),
            timings: Timings::default(),
            part: Part::Dns,
            since: Instant::now(),
        }
    }

    /// Ends the part that runs.
    fn done(&mut self) {
        let now = Instant::now();
        self.timings.set(self.part, now.duration_since(self.since));
        self.since = now;
    }

    /// Begins a part at the moment in which the last one ended.
    fn begin(&mut self, part: Part) {
        self.part = part;
    }
}

/// Sends one GET and reads its answer. Redirects are not followed, nothing is retried; dropping the future closes the socket.
pub async fn fetch(request: &Request<'_>) -> (Timings, Result<Answer, FetchError>) {
    let mut course = Course::start();
    let result = Box::pin(timeout_at(request.deadline, get(request, &mut course))).await;
    conclude(course, result.unwrap_or_else(|_| Err(Cut::Deadline)))
}

/// Opens a TCP connection and closes it again.
pub async fn touch(
    place: &HostPort,
    resolver: &Resolver,
    deadline: Instant,
) -> (Timings, Result<Faculties, FetchError>) {
    let mut course = Course::start();
    let result = timeout_at(deadline, reach(place, resolver, &mut course)).await;
    let result = result.unwrap_or_else(|_| Err(Cut::Deadline));
    let used = course.used;
    let (timings, result) = conclude(course, result);
    (timings, result.map(|_| used))
}

/// How a try ended early.
enum Cut {
    Deadline,
    Failed(Why),
}

impl From<Why> for Cut {
    fn from(why: Why) -> Self {
        Self::Failed(why)
    }
}

fn conclude<T>(mut course: Course, result: Result<T, Cut>) -> (Timings, Result<T, FetchError>) {
    let used = course.used;
    let result = result.map_err(|cut| {
        course.done();
        let why = match cut {
            Cut::Deadline => Why::Timeout(course.part),
            Cut::Failed(why) => why,
        };
        FetchError { why, used }
    });
    (course.timings, result)
}

async fn get(request: &Request<'_>, course: &mut Course) -> Result<Answer, Cut> {
    let target = request.target;
    let own_place = HostPort {
        host: target.host().to_owned(),
        port: target.port(),
    };
    let place = request.way.connect_to.as_ref().unwrap_or(&own_place);
    let stream = reach(place, &request.way.resolver, course).await?;
    if !target.is_https() {
        return exchange(stream, request, course).await;
    }
    course.begin(Part::Tls);
    course.used.tls = true;
    let connector = TlsConnector::from(Arc::clone(&request.way.tls));
    let stream = connector
        .connect(target.server_name().clone(), stream)
        .await
        .map_err(|error| io_why(&error, Part::Tls))?;
    course.done();
    exchange(stream, request, course).await
}

async fn reach(place: &HostPort, resolver: &Resolver, course: &mut Course) -> Result<tokio::net::TcpStream, Cut> {
    let addresses = if let Ok(address) = place.host.parse() {
        Arc::new([address]) as Arc<[_]>
    } else {
        course.used.resolver = true;
        let addresses = resolver.resolve(&place.host).await.map_err(|_| Why::Dns)?;
        course.done();
        addresses
    };
    course.begin(Part::Connect);
    let stream = dial::connect(&addresses, place.port, course).await?;
    course.done();
    Ok(stream)
}

/// The connection is polled beside the conversation and not by a task of its own, so that it ends with it.
async fn exchange<S>(stream: S, request: &Request<'_>, course: &mut Course) -> Result<Answer, Cut>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    course.begin(Part::FirstByte);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(BODY_CAP)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| http_why(&error, Part::FirstByte))?;
    let conversation = pin!(converse(&mut sender, request, course));
    match select(conversation, pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        // The server closed behind its answer: what has come is still to be read.
        Either::Right((_, conversation)) => conversation.await,
    }
}

async fn converse(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    request: &Request<'_>,
    course: &mut Course,
) -> Result<Answer, Cut> {
    let response = sender
        .send_request(message(request))
        .await
        .map_err(|error| http_why(&error, Part::FirstByte))?;
    course.done();
    let (head, body) = response.into_parts();
    let mut answer = Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: Vec::new(),
        used: course.used,
    };
    if let Reading::Whole(on) = request.reading
        && on.contains(answer.status)
    {
        course.begin(Part::Body);
        answer.body = read(body, ends_with_connection(&answer.headers)).await?;
        course.done();
    }
    Ok(answer)
}

fn message(request: &Request<'_>) -> hyper::Request<Empty<Bytes>> {
    let mut message = hyper::Request::new(Empty::new());
    *message.uri_mut() = request.target.path().clone();
    message.headers_mut().clone_from(request.headers);
    message.headers_mut().insert(HOST, request.target.host_header().clone());
    message
        .headers_mut()
        .insert(USER_AGENT, HeaderValue::from_static(OUR_NAME));
    message
}

async fn read(mut body: Incoming, ends_with_connection: bool) -> Result<Vec<u8>, Why> {
    let mut read = Vec::new();
    while read.len() < BODY_CAP
        && let Some(frame) = body.frame().await
    {
        match frame {
            Ok(frame) => {
                let data = frame.data_ref().map(AsRef::as_ref).unwrap_or_default();
                read.extend(data.iter().take(BODY_CAP - read.len()));
            }
            Err(error) if ends_with_connection && is_bare_end(&error) => break,
            Err(error) => return Err(http_why(&error, Part::Body)),
        }
    }
    Ok(read)
}

/// Whether nothing but the connection's end tells where the body ends.
fn ends_with_connection(headers: &HeaderMap) -> bool {
    !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING)
}

/// A connection closed without TLS's goodbye; many servers do so, and browsers take it for the end as well.
fn is_bare_end(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == ErrorKind::UnexpectedEof)
}

fn find(within: &[u8], text: &[u8]) -> bool {
    text.is_empty() || within.windows(text.len()).any(|window| window == text)
}

fn http_why(error: &hyper::Error, part: Part) -> Why {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return io_why(error, part);
        }
        source = cause.source();
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return cut_off(part);
    }
    Why::Protocol
}

fn io_why(error: &io::Error, part: Part) -> Why {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return match error {
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => Why::Certificate,
            _ => Why::Tls,
        };
    }
    match error.kind() {
        ErrorKind::UnexpectedEof => cut_off(part),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Why::Unreachable,
        ErrorKind::TimedOut => Why::Timeout(part),
        ErrorKind::InvalidData => Why::Protocol,
        _ => Why::Reset,
    }
}

/// The other side closed: half an answer is broken HTTP, none at all is a cut connection.
const fn cut_off(part: Part) -> Why {
    match part {
        Part::Body => Why::Protocol,
        Part::Dns | Part::Connect | Part::Tls | Part::FirstByte => Why::Reset,
    }
}
