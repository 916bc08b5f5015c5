//! A provider on loopback: gives the script's answers, then goes on as an honest one, and remembers every call.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::script::Answer;

/// One call and what was answered.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The body.
    pub sent: Vec<u8>,
    /// The answer.
    pub answered: Answer,
}

impl Call {
    /// Whether it may change something: neither a read nor a question for a token.
    pub fn is_write(&self) -> bool {
        self.method != Method::GET && self.method != Method::HEAD && self.path != TOKEN_PATH
    }

    /// The body as JSON. A write of ours without one is a fault.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.sent).expect("a write's body is JSON")
    }
}

/// Where the token endpoint is.
pub const TOKEN_PATH: &str = "/token";

#[derive(Default)]
struct Inner {
    /// Front last.
    answers: Vec<Answer>,
    calls: Vec<Call>,
    held: Value,
}

/// The provider; clones are the same one.
#[derive(Clone, Default)]
pub struct Provider(Arc<Mutex<Inner>>);

impl Provider {
    /// Has these answers ready and forgets what was.
    pub fn play(&self, answers: Vec<Answer>) {
        let mut inner = self.lock();
        *inner = Inner::default();
        inner.answers = answers;
        inner.answers.reverse();
    }

    /// The calls since the last [`Provider::play`].
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.lock().calls)
    }

    /// Serves until the runtime ends.
    pub async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let provider = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| provider.answer(request));
                let mut connection = hyper::server::conn::http1::Builder::new();
                // The script alone tells the time.
                connection.auto_date_header(false);
                // A connection that breaks is the client's affair.
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let sent = body
            .collect()
            .await
            .map(|body| body.to_bytes().to_vec())
            .unwrap_or_default();
        let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let mut inner = self.lock();
        let answered = match inner.answers.pop() {
            Some(answer) => answer,
            None => honest(&inner.held, &head.method, &path, &sent),
        };
        if answered.is_success() {
            inner.held = serde_json::from_slice(&answered.body).unwrap_or_default();
        }
        let response = response(&answered);
        inner.calls.push(Call {
            method: head.method,
            path,
            sent,
            answered,
        });
        Ok(response)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn response(answer: &Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.body.clone()));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in &answer.headers {
        let name = name.to_ascii_lowercase();
        // Framing is the server's own.
        if matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection") {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// What a provider that holds `held` answers.
fn honest(held: &Value, method: &Method, path: &str, sent: &[u8]) -> Answer {
    let sent: Value = serde_json::from_slice(sent).unwrap_or_default();
    let body = if path == TOKEN_PATH {
        json!({"access_token": crate::rig::FETCHED_TOKEN, "expires_in": 3599, "token_type": "Bearer"})
    } else if path.ends_with(":setIamPolicy") {
        let mut policy = sent["policy"].clone();
        policy["etag"] = json!("BwZnext=");
        policy
    } else if path.contains("/rulesets/") && *method == Method::PATCH {
        in_envelope(held, &switched(&held["result"], path, &sent))
    } else if path.contains("/pagerules/") && *method == Method::PATCH {
        in_envelope(held, &merged(&held["result"], &sent))
    } else if path.contains("/snoozes/") {
        let name = path.trim_start_matches("/v3/").split('?').next().unwrap_or_default();
        let mut snooze = json!({"name": name, "interval": {"startTime": "2026-11-21T09:00:00Z"}});
        snooze["interval"]["endTime"] = sent["interval"]["endTime"].clone();
        snooze
    } else if path.ends_with("/snoozes") && *method == Method::POST {
        merged(&json!({"name": "projects/p/snoozes/new"}), &sent)
    } else if *method == Method::PATCH {
        merged(held, &sent)
    } else {
        held.clone()
    };
    Answer {
        status: 200,
        headers: vec![("date".to_owned(), crate::rig::NOW_HTTP.to_owned())],
        body: body.to_string().into_bytes(),
    }
}

fn in_envelope(held: &Value, result: &Value) -> Value {
    merged(held, &json!({ "result": result }))
}

/// The ruleset with the rule at this path replaced by its new definition.
fn switched(ruleset: &Value, path: &str, definition: &Value) -> Value {
    let mut ruleset = ruleset.clone();
    for rule in ruleset
        .get_mut("rules")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if rule["id"]
            .as_str()
            .is_some_and(|id| path.ends_with(&format!("/rules/{id}")))
        {
            *rule = merged(&json!({"id": rule["id"]}), definition);
        }
    }
    ruleset
}

fn merged(object: &Value, with: &Value) -> Value {
    let mut object = object.clone();
    if let (Some(fields), Some(more)) = (object.as_object_mut(), with.as_object()) {
        fields.extend(more.clone());
    }
    object
}
