//! Keys that come, change and go while the controller runs.

use super::key_secrets;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::{Sealer, privyseal};
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::{Value, json};

pub(crate) fn new_key(namespace: &str) -> Value {
    let made = privyseal(&["keys", "generate", "--size", "2048", "-n", namespace, "-o", "json"], "");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut key: Value = serde_json::from_slice(&made.stdout).unwrap();
    key["metadata"].as_object_mut().unwrap().remove("generateName");
    key
}

pub(crate) fn named(mut key: Value, name: &str) -> Value {
    key["metadata"]["name"] = json!(name);
    key
}

async fn keys_held(controller: &Controller, held: f64, left_out: f64) {
    eventually(PATIENCE, async || {
        let metrics = controller.metrics().await;
        let found =
            (metrics.value("privyseal_keys_held", &[]), metrics.value("privyseal_keys_left_out", &[]));
        if found == (Some(held), Some(left_out)) { Ok(()) } else { Err(found) }
    })
    .await;
}

#[tokio::test]
async fn a_key_that_comes_seals_one_that_is_retired_opens_no_more() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let mut controller = Controller::start(&release, ControllerOptions::default()).await;
    let namespace = control_plane.namespace("ring").await;
    let first = Sealer::of(&controller).await;
    let first_pem = controller.http("/v1/cert.pem").await.text();
    let first_name = key_secrets(&client, release.namespace()).await.items[0].metadata.name.clone().unwrap();
    objects::apply(&client, None, &first.seal(&namespace, "old", &[("a", "1")], &[])).await;
    wait_for_secret(&client, &namespace, "old", &[("a", b"1")]).await;

    // A second has to pass, so that the new certificate is the newer one.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    objects::apply(&client, None, &named(new_key(release.namespace()), "brought")).await;
    let second_pem = eventually(PATIENCE, async || {
        let pem = controller.http("/v1/cert.pem").await.text();
        if pem == first_pem { Err("still the old one") } else { Ok(pem) }
    })
    .await;
    let second = Sealer::to(&second_pem);
    objects::apply(&client, None, &second.seal(&namespace, "new", &[("a", "2")], &[])).await;
    objects::apply(&client, None, &first.seal(&namespace, "late", &[("a", "3")], &[])).await;
    wait_for_secret(&client, &namespace, "new", &[("a", b"2")]).await;
    wait_for_secret(&client, &namespace, "late", &[("a", b"3")]).await;

    // Nobody of the replicas made that key: people are told.
    let events: Api<Event> = Api::namespaced(client.clone(), release.namespace());
    eventually(PATIENCE, async || {
        let list = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let told = list.items.iter().any(|event| event.reason.as_deref() == Some("ForeignSealingKey"));
        if told { Ok(()) } else { Err("no event".to_owned()) }
    })
    .await;
    assert_eq!(controller.metrics().await.sum("privyseal_foreign_keys_total", &[]), 1.0);

    // Retired by its label: what needs it says so, and its Secret stays.
    let secrets: Api<Secret> = Api::namespaced(client.clone(), release.namespace());
    let label = |value: &str| {
        Patch::Merge(json!({"metadata": {"labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": value}}}))
    };
    secrets.patch(&first_name, &PatchParams::default(), &label("retired")).await.unwrap();
    keys_held(&controller, 1.0, 0.0).await;
    let told = wait_for_condition(&client, &namespace, "old", "Stalled", "True").await;
    assert_eq!(told.reason, "NotOpened");
    wait_for_secret(&client, &namespace, "old", &[("a", b"1")]).await;
    wait_for_condition(&client, &namespace, "new", "Ready", "True").await;
    // And back.
    secrets.patch(&first_name, &PatchParams::default(), &label("active")).await.unwrap();
    wait_for_condition(&client, &namespace, "old", "Ready", "True").await;

    // All keys deleted: a new one is made, and no Secret is lost.
    for key in key_secrets(&client, release.namespace()).await.items {
        secrets.delete(&key.metadata.name.unwrap(), &Default::default()).await.unwrap();
    }
    eventually(PATIENCE, async || {
        let keys = key_secrets(&client, release.namespace()).await.items.len();
        if keys == 1 { Ok(()) } else { Err(keys) }
    })
    .await;
    wait_for_secret(&client, &namespace, "new", &[("a", b"2")]).await;
    controller.stop();
}

#[tokio::test]
async fn what_is_no_key_is_left_out_and_the_controller_runs_on() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let own = release.namespace();
    let mut garbage = named(new_key(own), "garbage");
    garbage["data"]["tls.key"] = json!("Z2FyYmFnZQ==");
    let mut mixed = named(new_key(own), "mixed");
    mixed["data"]["tls.crt"] = new_key(own)["data"]["tls.crt"].clone();
    // Present before the controller is, and so at its start.
    objects::apply(&client, None, &garbage).await;
    objects::apply(&client, None, &mixed).await;
    let controller = Controller::start(&release, ControllerOptions::default()).await;
    keys_held(&controller, 1.0, 2.0).await;
    assert!(controller.logs().contains("garbage") && controller.logs().contains("mixed"));

    // One that a SealedSecret owns, as if it had been planted through one.
    let namespace = control_plane.namespace("planted").await;
    let sealer = Sealer::of(&controller).await;
    let before = controller.http("/v1/cert.pem").await.text();
    let owner = objects::apply(&client, None, &sealer.seal(own, "planter", &[("a", "1")], &[])).await;
    let mut planted = named(new_key(own), "planted");
    planted["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "name": "planter",
        "uid": owner.metadata.uid, "controller": true,
    }]);
    objects::apply(&client, None, &planted).await;
    keys_held(&controller, 1.0, 3.0).await;
    assert_eq!(controller.http("/v1/cert.pem").await.text(), before);
    objects::apply(&client, None, &sealer.seal(&namespace, "db", &[("a", "1")], &[])).await;
    wait_for_secret(&client, &namespace, "db", &[("a", b"1")]).await;
}

#[tokio::test]
async fn a_key_is_renewed_by_its_age_also_across_restarts() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let hourly = ControllerOptions::default().arg("--key-renew-period=1h");
    let mut controller = Controller::start(&release, hourly).await;
    controller.kill();
    controller.start_again().await;
    assert_eq!(key_secrets(&client, release.namespace()).await.items.len(), 1, "young enough");
    controller.stop();

    let mut controller =
        Controller::start(&release, ControllerOptions::default().arg("--key-renew-period=1s")).await;
    eventually(PATIENCE, async || {
        let keys = key_secrets(&client, release.namespace()).await.items.len();
        if keys >= 2 { Ok(()) } else { Err(keys) }
    })
    .await;
    controller.stop();
}
