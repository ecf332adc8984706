//! Controllers run with what their chart gives them. The peer's proves it, which none of us wrote.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use privyseal_tests::FaultProxy;
use privyseal_tests::controller::{Chart, Program};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::fault_proxy::Request;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use privyseal_tests::{network, objects, process, tools};
use serde_json::json;

fn peer() -> ControllerOptions {
    ControllerOptions::default().program(Program::Peer)
}

#[test]
fn the_peer_opens_what_its_kubeseal_sealed_through_its_service() {
    network::alone(async || {
        let control_plane = ControlPlane::start();
        let client = control_plane.client();
        let options = ReleaseOptions::default()
            .chart(Chart::Peer)
            .place("peer", "peers")
            .set("fullnameOverride=sealed-secrets-controller");
        let release = Release::install(&control_plane, options).await;
        assert_eq!(release.service_account(), "sealed-secrets-controller");
        let mut controller = Controller::start(&release, peer().reachable()).await;
        release.lead_to(&controller).await;

        // Its account is the chart's, with the chart's rights: it made a key.
        let certificate = controller.http("/v1/cert.pem").await;
        assert_eq!(certificate.header("content-type"), "application/x-pem-file");
        assert!(certificate.text().starts_with("-----BEGIN CERTIFICATE-----"), "{certificate:?}");

        let kubeseal = |input: &str, args: &[&str]| run_kubeseal(&control_plane, input, args);
        let fetched = eventually(PATIENCE, async || kubeseal("", &["--fetch-cert"])).await;
        assert_eq!(fetched, certificate.text());
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "some", "namespace": "default"}, "data": {"a": "Yg=="},
        });
        let sealed = kubeseal(&secret.to_string(), &[]).unwrap();
        objects::apply_yaml(&client, None, &sealed).await;
        objects::wait_for_secret(&client, "default", "some", &[("a", b"b")]).await;

        let opened = "sealed_secrets_controller_unseal_requests_total";
        assert!(controller.metrics().await.sum(opened, &[]) >= 1.0);
        assert!(controller.logs().contains("HTTP server serving"), "{}", controller.logs());

        // What is lost with the process is only the process.
        controller.kill();
        assert!(process::was_killed(controller.ended().unwrap()));
        controller.start_again().await;
        assert_eq!(controller.http("/v1/cert.pem").await.text(), certificate.text());
        let status = controller.stop();
        assert!(!process::was_killed(status), "{status}");
    });
}

fn run_kubeseal(control_plane: &ControlPlane, input: &str, args: &[&str]) -> Result<String, String> {
    use std::io::Write as _;
    let mut child = std::process::Command::new(tools::kubeseal())
        .args(["--controller-namespace", "peers", "-o", "yaml"])
        .args(args)
        .env("KUBECONFIG", control_plane.kubeconfig())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Without a right that the chart gives, it does not come to what needs the right.
#[tokio::test]
async fn a_right_less_is_a_right_less() {
    let control_plane = ControlPlane::start();
    let options = ReleaseOptions::default().chart(Chart::Peer);
    let mut left_out = 0;
    let release = Release::install_edited(&control_plane, options, |objects| {
        for object in objects.iter_mut().filter(|object| object["kind"] == "Role") {
            let rules = object["rules"].as_array_mut().unwrap();
            let before = rules.len();
            rules.retain(|rule| rule["resources"] != json!(["secrets"]));
            left_out += before - rules.len();
        }
        // It may create Secrets everywhere by another rule.
        objects.retain(|object| object["kind"] != "ClusterRoleBinding");
    })
    .await;
    assert!(left_out > 0);
    let proxy = FaultProxy::start(control_plane.kubeconfig());
    let mut controller = Controller::launch(&release, peer().through(&proxy)).await;
    let ended = eventually(PATIENCE, async || controller.ended().ok_or("it runs")).await;
    assert!(!ended.success());
    assert!(controller.logs().contains("forbidden"), "{}", controller.logs());
    let requests = proxy.requests();
    let forbidden = |request: &Request| request.status == Some(403) && request.call.ends_with(" secrets");
    assert!(requests.iter().any(forbidden), "{requests:#?}");
}

/// A program in the place of a controller, which tells who it is and what it was given.
#[tokio::test]
async fn a_controller_is_the_charts_account_with_the_charts_flags() {
    let control_plane = ControlPlane::shared();
    // Another test of this binary has a definition of its own on the shared one.
    let options = ReleaseOptions::default().chart(Chart::Peer).without_crds().set("keyttl=9h");
    let release = Release::install(&control_plane, options).await;

    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("tell");
    let text = format!(
        "#!/bin/sh\necho \"args $*\"\necho \"pod $POD_NAMESPACE $POD_NAME $EXTRA\"\nexec {} kubectl auth whoami {WHO}\n",
        tools::control_plane().display(),
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();

    let tell = ControllerOptions::default()
        .program(Program::At(script))
        .pod_name("pod-a")
        .arg("--more")
        .env("EXTRA", "extra");
    for options in [tell.clone(), tell.in_cluster()] {
        let mut controller = Controller::launch(&release, options).await;
        let status = eventually(PATIENCE, async || controller.ended().ok_or("it runs")).await;
        let log = controller.logs();
        assert!(status.success(), "{status}: {log}");
        let namespace = release.namespace();
        assert!(log.contains(&format!("\npod {namespace} pod-a extra\n")), "{log}");
        let user = format!("\nsystem:serviceaccount:{namespace}:{}", release.service_account());
        assert!(log.contains(&user), "{log}");

        let args = log.lines().next().unwrap();
        assert_eq!(args.matches("--listen-addr").count(), 1, "{args}");
        assert_eq!(args.matches("--listen-metrics-addr").count(), 1, "{args}");
        for wanted in [
            "--key-ttl 9h".to_owned(),
            format!("--listen-addr=127.0.0.1:{}", controller.port()),
            format!("--listen-metrics-addr=127.0.0.1:{}", controller.metrics_port()),
            "--key-size=2048 --more".to_owned(),
        ] {
            assert!(args.contains(&wanted), "{wanted}: {args}");
        }
    }
    let deployment = release.objects().iter().find(|object| object["kind"] == "Deployment").unwrap();
    assert_eq!(deployment["spec"]["replicas"], 0);
}

const WHO: &str = "-o=jsonpath={.status.userInfo.username}";

#[test]
fn what_fails_in_a_network_of_its_own_fails() {
    let fail = || {
        network::alone(async || {
            // Nobody has this address outside.
            TcpListener::bind((network::ADDRESS, 0)).unwrap();
            panic!("inside");
        });
    };
    if std::env::var_os("PRIVYSEAL_TEST_NETWORK").is_some() {
        return fail();
    }
    assert!(TcpListener::bind((network::ADDRESS, 0)).is_err());
    let panic = std::panic::catch_unwind(fail).unwrap_err();
    let message = panic.downcast::<String>().unwrap();
    assert!(message.contains("inside") && message.contains("1 failed"), "{message}");
}
