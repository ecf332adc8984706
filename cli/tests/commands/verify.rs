//! `verify`: what the controller's answers become. The API server is canned here; the end-to-end tests have real ones.

use crate::cluster::{Cluster, api_server, published, refusal};
use crate::harness::{Done, has, joined, key, other_key, recipients, seal_age, secret};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;

const SERVICE: &str = "/api/v1/namespaces/ops/services/sealer";
const VERIFY: &str = "/api/v1/namespaces/ops/services/http:sealer:http/proxy/v1/verify";
const CONFIG_MAP: &str = "/api/v1/namespaces/ops/configmaps/privyseal-sealing-keys";
const OPTIONS: &str =
    "--context prod --kubeconfig config --controller-namespace ops --controller-name sealer";

/// A cluster whose controller gives this answer, and `sealed.yaml` with ns/db. It publishes another key.
fn cluster(status: u16, answer: &str) -> Cluster {
    let published = published(&[&other_key().certificate], &[]).0;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sealer"},
        "spec": {"ports": [{"name": "http", "port": 8080}]}});
    let cluster = Cluster::new(api_server(BTreeMap::from([
        (SERVICE, (200, service.to_string())),
        (CONFIG_MAP, (200, published.to_string())),
        (VERIFY, (status, answer.to_owned())),
    ])));
    cluster.scene.seal(&secret(Some("ns"), Some("db")));
    cluster
}

fn verify(cluster: &Cluster, arguments: &str) -> Done {
    cluster.scene.run(&format!("verify {arguments} {OPTIONS}")).done()
}

fn opened() -> String {
    json!({"openedWith": {"password": key().key_id}}).to_string()
}

#[test]
fn what_opens_is_told_with_the_key_of_each_item() {
    let cluster = cluster(200, &opened());
    let done = verify(&cluster, "sealed.yaml");
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    assert_eq!(done.stdout, format!("sealed.yaml:1: ns/db: opens: password with {}\n", key().key_id));

    let done = verify(&cluster, ". -o json");
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    let object = &report["objects"][0];
    assert_eq!((&object["opens"], &object["line"]), (&json!(true), &json!(1)));
    assert_eq!(object["openedWith"], json!({"password": key().key_id}));
}

#[test]
fn both_formats_are_asked_about_and_told_by_the_key_of_the_cluster() {
    let keys = json!({"openedWith": {"password": key().key_id, "token": key().key_id}});
    let cluster = cluster(200, &keys.to_string());
    let token = secret(Some("ns"), Some("db")).replace("password", "token");
    let age = seal_age(&token, &recipients([&key().hybrid]));
    cluster.scene.file("sealed.yaml", joined(&cluster.scene.read("sealed.yaml"), &age));
    let done = verify(&cluster, "sealed.yaml");
    let id = &key().key_id;
    assert_eq!(done.stdout, format!("sealed.yaml:1: ns/db: opens: password with {id}, token with {id}\n"));
}

#[test]
fn what_does_not_open_is_status_1_with_what_to_check() {
    let cluster = cluster(409, "");
    let done = verify(&cluster, "sealed.yaml");
    assert_eq!((done.status, done.stdout.as_str()), (Some(1), "sealed.yaml:1: ns/db: does not open\n"));
    done.assert_speaks_well();
    has(
        &done.stderr,
        &["error: 1 of 1 SealedSecrets do not open", "hint: compare namespace, name and scope", "keys list"],
    );
    assert!(!done.stderr.contains("has not") && !done.stderr.contains("kustomization"), "{}", done.stderr);

    // The most usual cause has a hint of its own.
    let text = cluster
        .scene
        .read("sealed.yaml")
        .replace("\n  namespace: ns\n", "\n")
        .replace("\n      namespace: ns\n", "\n");
    cluster.scene.file("bare.yaml", text);
    let done = verify(&cluster, "bare.yaml");
    assert_eq!(done.status, Some(1));
    has(&done.stderr, &["kustomization"]);
}

#[test]
fn the_peers_controller_names_no_keys_and_reseal_does_not_take_that_for_knowledge() {
    let cluster = cluster(200, "");
    let done = verify(&cluster, "sealed.yaml");
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    has(&done.stdout, &["ns/db: opens; the controller does not say with which keys"]);
    let report: Value = serde_json::from_str(&verify(&cluster, "sealed.yaml -o json").stdout).unwrap();
    assert_eq!(
        (&report["objects"][0]["opens"], &report["objects"][0]["openedWith"]),
        (&json!(true), &Value::Null)
    );

    let before = cluster.scene.read("sealed.yaml");
    let error = cluster.scene.run(&format!("reseal sealed.yaml {OPTIONS}")).fails(1);
    has(&error, &["the answer is not one of our controller", "nothing was written"]);
    assert_eq!(cluster.scene.read("sealed.yaml"), before);
}

#[test]
fn stdin_is_verified_and_nothing_at_all_is_no_success_in_silence() {
    let cluster = cluster(200, &opened());
    let sealed = cluster.scene.read("sealed.yaml");
    let run = || cluster.scene.run(&format!("verify - {OPTIONS}"));
    has(&run().stdin(&sealed).succeeds().stdout, &["-:1: ns/db: opens: password with "]);
    has(&run().stdin("kind: ConfigMap\n").fails(2), &["there is no SealedSecret in it"]);
    std::fs::create_dir(cluster.scene.path("empty")).unwrap();
    let done = verify(&cluster, "empty");
    assert_eq!((done.status, done.stdout.as_str()), (Some(0), ""));
    has(&done.stderr, &["warning: there is no SealedSecret"]);
}

#[test]
fn attack_an_answer_that_names_a_key_for_something_else() {
    // Whoever is in the controller's place can say anything; nothing of it may move a terminal.
    let forged = json!({"openedWith": {"a\u{1b}[2J": key().key_id}}).to_string();
    for answer in [&forged, "{\"openedWith\": {\"password\": \"canary\"}}", "{\"openedWith\": {}}", "canary"]
    {
        let done = verify(&cluster(200, answer), "sealed.yaml");
        assert_eq!((done.status, done.stdout.as_str()), (Some(1), "sealed.yaml:1: ns/db: not judged\n"));
        has(&done.stderr, &["the answer is not one of our controller"]);
        done.assert_speaks_well();
    }
}

#[test]
fn one_reason_is_told_once_however_many_objects_it_held_up() {
    let cluster = cluster(403, &refusal(403));
    cluster.scene.file("tree/a.yaml", cluster.scene.read("sealed.yaml"));
    cluster.scene.file("tree/b.yaml", cluster.scene.read("sealed.yaml"));
    let done = verify(&cluster, "tree");
    assert_eq!((done.status, done.stdout.lines().count()), (Some(1), 2));
    assert_eq!(done.stderr.matches("error:").count(), 1, "{}", done.stderr);
    has(&done.stderr, &["ns/db and 1 more: ", "answered 403", "rbac.resealer.subjects"]);
}

#[test]
fn status_2_is_a_file_and_3_the_cluster() {
    let cluster = cluster(200, &opened());
    let done = verify(&cluster, "sealed.yaml missing.yaml");
    assert_eq!((done.status, done.stdout.lines().count()), (Some(2), 1), "{}", done.stderr);
    has(&cluster.scene.run("verify sealed.yaml").fails(2), &["no cluster is given"]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cluster = Cluster::new(closed);
    cluster.scene.seal(&secret(Some("ns"), Some("db")));
    let done = verify(&cluster, "sealed.yaml");
    assert_eq!((done.status, done.stdout.as_str()), (Some(3), ""), "{}", done.stderr);
    // Not one line for each of a thousand objects: nothing is known of any.
    let done = verify(&self::cluster(500, &refusal(500)), "sealed.yaml");
    assert_eq!((done.status, done.stdout.as_str()), (Some(3), ""), "{}", done.stderr);
}

#[test]
fn with_for_the_files_of_other_clusters_are_left_out() {
    let cluster = cluster(200, &opened());
    let scene = &cluster.scene;
    std::fs::create_dir(scene.path(".git")).unwrap();
    scene.file(
        ".privyseal.yaml",
        "version: 1\nclusters:\n  prod: {context: prod, controllerNamespace: ops, controllerName: sealer}\n  dev: {context: \
         dev}\nrules:\n  - {path: 'dev/**', for: [dev]}\n",
    );
    scene.file("dev/a.yaml", scene.read("sealed.yaml"));
    // The repository names the cluster, so somebody has to decide that it is the one.
    let refused = scene.run("verify --for prod --kubeconfig config .").done();
    assert_eq!((refused.status, refused.stdout.as_str()), (Some(1), ""));
    let (_, yes) = refused.stderr.split_once("add `").unwrap();
    let (yes, _) = yes.split_once('`').unwrap();
    let done = scene.run(&format!("verify --for prod --kubeconfig config . {yes}")).done();
    assert_eq!((done.status, done.stdout.lines().count()), (Some(0), 1), "{}", done.stderr);
    has(&done.stdout, &["sealed.yaml:1: ns/db: opens"]);
    has(&done.stderr, &["1 files are left out"]);
}
