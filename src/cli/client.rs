//! The operator's side of the admin server: one request over TCP or a Unix socket, and clear words when it fails.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::render;
use crate::admin::view::StatusView;
use crate::admin::{ErrorBody, command};
use crate::core::Order;

/// The server answers within two seconds; it is on the same machine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A status of hundreds of sites is far smaller.
const LARGEST_ANSWER: usize = 4 << 20;

/// Where the admin server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `HOST:PORT`.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// For whom the answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Words and columns.
    Human,
    /// The server's JSON.
    Json,
}

/// Why there is no good answer. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address has neither form.
    #[error(
        "{0:?} is no address of an admin server: write \"http://127.0.0.1:9911\" or \"unix:/run/pilotlight/admin.sock\""
    )]
    Endpoint(String),
    /// Nobody listens there.
    #[error("no daemon answers at {endpoint}; is it running? (systemctl status pilotlight)")]
    NotRunning {
        /// Where it was looked for.
        endpoint: Endpoint,
        /// What the system said.
        source: io::Error,
    },
    /// The socket belongs to someone else.
    #[error("not allowed to use {endpoint}; run this as root or as the daemon's user")]
    NotAllowed {
        /// Which socket.
        endpoint: Endpoint,
    },
    /// It listens, but says nothing.
    #[error("the daemon at {endpoint} does not answer; look at its log (journalctl -u pilotlight)")]
    NoAnswer {
        /// Where.
        endpoint: Endpoint,
    },
    /// An order needs a token, and none is known here.
    #[error("an order needs the admin token; name its file with --token-file or as admin.token_file in the config")]
    NoToken,
    /// The token holds what cannot be sent.
    #[error("the admin token holds characters that cannot be sent; it has to be one line of plain text")]
    UnusableToken,
    /// The status has no such site.
    #[error("there is no site {name:?}; known sites: {known}")]
    NoSite {
        /// The site asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The daemon refused.
    #[error("{message}; {hint}")]
    Refused {
        /// What happened.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Something else listens there.
    #[error("what answers at {endpoint} is no pilotlight of this kind; is it another program, or another version?")]
    Nonsense {
        /// Where.
        endpoint: Endpoint,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host_port) => write!(f, "http://{host_port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let wrong = || ClientError::Endpoint(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return path.starts_with('/').then(|| Self::Unix(path.into())).ok_or_else(wrong);
        }
        let host_port = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let port = host_port
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty() && !host.contains('/'));
        match port.map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(_)) => Ok(Self::Tcp(host_port.to_owned())),
            _ => Err(wrong()),
        }
    }
}

/// Speaks to one admin server.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
    token: Option<SecretString>,
}

impl Client {
    /// A client for the server at `endpoint`. The token is needed for orders only.
    pub const fn new(endpoint: Endpoint, token: Option<SecretString>) -> Self {
        Self { endpoint, token }
    }

    /// What to print for `pilotlight status [SITE]`.
    pub async fn status(&self, site: Option<&str>, output: Output) -> Result<String, ClientError> {
        let request = Request::get("/api/v1/status");
        let answer = self.ask(request, Bytes::new()).await?;
        let mut view: StatusView = self.understand(&answer)?;
        if let Some(name) = site {
            let known: Vec<_> = view.sites.iter().map(|site| site.site.clone()).collect();
            view.sites.retain(|site| site.site == name);
            if view.sites.is_empty() {
                let (name, known) = (name.to_owned(), known.join(", "));
                return Err(ClientError::NoSite { name, known });
            }
        }
        match output {
            Output::Human => Ok(render::status(&view)),
            Output::Json => self.print(&view),
        }
    }

    /// Gives an order and tells what to print.
    pub async fn order(
        &self,
        order: Order,
        site: &str,
        request: &command::Request,
        output: Output,
    ) -> Result<String, ClientError> {
        let token = self.token.as_ref().ok_or(ClientError::NoToken)?;
        let bearer = format!("Bearer {}", token.expose_secret().trim());
        let mut bearer = HeaderValue::try_from(bearer).map_err(|_| ClientError::UnusableToken)?;
        bearer.set_sensitive(true);
        let path = format!("/api/v1/sites/{}/{}", segment(site), command::name(order));
        let head = Request::post(path)
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json");
        let body = serde_json::to_vec(request).map_err(|_| self.nonsense())?;
        let answer = self.ask(head, body.into()).await?;
        let answer: command::Answer = self.understand(&answer)?;
        match output {
            Output::Human => Ok(render::answer(&answer)),
            Output::Json => self.print(&answer),
        }
    }

    async fn ask(&self, head: hyper::http::request::Builder, body: Bytes) -> Result<Bytes, ClientError> {
        timeout(TIMEOUT, self.converse(head, body))
            .await
            .unwrap_or_else(|_| Err(self.no_answer()))
    }

    async fn converse(&self, head: hyper::http::request::Builder, body: Bytes) -> Result<Bytes, ClientError> {
        let request = head
            .header(HOST, "pilotlight")
            .body(Full::new(body))
            .map_err(|_| self.nonsense())?;
        let is_read = request.method() == Method::GET;
        let stream = self.connect().await.map_err(|source| self.not_connected(source))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| self.no_answer())?;
        // The sender goes with the exchange, and with the sender the connection ends.
        let exchange = async move {
            let answer = sender.send_request(request).await.map_err(|_| self.no_answer())?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
            let body = body.map_err(|_| self.nonsense())?.to_bytes();
            self.judge(status, body, is_read)
        };
        // What the connection has to say of errors the exchange says too.
        let (exchanged, _) = tokio::join!(exchange, connection);
        exchanged
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match &self.endpoint {
            Endpoint::Tcp(host_port) => Ok(Box::new(TcpStream::connect(host_port).await?)),
            Endpoint::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        }
    }

    fn judge(&self, status: StatusCode, body: Bytes, is_read: bool) -> Result<Bytes, ClientError> {
        if status.is_success() {
            return Ok(body);
        }
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { error }) if !is_read || status.is_server_error() => Err(ClientError::Refused {
                message: error.message,
                hint: error.hint,
            }),
            _ => Err(self.nonsense()),
        }
    }

    fn understand<T: serde::de::DeserializeOwned>(&self, answer: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(answer).map_err(|_| self.nonsense())
    }

    fn print<T: serde::Serialize>(&self, answer: &T) -> Result<String, ClientError> {
        serde_json::to_string_pretty(answer).map_err(|_| self.nonsense())
    }

    fn not_connected(&self, source: io::Error) -> ClientError {
        let endpoint = self.endpoint.clone();
        match source.kind() {
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed { endpoint },
            _ => ClientError::NotRunning { endpoint, source },
        }
    }

    fn no_answer(&self) -> ClientError {
        ClientError::NoAnswer {
            endpoint: self.endpoint.clone(),
        }
    }

    fn nonsense(&self) -> ClientError {
        ClientError::Nonsense {
            endpoint: self.endpoint.clone(),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// A site's name as one segment of a path.
fn segment(name: &str) -> String {
    let mut segment = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => segment.push(char::from(byte)),
            _ => {
                use fmt::Write as _;
                // Writing to a string cannot fail.
                let _ = write!(segment, "%{byte:02X}");
            }
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_in_all_their_forms() {
        for (text, told) in [
            ("127.0.0.1:9911", "http://127.0.0.1:9911"),
            ("http://localhost:9911/", "http://localhost:9911"),
            ("[::1]:9911", "http://[::1]:9911"),
            ("unix:/run/pilotlight/admin.sock", "unix:/run/pilotlight/admin.sock"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), told);
        }
        for text in [
            "",
            "9911",
            "unix:",
            "unix:admin.sock",
            "https://a:1",
            "http://a",
            "a:70000",
            "http://a/b:1",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_site_cannot_lead_to_another_route() {
        assert_eq!(segment("blog-2.example"), "blog-2.example");
        assert_eq!(segment("a/b ?#ü"), "a%2Fb%20%3F%23%C3%BC");
    }
}
