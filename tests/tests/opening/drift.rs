//! An owned Secret is exact: what somebody changes by hand is set right.

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, WatchEvent, WatchParams};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, sealed_secrets, wait_for_condition, wait_for_secret};
use privyseal_tests::world::Place;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

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

/// Spoils an object at the moment that it is told, for a while, and says how often. `spoil` answers whether it did.
async fn race(api: Api<DynamicObject>, name: &str, spoil: impl AsyncFn(DynamicObject) -> bool) -> usize {
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = api.watch(&params, "0").await.unwrap().boxed();
    let (end, mut spoiled) = (Instant::now() + RACE, 0);
    while let Ok(Ok(event)) = timeout_at(end, timeout(STANDSTILL, events.try_next())).await {
        if let Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) = event.unwrap() {
            spoiled += usize::from(spoil(object).await);
        }
    }
    spoiled
}

const RACE: Duration = Duration::from_secs(6);
const STANDSTILL: Duration = Duration::from_secs(3);

/// Of what is spoiled right after a write of the controller, the watch may tell before the answer to that write is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_overtakes_the_answer_to_a_write_is_repaired_all_the_same() {
    let place = Place::new("overtaken").await;
    let secrets: Api<DynamicObject> =
        Api::namespaced_with(place.client.clone(), &place.namespace, &ApiResource::erase::<Secret>(&()));
    let statuses = sealed_secrets(&place.client, &place.namespace);
    let names = ["changed", "deleted", "denied"];
    for name in names {
        let sealed = place.world.sealer.seal(&place.namespace, name, &[("a", "1")], &[]);
        objects::apply(&place.client, None, &sealed).await;
        wait_for_condition(&place.client, &place.namespace, name, "Ready", "True").await;
    }
    let change = async |mut secret: DynamicObject| {
        let data = &mut secret.data["data"];
        if data.get("foreign").is_some() {
            return false;
        }
        data["foreign"] = json!("eA==");
        secrets.replace("changed", &Default::default(), &secret).await.is_ok()
    };
    let delete = async |_| secrets.delete("deleted", &Default::default()).await.is_ok();
    let deny = async |mut object: DynamicObject| {
        let Some(first) = object.data.pointer_mut("/status/conditions/0/status") else { return false };
        if *first == "False" {
            return false;
        }
        *first = json!("False");
        statuses.replace_status("denied", &Default::default(), &object).await.is_ok()
    };
    let spoiled = tokio::join!(
        race(secrets.clone(), "changed", change),
        race(secrets.clone(), "deleted", delete),
        race(statuses.clone(), "denied", deny),
    );
    for name in names {
        wait_for_secret(&place.client, &place.namespace, name, &[("a", b"1")]).await;
        wait_for_condition(&place.client, &place.namespace, name, "Synced", "True").await;
    }
    assert!(spoiled.0 > 1 && spoiled.1 > 1 && spoiled.2 > 1, "{spoiled:?}");
}

/// Who changes back each time what becomes of a Secret is not answered each time, and not given way to either.
#[tokio::test(flavor = "multi_thread")]
async fn a_fight_about_what_becomes_of_a_secret_gets_slower_and_is_won() {
    let place = Place::new("fight").await;
    let secrets: Api<DynamicObject> =
        Api::namespaced_with(place.client.clone(), &place.namespace, &ApiResource::erase::<Secret>(&()));
    let sealed = place.world.sealer.seal(&place.namespace, "db", &[("a", "1")], &[]);
    let uid = objects::apply(&place.client, None, &sealed).await.metadata.uid.unwrap();
    wait_for_condition(&place.client, &place.namespace, "db", "Ready", "True").await;
    let retain = async |mut secret: DynamicObject| {
        if secret.metadata.owner_references.take().is_none() {
            return false;
        }
        secret.metadata.annotations = Some([("privyseal.dev/owner-uid".to_owned(), uid.clone())].into());
        secrets.replace("db", &Default::default(), &secret).await.is_ok()
    };
    let spoiled = race(secrets.clone(), "db", retain).await;
    assert!((3..10).contains(&spoiled), "{spoiled} times in {RACE:?}");
    eventually(PATIENCE, async || {
        let metadata = secrets.get("db").await.map_err(|error| error.to_string())?.metadata;
        let is_ours = metadata.owner_references.iter().flatten().any(|owner| owner.uid == uid);
        if is_ours && metadata.annotations.is_none() { Ok(()) } else { Err(format!("{metadata:?}")) }
    })
    .await;
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
}
