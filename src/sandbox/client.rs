//! The sandbox's own small HTTP client: the edge's way to home, and the visitors' to everybody.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderMap, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// No page of the sandbox is larger.
const MAX_PAGE: usize = 1 << 20;

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Page {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPage {
    #[error("connection refused")]
    Refused,
    #[error("no way there")]
    Unreachable,
    #[error("certificate not valid")]
    Certificate,
    #[error("handshake failed")]
    Tls,
    #[error("connection cut")]
    Cut,
    #[error("no answer in time")]
    Silent,
    #[error("too many redirects")]
    Loop,
    #[error("no such host")]
    NoHost,
}

/// Gets `https://HOST/PATH` from `address`, over a connection of its own.
pub(super) async fn get(
    tls: &TlsConnector,
    address: SocketAddr,
    host: &str,
    path: &str,
    patience: Duration,
) -> Result<Page, NoPage> {
    get_with(tls, address, host, path, None, patience).await
}

/// The same with an ID token for a closed service.
pub(super) async fn get_with(
    tls: &TlsConnector,
    address: SocketAddr,
    host: &str,
    path: &str,
    token: Option<&str>,
    patience: Duration,
) -> Result<Page, NoPage> {
    match tokio::time::timeout(patience, get_patiently(tls, address, host, path, token)).await {
        Ok(result) => result,
        Err(_) => Err(NoPage::Silent),
    }
}

async fn get_patiently(
    tls: &TlsConnector,
    address: SocketAddr,
    host: &str,
    path: &str,
    token: Option<&str>,
) -> Result<Page, NoPage> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|problem| connecting(&problem))?;
    stream.set_nodelay(true).ok();
    let name = ServerName::try_from(host.to_owned()).map_err(|_| NoPage::NoHost)?;
    let stream = tls.connect(name, stream).await.map_err(|problem| handshake(&problem))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| NoPage::Cut)?;
    let mut request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, "Mozilla/5.0 (sandbox visitor)");
    if let Some(token) = token {
        request = request.header("x-serverless-authorization", format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| NoPage::NoHost)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|_| NoPage::Cut)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_PAGE).collect().await.map_err(|_| NoPage::Cut)?;
        Ok(Page {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        })
    };
    tokio::pin!(exchange, connection);
    // Both are kept over the loop's only other round, so nothing is lost.
    tokio::select! {
        page = &mut exchange => page,
        _ = &mut connection => exchange.await,
    }
}

fn connecting(problem: &std::io::Error) -> NoPage {
    match problem.kind() {
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => NoPage::Unreachable,
        _ => NoPage::Refused,
    }
}

fn handshake(problem: &std::io::Error) -> NoPage {
    use tokio_rustls::rustls::Error;
    match problem.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(_)) => NoPage::Certificate,
        Some(_) => NoPage::Tls,
        None => NoPage::Cut,
    }
}
