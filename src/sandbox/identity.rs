//! Who may do what: the service account, its key, the tokens that were issued, and JWTs.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Value, json};

use super::SandboxError;
use super::lagging::Chance;
use super::world::PROJECT;

/// Worthless by design: it opens nothing but this sandbox.
const THROWAWAY_KEY: &str = include_str!("throwaway_key.pem");
/// The daemon's service account.
pub const SERVICE_ACCOUNT: &str = "pilotlight@sandbox-project.iam.gserviceaccount.com";
/// Google's token endpoint, the audience of JWTs whatever `token_uri` says.
const TOKEN_AUDIENCE: &str = "https://oauth2.googleapis.com/token";
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How far clocks may differ.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
const LONGEST_JWT: SignedDuration = SignedDuration::from_secs(3600);
const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_secs(3599);
/// How many issued tokens are remembered.
const MAX_TOKENS: usize = 1000;

/// What the service account may do in the project unless a service's own policy says more.
const PROJECT_RIGHTS: [&str; 14] = [
    "monitoring.uptimeCheckConfigs.get",
    "monitoring.uptimeCheckConfigs.list",
    "monitoring.uptimeCheckConfigs.update",
    "monitoring.alertPolicies.get",
    "monitoring.alertPolicies.list",
    "monitoring.alertPolicies.update",
    "monitoring.snoozes.create",
    "monitoring.snoozes.get",
    "monitoring.snoozes.list",
    "monitoring.snoozes.update",
    "monitoring.timeSeries.create",
    "run.operations.get",
    "run.routes.invoke",
    "secretmanager.versions.access",
];

/// The service account with its rights and tokens.
pub(super) struct Identity {
    key: RsaKeyPair,
    pub(super) key_id: String,
    pub(super) rights: BTreeSet<String>,
    pub(super) self_signed: SelfSigned,
    issued: BTreeMap<String, Issued>,
}

/// Whether the APIs take a JWT that the caller signed, in place of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelfSigned {
    /// As Google does.
    #[default]
    Accepted,
    /// 401, so that the token endpoint has to be asked.
    Refused,
}

#[derive(Debug)]
struct Issued {
    until: Timestamp,
    /// Rights of this token alone, instead of the account's.
    rights: Option<BTreeSet<String>>,
}

/// What a bearer showed.
#[derive(Debug)]
pub(super) enum Bearer<'a> {
    /// The service account, with these rights in the project.
    Known(&'a BTreeSet<String>),
    /// Nobody known, or no longer.
    Unknown,
}

impl Identity {
    pub(super) fn create(chance: &mut Chance) -> Result<Self, SandboxError> {
        let der = THROWAWAY_KEY
            .split_once("-----BEGIN PRIVATE KEY-----")
            .and_then(|(_, rest)| rest.split_once("-----END PRIVATE KEY-----"))
            .and_then(|(body, _)| STANDARD.decode(body.replace(['\n', '\r'], "")).ok())
            .ok_or(SandboxError::Key)?;
        Ok(Self {
            key: RsaKeyPair::from_pkcs8(&der).map_err(|_| SandboxError::Key)?,
            key_id: chance.hex_id(),
            rights: PROJECT_RIGHTS.iter().map(ToString::to_string).collect(),
            self_signed: SelfSigned::Accepted,
            issued: BTreeMap::new(),
        })
    }

    /// A key file in Google's shape.
    pub(super) fn key_file(&self, token_uri: &str) -> Value {
        let pem = THROWAWAY_KEY
            .find("-----BEGIN")
            .and_then(|start| THROWAWAY_KEY.get(start..))
            .unwrap_or_default();
        json!({
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": self.key_id,
            "private_key": pem,
            "client_email": SERVICE_ACCOUNT,
            "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/pilotlight",
            "universe_domain": "googleapis.com",
        })
    }

    /// Issues an access token; with `rights` it may do these things only, whatever the account may.
    pub(super) fn issue(&mut self, now: Timestamp, rights: Option<Vec<String>>, chance: &mut Chance) -> String {
        self.issued.retain(|_, issued| issued.until > now);
        while self.issued.len() >= MAX_TOKENS {
            self.issued.pop_first();
        }
        let token = format!("ya29.sandbox-{}", chance.hex_id());
        let issued = Issued {
            until: now.checked_add(TOKEN_LIFETIME).unwrap_or(now),
            rights: rights.map(|rights| rights.into_iter().collect()),
        };
        self.issued.insert(token.clone(), issued);
        token
    }

    /// Makes every token that was issued so far invalid.
    pub(super) fn revoke_all(&mut self) {
        self.issued.clear();
    }

    /// An ID token for `audience`, signed.
    pub(super) fn id_token(&self, audience: &str, now: Timestamp) -> Option<String> {
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let claims = json!({
            "iss": "https://accounts.google.com",
            "aud": audience,
            "azp": SERVICE_ACCOUNT,
            "sub": "100000000000000000001",
            "email": SERVICE_ACCOUNT,
            "email_verified": true,
            "iat": now.as_second(),
            "exp": now.as_second() + 3600,
        });
        let signed = [head, claims]
            .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
            .join(".");
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Whether an ID token is good for one of `audiences`.
    pub(super) fn accepts_id_token(&self, token: &str, audiences: &[String], now: Timestamp) -> bool {
        self.claims(token).is_ok_and(|claims| {
            let audience = text(&claims, "aud");
            let ours = text(&claims, "iss") == "https://accounts.google.com";
            ours && audiences.iter().any(|known| known == audience) && in_time(&claims, now).is_ok()
        })
    }

    /// Who shows this bearer token to the API with this host name (such as `run.googleapis.com`).
    pub(super) fn bearer(&self, token: &str, api_host: &str, now: Timestamp) -> Bearer<'_> {
        if let Some(issued) = self.issued.get(token) {
            return if issued.until > now {
                Bearer::Known(issued.rights.as_ref().unwrap_or(&self.rights))
            } else {
                Bearer::Unknown
            };
        }
        let own = self.self_signed == SelfSigned::Accepted
            && self.claims(token).is_ok_and(|claims| {
                let name = text(&claims, "iss") == SERVICE_ACCOUNT && text(&claims, "sub") == SERVICE_ACCOUNT;
                let purpose = text(&claims, "aud") == format!("https://{api_host}/")
                    || (claims.get("aud").is_none() && covers(text(&claims, "scope"), api_host));
                name && purpose && in_time(&claims, now).is_ok()
            });
        if own {
            Bearer::Known(&self.rights)
        } else {
            Bearer::Unknown
        }
    }

    /// Checks an assertion at the token endpoint; an error is the OAuth description.
    pub(super) fn check_assertion(&self, assertion: &str, own_uri: &str, now: Timestamp) -> Result<Value, String> {
        let claims = self.claims(assertion)?;
        if text(&claims, "iss") != SERVICE_ACCOUNT {
            return Err("Invalid grant: account not found".to_owned());
        }
        let audience = text(&claims, "aud");
        if audience != TOKEN_AUDIENCE && audience != own_uri {
            return Err(
                "Invalid JWT: Failed audience check. The right audience is https://oauth2.googleapis.com/token"
                    .to_owned(),
            );
        }
        in_time(&claims, now)?;
        if text(&claims, "scope").is_empty() && text(&claims, "target_audience").is_empty() {
            return Err("Invalid JWT: no scope".to_owned());
        }
        Ok(claims)
    }

    /// The claims of a JWT that was signed with the account's key.
    fn claims(&self, token: &str) -> Result<Value, String> {
        let invalid = || "Invalid JWT Signature.".to_owned();
        let (signed, signature) = token.rsplit_once('.').ok_or_else(invalid)?;
        let (head, claims) = signed.split_once('.').ok_or_else(invalid)?;
        let head = decode(head).ok_or_else(invalid)?;
        if text(&head, "alg") != "RS256" || text(&head, "kid") != self.key_id {
            return Err(invalid());
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid())?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public_key())
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| invalid())?;
        decode(claims).ok_or_else(invalid)
    }
}

fn decode(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn text<'a>(claims: &'a Value, name: &str) -> &'a str {
    claims.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn covers(scope: &str, api_host: &str) -> bool {
    let narrow: &[&str] = match api_host {
        "run.googleapis.com" => &["https://www.googleapis.com/auth/run"],
        "monitoring.googleapis.com" => &["https://www.googleapis.com/auth/monitoring"],
        _ => &[],
    };
    scope
        .split(' ')
        .any(|scope| scope == CLOUD_PLATFORM || narrow.contains(&scope))
}

fn in_time(claims: &Value, now: Timestamp) -> Result<(), String> {
    let unreasonable = || {
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. \
         Check your iat and exp values in the JWT claim."
            .to_owned()
    };
    let second = |name| {
        claims
            .get(name)
            .and_then(Value::as_i64)
            .and_then(|second| Timestamp::from_second(second).ok())
            .ok_or_else(unreasonable)
    };
    let (issued, expires) = (second("iat")?, second("exp")?);
    let starts_in_time = issued.duration_since(now) <= LEEWAY;
    let lasts = now.duration_since(expires) <= SignedDuration::ZERO;
    let short = expires.duration_since(issued) <= LONGEST_JWT;
    if starts_in_time && lasts && short && expires > issued {
        Ok(())
    } else {
        Err(unreasonable())
    }
}
