//! Keys whose certificates are not valid yet, as after a restore from a cluster whose clock was ahead: they open, and
//! seal when their time comes.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::{Sealer, privyseal};
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd};
use serde_json::{Value, json};

struct Key {
    pair: KeyPair,
}

impl Key {
    fn new() -> Self {
        Self { pair: KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap() }
    }

    /// A certificate over it that begins in this year.
    fn certificate(&self, from: i32) -> String {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(from + 60, 1, 1));
        params.self_signed(&self.pair).unwrap().pem()
    }

    fn secret(&self, name: &str, from: i32) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {
                "name": name, "labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"},
            },
            "stringData": {"tls.crt": self.certificate(from), "tls.key": self.pair.serialize_pem()},
        })
    }
}

fn without_space(pem: &str) -> String {
    pem.split_whitespace().collect()
}

#[tokio::test]
async fn a_key_from_the_future_opens_and_does_not_seal() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let own = release.namespace();
    let [before, during, past] = [Key::new(), Key::new(), Key::new()];
    // One is there before the controller: there is a key, and none that could seal.
    objects::apply(&client, Some(own), &before.secret("before", 2090)).await;
    let controller = Controller::start(&release, ControllerOptions::default()).await;
    let sealing = controller.http("/v1/cert.pem").await.text();
    // One comes while it runs, and one after it that is older than what seals and may seal.
    objects::apply(&client, Some(own), &during.secret("during", 2080)).await;
    objects::apply(&client, Some(own), &past.secret("past", 2020)).await;

    // Once the last is published, so would be the others.
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), own);
    let published = eventually(PATIENCE, async || {
        let map = maps.get("privyseal-sealing-keys").await.map_err(|error| error.to_string())?;
        let list: Value = serde_json::from_str(&map.data.unwrap()["sealing-keys.json"]).unwrap();
        let pem = |key: &Value| without_space(key["certificate"].as_str().unwrap());
        let keys: Vec<_> = list["keys"].as_array().unwrap().iter().map(pem).collect();
        if keys.len() >= 2 { Ok(keys) } else { Err(format!("{} keys", keys.len())) }
    })
    .await;
    assert_eq!(published, [without_space(&sealing), without_space(&past.certificate(2020))]);
    assert_eq!(controller.http("/v1/cert.pem").await.text(), sealing);
    assert_eq!(controller.metrics().await.value("privyseal_keys_held", &[]), Some(4.0));

    let namespace = control_plane.namespace("future").await;
    for (name, key) in [("before", &before), ("during", &during), ("past", &past)] {
        // Only a sealer whose clock is ahead too has one; the key is what counts.
        let sealed = Sealer::to(&key.certificate(2020)).seal(&namespace, name, &[("a", name)], &[]);
        objects::apply(&client, None, &sealed).await;
        wait_for_secret(&client, &namespace, name, &[("a", name.as_bytes())]).await;
        wait_for_condition(&client, &namespace, name, "Ready", "True").await;
    }

    let sealer = Sealer::to(&before.certificate(2090));
    let file = sealer.certificate().to_str().unwrap();
    let refused = privyseal(&["seal", "--cert", file, "--name", "x", "-n", "x", "--from-literal", "a=1"], "");
    assert!(!refused.status.success() && refused.stdout.is_empty());
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("2090"), "{told}");
}
