//! One call to Cloudflare's API: token, budget, envelope.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::core::FailureKind;
use crate::http::{Answer, Body, Http, Method, Request};

use super::meter::Meter;
use super::{CallKind, ToggleError};

/// Where the API is, unless configured otherwise.
pub const BASE_URL: &str = "https://api.cloudflare.com/client/v4";

/// A token that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is empty.
    #[error("the Cloudflare token is empty")]
    Empty,
    /// It holds blanks, line breaks, quotes or the word Bearer.
    #[error("the Cloudflare token must be the bare token: no quotes, no \"Bearer\", one line")]
    NotBare,
}

/// A client for Cloudflare's API with one token. Clones share connections.
#[derive(Clone)]
pub struct CloudflareClient {
    http: Http,
    token: SecretString,
    base_url: String,
}

impl fmt::Debug for CloudflareClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudflareClient").finish_non_exhaustive()
    }
}

/// One call.
#[derive(Debug)]
pub struct CloudflareCall<'a> {
    /// What it is for, in the words of errors.
    pub doing: &'static str,
    /// What the budget has to know.
    pub kind: CallKind,
    /// The method.
    pub method: Method,
    /// The path below the base URL, with a leading slash.
    pub path: &'a str,
    /// A JSON body.
    pub body: Option<Value>,
}

impl CloudflareClient {
    /// A client over these connections. White space around the token is cut off.
    pub fn new(http: Http, token: &SecretString, base_url: &str) -> Result<Self, TokenError> {
        let bare = token.expose_secret().trim();
        if bare.is_empty() {
            return Err(TokenError::Empty);
        }
        if !bare
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '+' | '/' | '='))
        {
            return Err(TokenError::NotBare);
        }
        Ok(Self {
            http,
            token: SecretString::from(bare),
            base_url: base_url.trim_end_matches('/').to_owned(),
        })
    }

    /// Calls once and gives back the envelope's `result`.
    pub async fn call(&self, meter: &Meter, call: CloudflareCall<'_>) -> Result<Value, ToggleError> {
        meter.call(call.kind, call.doing)?;
        let url = format!("{}{}", self.base_url, call.path);
        let request = Request {
            bearer: Some(&self.token),
            body: call.body.map_or(Body::None, Body::Json),
            ..Request::new(call.method, &url)
        };
        let sent = self.http.send(request).await;
        let answer = sent.map_err(|error| ToggleError::from_http(call.doing, &error))?;
        self.read(call.doing, &answer)
    }

    /// Has an open connection ready. Best effort.
    pub async fn warm(&self) {
        if let Err(error) = self.http.warm(&self.base_url).await {
            tracing::debug!(reason = error.reason(), error = %error, "cloudflare connection not ready");
        }
    }

    fn read(&self, doing: &'static str, answer: &Answer) -> Result<Value, ToggleError> {
        let envelope = serde_json::from_slice::<Envelope>(&answer.body).ok();
        match envelope {
            Some(envelope) if answer.is_success() && envelope.success => Ok(envelope.result),
            None if answer.is_success() => Err(ToggleError::nonsense(
                doing,
                "the answer is not Cloudflare's JSON envelope",
            )),
            envelope => {
                let envelope = envelope.unwrap_or_default();
                let detail = envelope
                    .words(answer.status)
                    .replace(self.token.expose_secret(), "<redacted>");
                let kind = kind_of(answer.status, &envelope.codes());
                Err(ToggleError::new(kind, doing, &detail).after(answer.retry_after()))
            }
        }
    }
}

#[derive(Default, Deserialize)]
struct Envelope {
    success: bool,
    #[serde(default, deserialize_with = "list_or_null")]
    errors: Vec<Note>,
    #[serde(default, deserialize_with = "list_or_null")]
    messages: Vec<Value>,
    #[serde(default)]
    result: Value,
}

#[derive(Deserialize)]
struct Note {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default, deserialize_with = "list_or_null")]
    error_chain: Vec<Note>,
}

/// Some of Cloudflare's answers say `null` where others say `[]`.
fn list_or_null<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Envelope {
    fn notes(&self) -> impl Iterator<Item = &Note> {
        self.errors
            .iter()
            .flat_map(|note| std::iter::once(note).chain(&note.error_chain))
    }

    fn codes(&self) -> Vec<i64> {
        self.notes().map(|note| note.code).collect()
    }

    /// Page Rules put the reason in `messages`, authentication in the error chain (cloudflare.md section 0).
    fn words(&self, status: u16) -> String {
        let mut words = vec![format!("status {status}")];
        words.extend(self.notes().map(|note| format!("{} {}", note.code, note.message)));
        let texts = self.messages.iter();
        let texts = texts.filter_map(|message| message.as_str().or_else(|| message.get("message")?.as_str()));
        words.extend(texts.map(str::to_owned));
        if self.codes().contains(&1011) {
            let hint = "Page Rules do not work with account-owned tokens: use a user's token, or a Single Redirect";
            words.insert(1, hint.to_owned());
        }
        words.join("; ")
    }
}

/// The code first, the status second: the same code comes under several statuses (cloudflare.md section 0).
fn kind_of(status: u16, codes: &[i64]) -> FailureKind {
    let by_code = codes.iter().find_map(|code| match code {
        1000 | 6003 | 6111 | 9109 | 10000 => Some(FailureKind::Denied),
        7000 | 7003 | 10003 | 10019 => Some(FailureKind::Missing),
        10020 => Some(FailureKind::Conflict),
        1001 | 1004 | 1011 => Some(FailureKind::Refused),
        _ => None,
    });
    by_code.unwrap_or(match status {
        401 | 403 => FailureKind::Denied,
        404 => FailureKind::Missing,
        408 | 500.. => FailureKind::Unavailable,
        409 => FailureKind::Conflict,
        429 => FailureKind::Limited,
        400..=499 => FailureKind::Refused,
        _ => FailureKind::Nonsense,
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
    use serde_json::json;

    use super::*;
    use crate::http::HttpSettings;

    const TOKEN: &str = "cf-canary-token";

    fn client(token: &str) -> Result<CloudflareClient, TokenError> {
        let http = Http::new(&HttpSettings::default()).unwrap();
        CloudflareClient::new(http, &SecretString::from(token), BASE_URL)
    }

    fn read(status: u16, body: &str) -> Result<Value, ToggleError> {
        client(TOKEN).unwrap().read(
            "test",
            &Answer {
                status,
                headers: HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]),
                body: body.as_bytes().to_vec(),
            },
        )
    }

    fn failure(code: i64, message: &str) -> String {
        json!({"success": false, "result": null, "messages": [], "errors": [{"code": code, "message": message}]})
            .to_string()
    }

    #[test]
    fn the_code_decides_before_the_status() {
        let table = [
            (400, 10000, FailureKind::Denied),
            (401, 1000, FailureKind::Denied),
            (400, 6003, FailureKind::Denied),
            (403, 9109, FailureKind::Denied),
            (400, 7003, FailureKind::Missing),
            (404, 10003, FailureKind::Missing),
            (400, 10019, FailureKind::Missing),
            (400, 10020, FailureKind::Conflict),
            (400, 1011, FailureKind::Refused),
            (400, 20124, FailureKind::Refused),
            (429, 0, FailureKind::Limited),
            (503, 0, FailureKind::Unavailable),
            (200, 77, FailureKind::Nonsense),
        ];
        for (status, code, expected) in table {
            let error = read(status, &failure(code, "words")).unwrap_err();
            assert_eq!(error.kind, expected, "{status} {code}");
            assert_eq!(error.retry_after, Some(std::time::Duration::from_secs(7)));
        }
    }

    #[test]
    fn what_is_no_envelope_is_nonsense_or_goes_by_the_status() {
        for body in [
            "<html>",
            "",
            "{\"success\":true,\"result\":{\"id\"",
            "[]",
            "{\"success\":\"yes\"}",
            "{}",
        ] {
            assert_eq!(read(200, body).unwrap_err().kind, FailureKind::Nonsense, "{body}");
            assert_eq!(read(502, body).unwrap_err().kind, FailureKind::Unavailable, "{body}");
        }
        assert_eq!(
            read(200, r#"{"success":false}"#).unwrap_err().kind,
            FailureKind::Nonsense
        );
        assert_eq!(read(200, r#"{"success":true,"result":null}"#).unwrap(), Value::Null);
        let nulls = r#"{"success":true,"errors":null,"messages":null,"result":7}"#;
        assert_eq!(read(200, nulls).unwrap(), json!(7));
        let denied = r#"{"success":false,"errors":[{"code":10000,"error_chain":null}],"messages":null}"#;
        assert_eq!(read(400, denied).unwrap_err().kind, FailureKind::Denied);
    }

    #[test]
    fn the_reason_is_found_in_chain_and_messages_and_holds_no_token() {
        let body = json!({
            "success": false, "result": null,
            "errors": [{"code": 6003, "message": "Invalid request headers", "error_chain": [{"code": 6111, "message": "Invalid format"}]}],
            "messages": [{"code": 1, "message": format!(".distinctTargetUrl: {TOKEN}")}],
        });
        let detail = read(400, &body.to_string()).unwrap_err().detail;
        for part in [
            "6003 Invalid request headers",
            "6111 Invalid format",
            ".distinctTargetUrl",
        ] {
            assert!(detail.contains(part), "{detail}");
        }
        assert!(!detail.contains(TOKEN), "{detail}");
    }

    #[test]
    fn a_token_is_trimmed_and_must_be_bare() {
        assert!(client(" abc_DEF-123\n").is_ok());
        assert_eq!(client("\n").unwrap_err(), TokenError::Empty);
        for wrong in ["Bearer abc", "\"abc\"", "abc\ndef"] {
            assert_eq!(client(wrong).unwrap_err(), TokenError::NotBare);
        }
    }
}
