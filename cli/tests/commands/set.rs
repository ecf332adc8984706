//! `set` and `unset`: one value changes, and every other byte stays.

use crate::harness::{Scene, has, key, leaks, other_key, secret};

const TWO: &str = "\
# The team's database.\r
apiVersion: bitnami.com/v1alpha1 # ours\r
kind: SealedSecret\r
metadata: {name: db, namespace: ns}\r
spec:\r
  encryptedData:\r
    # rotated by hand\r
    password: \"AgA=\"   # old\r
    user: AgB=\r
---\r
apiVersion: bitnami.com/v1alpha1\r
kind: SealedSecret\r
metadata:\r
  name: other\r
  annotations: {sealedsecrets.bitnami.com/cluster-wide: \"true\"}\r
spec:\r
  encryptedData: {}\r
";

fn opened(scene: &Scene, file: &str) -> String {
    scene.run(&format!("unseal --key key.pem {file}")).succeeds().stdout
}

#[test]
fn a_value_is_replaced_and_nothing_else() {
    let scene = Scene::new();
    scene.file("db.yaml", TWO);
    let done = scene.run("set db.yaml password --name db --cert cert.pem").stdin("hunter2").succeeds();
    assert_eq!(done.stdout, "");
    assert!(!leaks(&done.stderr), "{}", done.stderr);
    has(&done.stderr, &["sealing with key", "db.yaml: password is set"]);
    let after = scene.read("db.yaml");
    let differ: Vec<_> =
        TWO.split('\n').zip(after.split('\n')).filter(|(a, b)| a != b).map(|(_, b)| b).collect();
    assert_eq!(after.lines().count(), TWO.lines().count());
    let [hints, password] = differ.as_slice() else { panic!("{after}") };
    has(
        hints,
        &[
            "metadata: {annotations: {",
            ", name: db, namespace: ns}\r",
            &format!("password={}:", key().key_id),
        ],
    );
    assert!(password.starts_with("    password: \"AQ") && password.ends_with("\"   # old\r"), "{password}");
}

#[test]
fn what_is_set_opens_under_the_objects_own_binding() {
    let scene = Scene::new();
    scene.seal(&secret(Some("ns"), Some("db")));
    scene.run("set sealed.yaml new --cert cert.pem").stdin("hunter3").succeeds();
    has(&opened(&scene, "sealed.yaml"), &["new: aHVudGVyMw==", "password: "]);
    has(
        &scene.run("inspect --key key.pem sealed.yaml").succeeds().stdout,
        &["new: classic", "(claimed by hint)"],
    );

    // Cluster-wide, and without a namespace.
    let other = TWO.split("---\r\n").nth(1).unwrap();
    scene.file("other.yaml", other);
    scene.run("set other.yaml a --cert cert.pem").stdin("hunter3").succeeds();
    has(&opened(&scene, "other.yaml"), &["a: aHVudGVyMw=="]);

    // Strict, and the namespace is given by whoever applies it.
    scene.file(
        "bare.yaml",
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata:\n  name: db\nspec: {}\n",
    );
    let set =
        |namespace: &str| scene.run(&format!("set bare.yaml a --cert cert.pem {namespace}")).stdin("hunter3");
    has(&set("").fails(2), &["metadata.namespace is missing", "hint: give -n NAMESPACE"]);
    set("-n ns").succeeds();
    assert!(!scene.read("bare.yaml").contains("namespace"), "{}", scene.read("bare.yaml"));
    scene.file("bare.yaml", scene.read("bare.yaml").replace("  name: db\n", "  name: db\n  namespace: ns\n"));
    has(&opened(&scene, "bare.yaml"), &["a: aHVudGVyMw=="]);
    has(&set("-n elsewhere").fails(2), &["it is ns, but -n says elsewhere"]);
}

#[test]
fn the_value_is_taken_byte_for_byte() {
    let scene = Scene::new();
    scene.seal(&secret(Some("ns"), Some("db")));
    let set = |arguments: &str| scene.run(&format!("set sealed.yaml v --cert cert.pem {arguments}"));
    let done = set("").stdin("hunter3\n").succeeds();
    has(&done.stderr, &["warning: the value ends with a newline", "--trim-newline"]);
    has(&opened(&scene, "sealed.yaml"), &["v: aHVudGVyMwo="]);
    let done = set("--trim-newline").stdin("hunter3\n\n").succeeds();
    assert!(!done.stderr.contains("warning"), "{}", done.stderr);
    has(&opened(&scene, "sealed.yaml"), &["v: aHVudGVyMwo="]);
    scene.file("value", [0, 255, 13]);
    set("--from-file value").succeeds();
    has(&opened(&scene, "sealed.yaml"), &["v: AP8N"]);
    let before = scene.read("sealed.yaml");
    has(&set("").fails(2), &["the value is empty", "--allow-empty"]);
    has(&set("--from-file none").fails(2), &["none: No such file"]);
    assert_eq!(scene.read("sealed.yaml"), before);
    set("--allow-empty").succeeds();
    has(&opened(&scene, "sealed.yaml"), &["v: \"\""]);
}

#[test]
fn what_cannot_be_set_leaves_the_file() {
    let scene = Scene::new();
    scene.file("db.yaml", TWO);
    scene.file(
        "alias.yaml",
        TWO.split("---\r\n").next().unwrap().replace("\"AgA=\"", "&a \"AgA=\"").replace("AgB=", "*a"),
    );
    scene.file("secret.yaml", secret(Some("ns"), Some("db")));
    for (arguments, told) in [
        ("db.yaml password", &["it holds 2 SealedSecrets: db, other", "hint: --name NAME"][..]),
        ("db.yaml password --name none", &["it holds no SealedSecret none, but db, other"]),
        ("db.yaml pass/word --name db", &["not an item name"]),
        ("alias.yaml password", &["alias.yaml:8:", "hint:"]),
        ("secret.yaml password", &["there is no SealedSecret in it"]),
        ("- password", &["stdin cannot be edited in place"]),
    ] {
        let run = scene.run(&format!("set {arguments} --cert cert.pem")).stdin("hunter2");
        has(&run.fails(2), told);
    }
    has(&scene.run("set db.yaml password --name db").stdin("hunter2").fails(2), &["no sealing key is given"]);
    assert_eq!(scene.read("db.yaml"), TWO);
}

#[test]
fn another_key_for_one_value_leaves_the_hints_of_the_others() {
    let scene = Scene::new();
    scene.seal(&secret(Some("ns"), Some("db")));
    scene.file("other-cert.pem", &other_key().certificate);
    scene.run("set sealed.yaml new --cert other-cert.pem").stdin("hunter3").succeeds();
    let after = scene.read("sealed.yaml");
    has(&after, &[&format!("new={}:", other_key().key_id), &format!("password={}:", key().key_id)]);
}

#[test]
fn an_item_is_dropped_with_its_hint() {
    let scene = Scene::new();
    scene.seal(&secret(Some("ns"), Some("db")));
    let before = scene.read("sealed.yaml");
    scene.run("set sealed.yaml new --cert cert.pem").stdin("hunter3").succeeds();
    let done = scene.run("unset sealed.yaml new").succeeds();
    has(&done.stderr, &["sealed.yaml: new is dropped"]);
    assert_eq!(scene.read("sealed.yaml"), before);
    has(&scene.run("unset sealed.yaml new").fails(1), &["it has no item new", "hint: it has: password"]);
    scene.run("unset sealed.yaml password").succeeds();
    let after = scene.read("sealed.yaml");
    has(&after, &["encryptedData: {}"]);
    assert!(!after.contains("sealed-with"), "{after}");
}
