//! `keys list`, `report` and `retire`: what a key's several ids and a value's several recipients come to. The API server is
//! canned here; the end-to-end tests have real ones.

use crate::cluster::{Cluster, api_server, published};
use crate::harness::{TestKey, has, id_of, key, other_key, recipients, seal_age, secret};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const CONFIG_MAP: &str = "/api/v1/namespaces/privyseal/configmaps/privyseal-sealing-keys";
const SECRETS: &str =
    "/api/v1/namespaces/privyseal/secrets?&labelSelector=sealedsecrets.bitnami.com%2Fsealed-secrets-key";
const SECRET: &str = "/api/v1/namespaces/privyseal/secrets/key-b";
const OBJECTS: &str = "/apis/bitnami.com/v1alpha1/sealedsecrets?&limit=500";
const AT: &str = "--context prod --kubeconfig config";

/// A cluster that seals with `key()` and opens with `other_key()` too, and these objects, which the latter opened.
fn cluster(objects: &[(&str, &privyseal_envelope::age::Recipients)]) -> Cluster {
    let config_map = published(&[&key().public_half, &other_key().public_half], &[]).0;
    let secrets: Vec<Value> = [key(), other_key()].map(secret_of).to_vec();
    let secrets = json!({"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": secrets});
    let objects: Vec<Value> = objects.iter().map(|(name, to)| opened(name, to)).collect();
    let objects = json!({
        "kind": "SealedSecretList", "apiVersion": "bitnami.com/v1alpha1", "metadata": {}, "items": objects,
    });
    let patched = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {}});
    Cluster::new(api_server(BTreeMap::from([
        (CONFIG_MAP, (200, config_map.to_string())),
        (SECRETS, (200, secrets.to_string())),
        (SECRET, (200, patched.to_string())),
        (OBJECTS, (200, objects.to_string())),
    ])))
}

fn secret_of(key: &TestKey) -> Value {
    let document = privyseal_manifest::read(key.secret.as_bytes(), "key").unwrap().remove(0);
    serde_json::from_str(&document.into_secret().unwrap().to_json_pretty()).unwrap()
}

fn opened(name: &str, to: &privyseal_envelope::age::Recipients) -> Value {
    let text = seal_age(&secret(Some("ns"), Some(name)), to);
    let object =
        privyseal_manifest::read(text.as_bytes(), "x").unwrap().remove(0).into_sealed_secret().unwrap();
    let mut object = serde_json::to_value(object).unwrap();
    object["metadata"]["generation"] = json!(1);
    object["status"] = json!({
        "observedGeneration": 1, "openedWith": [other_key().key_id],
        "conditions": [{"type": "Synced", "status": "True", "lastUpdateTime": null, "lastTransitionTime": null}],
    });
    object
}

#[test]
fn the_list_says_which_recipients_belong_to_a_key() {
    let cluster = cluster(&[]);
    let done = cluster.scene.run(&format!("keys list {AT}")).succeeds();
    has(&done.stdout, &["AGE", "  hybrid,x25519  key-a\n", "  hybrid,x25519  key-b\n"]);
    let report: Value =
        serde_json::from_str(&cluster.scene.run(&format!("keys list {AT} -o json")).succeeds().stdout)
            .unwrap();
    let of_b = report["keys"].as_array().unwrap().iter().find(|key| key["secret"] == "key-b").unwrap();
    let recipient = |kind: &str, recipient: &privyseal_envelope::age::Recipient| json!({"kind": kind, "keyId": id_of(recipient), "fingerprint": recipient.fingerprint().to_string()});
    let expected =
        json!([recipient("hybrid", &other_key().hybrid), recipient("x25519", &other_key().x25519)]);
    assert_eq!(of_b["recipients"], expected);
}

#[test]
fn a_value_holds_the_key_that_opened_it_whatever_else_it_names() {
    let both = recipients([&other_key().hybrid, &key().hybrid]);
    let one = recipients([&other_key().hybrid, &crate::harness::future_key().hybrid]);
    let old = &other_key().key_id;

    let needed = cluster(&[("both", &both), ("one", &one)]);
    let refused = needed.scene.run(&format!("keys retire {old} --cluster-only {AT}")).fails(1);
    has(&refused, &["2 values need it, of 0 it is not known", "ns/one: password: opened with it", "ns/both"]);

    let cluster = cluster(&[]);
    let fingerprint = other_key().x25519.fingerprint().to_string();
    for name in [old, &other_key().fingerprint, &id_of(&other_key().hybrid), &fingerprint, "key-b"] {
        let done = cluster.scene.run(&format!("keys retire {name} --cluster-only {AT}")).succeeds();
        has(&done.stderr, &[&format!("key {old} is retired")]);
    }
    let sealing = id_of(&key().hybrid);
    let refused = cluster.scene.run(&format!("keys retire {sealing} --cluster-only {AT}")).fails(1);
    has(&refused, &[&format!("key {} is the one that seals", key().key_id)]);
    let unknown = cluster.scene.run(&format!("keys retire 0123456789abcdef --cluster-only {AT}")).fails(2);
    has(&unknown, &["there is no key 0123456789abcdef", "or of its age recipients"]);
}

#[test]
fn the_report_calls_a_key_as_the_cluster_does() {
    let cluster = cluster(&[("both", &recipients([&other_key().hybrid, &key().hybrid]))]);
    let scene = &cluster.scene;
    let value = |name: &str, to: &privyseal_envelope::age::Recipients| {
        scene.file(&format!("tree/{name}.yaml"), seal_age(&secret(Some("ns"), Some(name)), to));
    };
    value("mine", &recipients([&other_key().x25519]));
    value("lost", &recipients([&key().hybrid]));
    let identity = other_key().private_half.lines().last().unwrap();
    assert!(identity.starts_with("AGE-SECRET-KEY-1"), "the last line is the X25519 identity");
    scene.file("identity.txt", identity);
    let done = scene.run(&format!("keys report tree --key identity.txt {AT} -o json")).succeeds();
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    let [new, old] = [key(), other_key()].map(|key| &key.key_id);
    let values: Vec<_> = report["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| (value["object"].as_str().unwrap(), &value["openedWith"], &value["claimed"]))
        .collect();
    let mut sorted = [new, old];
    sorted.sort();
    assert_eq!(values[0], ("ns/both", &json!([old]), &json!(sorted)));
    assert_eq!(values[1], ("ns/lost", &Value::Null, &json!([new])));
    assert_eq!(values[2], ("ns/mine", &json!([old]), &json!([old])));
    let count = |id: &str| {
        let key = report["keys"].as_array().unwrap().iter().find(|key| key["keyId"] == id).unwrap();
        (key["opened"].as_u64().unwrap(), key["claimed"].as_u64().unwrap())
    };
    assert_eq!((count(new), count(old)), ((0, 1), (2, 0)));

    let done = scene.run(&format!("keys report tree {AT}")).succeeds();
    has(&done.stdout, &[&format!("ns/lost: password: the controller was not asked; claims key {new}\n")]);
}

#[test]
fn a_cluster_knows_what_else_a_key_goes_by() {
    let cluster = cluster(&[]);
    let scene = &cluster.scene;
    scene.file(
        "repository/a.yaml",
        seal_age(&secret(Some("ns"), Some("a")), &recipients([&other_key().x25519])),
    );
    scene
        .shell("cd repository && git init -q && git add . && git -c user.name=a -c user.email=a@b commit -qm one")
        .succeeds();
    let done = scene.run(&format!("keys report repository --compromised key-b {AT}")).succeeds();
    has(&done.stdout, &["ns/a: password: claims it: a.yaml\n"]);
    has(&done.stderr, &[&format!("key {} goes by ", other_key().key_id), &id_of(&other_key().x25519)]);
}
