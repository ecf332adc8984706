//! A plain Secret of a SealedSecret's name, from Git or from Helm.

use super::super::Place;
use super::{Change, took, version, without_wait};
use privyseal_tests::flux::{Revision, Watched, helm_release, kustomization};
use privyseal_tests::objects::wait_for_condition;
use serde_json::{Value, json};
use std::time::Instant;

fn plain(password: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": password},
    })
    .to_string()
}

/// A place where Git has a SealedSecret, and its Secret is there.
async fn ours_was_first(prefix: &str) -> (Place, Watched) {
    let place = Place::new(prefix).await;
    place.repository.write("app/sealed.yaml", &place.sealed("db", "sealed"));
    place.repository.commit("ours");
    place.source.reconcile().await;
    let mut app = without_wait("app", "team", "./app");
    app["spec"]["targetNamespace"] = json!(place.namespace);
    let app = place.watched(&app).await;
    place.password("db", "sealed").await;
    wait_for_condition(&place.client, &place.namespace, "db", "Ready", "True").await;
    (place, app)
}

#[tokio::test]
async fn a_plain_secret_beside_a_sealed_one_is_red_until_it_leaves_git() {
    let place = Place::new("both").await;
    place.repository.write("app/sealed.yaml", &place.sealed("db", "sealed"));
    place.repository.write("app/plain.yaml", &plain("plain"));
    let revision = place.repository.commit("both");
    place.source.reconcile().await;
    let mut app = kustomization("app", "team", "./app");
    app["spec"]["targetNamespace"] = json!(place.namespace);
    // Flux prunes and at once looks at health. What it then sees is our verdict of before, on an object that has not
    // changed; so it takes another look to find it well.
    app["spec"]["retryInterval"] = json!("1s");
    let app = place.watched(&app).await;
    app.wait_not_ready(&revision, "SealedSecret/").await;
    let told = wait_for_condition(&place.client, &place.namespace, "db", "Stalled", "True").await;
    assert_eq!(told.reason, "TargetNotOwned");
    assert!(place.has_password("db", "plain").await);

    place.repository.remove("app/plain.yaml");
    let revision = place.repository.commit("the sealed one alone");
    place.source.reconcile().await;
    app.wait_ready(&revision).await;
    assert!(place.has_password("db", "sealed").await);
}

#[tokio::test]
async fn a_plain_secret_over_one_of_ours_is_put_right_each_time_and_called_ready() {
    let (place, app) = ours_was_first("over").await;
    let uid = place.secret("db").await.metadata.uid.unwrap();

    let moment = place.moment().await;
    place.repository.write("app/plain.yaml", &plain("plain"));
    let revision = place.repository.commit("and a plain one");
    place.source.reconcile().await;
    app.wait_ready(&revision).await;
    place.password("db", "sealed").await;
    for _ in 0..3 {
        let ready = app.reconciled().await.ready;
        assert_eq!(ready.status, "True", "{}", ready.message);
        place.password("db", "sealed").await;
    }
    let changes = place.changes("db", &moment).await;
    let written = |password: &str| Change::Written { uid: uid.clone(), password: password.to_owned() };
    let once = [written("plain"), written("sealed")];
    assert_eq!(changes.len(), 8);
    assert!(changes.chunks(2).all(|chunk| chunk == once), "{changes:?}");

    place.repository.remove("app/plain.yaml");
    let moment = place.moment().await;
    let revision = place.repository.commit("ours alone");
    place.source.reconcile().await;
    app.wait_ready(&revision).await;
    place.password("db", "sealed").await;
    let changes = place.changes("db", &moment).await;
    assert!(matches!(&changes[..], [Change::Deleted, Change::Written { .. }]), "{changes:?}");
}

#[tokio::test]
async fn a_plain_secret_of_another_type_is_refused_and_with_force_takes_the_place_of_ours() {
    let (place, app) = ours_was_first("type").await;
    let before = place.secret("db").await;

    let mut typed: Value = serde_json::from_str(&plain("plain")).unwrap();
    typed["type"] = json!("example.com/typed");
    place.repository.write("app/plain.yaml", &typed.to_string());
    let revision = place.repository.commit("a plain one of another type");
    place.source.reconcile().await;
    app.wait_not_ready(&revision, "field is immutable").await;
    assert_eq!(version(&place.secret("db").await), version(&before));

    // It deletes ours, and if we are not faster, makes its own.
    app.patch(json!({"spec": {"force": true, "retryInterval": "1s"}})).await;
    app.wait_ready(&revision).await;
    let told = wait_for_condition(&place.client, &place.namespace, "db", "Stalled", "True").await;
    assert_eq!(told.reason, "TargetNotOwned");
    assert!(place.has_password("db", "plain").await);
}

/// A chart with a Secret, and the seal of another one of that name.
async fn chart_and_seal(prefix: &str) -> (Place, Revision) {
    let place = Place::new(prefix).await;
    place.repository.write("chart/Chart.yaml", "apiVersion: v2\nname: app\nversion: 0.1.0\n");
    place.repository.write("chart/templates/secret.yaml", &plain("helm"));
    place.repository.write("sealed/db.yaml", &place.sealed("db", "sealed"));
    let revision = place.repository.commit("a chart and a seal");
    place.source.reconcile().await;
    (place, revision)
}

#[tokio::test]
async fn a_secret_of_helms_is_left_to_helm_and_ours_when_the_release_is_gone() {
    let (place, revision) = chart_and_seal("release").await;
    let mut release = helm_release("app", "team", "./chart");
    // Helm waits until what it deleted is gone. Ours may be there before it looks, and then it waits in vain, until its
    // timeout.
    release["spec"]["uninstall"] = json!({"disableWait": true});
    let release = place.watched(&release).await;
    release.wait_ready(None).await;
    assert!(place.has_password("db", "helm").await);

    let app = place.watched(&kustomization("sealed", "team", "./sealed")).await;
    app.wait_not_ready(&revision, "SealedSecret/").await;
    let told = wait_for_condition(&place.client, &place.namespace, "db", "Stalled", "True").await;
    assert_eq!(told.reason, "TargetNotOwned");
    assert!(place.has_password("db", "helm").await);

    let moment = place.moment().await;
    let began = Instant::now();
    let (right, ()) = tokio::join!(place.password("db", "sealed"), release.delete());
    took("a release that is deleted, until the Secret is ours", right - began);
    wait_for_condition(&place.client, &place.namespace, "db", "Ready", "True").await;
    let changes = place.changes("db", &moment).await;
    assert!(matches!(&changes[..], [Change::Deleted, Change::Written { .. }]), "{changes:?}");
    app.reconcile_until_ready().await;
}

#[tokio::test]
async fn a_secret_of_ours_that_helm_takes_is_put_right_and_one_that_it_may_not_take_is_told() {
    let (place, revision) = chart_and_seal("takes").await;
    let app = place.watched(&without_wait("sealed", "team", "./sealed")).await;
    app.wait_ready(&revision).await;
    place.password("db", "sealed").await;
    let uid = place.secret("db").await.metadata.uid.unwrap();

    let moment = place.moment().await;
    let mut release = helm_release("polite", "team", "./chart");
    release["spec"]["install"] = json!({"disableTakeOwnership": true});
    let polite = place.watched(&release).await;
    polite.wait_not_ready(None, "Secret \"db\"").await;
    assert_eq!(place.changes("db", &moment).await, []);

    let moment = place.moment().await;
    let release = place.watched(&helm_release("app", "team", "./chart")).await;
    release.wait_ready(None).await;
    place.password("db", "sealed").await;
    let changes = place.changes("db", &moment).await;
    let written = |password: &str| Change::Written { uid: uid.clone(), password: password.to_owned() };
    assert_eq!(changes, [written("helm"), written("sealed")]);
    // It does not look for drift unless it is told to, so that is all.
    release.reconcile_until_ready().await;
    assert_eq!(place.changes("db", &moment).await, changes);
}
