//! The commands: who may give them, what they must say, and how long their effect is waited for.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tracing::{info, warn};

use super::error::ApiError;
use super::server::Peer;
use super::view::ModeView;
use super::{AdminState, SiteHandle};
use crate::clock::rfc3339;
use crate::core::machine::Pin;
use crate::core::{Command, Duration, Mode, Order, Route};

/// The largest body of a command; the longest reason and author fit in well.
pub const LARGEST_BODY: usize = 4096;
/// How long an override lasts when the command does not say.
pub const DEFAULT_FOR: Duration = Duration::from_secs(4 * 3600);
/// The longest override.
pub const LONGEST_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest reason, in characters.
pub const LONGEST_REASON: usize = 500;
/// The longest author, in characters.
pub const LONGEST_AUTHOR: usize = 100;
/// A body is one packet; whoever takes longer is not a client of ours.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// The loop takes a command within milliseconds; longer than this nobody waits at a prompt.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The body of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Why; must not be empty.
    pub reason: String,
    /// Who; `api` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// How long the override lasts, for example `90m`, `4h` or `2d`: 4 hours when left out, at most 7 days. Means nothing for `resume`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
}

impl Request {
    /// A command's body, with the override's duration to the second.
    pub fn new(reason: &str, author: Option<String>, lasts: Option<Duration>) -> Self {
        Self {
            reason: reason.to_owned(),
            author,
            lasts: lasts.map(|lasts| format!("{}s", lasts.as_secs())),
        }
    }
}

/// The answer to a command: with status 200 it is in force, with 202 it was accepted and will be soon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The site.
    pub site: String,
    /// `failover`, `failback`, `pause` or `resume`.
    pub command: String,
    /// Whether it is in force already.
    pub in_force: bool,
    /// Who is in command now.
    pub mode: ModeView,
}

/// The command's name in routes, logs and answers.
pub const fn name(order: Order) -> &'static str {
    match order {
        Order::Force(Route::Standby) => "failover",
        Order::Force(Route::Origin) => "failback",
        Order::Pause => "pause",
        Order::Resume => "resume",
    }
}

/// Takes a command and leaves an audit line, whatever comes of it.
pub(super) async fn take(
    order: Order,
    State(state): State<Arc<AdminState>>,
    Extension(peer): Extension<Peer>,
    site: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    // A name that is no text is the name of no site.
    let site = site.map_or_else(|_| String::from("?"), |Path(site)| site);
    let taken = give(order, &state, &peer, &site, &headers, body).await;
    if let Err(error) = &taken {
        let site = state.site(&site).map_or("?", |site| site.name.as_str());
        warn!(target: "pilotlight::audit", command = name(order), site, from = %peer, refused = error.code(), "command refused");
    }
    taken
}

async fn give(
    order: Order,
    state: &AdminState,
    peer: &Peer,
    site: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let token = state.token.as_ref().ok_or(ApiError::NoToken)?;
    if !token.is_in(headers) {
        return Err(ApiError::Unauthorized);
    }
    let site = state.site(site).ok_or_else(|| ApiError::NoSite {
        name: site.chars().take(LONGEST_AUTHOR).collect(),
        known: state.sites.iter().map(|site| site.name.clone()).collect(),
    })?;
    let pin = parse(&read(body).await?, state.clock.wall())?;
    let audit = pin.clone();
    let (mode, in_force) = send(site, Command { order, pin }).await?;
    info!(
        target: "pilotlight::audit",
        command = name(order), site = site.name, author = audit.author, reason = audit.reason,
        until = rfc3339(audit.until), from = %peer, in_force, "command accepted"
    );
    let status = if in_force { StatusCode::OK } else { StatusCode::ACCEPTED };
    let answer = Answer {
        site: site.name.clone(),
        command: name(order).to_owned(),
        in_force,
        mode: ModeView::new(&mode, &state.clock),
    };
    Ok((status, Json(answer)).into_response())
}

async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    match timeout(BODY_TIMEOUT, to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(error)) if is_too_large(&error) => Err(ApiError::TooLarge(LARGEST_BODY)),
        Ok(Err(_)) => Err(ApiError::Invalid("the body was cut off".to_owned())),
        Err(_) => Err(ApiError::Slow),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}

fn parse(body: &[u8], now: crate::core::Wall) -> Result<Pin, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let request: Request = serde_path_to_error::deserialize(&mut reader).map_err(|error| bad(&error))?;
    reader
        .end()
        .map_err(|_| ApiError::Invalid("there is more after the JSON object".to_owned()))?;
    let lasts = request.lasts.as_deref().map_or(Ok(DEFAULT_FOR), parse_for)?;
    Ok(Pin {
        until: now + lasts,
        author: words("author", request.author.as_deref().unwrap_or("api"), LONGEST_AUTHOR)?,
        reason: words("reason", &request.reason, LONGEST_REASON)?,
    })
}

fn bad(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let path = error.path().to_string();
    let place = if path == "." {
        String::new()
    } else {
        format!("{path}: ")
    };
    ApiError::Invalid(format!("{place}{}", error.inner()))
}

/// The text without the blanks around it, if people can read it: it goes into logs, notices and terminals.
fn words(field: &str, text: &str, longest: usize) -> Result<String, ApiError> {
    let text = text.trim();
    let complaint = match text.chars().count() {
        0 => "is empty".to_owned(),
        length if length > longest => format!("is longer than {longest} characters"),
        _ if text.chars().any(char::is_control) => "has control characters".to_owned(),
        _ => return Ok(text.to_owned()),
    };
    Err(ApiError::Invalid(format!("{field} {complaint}")))
}

fn parse_for(text: &str) -> Result<Duration, ApiError> {
    let span: Option<jiff::Span> = text.parse().ok();
    let whole_days = jiff::SpanRelativeTo::days_are_24_hours();
    let lasts = span.and_then(|span| Duration::try_from(span.to_duration(whole_days).ok()?).ok());
    match lasts {
        Some(lasts) if lasts > LONGEST_FOR => Err(ApiError::Invalid("for is longer than 7 days".to_owned())),
        Some(lasts) if lasts < Duration::from_secs(1) => {
            Err(ApiError::Invalid("for is shorter than 1 second".to_owned()))
        }
        Some(lasts) => Ok(lasts),
        None => Err(ApiError::Invalid("for is no duration: write 90m, 4h or 2d".to_owned())),
    }
}

/// Hands the command to the site's loop and waits a moment for its effect. Returns the mode as it stands then, and whether it is the wanted one.
async fn send(site: &SiteHandle, command: Command) -> Result<(Mode, bool), ApiError> {
    let mut status = site.status.clone();
    let wanted = wanted(&command);
    let sent = timeout(EFFECT_TIMEOUT, site.commands.send(command)).await;
    if !matches!(sent, Ok(Ok(()))) {
        return Err(ApiError::Busy);
    }
    // Late or never is an answer too: whoever asked is told how it stands.
    let _ = timeout(EFFECT_TIMEOUT, status.wait_for(|status| status.mode == wanted)).await;
    let mode = status.borrow().mode.clone();
    let in_force = mode == wanted;
    Ok((mode, in_force))
}

/// The mode that the command leads to.
fn wanted(command: &Command) -> Mode {
    let pin = command.pin.clone();
    match command.order {
        Order::Force(route) => Mode::Pinned { route, pin },
        Order::Pause => Mode::Paused { pin },
        Order::Resume => Mode::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Wall;

    fn complaint(body: &str) -> String {
        parse(body.as_bytes(), Wall(0)).unwrap_err().to_string()
    }

    #[test]
    fn a_reason_is_enough_and_the_rest_has_defaults() {
        let pin = parse(br#"{"reason":" new router "}"#, Wall(1_000)).unwrap();
        assert_eq!(pin.reason, "new router");
        assert_eq!(pin.author, "api");
        assert_eq!(pin.until, Wall(1_000) + DEFAULT_FOR);
    }

    #[test]
    fn durations_are_read_up_to_seven_days() {
        for (text, secs) in [
            ("90m", 5400),
            ("4h", 14_400),
            ("1h 30m", 5400),
            ("2d", 172_800),
            ("7d", 604_800),
        ] {
            assert_eq!(parse_for(text).unwrap(), Duration::from_secs(secs), "{text}");
        }
        for text in ["", "soon", "4", "-4h", "0s", "8d", "1mo", "P1Y", "169h"] {
            assert!(parse_for(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said() {
        assert!(complaint("").contains("EOF"));
        assert!(complaint("[]").contains("expected"), "{}", complaint("[]"));
        assert!(complaint("{}").contains("missing field `reason`"));
        assert!(complaint(r#"{"reason":"a","until":1}"#).contains("unknown field `until`"));
        assert!(complaint(r#"{"reason":7}"#).starts_with("reason: invalid type"));
        assert!(complaint(r#"{"reason":"a"} x"#).contains("more after"));
        assert_eq!(complaint(r#"{"reason":"  "}"#), "reason is empty");
        assert_eq!(complaint(r#"{"reason":"a\nb"}"#), "reason has control characters");
        assert_eq!(complaint(r#"{"reason":"a","author":""}"#), "author is empty");
        let long = "x".repeat(LONGEST_REASON + 1);
        assert!(complaint(&format!(r#"{{"reason":"{long}"}}"#)).contains("longer than 500"));
    }
}
