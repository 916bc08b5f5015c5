//! The one TLS client configuration: ring, certificates always verified, roots of the system or of one own CA file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls_native_certs::load_native_certs;
use tokio_rustls::rustls;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA file cannot be read, or is not PEM.
    #[error("CA file {}: cannot be read as PEM: {source}", .file.display())]
    Unreadable {
        /// The CA file.
        file: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The CA file holds no certificate.
    #[error("CA file {}: holds no certificate", .file.display())]
    Empty {
        /// The CA file.
        file: PathBuf,
    },
    /// A certificate in the CA file cannot serve as a root.
    #[error("CA file {}: a certificate in it cannot be a root: {source}", .file.display())]
    NotARoot {
        /// The CA file.
        file: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The cryptography library does not offer the usual protocol versions.
    #[error("TLS protocol versions: {source}")]
    Versions {
        /// What it says.
        source: rustls::Error,
    },
}

impl TlsError {
    /// The word for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "ca_unreadable",
            Self::Empty { .. } => "ca_empty",
            Self::NotARoot { .. } => "ca_not_a_root",
            Self::Versions { .. } => "tls_versions",
        }
    }
}

/// A client configuration that trusts the given CA file's certificates only, or without one the system's roots
/// (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured), or the compiled-in Mozilla roots when the system has none.
///
/// It offers no ALPN protocol, so servers speak HTTP/1.1, and resumes no session: a resumed one is not verified again, and a certificate
/// that expired or was exchanged since would go unnoticed. Reads files: call it at start, not while probing, and share the result.
/// The system's roots are read once per process.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match ca_file {
        Some(file) => Arc::new(own_roots(file)?),
        None => system_roots(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Versions { source })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn own_roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
        roots
            .add(certificate.map_err(unreadable)?)
            .map_err(|source| TlsError::NotARoot {
                file: file.to_owned(),
                source,
            })?;
    }
    if roots.is_empty() {
        return Err(TlsError::Empty { file: file.to_owned() });
    }
    Ok(roots)
}

fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(ROOTS.get_or_init(|| Arc::new(load_system_roots())))
}

/// A broken system store must not blind the watcher: what can be used of it is used, and Mozilla's roots stand in for an empty one.
fn load_system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = load_native_certs();
    let total = found.certs.len();
    let (usable, ignored) = roots.add_parsable_certificates(found.certs);
    if !found.errors.is_empty() || ignored > 0 {
        tracing::debug!(
            total,
            usable,
            ignored,
            errors = found.errors.len(),
            "some of the system's root certificates cannot be used"
        );
    }
    if roots.is_empty() {
        tracing::warn!("the system's certificate store is empty: using the compiled-in roots");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(file: &Path) -> TlsError {
        client_config(Some(file)).expect_err("a bad CA file")
    }

    #[test]
    fn a_missing_ca_file_is_named() {
        let error = complaint(Path::new("no/such/ca.pem"));
        assert_eq!(error.reason(), "ca_unreadable");
        assert!(error.to_string().contains("no/such/ca.pem"), "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_no_ca_file() {
        let error = complaint(Path::new("Cargo.toml"));
        assert_eq!(error.reason(), "ca_empty");
    }

    #[test]
    fn the_system_or_mozilla_always_give_roots_and_no_alpn_is_offered() {
        let config = client_config(None).expect("a configuration");
        assert!(config.alpn_protocols.is_empty());
        assert!(!system_roots().is_empty());
    }
}
