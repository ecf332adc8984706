//! People who change by hand what Flux and our controller look after, or take back what they committed.

use super::super::{Place, measured};
use super::{Change, took, without_wait};
use privyseal_tests::flux::Watched;
use privyseal_tests::objects::{sealed_secrets, wait_for_condition};
use serde_json::{Value, json};
use std::time::Instant;

/// A place where the password in Git is that of the Secret.
async fn first_password(prefix: &str) -> (Place, Watched) {
    let place = Place::new(prefix).await;
    place.repository.write("sealed/db.yaml", &place.sealed("db", "first"));
    let revision = place.repository.commit("a password");
    place.source.reconcile().await;
    let app = place.watched(&without_wait("sealed", "team", "./sealed")).await;
    app.wait_ready(&revision).await;
    place.password("db", "first").await;
    (place, app)
}

#[tokio::test]
async fn a_secret_that_is_edited_is_repaired_without_flux() {
    let (place, app) = first_password("edited").await;
    wait_for_condition(&place.client, &place.namespace, "db", "Ready", "True").await;
    let (flux, generation) = (app.get().await, place.sealed_secret("db").await.metadata.generation);
    let uid = place.secret("db").await.metadata.uid.unwrap();

    let moment = place.moment().await;
    let began = Instant::now();
    place.edit_secret("db", json!({"data": {"password": "ZWRpdGVk", "more": "eA=="}})).await;
    let repaired = place.password("db", "first").await;
    took("a Secret that is edited, right again", repaired - began);
    let written = |password: &str| Change::Written { uid: uid.clone(), password: password.to_owned() };
    assert_eq!(place.changes("db", &moment).await, [written("edited"), written("first")]);
    let moment = place.moment().await;
    place.secrets().delete("db", &Default::default()).await.unwrap();
    place.password("db", "first").await;
    let changes = place.changes("db", &moment).await;
    assert!(matches!(&changes[..], [Change::Deleted, Change::Written { .. }]), "{changes:?}");

    let (after, secret) = (app.get().await, place.secret("db").await);
    assert_eq!(after.metadata.resource_version, flux.metadata.resource_version, "Flux had nothing to do");
    assert_eq!(place.sealed_secret("db").await.metadata.generation, generation);
    let managers = secret.metadata.managed_fields.unwrap();
    let managers: Vec<_> = managers.into_iter().filter_map(|entry| entry.manager).collect();
    assert_eq!(managers, ["privyseal-controller"]);
}

#[tokio::test]
async fn a_sealed_secret_that_is_deleted_comes_back_when_flux_looks_and_a_retained_secret_was_there_all_the_time()
 {
    let place = Place::new("deleted").await;
    place.repository.write("sealed/db.yaml", &place.sealed("db", "first"));
    place.repository.write("sealed/kept.yaml", &place.retained("kept", "first"));
    let revision = place.repository.commit("two passwords");
    place.source.reconcile().await;
    let app = place.watched(&without_wait("sealed", "team", "./sealed")).await;
    app.wait_ready(&revision).await;
    for name in ["db", "kept"] {
        wait_for_condition(&place.client, &place.namespace, name, "Ready", "True").await;
    }
    let kept = place.secret("kept").await.metadata.uid.unwrap();
    let moment = place.moment().await;

    let sealed = sealed_secrets(&place.client, &place.namespace);
    for name in ["db", "kept"] {
        sealed.delete(name, &Default::default()).await.unwrap();
    }
    // Flux does not watch what it applied.
    app.wait_ready(&revision).await;
    assert!(sealed.get_opt("db").await.unwrap().is_none());
    app.reconcile_until_ready().await;
    for name in ["db", "kept"] {
        wait_for_condition(&place.client, &place.namespace, name, "Ready", "True").await;
        assert!(place.has_password(name, "first").await);
    }
    let changes = place.changes("db", &moment).await;
    assert!(matches!(&changes[..], [Change::Deleted, Change::Written { .. }]), "{changes:?}");
    let taken_over = Change::Written { uid: kept, password: "first".to_owned() };
    assert_eq!(place.changes("kept", &moment).await, [taken_over]);
}

#[tokio::test]
async fn a_bad_commit_that_is_reverted_is_green() {
    let (place, app) = first_password("revert").await;
    let uid = place.secret("db").await.metadata.uid;

    let mut renamed: Value = serde_json::from_str(&place.sealed("another", "second")).unwrap();
    renamed["metadata"]["name"] = json!("db");
    place.repository.write("sealed/db.yaml", &renamed.to_string());
    let bad = place.repository.commit("a seal for another name");
    place.source.reconcile().await;
    app.wait_ready(&bad).await;
    wait_for_condition(&place.client, &place.namespace, "db", "Stalled", "True").await;
    app.patch(json!({"spec": {"wait": true}})).await;
    app.wait_not_ready(&bad, "SealedSecret/").await;
    assert!(place.has_password("db", "first").await);

    let began = Instant::now();
    let reverted = place.repository.revert(&bad);
    place.source.reconcile().await;
    let green = app.wait_ready(&reverted).await;
    measured("a revert", &[("green", green.at - began)], &green);
    assert!(place.has_password("db", "first").await);
    assert_eq!(place.secret("db").await.metadata.uid, uid, "it was the same all the time");
}
