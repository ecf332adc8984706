//! As much of an API server as the duties need, in memory: key Secrets, one ConfigMap, and events that nobody reads.

use super::now;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use privyseal_custody::cluster::{PUBLISHER_SECRET, publisher_secret};
use privyseal_keys::PublisherKey;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

pub(super) const NAMESPACE: &str = "privyseal";

#[derive(Clone, Default)]
pub(super) struct ApiServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    secrets: Vec<Value>,
    publisher: Option<Value>,
    made: Vec<Timestamp>,
    config_map: Option<Value>,
    version: u64,
    fails: bool,
}

impl ApiServer {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn client(&self) -> Client {
        let this = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let this = this.clone();
            async move { Ok::<_, Infallible>(this.answer(request).await) }
        });
        Client::new(service, NAMESPACE)
    }

    /// When key Secrets were made.
    pub(super) fn made(&self) -> Vec<Timestamp> {
        self.state().made.clone()
    }

    pub(super) fn published(&self) -> Option<ConfigMap> {
        self.state().config_map.clone().map(|config_map| serde_json::from_value(config_map).unwrap())
    }

    /// Puts a publisher key there, as somebody does who restores a backup.
    pub(super) fn put_publisher(&self, key: &PublisherKey) {
        let secret = publisher_secret(key, NAMESPACE).to_json();
        self.state().publisher = Some(serde_json::from_slice(&secret).unwrap());
    }

    /// Whether it answers 500 to everything.
    pub(super) fn fail(&self, fails: bool) {
        self.state().fails = fails;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default();
        if query.contains("watch=true") {
            // Nothing ever changes by itself.
            return std::future::pending().await;
        }
        let body = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let (status, answer) = self.state().handle(&head.method, head.uri.path(), query, body);
        Response::builder().status(status).body(Body::from(answer.to_string().into_bytes())).unwrap()
    }
}

impl State {
    fn handle(&mut self, method: &Method, path: &str, query: &str, mut body: Value) -> (StatusCode, Value) {
        if self.fails {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR);
        }
        self.version += 1;
        let resource = path.rsplit('/').find(|part| PLURALS.contains(part)).unwrap_or_default();
        let metadata = json!({"resourceVersion": self.version.to_string()});
        match (method, resource) {
            (&Method::GET, "secrets") if path.ends_with(PUBLISHER_SECRET) => match &self.publisher {
                Some(secret) => (StatusCode::OK, secret.clone()),
                None => refusal(StatusCode::NOT_FOUND),
            },
            (&Method::GET, "secrets") if query.contains("fieldSelector") => (
                StatusCode::OK,
                json!({"kind": "SecretList", "apiVersion": "v1", "metadata": metadata, "items": []}),
            ),
            (&Method::GET, "secrets") => (
                StatusCode::OK,
                json!({"kind": "SecretList", "apiVersion": "v1", "metadata": metadata, "items": self.secrets}),
            ),
            (&Method::POST, "secrets") => {
                body["metadata"]["name"] = format!("key{}", self.version).into();
                body["metadata"]["resourceVersion"] = metadata["resourceVersion"].clone();
                self.made.push(now());
                self.secrets.push(body.clone());
                (StatusCode::CREATED, json!({"metadata": body["metadata"]}))
            }
            (&Method::GET, "configmaps") if query.contains("fieldSelector") => {
                let items: Vec<_> = self.config_map.iter().collect();
                (
                    StatusCode::OK,
                    json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items}),
                )
            }
            (&Method::GET, "configmaps") => match &self.config_map {
                Some(config_map) => (StatusCode::OK, config_map.clone()),
                None => refusal(StatusCode::NOT_FOUND),
            },
            (&Method::POST | &Method::PUT, "configmaps") => {
                body["metadata"]["resourceVersion"] = metadata["resourceVersion"].clone();
                self.config_map = Some(body.clone());
                (StatusCode::OK, body)
            }
            (_, "events") => (StatusCode::CREATED, body),
            _ => refusal(StatusCode::NOT_FOUND),
        }
    }
}

fn refusal(status: StatusCode) -> (StatusCode, Value) {
    let reason = if status == StatusCode::NOT_FOUND { "NotFound" } else { "InternalError" };
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status.as_u16()});
    (status, body)
}

const PLURALS: [&str; 3] = ["secrets", "configmaps", "events"];
