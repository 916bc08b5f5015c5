//! Where the sandbox listens, and a home of one's own in it.

use std::sync::Arc;

use pilotlight::sandbox::{Sandbox, SandboxError};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::sandbox_rig::{Rig, options, plain};

#[tokio::test]
async fn the_control_endpoint_listens_on_loopback_only_and_the_rest_where_it_is_told() {
    let mut beyond = options("beyond-loopback");
    beyond.listen = "0.0.0.0:0".parse().expect("an address");
    let error = Sandbox::start(beyond).await.expect_err("no password guards it");
    assert!(matches!(error, SandboxError::NotLoopback), "{error}");

    let mut nowhere = options("nowhere");
    nowhere.public = "0.0.0.0".parse().expect("an address");
    let error = Sandbox::start(nowhere)
        .await
        .expect_err("nobody can be sent to 0.0.0.0");
    assert!(matches!(error, SandboxError::NoAddress), "{error}");

    let mut told = options("told");
    told.public = "127.0.0.2".parse().expect("an address");
    let rig = Rig::with(told.clone()).await;
    let addresses = rig.sandbox.addresses();
    assert_eq!(addresses.control.ip().to_string(), "127.0.0.1");
    for address in [
        addresses.edge,
        addresses.run,
        addresses.homes["site"],
        addresses.references[0],
    ] {
        assert_eq!(address.ip(), told.public);
    }
    let reference = addresses.references[1];
    for name in ["127.0.0.2", "two-reference.example"] {
        assert_eq!(
            rig.try_https(reference, name, "/", None).await.map(|got| got.status),
            Ok(200),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_edge_goes_to_a_home_of_ones_own_which_levers_leave_alone() {
    let own = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut of_own = options("own-home");
    of_own.home = own.local_addr().ok();
    let rig = Rig::with(of_own).await;
    let dir = rig.sandbox.ca_file().with_file_name("");
    let pem = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let serve = |name: &str| {
        let certificate = CertificateDer::from_pem_slice(&pem(name)).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&pem(name)).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    };
    let edge = rig.sandbox.addresses().edge;
    for (name, status) in [
        ("home.pem", 200),
        ("home-expired.pem", 526),
        ("home-wrong-name.pem", 526),
    ] {
        let acceptor = serve(name);
        let at_home = async {
            let (stream, _) = own.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let page = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nmine";
                assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
                stream.write_all(page).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        };
        let (got, ()) = tokio::join!(rig.try_https(edge, "site.example", "/", None), at_home);
        let got = got.unwrap();
        assert_eq!((got.status, got.body == "mine"), (status, status == 200), "{name}");
    }
    let control = rig.sandbox.control_addr();
    let pulled = plain(control, "POST", "/home/silent", None, Value::Null).await;
    assert_eq!(pulled.status, 409, "{}", pulled.body);
}
