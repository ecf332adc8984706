//! The control plane keeps its data, rights are real, and nothing is left behind.

use std::path::Path;
use std::time::Instant;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ListParams, PostParams};
use kube::config::Kubeconfig;
use kube::{Client, Error};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::{ControlPlane, FaultProxy, objects};
use serde_json::json;

async fn make_config_map(client: &Client, namespace: &str, name: &str) {
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}});
    objects::apply(client, Some(namespace), &map).await;
}

/// The administrator's certificate is a new one at each start, of the same CA.
fn server_and_ca(control_plane: &ControlPlane) -> (String, String) {
    let config = Kubeconfig::read_from(control_plane.kubeconfig()).unwrap();
    let cluster = config.clusters[0].cluster.clone().unwrap();
    (cluster.server.unwrap(), cluster.certificate_authority_data.unwrap())
}

#[tokio::test]
async fn it_keeps_data_address_and_tokens_over_stop_and_kill() {
    let began = Instant::now();
    let mut control_plane = ControlPlane::start();
    println!("start: {:.1?}", began.elapsed());

    let namespace = control_plane.namespace("kept").await;
    make_config_map(&control_plane.client(), &namespace, "before").await;
    let account = control_plane.client_as(&namespace, "default").await;
    let proxy = FaultProxy::start(control_plane.kubeconfig());
    let through: Api<ConfigMap> = Api::namespaced(proxy.admin_client(&control_plane).await, &namespace);
    let server = server_and_ca(&control_plane);

    for (name, kill) in [("stop", false), ("kill", true)] {
        let began = Instant::now();
        if kill {
            control_plane.kill();
        } else {
            control_plane.stop();
        }
        println!("{name}: {:.1?}", began.elapsed());
        let maps: Api<ConfigMap> = Api::namespaced(control_plane.client(), &namespace);
        assert!(maps.get("before").await.is_err(), "{name}: it still answers");
        assert!(through.get("before").await.is_err(), "{name}: the proxy answers for it");

        let began = Instant::now();
        control_plane.resume();
        println!("start after {name}: {:.1?}", began.elapsed());
        let found = maps.get("before").await.unwrap();
        assert_eq!(found.data.unwrap()["a"], "b");
        assert_eq!(server_and_ca(&control_plane), server, "{name}");
        through.get("before").await.unwrap();
        // The token of before is still good: the keys are the same.
        let maps: Api<ConfigMap> = Api::namespaced(account.clone(), &namespace);
        let refused = maps.get("before").await.unwrap_err();
        assert!(matches!(&refused, Error::Api(status) if status.code == 403), "{name}: {refused}");
    }

    let data = control_plane.data_dir();
    assert!(data.exists() && !control_plane.log().is_empty());
    drop(control_plane);
    assert!(!data.exists(), "it leaves {}", data.display());
}

#[tokio::test]
async fn a_service_account_has_its_rights_and_no_others() {
    let control_plane = ControlPlane::shared();
    let admin = control_plane.client();
    let namespace = control_plane.namespace("rights").await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    });
    objects::apply(&admin, Some(&namespace), &role).await;
    objects::apply(&admin, Some(&namespace), &binding).await;
    make_config_map(&admin, &namespace, "map").await;

    let account = control_plane.client_as(&namespace, "default").await;
    let maps: Api<ConfigMap> = Api::namespaced(account.clone(), &namespace);
    eventually(PATIENCE, async || maps.get("map").await.map(drop)).await;
    let secrets: Api<Secret> = Api::namespaced(account, &namespace);
    let refused = secrets.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, Error::Api(status) if status.code == 403), "{refused}");
}

#[tokio::test]
async fn kubectl_is_the_administrator() {
    let control_plane = ControlPlane::shared();
    let namespace = control_plane.namespace("kubectl").await;
    let manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: piped}, data: {a: b}}";
    let applied =
        control_plane.kubectl_ok(&["-n", &namespace, "apply", "--server-side", "-f", "-"], manifest);
    assert_eq!(applied.trim(), "configmap/piped serverside-applied");
    let missing = control_plane.kubectl(&["-n", &namespace, "get", "configmap", "missing"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("NotFound"));
}

#[tokio::test]
async fn the_shared_one_is_one_and_namespaces_differ() {
    let (one, other) = (ControlPlane::shared(), ControlPlane::shared());
    assert_eq!(one.kubeconfig(), other.kubeconfig());
    let namespaces = (one.namespace("same").await, other.namespace("same").await);
    assert_ne!(namespaces.0, namespaces.1);
    // A namespace that was taken is not handed out a second time.
    let again = serde_json::from_value(json!({"metadata": {"name": namespaces.0}})).unwrap();
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(one.client());
    let conflict = api.create(&PostParams::default(), &again).await.unwrap_err();
    assert!(matches!(&conflict, Error::Api(status) if status.code == 409), "{conflict}");
}

/// A test binary that is killed takes its control plane with it: this test runs itself in a second process, kills
/// that, and looks for what is left.
#[test]
fn nothing_is_left_of_a_test_binary_that_is_killed() {
    const CHILD: &str = "PRIVYSEAL_TEST_LEFT_BEHIND";
    const NAME: &str = "control_plane::nothing_is_left_of_a_test_binary_that_is_killed";
    if std::env::var_os(CHILD).is_some() {
        let control_plane = ControlPlane::shared();
        println!("\ndata {}", control_plane.data_dir().display());
        loop {
            std::thread::park();
        }
    }

    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let data = lines
        .filter_map(|line| line.strip_prefix("data ").map(str::to_owned))
        .next()
        .expect("the second process starts a control plane");
    let data = Path::new(&data);
    assert!(data.join("kubeconfig").exists());
    let processes = || {
        let commands = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path().join("cmdline")).ok());
        commands.filter(|command| command.contains(&*data.to_string_lossy())).count()
    };
    assert_eq!(processes(), 1);

    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while processes() > 0 || data.exists() {
        assert!(
            Instant::now() < deadline,
            "{} processes, {} exists: {}",
            processes(),
            data.display(),
            data.exists()
        );
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
