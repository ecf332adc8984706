//! The way back: the peer's controller finds our key Secrets and opens what was sealed to them.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use privyseal_tests::controller::{Chart, Program};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, secret_data, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::json;

#[tokio::test]
async fn the_peers_controller_goes_on_with_our_keys() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let place = |name| ReleaseOptions::default().place(name, "shared");
    let ours = Release::install(&control_plane, place("ours")).await;
    let mut controller = Controller::start(&ours, ControllerOptions::default()).await;
    let certificate = controller.http("/v1/cert.pem").await.text();
    let sealer = Sealer::to(&certificate);
    controller.stop();

    let theirs = Release::install(&control_plane, place("theirs").chart(Chart::Peer).without_crds()).await;
    let mut peer = Controller::start(&theirs, ControllerOptions::default().program(Program::Peer)).await;
    assert_eq!(peer.http("/v1/cert.pem").await.text(), certificate, "it seals with a key of its own");

    let namespace = control_plane.namespace("back").await;
    let elsewhere = control_plane.namespace("elsewhere").await;
    let right: [(&str, &[u8]); 2] = [("password", b"hunter2"), ("empty", b"")];
    for (scope, renamed, moved) in
        [("strict", false, false), ("namespace-wide", true, false), ("cluster-wide", true, true)]
    {
        let items = [("password", "hunter2"), ("empty", "")];
        let sealed = sealer.seal(&namespace, scope, &items, &["--scope", scope]);
        let other = format!("{scope}-renamed");
        for (namespace, name, opens) in
            [(&namespace, scope, true), (&namespace, other.as_str(), renamed), (&elsewhere, scope, moved)]
        {
            let mut object = sealed.clone();
            object["metadata"]["name"] = json!(name);
            object["metadata"]["namespace"] = json!(namespace);
            objects::apply(&client, None, &object).await;
            let synced = if opens { "True" } else { "False" };
            wait_for_condition(&client, namespace, name, "Synced", synced).await;
            match opens {
                true => wait_for_secret(&client, namespace, name, &right).await,
                false => assert_eq!(secret_data(&client, namespace, name).await, None, "{namespace}/{name}"),
            }
        }
    }

    // And back to ours: what the peer made is taken as it is, whatever others add to it, and then nobody writes.
    peer.stop();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let labels = json!({"metadata": {"labels": {"app.kubernetes.io/instance": "theirs"}}});
    secrets.patch("strict", &PatchParams::default(), &Patch::Merge(labels)).await.unwrap();
    let made = secrets.list(&ListParams::default()).await.unwrap().items;
    controller.start_again().await;
    eventually(PATIENCE, async || {
        let passes = controller.metrics().await.sum("privyseal_passes_total", &[("reason", "Unsealed")]);
        if passes >= made.len() as f64 { Ok(()) } else { Err(passes) }
    })
    .await;
    let sealed_secrets = objects::sealed_secrets(&client, &namespace);
    wait_for_condition(&client, &namespace, "strict", "Ready", "True").await;
    let settled = sealed_secrets.get("strict").await.unwrap().metadata.resource_version;
    objects::apply(&client, None, &sealer.seal(&namespace, "last", &[("a", "1")], &[])).await;
    wait_for_condition(&client, &namespace, "last", "Ready", "True").await;
    for secret in made {
        let name = secret.metadata.name.clone().unwrap();
        assert_eq!(secrets.get(&name).await.unwrap(), secret, "{name}");
    }
    assert_eq!(sealed_secrets.get("strict").await.unwrap().metadata.resource_version, settled);
}
