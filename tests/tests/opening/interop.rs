//! The peer's tools and ours open what the other sealed.

use privyseal_tests::objects::{self, wait_for_secret};
use privyseal_tests::sealing::{privyseal, run};
use privyseal_tests::tools;
use privyseal_tests::world::Place;
use serde_json::{Value, json};
use std::process::Command;

fn kubeseal(args: &[&str], input: &str) -> String {
    let output = run(Command::new(tools::kubeseal()).args(args).env_remove("KUBECONFIG"), input);
    assert!(output.status.success(), "kubeseal {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_controller_opens_what_kubeseal_seals() {
    let place = Place::new("kubeseal").await;
    let certificate = place.world.sealer.certificate().to_str().unwrap();
    for (scope, format) in [("strict", "yaml"), ("namespace-wide", "json"), ("cluster-wide", "yaml")] {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": scope, "namespace": place.namespace, "creationTimestamp": null},
            "data": {"password": "aHVudGVyMg=="},
        });
        let sealed = kubeseal(&["--cert", certificate, "--scope", scope, "-o", format], &secret.to_string());
        objects::apply_yaml(&place.client, None, &sealed).await;
        wait_for_secret(&place.client, &place.namespace, scope, &[("password", b"hunter2")]).await;
    }
}

#[test]
fn each_command_line_opens_what_the_other_sealed() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let made = privyseal(
        &[
            "keys",
            "generate",
            "--size",
            "2048",
            "--out-file",
            &path("key.yaml"),
            "--cert-out",
            &path("cert.pem"),
        ],
        "",
    );
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for scope in ["strict", "namespace-wide", "cluster-wide"] {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "team-a"},
            "data": {"password": "aHVudGVyMg==", "bytes": "AP8="},
        })
        .to_string();
        let ours = privyseal(&["seal", "--cert", &path("cert.pem"), "--scope", scope, "-o", "json"], &secret);
        let recovered = kubeseal(
            &["--recovery-unseal", "--recovery-private-key", &path("key.yaml")],
            str::from_utf8(&ours.stdout).unwrap(),
        );
        let recovered: Value = serde_json::from_str(&recovered).unwrap();
        assert_eq!(recovered["data"], json!({"password": "aHVudGVyMg==", "bytes": "AP8="}), "{scope}");

        let theirs = kubeseal(&["--cert", &path("cert.pem"), "--scope", scope], &secret);
        let opened = privyseal(&["unseal", "--key", &path("key.yaml"), "-o", "json"], &theirs);
        assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
        let opened: Value = serde_json::from_slice(&opened.stdout).unwrap();
        assert_eq!(opened["data"], recovered["data"], "{scope}");
    }
}
