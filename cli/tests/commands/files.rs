//! Files: replaced whole or not at all, with mode and links kept, and stdout that goes away.

use crate::harness::{CANARY_BASE64, Scene, has, leaks, secret};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.file("a.yaml", secret(Some("ns"), Some("a")));
    scene
}

#[test]
fn a_new_file_with_plaintext_is_for_its_owner_only() {
    let scene = scene();
    let done =
        scene.shell("umask 022; $PRIVYSEAL seal --cert cert.pem a.yaml --out-file sealed.yaml").succeeds();
    assert_eq!(done.stdout, "");
    assert_eq!(mode(&scene.path("sealed.yaml")), 0o644);
    scene.shell("umask 0; $PRIVYSEAL unseal --key key.pem sealed.yaml --out-file out.yaml").succeeds();
    assert_eq!(mode(&scene.path("out.yaml")), 0o600);
    has(&scene.read("out.yaml"), &[CANARY_BASE64]);
    assert_eq!(scene.names(), ["a.yaml", "cert.pem", "key.pem", "out.yaml", "sealed.yaml"]);
}

#[test]
fn an_existing_file_keeps_its_mode_and_says_when_that_is_wide() {
    let scene = scene();
    scene.seal(&secret(Some("ns"), Some("a")));
    for (before, warned) in [(0o640, true), (0o600, false), (0o400, false)] {
        let out = scene.file("out.yaml", "old");
        fs::set_permissions(&out, Permissions::from_mode(before)).unwrap();
        let done = scene.run("unseal --key key.pem sealed.yaml --out-file out.yaml").done();
        if before == 0o400 && done.status == Some(1) {
            // Only root may write what says it must not be written.
            assert_eq!(scene.read("out.yaml"), "old");
            fs::remove_file(out).unwrap();
            continue;
        }
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        assert_eq!(mode(&out), before);
        assert_eq!(
            done.stderr.contains("warning: out.yaml: others than its owner"),
            warned,
            "{}",
            done.stderr
        );
        fs::remove_file(out).unwrap();
    }
}

#[test]
fn in_place_replaces_each_file_by_its_sealed_form() {
    let scene = scene();
    scene.file(
        "b.json",
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"b","namespace":"n"},"data":{"k":"djI="}}"#,
    );
    fs::set_permissions(scene.path("a.yaml"), Permissions::from_mode(0o640)).unwrap();
    let done = scene.run("seal --cert cert.pem --in-place a.yaml b.json").succeeds();
    assert_eq!(done.stdout, "");
    assert_eq!(mode(&scene.path("a.yaml")), 0o640);
    has(&scene.read("a.yaml"), &["kind: SealedSecret", "name: a\n"]);
    has(&scene.read("b.json"), &["\"kind\": \"SealedSecret\"", "\"name\": \"b\""]);
    scene.run("unseal --key key.pem a.yaml b.json").succeeds();
    assert_eq!(scene.names(), ["a.yaml", "b.json", "cert.pem", "key.pem"]);
}

/// Another owner can be given by root only; anybody else sees that their own is kept.
#[test]
fn the_owner_is_kept() {
    let scene = scene();
    let _ = std::os::unix::fs::chown(scene.path("a.yaml"), Some(12_345), Some(12_346));
    let owner =
        || fs::metadata(scene.path("a.yaml")).map(|metadata| (metadata.uid(), metadata.gid())).unwrap();
    let before = owner();
    scene.run("seal --cert cert.pem --in-place a.yaml").succeeds();
    has(&scene.read("a.yaml"), &["kind: SealedSecret"]);
    assert_eq!(owner(), before);
}

#[test]
fn in_place_changes_nothing_when_one_file_is_bad() {
    let scene = scene();
    scene.file("b.yaml", secret(None, Some("b")));
    let before = (scene.read("a.yaml"), scene.read("b.yaml"));
    scene.run("seal --cert cert.pem --in-place a.yaml b.yaml").fails(2);
    assert_eq!((scene.read("a.yaml"), scene.read("b.yaml")), before);
}

#[test]
fn links_are_followed_and_stay_links() {
    let scene = scene();
    fs::create_dir(scene.path("deep")).unwrap();
    scene.file("deep/target.yaml", secret(Some("ns"), Some("a")));
    symlink("deep/target.yaml", scene.path("middle")).unwrap();
    symlink("middle", scene.path("link.yaml")).unwrap();
    scene.run("seal --cert cert.pem --in-place link.yaml").succeeds();
    for link in ["link.yaml", "middle"] {
        assert!(fs::symlink_metadata(scene.path(link)).unwrap().is_symlink());
    }
    has(&scene.read("deep/target.yaml"), &["kind: SealedSecret"]);

    symlink("deep/new.yaml", scene.path("dangling")).unwrap();
    scene.run("seal --cert cert.pem a.yaml --out-file dangling").succeeds();
    assert!(fs::symlink_metadata(scene.path("dangling")).unwrap().is_symlink());
    has(&scene.read("deep/new.yaml"), &["kind: SealedSecret"]);

    symlink("loop", scene.path("loop")).unwrap();
    has(&scene.run("seal --cert cert.pem a.yaml --out-file loop").fails(1), &["loop: cannot be written: "]);
}

#[test]
fn other_hard_links_are_told() {
    let scene = scene();
    fs::hard_link(scene.path("a.yaml"), scene.path("other.yaml")).unwrap();
    let done = scene.run("seal --cert cert.pem --in-place a.yaml").succeeds();
    has(&done.stderr, &["warning: a.yaml: other hard links to it keep the old contents"]);
    assert!(leaks(&scene.read("other.yaml")));
}

#[test]
fn an_output_that_cannot_be_written_leaves_the_old_file() {
    let scene = scene();
    for (out, says) in [
        ("missing/out.yaml", "No such file or directory"),
        ("a.yaml/out.yaml", "Not a directory"),
        (".", "is a directory"),
    ] {
        let error = scene.run(&format!("seal --cert cert.pem a.yaml --out-file {out}")).fails(1);
        has(&error, &[&format!("error: {out}: cannot be written: "), says]);
    }
    // A limit on the size of files stands for a full disk; root is not above it.
    scene.file("old.yaml", "old contents");
    let full = |arguments: &str| {
        scene.shell(&format!("trap '' XFSZ; ulimit -f 0; exec $PRIVYSEAL {arguments}")).fails(1)
    };
    has(
        &full("seal --cert cert.pem a.yaml --out-file old.yaml"),
        &["old.yaml: cannot be written: File too large"],
    );
    assert_eq!(scene.read("old.yaml"), "old contents");
    has(&full("seal --cert cert.pem --in-place a.yaml"), &["a.yaml: cannot be written: File too large"]);
    assert!(leaks(&scene.read("a.yaml")));
    assert_eq!(scene.names(), ["a.yaml", "cert.pem", "key.pem", "old.yaml"], "nothing is left behind");
}

#[test]
fn pipes_and_devices_are_written_as_they_are() {
    let scene = scene();
    let done = scene.run("seal --cert cert.pem a.yaml --out-file /dev/stdout").succeeds();
    has(&done.stdout, &["kind: SealedSecret"]);
    let done = scene.run("seal --cert cert.pem a.yaml --out-file -").succeeds();
    has(&done.stdout, &["kind: SealedSecret"]);
    let done = scene
        .shell("$PRIVYSEAL seal --cert cert.pem a.yaml --out-file >(cat > copy); wait; sleep 0.2; cat copy");
    has(&done.succeeds().stdout, &["kind: SealedSecret"]);
    scene.run("seal --cert cert.pem a.yaml --out-file /dev/null").succeeds();
    has(
        &scene.run("seal --cert cert.pem a.yaml --out-file /dev/full").fails(1),
        &["No space left on device"],
    );
    let error = scene.shell("$PRIVYSEAL seal --cert cert.pem a.yaml > /dev/full").fails(1);
    has(&error, &["error: stdout: No space left on device"]);
}

/// Ends as `cat` would: by SIGPIPE's status, without a word.
#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let scene = Scene::new();
    let many: String =
        (0..400).map(|n| format!("---\n{}", secret(Some("ns"), Some(&format!("s{n}"))))).collect();
    scene.file("many.yaml", many);
    for command in
        ["seal --cert cert.pem many.yaml 2>notes", "completion bash 2>notes", "seal --help 2>notes"]
    {
        let script = format!("$PRIVYSEAL {command} | true; echo ${{PIPESTATUS[0]}}; grep -v '^note: ' notes");
        let done = scene.shell(&script).done();
        assert!(["141\n", "0\n"].contains(&done.stdout.as_str()), "{command}: {}", done.stdout);
    }
    let status = scene
        .shell("$PRIVYSEAL seal --cert cert.pem many.yaml | head -c 10 >/dev/null; echo ${PIPESTATUS[0]}");
    assert_eq!(status.succeeds().stdout, "141\n");
    // A stderr that nobody reads fails nothing.
    let status = scene
        .shell("$PRIVYSEAL seal --cert cert.pem many.yaml 2>&1 >/dev/null | true; echo ${PIPESTATUS[0]}");
    assert_eq!(status.succeeds().stdout, "0\n");
}

#[test]
fn colours_are_for_terminals() {
    let scene = Scene::new();
    let run = || scene.run("seal --cert cert.pem missing");
    assert!(!run().done().stderr.contains('\x1b'));
    assert!(run().env("CLICOLOR_FORCE", "1").done().stderr.contains("\x1b["));
    assert!(!run().env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").done().stderr.contains('\x1b'));
}

#[cfg(target_os = "linux")]
#[test]
fn no_core_file_while_it_runs() {
    let scene = Scene::new();
    // To open a pipe for writing waits until it is read, so until `main` is well under way.
    let script = "ulimit -c unlimited; mkfifo pipe; \
                  \"$PRIVYSEAL\" unseal --key key.pem pipe & exec 3>pipe; \
                  grep '^Max core file size' /proc/$!/limits; exec 3>&-; wait";
    let done = scene.shell(script).done();
    assert_eq!(
        done.stdout.split_whitespace().collect::<Vec<_>>(),
        "Max core file size 0 0 bytes".split(' ').collect::<Vec<_>>()
    );
}
