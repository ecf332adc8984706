//! `keys generate`.

use crate::harness::{Scene, has, key, secret};
use serde_json::json;
use std::os::unix::fs::MetadataExt as _;

#[test]
fn a_new_key_seals_and_opens_at_once() {
    let scene = Scene::new();
    let done = scene
        .run("keys generate --size 2048 -n privyseal --out-file k.yaml --cert-out c.pem --common-name ops")
        .succeeds();
    assert_eq!(done.stdout, "");
    has(&done.stderr, &["note: key SHA256:", "RSA 2048, valid "]);
    assert_eq!(std::fs::metadata(scene.path("k.yaml")).unwrap().mode() & 0o777, 0o600);
    has(
        &scene.read("k.yaml"),
        &[
            "generateName: sealed-secrets-key\n",
            "namespace: privyseal\n",
            "sealedsecrets.bitnami.com/sealed-secrets-key: active\n",
            "type: kubernetes.io/tls\n",
        ],
    );
    let sealed = scene.run("seal --cert c.pem").stdin(secret(Some("ns"), Some("a"))).succeeds().stdout;
    scene.run("unseal --key k.yaml").stdin(sealed).succeeds();
    let subject = scene.shell("openssl x509 -in c.pem -noout -subject -startdate -enddate").succeeds().stdout;
    has(&subject, &["ops"]);
}

#[test]
fn stdout_gets_the_secret_and_nothing_else() {
    let scene = Scene::new();
    let done = scene.run("keys generate --size 2048 -o json --name fixed").succeeds();
    let value: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        value["metadata"],
        json!({"name": "fixed", "labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}})
    );
    let done = scene.run("keys generate --size 2048 --prefix my-key-").succeeds();
    has(&done.stdout, &["generateName: my-key-\n"]);
    assert!(!done.stderr.contains("PRIVATE KEY"));
}

#[test]
fn a_private_key_does_not_go_to_a_terminal_unasked() {
    let scene = Scene::new();
    let terminal = |arguments: &str| {
        scene
            .shell(&format!("script -qec \"$PRIVYSEAL keys generate --size 2048 {arguments}\" /dev/null"))
            .done()
    };
    let done = terminal("");
    assert_eq!(done.status, Some(2), "{}", done.stdout);
    has(&done.stdout, &["stdout is a terminal", "--out-file"]);
    assert!(!done.stdout.contains("tls.key"));
    has(&terminal("--out-file -").stdout, &["tls.key"]);
}

#[test]
fn no_certificate_is_written_without_its_key() {
    let scene = Scene::new();
    scene.run("keys generate --size 2048 --out-file missing/k.yaml --cert-out c.pem").fails(1);
    assert_eq!(scene.names(), ["cert.pem", "key.pem"]);
}

#[test]
fn fetch_checks_a_certificate_that_is_named() {
    let scene = Scene::new();
    let done = scene.run("keys fetch --cert cert.pem").succeeds();
    assert_eq!(done.stdout, key().certificate);
    has(&done.stderr, &[&key().fingerprint, &key().key_id]);
    has(&scene.run("keys fetch").fails(2), &["no sealing key is given"]);
}

#[test]
fn an_age_identity_is_made_as_age_makes_it_and_opens_what_is_sealed_to_it() {
    let scene = Scene::new();
    for (kind, begins, recipient) in [
        ("--age", "AGE-SECRET-KEY-PQ-1", "age1pq1"),
        ("--age=hybrid", "AGE-SECRET-KEY-PQ-1", "age1pq1"),
        ("--age=x25519", "AGE-SECRET-KEY-1", "age1"),
    ] {
        let done = scene.run(&format!("keys generate {kind} --out-file id.txt")).succeeds();
        assert_eq!(done.stdout, "");
        let text = scene.read("id.txt");
        let lines: Vec<_> = text.lines().collect();
        let [created, public, secret_key] = lines[..] else { panic!("{kind}: {} lines", lines.len()) };
        assert!(created.starts_with("# created: 20") && secret_key.starts_with(begins), "{kind}");
        let public = public.strip_prefix("# public key: ").unwrap();
        assert!(public.starts_with(recipient), "{public}");
        has(&done.stderr, &[public, " recipient SHA256:", " (id "]);
        assert!(!done.stderr.contains("AGE-SECRET"), "{}", done.stderr);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(scene.path("id.txt")).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let sealed = scene.run(&format!("seal --recipient {public}")).stdin(secret(Some("ns"), Some("db")));
        scene.file("sealed.yaml", sealed.succeeds().stdout);
        scene.run("unseal --key id.txt sealed.yaml").succeeds();
        std::fs::remove_file(scene.path("id.txt")).unwrap();
    }
    has(&scene.run("keys generate --age --size 2048").fails(2), &["cannot be used with"]);
    for more in ["--age", "--size 2048"] {
        scene.file("there.txt", "a key\n");
        let told = scene.run(&format!("keys generate {more} --out-file there.txt")).fails(2);
        has(&told, &["there.txt: it is there already", "only copy of a key"]);
        assert_eq!(scene.read("there.txt"), "a key\n");
    }
}
