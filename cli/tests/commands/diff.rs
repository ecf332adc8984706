//! `diff`: what differs, and what is shown of it.

use crate::harness::{Done, Scene, has, joined, key, leaks, other_key, recipients, seal_age};

fn manifest(name: &str, type_: &str, values: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: ns}}\ntype: {type_}\nstringData:\n{values}---\n"
    )
}

fn sealed(scene: &Scene, file: &str, secrets: &str) {
    let sealed = scene.run("seal --cert cert.pem").stdin(secrets).succeeds().stdout;
    scene.file(file, sealed);
}

/// `a.yaml` and `b.yaml`, in which everything happens that can.
fn scene() -> Scene {
    let scene = Scene::new();
    let same = manifest("same", "Opaque", "  a: canary-same\n");
    let old = manifest(
        "db",
        "Opaque",
        "  gone: canary-gone\n  kept: canary-kept\n  password: \"canary-old\\nx\\n\"\n",
    );
    let new =
        manifest("db", "a/b", "  new: canary-new\n  kept: canary-kept\n  password: \"canary-new\\nx\\n\"\n");
    sealed(&scene, "same.yaml", &same);
    sealed(&scene, "a.yaml", &format!("{old}{}", manifest("old", "Opaque", "  a: canary-a\n")));
    sealed(&scene, "b.yaml", &format!("{new}{}", manifest("new", "Opaque", "  b: canary-b\n")));
    for file in ["a.yaml", "b.yaml"] {
        scene.file(file, scene.read(file) + "---\n" + &scene.read("same.yaml"));
    }
    scene
}

/// A run that tells a difference.
#[track_caller]
fn differs(done: Done) -> String {
    assert_eq!((done.status, done.stderr.as_str()), (Some(1), ""), "{}", done.stdout);
    done.stdout
}

#[test]
fn what_differs_is_told_without_the_values() {
    let scene = scene();
    let out = differs(scene.run("diff a.yaml b.yaml --key key.pem").done());
    assert!(!leaks(&out), "{out}");
    has(
        &out,
        &[
            "SealedSecret ns/db\n  gone: removed\n  kept: same (sealed anew)\n  new: added\n  password: changed\n\
             --- a.yaml: ns/db\n+++ b.yaml: ns/db\n@@ ",
            "-    type: Opaque\n+    type: a/b\n",
            "SealedSecret ns/new\n  b: added\n--- a.yaml: ns/new\n+++ b.yaml: ns/new\n@@ -0,0 +1,",
            "SealedSecret ns/old\n  a: removed\n",
        ],
    );
    assert!(!out.contains("same:") && !out.contains("ns/same"), "{out}");
}

#[test]
fn values_are_shown_to_whoever_asks() {
    let scene = scene();
    let out = differs(scene.run("diff a.yaml b.yaml --key key.pem --show-values").done());
    has(
        &out,
        &[
            "--- a.yaml: ns/db: password\n+++ b.yaml: ns/db: password\n@@ -1,2 +1,2 @@\n-canary-old\n+canary-new\n x\n",
            "--- a.yaml: ns/db: gone\n+++ b.yaml: ns/db: gone\n@@ -1 +0,0 @@\n-canary-gone\n\\ No newline at end of file\n",
            "+canary-b\n",
        ],
    );
    assert!(!out.contains("canary-kept") && !out.contains("canary-same"), "{out}");

    let bytes = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: db, namespace: ns}}\ndata: {{blob: {value}}}\n"
        )
    };
    sealed(&scene, "a.yaml", &bytes("AP8A"));
    sealed(&scene, "b.yaml", &bytes("YQ=="));
    let out = differs(scene.run("diff a.yaml b.yaml --key key.pem --show-values").done());
    has(&out, &["ns/db: blob: base64\n", "-AP8A\n", "+YQ==\n"]);
}

#[test]
fn a_value_that_was_sealed_anew_is_no_difference() {
    let scene = Scene::new();
    let secret = manifest("db", "Opaque", "  a: canary\n");
    sealed(&scene, "a.yaml", &secret);
    sealed(&scene, "b.yaml", &secret);
    assert_ne!(scene.read("a.yaml"), scene.read("b.yaml"));
    let done = scene.run("diff a.yaml b.yaml --key key.pem").succeeds();
    assert_eq!(done.stdout, "SealedSecret ns/db\n  a: same (sealed anew)\n");
    // The same text is not even opened.
    scene.file("other.pem", &other_key().private);
    for key in ["", "--key other.pem"] {
        assert_eq!(scene.run(&format!("diff a.yaml a.yaml {key}")).succeeds().stdout, "");
    }
}

#[test]
fn without_a_key_nobody_knows_more() {
    let scene = scene();
    let out = differs(scene.run("diff a.yaml b.yaml").done());
    has(
        &out,
        &["  kept: another sealed value; without a key nobody can tell", "  gone: removed\n", "type: a/b"],
    );
    has(&scene.run("diff a.yaml b.yaml --show-values").fails(2), &["--key"]);
}

#[test]
fn what_cannot_be_read_or_opened_has_a_status_of_its_own() {
    let scene = scene();
    scene.file("other.pem", &other_key().private);
    scene.file("twice.yaml", format!("{}---\n{}", scene.read("same.yaml"), scene.read("same.yaml")));
    scene.file("none.yaml", manifest("db", "Opaque", "  a: canary\n"));
    for (arguments, told) in [
        ("a.yaml b.yaml --key other.pem", "SealedSecret ns/db: 3 of 3 items do not open"),
        ("a.yaml none", "none: No such file"),
        ("- - --key key.pem", "stdin (`-`) is given more than once"),
        ("a.yaml - --key -", "stdin cannot be both"),
        ("twice.yaml a.yaml", "the file holds SealedSecret ns/same twice"),
        ("none.yaml none.yaml", "there is no SealedSecret in them"),
    ] {
        has(&scene.run(&format!("diff {arguments}")).fails(2), &[told]);
    }
    // Moved by hand to another namespace: it does not open there, and is not said to be removed and added only.
    let moved = scene.read("a.yaml").replace("namespace: ns", "namespace: elsewhere");
    scene.file("moved.yaml", moved);
    has(&scene.run("diff a.yaml moved.yaml --key key.pem --show-values").fails(2), &["do not open"]);
}

#[test]
fn either_side_may_be_stdin_and_a_new_file_is_compared_with_none() {
    let scene = scene();
    let (a, b) = (scene.read("a.yaml"), scene.read("b.yaml"));
    has(&differs(scene.run("diff - b.yaml --key key.pem").stdin(a).done()), &["--- stdin: ns/db\n"]);
    has(&differs(scene.run("diff a.yaml - --key key.pem").stdin(b).done()), &["+++ stdin: ns/db\n"]);
    has(&differs(scene.run("diff /dev/null b.yaml --key key.pem").done()), &["  password: added\n"]);
}

/// As the documentation says to set it up.
#[test]
fn git_can_be_told_to_compare_so() {
    let scene = scene();
    let script = "\
set -e
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git init --quiet . && git config user.name a && git config user.email a@b
cp a.yaml db.yaml && git add db.yaml && git commit --quiet --message one
cp b.yaml db.yaml
echo '*.yaml diff=privyseal' > .gitattributes
git config diff.privyseal.command 'f() { $PRIVYSEAL diff --key key.pem \"$2\" \"$5\" || [ $? -eq 1 ]; }; f'
git diff --ext-diff db.yaml
";
    let done = scene.shell(script).succeeds();
    has(&done.stdout, &["SealedSecret ns/db\n  gone: removed\n"]);
    assert!(!leaks(&done.stdout), "{}", done.stdout);
}

#[test]
fn a_value_is_the_same_in_either_format() {
    let scene = Scene::new();
    scene.file("keys.txt", &key().private_half);
    let object = |values: &str| manifest("db", "Opaque", values).trim_end_matches("---\n").to_owned();
    let to = recipients([&key().hybrid, &other_key().hybrid]);
    let classic = |values: &str| scene.run("seal --cert cert.pem").stdin(object(values)).succeeds().stdout;
    let without_hint = |text: String| {
        let kept = text.lines().filter(|line| !line.contains("sealed-with") && *line != "  annotations:");
        kept.map(|line| format!("{line}\n")).collect::<String>()
    };
    let a = joined(
        &without_hint(classic("  a: canary-a\n  b: canary-b\n")),
        &seal_age(&object("  c: canary-c\n"), &to),
    );
    let b = seal_age(&object("  a: canary-a\n  b: canary-new\n  c: canary-c\n"), &to);
    scene.file("a.yaml", a);
    scene.file("b.yaml", b);
    let out = differs(scene.run("diff a.yaml b.yaml --key keys.txt").done());
    has(&out, &["  a: same (sealed anew)\n", "  b: changed\n", "  c: same (sealed anew)\n"]);
    let out = differs(scene.run("diff a.yaml b.yaml --key keys.txt --show-values").done());
    has(&out, &["-canary-b\n", "+canary-new\n"]);
    // The RSA half alone opens no value of the age format.
    has(
        &scene.run("diff a.yaml b.yaml --key key.pem").fails(2),
        &["a: none of 0 keys is among its recipients"],
    );
}
