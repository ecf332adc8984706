//! Escrow: no key is used before its backup is stored, and that backup brings a cluster back.

use super::backup::{Desk, cluster, fingerprint, published};
use super::key_secrets;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use privyseal_tests::age_keys::keeper;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{
    Action, ControlPlane, Controller, ControllerOptions, Fault, FaultProxy, Release, ReleaseOptions, Requests,
};
use serde_json::json;
use std::path::PathBuf;

fn with_escrow() -> ReleaseOptions {
    ReleaseOptions::default().set(&format!("escrow.recipients={{{}}}", keeper().recipient))
}

async fn backups(release: &Release<'_>) -> Vec<ConfigMap> {
    let maps: Api<ConfigMap> = Api::namespaced(release.control_plane().client(), release.namespace());
    maps.list(&ListParams::default().labels("privyseal.dev/escrow=backup")).await.unwrap().items
}

async fn pending(release: &Release<'_>) -> usize {
    let secrets: Api<Secret> = Api::namespaced(release.control_plane().client(), release.namespace());
    let label = "sealedsecrets.bitnami.com/sealed-secrets-key=pending";
    secrets.list(&ListParams::default().labels(label)).await.unwrap().items.len()
}

/// A kubeconfig of somebody who may list ConfigMaps beside the controller, and nothing else.
async fn collector(release: &Release<'_>) -> PathBuf {
    let (control_plane, namespace) = (release.control_plane(), release.namespace());
    let client = control_plane.client();
    let metadata = json!({"namespace": namespace, "name": "collector"});
    for object in [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "collector"},
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": "collector"}],
        }),
    ] {
        objects::apply(&client, None, &object).await;
    }
    control_plane.kubeconfig_for(namespace, "collector").await
}

#[tokio::test]
async fn an_escrowed_backup_brings_a_cluster_back() {
    let desk = Desk::new();
    let (object, key, publisher) = {
        let control_plane = ControlPlane::start();
        let client = control_plane.client();
        let release = Release::install(&control_plane, with_escrow()).await;
        let mut controller = Controller::start(&release, ControllerOptions::default()).await;
        let namespace = control_plane.namespace("escrowed").await;
        let object = Sealer::of(&controller).await.seal(&namespace, "db", &[("a", "1")], &[]);
        objects::apply(&client, None, &object).await;
        wait_for_secret(&client, &namespace, "db", &[("a", b"1")]).await;
        assert_eq!((backups(&release).await.len(), pending(&release).await), (1, 0));
        let (status, publisher) =
            eventually(PATIENCE, async || published(&release).await.ok_or("not published")).await;
        assert_eq!(status["reason"], "MadeByLeader");

        let options = cluster(&release, &collector(&release).await);
        let fetch = format!("keys backup --escrowed --out-dir stored --for prod {options}");
        let said = desk.fails(&fetch, 1);
        let fingerprint = fingerprint(&said, "--yes-trust").trim_end_matches('`').to_owned();
        desk.does(&format!("{fetch} --yes-trust {fingerprint}"));
        desk.does(&fetch);
        // Somebody plants one of their own, and one is damaged.
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), release.namespace());
        let mut planted = backups(&release).await.remove(0);
        planted.metadata = serde_json::from_value(
            json!({"name": "privyseal-escrow-planted", "labels": {"privyseal.dev/escrow": "backup"}}),
        )
        .unwrap();
        let text = planted.data.as_mut().unwrap().values_mut().next().unwrap();
        *text = text.replacen("AGE ENCRYPTED FILE-----\\n", "AGE ENCRYPTED FILE-----\\nAAAA", 1);
        maps.create(&Default::default(), &planted).await.unwrap();
        let said = desk.fails(&fetch, 2);
        assert!(said.contains("the ConfigMap privyseal-escrow-planted"), "{said}");
        controller.stop();
        (object, status["fingerprint"].clone(), publisher)
    };
    let files: Vec<_> =
        std::fs::read_dir(desk.file("stored")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };

    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, with_escrow()).await;
    let options = cluster(&release, &control_plane.admin_kubeconfig_with_token().await);
    desk.does(&format!("keys restore {} --identity identity.txt --for prod {options}", file.display()));
    let mut controller = Controller::start(&release, ControllerOptions::default()).await;
    let namespace = object["metadata"]["namespace"].as_str().unwrap();
    let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    objects::apply(&client, None, &made).await;
    objects::apply(&client, None, &object).await;
    wait_for_secret(&client, namespace, "db", &[("a", b"1")]).await;
    let (status, signer) =
        eventually(PATIENCE, async || published(&release).await.ok_or("not published")).await;
    assert_eq!((&status["fingerprint"], signer), (&key, publisher));
    assert_eq!(status["reason"], "MadeByLeader");
    assert_eq!(
        (key_secrets(&client, release.namespace()).await.items.len(), pending(&release).await),
        (1, 0)
    );
    controller.stop();
}

#[tokio::test]
async fn while_a_backup_cannot_be_stored_the_old_key_seals_and_the_next_leader_finishes_the_new_one() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let proxy = FaultProxy::start(&control_plane.admin_kubeconfig_with_token().await);
    let release = Release::install(&control_plane, with_escrow()).await;
    let mut controller = Controller::start(&release, ControllerOptions::default().through(&proxy)).await;
    let (first, _) = eventually(PATIENCE, async || published(&release).await.ok_or("not published")).await;
    let namespace = control_plane.namespace("escrow").await;
    let old = Sealer::of(&controller).await;

    // The list of keys is replaced, never created, from here on.
    let refused = proxy.inject(Fault::new(Requests::call("create configmaps"), Action::status(500)));
    let secrets: Api<Secret> = Api::namespaced(client.clone(), release.namespace());
    let rotate = json!({"metadata": {"annotations": {"privyseal.dev/rotate": "2026-11-24T12:00:00Z"}}});
    let name = first["secret"].as_str().unwrap();
    secrets.patch(name, &PatchParams::default(), &Patch::Merge(rotate)).await.unwrap();
    eventually(PATIENCE, async || {
        let metrics = controller.metrics().await;
        let (waiting, failures) = (
            metrics.value("privyseal_escrow_pending", &[]),
            metrics.sum("privyseal_escrow_failures_total", &[]),
        );
        if waiting == Some(1.0) && failures >= 2.0 { Ok(()) } else { Err((waiting, failures)) }
    })
    .await;
    assert!(refused.hits() >= 2);
    assert_eq!(
        (key_secrets(&client, release.namespace()).await.items.len(), pending(&release).await),
        (1, 1)
    );
    assert_eq!(published(&release).await.unwrap().0["fingerprint"], first["fingerprint"]);
    let events: Api<Event> = Api::namespaced(client.clone(), release.namespace());
    eventually(PATIENCE, async || {
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let told = events.iter().filter(|event| event.reason.as_deref() == Some("EscrowFailed")).count();
        if told == 1 { Ok(()) } else { Err(told) }
    })
    .await;
    objects::apply(&client, None, &old.seal(&namespace, "meanwhile", &[("a", "1")], &[])).await;
    wait_for_secret(&client, &namespace, "meanwhile", &[("a", b"1")]).await;

    // Somebody is in the way of the next leader, who may put that right.
    controller.kill();
    refused.remove();
    let logs = controller.logs();
    let place = logs.split("the ConfigMap ").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
    assert!(place.starts_with("privyseal-escrow-"), "{place}");
    let junk = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": release.namespace(), "name": place},
        "data": {"key.backup": "junk"},
    });
    objects::apply(&client, None, &junk).await;
    controller.start_again().await;
    let second = eventually(PATIENCE, async || match published(&release).await {
        Some((status, _)) if status["fingerprint"] != first["fingerprint"] => Ok(status),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(second["reason"], "MadeByLeader");
    assert_eq!(
        (key_secrets(&client, release.namespace()).await.items.len(), pending(&release).await),
        (2, 0)
    );
    let stored = backups(&release).await;
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|map| map.data.as_ref().unwrap()["key.backup"].contains("AGE ENCRYPTED FILE")));
    assert_eq!(
        controller.metrics().await.sum("privyseal_keys_made_total", &[]),
        0.0,
        "taken up, not made anew"
    );
    controller.stop();
}
