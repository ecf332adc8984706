//! Several replicas, and escrow beside a vault.

use super::{Scene, text};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use privyseal_tests::age_keys::keeper;
use privyseal_tests::entra::Entra;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::key_vault::{CallFault, KeyVault, Trouble};
use privyseal_tests::vaulted::{KEY, SECRET, Vaulted};
use privyseal_tests::{ControlPlane, Controller, ReleaseOptions};

/// Each replica asks the vault once for each key; whoever takes over holds them already.
#[tokio::test]
async fn a_replica_that_takes_over_asks_for_nothing_but_the_publisher_key() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::set(&control_plane, "key-vault-wrapped").await;
    scene.apply("db", "1").await;
    scene.is_right("db", "1").await;
    scene.vaulted.vault.forget_calls();
    let second = scene.vaulted.controller().await;
    assert_eq!(
        scene.vaulted.vault.count("unwrapKey"),
        1,
        "the sealing key: {:?}",
        scene.vaulted.vault.calls()
    );
    scene.controller.kill();
    scene.controller = second;
    scene.apply("after", "2").await;
    scene.is_right("after", "2").await;
    scene.is_right("db", "1").await;
    assert_eq!(scene.vaulted.vault.count("unwrapKey"), 2, "and the publisher key, to lead");
    assert_eq!(scene.keys().await.len(), 1);
}

/// A key whose maker was lost after it gave it to the vault waits for its backup like any other.
#[tokio::test]
async fn with_escrow_a_key_that_is_found_in_the_vault_waits_for_its_backup() {
    let control_plane = ControlPlane::start();
    let entra = Entra::start();
    let vault = KeyVault::start(&entra);
    vault.create_key(KEY);
    let values = ReleaseOptions::default().set(&format!("escrow.recipients={{{}}}", keeper().recipient));
    let vaulted = Vaulted::with_values(&control_plane, entra, vault, "key-vault-secret", values).await;
    // The key is stored, and what is stored is not read back: its maker never makes the Secret.
    let lost = vaulted.vault.inject(CallFault::new("getSecret", Trouble::CutAfter).on(SECRET).next(1));
    let mut controller = Controller::launch(&vaulted.release, vaulted.options()).await;
    eventually(PATIENCE, async || if lost.hits() > 0 { Ok(()) } else { Err("not yet") }).await;
    controller.kill();
    controller.start_again().await;
    let namespace = control_plane.namespace("escrowed").await;
    let scene = Scene { client: control_plane.client(), vaulted, controller, namespace };
    scene.keys_are(1.0, 0.0).await;
    assert_eq!(scene.vaulted.vault.secret_versions(SECRET).len(), 1, "no second key was made");
    let keys = scene.keys().await;
    assert_eq!(text(keys.values().next().unwrap(), "tls.key").as_deref(), Some(""));
    let maps: Api<ConfigMap> = Api::namespaced(scene.client.clone(), scene.vaulted.release.namespace());
    let backups =
        maps.list(&ListParams::default().labels("privyseal.dev/escrow=backup")).await.unwrap().items;
    assert_eq!(backups.len(), 1);
    let logs = scene.controller.logs();
    let order = [
        "is taken over",
        "a pending key is taken up again",
        "the backup of the key is stored",
        "the key is in use",
    ];
    let places: Vec<_> =
        order.iter().map(|line| logs.rfind(line).unwrap_or_else(|| panic!("{line}\n{logs}"))).collect();
    assert!(places.is_sorted(), "{logs}");
    scene.apply("db", "1").await;
    scene.is_right("db", "1").await;
}
