//! `privyseal verify` through the API server, to our controller and to the peer's.

use crate::{Desk, told};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use privyseal_tests::controller::{Chart, Program};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects;
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions, network};
use serde_json::{Value, json};
use std::process::Output;

/// A tree with two objects that open, and one that was renamed.
fn write_tree(desk: &Desk, sealer: &Sealer) {
    std::fs::create_dir_all(desk.file("tree")).unwrap();
    for (file, name, renamed) in [("a", "db", "db"), ("b", "cache", "cache"), ("c", "queue", "other")] {
        let mut object = sealer.seal("apps", name, &[("user", "1"), ("password", "2")], &[]);
        object["metadata"]["name"] = json!(renamed);
        std::fs::write(desk.file(&format!("tree/{file}.json")), object.to_string()).unwrap();
    }
}

async fn answers(desk: &Desk, args: &str, status: i32) -> Output {
    eventually(PATIENCE, async || {
        let output = desk.asks(args);
        match output.status.code() {
            Some(code) if code == status => Ok(output),
            _ => Err(format!("{}{}", String::from_utf8_lossy(&output.stdout), told(&output))),
        }
    })
    .await
}

#[test]
fn the_controller_says_what_opens_and_with_which_key() {
    network::alone(async || {
        let control_plane = ControlPlane::start();
        let client = control_plane.client();
        let release =
            Release::install(&control_plane, ReleaseOptions::default().place("privyseal", "privyseal")).await;
        let controller = Controller::start(&release, ControllerOptions::default().reachable()).await;
        release.lead_to(&controller).await;
        let desk = Desk::of_admin(&control_plane, "privyseal");
        write_tree(&desk, &Sealer::of(&controller).await);

        let output = answers(&desk, "verify tree/a.json -o json", 0).await;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let listed: Value = serde_json::from_slice(&desk.asks("keys list -o json").stdout).unwrap();
        let key = &listed["keys"][0]["keyId"];
        assert!(key.is_string(), "{listed}");
        assert_eq!(report["objects"][0]["openedWith"], json!({"user": key, "password": key}));

        let output = answers(&desk, "verify tree", 1).await;
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let verdicts: Vec<_> =
            text.lines().map(|line| line.split(": ").skip(1).take(2).collect::<Vec<_>>()).collect();
        assert_eq!(
            verdicts,
            [["apps/db", "opens"], ["apps/cache", "opens"], ["apps/other", "does not open"]]
        );
        assert!(told(&output).contains("1 of 3 SealedSecrets do not open"), "{}", told(&output));
        // Nothing came of it in the cluster.
        assert!(objects::secret_data(&client, "apps", "db").await.is_none());

        // Somebody who may not reach the controller learns which right it takes.
        let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
        let account = serde_json::from_value(json!({"metadata": {"name": "somebody"}})).unwrap();
        accounts.create(&Default::default(), &account).await.unwrap();
        let mut somebody = Desk::new(&control_plane.kubeconfig_for("default", "somebody").await, "privyseal");
        std::mem::swap(&mut somebody.scratch, &mut { desk }.scratch);
        let output = somebody.asks("verify tree");
        assert_eq!(output.status.code(), Some(1));
        assert!(told(&output).contains("services/proxy"), "{}", told(&output));
    });
}

#[test]
fn the_peers_controller_says_only_that_it_opens() {
    network::alone(async || {
        let control_plane = ControlPlane::start();
        let name = "sealed-secrets-controller";
        let options = ReleaseOptions::default().chart(Chart::Peer).place("peer", "kube-system");
        let release =
            Release::install(&control_plane, options.set(&format!("fullnameOverride={name}"))).await;
        let peer = ControllerOptions::default().program(Program::Peer).reachable();
        let peer = Controller::start(&release, peer).await;
        release.lead_to(&peer).await;
        let desk = Desk::of_admin(&control_plane, "kube-system");
        write_tree(&desk, &Sealer::of(&peer).await);
        let output = answers(&desk, "verify tree/a.json", 0).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("apps/db: opens; the controller does not say with which keys"), "{text}");
        let output = answers(&desk, "verify tree/c.json", 1).await;
        assert!(String::from_utf8_lossy(&output.stdout).contains("apps/other: does not open"));
    });
}
