//! Generic JSON to a webhook: one POST per notice, in the body convention of Standard Webhooks (`type`, `timestamp`, `data`).

use std::fmt;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{Notifier, TellError, TellFailure, Told};
use crate::clock::{Clock, in_words, rfc3339};
use crate::core::Wall;
use crate::probe::BoxFuture;

/// One try's total deadline.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Why a webhook cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The URL does not parse, or is neither https nor http.
    #[error("the webhook's URL is not valid: it must begin with https:// (or http://) and name a host")]
    Url,
}

/// A webhook. Its URL is a secret.
pub struct Webhook {
    client: Client,
    url: Url,
    clock: Clock,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook")
    }
}

impl Webhook {
    /// A webhook at `url`; blanks around it do not count. `client` must not follow redirects.
    pub fn new(client: Client, url: &SecretString, clock: Clock) -> Result<Self, WebhookError> {
        let url = Url::parse(url.expose_secret().trim()).map_err(|_| WebhookError::Url)?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
            return Err(WebhookError::Url);
        }
        Ok(Self { client, url, clock })
    }

    async fn post(&self, told: &Told, late: Option<Duration>) -> Result<(), TellError> {
        let now = self.clock.wall();
        let answer = self
            .client
            .post(self.url.clone())
            .timeout(TIMEOUT)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &told.id)
            .header("webhook-timestamp", now.unix_secs())
            .body(body(told, late, now).to_string())
            .send()
            .await
            .map_err(|error| no_answer(&error))?;
        // The status says all; the body is not read, however long it is.
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(refusal(status, answer.headers(), now)),
        }
    }
}

impl Notifier for Webhook {
    fn tell<'a>(&'a self, told: &'a Told, late: Option<Duration>) -> BoxFuture<'a, Result<(), TellError>> {
        Box::pin(self.post(told, late))
    }
}

/// The body: `data` holds the notice in words, its facts, and the site's state at that moment.
fn body(told: &Told, late: Option<Duration>, now: Wall) -> Value {
    json!({
        "type": format!("pilotlight.{}", told.name),
        "timestamp": rfc3339(told.happened()),
        "data": {
            "event_id": told.id,
            "site": told.site,
            "episode": told.episode,
            "severity": told.severity,
            "summary": told.words.summary,
            "meaning": told.words.meaning,
            "next": told.words.next,
            "advice": told.words.advice,
            "state": told.state,
            "facts": told.facts,
            "sent_at": rfc3339(now),
            "late_seconds": late.map(|late| late.as_secs()),
            "late": late.map(|late| format!("This is {} late.", in_words(late))),
            "version": env!("CARGO_PKG_VERSION"),
        },
    })
}

fn no_answer(error: &reqwest::Error) -> TellError {
    let detail = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    TellError {
        kind: TellFailure::NoAnswer,
        detail: detail.to_owned(),
        retry_after: None,
    }
}

fn refusal(status: StatusCode, headers: &HeaderMap, now: Wall) -> TellError {
    let kind = match status.as_u16() {
        410 => TellFailure::Gone,
        408 | 425 | 429 | 500.. => TellFailure::Unavailable,
        _ => TellFailure::Refused,
    };
    TellError {
        kind,
        detail: format!("answered with status {}", status.as_u16()),
        retry_after: retry_after(headers, now),
    }
}

/// `Retry-After` as seconds (whole or not) or as an HTTP date.
fn retry_after(headers: &HeaderMap, now: Wall) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(secs) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(secs).ok();
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
    Some(Duration::from_millis(u64::try_from(date).ok()?.saturating_sub(now.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(value: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        retry_after(&headers, Wall(784_111_777_000))
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:51:37 GMT"), Some(Duration::from_secs(120)));
        assert_eq!(
            wait("Sun, 06 Nov 1994 08:00:00 GMT"),
            Some(Duration::ZERO),
            "in the past"
        );
        for nonsense in ["", "soon", "-5", "NaN", "1e400"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn statuses_are_retried_refused_or_final() {
        let kind = |status| refusal(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), Wall(0)).kind;
        for status in [408, 425, 429, 500, 502, 503] {
            assert_eq!(kind(status), TellFailure::Unavailable, "{status}");
        }
        for status in [301, 302, 400, 401, 403, 404] {
            assert_eq!(kind(status), TellFailure::Refused, "{status}");
        }
        assert_eq!(kind(410), TellFailure::Gone);
    }
}
