//! `keys report --compromised`: what a key that leaked opens in the history of a repository, however long ago.

use crate::harness::{Scene, has, id_of, key, other_key, recipients, seal_age, secret};

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

/// Values of the age format claim a key by the ids of its recipients, and one may be for several keys.
#[test]
fn a_key_is_found_by_all_that_it_goes_by() {
    let scene = Scene::new();
    let value = |file: &str, to: &privyseal_envelope::age::Recipients| {
        let name = file.trim_end_matches(".yaml");
        scene.file(file, seal_age(&secret(Some("ns"), Some(name)), to));
    };
    value("ours.yaml", &recipients([&key().hybrid]));
    value("both.yaml", &recipients([&other_key().x25519, &key().x25519]));
    value("theirs.yaml", &recipients([&other_key().hybrid]));
    value("unnamed.yaml", &recipients([&other_key().hybrid]).without_hints());
    let classic =
        scene.run("seal --cert cert.pem").stdin(secret(Some("ns"), Some("classic"))).succeeds().stdout;
    scene.file("classic.yaml", classic);
    scene.file("half.pem", &key().public_half);
    scene
        .shell(&format!(
            "{SETUP}
            cp ../ours.yaml ../both.yaml ../theirs.yaml ../unnamed.yaml ../classic.yaml . && git add . && git commit -qm one
            git rm -q ours.yaml && git commit -qm two"
        ))
        .succeeds();
    let report = |key: &str, more: &str| {
        scene.run(&format!("keys report repository --compromised {key} {more}")).succeeds()
    };
    let claims = |name: &str| format!("ns/{name}: password: claims it: {name}.yaml\n");
    let unknown = "ns/unnamed: password: unknown: unnamed.yaml\n";

    // Of the RSA half nobody says here what else it goes by, and that is told.
    let done = report(&key().key_id, "");
    has(&done.stdout, &[&claims("classic"), unknown]);
    assert!(!done.stdout.contains("ours") && !done.stdout.contains("both"), "{}", done.stdout);
    has(&done.stderr, &["warning: no other id of key", "Give --key, or name its cluster"]);
    let done = report(&id_of(&key().x25519), "");
    has(&done.stdout, &[&claims("both")]);
    assert!(!done.stdout.contains("ours") && !done.stdout.contains("classic"), "{}", done.stdout);

    // A key file that was ever committed says it, and so does the key itself.
    scene.shell("cd repository && cp ../half.pem . && git add . && git -c user.name=a -c user.email=a@b commit -qm three && git rm -q half.pem && git -c user.name=a -c user.email=a@b commit -qm four").succeeds();
    let fingerprint = key().hybrid.fingerprint().to_string();
    for name in
        [&key().key_id, &key().fingerprint, &id_of(&key().hybrid), &id_of(&key().x25519), &fingerprint]
    {
        let done = report(name, "");
        has(&done.stdout, &[&claims("classic"), &claims("ours"), &claims("both"), unknown]);
        assert!(!done.stdout.contains("theirs"), "{}", done.stdout);
        has(
            &done.stderr,
            &["note: key ", " goes by ", "3 values were sealed with key", "of 1 that is not known"],
        );
    }
    scene.file("half.txt", &key().private_half);
    let done = report(&key().key_id, "--key half.txt -o json");
    let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let found: Vec<_> = report["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| (value["object"].as_str().unwrap(), value["finding"].as_str().unwrap()))
        .collect();
    let expected = ["ns/both", "ns/classic", "ns/ours"].map(|object| (object, "opened"));
    assert_eq!(found, [&expected[..], &[("ns/unnamed", "unknown")]].concat());
    assert_eq!(report["otherIds"].as_array().unwrap().len(), 2);
    has(
        &scene.run("keys report repository --compromised key-a").fails(2),
        &["--compromised key-a: no key id, and no fingerprint"],
    );
}
