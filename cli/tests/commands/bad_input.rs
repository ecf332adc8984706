//! Every item of "Bad input" of the issue that concerns the command line. `fails` checks stdout and plaintext.

use crate::harness::{CANARY, Scene, expired_key, future_key, has, key, other_key, secret};

fn refused(secret: impl AsRef<[u8]>) -> String {
    let scene = Scene::new();
    scene.file("in.yaml", secret);
    scene.run("seal --cert cert.pem in.yaml").fails(2)
}

fn refused_certificate(certificate: impl AsRef<[u8]>) -> String {
    let scene = Scene::new();
    scene.file("bad.pem", certificate);
    scene.run("seal --cert bad.pem").stdin(secret(Some("ns"), Some("a"))).fails(2)
}

#[test]
fn a_secret_without_a_name() {
    let error = refused(secret(Some("ns"), None));
    has(
        &error,
        &["in.yaml:1: document 1: metadata.name is missing", "hint: name the Secret, or give --name"],
    );
    let generated = secret(Some("ns"), None).replace("metadata:\n", "metadata:\n  generateName: a-\n");
    has(&refused(generated), &["hint: generateName gives no name"]);
}

#[test]
fn no_namespace_and_a_scope_that_needs_one() {
    let scene = Scene::new();
    for scope in ["strict", "namespace-wide"] {
        let error = scene
            .run(&format!("seal --cert cert.pem --scope {scope}"))
            .stdin(secret(None, Some("a")))
            .fails(2);
        has(
            &error,
            &["stdin:1: document 1: metadata.namespace is missing", scope, "hint: give -n NAMESPACE"],
        );
    }
}

#[test]
fn the_kubeconfigs_namespace_is_not_used() {
    let scene = Scene::new();
    let kubeconfig = scene.file(
        "kubeconfig",
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster: {server: \"http://127.0.0.1:9\"}\n\
         contexts:\n- name: c\n  context: {cluster: c, user: u, namespace: from-context}\nusers:\n- {name: u, user: {}}\n",
    );
    let run = scene.run("seal --cert cert.pem").env("KUBECONFIG", &kubeconfig);
    has(&run.stdin(secret(None, Some("a"))).fails(2), &["metadata.namespace is missing"]);
    let run = scene.run("seal").env("KUBECONFIG", &kubeconfig);
    let error = run.stdin(secret(Some("ns"), Some("a"))).fails(2);
    has(
        &error,
        &[
            "no sealing key is given",
            "hint: give --cert FILE, --for CLUSTER of the configuration, --recipient RECIPIENT, or --context",
        ],
    );
}

#[test]
fn the_namespace_of_the_file_against_the_option() {
    let scene = Scene::new();
    for scope in ["strict", "namespace-wide", "cluster-wide"] {
        let run = scene.run(&format!("seal --cert cert.pem -n team-b --scope {scope}"));
        let error = run.stdin(secret(Some("team-a"), Some("a"))).fails(2);
        has(&error, &["stdin:1: document 1: metadata.namespace: it is team-a, but -n says team-b", "hint: "]);
    }
}

#[test]
fn a_config_map() {
    let good = secret(Some("ns"), Some("a"));
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {k: v}\n";
    let error = refused(format!("{good}---\n{config_map}"));
    has(&error, &["in.yaml:10:7: document 2: kind: expected Secret, found ConfigMap", "hint: only Secrets"]);
    let scene = Scene::new();
    let sealed = scene.seal(&good);
    has(&refused(sealed), &["found SealedSecret", "hint: it is sealed already"]);
}

#[test]
fn a_list_with_one_bad_member() {
    let error = refused(format!(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {{name: a, namespace: ns}}\n  \
         stringData: {{k: {CANARY}}}\n- apiVersion: v1\n  kind: Secret\n  metadata: {{name: b, namespace: ns}}\n  data: \
         {{k: \"{CANARY}\"}}\n"
    ));
    has(
        &error,
        &["in.yaml:11:13: document 1: items[1].data.k: not standard base64", "hint: `data` holds base64"],
    );
}

#[test]
fn every_bad_document_is_told() {
    let bad = |name| secret(None, Some(name));
    let scene = Scene::new();
    scene.file("a.yaml", format!("{}---\n{}", bad("a"), bad("b")));
    scene.file("b.yaml", bad("c"));
    let error = scene.run("seal --cert cert.pem a.yaml b.yaml").fails(2);
    has(&error, &["a.yaml:1: document 1", "a.yaml:8: document 2", "b.yaml:1: document 1"]);
    assert_eq!(error.matches("hint: ").count(), 1, "{error}");
}

#[test]
fn base64_yaml_and_utf_8_with_line_and_column() {
    let data =
        |value: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\ndata:\n  k: {value}\n");
    has(&refused(data(CANARY)), &["in.yaml:5:6: document 1: data.k: not standard base64", "byte 7"]);
    has(&refused(data("aGVsbG8")), &["in.yaml:5:6", "wrong padding"]);
    has(
        &refused(data(&format!("[{CANARY}]"))),
        &["in.yaml:5:6: document 1: data.k: expected text, found a list"],
    );
    has(&refused("a: b\n c: [\n"), &["in.yaml:2:", "not valid YAML"]);
    has(&refused(format!("k: \"{CANARY}")), &["in.yaml:", "not valid YAML"]);
    has(&refused(format!("{{\"k\": \"{CANARY}\",}}")), &["in.yaml:1:"]);
    has(&refused(b"kind: Secret\nk: \xff\n"), &["in.yaml:2:4: not UTF-8", "hint: save the file as UTF-8"]);
    has(&refused(b"\xff\xfek\0"), &["UTF-16"]);
    has(&refused(data("!vault x")), &["a YAML tag"]);
}

#[test]
fn duplicate_keys() {
    let twice = secret(Some("ns"), Some("a")) + &format!("  password: {CANARY}\n");
    has(&refused(twice), &["in.yaml:8:3: document 1: this key is a duplicate of the one at 7:3"]);
}

#[test]
fn billion_laughs() {
    let mut bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb += &format!("a{n}: &a{n} [{aliases}]\n");
    }
    has(&refused(bomb), &["in.yaml:", "aliases stand for more than"]);
    has(&refused("[".repeat(100_000)), &["within one another"]);
}

#[test]
fn no_document_at_all() {
    for empty in ["", "---\n", "# nothing\n", "---\n---\n"] {
        has(&refused(empty), &["in.yaml: there is no document in it"]);
    }
    has(&refused("apiVersion: v1\nkind: List\nitems: []\n"), &["in.yaml: there is no document in it"]);
    has(&refused("text\n"), &["expected a mapping, found text"]);
    has(
        &refused("apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: ns}\n"),
        &["neither data nor stringData has an item"],
    );
}

#[test]
fn files_that_cannot_be_read() {
    let scene = Scene::new();
    has(
        &scene.run("seal --cert cert.pem missing.yaml").fails(2),
        &["missing.yaml: No such file or directory"],
    );
    has(&scene.run("seal --cert cert.pem .").fails(2), &["error: .: is a directory"]);
    has(
        &scene.run("seal --cert missing.pem").stdin(secret(None, None)).fails(2),
        &["missing.pem: No such file"],
    );
    let error = scene.run_with(["seal", "--cert", "cert.pem", "a\x1b[31m\u{202e}b"]).fails(2);
    has(&error, &["a\\u{1b}[31m\\u{202e}b: No such file"]);
}

#[test]
fn certificates_that_do_not_seal() {
    has(
        &refused_certificate(&expired_key().certificate),
        &["bad.pem: the certificate expired on 2020-01-01T01:00:00Z", "hint: "],
    );
    has(
        &refused_certificate(&future_key().certificate),
        &["bad.pem: the certificate is not valid before 2049", "clock"],
    );
    has(
        &refused_certificate("garbage"),
        &["bad.pem: no PEM block CERTIFICATE in it", "hint: `privyseal keys fetch"],
    );
    has(&refused_certificate(""), &["bad.pem: no PEM block CERTIFICATE"]);
    has(&refused_certificate(&key().private), &["bad.pem: this is a private key", "hint: "]);
    has(
        &refused_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        &["bad.pem: the CERTIFICATE block is not an X.509 certificate"],
    );
    has(&refused_certificate("-----BEGIN CERTIFICATE-----\n*\n"), &["bad.pem: "]);
    let ec = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
    has(
        &refused_certificate(ec.cert.pem()),
        &["bad.pem: the certificate's key is an elliptic curve key; sealing needs RSA"],
    );
    has(&refused_certificate(vec![b'a'; 2 << 20]), &["bad.pem: more than 1048576 bytes"]);
}

#[test]
fn keys_that_do_not_open() {
    let scene = Scene::new();
    scene.seal(&secret(Some("ns"), Some("a")));
    let refused = |name: &str, content: &str| {
        scene.file(name, content);
        scene.run(&format!("unseal --key {name} sealed.yaml")).fails(2)
    };
    has(&refused("cert.pem", &key().certificate), &["cert.pem: this is a certificate", "hint: "]);
    has(
        &refused("garbage", "garbage"),
        &["garbage:1:1: document 1: expected a mapping", "hint: --key takes PEM"],
    );
    has(&refused("empty", ""), &["empty: no PEM block"]);
    has(&refused("config.yaml", "apiVersion: v1\nkind: ConfigMap\n"), &["found ConfigMap"]);
    has(&refused("secret.yaml", &secret(Some("ns"), Some("a"))), &["Secret a: it has no item tls.crt"]);
    let bad = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    has(&refused("bad.pem", bad), &["bad.pem: not a usable RSA key"]);
    let planted = key().secret.replace(
        "metadata:\n",
        "metadata:\n  ownerReferences:\n  - {apiVersion: bitnami.com/v1alpha1, kind: SealedSecret, name: a, uid: b}\n",
    );
    has(&refused("planted.yaml", &planted), &["a SealedSecret made it"]);
    let error = scene.run("unseal sealed.yaml").fails(2);
    has(&error, &["--key"]);
}

#[test]
fn a_wrong_key() {
    let scene = Scene::new();
    scene.seal(&secret(Some("ns"), Some("a")));
    scene.file("other.pem", &other_key().private);
    let error = scene.run("unseal --key other.pem sealed.yaml").fails(1);
    has(
        &error,
        &[
            "sealed.yaml:1: document 1: SealedSecret ns/a: 1 of 1 items do not open",
            "\n  password: none of 1 keys opens it",
            "hint: check that the key is the one it was sealed to, and that namespace, name and scope",
            "hint: `privyseal inspect --key KEY FILE`",
        ],
    );
}

#[test]
fn the_right_key_and_another_name_namespace_or_scope() {
    let scene = Scene::new();
    let sealed = scene.seal(&secret(Some("ns"), Some("db")));
    for moved in [
        sealed.replace("name: db", "name: other"),
        sealed.replace("namespace: ns", "namespace: other"),
        sealed.replace(
            "  annotations:\n",
            "  annotations:\n    sealedsecrets.bitnami.com/cluster-wide: \"true\"\n",
        ),
    ] {
        assert_ne!(moved, sealed);
        has(&scene.run("unseal --key key.pem").stdin(moved).fails(1), &["password: none of 1 keys opens it"]);
    }
}

#[test]
fn sealed_values_that_are_none() {
    let scene = Scene::new();
    let sealed = |value: &str| {
        format!(
            "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {{name: a, namespace: ns}}\nspec:\n  \
             encryptedData:\n    k: {value}\n"
        )
    };
    let run = |text: String| scene.run("unseal --key key.pem").stdin(text).fails(1);
    has(&run(sealed("not_base64")), &["k: the sealed value is not standard base64"]);
    has(&run(sealed("YWdlLWVuY3J5cHRpb24ub3JnL3YxCg==")), &["k: its header is not that of an age v1 file"]);
    has(&run(sealed("AAAA")), &["k: none of 1 keys opens it"]);
    let escape = sealed("AAAA").replace("    k:", "    \"\\e[31mk\":");
    has(&run(escape), &["\\u{1b}[31mk: the item's name is not an item name"]);
    let legacy = sealed("AAAA") + "  data: AAAA\n";
    has(&run(legacy), &["spec.data, the deprecated form"]);
    let nameless = sealed("AAAA").replace("name: a, ", "");
    has(&scene.run("unseal --key key.pem").stdin(nameless).fails(2), &["metadata.name is missing"]);
    let error = scene.run("unseal --key key.pem").stdin(secret(Some("ns"), Some("a"))).fails(2);
    has(&error, &["expected SealedSecret, found Secret", "hint: it is not sealed"]);
}

#[test]
fn a_template_is_refused() {
    let scene = Scene::new();
    let sealed = scene.seal(&secret(Some("ns"), Some("db")));
    let templated =
        sealed.replace("  template:\n", "  template:\n    data:\n      url: 'x {{ .password }}'\n");
    assert_ne!(templated, sealed);
    let error = scene.run("unseal --key key.pem").stdin(templated).fails(1);
    has(&error, &["spec.template.data is not supported by this release", "hint: "]);
}

#[test]
fn one_bad_object_fails_all_and_nothing_is_written() {
    let scene = Scene::new();
    let good = scene.seal(&secret(Some("ns"), Some("a")));
    let bad = scene.seal(&secret(Some("ns"), Some("b"))).replace("name: b", "name: c");
    let error = scene.run("unseal --key key.pem --out-file out").stdin(format!("{good}---\n{bad}")).fails(1);
    has(&error, &["document 2: SealedSecret ns/c"]);
    assert!(!scene.path("out").exists());
}

#[test]
fn a_read_only_home_and_no_kubeconfig() {
    let scene = Scene::new();
    let run = |arguments: &str| scene.run(arguments).stdin(secret(Some("ns"), Some("a")));
    run("seal --cert cert.pem").env("HOME", "/proc").succeeds();
    has(&run("seal --context prod").env("HOME", "/proc").fails(2), &["hint: `kubectl config get-contexts`"]);
    has(&run("seal --context prod --kubeconfig none").fails(2), &["none: No such file or directory"]);
}

#[test]
fn wrong_usage_is_status_2() {
    let scene = Scene::new();
    for arguments in [
        "",
        "sael",
        "seal --scope wide",
        "seal -n Not_A_Namespace",
        "seal --name a_b",
        "seal --cert cert.pem --context c",
        "seal --kubeconfig k --cert cert.pem",
        "seal --in-place --cert cert.pem",
        "seal --in-place --cert cert.pem -",
        "seal --in-place --cert cert.pem --out-file o f",
        "seal --cert http://example.com/c.pem",
        "seal --cert ftp://example.com/c.pem",
        "unseal",
        "inspect --as ns/a f",
        "inspect --key k --as nsa f",
        "keys",
        "keys generate --size 1024",
        "keys generate --validity 0h",
        "keys generate --validity 3d4",
        "keys generate --prefix A",
        "keys generate --prefix a --name b",
        "completion tcsh",
    ] {
        let done = scene.run(arguments).done();
        assert_eq!(done.status, Some(2), "{arguments}: {}{}", done.stdout, done.stderr);
        assert_eq!(done.stdout, "", "{arguments}");
        assert!(!done.stderr.is_empty(), "{arguments}");
    }
}
