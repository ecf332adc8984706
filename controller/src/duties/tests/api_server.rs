//! As much of an API server as the duties need, in memory: key Secrets, ConfigMaps, and events that are only counted.

use super::now;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::client::Body;
use privyseal_custody::escrow;
use privyseal_custody::key_secrets::{PUBLISHER_SECRET, publisher_secret};
use privyseal_custody::published::CONFIG_MAP;
use privyseal_keys::PublisherKey;
use privyseal_manifest::{Secret, names};
use serde_json::{Value, json};
use std::collections::BTreeMap;
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
    config_maps: BTreeMap<String, Value>,
    events: Vec<String>,
    version: u64,
    fails: bool,
    refuses_backups: bool,
    loses_backups: bool,
    /// Somebody else writes a Secret just before the next one that is replaced.
    is_overtaken: bool,
    replaced: usize,
    writes: usize,
    dies: Option<(usize, Death)>,
}

/// When it stops answering, seen from the write that is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Death {
    /// The write is not done.
    Before,
    /// The write is done, and nobody hears of it.
    After,
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
        let config_map = self.state().config_maps.get(CONFIG_MAP).cloned();
        config_map.map(|config_map| serde_json::from_value(config_map).unwrap())
    }

    /// Names and states of the key Secrets.
    pub(super) fn keys(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let key = |secret: &Value| {
            (
                text(&secret["metadata"]["name"]),
                text(&secret["metadata"]["labels"][names::SEALED_SECRETS_KEY]),
            )
        };
        self.state().secrets.iter().map(key).collect()
    }

    /// The ConfigMaps with backups.
    pub(super) fn backups(&self) -> Vec<ConfigMap> {
        let maps = self.state().config_maps.clone().into_iter();
        let backups = maps.filter(|(name, _)| name.starts_with(escrow::NAME_PREFIX));
        backups.map(|(_, config_map)| serde_json::from_value(config_map).unwrap()).collect()
    }

    /// Puts something else in the place of each backup.
    pub(super) fn damage_backups(&self) {
        for (name, config_map) in &mut self.state().config_maps {
            if name.starts_with(escrow::NAME_PREFIX) {
                config_map["data"] = json!({"key.backup": "something else"});
            }
        }
    }

    /// Puts a backup there, whoever made it.
    pub(super) fn put_backup(&self, config_map: &ConfigMap) {
        let name = config_map.metadata.name.clone().unwrap();
        self.state().config_maps.insert(name, serde_json::to_value(config_map).unwrap());
    }

    /// Somebody else writes the Secret just before the next one that is replaced.
    pub(super) fn overtake(&self) {
        self.state().is_overtaken = true;
    }

    /// How often Secrets were replaced, also in vain.
    pub(super) fn replaced(&self) -> usize {
        self.state().replaced
    }

    /// A key Secret.
    pub(super) fn secret(&self, name: &str) -> Secret {
        let state = self.state();
        let secret = state.secrets.iter().find(|secret| secret["metadata"]["name"] == name).unwrap();
        let document = privyseal_manifest::read(secret.to_string().as_bytes(), "secret").unwrap().remove(0);
        document.into_secret().unwrap()
    }

    /// An item of a key Secret as text.
    pub(super) fn item(&self, name: &str, item: &str) -> String {
        let state = self.state();
        let secret = state.secrets.iter().find(|secret| secret["metadata"]["name"] == name).unwrap();
        let text = secret["data"][item].as_str().unwrap();
        let value = privyseal_envelope::Plaintext::from_base64(text).unwrap();
        String::from_utf8(value.expose().to_vec()).unwrap()
    }

    /// Reasons of the events.
    pub(super) fn events(&self) -> Vec<String> {
        self.state().events.clone()
    }

    /// Puts a key Secret there, as anybody does who may.
    pub(super) fn plant(&self, secret: &Secret) {
        self.state().secrets.push(serde_json::from_slice(&secret.to_json()).unwrap());
    }

    /// Whether it refuses to store backups.
    pub(super) fn refuse_backups(&self, refuses: bool) {
        self.state().refuses_backups = refuses;
    }

    /// Whether it says that it stored a backup, and did not.
    pub(super) fn lose_backups(&self, loses: bool) {
        self.state().loses_backups = loses;
    }

    /// Answers nothing any more from a write on, until [`Self::fail`] says otherwise. The first write is number 0.
    pub(super) fn die_at(&self, write: usize, death: Death) {
        self.state().dies = Some((write, death));
    }

    /// Puts a publisher key there, as somebody does who restores a backup.
    pub(super) fn put_publisher(&self, key: &PublisherKey) {
        let secret = publisher_secret(key, NAMESPACE).to_json();
        self.state().publisher = Some(serde_json::from_slice(&secret).unwrap());
    }

    /// Whether it answers 500 to everything.
    pub(super) fn fail(&self, fails: bool) {
        self.state().dies = None;
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
    fn handle(&mut self, method: &Method, path: &str, query: &str, body: Value) -> (StatusCode, Value) {
        if self.fails {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let is_write = matches!(*method, Method::POST | Method::PUT) && !path.ends_with("/events");
        let dies = self.dies.filter(|(write, _)| is_write && *write == self.writes);
        self.writes += usize::from(is_write);
        match dies {
            None => self.answer(method, path, query, body),
            Some((_, death)) => {
                self.fails = true;
                if death == Death::After {
                    self.answer(method, path, query, body);
                }
                refusal(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    fn answer(&mut self, method: &Method, path: &str, query: &str, mut body: Value) -> (StatusCode, Value) {
        self.version += 1;
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
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
            (&Method::GET, "secrets") if name != "secrets" => {
                match self.secrets.iter().find(|secret| secret["metadata"]["name"] == name) {
                    Some(secret) => (StatusCode::OK, secret.clone()),
                    None => refusal(StatusCode::NOT_FOUND),
                }
            }
            (&Method::GET, "secrets") => {
                let label = |secret: &Value| secret["metadata"]["labels"][names::SEALED_SECRETS_KEY].clone();
                let wanted =
                    |secret: &&Value| !query.contains("%3Dpending") || label(secret) == names::KEY_PENDING;
                let items: Vec<_> = self.secrets.iter().filter(wanted).collect();
                (
                    StatusCode::OK,
                    json!({"kind": "SecretList", "apiVersion": "v1", "metadata": metadata, "items": items}),
                )
            }
            (&Method::PUT, "secrets") => {
                self.replaced += 1;
                let Some(there) = self.secrets.iter_mut().find(|secret| secret["metadata"]["name"] == name)
                else {
                    return refusal(StatusCode::NOT_FOUND);
                };
                if std::mem::take(&mut self.is_overtaken) {
                    there["metadata"]["resourceVersion"] = format!("{}-theirs", self.version).into();
                }
                if there["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
                    return refusal(StatusCode::CONFLICT);
                }
                body["metadata"]["resourceVersion"] = metadata["resourceVersion"].clone();
                *there = body.clone();
                (StatusCode::OK, json!({"metadata": body["metadata"]}))
            }
            (&Method::POST, "secrets") => {
                if body["metadata"]["name"].is_null() {
                    body["metadata"]["name"] = format!("key{}", self.version).into();
                }
                body["metadata"]["resourceVersion"] = metadata["resourceVersion"].clone();
                self.made.push(now());
                self.secrets.push(body.clone());
                (StatusCode::CREATED, json!({"metadata": body["metadata"]}))
            }
            (&Method::GET, "configmaps") if query.contains("fieldSelector") => {
                let items: Vec<_> = self.config_maps.get(CONFIG_MAP).into_iter().collect();
                (
                    StatusCode::OK,
                    json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items}),
                )
            }
            (&Method::GET, "configmaps") => match self.config_maps.get(&name) {
                Some(config_map) => (StatusCode::OK, config_map.clone()),
                None => refusal(StatusCode::NOT_FOUND),
            },
            (&Method::POST | &Method::PUT, "configmaps") => {
                let name = body["metadata"]["name"].as_str().unwrap().to_owned();
                if self.refuses_backups && name.starts_with(escrow::NAME_PREFIX) {
                    return refusal(StatusCode::FORBIDDEN);
                }
                if self.loses_backups && name.starts_with(escrow::NAME_PREFIX) {
                    return (StatusCode::OK, body);
                }
                if *method == Method::POST && self.config_maps.contains_key(&name) {
                    return refusal(StatusCode::CONFLICT);
                }
                body["metadata"]["resourceVersion"] = metadata["resourceVersion"].clone();
                self.config_maps.insert(name, body.clone());
                (StatusCode::OK, body)
            }
            (_, "events") => {
                self.events.extend(body["reason"].as_str().map(str::to_owned));
                (StatusCode::CREATED, body)
            }
            _ => refusal(StatusCode::NOT_FOUND),
        }
    }
}

fn refusal(status: StatusCode) -> (StatusCode, Value) {
    let reason = match status {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::FORBIDDEN => "Forbidden",
        _ => "InternalError",
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status.as_u16()});
    (status, body)
}

const PLURALS: [&str; 3] = ["secrets", "configmaps", "events"];
