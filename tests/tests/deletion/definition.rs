//! The CustomResourceDefinition goes, comes back and changes under a controller that runs.

use super::{Cluster, POLICY, rest, rest_of_all, retained_for};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::wait_for_secret;
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{Controller, objects, tools};
use serde_json::{Value, json};

const NAME: &str = "sealedsecrets.bitnami.com";

fn definition() -> Value {
    let path = tools::repository().join("charts/privyseal/crds/sealedsecrets.yaml");
    objects::documents(&std::fs::read_to_string(path).unwrap()).remove(0)
}

async fn delete(cluster: &Cluster) {
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    definitions.delete(NAME, &Default::default()).await.unwrap();
    eventually(PATIENCE, async || match definitions.get_opt(NAME).await {
        Ok(None) => Ok(()),
        other => Err(format!("{:?}", other.map(|it| it.map(|it| it.status)))),
    })
    .await;
    cluster.let_collect().await;
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// All are retained.
pub(crate) async fn goes_and_comes_back(cluster: &Cluster, sealed: &[Value], controller: &mut Controller) {
    let before = cluster.all_secrets().await;
    delete(cluster).await;
    assert_eq!(cluster.all_secrets().await, before);
    eventually(PATIENCE, async || match controller.logs().contains("there is no CustomResourceDefinition") {
        true => Ok(()),
        false => Err("nothing is told"),
    })
    .await;

    cluster.apply(&definition()).await;
    for object in sealed {
        let uid = cluster.apply(object).await.metadata.uid.unwrap();
        let name = name_of(object);
        cluster.ready(name).await;
        let secret = cluster.secrets().get(name).await.unwrap();
        assert_eq!(retained_for(&secret), Some(uid.as_str()), "{name}");
        assert_ne!(retained_for(&before[name]), Some(uid.as_str()), "{name}");
        assert_eq!(rest(&secret), rest(&before[name]), "{name}");
    }
    assert_eq!(rest_of_all(&cluster.all_secrets().await), rest_of_all(&before));
    assert_eq!(controller.ended(), None, "{}", controller.logs());
}

/// From one release to the next and back, with changes before, between and after.
pub(crate) async fn is_replaced_while_objects_change(
    cluster: &Cluster,
    sealer: &Sealer,
    controller: &mut Controller,
) {
    let mut next = definition();
    let version = &mut next["spec"]["versions"][0];
    version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["nextRelease"] =
        json!({"type": "string"});
    version["additionalPrinterColumns"].as_array_mut().unwrap().pop();
    let unchanged = async || {
        let mut versions = Vec::new();
        for name in ["one", "two", "three", "own-word"] {
            let secret = cluster.secrets().get(name).await.unwrap().metadata.resource_version;
            versions.push([cluster.sealed_secret(name).await.unwrap().metadata.resource_version, secret]);
        }
        versions
    };
    let before = unchanged().await;
    let mut rounds = 0;
    for definition in [&next, &definition(), &next, &definition()] {
        for value in ["before", "after"] {
            rounds += 1;
            // Not waited for: the definition changes while the controller works.
            for name in ["changing", "changing-too"] {
                let value = format!("{value} {rounds}");
                cluster.apply(&sealer.seal(&cluster.namespace, name, &[("a", &value)], &[])).await;
            }
            if value == "before" {
                cluster.apply(definition).await;
            }
        }
    }
    let last = format!("after {rounds}");
    for name in ["changing", "changing-too"] {
        wait_for_secret(&cluster.client, &cluster.namespace, name, &[("a", last.as_bytes())]).await;
        cluster.ready(name).await;
    }
    assert_eq!(unchanged().await, before, "what had to be listed anew was written anew");
    assert_eq!(controller.ended(), None, "{}", controller.logs());
}

/// The other policy: Kubernetes collects.
pub(crate) async fn takes_what_is_not_retained(cluster: &Cluster, sealed: &[Value]) {
    let collected = async |name: &str| {
        eventually(PATIENCE, async || match cluster.secrets().get_opt(name).await.unwrap() {
            None => Ok(()),
            Some(secret) => Err(format!("{:?}", secret.metadata.owner_references)),
        })
        .await;
    };
    for object in &sealed[..2] {
        let mut deleted = object.clone();
        deleted["metadata"]["annotations"][POLICY] = json!("Delete");
        cluster.apply(&deleted).await;
        eventually(PATIENCE, async || {
            match retained_for(&cluster.secrets().get(name_of(object)).await.unwrap()) {
                None => Ok(()),
                Some(uid) => Err(uid.to_owned()),
            }
        })
        .await;
    }
    // Kubernetes has learned of the kind that came back.
    let [first, name] = [&sealed[0], &sealed[1]].map(name_of);
    let api = objects::sealed_secrets(&cluster.client, &cluster.namespace);
    api.delete(first, &Default::default()).await.unwrap();
    collected(first).await;
    let mut before = cluster.all_secrets().await;
    delete(cluster).await;
    collected(name).await;
    before.remove(name);
    assert_eq!(cluster.all_secrets().await, before);
}
