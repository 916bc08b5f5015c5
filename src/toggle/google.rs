//! One call to a Google API: token, budget, error envelope.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::core::{FailureKind, Wall};
use crate::http::{Answer, Body, Http, Method, Request};

use super::google_token::TokenSource;
use super::meter::Meter;
use super::{CallKind, ToggleError};

/// A client for Google's APIs with one credential. Clones share connections and tokens.
#[derive(Clone, Debug)]
pub struct GoogleClient {
    http: Http,
    tokens: TokenSource,
}

/// One call.
#[derive(Debug)]
pub struct GoogleCall<'a> {
    /// What it is for, in the words of errors.
    pub doing: &'static str,
    /// What the budget has to know.
    pub kind: CallKind,
    /// The API's own name for itself, whatever base URL it is reached by.
    pub audience: &'static str,
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: &'a str,
    /// A JSON body.
    pub body: Option<Value>,
}

/// A good answer: a JSON object.
#[derive(Debug)]
pub struct GoogleReply {
    /// The object.
    pub value: Value,
    /// The server's clock, if it told it.
    pub date: Option<Wall>,
}

impl GoogleClient {
    /// A client over these connections and this credential.
    pub const fn new(http: Http, tokens: TokenSource) -> Self {
        Self { http, tokens }
    }

    /// The credential, for the task that keeps it fresh.
    pub const fn tokens(&self) -> &TokenSource {
        &self.tokens
    }

    /// Calls once, and once more with another token when the first one is refused with 401.
    pub async fn call(&self, meter: &Meter, call: GoogleCall<'_>) -> Result<GoogleReply, ToggleError> {
        let token = self.tokens.token(call.audience).await?;
        let first = self.send(meter, &call, &token).await?;
        if first.status != 401 {
            return read(call.doing, &first);
        }
        let token = self.tokens.renew(&token).await?;
        let second = self.send(meter, &call, &token).await?;
        // A front end in trouble says nothing of the token.
        if second.status != 401 && second.status < 500 {
            self.tokens.prefer_fetched(call.audience);
        }
        read(call.doing, &second)
    }

    /// Has a token and an open connection ready. Best effort.
    pub async fn warm(&self, audience: &'static str, base_url: &str) {
        let (token, connection) = tokio::join!(self.tokens.token(audience), self.http.warm(base_url));
        if let Err(error) = token {
            tracing::debug!(reason = error.reason(), error = %error, "google token not ready");
        }
        if let Err(error) = connection {
            tracing::debug!(reason = error.reason(), error = %error, "google connection not ready");
        }
    }

    async fn send(
        &self,
        meter: &Meter,
        call: &GoogleCall<'_>,
        token: &secrecy::SecretString,
    ) -> Result<Answer, ToggleError> {
        meter.call(call.kind, call.doing)?;
        let request = Request {
            bearer: Some(token),
            body: call.body.clone().map_or(Body::None, Body::Json),
            ..Request::new(call.method.clone(), call.url)
        };
        let sent = self.http.send(request).await;
        sent.map_err(|error| ToggleError::from_http(call.doing, &error))
    }
}

/// What to do about a refusal for good that Google words for another reader (google.md sections 1.3 and 1.4).
fn remedy(word: &str, message: &str) -> Option<&'static str> {
    if message.contains("permitted customer") || message.contains("allowedPolicyMemberDomains") {
        return Some(
            "an organization policy forbids allUsers here (domain restricted sharing): write gate.mode = \"invoker_check\", \
             or keep the standby always open with a small maxInstanceCount and write gate.mode = \"open\"",
        );
    }
    if message.contains("requireInvokerIam") {
        return Some("an organization policy wants the invoker check to stay on: write gate.mode = \"iam\"");
    }
    (word == "ALREADY_EXISTS" && message.contains("Revision named")).then_some(
        "the service's template pins a revision's name, so every change of the service is refused: deploy it without a revision name or \
         suffix, or write gate.mode = \"iam\"",
    )
}

/// How a long-running operation failed: its `error` holds a number of `google.rpc.Code`, whatever the HTTP status was.
pub(super) fn operation_failure(doing: &'static str, error: &Value) -> ToggleError {
    let code = error.get("code").and_then(Value::as_u64).unwrap_or_default();
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    let word = match code {
        1 => "CANCELLED",
        3 => "INVALID_ARGUMENT",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND",
        6 => "ALREADY_EXISTS",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        11 => "OUT_OF_RANGE",
        12 => "UNIMPLEMENTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        16 => "UNAUTHENTICATED",
        _ => "UNKNOWN",
    };
    let said = Status {
        message: message.to_owned(),
        word: word.to_owned(),
        details: Vec::new(),
    };
    ToggleError::new(kind_of(200, &said), doing, &said.words(200))
}

fn read(doing: &'static str, answer: &Answer) -> Result<GoogleReply, ToggleError> {
    if !answer.is_success() {
        return Err(refusal(doing, answer));
    }
    match answer.json() {
        Some(value @ Value::Object(_)) => Ok(GoogleReply {
            value,
            date: answer.date_secs().map(|secs| Wall(secs.saturating_mul(1000))),
        }),
        _ => Err(ToggleError::nonsense(doing, "the answer is not a JSON object")),
    }
}

#[derive(Deserialize)]
struct Envelope {
    error: Status,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
    #[serde(default, rename = "status")]
    word: String,
    #[serde(default)]
    details: Vec<Value>,
}

impl Status {
    /// `google.rpc.RetryInfo` rides in the details: `{"retryDelay":"5s"}`.
    fn retry_delay(&self) -> Option<Duration> {
        let text = self
            .details
            .iter()
            .find_map(|detail| detail.get("retryDelay"))?
            .as_str()?;
        let secs: f64 = text.strip_suffix('s')?.parse().ok()?;
        Duration::try_from_secs_f64(secs.min(3600.0)).ok()
    }

    fn words(&self, http_status: u16) -> String {
        if let Some(remedy) = remedy(&self.word, &self.message) {
            return remedy.to_owned();
        }
        let message = if self.message.is_empty() {
            "no reason given"
        } else {
            &self.message
        };
        let head = format!("{http_status} {}", self.word);
        format!("{}: {message}", head.trim_end())
    }

    fn rate_limited(&self) -> bool {
        let reasons = self.details.iter().filter_map(|detail| detail.get("reason")?.as_str());
        reasons.into_iter().any(|reason| reason.starts_with("RATE_LIMIT"))
    }
}

/// Google's front ends answer in HTML now and then, so the envelope may be missing (google.md section 5).
fn refusal(doing: &'static str, answer: &Answer) -> ToggleError {
    let envelope = serde_json::from_slice::<Envelope>(&answer.body).ok();
    let said = envelope.map(|envelope| envelope.error).unwrap_or_default();
    let kind = kind_of(answer.status, &said);
    ToggleError::new(kind, doing, &said.words(answer.status)).after(answer.retry_after().max(said.retry_delay()))
}

/// By `error.status` first: the same HTTP code stands for several (409 is ABORTED or `ALREADY_EXISTS`).
fn kind_of(http_status: u16, said: &Status) -> FailureKind {
    match said.word.as_str() {
        "ABORTED" => FailureKind::Conflict,
        "RESOURCE_EXHAUSTED" => FailureKind::Limited,
        "PERMISSION_DENIED" if said.rate_limited() => FailureKind::Limited,
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => FailureKind::Denied,
        "NOT_FOUND" => FailureKind::Missing,
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" | "ALREADY_EXISTS" | "UNIMPLEMENTED" => {
            FailureKind::Refused
        }
        "UNAVAILABLE" | "INTERNAL" | "UNKNOWN" | "DEADLINE_EXCEEDED" | "CANCELLED" => FailureKind::Unavailable,
        _ => match http_status {
            401 | 403 => FailureKind::Denied,
            404 => FailureKind::Missing,
            409 => FailureKind::Conflict,
            408 | 499 | 500.. => FailureKind::Unavailable,
            429 => FailureKind::Limited,
            400..=498 => FailureKind::Refused,
            _ => FailureKind::Nonsense,
        },
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn kind(status: u16, body: &Value) -> FailureKind {
        read("test", &answer(status, &body.to_string())).unwrap_err().kind
    }

    fn envelope(status: &str, message: &str) -> Value {
        json!({"error": {"code": 1, "message": message, "status": status, "errors": [{"reason": "x"}]}})
    }

    #[test]
    fn each_status_of_google_has_its_kind() {
        let table = [
            (400, "INVALID_ARGUMENT", FailureKind::Refused),
            (400, "FAILED_PRECONDITION", FailureKind::Refused),
            (401, "UNAUTHENTICATED", FailureKind::Denied),
            (403, "PERMISSION_DENIED", FailureKind::Denied),
            (404, "NOT_FOUND", FailureKind::Missing),
            (409, "ABORTED", FailureKind::Conflict),
            (409, "ALREADY_EXISTS", FailureKind::Refused),
            (429, "RESOURCE_EXHAUSTED", FailureKind::Limited),
            (500, "INTERNAL", FailureKind::Unavailable),
            (503, "UNAVAILABLE", FailureKind::Unavailable),
            (504, "DEADLINE_EXCEEDED", FailureKind::Unavailable),
        ];
        for (code, status, expected) in table {
            assert_eq!(kind(code, &envelope(status, "words")), expected, "{status}");
        }
    }

    #[test]
    fn html_from_a_front_end_goes_by_the_status() {
        for (status, expected) in [
            (404, FailureKind::Missing),
            (409, FailureKind::Conflict),
            (429, FailureKind::Limited),
            (502, FailureKind::Unavailable),
            (302, FailureKind::Nonsense),
        ] {
            let error = read("test", &answer(status, "<html>Error</html>")).unwrap_err();
            assert_eq!(error.kind, expected, "{status}");
            assert!(!error.to_string().contains('<'), "{error}");
        }
    }

    #[test]
    fn a_good_status_without_a_json_object_is_nonsense() {
        for body in ["", "<html></html>", "{\"etag\":\"A", "[]", "null"] {
            assert_eq!(
                read("test", &answer(200, body)).unwrap_err().kind,
                FailureKind::Nonsense
            );
        }
    }

    #[test]
    fn the_org_policys_refusal_tells_the_way_out() {
        let message = "One or more users named in the policy do not belong to a permitted customer,  perhaps due to an organization policy.";
        let error = read(
            "test",
            &answer(400, &envelope("FAILED_PRECONDITION", message).to_string()),
        )
        .unwrap_err();
        assert_eq!(error.kind, FailureKind::Refused);
        assert!(error.detail.contains("domain restricted sharing"), "{error}");
        assert!(error.detail.contains("gate.mode = \"invoker_check\""), "{error}");
    }

    #[test]
    fn a_pinned_revision_is_no_concurrent_change_and_tells_the_way_out() {
        let refused = |word, message| read("test", &answer(409, &envelope(word, message).to_string())).unwrap_err();
        let pinned = "Revision named 'standby-7' with different configuration already exists.";
        let error = refused("ALREADY_EXISTS", pinned);
        assert_eq!(error.kind, FailureKind::Refused);
        assert!(error.detail.contains("pins a revision's name"), "{error}");
        let error = refused("ABORTED", "There were concurrent policy changes.");
        assert_eq!(error.kind, FailureKind::Conflict);
        assert!(error.detail.contains("concurrent"), "{error}");
    }

    #[test]
    fn an_operations_error_goes_by_its_own_number() {
        for (code, expected) in [
            (5, FailureKind::Missing),
            (7, FailureKind::Denied),
            (8, FailureKind::Limited),
            (9, FailureKind::Refused),
            (10, FailureKind::Conflict),
            (14, FailureKind::Unavailable),
            (99, FailureKind::Unavailable),
        ] {
            let error = operation_failure("test", &json!({"code": code, "message": "words"}));
            assert_eq!(error.kind, expected, "{code}");
            assert!(error.detail.contains("words"), "{error}");
        }
    }

    #[test]
    fn the_longer_of_two_waits_is_kept() {
        let body =
            json!({"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"reason": "x"}, {"retryDelay": "4.5s"}]}});
        let mut answer = answer(429, &body.to_string());
        let wait = |answer: &Answer| read("test", answer).unwrap_err().retry_after;
        assert_eq!(wait(&answer), Some(Duration::from_millis(4500)));
        answer.headers.insert(RETRY_AFTER, HeaderValue::from_static("9"));
        assert_eq!(wait(&answer), Some(Duration::from_secs(9)));
    }
}
