//! `doctor` without a cluster, and with one that refuses everything. Healthy and sick clusters are in the end-to-end tests.

use crate::cluster::{Cluster, api_server, refusal};
use crate::harness::{Done, Scene, has, key, secret};
use jiff::{SignedDuration, Timestamp};
use privyseal_keys::{Certificate, PublishedKeys, PublisherKey};
use privyseal_repo::KeyFile;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

const TRUST: &str = ".config/privyseal/trust.yaml";

fn key_file(publisher: &PublisherKey, time: Timestamp) -> String {
    let certificate = Certificate::from_pem(key().certificate.as_bytes()).unwrap();
    let list = PublishedKeys { serial: 7, time, keys: vec![certificate.into()], revoked: Vec::new() };
    KeyFile(list.publish(publisher)).to_text()
}

/// A repository with one cluster that is pinned.
fn repository() -> (Scene, PublisherKey) {
    let (scene, publisher) = (Scene::new(), PublisherKey::generate().unwrap());
    std::fs::create_dir(scene.path(".git")).unwrap();
    scene.file(
        ".privyseal.yaml",
        "version: 1\nclusters: {prod: {keys: keys/prod.keys}}\nrules: [{path: '**', for: [prod]}]\n",
    );
    scene.file("keys/prod.keys", key_file(&publisher, Timestamp::now()));
    scene.file("secret.yaml", secret(Some("ns"), Some("db")));
    let fingerprint = publisher.public_key().fingerprint();
    scene.run(&format!("seal secret.yaml --yes-trust {fingerprint}")).succeeds();
    (scene, publisher)
}

/// Each check that was made, with how it stands.
fn levels(done: &Done) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|finding| (text(&finding["check"]), text(&finding["level"]))).collect()
}

#[track_caller]
fn finds(scene: &Scene, arguments: &str, check: &str, level: &str, status: i32) -> Done {
    let done = scene.run(&format!("doctor -o json {arguments}")).done();
    let found = levels(&done);
    assert!(found.contains(&(check.to_owned(), level.to_owned())), "{check} {level}: {found:?}");
    assert_eq!(done.status, Some(status), "{}{}", done.stdout, done.stderr);
    done
}

#[test]
fn a_repository_as_it_should_be() {
    let (scene, _) = repository();
    let done = finds(&scene, "", "api-server", "skipped", 0);
    let names = ["configuration", "git-ignore", "trust-file", "trust-pin", "key-file", "key-file-age"];
    let ok: Vec<_> =
        levels(&done).into_iter().filter(|(_, level)| level == "ok").map(|(name, _)| name).collect();
    assert_eq!(ok[..6], names, "{}", done.stdout);
    // The test key lives an hour.
    assert_eq!(levels(&done)[6], ("key-file-key".to_owned(), "warning".to_owned()));

    // From a folder of it, as people read it.
    let done = scene.run("doctor keys").succeeds();
    assert_eq!(done.stderr, "");
    has(
        &done.stdout,
        &[
            "ok       configuration        ",
            ".privyseal.yaml: clusters prod\n",
            " -> name one with --context",
        ],
    );
    assert!(done.stdout.lines().all(|line| line.split_whitespace().count() > 3), "{}", done.stdout);
}

#[test]
fn without_anything_it_says_what_to_do_first() {
    let scene = Scene::new();
    let done = finds(&scene, "", "configuration", "warning", 0);
    has(&done.stdout, &["privyseal init"]);
}

#[test]
fn what_is_wrong_with_the_repository_is_a_problem() {
    let (scene, publisher) = repository();
    let config = scene.read(".privyseal.yaml");
    scene.file(".privyseal.yaml", config.replace("prod.keys}", "prod.keys, contxt: a}"));
    has(&finds(&scene, "", "configuration", "problem", 1).stdout, &[".privyseal.yaml:2:", "contxt"]);
    scene.file(".privyseal.yaml", &config);

    scene.file(".gitignore", "*.keys\n");
    has(&finds(&scene, "", "git-ignore", "problem", 1).stdout, &["keys/prod.keys"]);
    std::fs::remove_file(scene.path(".gitignore")).unwrap();

    let old = Timestamp::now() - SignedDuration::from_hours(24 * 60);
    scene.file("keys/prod.keys", key_file(&publisher, old));
    finds(&scene, "", "key-file-age", "warning", 0);
    scene.file("keys/prod.keys", key_file(&publisher, old).replace("\\\"serial\\\":7", "\\\"serial\\\":8"));
    has(&finds(&scene, "", "key-file", "problem", 1).stdout, &["signature"]);
    scene.file("keys/prod.keys", key_file(&PublisherKey::generate().unwrap(), old));
    has(
        &finds(&scene, "", "key-file", "problem", 1).stdout,
        &["somebody may be giving you a key of their own"],
    );
    std::fs::remove_file(scene.path("keys/prod.keys")).unwrap();
    finds(&scene, "", "key-file", "problem", 1);
}

#[test]
fn attack_a_trust_file_that_others_can_change() {
    let (scene, _) = repository();
    let trust = scene.home().join(TRUST);
    std::fs::set_permissions(&trust, std::fs::Permissions::from_mode(0o666)).unwrap();
    has(&finds(&scene, "", "trust-file", "problem", 1).stdout, &["mode 0666", "chmod 600"]);
    std::fs::copy(&trust, scene.path("trust.yaml")).unwrap();
    std::fs::set_permissions(scene.path("trust.yaml"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let inside = finds(&scene, "--trust trust.yaml", "trust-file", "problem", 1);
    has(&inside.stdout, &["lies in the repository"]);
    scene.file("empty/trust.yaml", "version: 1\n");
    finds(&scene, "--trust empty/trust.yaml", "trust-pin", "warning", 1);
    let elsewhere = Scene::new();
    elsewhere.file("trust.yaml", "version: 1\nclusters: 5\n");
    let broken = format!("--trust {}", elsewhere.path("trust.yaml").display());
    finds(&scene, &broken, "trust-file", "problem", 1);
}

#[test]
fn a_cluster_that_cannot_be_reached_is_status_3() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cluster = Cluster::new(closed);
    let done = finds(&cluster.scene, "--context prod --kubeconfig config", "api-server", "problem", 3);
    has(&done.stdout, &[&cluster.server, "Connection refused"]);
    assert!(!done.stdout.contains("canary") && !done.stderr.contains("canary"));
    finds(&cluster.scene, "--context none --kubeconfig config", "api-server", "problem", 1);
    finds(&cluster.scene, "--for prod", "api-server", "problem", 1);
}

#[test]
fn what_may_not_be_looked_at_is_skipped_and_says_which_right_is_missing() {
    let version = json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0\u{1b}", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
    let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let no = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {},
        "status": {"allowed": false}});
    let denied = || (403, refusal(403));
    let cluster = Cluster::new(api_server(BTreeMap::from([
        ("/version", (200, version.to_string())),
        (review, (201, no.to_string())),
        ("/api/v1/namespaces/privyseal/services/sealed-secrets-controller", denied()),
        ("/api/v1/namespaces/privyseal/configmaps/privyseal-sealing-keys", denied()),
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/sealedsecrets.bitnami.com", denied()),
        ("/apis/coordination.k8s.io/v1/namespaces/privyseal/leases/privyseal-controller", denied()),
        (
            "/apis/apps/v1/namespaces/privyseal/deployments?&labelSelector=app.kubernetes.io%2Fname%3Dprivyseal",
            denied(),
        ),
        ("/apis/apps/v1/deployments?&limit=500", denied()),
        ("/apis/bitnami.com/v1alpha1/sealedsecrets?&limit=500", denied()),
    ])));
    let done = finds(&cluster.scene, "--context prod --kubeconfig config", "lease", "skipped", 0);
    let skipped: Vec<_> =
        levels(&done).into_iter().filter(|(_, level)| level == "skipped").map(|(name, _)| name).collect();
    for check in
        ["service", "deployment", "lease", "other-controller", "definition", "published-list", "unsynced"]
    {
        assert!(skipped.contains(&check.to_owned()), "{check}: {}", done.stdout);
    }
    has(&done.stdout, &["you may not list secrets in namespace privyseal", "get customresourcedefinitions"]);
    assert!(!done.stdout.contains('\u{1b}'));
}
