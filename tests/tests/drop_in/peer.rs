//! The way back: the peer's controller finds our key Secrets and opens what was sealed to them.

use privyseal_tests::controller::{Chart, Program};
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
    let peer = Controller::start(&theirs, ControllerOptions::default().program(Program::Peer)).await;
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
}
