//! A listening port that can fall silent, refuse, and come back on the same address.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How many connections one door keeps; a demo and a test need a few dozen.
const MAX_CONNECTIONS: usize = 512;
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 256;
/// Pause after a failed accept or bind, so that running out of descriptors does not spin.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// What a door does with those who knock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// Serves.
    Open,
    /// Takes packets and never answers, like a host behind a line without power.
    Silent,
    /// Nothing listens: connects are refused, existing connections are reset.
    Closed,
}

/// What serves one accepted connection.
pub(super) type Serve = Arc<dyn Fn(Tap, Wire) -> BoxFuture<'static, ()> + Send + Sync>;

/// The listening side.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    address: SocketAddr,
    stance: watch::Receiver<Stance>,
}

/// The hand on the door.
#[derive(Debug)]
pub(super) struct Latch {
    address: SocketAddr,
    stance: watch::Sender<Stance>,
}

impl Latch {
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn turn(&self, stance: Stance) {
        self.stance
            .send_if_modified(|now| std::mem::replace(now, stance) != stance);
    }
}

/// Lets a handler cut the connection it is serving.
#[derive(Clone, Debug, Default)]
pub(super) struct Wire {
    cut: Arc<AtomicBool>,
    woken: Arc<Notify>,
}

impl Wire {
    /// Resets the connection; whatever was to be answered is lost.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        self.woken.notify_one();
    }
}

/// The stream under one connection; dropped after a cut it resets instead of closing.
#[derive(Debug)]
pub(super) struct Tap {
    stream: TcpStream,
    cut: Arc<AtomicBool>,
}

impl Drop for Tap {
    fn drop(&mut self) {
        if self.cut.load(Ordering::Relaxed) {
            // Best effort: without it the peer sees an orderly end instead of a reset.
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Door {
    /// Binds, listening at once.
    pub(super) async fn bind(address: SocketAddr) -> io::Result<(Self, Latch)> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (sender, stance) = watch::channel(Stance::Open);
        let latch = Latch {
            address,
            stance: sender,
        };
        Ok((
            Self {
                listener,
                address,
                stance,
            },
            latch,
        ))
    }

    /// Serves until the latch is dropped or the task is ended.
    pub(super) async fn run(self, serve: Serve) {
        let Self {
            mut listener,
            address,
            mut stance,
        } = self;
        let mut connections = JoinSet::new();
        loop {
            if *stance.borrow_and_update() == Stance::Closed {
                drop(listener);
                let Some(reopened) = stay_closed(address, &mut stance).await else {
                    return;
                };
                listener = reopened;
                continue;
            }
            // Cancel-safe: accept, join_next and changed lose nothing when another branch wins.
            tokio::select! {
                changed = stance.changed() => if changed.is_err() { return },
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(hold(stream, stance.clone(), Arc::clone(&serve)));
                    }
                    Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
                },
            }
        }
    }
}

/// Keeps the port without listening, so that connects are refused and nobody else takes it; listens again when told to.
async fn stay_closed(address: SocketAddr, stance: &mut watch::Receiver<Stance>) -> Option<TcpListener> {
    let mut reserved = reserve(address).ok();
    loop {
        if *stance.borrow_and_update() != Stance::Closed {
            let listener = reserved
                .take()
                .map_or_else(|| reserve(address), Ok)
                .and_then(|socket| socket.listen(BACKLOG));
            match listener {
                Ok(listener) => return Some(listener),
                Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            }
            continue;
        }
        stance.changed().await.ok()?;
    }
}

fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// One connection: served while the door is open, frozen while it is silent, reset when it closes or wakes up again.
async fn hold(stream: TcpStream, mut stance: watch::Receiver<Stance>, serve: Serve) {
    let wire = Wire::default();
    stream.set_nodelay(true).ok();
    let tap = Tap {
        stream,
        cut: Arc::clone(&wire.cut),
    };
    let mut serving = serve(tap, wire.clone());
    loop {
        let now = *stance.borrow_and_update();
        match now {
            Stance::Open => {}
            Stance::Silent => {
                // Not polled, so nothing is read and nothing answered. A host that comes back knows nothing of old connections.
                stance.changed().await.ok();
                wire.cut();
                return;
            }
            Stance::Closed => {
                wire.cut();
                return;
            }
        }
        // Cancel-safe: `serving` is polled by reference and kept; the others lose nothing.
        tokio::select! {
            biased;
            changed = stance.changed() => if changed.is_err() { return },
            () = wire.woken.notified() => return,
            () = &mut serving => return,
        }
    }
}
