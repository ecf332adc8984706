//! What goes wrong around Flux, and what becomes of Secrets and of verdicts meanwhile.

mod alone;
mod force;
mod hands;
mod namesakes;
mod outages;
mod owners;

use super::Place;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use privyseal_tests::flux::kustomization;
use privyseal_tests::objects::sealed_secrets;
use serde_json::{Value, json};
use std::time::Duration;

/// A Kustomization that does not wait for health, where Flux' own verdict is not what matters: it looks every 5 s.
fn without_wait(name: &str, source: &str, path: &str) -> Value {
    let mut object = kustomization(name, source, path);
    object["spec"]["wait"] = json!(false);
    object
}

/// One thing that happened to a Secret.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Written { uid: String, password: String },
    Deleted,
}

impl Place {
    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// As [`sealed`](Self::sealed), of which the Secret stays when the SealedSecret goes.
    fn retained(&self, name: &str, password: &str) -> String {
        let mut sealed: Value = serde_json::from_str(&self.sealed(name, password)).unwrap();
        sealed["metadata"]["annotations"]["privyseal.dev/deletion-policy"] = json!("Retain");
        sealed.to_string()
    }

    async fn secret(&self, name: &str) -> Secret {
        self.secrets().get(name).await.unwrap()
    }

    async fn sealed_secret(&self, name: &str) -> DynamicObject {
        sealed_secrets(&self.client, &self.namespace).get(name).await.unwrap()
    }

    /// Somebody edits a Secret.
    async fn edit_secret(&self, name: &str, change: Value) {
        self.secrets().patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    }

    /// A moment from which [`changes`](Self::changes) can tell.
    async fn moment(&self) -> String {
        self.secrets().list(&ListParams::default().limit(1)).await.unwrap().metadata.resource_version.unwrap()
    }

    /// All that happened to a Secret between a moment and now.
    async fn changes(&self, name: &str, since: &str) -> Vec<Change> {
        // The API server tells all in order, so what comes before this one is all there was.
        let mut end = Secret::default();
        end.metadata.generate_name = Some("end-".to_owned());
        let end = self.secrets().create(&PostParams::default(), &end).await.unwrap().metadata.name;
        let mut changes = Vec::new();
        let mut events = Box::pin(self.secrets().watch(&WatchParams::default(), since).await.unwrap());
        while let Some(event) = events.next().await {
            let (secret, deleted) = match event.unwrap() {
                WatchEvent::Added(secret) | WatchEvent::Modified(secret) => (secret, false),
                WatchEvent::Deleted(secret) => (secret, true),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(error) => panic!("{error}"),
            };
            if secret.metadata.name == end {
                return changes;
            }
            if secret.metadata.name.as_deref() != Some(name) {
                continue;
            }
            let password = secret.data.and_then(|mut data| data.remove("password")).unwrap_or_default();
            changes.push(match deleted {
                true => Change::Deleted,
                false => Change::Written {
                    uid: secret.metadata.uid.unwrap(),
                    password: String::from_utf8_lossy(&password.0).into_owned(),
                },
            });
        }
        panic!("the watch ended before it told of all: {changes:?}");
    }
}

/// One line of the report on what Flux has no part in.
#[expect(clippy::print_stdout, reason = "libtest captures only what the print macros write")]
fn took(what: &str, time: Duration) {
    println!("measured: {what}: {:.2} s", time.as_secs_f64());
}

/// The uid and the resourceVersion: the same as long as nobody wrote.
fn version(secret: &Secret) -> (Option<String>, Option<String>) {
    (secret.metadata.uid.clone(), secret.metadata.resource_version.clone())
}
