//! HTTP/1.1 over a door: a request read whole, a reply sent whole (or broken on purpose).

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio_rustls::TlsAcceptor;

use super::door::{Serve, Wire};

/// No request to the sandbox is larger; more is an error in the caller.
const MAX_BODY: usize = 1 << 20;

/// A request, read whole.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) wire: Wire,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The host asked for, without a port.
    pub(super) fn host(&self) -> &str {
        let host = self.header("host").unwrap_or_default();
        host.split_once(':').map_or(host, |(name, _)| name)
    }

    /// The first value of a query parameter, decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        })
    }

    /// The path's segments.
    pub(super) fn segments(&self) -> Vec<&str> {
        self.path.trim_matches('/').split('/').collect()
    }

    /// The bearer token, if the header has that form.
    pub(super) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The body as JSON; an empty body is null.
    pub(super) fn json(&self) -> Result<Value, serde_json::Error> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body)
    }
}

/// Percent decoding; malformed escapes stay as they are.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push((hex_digit(*high) << 4) | hex_digit(*low));
                rest = after;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(first),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

const fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => digit.wrapping_sub(b'0'),
    }
}

/// What a provider call did to the provider's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: a read, or a refusal.
    #[default]
    None,
    /// A write that was accepted and changed nothing.
    Unchanged,
    /// A write that changed something.
    Changed,
}

/// How much of the body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Whole,
    /// Half of it, then the connection breaks.
    Half,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Box<HeaderMap>,
    pub(super) body: Bytes,
    pub(super) effect: Effect,
    extent: Extent,
}

impl Reply {
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: Box::new(headers),
            body: body.into(),
            effect: Effect::None,
            extent: Extent::Whole,
        }
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json; charset=UTF-8", value.to_string())
    }

    pub(super) fn html(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/html; charset=UTF-8", body)
    }

    pub(super) fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain; charset=UTF-8", body)
    }

    /// Adds or replaces a header; a value that cannot stand in a header is left out.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    pub(super) fn with_body(self, body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }

    pub(super) const fn did(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    pub(super) const fn halved(mut self) -> Self {
        self.extent = Extent::Half;
        self
    }

    fn into_response(self) -> Response<BoxBody<Bytes, io::Error>> {
        let body = match self.extent {
            Extent::Whole => Full::new(self.body).map_err(|never| match never {}).boxed(),
            Extent::Half => {
                let half = self.body.slice(..self.body.len() / 2);
                let frames = [Ok(Frame::data(half)), Err(io::Error::other("cut on purpose"))];
                // Yielding once between the frames lets the first half leave.
                let frames = stream::iter(frames).then(|frame| async {
                    tokio::task::yield_now().await;
                    frame
                });
                BodyExt::boxed(StreamBody::new(Box::pin(frames)))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = *self.headers;
        response
    }
}

/// What answers requests.
pub(super) type Answer = Arc<dyn Fn(Asked) -> BoxFuture<'static, Reply> + Send + Sync>;
/// Picks the certificate for a new connection.
pub(super) type PickTls = Arc<dyn Fn() -> TlsAcceptor + Send + Sync>;

/// Plain HTTP.
pub(super) fn plain(answer: Answer) -> Serve {
    Arc::new(move |tap, wire| {
        let answer = Arc::clone(&answer);
        Box::pin(async move { converse(TokioIo::new(tap), wire, answer).await })
    })
}

/// HTTP over TLS.
pub(super) fn secure(pick: PickTls, answer: Answer) -> Serve {
    Arc::new(move |tap, wire| {
        let (acceptor, answer) = (pick(), Arc::clone(&answer));
        Box::pin(async move {
            // A failed handshake is the client's to report.
            if let Ok(stream) = acceptor.accept(tap).await {
                converse(TokioIo::new(stream), wire, answer).await;
            }
        })
    })
}

async fn converse<I>(io: I, wire: Wire, answer: Answer)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send,
{
    let service = service_fn(move |request| {
        let (wire, answer) = (wire.clone(), Arc::clone(&answer));
        async move { Ok::<_, Infallible>(respond(request, wire, &answer).await.into_response()) }
    });
    // An idle connection may stay: doors are few, bounded, and end with the sandbox. Broken ones are the client's to report.
    hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(io, service)
        .await
        .ok();
}

async fn respond(request: Request<Incoming>, wire: Wire, answer: &Answer) -> Reply {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Reply::text(413, "too large\n");
    };
    let asked = Asked {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.to_bytes(),
        wire,
    };
    answer(asked).await
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn escapes_are_decoded_and_broken_ones_kept() {
        assert_eq!(decode("a%2Fb+c"), "a/b c");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz"), "%zz");
    }
}
