//! A sandbox with a plain client for its tests: one connection per call, everything readable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use pilotlight::sandbox::{Options, PROJECT, REGION, SERVICE_ACCOUNT, Sandbox, World, ZONE};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring as provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

/// The path of the one service of the one site.
pub(crate) fn service() -> String {
    format!("/v2/projects/{PROJECT}/locations/{REGION}/services/site-standby")
}

/// The path of something in the zone.
pub(crate) fn zone(rest: &str) -> String {
    format!("/client/v4/zones/{ZONE}/{rest}")
}

pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn error(&self) -> (u16, String) {
        let status = self
            .json()
            .pointer("/error/status")
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned();
        (self.status, status)
    }

    pub(crate) fn code(&self) -> (u16, u64) {
        let code = self
            .json()
            .pointer("/errors/0/code")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        (self.status, code)
    }
}

pub(crate) struct Rig {
    pub(crate) sandbox: Sandbox,
    pub(crate) world: Arc<World>,
    pub(crate) tls: TlsConnector,
    pub(crate) google: String,
    pub(crate) cloudflare: String,
}

pub(crate) fn options(name: &str) -> Options {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("sandbox-{name}"));
    Options {
        api_delay: std::time::Duration::ZERO,
        iam_propagation: std::time::Duration::ZERO,
        edge_propagation: std::time::Duration::ZERO,
        cold_start: std::time::Duration::ZERO,
        ..Options::new(dir)
    }
}

impl Rig {
    pub(crate) async fn start(name: &str) -> Self {
        Self::with(options(name)).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let sandbox = Sandbox::start(options).await.unwrap();
        let world = sandbox.world();
        let pem = std::fs::read(sandbox.ca_file()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let token = std::fs::read_to_string(sandbox.cloudflare_token_file()).unwrap();
        Self {
            tls: TlsConnector::from(Arc::new(config)),
            google: world.issue_google_token(None),
            cloudflare: token.trim().to_owned(),
            world,
            sandbox,
        }
    }

    /// A call to Cloud Run.
    pub(crate) async fn run(&self, method: &str, path: &str, body: Value) -> Got {
        plain(self.sandbox.addresses().run, method, path, Some(&self.google), body).await
    }

    /// A call to Monitoring, below the project.
    pub(crate) async fn monitoring(&self, method: &str, path: &str, body: Value) -> Got {
        let path = format!("/v3/projects/{PROJECT}/{path}");
        plain(
            self.sandbox.addresses().monitoring,
            method,
            &path,
            Some(&self.google),
            body,
        )
        .await
    }

    /// A call to Cloudflare.
    pub(crate) async fn cloudflare(&self, method: &str, path: &str, body: Value) -> Got {
        let address = self.sandbox.addresses().cloudflare;
        plain(address, method, path, Some(&self.cloudflare), body).await
    }

    /// The policy, with its etag.
    pub(crate) async fn policy(&self) -> Value {
        let path = format!("{}:getIamPolicy?options.requestedPolicyVersion=3", service());
        let got = self.run("GET", &path, Value::Null).await;
        assert_eq!(got.status, 200, "{}", got.body);
        got.json()
    }

    pub(crate) async fn set_policy(&self, policy: &Value) -> Got {
        let path = format!("{}:setIamPolicy", service());
        self.run("POST", &path, json!({"policy": policy})).await
    }

    /// Opens the gate with care.
    pub(crate) async fn open_gate(&self) {
        let got = self.set_policy(&opened(self.policy().await)).await;
        assert_eq!(got.status, 200, "{}", got.body);
    }

    /// Fetches over TLS without following redirects.
    pub(crate) async fn https(&self, address: SocketAddr, host: &str, path: &str) -> Got {
        self.try_https(address, host, path, None).await.unwrap()
    }

    pub(crate) async fn edge(&self, path: &str) -> Got {
        self.https(self.sandbox.addresses().edge, "site.example", path).await
    }

    pub(crate) async fn standby(&self, path: &str, token: Option<&str>) -> Got {
        let address = self.sandbox.addresses().standbys["site"];
        self.try_https(address, "site-standby.example", path, token)
            .await
            .unwrap()
    }

    pub(crate) async fn try_https(
        &self,
        address: SocketAddr,
        host: &str,
        path: &str,
        token: Option<&str>,
    ) -> Result<Got, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let stream = self
            .tls
            .connect(name, stream)
            .await
            .map_err(|error| error.to_string())?;
        exchange(stream, "GET", host, path, token, Value::Null).await
    }

    /// A JWT signed with the key in the key file.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let key: Value = serde_json::from_slice(&std::fs::read(self.sandbox.key_file()).unwrap()).unwrap();
        let pem = key["private_key"].as_str().unwrap();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": key["private_key_id"]});
        let signed = [&head, claims]
            .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
            .join(".");
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            signed.as_bytes(),
            &mut signature,
        )
        .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The policy with `allUsers` in the unconditional invoker binding.
pub(crate) fn opened(mut policy: Value) -> Value {
    let bindings = policy["bindings"].as_array_mut().unwrap();
    bindings.push(json!({"role": "roles/run.invoker", "members": ["allUsers"]}));
    policy
}

/// Claims of a JWT that an API takes, valid from now on.
pub(crate) fn claims(audience: &str) -> Value {
    let now = jiff::Timestamp::now().as_second();
    json!({"iss": SERVICE_ACCOUNT, "sub": SERVICE_ACCOUNT, "aud": audience, "iat": now - 10, "exp": now + 3590})
}

pub(crate) async fn plain(address: SocketAddr, method: &str, path: &str, token: Option<&str>, body: Value) -> Got {
    try_plain(address, method, path, token, body).await.unwrap()
}

pub(crate) async fn try_plain(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Value,
) -> Result<Got, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    exchange(stream, method, "sandbox", path, token, body).await
}

async fn exchange<S>(
    stream: S,
    method: &str,
    host: &str,
    path: &str,
    token: Option<&str>,
    body: Value,
) -> Result<Got, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let body = match body {
        Value::Null => Bytes::new(),
        Value::String(text) => Bytes::from(text),
        other => Bytes::from(other.to_string()),
    };
    let mut request = Request::builder().method(method).uri(path).header("host", host);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if path.starts_with("/computeMetadata") {
        request = request.header("metadata-flavor", "Google");
    }
    let request = request.body(Full::new(body)).unwrap();
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let got = read(response).await;
    connection.abort();
    got
}

async fn read(response: Response<Incoming>) -> Result<Got, String> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok(Got {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
