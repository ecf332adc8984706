//! Sealing keys: made once, watched, left out when they are none, and never lost. Each test has a control plane of its
//! own, since a controller looks at the whole cluster.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod backup;
mod escrow;
mod future;
mod identities;
mod marks;
mod replicas;
mod request;
mod ring;
mod two_releases;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, ObjectList};
use kube::{Api, Client};

const ACTIVE: &str = "sealedsecrets.bitnami.com/sealed-secrets-key=active";

async fn key_secrets(client: &Client, namespace: &str) -> ObjectList<Secret> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    api.list(&ListParams::default().labels(ACTIVE)).await.unwrap()
}
