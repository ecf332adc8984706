//! `reseal` with keys at hand: whole trees, every other byte kept, and nothing half done.

use crate::harness::{Scene, has, key, leaks, other_key, secret};
use std::process::{Command, Stdio};

/// A sealed value of `password`, to the old key, for `ns/NAME` under the scope that the flags give.
fn value(scene: &Scene, name: &str, flags: &str) -> String {
    let sealed = scene.run(&format!("seal --cert old.pem {flags}")).stdin(secret(Some("ns"), Some(name)));
    let sealed = sealed.succeeds().stdout;
    let line = sealed.lines().find(|line| line.trim_start().starts_with("password:")).unwrap();
    line.trim_start().strip_prefix("password: ").unwrap().to_owned()
}

/// The old key is `key()`, the new one `other_key()`.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.file("old.pem", &key().certificate);
    scene.file("new.pem", &other_key().certificate);
    scene.file("keys.pem", format!("{}\n{}", key().private, other_key().private));
    scene.file("new-key.pem", &other_key().private);
    scene
}

const RESEAL: &str = "reseal --key keys.pem --cert new.pem";

/// Files as people write them: comments, anchors, CRLF, flow style, JSON, several documents, a List.
fn write_tree(scene: &Scene) {
    let (db, cache) = (value(scene, "db", ""), value(scene, "cache", "--scope cluster-wide"));
    scene.file(
        "tree/prod/db.yaml",
        format!(
            "# The team's database.\r\napiVersion: bitnami.com/v1alpha1 # ours\r\nkind: SealedSecret\r\n\
             metadata: {{name: db, namespace: ns}}\r\nspec:\r\n  encryptedData:\r\n    # by hand\r\n    \
             password: \"{db}\"   # old\r\n  template:\r\n    metadata: {{labels: {{app: db}}}}\r\n"
        ),
    );
    scene.file(
        "tree/prod/list.yml",
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: &m\n  name: settings\n  labels: &l {{a: b}}\ndata: {{}}\n---\n\
             apiVersion: v1\nkind: List\nitems:\n- apiVersion: bitnami.com/v1alpha1\n  kind: SealedSecret\n  \
             metadata:\n    name: cache\n    annotations:\n      sealedsecrets.bitnami.com/cluster-wide: 'true'\n  \
             spec:\n    encryptedData: {{password: {cache}}}\n"
        ),
    );
    scene.file(
        "tree/dev/db.json",
        format!(
            "{{\n  \"apiVersion\": \"bitnami.com/v1alpha1\", \"kind\": \"SealedSecret\",\n  \"metadata\": \
             {{\"name\": \"db\", \"namespace\": \"ns\"}},\n  \"spec\": {{\"encryptedData\": {{\"password\": \"{db}\"}}}}\n}}\n"
        ),
    );
}

/// The lines that are new; those that are gone must be as many, but for a line of an annotation that was not there.
fn lines_that_differ(before: &str, after: &str) -> Vec<String> {
    let missing = |of: &str, from: &str| -> Vec<String> {
        of.split('\n')
            .filter(|line| !from.split('\n').any(|other| other == *line))
            .map(str::to_owned)
            .collect()
    };
    let (gone, new) = (missing(before, after), missing(after, before));
    assert!(gone.len() <= new.len() && new.len() <= gone.len() + 1, "{after}");
    new
}

const FILES: [&str; 3] = ["tree/dev/db.json", "tree/prod/db.yaml", "tree/prod/list.yml"];

#[test]
fn a_tree_moves_to_the_newest_key_and_only_sealed_texts_change() {
    let scene = scene();
    write_tree(&scene);
    let before = FILES.map(|file| scene.read(file));
    let done = scene.run(&format!("{RESEAL} tree")).succeeds();
    let (old, new) = (&key().key_id, &other_key().key_id);
    has(&done.stdout, &[&format!("tree/prod/db.yaml:2: ns/db: password: {old} -> {new}\n")]);
    has(&done.stderr, &["3 values in 3 files are sealed anew, 0 stay as they were"]);
    assert_eq!(done.stdout.lines().count(), 3);
    for (file, before) in FILES.iter().zip(&before) {
        let after = scene.read(file);
        assert_eq!(before.matches("\r\n").count(), after.matches("\r\n").count());
        for line in lines_that_differ(before, &after) {
            assert!(line.contains("password"), "{line}");
        }
    }
    // The new key alone opens them, under the binding that they had, and so there is nothing to do any more.
    let again = FILES.map(|file| scene.read(file));
    let done = scene.run("reseal --key new-key.pem --cert new.pem tree").succeeds();
    has(&done.stderr, &["0 values in 0 files are sealed anew, 3 stay"]);
    assert_eq!((done.stdout.as_str(), FILES.map(|file| scene.read(file))), ("", again));
}

#[test]
fn what_one_value_hinders_is_not_written_unless_asked() {
    let scene = scene();
    write_tree(&scene);
    // Sealed under another name: no key opens it here.
    let foreign = scene.read("tree/prod/db.yaml").replace("name: db,", "name: other,");
    scene.file("tree/foreign.yaml", foreign);
    let before = FILES.map(|file| scene.read(file));
    let error = scene.run(&format!("{RESEAL} tree")).fails(1);
    has(
        &error,
        &["tree/foreign.yaml:2: document 1: ns/other: password: none of 2 keys", "nothing was written"],
    );
    assert_eq!(FILES.map(|file| scene.read(file)), before);

    let done = scene.run(&format!("{RESEAL} tree --keep-going")).done();
    assert_eq!(done.status, Some(1));
    has(&done.stderr, &["3 values in 3 files are sealed anew", "ns/other: password"]);
    assert!(FILES.iter().zip(before).all(|(file, before)| scene.read(file) != before));
    done.assert_speaks_well();
}

#[test]
fn a_dry_run_reports_and_writes_nothing() {
    let scene = scene();
    write_tree(&scene);
    let before = FILES.map(|file| scene.read(file));
    let done = scene.run(&format!("{RESEAL} tree --dry-run -o json")).succeeds();
    has(&done.stderr, &["3 values in 3 files would be sealed anew"]);
    let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&report["resealed"], &report["kept"]), (&3.into(), &0.into()));
    let first = &report["objects"][0];
    assert_eq!((&first["file"], &first["object"]), (&"tree/dev/db.json".into(), &"ns/db".into()));
    assert_eq!(first["items"]["password"]["to"], other_key().key_id.as_str());
    assert_eq!(FILES.map(|file| scene.read(file)), before);
}

#[test]
fn one_key_only_and_hints_that_lie() {
    let scene = scene();
    scene.seal(&secret(Some("ns"), Some("db")));
    let honest = scene.read("sealed.yaml");
    // It claims to be sealed to the new key already.
    scene.file("sealed.yaml", honest.replace(&key().key_id, &other_key().key_id));
    let other = &other_key().key_id;
    let done = scene.run(&format!("{RESEAL} sealed.yaml --only-key {other}")).succeeds();
    has(&done.stderr, &["0 values in 0 files"]);
    assert_eq!(scene.read("sealed.yaml"), honest, "a hint that lies is set right");
    scene.file("sealed.yaml", honest.replace(&key().key_id, other));
    let done = scene.run(&format!("{RESEAL} sealed.yaml --only-key {}", key().key_id)).succeeds();
    has(&done.stderr, &["1 values in 1 files are sealed anew"]);
    has(&scene.run("inspect --key new-key.pem sealed.yaml").succeeds().stdout, &["opens"]);
    // Without any hint it is found all the same.
    let bare: String = honest
        .lines()
        .filter(|line| !line.contains("annotations") && !line.contains("sealed-with"))
        .map(|line| format!("{line}\n"))
        .collect();
    scene.file("bare.yaml", bare);
    scene.run(&format!("{RESEAL} bare.yaml")).succeeds();
    has(&scene.read("bare.yaml"), &[&format!("password={other}:")]);
}

#[test]
fn what_is_no_business_of_ours_stays_and_what_cannot_be_read_is_told() {
    let scene = scene();
    write_tree(&scene);
    let chart = "{{- range .Values.all }}\nkind: Deployment\n{{- end }}\n";
    scene.file("tree/chart/templates/a.yaml", chart);
    scene.file("tree/notes.md", "kind: SealedSecret\nencryptedData\n");
    scene.file("tree/.gitignore", "ignored.yaml\n");
    scene.file("tree/ignored.yaml", "kind: SealedSecret\nencryptedData: [\n");
    scene.file(
        "tree/crd.yaml",
        "kind: CustomResourceDefinition\nspec: {names: {kind: SealedSecret}, x: encryptedData}\n",
    );
    assert!(!scene.run(&format!("{RESEAL} tree")).succeeds().stderr.contains("warning"));
    // Within the text of another object they are not found, and so told.
    let release = "kind: HelmRelease\nspec:\n  values:\n    extra: |\n      kind: SealedSecret\n      spec: {encryptedData: {a: AgA=}}\n";
    scene.file("tree/release.yaml", release);
    has(
        &scene.run(&format!("{RESEAL} tree")).succeeds().stderr,
        &["release.yaml: it seems to hold sealed values within another object"],
    );

    let template =
        "kind: SealedSecret\nmetadata:\n  name: {{ .Values.name }}\nspec:\n  encryptedData: {a: b}\n";
    for (name, content, told) in [
        ("template.yaml", template.as_bytes().to_vec(), "it looks like a template"),
        ("latin.yaml", b"kind: SealedSecret # \xe9\nencryptedData: {}\n".to_vec(), "not UTF-8"),
        ("broken.yaml", b"kind: SealedSecret\nencryptedData: [\n".to_vec(), "broken.yaml:"),
    ] {
        let path = format!("tree/{name}");
        scene.file(&path, content);
        let error = scene.run(&format!("{RESEAL} tree")).fails(2);
        has(&error, &[name, told, "nothing was written"]);
        std::fs::remove_file(scene.path(&path)).unwrap();
    }
    // Large files are read up to a bound that no manifest reaches, sparse as this one is.
    let large = std::fs::File::create(scene.path("tree/large.json")).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    has(&scene.run(&format!("{RESEAL} tree")).fails(2), &["large.json: more than 67108864 bytes"]);
    large.set_len(11 << 20).unwrap();
    let padding = format!("# {}\n", "x".repeat(11 << 20));
    scene.file("large.yaml", padding + &scene.read("tree/prod/db.yaml"));
    has(
        &scene.run(&format!("{RESEAL} tree large.yaml")).succeeds().stderr,
        &["0 values in 0 files", "4 stay"],
    );
    let error = scene.run(&format!("{RESEAL} tree nowhere")).fails(2);
    has(&error, &["nowhere: "]);
    let error = scene.run(&format!("{RESEAL} tree/notes.md keys.pem")).fails(2);
    has(&error, &["keys.pem: there is no SealedSecret in it"]);
}

#[test]
fn a_link_out_of_the_tree_is_not_followed() {
    let (scene, outside) = (scene(), scene());
    write_tree(&outside);
    scene.file("tree/.keep", "");
    std::os::unix::fs::symlink(outside.path("tree"), scene.path("tree/all")).unwrap();
    std::os::unix::fs::symlink(outside.path("tree/prod/db.yaml"), scene.path("tree/db.yaml")).unwrap();
    let before = outside.read("tree/prod/db.yaml");
    has(&scene.run(&format!("{RESEAL} tree")).succeeds().stderr, &["0 values in 0 files"]);
    assert_eq!(outside.read("tree/prod/db.yaml"), before);
}

#[test]
fn two_of_one_name_in_one_file_are_two() {
    let scene = scene();
    write_tree(&scene);
    let one = scene.read("tree/prod/db.yaml");
    scene.file("two.yaml", format!("{one}---\r\n{one}"));
    has(&scene.run(&format!("{RESEAL} two.yaml")).succeeds().stderr, &["2 values in 1 files"]);
    assert_eq!(
        scene.run("unseal --key new-key.pem two.yaml").succeeds().stdout.matches("name: db").count(),
        2
    );
}

/// Whatever moment the signal meets: each file is old or new as a whole, nothing is left beside them, and a second run
/// finishes.
#[test]
fn a_signal_at_any_moment_leaves_whole_files() {
    let scene = scene();
    let sealed = scene.run("seal --cert old.pem").stdin(secret(Some("ns"), Some("db"))).succeeds().stdout;
    let many = vec![sealed; 20].join("---\n");
    let files: Vec<_> = (0..30).map(|number| format!("tree/{number}.yaml")).collect();
    files.iter().for_each(|file| _ = scene.file(file, &many));
    let mut stopped = 0;
    for delay in [5, 20, 40, 80, 120, 160, 240] {
        files.iter().for_each(|file| _ = scene.file(file, &many));
        let mut child = Command::new(env!("CARGO_BIN_EXE_privyseal"))
            .args(RESEAL.split(' ').chain(["tree"]))
            .current_dir(scene.path(""))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay));
        let id = child.id().to_string();
        Command::new("kill").args(["-INT", &id]).status().unwrap();
        let status = child.wait().unwrap();
        stopped += usize::from(!status.success());
        let left = std::fs::read_dir(scene.path("tree")).unwrap().count();
        assert_eq!(left, files.len(), "nothing is left beside the files");
        for file in &files {
            let text = scene.read(file);
            assert!(text == many || text.matches(&other_key().key_id).count() == 20, "{file} is neither");
        }
    }
    assert!(stopped > 0, "no run was stopped");
    scene.run(&format!("{RESEAL} tree")).succeeds();
    has(&scene.run(&format!("{RESEAL} tree")).succeeds().stderr, &["600 stay as they were"]);
}

#[test]
fn a_full_disk_changes_nothing() {
    let scene = scene();
    write_tree(&scene);
    // Enough for the files, and not for a second set of them.
    let script = "mkdir small && exec unshare --map-root-user --mount bash -c '
        mount -t tmpfs -o size=16k none small && cp -r tree/. small/ && find small -type f | sort | xargs sha256sum >before
        $PRIVYSEAL reseal --key keys.pem --cert new.pem small; status=$?
        find small -type f | sort | xargs sha256sum >after; exit $status'";
    let done = scene.shell(script).done();
    assert_eq!(done.status, Some(1), "{}", done.stderr);
    has(&done.stderr, &["cannot be written", "nothing was written"]);
    assert!(!leaks(&done.stderr));
    assert_eq!(scene.read("before"), scene.read("after"));
    assert!(scene.read("before").lines().count() == 3);
}

#[test]
fn no_opening_key_and_no_cluster_is_told_before_anything_is_done() {
    let scene = scene();
    write_tree(&scene);
    let error = scene.run("reseal tree --cert new.pem").fails(2);
    has(
        &error,
        &["no opening key is given, and no cluster that could be asked", "--key FILE", "--context CONTEXT"],
    );
}

#[test]
fn a_file_that_may_not_be_read_is_told() {
    let scene = scene();
    write_tree(&scene);
    // Root reads everything, unless it gives that up.
    let script = "chmod 000 tree/prod/db.yaml; [ $(id -u) = 0 ] && drop='setpriv --bounding-set -dac_override,-dac_read_search \
        --inh-caps -dac_override,-dac_read_search'; $drop $PRIVYSEAL reseal --key keys.pem --cert new.pem tree";
    let error = scene.shell(script).fails(2);
    has(&error, &["tree/prod/db.yaml: ", "ermission denied", "nothing was written"]);
}
