//! Google credentials: tokens signed by ourselves from a key file, or from the metadata server, ready before they are needed.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::Instant;

use crate::core::FailureKind;
use crate::http::{Answer, Body, Http, Method, Request, redact, segment};

use super::google_key::{KeyFileError, ServiceAccountKey};
use super::{TellWall, ToggleError};

/// What every token of ours may do; narrower ones are a matter of the account's roles.
pub const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Google's token endpoint knows itself by this name, wherever it is reached.
const ENDPOINT_AUDIENCE: &str = "https://oauth2.googleapis.com/token";

/// A token of ours lives an hour; it is used for a little less.
const SELF_SIGNED_USE_SECS: u64 = 55 * 60;

/// Where a machine at Google finds the metadata server.
const USUAL_METADATA: &str = "http://metadata.google.internal";

/// google-auth renews its tokens so long before they expire; the metadata server has a new one by then.
const AHEAD: Duration = Duration::from_secs(225);

/// A token this close to its end is not used any more.
const MARGIN: Duration = Duration::from_secs(10);

/// A token source that cannot be reached is asked again after this time.
const AGAIN: Duration = Duration::from_secs(10);

const FROM_ENDPOINT: &str = "google: token endpoint";
const FROM_METADATA: &str = "google: metadata server";

/// Where tokens come from. Clones share their tokens.
#[derive(Clone)]
pub struct TokenSource {
    inner: Arc<Inner>,
}

struct Inner {
    origin: Origin,
    http: Http,
    wall: TellWall,
    state: Mutex<State>,
    /// Held while a token is fetched: whoever has none to use waits for the same answer instead of asking as well.
    fetching: tokio::sync::Mutex<()>,
}

enum Origin {
    Key {
        key: Box<ServiceAccountKey>,
        endpoint: String,
    },
    Metadata {
        base: String,
    },
}

#[derive(Default)]
struct State {
    /// By audience: the token and the `iat` in it.
    self_signed: HashMap<&'static str, (SecretString, u64)>,
    /// Audiences that refused a token of our own making.
    refused: HashSet<&'static str>,
    fetched: Option<Fetched>,
}

#[derive(Clone)]
struct Fetched {
    token: SecretString,
    at: Instant,
    lifetime: Duration,
}

impl Fetched {
    fn usable(&self) -> bool {
        self.at.elapsed() + MARGIN < self.lifetime
    }

    /// Time until it should be renewed: 3 min 45 s before its end, but not in the first half of its life.
    fn due_in(&self) -> Duration {
        let due = (self.lifetime / 2).max(self.lifetime.saturating_sub(AHEAD));
        due.saturating_sub(self.at.elapsed())
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.inner.origin {
            Origin::Key { .. } => "service_account_key",
            Origin::Metadata { .. } => "metadata_server",
        };
        f.debug_struct("TokenSource")
            .field("kind", &kind)
            .finish_non_exhaustive()
    }
}

impl TokenSource {
    /// Tokens signed with the key in this file. `token_url` replaces the file's own `token_uri`; it is asked only when an API refuses our signature.
    pub fn from_key_file(
        file: &std::path::Path,
        token_url: Option<String>,
        http: Http,
        wall: TellWall,
    ) -> Result<Self, KeyFileError> {
        let key = Box::new(ServiceAccountKey::read(file)?);
        let endpoint = token_url.unwrap_or_else(|| key.token_uri().to_owned());
        Ok(Self::new(Origin::Key { key, endpoint }, http, wall))
    }

    /// Tokens of the machine's own service account. See [`metadata_base`] for `base`.
    pub fn from_metadata_server(base: String, http: Http, wall: TellWall) -> Self {
        Self::new(Origin::Metadata { base }, http, wall)
    }

    fn new(origin: Origin, http: Http, wall: TellWall) -> Self {
        Self {
            inner: Arc::new(Inner {
                origin,
                http,
                wall,
                state: Mutex::default(),
                fetching: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// A token for the API with this audience; asks nobody as long as a good one is at hand. An API that refused one of our own making is
    /// offered another when the token endpoint has none to give: the refusal may have passed.
    pub async fn token(&self, audience: &'static str) -> Result<SecretString, ToggleError> {
        let Origin::Key { key, .. } = &self.inner.origin else {
            return self.fetched().await;
        };
        let refused = self.state().refused.contains(audience);
        if refused && let Ok(token) = self.fetched().await {
            return Ok(token);
        }
        self.self_signed(key, audience)
    }

    /// Another token in place of one that an API answered with 401: a fetched one.
    pub async fn renew(&self, refused: &SecretString) -> Result<SecretString, ToggleError> {
        {
            let mut state = self.state();
            let current = state.fetched.as_ref().map(|fetched| fetched.token.expose_secret());
            if current == Some(refused.expose_secret()) {
                state.fetched = None;
            }
        }
        self.fetched().await
    }

    /// Remembers that the API with this audience took a fetched token where it had refused one of our own making.
    pub fn prefer_fetched(&self, audience: &'static str) {
        self.state().refused.insert(audience);
    }

    /// Renews ahead of need what has to be fetched, and tells after how long to come back. Nobody waits for it who has a good token.
    pub async fn refresh(&self) -> Result<Duration, ToggleError> {
        if matches!(self.inner.origin, Origin::Key { .. }) && self.state().refused.is_empty() {
            return Ok(AHEAD);
        }
        let _alone = self.inner.fetching.lock().await;
        let due = self
            .state()
            .fetched
            .as_ref()
            .is_none_or(|fetched| fetched.due_in().is_zero());
        if due {
            self.fetch().await?;
        }
        Ok(self.state().fetched.as_ref().map_or(AGAIN, Fetched::due_in).max(AGAIN))
    }

    /// Keeps the token fresh for as long as it is polled; `app` spawns it.
    pub async fn keep_fresh(self) {
        let mut failing = false;
        loop {
            let wait = match self.refresh().await {
                Ok(wait) => {
                    failing = false;
                    wait
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(reason = error.reason(), error = %error, "google token not renewed");
                    }
                    failing = true;
                    AGAIN
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    fn self_signed(&self, key: &ServiceAccountKey, audience: &'static str) -> Result<SecretString, ToggleError> {
        let now = (self.inner.wall)().unix_secs();
        let mut state = self.state();
        if let Some((token, iat)) = state.self_signed.get(audience)
            && (*iat..iat + SELF_SIGNED_USE_SECS).contains(&now)
        {
            return Ok(token.clone());
        }
        // By the wall clock, so that a clock set right makes a new one.
        let iat = now.saturating_sub(MARGIN.as_secs());
        let token = key.self_signed(audience, iat)?;
        state.self_signed.insert(audience, (token.clone(), iat));
        Ok(token)
    }

    async fn fetched(&self) -> Result<SecretString, ToggleError> {
        if let Some(token) = self.usable() {
            return Ok(token);
        }
        let _alone = self.inner.fetching.lock().await;
        match self.usable() {
            Some(token) => Ok(token),
            None => self.fetch().await,
        }
    }

    fn usable(&self) -> Option<SecretString> {
        let state = self.state();
        let fetched = state.fetched.as_ref().filter(|fetched| fetched.usable());
        fetched.map(|fetched| fetched.token.clone())
    }

    async fn fetch(&self) -> Result<SecretString, ToggleError> {
        let at = Instant::now();
        let answer = match &self.inner.origin {
            Origin::Key { key, endpoint } => {
                let iat = (self.inner.wall)().unix_secs().saturating_sub(MARGIN.as_secs());
                let assertion = key.assertion(ENDPOINT_AUDIENCE, SCOPE, iat)?;
                ask_endpoint(&self.inner.http, endpoint, &assertion).await?
            }
            Origin::Metadata { base } => ask_metadata(&self.inner.http, base).await?,
        };
        let token = answer.access_token.clone();
        self.state().fetched = Some(Fetched {
            token: answer.access_token,
            at,
            lifetime: Duration::from_secs(answer.expires_in),
        });
        Ok(token)
    }

    /// Fetches an ID token for this audience; nothing is kept here.
    pub async fn fetch_id_token(&self, audience: &str) -> Result<SecretString, ToggleError> {
        match &self.inner.origin {
            Origin::Key { key, endpoint } => {
                let iat = (self.inner.wall)().unix_secs().saturating_sub(MARGIN.as_secs());
                let assertion = key.id_assertion(ENDPOINT_AUDIENCE, audience, iat)?;
                let answer = post_assertion(&self.inner.http, endpoint, &assertion).await?;
                read_id_token(&answer)
            }
            Origin::Metadata { base } => {
                let what = format!("identity?audience={}&format=full", segment(audience));
                let answer = get_metadata(&self.inner.http, base, &what).await?;
                if !answer.is_success() {
                    return Err(refusal(FROM_METADATA, &answer));
                }
                let token = String::from_utf8(answer.body).ok();
                let token = token.map(|text| SecretString::from(text.trim()));
                token.ok_or_else(|| ToggleError::nonsense(FROM_METADATA, "the answer holds no token"))
            }
        }
    }

    /// Tokens are replaced whole, so a poisoned lock is as good as a sound one.
    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
    expires_in: u64,
}

async fn ask_endpoint(http: &Http, endpoint: &str, assertion: &SecretString) -> Result<TokenAnswer, ToggleError> {
    read_token(FROM_ENDPOINT, &post_assertion(http, endpoint, assertion).await?)
}

async fn post_assertion(http: &Http, endpoint: &str, assertion: &SecretString) -> Result<Answer, ToggleError> {
    let form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}",
        assertion.expose_secret()
    );
    let request = Request {
        body: Body::Form(form.into()),
        ..Request::new(Method::POST, endpoint)
    };
    let sent = http.send(request).await;
    sent.map_err(|error| ToggleError::from_http(FROM_ENDPOINT, &error))
}

async fn ask_metadata(http: &Http, base: &str) -> Result<TokenAnswer, ToggleError> {
    read_token(FROM_METADATA, &get_metadata(http, base, "token").await?)
}

async fn get_metadata(http: &Http, base: &str, what: &str) -> Result<Answer, ToggleError> {
    let base = base.trim_end_matches('/');
    let url = format!("{base}/computeMetadata/v1/instance/service-accounts/default/{what}");
    let request = Request {
        header: Some(("metadata-flavor", "Google")),
        ..Request::new(Method::GET, &url)
    };
    let sent = http.send(request).await;
    let answer = sent.map_err(|error| ToggleError::from_http(FROM_METADATA, &error))?;
    let flavor = answer.headers.get("metadata-flavor");
    if flavor.is_none_or(|flavor| flavor != "Google") {
        let detail = "whoever answered is not Google's metadata server (no Metadata-Flavor header)";
        return Err(ToggleError::nonsense(FROM_METADATA, detail));
    }
    Ok(answer)
}

fn read_id_token(answer: &Answer) -> Result<SecretString, ToggleError> {
    #[derive(Deserialize)]
    struct IdAnswer {
        id_token: SecretString,
    }
    if !answer.is_success() {
        return Err(refusal(FROM_ENDPOINT, answer));
    }
    let answer = serde_json::from_slice::<IdAnswer>(&answer.body).ok();
    let token = answer.map(|answer| answer.id_token);
    token.ok_or_else(|| ToggleError::nonsense(FROM_ENDPOINT, "the answer holds no ID token"))
}

fn read_token(doing: &'static str, answer: &Answer) -> Result<TokenAnswer, ToggleError> {
    if !answer.is_success() {
        return Err(refusal(doing, answer));
    }
    let token = serde_json::from_slice::<TokenAnswer>(&answer.body).ok();
    let token = token.filter(|token| !token.access_token.expose_secret().is_empty());
    token.ok_or_else(|| ToggleError::nonsense(doing, "the answer holds no token"))
}

/// Token endpoints answer in the manner of OAuth: `{"error":"invalid_grant","error_description":"..."}`.
fn refusal(doing: &'static str, answer: &Answer) -> ToggleError {
    #[derive(Deserialize)]
    struct OauthError {
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let said = serde_json::from_slice::<OauthError>(&answer.body).ok();
    let transient = said.as_ref().is_some_and(|said| {
        matches!(
            said.error.as_str(),
            "internal_failure" | "server_error" | "temporarily_unavailable"
        )
    });
    let kind = match answer.status {
        429 => FailureKind::Limited,
        408 | 500.. => FailureKind::Unavailable,
        _ if transient => FailureKind::Unavailable,
        404 => FailureKind::Missing,
        _ => FailureKind::Denied,
    };
    let detail = said.map_or_else(
        || format!("status {}", answer.status),
        |said| redact(&format!("{} {}", said.error, said.error_description)),
    );
    ToggleError::new(kind, doing, &detail).after(answer.retry_after())
}

/// The metadata server's base URL: as configured, or where `GCE_METADATA_HOST` points when that is the usual one, as with Google's own clients.
pub fn metadata_base(configured: &str) -> String {
    at_host(configured, std::env::var("GCE_METADATA_HOST").ok().as_deref())
}

fn at_host(configured: &str, from_env: Option<&str>) -> String {
    let configured = configured.trim_end_matches('/');
    match from_env {
        Some(host) if !host.is_empty() && configured == USUAL_METADATA => format!("http://{host}"),
        _ => configured.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_moves_the_metadata_server_unless_the_config_does() {
        let usual = "http://metadata.google.internal/";
        assert_eq!(at_host(usual, None), USUAL_METADATA);
        assert_eq!(at_host(usual, Some("")), USUAL_METADATA);
        assert_eq!(at_host(usual, Some("127.0.0.1:8080")), "http://127.0.0.1:8080");
        assert_eq!(
            at_host("http://127.0.0.1:9", Some("127.0.0.1:8080")),
            "http://127.0.0.1:9"
        );
    }
}
