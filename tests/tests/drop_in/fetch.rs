//! `privyseal keys fetch` and `kubeseal`, each through the API server to the other's controller.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use privyseal_tests::controller::{Chart, Program};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, wait_for_secret};
use privyseal_tests::sealing::{privyseal_command, run};
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions, network, tools};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A kubeconfig of somebody without any right but that of everybody.
async fn somebody(control_plane: &ControlPlane) -> PathBuf {
    let accounts: Api<ServiceAccount> = Api::namespaced(control_plane.client(), "default");
    let account = serde_json::from_value(json!({"metadata": {"name": "somebody"}})).unwrap();
    accounts.create(&Default::default(), &account).await.unwrap();
    control_plane.kubeconfig_for("default", "somebody").await
}

/// As somebody in the cluster; the harness' kubeconfigs have one context.
fn privyseal(kubeconfig: &Path, args: &[&str], input: &str) -> Output {
    let mut command = privyseal_command();
    command.args(args).args(["--context", "it", "--kubeconfig"]).arg(kubeconfig);
    run(&mut command, input)
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeded(output: Output) -> Result<Output, String> {
    if output.status.success() { Ok(output) } else { Err(told(&output)) }
}

#[test]
fn where_only_the_peer_runs_its_certificate_is_fetched_through_its_service() {
    network::alone(async || {
        let control_plane = ControlPlane::start();
        let client = control_plane.client();
        // Where its manifests put it, and so where it is looked for.
        let name = "sealed-secrets-controller";
        let options = ReleaseOptions::default().chart(Chart::Peer).place("peer", "kube-system");
        let release =
            Release::install(&control_plane, options.set(&format!("fullnameOverride={name}"))).await;
        let peer = ControllerOptions::default().program(Program::Peer).reachable();
        let mut peer = Controller::start(&release, peer).await;
        release.lead_to(&peer).await;
        let kubeconfig = somebody(&control_plane).await;

        let fetch = async || succeeded(privyseal(&kubeconfig, &["keys", "fetch"], ""));
        let fetched = eventually(PATIENCE, fetch).await;
        let served = peer.http("/v1/cert.pem").await.text();
        assert_eq!(String::from_utf8_lossy(&fetched.stdout), served);
        let said = told(&fetched);
        // Whoever takes it has to know that nobody signed it.
        for part in ["privyseal-sealing-keys is not there", "without a signature", "SHA256:"] {
            assert!(said.contains(part), "{part}: {said}");
        }

        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "db", "namespace": "default"}, "stringData": {"a": "1"},
        });
        let sealed = privyseal(&kubeconfig, &["seal"], &secret.to_string());
        let sealed = succeeded(sealed).unwrap();
        objects::apply_yaml(&client, None, &String::from_utf8(sealed.stdout).unwrap()).await;
        wait_for_secret(&client, "default", "db", &[("a", b"1")]).await;

        // A Service that is not there, and one with nobody behind it.
        let nobody = privyseal(&kubeconfig, &["keys", "fetch", "--controller-name", "nobody"], "");
        assert_eq!(nobody.status.code(), Some(1), "{}", told(&nobody));
        assert!(told(&nobody).contains("--controller-name"), "{}", told(&nobody));
        peer.stop();
        let down = privyseal(&kubeconfig, &["keys", "fetch"], "");
        assert_eq!((down.status.code(), down.stdout.as_slice()), (Some(3), &b""[..]), "{}", told(&down));
    });
}

#[test]
fn kubeseal_fetches_ours_through_our_service() {
    network::alone(async || {
        let control_plane = ControlPlane::start();
        let release = Release::install(&control_plane, ReleaseOptions::default().place("ours", "ours")).await;
        let controller = Controller::start(&release, ControllerOptions::default().reachable()).await;
        release.lead_to(&controller).await;
        let kubeconfig = somebody(&control_plane).await;
        let service = release.objects().iter().find(|object| {
            object["kind"] == "Service" && object["spec"]["ports"][0]["name"].as_str() == Some("http")
        });
        let service = service.unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
        let fetch = async || {
            let mut kubeseal = Command::new(tools::kubeseal());
            kubeseal.args(["--fetch-cert", "--controller-namespace", "ours", "--controller-name", &service]);
            succeeded(run(kubeseal.env("KUBECONFIG", &kubeconfig), ""))
        };
        let fetched = eventually(PATIENCE, fetch).await;
        assert_eq!(String::from_utf8_lossy(&fetched.stdout), controller.http("/v1/cert.pem").await.text());
    });
}
