//! `seal`: what comes out, and in which form.

use crate::harness::{CANARY, Scene, has, key, leaks, secret};

#[test]
fn one_secret_becomes_one_sealed_secret_and_opens_again() {
    let scene = Scene::new();
    scene.file("secret.yaml", secret(Some("team-a"), Some("db")));
    let done = scene.run("seal --cert cert.pem secret.yaml").succeeds();
    has(&done.stdout, &["kind: SealedSecret\n", "namespace: team-a\n", "name: db\n", "password: AQ"]);
    assert!(!done.stdout.starts_with("---"));
    assert!(!leaks(&done.stdout));
    has(&done.stderr, &[&key().fingerprint]);

    let opened = scene.run("unseal --key key.pem -").stdin(&done.stdout).succeeds();
    has(&opened.stdout, &["kind: Secret\n", "password: aHVudGVyMi1jYW5hcnktcGxhaW50ZXh0\n"]);
    assert_eq!(opened.stderr, "");
}

#[test]
fn marks_of_a_tool_that_applied_the_secret_are_left_out_and_told() {
    let scene = Scene::new();
    let marks = "metadata:\n  labels: {argocd.argoproj.io/instance: shop, app: shop}\n  annotations: {meta.helm.sh/release-name: shop}\n";
    scene.file("secret.yaml", secret(Some("team-a"), Some("db")).replace("metadata:\n", marks));
    let done = scene.run("seal --cert cert.pem secret.yaml").succeeds();
    assert!(!done.stdout.contains("argocd") && !done.stdout.contains("meta.helm.sh"), "{}", done.stdout);
    has(&done.stdout, &["app: shop\n"]);
    has(&done.stderr, &["secret.yaml", "left out", "argocd.argoproj.io/instance, meta.helm.sh/release-name"]);
}

#[test]
fn what_a_file_that_is_written_anew_loses_is_told() {
    let scene = Scene::new();
    let two = secret(Some("team-a"), Some("db")).replace("stringData:\n", "stringData:\n  user: eA==\n");
    scene.file("two.yaml", &two);
    scene.file("one.yaml", secret(Some("team-a"), Some("db")));
    let first = scene.run("seal --cert cert.pem two.yaml --out-file sealed.yaml").succeeds();
    assert!(!first.stderr.contains("any more"), "{}", first.stderr);
    let again = scene.run("seal --cert cert.pem two.yaml --out-file sealed.yaml").succeeds();
    assert!(!again.stderr.contains("any more"), "{}", again.stderr);
    let done = scene.run("seal --cert cert.pem one.yaml --out-file sealed.yaml").succeeds();
    has(
        &done.stderr,
        &["warning: sealed.yaml: items that are not in team-a/db any more: user; `privyseal set`"],
    );
}

#[test]
fn a_folder_that_is_missing_is_no_missing_key() {
    let scene = Scene::new();
    scene.file("secret.yaml", secret(Some("team-a"), Some("db")));
    let error = scene.run("seal secret.yaml --out-file secrets/new/db.yaml").fails(2);
    has(&error, &["secrets/new: there is no such folder", "hint: make it first"]);
}

#[test]
fn many_documents_and_lists_become_many_documents() {
    let scene = Scene::new();
    let list = format!(
        "---\n{}---\n---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {{name: b, \
         namespace: ns}}\n  data: {{k: djI=}}\n",
        secret(Some("ns"), Some("a"))
    );
    let done = scene.run("seal --cert cert.pem").stdin(list).succeeds();
    assert_eq!(done.stdout.matches("---\n").count(), 2);
    assert_eq!(done.stdout.matches("kind: SealedSecret\n").count(), 2);
    let opened = scene.run("unseal --key key.pem").stdin(&done.stdout).succeeds();
    has(&opened.stdout, &["name: a\n", "name: b\n", "k: djI=\n"]);
    assert_eq!(opened.stdout.matches("---\n").count(), 2);
}

#[test]
fn json_stays_json_unless_asked() {
    let scene = Scene::new();
    let json =
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"n"},"data":{"k":"djI="}}"#;
    let two = format!("{json}\n{json}\n");
    let done = scene.run("seal --cert cert.pem").stdin(&two).succeeds();
    assert!(done.stdout.starts_with("{\n  \"apiVersion\""));
    assert_eq!(done.stdout.matches("\"kind\": \"SealedSecret\"").count(), 2);
    let opened = scene.run("unseal --key key.pem").stdin(&done.stdout).succeeds();
    assert_eq!(opened.stdout.matches("\"k\": \"djI=\"").count(), 2);
    let done = scene.run("seal --cert cert.pem -o yaml").stdin(&two).succeeds();
    assert!(done.stdout.starts_with("---\napiVersion"));
    let done = scene.run("seal --cert cert.pem -o json").stdin(secret(Some("ns"), Some("a"))).succeeds();
    assert!(done.stdout.starts_with('{'));
}

#[test]
fn scopes_are_written_and_each_opens() {
    let scene = Scene::new();
    for (arguments, annotation) in [
        ("--scope strict -n ns", None),
        ("--scope namespace-wide -n ns", Some("sealedsecrets.bitnami.com/namespace-wide: \"true\"")),
        ("--scope cluster-wide", Some("sealedsecrets.bitnami.com/cluster-wide: \"true\"")),
    ] {
        let done = scene
            .run(&format!("seal --cert cert.pem {arguments}"))
            .stdin(secret(None, Some("db")))
            .succeeds();
        assert_eq!(done.stdout.contains("-wide:"), annotation.is_some(), "{}", done.stdout);
        has(&done.stdout, &annotation.into_iter().collect::<Vec<_>>());
        scene.run("unseal --key key.pem").stdin(&done.stdout).succeeds();
    }
}

#[test]
fn the_secrets_own_scope_counts_unless_another_is_asked() {
    let scene = Scene::new();
    let wide = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n  namespace: ns\n  annotations:\n    \
                sealedsecrets.bitnami.com/cluster-wide: \"true\"\nstringData: {k: v}\n";
    let sealed = scene.run("seal --cert cert.pem").stdin(wide).succeeds().stdout;
    has(&sealed, &["cluster-wide: \"true\""]);
    let sealed = scene.run("seal --cert cert.pem --scope strict").stdin(wide).succeeds().stdout;
    assert!(!sealed.contains("cluster-wide"), "{sealed}");
    scene.run("unseal --key key.pem").stdin(&sealed).succeeds();
}

#[test]
fn the_command_line_names_what_the_manifest_does_not() {
    let scene = Scene::new();
    let sealed =
        scene.run("seal --cert cert.pem -n ns --name db").stdin(secret(None, None)).succeeds().stdout;
    has(&sealed, &["namespace: ns\n", "name: db\n"]);
    let sealed =
        scene.run("seal --cert cert.pem -n ns").stdin(secret(Some("ns"), Some("db"))).succeeds().stdout;
    has(&sealed, &["namespace: ns\n"]);
    let two = format!("{}---\n{}", secret(None, Some("a")), secret(None, Some("b")));
    let error = scene.run("seal --cert cert.pem -n ns --name db").stdin(two).fails(2);
    has(&error, &["--name is for one Secret, and the input holds 2"]);
}

#[test]
fn stdin_is_one_of_several_inputs() {
    let scene = Scene::new();
    scene.file("a.yaml", secret(Some("ns"), Some("a")));
    let done = scene.run("seal --cert cert.pem a.yaml -").stdin(secret(Some("ns"), Some("b"))).succeeds();
    has(&done.stdout, &["name: a\n", "name: b\n"]);
    has(&scene.run("seal --cert cert.pem - -").fails(2), &["stdin"]);
}

#[test]
fn the_certificate_may_be_a_file_url() {
    let scene = Scene::new();
    let url = format!("file://{}", scene.path("cert.pem").display());
    let sealed = scene.run_with(["seal", "--cert", &url]).stdin(secret(Some("ns"), Some("a"))).succeeds();
    has(&sealed.stdout, &["kind: SealedSecret"]);
}

#[test]
fn nothing_of_a_secret_but_its_values_is_lost() {
    let scene = Scene::new();
    let full = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n  namespace: ns\n  labels: {{app: web}}\n  annotations:\n    \
         note: kept\n    kubectl.kubernetes.io/last-applied-configuration: '{CANARY}'\ntype: example.com/t\nimmutable: \
         true\nstringData: {{k: {CANARY}}}\n"
    );
    let sealed = scene.run("seal --cert cert.pem").stdin(full).succeeds().stdout;
    assert!(!leaks(&sealed), "{sealed}");
    let opened = scene.run("unseal --key key.pem").stdin(&sealed).succeeds().stdout;
    has(&opened, &["app: web\n", "note: kept\n", "type: example.com/t\n", "immutable: true\n"]);
}
