//! The one client factory: timeouts, user agent, error mapping, Retry-After, redaction.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::header::{self, HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::tls::{self, TlsError};

pub use reqwest::Method;

/// The user agent of every request to a provider.
pub const USER_AGENT: &str = concat!("pilotlight/", env!("CARGO_PKG_VERSION"));

/// No answer of a provider that we read is larger; a larger one is an error.
pub const BODY_CAP: usize = 1024 * 1024;

/// How long an unused connection is kept, so that the failover path meets a warm one.
const IDLE: Duration = Duration::from_secs(300);

/// A provider that wants us to wait longer is asked again after this time anyway.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(3600);

/// Longer texts of a provider are cut.
const TEXT_CAP: usize = 200;

/// What a client needs to know.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Time for name resolution, TCP and TLS.
    pub connect_timeout: Duration,
    /// Time for one request, body included.
    pub timeout: Duration,
    /// Trust only the certificates in this PEM file instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            ca_file: None,
        }
    }
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The TLS configuration could not be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP library refused its settings.
    #[error("HTTP client: {0}")]
    Build(String),
}

/// A failed exchange. Holds no URL, token or header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No connection came about.
    #[error("no connection: {0}")]
    Connect(String),
    /// The time was up; the request may have been carried out.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke; the request may have been carried out.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The answer is larger than [`BODY_CAP`].
    #[error("the answer is larger than 1 MiB")]
    TooLarge,
    /// The request could not be built: our own side.
    #[error("the request cannot be built: {0}")]
    Request(String),
}

impl HttpError {
    /// The word for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Timeout => "timeout",
            Self::Broken(_) => "broken",
            Self::TooLarge => "too_large",
            Self::Request(_) => "request",
        }
    }
}

/// What is sent along.
#[derive(Clone, Debug, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    None,
    /// A JSON document.
    Json(Value),
    /// A form, already encoded.
    Form(SecretString),
}

/// One request. Shown without its URL, which may be a secret.
#[derive(Clone)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The whole URL; it appears in no error.
    pub url: &'a str,
    /// Goes into the `Authorization` header.
    pub bearer: Option<&'a SecretString>,
    /// One further header.
    pub header: Option<(&'static str, &'static str)>,
    /// What is sent along.
    pub body: Body,
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl<'a> Request<'a> {
    /// A request without body, token or further header.
    pub const fn new(method: Method, url: &'a str) -> Self {
        Self {
            method,
            url,
            bearer: None,
            header: None,
            body: Body::None,
        }
    }
}

/// One answer, whatever its status. Shown without its headers and body, which may hold tokens.
#[derive(Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most [`BODY_CAP`] bytes.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// Whether the status is 2xx.
    pub const fn is_success(&self) -> bool {
        self.status / 100 == 2
    }

    /// The body as JSON; `None` when it is none (HTML, truncated, empty).
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// How long the server asks us to wait, at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
        retry_after(text, self.date_secs())
    }

    /// The server's clock: its `Date` header in seconds since the Unix epoch.
    pub fn date_secs(&self) -> Option<u64> {
        let text = self.headers.get(header::DATE)?.to_str().ok()?;
        http_date(text)
    }
}

/// Carries one request to its server and the answer back: all that lies below an [`Http`]. Behind a trait so that everything above it
/// runs unchanged where there is no network.
pub trait Wire: Send + Sync {
    /// Sends it once and reads the whole answer.
    fn exchange<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Answer, HttpError>>;
}

/// A pooled HTTP/1.1 client. Follows no redirect, knows no proxy; clones share the pool.
#[derive(Clone)]
pub struct Http {
    wire: Arc<dyn Wire>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl Http {
    /// A client with its own pool.
    pub fn new(settings: &HttpSettings) -> Result<Self, ClientError> {
        Ok(Self::over(Arc::new(client(settings)?)))
    }

    /// A client over another wire.
    pub fn over(wire: Arc<dyn Wire>) -> Self {
        Self { wire }
    }

    /// Sends one request, once, and reads the whole answer.
    pub async fn send(&self, request: Request<'_>) -> Result<Answer, HttpError> {
        self.wire.exchange(request).await
    }

    /// Opens a connection to the server behind `base_url` ahead of need and leaves it in the pool. Whatever it answers is ignored.
    pub async fn warm(&self, base_url: &str) -> Result<(), HttpError> {
        self.send(Request::new(Method::HEAD, base_url)).await.map(drop)
    }
}

/// The library's client, set up in the one way; also for a sender with requests of its own.
pub fn client(settings: &HttpSettings) -> Result<reqwest::Client, ClientError> {
    let config = tls::client_config(settings.ca_file.as_deref().map(Path::new))?;
    reqwest::Client::builder()
        .tls_backend_preconfigured((*config).clone())
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .user_agent(USER_AGENT)
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(2)
        .tcp_keepalive(Duration::from_secs(30))
        .tcp_keepalive_interval(Duration::from_secs(5))
        .tcp_keepalive_retries(3)
        .build()
        .map_err(|error| ClientError::Build(innermost(&error.without_url())))
}

impl Wire for reqwest::Client {
    fn exchange<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Answer, HttpError>> {
        Box::pin(exchange(self, request))
    }
}

async fn exchange(client: &reqwest::Client, request: Request<'_>) -> Result<Answer, HttpError> {
    let mut builder = client.request(request.method, request.url);
    if let Some(token) = request.bearer {
        builder = builder.bearer_auth(token.expose_secret());
    }
    if let Some((name, value)) = request.header {
        builder = builder.header(name, value);
    }
    builder = match request.body {
        Body::None => builder,
        Body::Json(value) => builder.json(&value),
        Body::Form(form) => builder
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.expose_secret().to_owned()),
    };
    let response = builder.send().await.map_err(map_error)?;
    read(response).await
}

async fn read(mut response: reqwest::Response) -> Result<Answer, HttpError> {
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(map_error)? {
        if body.len() + chunk.len() > BODY_CAP {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body })
}

fn map_error(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    if error.is_timeout() {
        HttpError::Timeout
    } else if error.is_connect() {
        HttpError::Connect(innermost(&error))
    } else if error.is_builder() {
        HttpError::Request(innermost(&error))
    } else {
        HttpError::Broken(innermost(&error))
    }
}

/// The cause of causes; the layers above it only say that something failed.
fn innermost(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    redact(&last.to_string())
}

/// A `Retry-After` value, seconds or an HTTP date, as a wait of at most an hour. A date counts from the server's own `date_secs`.
pub fn retry_after(text: &str, date_secs: Option<u64>) -> Option<Duration> {
    let text = text.trim();
    let secs = match text.parse::<u64>() {
        Ok(secs) => secs,
        Err(_) => http_date(text)?.saturating_sub(date_secs?),
    };
    Some(Duration::from_secs(secs).min(RETRY_AFTER_CAP))
}

/// An HTTP date in seconds since the Unix epoch.
fn http_date(text: &str) -> Option<u64> {
    let zoned = jiff::fmt::rfc2822::DateTimeParser::new().parse_zoned(text).ok()?;
    u64::try_from(zoned.timestamp().as_second()).ok()
}

/// A provider's text made fit for logs: one line, at most 200 characters, without URLs and without anything that looks like a token.
pub fn redact(text: &str) -> String {
    let mut clean = String::new();
    let printable = text.replace(char::is_control, " ");
    for word in printable.split_whitespace() {
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(&redact_word(word));
        if clean.len() > 4 * TEXT_CAP {
            break;
        }
    }
    if clean.chars().count() > TEXT_CAP {
        clean = clean.chars().take(TEXT_CAP - 3).collect::<String>() + "...";
    }
    clean
}

fn redact_word(word: &str) -> String {
    if word.contains("://") {
        return "<url>".to_owned();
    }
    let is_token_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '=');
    let mut clean = String::new();
    for part in word.split_inclusive(|c| !is_token_char(c)) {
        let body = part.trim_end_matches(|c| !is_token_char(c));
        let tail = part.strip_prefix(body).unwrap_or_default();
        clean.push_str(if looks_secret(body) { "<redacted>" } else { body });
        clean.push_str(tail);
    }
    clean
}

/// Known prefixes of tokens, and any long run with digits: a Cloudflare token has 40 characters, ids have 32 or, with dashes, 36.
fn looks_secret(run: &str) -> bool {
    let known = ["ya29.", "eyJ", "cfat_", "cfut_", "cfk_"];
    known
        .iter()
        .any(|prefix| run.len() > prefix.len() && run.starts_with(prefix))
        || (run.len() >= 38 && run.contains(|c: char| c.is_ascii_digit()))
}

/// A name as one segment of a URL's path or one value of its query: everything but unreserved characters is percent-encoded.
pub fn segment(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b':') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for nibble in [byte >> 4, byte & 15] {
                encoded.extend(char::from_digit(u32::from(nibble), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_against_the_servers_own_clock() {
        assert_eq!(retry_after("7", None), Some(Duration::from_secs(7)));
        let date = http_date("Sun, 22 Nov 2026 10:00:00 GMT");
        assert_eq!(
            retry_after("Sun, 22 Nov 2026 10:01:30 GMT", date),
            Some(Duration::from_secs(90))
        );
        assert_eq!(retry_after("Sun, 22 Nov 2026 09:00:00 GMT", date), Some(Duration::ZERO));
        assert_eq!(retry_after("Sun, 22 Nov 2026 10:01:30 GMT", None), None);
        assert_eq!(retry_after("soon", date), None);
        assert_eq!(retry_after("999999999", None), Some(RETRY_AFTER_CAP));
    }

    #[test]
    fn r16_a_providers_text_loses_urls_tokens_and_control_characters() {
        let text =
            "denied\r\nfor \u{1b}[1m ya29.a0AfH6SMBx and https://example.net/hook?key=1 \"eyJhbGciOiJ.x.y\", end";
        assert_eq!(redact(text), "denied for [1m <redacted> and <url> \"<redacted>\", end");
        assert_eq!(
            redact("token abcdefghij0123456789_ABCDEFGHIJ-012345678 bad"),
            "token <redacted> bad"
        );
        assert_eq!(
            redact("Permission 'run.services.setIamPolicy' denied on 'projects/p/locations/r/services/s'"),
            "Permission 'run.services.setIamPolicy' denied on 'projects/p/locations/r/services/s'"
        );
        assert_eq!(redact(&"word ".repeat(400)).chars().count(), 200);
    }

    #[test]
    fn a_segment_cannot_leave_its_place() {
        assert_eq!(segment("a/../b?c#d e"), "a%2F..%2Fb%3Fc%23d%20e");
        assert_eq!(segment("example.com:proj-1"), "example.com:proj-1");
    }
}
