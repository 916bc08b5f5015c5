//! The listener and the connections: header timeout, connection cap, limited life, graceful stop.

use std::fmt;
use std::fs::{self, Permissions};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::{AdminState, routes};
use crate::core::Duration;

/// Connections at a time: far more than one operator and one scraper need, far fewer than the file descriptors of a service.
const MOST_CONNECTIONS: usize = 128;
/// A request's head has to be there within this time; an idle connection is closed after it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// No connection lives longer, so that one who never reads its answer frees its place at last.
const LONGEST_CONNECTION: Duration = Duration::from_secs(300);
/// How long running requests may take to end when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait after an `accept` that failed (out of file descriptors) before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The head of a request may be this large.
const LARGEST_HEAD: usize = 16 * 1024;

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Neither form.
    #[error("{0:?} is no listen address: write \"127.0.0.1:9911\" or \"unix:/run/pilotlight/admin.sock\"")]
    Form(String),
    /// Another process answers there.
    #[error("another process already listens on {0}")]
    Taken(Listen),
    /// There is something else in the socket's place.
    #[error("{} exists and is no socket; remove it or choose another path", .0.display())]
    NoSocket(PathBuf),
    /// The system refused.
    #[error("cannot listen on {listen}")]
    Io {
        /// Where.
        listen: Listen,
        /// Why not.
        source: io::Error,
    },
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(ListenError::Form(text.to_owned())),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| ListenError::Form(text.to_owned())),
        }
    }
}

/// An open listener. A Unix socket's file is removed when it is dropped.
#[derive(Debug)]
pub struct Listener {
    inner: Inner,
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    Unix(UnixListener),
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            debug!(%error, "the admin socket's file was already gone");
        }
    }
}

impl Listener {
    /// Opens the listener. A Unix socket gets mode 0600 before anyone can reach it; one left over by a crash is replaced.
    pub async fn bind(listen: &Listen) -> Result<Self, ListenError> {
        match listen {
            Listen::Tcp(address) => match TcpListener::bind(address).await {
                Ok(listener) => Ok(Self {
                    inner: Inner::Tcp(listener),
                    _file: None,
                }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ListenError::Taken(listen.clone())),
                Err(source) => Err(io_error(listen)(source)),
            },
            Listen::Unix(path) => {
                clear(path).await?;
                bind_unix(path).map_err(io_error(listen))
            }
        }
    }

    /// The TCP address it listens on (with the port that the system chose); `None` for a Unix socket.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.inner {
            Inner::Tcp(listener) => listener.local_addr().ok(),
            Inner::Unix(_) => None,
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.inner {
            Inner::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Box::new(stream), Peer(Some(address))))
            }
            Inner::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), Peer(None)))
            }
        }
    }
}

/// Makes sure that the path is free, or holds a socket that nobody listens on.
async fn clear(path: &Path) -> Result<(), ListenError> {
    let listen = Listen::Unix(path.to_owned());
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => Err(ListenError::NoSocket(path.to_owned())),
        Ok(_) if UnixStream::connect(path).await.is_ok() => Err(ListenError::Taken(listen)),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io_error(&listen)(source)),
    }
}

/// Binds beside the path, narrows the mode and renames into place: nobody connects in between.
fn bind_unix(path: &Path) -> io::Result<Listener> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&beside)?;
    fs::set_permissions(&beside, Permissions::from_mode(0o600))?;
    fs::rename(&beside, path)?;
    Ok(Listener {
        inner: Inner::Unix(listener),
        _file: Some(SocketFile(path.to_owned())),
    })
}

fn io_error(listen: &Listen) -> impl FnOnce(io::Error) -> ListenError {
    let listen = listen.clone();
    move |source| ListenError::Io { listen, source }
}

/// Who is at the other end, for the audit line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix socket"),
        }
    }
}

trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}
impl Connection for TcpStream {}
impl Connection for UnixStream {}
type Stream = Box<dyn Connection>;

/// Serves until `shutdown` is done, then lets running requests end for a few seconds.
pub async fn serve(listener: Listener, state: AdminState, shutdown: impl Future<Output = ()>) {
    let router = routes::router(Arc::new(state));
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        // Cancel-safe: `accept` and `join_next` are by their docs, and a place that was taken is given back when `next` is dropped.
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (stream, peer, place) = next(&listener, &places) => {
                connections.spawn(converse(stream, peer, place, router.clone(), graceful.watcher()));
            }
        }
    }
    drop(listener);
    if timeout(STOP_TIMEOUT, graceful.shutdown()).await.is_err() {
        warn!(open = connections.len(), "admin connections were cut at the stop");
    }
}

/// Waits for a place and then for a connection. What fails at accepting passes; the server goes on.
async fn next(listener: &Listener, places: &Arc<Semaphore>) -> (Stream, Peer, Option<OwnedSemaphorePermit>) {
    // An error would mean a closed semaphore; nobody closes it.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                debug!(%error, "an admin connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection to its end, or to the end of its time.
async fn converse(stream: Stream, peer: Peer, _place: Option<OwnedSemaphorePermit>, router: Router, graceful: Watcher) {
    let service = TowerToHyperService::new(router.layer(Extension(peer)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(LONGEST_CONNECTION, graceful.watch(connection)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "an admin connection ended badly"),
        Err(_) => debug!("an admin connection was cut: it lasted too long"),
    }
}
