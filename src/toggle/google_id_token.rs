//! ID tokens: what a closed Cloud Run service lets its caller in for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::Instant;

use super::google_token::TokenSource;
use super::{TellWall, ToggleError};

const READ: &str = "google: id token";

/// Asked for again this long before the end, when the one at hand is still good.
const AHEAD: Duration = Duration::from_secs(300);
/// A token this close to its end is not used any more.
const MARGIN: Duration = Duration::from_secs(10);
/// A source that cannot be reached is asked again after this time.
const AGAIN: Duration = Duration::from_secs(10);

/// An ID token for one audience, there before it is needed. Clones share it.
#[derive(Clone)]
pub struct IdToken {
    source: TokenSource,
    audience: String,
    wall: TellWall,
    held: Arc<Mutex<Option<Held>>>,
}

#[derive(Clone)]
struct Held {
    token: SecretString,
    until: Instant,
}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdToken").finish_non_exhaustive()
    }
}

impl IdToken {
    /// A token of this credential for `audience`: the service's URL. Nothing is fetched before [`IdToken::keep_fresh`] runs.
    pub fn new(source: TokenSource, audience: String, wall: TellWall) -> Self {
        Self {
            source,
            audience,
            wall,
            held: Arc::default(),
        }
    }

    /// The token at hand, if there is a good one. Never waits.
    pub fn get(&self) -> Option<SecretString> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let good = held.as_ref().filter(|held| Instant::now() + MARGIN < held.until);
        good.map(|held| held.token.clone())
    }

    /// Fetches a new one, and tells after how long to come back.
    pub async fn refresh(&self) -> Result<Duration, ToggleError> {
        let token = self.source.fetch_id_token(&self.audience).await?;
        let left = expiry_secs(token.expose_secret())
            .and_then(|expiry| expiry.checked_sub((self.wall)().unix_secs()))
            .map(Duration::from_secs)
            .filter(|left| *left > MARGIN);
        let left =
            left.ok_or_else(|| ToggleError::nonsense(READ, "the token given has ended, or does not say when it does"))?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held {
            token,
            until: Instant::now() + left,
        });
        Ok(left.saturating_sub(AHEAD).max(left / 2).max(AGAIN))
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
                        tracing::warn!(reason = error.reason(), error = %error, "google id token not renewed");
                    }
                    failing = true;
                    AGAIN
                }
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// When a JWT ends, in seconds since the epoch. The signature is the service's to check.
fn expiry_secs(token: &str) -> Option<u64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Value>(&claims).ok()?.get("exp")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_when_it_ends() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"aud":"x","exp":1795258800}"#);
        assert_eq!(expiry_secs(&format!("e30.{claims}.c2ln")), Some(1_795_258_800));
        for wrong in ["", "a.b.c", "e30.e30.e30", "onlyone"] {
            assert_eq!(expiry_secs(wrong), None, "{wrong}");
        }
    }
}
