//! `--context`: which certificate a cluster gives. The API server is canned here; the end-to-end tests have a real one.

use crate::harness::{Done, Scene, expired_key, has, key, other_key, secret};
use jiff::Timestamp;
use privyseal_keys::{Certificate, PublicHalf, PublishedKeys, PublisherKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

const CONFIG_MAP: &str = "/api/v1/namespaces/privyseal/configmaps/privyseal-sealing-keys";
const SERVICE: &str = "/api/v1/namespaces/kube-system/services/sealed-secrets-controller";
const CERTIFICATE: &str =
    "/api/v1/namespaces/kube-system/services/http:sealed-secrets-controller:http/proxy/v1/cert.pem";
const TOKEN: &str = "canary-token-of-the-kubeconfig";

/// Answers each path with a status and a body; other paths with 404.
pub(crate) fn api_server(answers: BTreeMap<&'static str, (u16, String)>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
            // What is left unread would break the connection before the answer is through.
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let _ = std::io::copy(&mut reader.by_ref().take(length.unwrap_or(0)), &mut std::io::sink());
            let path = head.split_whitespace().nth(1).unwrap_or_default().trim_end_matches('?');
            let (status, body) = answers.get(path).cloned().unwrap_or_else(|| (404, refusal(404)));
            let head =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = reader.get_mut().write_all((head + &body).as_bytes());
        }
    });
    port
}

pub(crate) fn refusal(code: u16) -> String {
    let reason = if code == 404 { "NotFound" } else { "Other" };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "refused", "reason": reason, "code": code})
        .to_string()
}

/// The list of these keys, each a certificate, with or without recipients beside it.
pub(crate) fn published(keys: &[&str], revoked: &[&str]) -> (Value, String) {
    let certificate = |pem: &&str| Certificate::from_pem(pem.as_bytes()).unwrap();
    let list = PublishedKeys {
        serial: 7,
        time: Timestamp::now(),
        keys: keys.iter().map(|text| PublicHalf::from_text(text.as_bytes()).unwrap()).collect(),
        revoked: revoked.iter().map(|pem| certificate(pem).fingerprint()).collect(),
    };
    let publisher = PublisherKey::generate().unwrap();
    let published = list.publish(&publisher);
    let config_map = privyseal_custody::published::to_config_map("privyseal", &published, None);
    (serde_json::to_value(config_map).unwrap(), publisher.public_key().fingerprint().to_string())
}

fn service() -> String {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sealed-secrets-controller"},
           "spec": {"ports": [{"name": "http", "port": 8080}, {"name": "metrics", "port": 8081}]}})
    .to_string()
}

pub(crate) struct Cluster {
    pub(crate) scene: Scene,
    pub(crate) server: String,
}

impl Cluster {
    pub(crate) fn new(port: u16) -> Self {
        let scene = Scene::new();
        let server = format!("http://127.0.0.1:{port}");
        scene.file(
            "config",
            format!(
                "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{server: \"{server}\"}}\ncontexts:\n- name: \
                 prod\n  context: {{cluster: c, user: u}}\nusers:\n- name: u\n  user: {{token: {TOKEN}}}\n"
            ),
        );
        Self { scene, server }
    }

    fn run(&self, arguments: &str) -> Done {
        let secret = secret(Some("ns"), Some("a"));
        let done = self.scene.run(&format!("{arguments} --kubeconfig config")).stdin(secret).done();
        assert!(!done.stderr.contains("canary"), "{}", done.stderr);
        done
    }

    fn fails(&self, arguments: &str, status: i32) -> String {
        let secret = secret(Some("ns"), Some("a"));
        self.scene.run(&format!("{arguments} --kubeconfig config")).stdin(secret).fails(status)
    }
}

#[test]
fn the_signed_list_gives_its_newest_usable_key() {
    let (config_map, publisher) = published(
        &[&expired_key().certificate, &other_key().certificate, &key().certificate],
        &[&other_key().certificate],
    );
    let cluster = Cluster::new(api_server(BTreeMap::from([(CONFIG_MAP, (200, config_map.to_string()))])));
    let done = cluster.run("keys fetch --context prod");
    assert_eq!(done.stdout, key().certificate, "{}", done.stderr);
    has(&done.stderr, &[&cluster.server, &publisher, &key().fingerprint, "list 7 of"]);
    let done = cluster.run("seal --context prod");
    has(&done.stdout, &["kind: SealedSecret"]);
    has(&done.stderr, &[&cluster.server, &publisher, &key().fingerprint]);
}

#[test]
fn a_list_that_does_not_fit_its_signature_is_refused() {
    let (mut config_map, _) = published(&[&key().certificate], &[]);
    let list = &mut config_map["data"]["sealing-keys.json"];
    *list = list.as_str().unwrap().replace("\"serial\":7", "\"serial\":8").into();
    let cluster = Cluster::new(api_server(BTreeMap::from([
        (CONFIG_MAP, (200, config_map.to_string())),
        (SERVICE, (200, service())),
        (CERTIFICATE, (200, key().certificate.clone())),
    ])));
    has(&cluster.fails("keys fetch --context prod", 1), &["the publisher's signature does not fit"]);
    let (config_map, _) = published(&[&expired_key().certificate], &[]);
    let cluster = Cluster::new(api_server(BTreeMap::from([(CONFIG_MAP, (200, config_map.to_string()))])));
    has(&cluster.fails("keys fetch --context prod", 1), &["no key of the list may seal now"]);
}

#[test]
fn the_peers_controller_is_asked_where_nothing_is_published() {
    for refused in [403, 404] {
        let cluster = Cluster::new(api_server(BTreeMap::from([
            (CONFIG_MAP, (refused, refusal(refused))),
            (SERVICE, (200, service())),
            (CERTIFICATE, (200, key().certificate.clone())),
        ])));
        let done = cluster.run("keys fetch --context prod");
        assert_eq!(done.stdout, key().certificate, "{}", done.stderr);
        has(
            &done.stderr,
            &["kube-system/sealed-secrets-controller", "without a signature", &key().fingerprint],
        );
    }
    let cluster = Cluster::new(api_server(BTreeMap::new()));
    has(&cluster.fails("keys fetch --context prod", 1), &["answered 404", "hint: name the controller"]);
}

#[test]
fn names_of_the_controller_are_taken_from_the_command_line() {
    let service_path = "/api/v1/namespaces/ops/services/sealer";
    let proxy = "/api/v1/namespaces/ops/services/http:sealer:http/proxy/v1/cert.pem";
    let cluster = Cluster::new(api_server(BTreeMap::from([
        (service_path, (200, service())),
        (proxy, (200, key().certificate.clone())),
    ])));
    let done = cluster.run("keys fetch --context prod --controller-namespace ops --controller-name sealer");
    assert_eq!(done.stdout, key().certificate, "{}", done.stderr);
}

#[test]
fn what_does_not_answer_is_status_3() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cluster = Cluster::new(closed);
    for command in ["keys fetch --context prod", "seal --context prod"] {
        has(&cluster.fails(command, 3), &[&cluster.server, "Connection refused"]);
    }
    for status in [429, 500, 503] {
        let cluster = Cluster::new(api_server(BTreeMap::from([(CONFIG_MAP, (status, refusal(status)))])));
        has(&cluster.fails("keys fetch --context prod", 3), &["answered"]);
    }
    let cluster = Cluster::new(api_server(BTreeMap::from([(CONFIG_MAP, (401, refusal(401)))])));
    has(&cluster.fails("keys fetch --context prod", 1), &["answered 401", "hint: log in"]);
    let cluster = Cluster::new(api_server(BTreeMap::from([(CONFIG_MAP, (200, "canary".to_owned()))])));
    has(&cluster.fails("keys fetch --context prod", 1), &["not what an API server gives"]);
}

#[test]
fn a_bad_input_is_told_before_the_cluster_is_asked() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cluster = Cluster::new(closed);
    let run = cluster.scene.run("seal --context prod --kubeconfig config").stdin(secret(None, None));
    // Its name is missing, but that is for sealing to notice; a ConfigMap is noticed first.
    run.fails(3);
    let run = cluster.scene.run("seal --context prod --kubeconfig config");
    has(&run.stdin("apiVersion: v1\nkind: ConfigMap\n").fails(2), &["found ConfigMap"]);
}

#[test]
fn kubeconfigs_that_cannot_be_used_show_no_token() {
    let cluster = Cluster::new(9);
    has(&cluster.fails("keys fetch --context dev", 2), &["the kubeconfig has no context dev"]);
    let scene = &cluster.scene;
    for broken in [
        format!("users: [{{token: {TOKEN}\n"),
        format!("users:\n- name: u\n  user: {{token: [{TOKEN}]}}\n"),
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{server: \"http://a\", certificate-authority-data: \"{TOKEN}\"}}\ncontexts:\n- {{name: prod, context: {{cluster: c, user: u}}}}\nusers:\n- {{name: u, user: {{}}}}\n"
        ),
    ] {
        scene.file("config", broken);
        cluster.fails("keys fetch --context prod", 2);
    }
    scene.file("plugin", format!("#!/bin/sh\necho {TOKEN}\necho {TOKEN} >&2\nexit 1\n"));
    std::fs::set_permissions(scene.path("plugin"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let config = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{server: \"http://127.0.0.1:9\"}}\ncontexts:\n- name: \
         prod\n  context: {{cluster: c, user: u}}\nusers:\n- name: u\n  user:\n    exec: {{apiVersion: \
         client.authentication.k8s.io/v1, command: {}, interactiveMode: Never}}\n",
        scene.path("plugin").display()
    );
    scene.file("config", config);
    has(&cluster.fails("keys fetch --context prod", 1), &["no credentials for the cluster"]);
}

#[test]
fn init_writes_what_seal_then_goes_by() {
    let (config_map, publisher) = published(&[&key().certificate], &[]);
    let cluster = Cluster::new(api_server(BTreeMap::from([(CONFIG_MAP, (200, config_map.to_string()))])));
    let scene = &cluster.scene;
    std::fs::create_dir_all(scene.path(".git")).unwrap();
    let nothing = scene.names();
    has(&cluster.fails("init --context prod", 1), &[&publisher, "clusters.prod is not in"]);
    assert_eq!(scene.names(), nothing);
    let trusted = format!("init --context prod --yes-trust {publisher}");
    has(&cluster.fails(&format!("{trusted} --path ["), 2), &["--path: "]);
    let done = cluster.run(&trusted);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    has(&done.stderr, &["commit .privyseal.yaml and .privyseal/prod.keys"]);
    has(
        &scene.read(".privyseal.yaml"),
        &["keys: .privyseal/prod.keys", "context: \"prod\"", "- path: \"**\""],
    );

    // Without the cluster, and from any folder below.
    let sealed = scene.run("seal secret.yaml");
    scene.file("secret.yaml", secret(Some("ns"), Some("a")));
    has(&sealed.succeeds().stdout, &[&key().key_id]);
    has(&cluster.fails(&trusted, 1), &["there is a configuration already"]);
    has(&cluster.fails("init", 2), &["no cluster is given"]);
    has(
        &cluster.fails("init --context a/b", 2),
        &["a/b: not the name of a cluster", "hint: give a shorter one"],
    );
}

#[test]
fn init_takes_a_certificate_where_nothing_is_published() {
    let cluster = Cluster::new(api_server(BTreeMap::from([
        (SERVICE, (200, service())),
        (CERTIFICATE, (200, key().certificate.clone())),
    ])));
    let done = cluster.run(&format!("init --context prod --name old --yes-trust {}", key().fingerprint));
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    assert_eq!(cluster.scene.read(".privyseal/old.pem"), key().certificate);
    has(&cluster.scene.read(".privyseal.yaml"), &["\"old\":", "certificate: .privyseal/old.pem"]);
    cluster.scene.file("secret.yaml", secret(Some("ns"), Some("a")));
    cluster.scene.run("seal secret.yaml").succeeds();
}

#[test]
fn another_cluster_under_the_same_context_is_noticed() {
    let answers = |publisher: Value| BTreeMap::from([(CONFIG_MAP, (200, publisher.to_string()))]);
    let first = Cluster::new(api_server(answers(published(&[&key().certificate], &[]).0)));
    assert_eq!(first.run("seal --context prod").status, Some(0));
    let other = Cluster::new(api_server(answers(published(&[&other_key().certificate], &[]).0)));
    std::fs::copy(other.scene.path("config"), first.scene.path("config")).unwrap();
    has(&first.fails("seal --context prod", 1), &["contexts.prod has publisher", "is trusted"]);
}

#[test]
fn attack_a_configuration_that_names_another_context() {
    let answers = |publisher: Value| BTreeMap::from([(CONFIG_MAP, (200, publisher.to_string()))]);
    let (config_map, publisher) = published(&[&key().certificate], &[]);
    let cluster = Cluster::new(api_server(answers(config_map)));
    let other = api_server(answers(published(&[&other_key().certificate], &[]).0));
    let scene = &cluster.scene;
    // The user may ask both clusters; which of them `prod` is, the trust file says.
    let kubeconfig = scene.read("config").replace(
        "contexts:\n",
        &format!(
            "- name: o\n  cluster: {{server: \"http://127.0.0.1:{other}\"}}\ncontexts:\n- name: other\n  context: {{cluster: o, \
             user: u}}\n"
        ),
    );
    scene.file("config", kubeconfig);
    let config = "version: 1\nclusters: {prod: {context: prod}}\nrules: [{path: '**', for: [prod]}]\n";
    scene.file(".privyseal.yaml", config);
    scene.file("secret.yaml", secret(Some("ns"), Some("a")));
    let done = cluster.run(&format!("seal secret.yaml --yes-trust {publisher}"));
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    scene.file(".privyseal.yaml", config.replace("context: prod", "context: other"));
    has(&cluster.fails("seal secret.yaml", 1), &["clusters.prod has publisher", "is trusted"]);
    scene.file(".privyseal.yaml", config.replace("context: prod", "context: none"));
    has(&cluster.fails("seal secret.yaml", 2), &["the kubeconfig has no context none"]);
}
