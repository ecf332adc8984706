//! What honest callers get.

use super::{opened_with, rotated};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::json;

#[tokio::test]
async fn a_rotated_object_needs_the_new_key_only_and_opens_as_before() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let controller = Controller::start(&release, ControllerOptions::default()).await;
    let namespace = control_plane.namespace("rotated").await;
    let old = Sealer::of(&controller).await;
    let old_pem = controller.http("/v1/cert.pem").await.text();
    let items = [("password", "hunter2"), ("empty", "")];
    let sealed = ["strict", "namespace-wide", "cluster-wide"]
        .map(|scope| (scope, old.seal(&namespace, scope, &items, &["--scope", scope])));
    let old_id = opened_with(&controller, &sealed[0].1).await["password"].clone();
    assert_eq!(opened_with(&controller, &sealed[0].1).await, json!({"password": old_id, "empty": old_id}));

    // A successor on request.
    let secrets: Api<Secret> = Api::namespaced(client.clone(), release.namespace());
    let label = ListParams::default().labels("sealedsecrets.bitnami.com/sealed-secrets-key=active");
    let key = secrets.list(&label).await.unwrap().items.remove(0).metadata.name.unwrap();
    let ask = json!({"metadata": {"annotations": {"privyseal.dev/rotate": "2026-11-24T12:00:00Z"}}});
    secrets.patch(&key, &PatchParams::default(), &Patch::Merge(ask)).await.unwrap();
    eventually(PATIENCE, async || {
        let pem = controller.http("/v1/cert.pem").await.text();
        if pem == old_pem { Err("still the old one") } else { Ok(()) }
    })
    .await;

    let mut after = Vec::new();
    for (scope, object) in sealed {
        assert_eq!(opened_with(&controller, &object).await["password"], old_id);
        let mut new = rotated(&controller, &object).await;
        let new_ids = opened_with(&controller, &new).await;
        assert_ne!(new_ids["password"], old_id, "{scope}");
        assert_eq!(new_ids["empty"], new_ids["password"]);
        let claimed = new["metadata"]["annotations"]["privyseal.dev/sealed-with"].as_str().unwrap();
        assert_eq!(claimed.matches(new_ids["empty"].as_str().unwrap()).count(), 2, "{claimed}");
        after.push((scope, new.clone()));

        // All else is as it was.
        let mut before = object;
        for object in [&mut before, &mut new] {
            object["spec"]["encryptedData"].take();
            object["metadata"]["annotations"]["privyseal.dev/sealed-with"].take();
        }
        assert_eq!(new, before);
    }

    // The old key retired: what was rotated opens in the cluster, and nothing else had to open it.
    let retire = json!({"metadata": {"labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "retired"}}});
    secrets.patch(&key, &PatchParams::default(), &Patch::Merge(retire)).await.unwrap();
    for (scope, object) in after {
        objects::apply(&client, None, &object).await;
        wait_for_secret(&client, &namespace, scope, &[("password", b"hunter2"), ("empty", b"")]).await;
        wait_for_condition(&client, &namespace, scope, "Ready", "True").await;
        let mut live =
            serde_json::to_value(objects::sealed_secrets(&client, &namespace).get(scope).await.unwrap());
        let live = live.as_mut().unwrap();
        assert!(live["metadata"]["managedFields"].is_array() && live["status"].is_object(), "{live}");
        // As the API server has it, with all that it adds, in YAML too.
        let again = rotated(&controller, live).await;
        assert_eq!(again["status"], json!(null));
        assert_eq!(again["metadata"]["uid"], live["metadata"]["uid"]);
        let yaml = format!("# a comment\n{live}\n");
        assert_eq!(super::post(&controller, "/v1/verify", yaml).await.status, 200);
    }
}
