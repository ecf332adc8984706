//! The peer's command line asks our controller through the API server, with the right that the chart gives.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::sealing::{Sealer, run};
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions, network, tools};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output};

const NAME: &str = "sealed-secrets-controller";

async fn account(control_plane: &ControlPlane, name: &str) -> PathBuf {
    let accounts: Api<ServiceAccount> = Api::namespaced(control_plane.client(), "default");
    let account = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    accounts.create(&Default::default(), &account).await.unwrap();
    control_plane.kubeconfig_for("default", name).await
}

fn kubeseal(kubeconfig: &PathBuf, flag: &str, object: &Value) -> Output {
    let mut command = Command::new(tools::kubeseal());
    command.args([flag, "-o", "json"]).env("KUBECONFIG", kubeconfig);
    run(&mut command, &object.to_string())
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn kubeseal_validates_and_re_encrypts_for_whom_the_chart_names() {
    network::alone(async || {
        let control_plane = ControlPlane::start();
        let subject = "rbac.resealer.subjects[0]";
        let options = ReleaseOptions::default()
            .place("ours", "kube-system")
            .set(&format!("fullnameOverride={NAME}"))
            .set(&format!("{subject}.kind=ServiceAccount"))
            .set(&format!("{subject}.name=somebody"))
            .set(&format!("{subject}.namespace=default"));
        let release = Release::install(&control_plane, options).await;
        let controller = Controller::start(&release, ControllerOptions::default().reachable()).await;
        release.lead_to(&controller).await;
        let (somebody, nobody) =
            (account(&control_plane, "somebody").await, account(&control_plane, "nobody").await);
        let sealed = Sealer::of(&controller).await.seal("default", "db", &[("a", "1")], &[]);

        eventually(PATIENCE, async || {
            let validated = kubeseal(&somebody, "--validate", &sealed);
            if validated.status.success() { Ok(()) } else { Err(told(&validated)) }
        })
        .await;
        let output = kubeseal(&somebody, "--re-encrypt", &sealed);
        assert!(output.status.success(), "{}", told(&output));
        let rotated: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_ne!(rotated["spec"]["encryptedData"]["a"], sealed["spec"]["encryptedData"]["a"]);
        assert_eq!(rotated["spec"]["template"], sealed["spec"]["template"]);
        assert!(kubeseal(&somebody, "--validate", &rotated).status.success());

        let mut moved = sealed.clone();
        moved["metadata"]["name"] = json!("other");
        assert!(!kubeseal(&somebody, "--validate", &moved).status.success());
        assert!(!kubeseal(&somebody, "--re-encrypt", &moved).status.success());

        // By default nobody may ask.
        let answers = || controller.metrics();
        let before = answers().await.sum("privyseal_http_answers_total", &[("route", "verify")]);
        let refused = kubeseal(&nobody, "--validate", &sealed);
        assert!(!refused.status.success());
        let after = answers().await.sum("privyseal_http_answers_total", &[("route", "verify")]);
        assert_eq!(before, after, "{}", told(&refused));
    });
}
