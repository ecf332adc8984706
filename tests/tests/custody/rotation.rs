//! What changes in the vault: its key has a successor, people bring keys, and a cluster is lost.

use super::{CUSTODIES, Scene, text};
use privyseal_tests::entra::Entra;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::key_vault::KeyVault;
use privyseal_tests::objects;
use privyseal_tests::sealing::{Sealer, privyseal};
use privyseal_tests::vaulted::{KEY, PUBLISHER, SECRET, Vaulted};
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::Value;

fn key_version(reference: &str) -> String {
    let reference: Value = serde_json::from_str(reference).unwrap();
    let id = reference["key"].as_str().unwrap();
    id.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_wrapped_follows_the_vault_key_and_old_versions_can_go() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::set(&control_plane, "key-vault-wrapped").await;
    scene.apply("db", "1").await;
    scene.is_right("db", "1").await;
    let old = scene.vaulted.vault.key_versions(KEY);
    scene.vaulted.vault.rotate_key(KEY);
    let new =
        scene.vaulted.vault.key_versions(KEY).into_iter().find(|version| !old.contains(version)).unwrap();
    eventually(PATIENCE, async || {
        let publisher = scene.item("privyseal-publisher-key", "custody.json").await.unwrap();
        let keys = scene.keys().await;
        let mut versions: Vec<_> =
            keys.values().map(|key| key_version(&text(key, "custody.json").unwrap())).collect();
        versions.push(key_version(&publisher));
        if versions.iter().all(|version| *version == new) { Ok(()) } else { Err(versions) }
    })
    .await;
    assert_eq!(scene.keys().await.len(), 1, "the sealing key is the same, wrapped anew");
    for version in old {
        scene.vaulted.vault.set_key_enabled(KEY, &version, false);
    }
    scene.controller.stop();
    scene.controller.start_again().await;
    scene.apply("after", "2").await;
    scene.is_right("after", "2").await;
    scene.is_right("db", "1").await;
}

#[tokio::test]
async fn people_bring_keys_and_garbage_hinders_nobody() {
    let control_plane = ControlPlane::start();
    let scene = Scene::set(&control_plane, "key-vault-secret").await;
    // A certificate is dated to the second.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let made = privyseal(&["keys", "generate", "--size", "2048", "-n", "any", "-o", "json"], "");
    let key: Value = serde_json::from_slice(&made.stdout).unwrap();
    let pem = |item: &str| {
        use base64::Engine as _;
        let text = key["data"][item].as_str().unwrap();
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
    };
    scene.vaulted.vault.put_secret(SECRET, "hunter2-is-no-key");
    // A bare private key gets a certificate: from now on it seals.
    scene.vaulted.vault.put_secret(SECRET, &pem("tls.key"));
    scene.keys_are(2.0, 0.0).await;
    let keys = scene.keys().await;
    assert_eq!(keys.len(), 2);
    // It is told that no leader made it.
    let namespace = scene.vaulted.release.namespace();
    eventually(PATIENCE, async || {
        let foreign = scene.controller.metrics().await.value("privyseal_sealing_key_foreign", &[]);
        if foreign == Some(1.0) { Ok(()) } else { Err(foreign) }
    })
    .await;
    scene.apply("theirs", "1").await;
    scene.is_right("theirs", "1").await;
    let logs = scene.controller.logs();
    assert!(logs.contains("is taken over") && !logs.contains("hunter2"), "{logs}");
    let all = control_plane.kubectl_ok(&["get", "secrets,configmaps", "-n", namespace, "-o", "yaml"], "");
    assert!(!all.contains("hunter2"));
    // What was no key is not asked for again and again.
    scene.vaulted.vault.forget_calls();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(scene.vaulted.vault.count("getSecret"), 0, "{:?}", scene.vaulted.vault.calls());
}

/// Another cluster with the same vault and the same values in Git: nothing is lost, and nothing has to be trusted anew.
#[tokio::test]
async fn a_cluster_that_is_lost_leaves_its_keys_in_the_vault() {
    let lost = ControlPlane::start();
    let scene = Scene::set(&lost, "key-vault-secret").await;
    let sealed = scene.sealed("db", "1").await;
    let namespace = scene.namespace.clone();
    let publisher = scene.item("privyseal-publisher-key", "publisher.pub").await.unwrap();
    let Scene { vaulted: Vaulted { entra, vault, .. }, controller, .. } = scene;
    drop(controller);
    drop(lost);

    let control_plane = ControlPlane::start();
    let scene = Scene::with(&control_plane, entra, vault, "key-vault-secret").await;
    scene.keys_are(1.0, 0.0).await;
    assert_eq!(scene.item("privyseal-publisher-key", "publisher.pub").await.unwrap(), publisher);
    assert_eq!(scene.vaulted.vault.secret_versions(SECRET).len(), 1, "no key was made");
    assert_eq!(scene.vaulted.vault.secret_versions(PUBLISHER).len(), 1, "no publisher key was made");
    control_plane.kubectl_ok(&["create", "namespace", &namespace], "");
    objects::apply(&scene.client, None, &sealed).await;
    objects::wait_for_secret(&scene.client, &namespace, "db", &[("a", b"1")]).await;
    // It is known who made it.
    let foreign = scene.controller.metrics().await.value("privyseal_sealing_key_foreign", &[]);
    assert_eq!(foreign, Some(0.0));
}

/// Something that is no key has the name of one that the vault holds: that one is told of, and the others are taken over.
#[tokio::test]
async fn a_name_that_is_taken_hinders_no_other_key() {
    let lost = ControlPlane::start();
    let scene = Scene::set(&lost, "key-vault-secret").await;
    let first = scene.keys().await.into_keys().next().unwrap();
    let namespace = scene.vaulted.release.namespace();
    lost.kubectl_ok(&["annotate", "secret", &first, "privyseal.dev/rotate=now", "-n", namespace], "");
    scene.keys_are(2.0, 0.0).await;
    let newest = scene.keys().await.into_keys().find(|name| *name != first).unwrap();
    let Scene { vaulted: Vaulted { entra, vault, .. }, controller, .. } = scene;
    drop(controller);
    drop(lost);

    let control_plane = ControlPlane::start();
    let vaulted = Vaulted::with(&control_plane, entra, vault, "key-vault-secret").await;
    // The newest is taken over first, and so is the one that fails first.
    control_plane.kubectl_ok(
        &["create", "secret", "generic", &newest, "--from-literal=a=b", "-n", vaulted.release.namespace()],
        "",
    );
    let controller = vaulted.controller().await;
    let namespace = control_plane.namespace("taken").await;
    let scene = Scene { client: control_plane.client(), vaulted, controller, namespace };
    scene.keys_are(1.0, 0.0).await;
    assert!(scene.keys().await.contains_key(&first));
    let logs = scene.controller.logs();
    assert!(logs.contains("gets no Secret") && logs.contains(&newest), "{logs}");
}

/// A replica that was started before the vault was configured, or after it was taken away too early.
#[tokio::test]
async fn who_knows_no_vault_makes_no_key_in_place_of_those_that_are_there() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::set(&control_plane, "key-vault-wrapped").await;
    scene.apply("db", "1").await;
    scene.is_right("db", "1").await;
    let sealed = scene.sealed("new", "2").await;
    scene.controller.stop();
    objects::apply(&scene.client, None, &sealed).await;
    let (name, namespace) = (scene.vaulted.release.name(), scene.vaulted.release.namespace());
    let without = Release::install(&control_plane, ReleaseOptions::default().place(name, namespace)).await;
    let mut stranger = Controller::launch(&without, ControllerOptions::default()).await;
    let told = objects::wait_for_condition(&scene.client, &scene.namespace, "new", "Stalled", "True").await;
    assert_eq!(told.reason, "KeyVaultRefuses");
    assert!(told.message.contains("--key-vault-url"), "{}", told.message);
    stranger.stop();
    assert_eq!(scene.keys().await.len(), 1, "no key was made in the clear");
    scene.controller.start_again().await;
    scene.is_right("new", "2").await;
    scene.is_right("db", "1").await;
}

/// Another name for the vault's key leads to nothing that is kept under the old one: it is said, and nothing is made anew.
#[tokio::test]
async fn another_name_in_the_vault_takes_no_key_away() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::set(&control_plane, "key-vault-wrapped").await;
    scene.apply("db", "1").await;
    scene.is_right("db", "1").await;
    let before = objects::sealed_secrets(&scene.client, &scene.namespace).get("db").await.unwrap().data;
    let sealed = scene.sealed("new", "2").await;
    scene.controller.stop();
    objects::apply(&scene.client, None, &sealed).await;
    scene.vaulted.vault.create_key("another");
    let options = scene.vaulted.options().arg("--key-vault-key=another");
    let mut renamed = Controller::launch(&scene.vaulted.release, options).await;
    let told = objects::wait_for_condition(&scene.client, &scene.namespace, "new", "Stalled", "True").await;
    assert_eq!(told.reason, "KeyVaultRefuses", "{}", told.message);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    renamed.stop();
    assert_eq!(scene.keys().await.len(), 1, "no key was made");
    let after = objects::sealed_secrets(&scene.client, &scene.namespace).get("db").await.unwrap().data;
    assert_eq!(before["status"], after["status"], "what was right says so");
    scene.controller.start_again().await;
    scene.is_right("new", "2").await;
}

/// From the cluster into the vault, from one custody of it to the other, and back: nothing is lost, what lay in the
/// cluster is marked and never seals again.
#[tokio::test]
async fn keys_move_from_custody_to_custody() {
    let control_plane = ControlPlane::start();
    let entra = Entra::start();
    let vault = KeyVault::start(&entra);
    vault.create_key(KEY);
    let mut scene = Scene::with(&control_plane, entra, vault, "cluster").await;
    scene.apply("first", "1").await;
    scene.is_right("first", "1").await;
    let first = scene.keys().await.into_keys().next().unwrap();
    assert!(!text(&scene.keys().await[&first], "tls.key").unwrap().is_empty());
    let pinned = Sealer::of(&scene.controller).await;

    for (number, custody) in CUSTODIES.into_iter().chain(CUSTODIES.into_iter().rev()).enumerate() {
        scene.restart_with(&format!("--custody={custody}")).await;
        eventually(PATIENCE, async || {
            let keys = scene.keys().await;
            let mut kept: Vec<_> =
                keys.values().map(|key| text(key, "custody.json").unwrap_or_default()).collect();
            kept.push(scene.item("privyseal-publisher-key", "custody.json").await.unwrap_or_default());
            // One key more: the first one must not go on sealing.
            let all = kept.iter().all(|reference| reference.contains(custody));
            if all && kept.len() == 3 { Ok(()) } else { Err(kept) }
        })
        .await;
        let keys = scene.keys().await;
        for (name, key) in &keys {
            let marked =
                key.metadata.annotations.as_ref().unwrap().contains_key("privyseal.dev/was-in-clear");
            assert_eq!(marked, *name == first, "{custody}: {name}");
            assert_eq!(text(key, "tls.key").as_deref(), Some(""), "{custody}: {name}");
        }
        assert_eq!(scene.item("privyseal-publisher-key-moving", "custody.json").await, None);
        let name = format!("old-{number}");
        objects::apply(&scene.client, None, &pinned.seal(&scene.namespace, &name, &[("a", "2")], &[])).await;
        scene.is_right(&name, "2").await;
        let name = format!("new-{number}");
        scene.apply(&name, "3").await;
        scene.is_right(&name, "3").await;
    }

    scene.restart_with("--custody=cluster").await;
    eventually(PATIENCE, async || {
        let keys = scene.keys().await;
        let mut clear: Vec<_> = keys.values().map(|key| text(key, "tls.key").unwrap()).collect();
        clear.push(scene.item("privyseal-publisher-key", "publisher.key").await.unwrap_or_default());
        if clear.iter().all(|pem| pem.contains("PRIVATE KEY")) { Ok(()) } else { Err(clear.len()) }
    })
    .await;
    scene.apply("back", "4").await;
    scene.is_right("back", "4").await;
    scene.is_right("first", "1").await;
}
