//! A scripted server on loopback, with a certificate authority of its own.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pilotlight::probe::{HostPort, Resolver, Way};
use pilotlight::tls::client_config;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// A throwaway certificate authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_file: PathBuf,
}

impl Authority {
    pub(super) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // A name of its own: two authorities of one name would be told apart by their signatures only.
        let name = format!("throwaway {number}");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a root").pem();
        let file = format!("probe-ca-{}-{number}.pem", std::process::id());
        let ca_file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file);
        std::fs::write(&ca_file, pem).expect("a writable directory");
        Self {
            issuer: Issuer::new(params, key),
            ca_file,
        }
    }

    pub(super) fn serves(&self, name: &str) -> ServerConfig {
        self.certifies(&CertificateParams::new(vec![name.to_owned()]).expect("a name"))
    }

    pub(super) fn serves_expired(&self, name: &str) -> ServerConfig {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 3, 31);
        self.certifies(&params)
    }

    /// Serves well to begin with and, once told, with a certificate that ended; the TLS sessions of before go on.
    pub(super) fn serves_until_expired(&self, name: &str) -> (ServerConfig, Arc<AtomicBool>) {
        let expired = Arc::new(AtomicBool::new(false));
        let mut config = self.serves(name);
        config.cert_resolver = Arc::new(Renewal {
            before: Arc::clone(&config.cert_resolver),
            after: self.serves_expired(name).cert_resolver,
            expired: Arc::clone(&expired),
        });
        (config, expired)
    }

    fn certifies(&self, params: &CertificateParams) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .expect("a server configuration")
    }

    /// The way to whatever listens at `address`, trusting this authority only; asking the resolver fails.
    pub(super) fn way_to(&self, address: SocketAddr) -> Way {
        Way {
            connect_to: Some(HostPort {
                host: address.ip().to_string(),
                port: address.port(),
            }),
            ..self.way_by(|_| Err(std::io::Error::other("no name resolves here")))
        }
    }

    /// A way without `connect_to`, on which names resolve as told.
    pub(super) fn way_by(&self, lookup: impl Fn(&str) -> std::io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Way {
        Way {
            connect_to: None,
            tls: client_config(Some(&self.ca_file)).expect("a client configuration"),
            resolver: Resolver::with(lookup),
        }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        std::fs::remove_file(&self.ca_file).ok();
    }
}

/// One certificate before, another after.
#[derive(Debug)]
struct Renewal {
    before: Arc<dyn ResolvesServerCert>,
    after: Arc<dyn ResolvesServerCert>,
    expired: Arc<AtomicBool>,
}

impl ResolvesServerCert for Renewal {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if self.expired.load(Ordering::SeqCst) {
            self.after.resolve(hello)
        } else {
            self.before.resolve(hello)
        }
    }
}

/// What the server was asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) sni: Option<String>,
    /// The request's head, as it came.
    pub(super) head: String,
}

impl Asked {
    pub(super) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// Says this and closes.
    Say(String),
    /// Says this and closes without TLS's goodbye.
    SayAndCut(String),
    /// Says this and then nothing until the client closes.
    SayAndHang(String),
    /// Says the first, and then the second again and again until the client closes.
    SayForever(String, String),
}

/// An answer with these header lines.
pub(super) fn page(status: u16, lines: &[&str], body: &str) -> Reply {
    let length = body.len();
    Reply::Say(format!(
        "HTTP/1.1 {status} Some Reason\r\ncontent-length: {length}\r\nconnection: close\r\n{}\r\n{body}",
        lines.iter().flat_map(|line| [line, "\r\n"]).collect::<String>()
    ))
}

/// A server that counts.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    progress: watch::Receiver<Progress>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) asked: usize,
    pub(super) left_by_client: usize,
}

impl Server {
    pub(super) async fn tls(config: ServerConfig, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start("127.0.0.1:0", Some(config), script).await
    }

    pub(super) async fn plain(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::plain_at("127.0.0.1:0", script).await
    }

    pub(super) async fn plain_at(place: &str, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(place, None, script).await
    }

    async fn start(
        place: &str,
        config: Option<ServerConfig>,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(place).await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (tell, progress) = watch::channel(Progress::default());
        let (tell, script) = (Arc::new(tell), Arc::new(script));
        let acceptor = config.map(|config| TlsAcceptor::from(Arc::new(config)));
        let server = Self {
            address,
            asked: Arc::clone(&asked),
            progress,
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tell, script, asked) = (Arc::clone(&tell), Arc::clone(&script), Arc::clone(&asked));
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Some(acceptor) = acceptor else {
                        serve(stream, None, &asked, &tell, &*script).await;
                        return;
                    };
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let sni = stream.get_ref().1.server_name().map(ToOwned::to_owned);
                        serve(stream, sni, &asked, &tell, &*script).await;
                    }
                });
            }
        });
        server
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }

    /// Waits until it has come as far as told.
    pub(super) async fn until(&self, reached: impl Fn(Progress) -> bool) {
        let mut progress = self.progress.clone();
        progress
            .wait_for(|progress| reached(*progress))
            .await
            .expect("the server lives");
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    sni: Option<String>,
    asked: &Mutex<Vec<Asked>>,
    tell: &watch::Sender<Progress>,
    script: &(dyn Fn(&Asked) -> Reply + Send + Sync),
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let request = Asked {
        sni,
        head: String::from_utf8_lossy(&head).into_owned(),
    };
    let reply = script(&request);
    asked.lock().expect("not poisoned").push(request);
    tell.send_modify(|progress| progress.asked += 1);
    match reply {
        Reply::Say(text) => {
            stream.write_all(text.as_bytes()).await.ok();
            stream.shutdown().await.ok();
            return;
        }
        Reply::SayAndCut(text) => {
            stream.write_all(text.as_bytes()).await.ok();
            stream.flush().await.ok();
            return;
        }
        Reply::SayAndHang(text) => {
            stream.write_all(text.as_bytes()).await.ok();
            stream.flush().await.ok();
            stream.read_u8().await.ok();
        }
        Reply::SayForever(first, rest) => {
            let mut said = stream.write_all(first.as_bytes()).await;
            while said.is_ok() {
                said = stream.write_all(rest.as_bytes()).await;
            }
        }
    }
    tell.send_modify(|progress| progress.left_by_client += 1);
}

/// An address of loopback on which nobody listens.
pub(super) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    listener.local_addr().expect("bound")
}
