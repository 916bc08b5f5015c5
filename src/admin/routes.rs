//! The routes that read, and the table of all.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Serialize;
use tracing::error;

use super::error::{ApiError, no_method, no_route};
use super::view::{SiteView, StatusView};
use super::{AdminState, SiteHandle, command};
use crate::clock::rfc3339;
use crate::core::{Now, Order, Route, Status};
use crate::metrics::CONTENT_TYPE as METRICS_TYPE;

/// All routes.
pub(super) fn router(state: Arc<AdminState>) -> Router {
    let order = |order: Order| {
        post(move |state, peer, site, headers, body| command::take(order, state, peer, site, headers, body))
    };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/sites/{site}/failover", order(Order::Force(Route::Standby)))
        .route("/api/v1/sites/{site}/failback", order(Order::Force(Route::Origin)))
        .route("/api/v1/sites/{site}/pause", order(Order::Pause))
        .route("/api/v1/sites/{site}/resume", order(Order::Resume))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::map_response(plain))
        .with_state(state)
}

/// No cache keeps an answer, and no browser guesses its type.
async fn plain(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// `GET /healthz`: the process is alive and its runtime runs.
async fn healthz() -> Response {
    #[derive(Serialize)]
    struct Health {
        alive: bool,
    }
    Json(Health { alive: true }).into_response()
}

/// The body of `GET /readyz`.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<Reason>,
}

/// Why a site is not ready.
#[derive(Serialize)]
struct Reason {
    site: String,
    code: &'static str,
    message: &'static str,
}

/// `GET /readyz`: whether decisions can be trusted now.
async fn readyz(State(state): State<Arc<AdminState>>) -> Response {
    let now = state.clock.now();
    let reasons: Vec<_> = state
        .sites
        .iter()
        .flat_map(|site| degraded(&state, site, now))
        .collect();
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = Readiness {
        ready: reasons.is_empty(),
        reasons,
    };
    (status, Json(body)).into_response()
}

fn degraded(state: &AdminState, site: &SiteHandle, now: Now) -> Vec<Reason> {
    let picture = Arc::clone(&site.status.borrow());
    let stopped = site.status.has_changed().is_err();
    let checks = [
        (stopped, "loop_stopped", "the site's loop has ended; nobody watches"),
        (
            !picture.observed_enough,
            "not_observed_enough",
            "not watched for a full window since the start; no decision is made yet",
        ),
        (
            !picture.saving,
            "save_failing",
            "the state cannot be saved in time; a restart would forget",
        ),
        (
            verdict_is_stale(state, &picture, now),
            "verdict_stale",
            "home was not judged for too long; probes do not come back",
        ),
    ];
    checks
        .into_iter()
        .filter(|(applies, ..)| *applies)
        .map(|(_, code, message)| Reason {
            site: site.name.clone(),
            code,
            message,
        })
        .collect()
}

fn verdict_is_stale(state: &AdminState, picture: &Status, now: Now) -> bool {
    let judged_at = picture.verdict.map_or(crate::core::Instant::ZERO, |judged| judged.at);
    now.at.since(judged_at) > state.verdict_stale_after
}

/// `GET /metrics`: Prometheus' text format. Brings the pictures up to date first, so that ages are those of this moment.
async fn metrics(State(state): State<Arc<AdminState>>) -> Result<Response, ApiError> {
    let now = state.clock.now();
    for site in &state.sites {
        let picture = Arc::clone(&site.status.borrow());
        state.metrics.observe_status(&site.name, &picture, now);
    }
    let text = state.metrics.encode().map_err(|cause| {
        error!(%cause, "metrics could not be encoded");
        ApiError::Metrics
    })?;
    Ok(([(CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}

/// `GET /api/v1/status`: see [`StatusView`].
async fn status(State(state): State<Arc<AdminState>>) -> Json<StatusView> {
    let view = |site: &SiteHandle| SiteView::new(&site.name, &site.status.borrow(), &state.clock);
    Json(StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: rfc3339(state.clock.wall()),
        sites: state.sites.iter().map(view).collect(),
    })
}
