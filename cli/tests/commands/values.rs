//! `seal` straight from values: the rules of `kubectl create secret generic`.

use crate::harness::{CANARY, Done, Scene, has};

fn seal(scene: &Scene, arguments: &[&str]) -> Done {
    let all = ["seal", "--cert", "cert.pem", "--name", "db", "-n", "ns"].iter().chain(arguments);
    scene.run_with(all).stdin("from stdin").succeeds()
}

fn opened(scene: &Scene, arguments: &[&str]) -> serde_json::Value {
    let sealed = seal(scene, arguments).stdout;
    let opened = scene.run("unseal --key key.pem -o json").stdin(sealed).succeeds().stdout;
    serde_json::from_str(&opened).unwrap()
}

fn refused(scene: &Scene, arguments: &[&str]) -> String {
    let all = ["seal", "--cert", "cert.pem", "--name", "db", "-n", "ns"].iter().chain(arguments);
    scene.run_with(all).fails(2)
}

#[test]
fn literals_are_taken_after_the_first_equals_sign() {
    let scene = Scene::new();
    let secret = opened(
        &scene,
        &[
            "--from-literal",
            "a=b=c",
            "--from-literal=empty=",
            "--from-literal",
            "q=\"x\"",
            "--type",
            "my/type",
        ],
    );
    assert_eq!(secret["data"], serde_json::json!({"a": "Yj1j", "empty": "", "q": "Ingi"}));
    assert_eq!(secret["type"], "my/type");
    assert_eq!(secret["metadata"], serde_json::json!({"name": "db", "namespace": "ns"}));
}

#[test]
fn files_are_taken_byte_for_byte() {
    let scene = Scene::new();
    scene.file("password.txt", "x\n");
    scene.file("binary", [0, 255, 10]);
    let secret =
        opened(&scene, &["--from-file", "password.txt", "--from-file=b=binary", "--from-file", "s=-"]);
    assert_eq!(
        secret["data"],
        serde_json::json!({"password.txt": "eAo=", "b": "AP8K", "s": "ZnJvbSBzdGRpbg=="})
    );
}

#[test]
fn a_folder_gives_its_regular_files() {
    let scene = Scene::new();
    scene.file("d/a", "1");
    scene.file("d/.b", "2");
    scene.file("d/deeper/c", "3");
    std::os::unix::fs::symlink("a", scene.path("d/link")).unwrap();
    assert_eq!(opened(&scene, &["--from-file", "d"])["data"], serde_json::json!({"a": "MQ==", ".b": "Mg=="}));
    has(&refused(&scene, &["--from-file", "k=d"]), &["takes no item name"]);
    scene.file("d/bad name", CANARY);
    has(&refused(&scene, &["--from-file", "d"]), &["d/bad name", "not an item name"]);
}

#[test]
fn env_files_follow_kubectls_rules() {
    let scene = Scene::new();
    let text = "\u{feff}# comment\n  A=1=2 \r\n\n\t#x\nB\nC=\"q\"\nd.e-f=x";
    scene.file("env", text);
    let all = ["seal", "--cert", "cert.pem", "--name", "db", "-n", "ns", "--from-env-file", "env"];
    let sealed = scene.run_with(all).env("B", "from-environment").succeeds().stdout;
    let opened = scene.run("unseal --key key.pem -o json").stdin(sealed).succeeds().stdout;
    let secret: serde_json::Value = serde_json::from_str(&opened).unwrap();
    assert_eq!(
        secret["data"],
        serde_json::json!({"A": "MT0yIA==", "B": "ZnJvbS1lbnZpcm9ubWVudA==", "C": "InEi", "d.e-f": "eA=="})
    );
    has(&refused(&scene, &["--from-env-file", "env"]), &["env:5: ", "no environment variable"]);
    for bad in ["1A=x", "A =x", "export A=x", "ä=x", "..a=x", CANARY, &format!("{CANARY} =x")] {
        scene.file("bad", format!("# first\n{bad}\n"));
        has(&refused(&scene, &["--from-env-file", "bad"]), &["bad:2: "]);
    }
    scene.file("bad", b"A=\xff\n");
    has(&refused(&scene, &["--from-env-file", "bad"]), &["bad:1: not UTF-8"]);
}

#[test]
fn no_refusal_shows_a_value() {
    let scene = Scene::new();
    scene.file("file", CANARY);
    scene.file("env", format!("A={CANARY}\n"));
    let literal = format!("a={CANARY}");
    for (arguments, says) in [
        (&["--from-literal", CANARY][..], "no `=`"),
        (&["--from-literal", &format!("={CANARY}")], "item before the `=`"),
        (&["--from-literal", &format!("a/b={CANARY}")], "not an item name"),
        (&["--from-literal", &literal, "--from-literal", &literal], "the item a is given twice"),
        (&["--from-literal", "file=x", "--from-file", "file"], "the item file is given twice"),
        (&["--from-literal", "A=x", "--from-env-file", "env"], "the item A is given twice"),
        (&["--from-file", "a=b=c"], "neither items nor paths"),
        (&["--from-file", "=file"], "item before the `=`"),
        (&["--from-file", "a="], "path after the `=`"),
        (&["--from-file", "-"], "ITEM=-"),
        (&["--from-file", "missing"], "missing: "),
        (&["--from-file", "a/b=file"], "item"),
        (&["--type", "Opaque"], "no value is given"),
        (&["--from-literal", &literal, "--no-such-flag"], "unexpected argument"),
        (&["--from-litteral", &literal], "unexpected argument"),
        (&[&format!("--from-litteral={literal}")], "unexpected argument"),
        (&["--from-literal", &literal, "secret.yaml"], "cannot be used with"),
    ] {
        has(&refused(&scene, arguments), &[says]);
    }
}

#[test]
fn a_name_is_needed_and_a_namespace() {
    let scene = Scene::new();
    let error = scene.run("seal --cert cert.pem --from-literal a=b -n ns").fails(2);
    has(&error, &["needs a name", "hint: give --name NAME"]);
    let error = scene.run("seal --cert cert.pem --from-literal a=b --name db").fails(2);
    has(&error, &["metadata.namespace is missing", "hint: give -n NAMESPACE"]);
    scene.run("seal --cert cert.pem --from-literal a=b --name db --scope cluster-wide").succeeds();
}
