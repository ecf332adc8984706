//! A Kustomization with `force`: Flux deletes what the API server refuses to change, to make it again.

use super::Place;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::flux::kustomization;
use privyseal_tests::objects::{sealed_secrets, secret_data};
use serde_json::{Value, json};

const POLICY: &str = "privyseal.dev/deletion-policy";

/// A label that is none is enough: the change is refused, so Flux deletes the object, and then cannot make it either.
#[tokio::test]
async fn a_retained_secret_outlives_what_force_deletes() {
    let place = Place::new("force").await;
    let mut object: Value = serde_json::from_str(&place.sealed("db", "first")).unwrap();
    object["metadata"]["annotations"][POLICY] = json!("Retain");
    place.repository.write("sealed/db.yaml", &object.to_string());
    let revision = place.repository.commit("a password");
    place.source.reconcile().await;
    let mut app = kustomization("sealed", "team", "./sealed");
    app["spec"]["force"] = json!(true);
    let app = place.watched(&app).await;
    app.wait_ready(&revision).await;

    let good = object.clone();
    object["metadata"]["labels"] = json!({"team": "not a label!"});
    place.repository.write("sealed/db.yaml", &object.to_string());
    let revision = place.repository.commit("a label that is none");
    place.source.reconcile().await;
    app.wait_not_ready(&revision, "Invalid value").await;
    let sealed = sealed_secrets(&place.client, &place.namespace);
    eventually(PATIENCE, async || match sealed.get_opt("db").await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let kept = async || secret_data(&place.client, &place.namespace, "db").await.unwrap()["password"].clone();
    assert_eq!(kept().await, b"first");

    place.repository.write("sealed/db.yaml", &good.to_string());
    let revision = place.repository.commit("as it was");
    place.source.reconcile().await;
    app.wait_ready(&revision).await;
    assert_eq!(kept().await, b"first");
}
