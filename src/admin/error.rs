//! Errors as JSON: a code for machines, a message and a hint for people.

use axum::Json;
use axum::http::header::{HeaderValue, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// One word for machines; never changes.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Why a request got no success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    #[error("there is no such route: {0}")]
    NoRoute(String),
    #[error("{0} is not possible here")]
    Method(String),
    #[error("commands are switched off: no admin token is configured")]
    NoToken,
    #[error("the token is missing or wrong")]
    Unauthorized,
    #[error("there is no site {name:?}")]
    NoSite { name: String, known: Vec<String> },
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive in time")]
    Slow,
    #[error("{0}")]
    Invalid(String),
    #[error("the site's loop does not take the command now")]
    Busy,
    #[error("the metrics could not be encoded")]
    Metrics,
}

impl ApiError {
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::NoRoute(_) => "no_such_route",
            Self::Method(_) => "method_not_allowed",
            Self::NoToken => "commands_off",
            Self::Unauthorized => "unauthorized",
            Self::NoSite { .. } => "no_such_site",
            Self::TooLarge(_) => "body_too_large",
            Self::Slow => "timeout",
            Self::Invalid(_) => "invalid_body",
            Self::Busy => "busy",
            Self::Metrics => "internal",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute(_) | Self::NoSite { .. } => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoToken => StatusCode::FORBIDDEN,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Metrics => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::NoRoute(_) => "see /api/v1/status, /metrics, /healthz, /readyz".to_owned(),
            Self::Method(_) => "GET reads; POST gives a command".to_owned(),
            Self::NoToken => "set admin.token_file in the config and restart".to_owned(),
            Self::Unauthorized => "send Authorization: Bearer TOKEN, with the content of admin.token_file".to_owned(),
            Self::NoSite { known, .. } if known.is_empty() => "no site is configured".to_owned(),
            Self::NoSite { known, .. } => format!("known sites: {}", known.join(", ")),
            Self::TooLarge(_) => "shorten the reason".to_owned(),
            Self::Slow => "send the whole body at once".to_owned(),
            Self::Invalid(_) => {
                r#"send {"reason": "why", "author": "who", "for": "4h"}; only reason is required"#.to_owned()
            }
            Self::Busy => "try again in a moment; if it stays so, look at the daemon's log".to_owned(),
            Self::Metrics => "look at the daemon's log".to_owned(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: ErrorDetail {
                code: self.code().to_owned(),
                message: self.to_string(),
                hint: self.hint(),
            },
        };
        let mut response = (self.status(), Json(body)).into_response();
        if self == Self::Unauthorized {
            let headers = response.headers_mut();
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The answer where no route fits.
pub(super) async fn no_route(uri: Uri) -> ApiError {
    ApiError::NoRoute(uri.path().chars().take(100).collect())
}

/// The answer where a route does not know the method.
pub(super) async fn no_method(method: Method) -> ApiError {
    ApiError::Method(method.to_string())
}
