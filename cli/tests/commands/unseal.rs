//! `unseal`: every form of key, and what comes out.

use crate::harness::{CANARY_BASE64, Scene, has, key, other_key, secret};

fn sealed_scene() -> Scene {
    let scene = Scene::new();
    scene.seal(&secret(Some("ns"), Some("db")));
    scene
}

#[test]
fn every_form_of_key_opens() {
    let scene = sealed_scene();
    let (key, other) = (key(), other_key());
    let indented: String = key.secret.lines().map(|line| format!("  {line}\n")).collect();
    let items = indented.replacen("  apiVersion", "- apiVersion", 1);
    scene.file("pkcs1.pem", &key.private);
    scene.file("two.pem", format!("{}{}", other.private, key.private));
    scene.file("pair.pem", format!("{}{}", key.certificate, key.private));
    scene.file("secret.yaml", &key.secret);
    scene.file("many.yaml", format!("{}---\n{}", other.secret, key.secret));
    scene.file(
        "list.yaml",
        format!("apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: \"\"}}\nitems:\n{items}"),
    );
    scene.file("retired.yaml", key.secret.replace(": active", ": retired"));
    let pkcs8 = scene.shell("openssl pkcs8 -topk8 -nocrypt -in key.pem").succeeds().stdout;
    has(&pkcs8, &["BEGIN PRIVATE KEY"]);
    scene.file("pkcs8.pem", pkcs8);
    for name in [
        "pkcs1.pem",
        "pkcs8.pem",
        "two.pem",
        "pair.pem",
        "secret.yaml",
        "many.yaml",
        "list.yaml",
        "retired.yaml",
    ] {
        let done = scene.run(&format!("unseal --key {name} sealed.yaml")).succeeds();
        has(&done.stdout, &["kind: Secret", CANARY_BASE64]);
        assert_eq!(done.stderr, "", "{name}");
    }
    let sealed = scene.read("sealed.yaml");
    scene.run("unseal --key - sealed.yaml").stdin(&key.private).succeeds();
    scene.run("unseal --key key.pem").stdin(&sealed).succeeds();
    has(&scene.run("unseal --key - -").stdin(&sealed).fails(2), &["stdin cannot be both"]);
}

#[test]
fn a_bad_key_beside_a_good_one_is_told_and_left_out() {
    let scene = sealed_scene();
    let garbage =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: broken}\ndata: {tls.crt: AAAA, tls.key: AAAA}\n";
    scene.file("keys.yaml", format!("{garbage}---\n{}", key().secret));
    let done = scene.run("unseal --key keys.yaml --key cert.pem sealed.yaml").succeeds();
    has(&done.stdout, &[CANARY_BASE64]);
    has(
        &done.stderr,
        &[
            "warning: left out: keys.yaml:1: document 1: Secret broken: certificate: no PEM block",
            "warning: left out: cert.pem: this is a certificate",
        ],
    );
}

#[test]
fn json_in_json_out() {
    let scene = sealed_scene();
    let json = scene.run("unseal --key key.pem sealed.yaml -o json").succeeds().stdout;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["data"]["password"], CANARY_BASE64);
    assert_eq!(value["metadata"]["namespace"], "ns");
}
