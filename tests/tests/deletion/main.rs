//! The chart, the CustomResourceDefinition and the objects go and come back, or change, and no Secret is lost that was to
//! stay. What is told here is what docs/deletion.md says.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod chart;
mod definition;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, sealed_secrets, wait_for_condition};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const POLICY: &str = "privyseal.dev/deletion-policy";
const OWNER_UID: &str = "privyseal.dev/owner-uid";

/// One cluster, and the namespace of a team in it.
struct Cluster {
    control_plane: ControlPlane,
    client: Client,
    namespace: String,
}

/// One story after the other on one control plane: each of them turns the whole cluster over.
#[tokio::test]
async fn things_go_and_come_back_and_no_secret_is_lost_that_was_to_stay() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let namespace = control_plane.namespace("team").await;
    let cluster = Cluster { control_plane, client, namespace };

    let objects = chart::goes_and_leaves_everything(&cluster).await;
    let release = Release::install(&cluster.control_plane, place().set("deletionPolicy=Retain")).await;
    let mut controller = Controller::start(&release, ControllerOptions::default()).await;
    chart::another_default_is_followed_and_can_be_waited_for(&cluster, &mut controller).await;
    definition::goes_and_comes_back(&cluster, &objects, &mut controller).await;
    let sealer = Sealer::of(&controller).await;
    definition::is_replaced_while_objects_change(&cluster, &sealer, &mut controller).await;
    definition::takes_what_is_not_retained(&cluster, &objects).await;
    assert_eq!(controller.ended(), None, "{}", controller.logs());
}

/// Where the chart's README puts it.
fn place() -> ReleaseOptions {
    ReleaseOptions::default().place("privyseal", "privyseal")
}

impl Cluster {
    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The Secrets of the team, by name.
    async fn all_secrets(&self) -> BTreeMap<String, Secret> {
        let list = self.secrets().list(&ListParams::default()).await.unwrap();
        list.items.into_iter().map(|secret| (secret.metadata.name.clone().unwrap(), secret)).collect()
    }

    async fn sealed_secret(&self, name: &str) -> Option<DynamicObject> {
        sealed_secrets(&self.client, &self.namespace).get_opt(name).await.unwrap()
    }

    /// Applies an object as soon as the API server knows its kind, and takes it.
    async fn apply(&self, object: &Value) -> DynamicObject {
        eventually(PATIENCE, async || {
            objects::try_apply(&self.client, None, object).await.map_err(|error| error.to_string())
        })
        .await
    }

    async fn ready(&self, name: &str) {
        wait_for_condition(&self.client, &self.namespace, name, "Ready", "True").await;
    }

    /// Waits until Kubernetes has collected something that began to be garbage just now: what was garbage before is
    /// gone too, and what is there stays.
    async fn let_collect(&self) {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let make = |name: &str, owners: Value| {
            let metadata = json!({"generateName": format!("{name}-"), "ownerReferences": owners});
            serde_json::from_value::<ConfigMap>(json!({"metadata": metadata})).unwrap()
        };
        let owner = maps.create(&Default::default(), &make("owner", json!([]))).await.unwrap().metadata;
        let (name, uid) = (owner.name.unwrap(), owner.uid.unwrap());
        let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid}]);
        let owned = maps.create(&Default::default(), &make("owned", reference)).await.unwrap();
        let owned = owned.metadata.name.unwrap();
        maps.delete(&name, &Default::default()).await.unwrap();
        eventually(PATIENCE, async || match maps.get_opt(&owned).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
}

/// The uid in a Secret's annotation, if it has no owner.
fn retained_for(secret: &Secret) -> Option<&str> {
    let free = secret.metadata.owner_references.iter().flatten().next().is_none();
    let uid = secret.metadata.annotations.as_ref()?.get(OWNER_UID)?;
    free.then_some(uid)
}

/// All of a Secret but what says whose it is and what counts its writes.
fn rest(secret: &Secret) -> Value {
    let mut rest = serde_json::to_value(secret).unwrap();
    let metadata = rest["metadata"].as_object_mut().unwrap();
    for field in ["resourceVersion", "managedFields", "ownerReferences", "annotations"] {
        metadata.remove(field);
    }
    rest
}

/// The same of many.
fn rest_of_all(secrets: &BTreeMap<String, Secret>) -> Vec<Value> {
    secrets.values().map(rest).collect()
}
