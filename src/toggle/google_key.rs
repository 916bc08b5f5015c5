//! A service account's key file, and the tokens it signs.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::core::FailureKind;

use super::ToggleError;

/// Google refuses tokens that want to live longer.
const LIFETIME_SECS: u64 = 3600;

const SIGN: &str = "google: sign a token";

/// Why a key file is of no use. Names the file, never its content.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("key file {}: cannot be read: {source}", .file.display())]
    Unreadable {
        /// The key file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is not the JSON that Google hands out.
    #[error("key file {}: not a service account's key in JSON (line {line}, column {column})", .file.display())]
    NotJson {
        /// The key file.
        file: PathBuf,
        /// The line where it goes wrong.
        line: usize,
        /// The column where it goes wrong.
        column: usize,
    },
    /// It is another kind of credential.
    #[error("key file {}: is not of type service_account; create a key for a service account and use its JSON file", .file.display())]
    WrongType {
        /// The key file.
        file: PathBuf,
    },
    /// The private key in it is broken.
    #[error("key file {}: its private_key is not an RSA key of at least 2048 bits in PKCS#8 PEM", .file.display())]
    BadKey {
        /// The key file.
        file: PathBuf,
    },
}

impl KeyFileError {
    /// The word for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "key_unreadable",
            Self::NotJson { .. } => "key_not_json",
            Self::WrongType { .. } => "key_wrong_type",
            Self::BadKey { .. } => "key_bad",
        }
    }
}

#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key_id: String,
    private_key: SecretString,
    #[serde(default = "usual_token_uri")]
    token_uri: String,
}

fn usual_token_uri() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

/// A service account's private key.
pub struct ServiceAccountKey {
    email: String,
    key_id: String,
    token_uri: String,
    key: RsaKeyPair,
}

impl fmt::Debug for ServiceAccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccountKey")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

impl ServiceAccountKey {
    /// Reads a key file as Google hands it out.
    pub fn read(file: &Path) -> Result<Self, KeyFileError> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => SecretString::from(text),
            Err(source) => {
                let file = file.to_owned();
                return Err(KeyFileError::Unreadable { file, source });
            }
        };
        Self::parse(file, &text)
    }

    /// serde's own words would quote the file, so only the place is told.
    fn parse(file: &Path, text: &SecretString) -> Result<Self, KeyFileError> {
        let content: KeyFile = serde_json::from_str(text.expose_secret()).map_err(|error| KeyFileError::NotJson {
            file: file.to_owned(),
            line: error.line(),
            column: error.column(),
        })?;
        if content.kind != "service_account" {
            return Err(KeyFileError::WrongType { file: file.to_owned() });
        }
        let bad_key = || KeyFileError::BadKey { file: file.to_owned() };
        let pem = content.private_key.expose_secret().as_bytes();
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| bad_key())?;
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| bad_key())?;
        Ok(Self {
            email: content.client_email,
            key_id: content.private_key_id,
            token_uri: content.token_uri,
            key,
        })
    }

    /// The token endpoint named in the file.
    pub fn token_uri(&self) -> &str {
        &self.token_uri
    }

    /// A token that the API with this audience takes without any token endpoint (<https://google.aip.dev/auth/4111>).
    pub fn self_signed(&self, audience: &str, iat: u64) -> Result<SecretString, ToggleError> {
        self.sign(&json!({
            "iss": self.email,
            "sub": self.email,
            "aud": audience,
            "iat": iat,
            "exp": iat + LIFETIME_SECS,
        }))
    }

    /// What the token endpoint takes in exchange for an access token.
    pub fn assertion(&self, audience: &str, scope: &str, iat: u64) -> Result<SecretString, ToggleError> {
        self.sign(&json!({
            "iss": self.email,
            "aud": audience,
            "scope": scope,
            "iat": iat,
            "exp": iat + LIFETIME_SECS,
        }))
    }

    /// What the token endpoint takes in exchange for an ID token with this audience.
    pub fn id_assertion(&self, audience: &str, target_audience: &str, iat: u64) -> Result<SecretString, ToggleError> {
        self.sign(&json!({
            "iss": self.email,
            "aud": audience,
            "target_audience": target_audience,
            "iat": iat,
            "exp": iat + LIFETIME_SECS,
        }))
    }

    fn sign(&self, claims: &Value) -> Result<SecretString, ToggleError> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.key.public().modulus_len()];
        let signed = self.key.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            token.as_bytes(),
            &mut signature,
        );
        signed.map_err(|_| ToggleError::new(FailureKind::Local, SIGN, "the private key does not sign"))?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(&signature));
        Ok(token.into())
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/worthless_key.json");

    fn part(token: &str, index: usize) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()
    }

    fn json_part(token: &str, index: usize) -> Value {
        serde_json::from_slice(&part(token, index)).unwrap()
    }

    #[test]
    fn a_self_signed_token_has_googles_shape_and_a_good_signature() {
        let key = ServiceAccountKey::read(Path::new(FIXTURE)).unwrap();
        let token = key.self_signed("https://run.googleapis.com/", 1000).unwrap();
        let token = token.expose_secret();
        assert_eq!(
            json_part(token, 0),
            json!({"alg": "RS256", "typ": "JWT", "kid": "worthless"})
        );
        let email = "pilotlight@p.iam.gserviceaccount.com";
        assert_eq!(
            json_part(token, 1),
            json!({"iss": email, "sub": email, "aud": "https://run.googleapis.com/", "iat": 1000, "exp": 4600})
        );
        let (signed, _) = token.rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.key.public().as_ref());
        public.verify(signed.as_bytes(), &part(token, 2)).unwrap();
    }

    #[test]
    fn an_assertion_names_the_scope_and_no_subject() {
        let key = ServiceAccountKey::read(Path::new(FIXTURE)).unwrap();
        let token = key
            .assertion("https://oauth2.googleapis.com/token", "scope", 5)
            .unwrap();
        let claims = json_part(token.expose_secret(), 1);
        assert_eq!((&claims["scope"], claims.get("sub")), (&json!("scope"), None));
    }

    #[test]
    fn a_broken_key_file_is_named_and_never_quoted() {
        let whole = std::fs::read_to_string(FIXTURE).unwrap();
        let broken = [
            whole.replace("service_account", "authorized_user"),
            whole.replace("BEGIN PRIVATE KEY", "BEGIN RSA PRIVATE KEY"),
            whole.replace("MII", "AAA"),
            whole.chars().take(whole.len() / 2).collect(),
            "canary-secret".to_owned(),
            "\"canary-secret\"".to_owned(),
        ];
        for text in broken {
            let error = ServiceAccountKey::parse(Path::new("key.json"), &text.into()).unwrap_err();
            let words = format!("{error} {error:?}");
            assert!(words.contains("key.json"), "{words}");
            assert!(!words.contains("canary") && !words.contains("MII"), "{words}");
        }
        let missing = ServiceAccountKey::read(Path::new("no/such/key.json")).unwrap_err();
        assert_eq!(missing.reason(), "key_unreadable");
    }
}
