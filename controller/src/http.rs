//! What strangers may ask: health, readiness, certificate and recipients, and whether a SealedSecret opens; metrics on a port of
//! their own.
//!
//! All routes but two answer GET and HEAD only, read no body and do no work that grows with the request. The two of
//! [`reseal`] answer POST only, and all that they cost is bounded there. No limit is keyed on what a client claims to
//! be; what connections cost is bounded in [`server`].

mod body;
mod line;
mod reseal;
mod server;

pub(crate) use server::{Limits, serve};

use crate::keystore::Held;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use reseal::Desk;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// What the routes look at.
#[derive(Clone)]
pub(crate) struct Served {
    /// The keys.
    pub keys: watch::Receiver<Held>,
    /// Whether the watches have told what there is.
    pub synced: Arc<AtomicBool>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// Certificate, health, and the verbs for one SealedSecret.
pub(crate) fn public(served: Served) -> Router {
    let metrics = served.metrics.clone();
    let verbs = Router::new()
        .route("/v1/verify", post(reseal::verify))
        .route("/v1/rotate", post(reseal::rotate))
        .with_state(Desk::new(served.clone()));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/v1/cert.pem", get(certificate))
        .route("/v1/recipients", get(recipients))
        .with_state(served)
        .merge(verbs)
        .layer(from_fn_with_state(metrics, counted))
}

async fn counted(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let route = match request.uri().path() {
        "/healthz" => "healthz",
        "/readyz" => "readyz",
        "/v1/cert.pem" => "cert",
        "/v1/recipients" => "recipients",
        "/v1/verify" => "verify",
        "/v1/rotate" => "rotate",
        _ => "other",
    };
    let response = next.run(request).await;
    metrics.answered(route, response.status());
    response
}

/// Metrics.
pub(crate) fn metrics(metrics: Arc<Metrics>) -> Router {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = async move || ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.text());
    Router::new().route("/metrics", get(text))
}

/// Ready: it holds a key that seals, and knows what there is. A lost API server does not change that.
async fn ready(State(served): State<Served>) -> impl IntoResponse {
    if !served.synced.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "the watches have not told all objects yet\n");
    }
    if served.keys.borrow().sealing().is_none() {
        return (StatusCode::SERVICE_UNAVAILABLE, "there is no key that seals\n");
    }
    (StatusCode::OK, "ok\n")
}

/// PEM and nothing else, as the peer's tools take it.
async fn certificate(State(served): State<Served>) -> Response {
    let pem = served.keys.borrow().sealing().map(privyseal_keys::Certificate::to_pem);
    match pem {
        Some(pem) => ([(header::CONTENT_TYPE, "application/x-pem-file")], pem).into_response(),
        None => unavailable("there is no key that seals\n"),
    }
}

/// One per line, the post-quantum one first.
async fn recipients(State(served): State<Served>) -> Response {
    let sealing = served.keys.borrow().sealing_half();
    match sealing.map(|half| half.recipients_text()) {
        Some(Some(text)) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Some(None) => unavailable("the key that seals has no age recipients yet\n"),
        None => unavailable("there is no key that seals\n"),
    }
}

fn unavailable(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, TEXT)], why).into_response()
}

const TEXT: &str = "text/plain; charset=utf-8";
