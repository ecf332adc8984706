//! An owned Secret is exact: what somebody changes by hand is set right.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, wait_for_condition, wait_for_secret};
use privyseal_tests::world::Place;
use serde_json::{Value, json};

async fn change(place: &Place, patch: Value) {
    let api: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    api.patch("db", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test]
async fn changes_by_hand_are_repaired() {
    let place = Place::new("drift").await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "db", "namespace": place.namespace, "labels": {"ours": "1"}},
        "stringData": {"a": "1", "b": "2"},
    });
    objects::apply(&place.client, None, &place.world.sealer.seal_secret(&secret, &[])).await;
    let right: [(&str, &[u8]); 2] = [("a", b"1"), ("b", b"2")];
    wait_for_secret(&place.client, &place.namespace, "db", &right).await;

    change(&place, json!({"data": {"a": "eA=="}})).await;
    wait_for_secret(&place.client, &place.namespace, "db", &right).await;
    change(&place, json!({"data": {"foreign": "eA=="}})).await;
    wait_for_secret(&place.client, &place.namespace, "db", &right).await;
    change(&place, json!({"data": {"b": null}})).await;
    wait_for_secret(&place.client, &place.namespace, "db", &right).await;

    let api: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    api.delete("db", &Default::default()).await.unwrap();
    wait_for_secret(&place.client, &place.namespace, "db", &right).await;

    // Labels: ours come back, those of others stay.
    change(&place, json!({"metadata": {"labels": {"ours": "2", "theirs": "x"}}})).await;
    eventually(PATIENCE, async || {
        let labels = api.get("db").await.map_err(|e| e.to_string())?.metadata.labels.unwrap_or_default();
        let found = (labels.get("ours").cloned(), labels.get("theirs").cloned());
        if found == (Some("1".into()), Some("x".into())) { Ok(()) } else { Err(format!("{labels:?}")) }
    })
    .await;
}

#[tokio::test]
async fn an_item_or_label_taken_out_of_the_sealed_secret_leaves_the_secret() {
    let place = Place::new("less").await;
    let mut secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "db", "namespace": place.namespace, "labels": {"old": "1"}},
        "stringData": {"a": "1", "b": "2"},
    });
    objects::apply(&place.client, None, &place.world.sealer.seal_secret(&secret, &[])).await;
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1"), ("b", b"2")]).await;
    secret["stringData"] = json!({"a": "1"});
    secret["metadata"]["labels"] = json!({"new": "1"});
    objects::apply(&place.client, None, &place.world.sealer.seal_secret(&secret, &[])).await;
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
    let api: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    let labels = api.get("db").await.unwrap().metadata.labels.unwrap();
    assert_eq!(labels.keys().collect::<Vec<_>>(), ["new"]);
}

#[tokio::test]
async fn a_scope_annotation_alone_is_followed() {
    let place = Place::new("rescope").await;
    let mut sealed =
        place.world.sealer.seal(&place.namespace, "db", &[("a", "1")], &["--scope", "namespace-wide"]);
    let annotation = "sealedsecrets.bitnami.com/namespace-wide";
    sealed["metadata"]["annotations"].as_object_mut().unwrap().remove(annotation);
    objects::apply(&place.client, None, &sealed).await;
    let told = wait_for_condition(&place.client, &place.namespace, "db", "Synced", "False").await;
    assert_eq!(told.reason, "NotOpened");
    // The spec does not change, so neither does the generation.
    sealed["metadata"]["annotations"][annotation] = json!("true");
    objects::apply(&place.client, None, &sealed).await;
    wait_for_condition(&place.client, &place.namespace, "db", "Synced", "True").await;
}
