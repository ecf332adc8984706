//! `keys report --compromised`: what a key that leaked opens in the history of a repository, however long ago.

use crate::harness::{Scene, has, key, other_key, secret};

const SETUP: &str = "set -e
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    git init -q -b main repository && cd repository";

/// A value that was sealed with the key and replaced, one on a branch that was never merged, one in a commit that was
/// reset, one that another key sealed, and one of which nobody says it.
fn repository() -> Scene {
    let scene = Scene::new();
    scene.file("other.pem", &other_key().certificate);
    for name in ["replaced", "branch", "reset", "bare", "renamed"] {
        scene.file(
            &format!("{name}.yaml"),
            scene.run("seal --cert cert.pem").stdin(secret(Some("ns"), Some(name))).succeeds().stdout,
        );
    }
    let others =
        scene.run("seal --cert other.pem").stdin(secret(Some("ns"), Some("others"))).succeeds().stdout;
    scene.file("others.yaml", others);
    scene
        .shell(&format!(
            "{SETUP}
            cp ../replaced.yaml ../others.yaml . && git add . && git commit -qm one
            git checkout -qb side && cp ../branch.yaml branch.yml && git add . && git commit -qm two && git checkout -q main
            grep -v -e sealed-with -e annotations ../bare.yaml > bare.yaml && git add . && git commit -qm three
            cp ../reset.yaml . && git add . && git commit -qm four && git reset -q --hard HEAD~1
            git rm -q replaced.yaml && git commit -qm five
            cp ../renamed.yaml backup.txt && printf 'kind: SealedSecret\\nencryptedData: [\\n' > broken.yaml && git add . && git commit -qm six
            git mv backup.txt renamed.yaml && git rm -qf broken.yaml && git commit -qm seven"
        ))
        .succeeds();
    scene
}

#[test]
fn every_commit_of_every_ref_is_searched() {
    let scene = repository();
    let report = |more: &str| {
        let id = &key().key_id;
        scene.run(&format!("keys report repository --compromised {id} {more}")).succeeds()
    };
    let done = report("");
    has(
        &done.stdout,
        &[
            "ns/replaced: password: claims it: replaced.yaml\n",
            "ns/branch: password: claims it: branch.yml\n",
            "ns/reset: password: claims it: reset.yaml\n",
            "ns/bare: password: unknown: bare.yaml\n",
            "ns/renamed: password: claims it: ",
            "searched all commits of 2 refs:\n  refs/heads/main\n  refs/heads/side\n",
        ],
    );
    assert!(!done.stdout.contains("others"), "{}", done.stdout);
    has(
        &done.stderr,
        &[
            "4 values were sealed with key",
            "broken.yaml: a version of it speaks of SealedSecrets and cannot be read",
            "of 1 that is not known",
            "change them at their source",
        ],
    );

    // With the key at hand nothing is a claim.
    let done = report("--key key.pem -o json");
    let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let values = report["values"].as_array().unwrap();
    assert_eq!(values.len(), 5);
    assert!(values.iter().all(|value| value["finding"] == "opened"), "{report}");
}

#[test]
fn what_cannot_be_searched_is_told() {
    let scene = repository();
    let report = format!("--compromised {}", key().key_id);
    scene.shell("git clone -q --depth 1 file://$PWD/repository shallow").succeeds();
    let done = scene.run(&format!("keys report shallow {report}")).succeeds();
    has(&done.stderr, &["warning: ", "a shallow clone has a part of the history only"]);
    scene.file("nowhere/file.yaml", "");
    has(
        &scene.run(&format!("keys report nowhere {report}")).fails(2),
        &["nowhere: git: ", "ot a git repository"],
    );
    let without = scene.run(&format!("keys report repository {report}")).env("PATH", "/nowhere").fails(2);
    has(&without, &["git", "must be installed"]);
}
