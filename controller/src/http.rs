//! What strangers may ask: health, readiness, the certificate; metrics on a port of their own.
//!
//! Every route answers GET and HEAD only, reads no body and does no work that grows with the request. There is no
//! limit to key on what a client claims to be, because nothing here costs anything; what connections cost is bounded
//! in [`server`].

mod server;

pub(crate) use server::{Limits, serve};

use crate::keystore::Held;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
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
}

/// Certificate and health.
pub(crate) fn public(served: Served) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/v1/cert.pem", get(certificate))
        .with_state(served)
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

async fn certificate(State(served): State<Served>) -> impl IntoResponse {
    let pem = served.keys.borrow().sealing().map(privyseal_keys::Certificate::to_pem);
    let content_type = |type_| [(header::CONTENT_TYPE, type_)];
    match pem {
        Some(pem) => (StatusCode::OK, content_type("application/x-pem-file"), pem),
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            content_type("text/plain; charset=utf-8"),
            "there is no key that seals\n".to_owned(),
        ),
    }
}
