//! From a value that is sealed offline to a Secret, and what costs a call and what does not.

use super::{Scene, sealed, sealed_secret, spoiled};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;
use privyseal_envelope::age::{Identity, Recipient, Recipients, RecipientsError};
use privyseal_tests::ControlPlane;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, sealed_secrets, wait_for_condition, wait_for_secret};
use privyseal_tests::vaulted::HSM_KEY;
use serde_json::{Value, json};

#[tokio::test]
async fn values_open_with_any_version_and_each_costs_one_call_once() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::with_hsm_key(&control_plane, "cluster", &["--log-level=debug"]).await;
    let old = scene.hsm_key();
    scene.apply_hsm("db", &[("user", "alice"), ("password", "correct-horse")]).await;
    wait_for_secret(
        &scene.client,
        &scene.namespace,
        "db",
        &[("user", b"alice"), ("password", b"correct-horse")],
    )
    .await;
    scene.says("db", "Ready", "Unsealed").await;
    assert_eq!(scene.unwraps(), 2);
    let status = scene.state("db").await.0;
    assert_eq!(status["openedWith"], json!([old.fingerprint().key_id().to_string()]));

    // A new version is found at a poll; who is sealed to the old one goes on.
    scene.vaulted.vault.rotate_key(HSM_KEY);
    let new = scene.hsm_key();
    assert_ne!(old, new);
    scene.apply_to(&new, "new", &[("a", "1")]).await;
    scene.apply_to(&old, "old", &[("a", "2")]).await;
    scene.is_right("new", "1").await;
    scene.is_right("old", "2").await;
    assert_eq!(scene.unwraps(), 4);

    // Beside a classic value, in one object.
    let classic = scene.sealed("mixed", "3").await["spec"]["encryptedData"]["a"].as_str().unwrap().to_owned();
    let value = sealed(std::slice::from_ref(&new), (&scene.namespace, "mixed", "b"), "4");
    scene.apply_values(&scene.namespace, "mixed", vec![("a", classic), ("b", value)]).await;
    wait_for_secret(&scene.client, &scene.namespace, "mixed", &[("a", b"3"), ("b", b"4")]).await;
    assert_eq!(scene.unwraps(), 5);

    // What a key of the cluster opens too is not asked for.
    let both = [new.clone(), scene.x25519_of_cluster().await];
    let value = sealed(&both, (&scene.namespace, "both", "a"), "5");
    scene.apply_values(&scene.namespace, "both", vec![("a", value)]).await;
    scene.is_right("both", "5").await;
    assert_eq!(scene.unwraps(), 5);

    // A Secret that goes away comes back without a call: the file keys are kept.
    Api::<Secret>::namespaced(scene.client.clone(), &scene.namespace)
        .delete("db", &DeleteParams::default())
        .await
        .unwrap();
    wait_for_secret(
        &scene.client,
        &scene.namespace,
        "db",
        &[("user", b"alice"), ("password", b"correct-horse")],
    )
    .await;
    assert_eq!(scene.unwraps(), 5);
    let metrics = scene.controller.metrics().await;
    assert_eq!(metrics.value("privyseal_hsm_file_keys_total", &[("from", "cache")]), Some(2.0));
    assert_eq!(metrics.value("privyseal_hsm_file_keys_total", &[("from", "vault")]), Some(5.0));
    let labels = [("operation", "unwrap-file-key"), ("answer", "ok")];
    assert_eq!(metrics.value("privyseal_key_vault_calls_total", &labels), Some(5.0));
    assert_eq!(metrics.value("privyseal_hsm_versions", &[]), Some(2.0));
    assert_eq!(metrics.value("privyseal_hsm_waiting", &[]), Some(0.0));
    assert_eq!(metrics.value("privyseal_hsm_budget", &[]), Some(2000.0), "a software key of 2048 bits");

    // Strangers cannot have the vault asked, and do not profit from what is kept.
    let object = sealed_secrets(&scene.client, &scene.namespace).get("db").await.unwrap();
    let mut body = sealed_secret(&scene.namespace, "db", Vec::new());
    body["spec"] = object.data["spec"].clone();
    for path in ["/v1/verify", "/v1/rotate"] {
        for body in [body.clone(), scene.fresh_value()] {
            let answer =
                scene.controller.request(http::Method::POST, path, body.to_string().into_bytes()).await;
            assert_eq!(answer.status, 409, "{path}");
        }
    }
    assert_eq!(scene.unwraps(), 5);

    // A file key is for nobody to see.
    let shown = scene.controller.logs() + scene.controller.metrics().await.text();
    let file_keys: Vec<_> =
        scene.vaulted.vault.unwrapped().into_iter().filter(|bytes| bytes.len() == 16).collect();
    assert_eq!(file_keys.len(), 5);
    for file_key in file_keys {
        for text in texts(&file_key) {
            assert!(!shown.contains(&text), "{text}");
        }
    }

    // What is in sync is not opened again at a start, with a vault that answers and with one that does not.
    let names = ["db", "new", "old", "mixed", "both"];
    let mut before = Vec::new();
    for name in names {
        before.push(scene.state(name).await);
    }
    for down in [false, true] {
        scene.controller.stop();
        scene.vaulted.vault.forget_calls();
        scene.vaulted.vault.outage(down);
        scene.controller.start_again().await;
        eventually(PATIENCE, async || {
            let metrics = scene.controller.metrics().await;
            let is =
                ["privyseal_passes_in_sync_total", "privyseal_private_operations_total", "privyseal_queue"]
                    .map(|name| metrics.value(name, &[]).unwrap_or_default());
            if is[0] >= 5.0 && is[1..] == [0.0, 0.0] { Ok(()) } else { Err(is) }
        })
        .await;
        for (name, before) in names.iter().zip(&before) {
            assert_eq!(scene.state(name).await, *before, "{name} with a vault that is down: {down}");
        }
        assert_eq!(scene.unwraps(), 0);
    }
    scene.vaulted.vault.outage(false);
}

/// The file key of each is in the cache all the while.
#[tokio::test]
async fn a_value_opens_for_its_own_item_and_object_alone() {
    let control_plane = ControlPlane::start();
    let scene = Scene::with_hsm_key(&control_plane, "key-vault-wrapped", &[]).await;
    let key = [scene.hsm_key()];
    let value = |item| sealed(&key, (&scene.namespace, "db", item), item);
    let (a, b) = (value("a"), value("b"));
    scene.apply_values(&scene.namespace, "db", vec![("a", a.clone()), ("b", b.clone())]).await;
    wait_for_secret(&scene.client, &scene.namespace, "db", &[("a", b"a"), ("b", b"b")]).await;
    assert_eq!(scene.unwraps(), 2);

    let elsewhere = control_plane.namespace("elsewhere").await;
    for (namespace, name, values) in [
        (&scene.namespace, "db", vec![("a", b.clone()), ("b", a.clone())]),
        (&scene.namespace, "other", vec![("a", a.clone())]),
        (&elsewhere, "db", vec![("a", a.clone()), ("b", b.clone())]),
    ] {
        scene.apply_values(namespace, name, values).await;
        let is = wait_for_condition(&scene.client, namespace, name, "Stalled", "True").await;
        assert_eq!(is.reason, "BindingDiffers", "{namespace}/{name}: {}", is.message);
        assert!(*namespace == scene.namespace || !is.message.contains(&scene.namespace), "{}", is.message);
    }
    for (namespace, name) in [(&scene.namespace, "other"), (&elsewhere, "db")] {
        assert_eq!(objects::secret_data(&scene.client, namespace, name).await, None);
    }
    // The one that was right keeps what it had.
    wait_for_secret(&scene.client, &scene.namespace, "db", &[("a", b"a"), ("b", b"b")]).await;
    assert_eq!(scene.unwraps(), 2, "the file keys were kept, and are not what decides");
}

#[tokio::test]
async fn what_was_not_wrapped_for_the_key_costs_one_call_and_no_more() {
    let control_plane = ControlPlane::start();
    let scene = Scene::with_hsm_key(&control_plane, "cluster", &[]).await;
    let key = [scene.hsm_key()];
    let (good, bad) = ("good", "bad");
    let values = vec![
        (good, sealed(&key, (&scene.namespace, "db", good), "1")),
        (bad, spoiled(&sealed(&key, (&scene.namespace, "db", bad), "2"))),
    ];
    scene.apply_values(&scene.namespace, "db", values).await;
    let message = scene.says("db", "Stalled", "Altered").await;
    assert!(
        message.contains("bad: changed after sealing") && message.contains(&key[0].fingerprint().to_string()),
        "{message}"
    );
    let bad_calls = || scene.vaulted.vault.calls().iter().filter(|call| call.status == Some(400)).count();
    assert_eq!(bad_calls(), 1);
    // Neither polls nor another look at it make more of them.
    let namespace = scene.vaulted.release.namespace().to_owned();
    let key_secret = scene.keys().await.into_keys().next().unwrap();
    control_plane
        .kubectl_ok(&["annotate", "secret", &key_secret, "privyseal.dev/rotate=now", "-n", &namespace], "");
    scene.keys_are(2.0, 0.0).await;
    let polls = || scene.vaulted.vault.count("listKeyVersions");
    let before = polls();
    eventually(PATIENCE, async || if polls() > before + 2 { Ok(()) } else { Err(polls()) }).await;
    assert_eq!(bad_calls(), 1);
    assert!(scene.unwraps() <= 2);
}

#[test]
fn a_vaults_key_and_a_post_quantum_one_do_not_mix() {
    use privyseal_envelope::rsa::{KeySize, OpeningKey};
    let vault = OpeningKey::generate(KeySize::Rsa2048).unwrap();
    let vault = Recipient::KeyVault(vault.sealing_key().clone());
    let hybrid = Identity::generate_hybrid().unwrap().recipient();
    let mixed = Recipients::new([vault.clone(), hybrid]);
    assert!(matches!(mixed, Err(RecipientsError::Mixed { .. })));
    assert!(Recipients::new([vault, Identity::generate_x25519().recipient()]).is_ok());
}

/// How bytes are written in logs.
fn texts(bytes: &[u8]) -> [String; 4] {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    [
        STANDARD_NO_PAD.encode(bytes),
        URL_SAFE_NO_PAD.encode(bytes),
        bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        format!("{bytes:?}"),
    ]
}

impl Scene<'_> {
    /// What a key of the cluster is sealed to, as its Secret says.
    async fn x25519_of_cluster(&self) -> Recipient {
        let keys = self.keys().await;
        let public = super::super::text(keys.values().next().unwrap(), "tls.crt").unwrap();
        let line = public.lines().find(|line| line.starts_with("age1") && !line.starts_with("age1pq1"));
        line.unwrap_or_else(|| panic!("no X25519 recipient: {public}")).parse().unwrap()
    }

    /// One that nobody has opened yet.
    fn fresh_value(&self) -> Value {
        let value = sealed(&[self.hsm_key()], (&self.namespace, "fresh", "a"), "1");
        sealed_secret(&self.namespace, "fresh", vec![("a", value)])
    }
}
