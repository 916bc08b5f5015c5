//! How the edges make their typed failures.

use std::time::Duration;

use crate::core::FailureKind;
use crate::http::{HttpError, redact};

use super::ToggleError;

impl ToggleError {
    /// A failure in our own words or the provider's; the latter are shortened and redacted here.
    pub fn new(kind: FailureKind, doing: &'static str, detail: &str) -> Self {
        Self {
            kind,
            doing,
            detail: redact(detail),
            retry_after: None,
        }
    }

    /// An exchange that came to no answer.
    pub fn from_http(doing: &'static str, error: &HttpError) -> Self {
        let kind = match error {
            HttpError::Connect(_) | HttpError::Timeout | HttpError::Broken(_) => FailureKind::NoAnswer,
            HttpError::TooLarge => FailureKind::Nonsense,
            HttpError::Request(_) => FailureKind::Local,
        };
        Self::new(kind, doing, &error.to_string())
    }

    /// An answer that makes no sense; nothing may be written because of it.
    pub fn nonsense(doing: &'static str, detail: &str) -> Self {
        Self::new(FailureKind::Nonsense, doing, detail)
    }

    /// The same failure with what to do about it.
    #[must_use]
    pub fn hint(self, hint: &str) -> Self {
        Self {
            detail: redact(&format!("{hint} ({})", self.detail)),
            ..self
        }
    }

    /// The same failure with the provider's wish to wait.
    #[must_use]
    pub const fn after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }
}
