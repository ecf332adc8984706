//! `unseal`: every form of key, and what comes out.

use crate::harness::{
    CANARY_BASE64, Scene, has, id_of, joined, key, other_key, recipients, seal_age, secret,
};
use privyseal_envelope::age::Identity;

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

/// Age identities as somebody has them: beside the RSA key, in a file of their own, in a backup of a key Secret.
#[test]
fn every_form_of_an_age_identity_opens_both_formats_of_one_object() {
    let scene = Scene::new();
    let (key, other) = (key(), other_key());
    let [one, two] =
        ["password", "token"].map(|item| secret(Some("ns"), Some("db")).replace("password", item));
    let at = key.private_half.find("AGE-SECRET-KEY-").unwrap();
    let (rsa, identities) = key.private_half.split_at(at);
    let lines: Vec<_> = identities.lines().collect();
    scene.file("half.txt", &key.private_half);
    scene.file("halves.txt", format!("{}{}", other.private_half, key.private_half));
    scene.file("crlf.txt", key.private_half.replace('\n', "\r\n"));
    scene.file("secret.yaml", &key.secret);
    scene.file("rsa.pem", rsa);
    scene.file("age.txt", format!("# created: today\n# public key: {}\n{identities}", key.hybrid));
    for (kind, recipient) in [(0, &key.hybrid), (1, &key.x25519)] {
        let age = seal_age(&two, &recipients([recipient]));
        let sealed = joined(&scene.run("seal --cert cert.pem").stdin(&one).succeeds().stdout, &age);
        scene.file("sealed.yaml", &sealed);
        scene.file("one.txt", lines[kind]);
        for keys in [
            "--key half.txt",
            "--key halves.txt",
            "--key crlf.txt",
            "--key secret.yaml",
            "--key rsa.pem --key age.txt",
            "--key one.txt --key rsa.pem",
        ] {
            let done = scene.run(&format!("unseal {keys} sealed.yaml")).succeeds();
            has(&done.stdout, &[&format!("password: {CANARY_BASE64}"), &format!("token: {CANARY_BASE64}")]);
            assert_eq!(done.stderr, "", "{keys}");
        }
        scene.run("unseal --key - sealed.yaml").stdin(&key.private_half).succeeds();
        // The one opens one of them, and the other the other.
        let told = scene.run("unseal --key rsa.pem sealed.yaml").fails(1);
        let none =
            format!("token: none of 0 keys is among its recipients, which it says are {}", id_of(recipient));
        has(
            &told,
            &[
                "1 of 2 items do not open",
                &none,
                "hint: `privyseal inspect FILE` says who its recipients are",
            ],
        );
        has(&scene.run("unseal --key age.txt sealed.yaml").fails(1), &["password: none of 0 keys opens it"]);
    }
}

#[test]
fn what_is_no_identity_is_told_by_file_and_line_and_never_shown() {
    let scene = sealed_scene();
    let identity = Identity::generate_x25519();
    let broken = identity.to_text().replace("KEY-1", "KEY-1B");
    scene.file("broken.txt", format!("# one\n\n{broken}"));
    scene.file("lower.txt", identity.to_text().to_lowercase());
    scene.file("half.txt", format!("{}{broken}", key().private));
    scene.file("recipient.txt", format!("# public\n{}\n", key().hybrid));
    scene.file("encrypted.txt", "age-encryption.org/v1\n-> scrypt abc 18\nabc\n--- abc\n");
    let lines = key().private.lines().count() + 1;
    for (file, told, hint) in [
        ("broken.txt", "broken.txt: line 3 is not an age identity: AGE-SECRET-KEY-PQ-1".to_owned(), ""),
        (
            "recipient.txt",
            "recipient.txt: this is an age recipient: it seals".to_owned(),
            "AGE-SECRET-KEY-PQ-1…",
        ),
        ("encrypted.txt", "encrypted.txt: the identities are encrypted".to_owned(), "`--key -`"),
    ] {
        let told_by = scene.run(&format!("unseal --key {file} sealed.yaml")).fails(2);
        has(&told_by, &[&told, hint]);
        assert!(!told_by.contains(&broken[20..40]), "{told_by}");
    }
    // The RSA key beside it still opens.
    let done = scene.run("unseal --key half.txt sealed.yaml").succeeds();
    has(&done.stderr, &[&format!("warning: left out: half.txt: line {lines} is not an age identity")]);
    assert!(!done.stderr.contains(&broken[20..40]), "{}", done.stderr);
}
