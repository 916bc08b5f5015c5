//! The throwaway certificate authority: made at start, thrown away at the end.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::SandboxError;

/// The authority that every host of the sandbox is certified by.
#[derive(Debug)]
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

/// What is wrong with a certificate, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// It ended in 2021.
    Expired,
    /// It is for another name.
    WrongName,
}

/// One server's good and bad certificates.
#[derive(Clone)]
pub(super) struct Certificates {
    good: TlsAcceptor,
    expired: TlsAcceptor,
    wrong_name: TlsAcceptor,
}

impl Certificates {
    pub(super) fn pick(&self, flaw: Flaw) -> TlsAcceptor {
        match flaw {
            Flaw::None => self.good.clone(),
            Flaw::Expired => self.expired.clone(),
            Flaw::WrongName => self.wrong_name.clone(),
        }
    }
}

impl Authority {
    /// A new authority with a key of its own.
    pub(super) fn create() -> Result<Self, SandboxError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "pilotlight sandbox, worthless");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority's certificate, for `ca_file`.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// Certificates for `names` (host names or addresses).
    pub(super) fn certify(&self, names: &[String]) -> Result<Certificates, SandboxError> {
        Ok(Certificates {
            good: self.acceptor(names, Flaw::None)?,
            expired: self.acceptor(names, Flaw::Expired)?,
            wrong_name: self.acceptor(names, Flaw::WrongName)?,
        })
    }

    /// A certificate for `names` and its key as PEM, for servers that are not ours.
    pub(super) fn issue_pem(&self, names: &[String], flaw: Flaw) -> Result<String, SandboxError> {
        let (certificate, key) = self.issue(names, flaw)?;
        Ok(certificate.pem() + &key.serialize_pem())
    }

    fn issue(&self, names: &[String], flaw: Flaw) -> Result<(Certificate, KeyPair), SandboxError> {
        let stranger = ["stranger.example".to_owned()];
        let mut params = CertificateParams::new(if flaw == Flaw::WrongName { &stranger } else { names })?;
        if flaw == Flaw::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate, key))
    }

    fn acceptor(&self, names: &[String], flaw: Flaw) -> Result<TlsAcceptor, SandboxError> {
        let (certificate, key) = self.issue(names, flaw)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// A client that trusts this authority alone: the edge's way to home, and the visitors.
    pub(super) fn connector(&self) -> Result<TlsConnector, SandboxError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}
