//! `helm uninstall`, by the real Helm, and a change of the default.

use super::{Cluster, POLICY, place, rest_of_all, retained_for};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{Controller, ControllerOptions, Release, tools};
use serde_json::{Value, json};
use std::process::Command;

/// The objects of the team: the last one has a policy of its own.
const NAMES: [&str; 4] = ["one", "two", "three", "own-word"];

fn helm(cluster: &Cluster, args: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let mut helm = Command::new(tools::helm());
    helm.env_clear().env("HOME", home.path()).env("KUBECONFIG", cluster.control_plane.kubeconfig());
    let output = helm.args(args).args(["--namespace", "privyseal"]).output().unwrap();
    assert!(output.status.success(), "helm {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Installs the chart, seals and opens, and uninstalls. Gives the objects.
pub(crate) async fn goes_and_leaves_everything(cluster: &Cluster) -> Vec<Value> {
    let chart = tools::repository().join("charts/privyseal");
    // There is no node to run it.
    let install =
        ["install", "privyseal", chart.to_str().unwrap(), "--create-namespace", "--set", "replicas=0"];
    helm(cluster, &install);
    let release = Release::install(&cluster.control_plane, place().without_crds()).await;
    let mut controller = Controller::start(&release, ControllerOptions::default()).await;
    let sealer = Sealer::of(&controller).await;
    let mut objects = Vec::new();
    for name in NAMES {
        let mut sealed = sealer.seal(&cluster.namespace, name, &[("a", name)], &[]);
        if name == "own-word" {
            sealed["metadata"]["annotations"][POLICY] = json!("Retain");
        }
        cluster.apply(&sealed).await;
        cluster.ready(name).await;
        objects.push(sealed);
    }
    controller.stop();

    let before = cluster.all_secrets().await;
    assert_eq!(before.len(), NAMES.len());
    helm(cluster, &["uninstall", "privyseal", "--wait"]);
    cluster.let_collect().await;
    assert_eq!(cluster.all_secrets().await, before);
    let mut expected = ["one", "two", "three"].map(|name| format!("{}/{name}", cluster.namespace));
    expected.sort();
    assert_eq!(would_go(cluster), expected, "it had another policy");
    for name in NAMES {
        assert!(cluster.sealed_secret(name).await.is_some(), "{name}");
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    assert!(definitions.get_opt("sealedsecrets.bitnami.com").await.unwrap().is_some());
    objects
}

/// The command of docs/deletion.md that lists the Secrets that Kubernetes would collect.
fn would_go(cluster: &Cluster) -> Vec<String> {
    let path = concat!(
        "{range .items[*]}{.metadata.namespace}/{.metadata.name} ",
        "{.metadata.ownerReferences[?(@.kind==\"SealedSecret\")].kind}{\"\\n\"}{end}"
    );
    let secrets = told(cluster, path);
    let lines = secrets.lines().filter_map(|line| line.split_once(" SealedSecret"));
    lines.map(|(secret, _)| secret.to_owned()).collect()
}

fn told(cluster: &Cluster, path: &str) -> String {
    let output = format!("jsonpath={path}");
    cluster.control_plane.kubectl_ok(&["get", "secrets", "--all-namespaces", "--output", &output], "")
}

/// The controller comes back with `Retain`: it opens with the keys that stayed.
pub(crate) async fn another_default_is_followed_and_can_be_waited_for(
    cluster: &Cluster,
    controller: &mut Controller,
) {
    eventually(PATIENCE, async || match would_go(cluster) {
        none if none.is_empty() => Ok(()),
        some => Err(some),
    })
    .await;
    let counts = async |controller: &Controller| {
        let metrics = controller.metrics().await;
        ["Delete", "Retain"].map(|policy| metrics.sum("privyseal_secrets", &[("deletion_policy", policy)]))
    };
    eventually(PATIENCE, async || match counts(controller).await {
        [0.0, 4.0] => Ok(()),
        other => Err(other),
    })
    .await;
    let secrets = cluster.all_secrets().await;
    let path = "{range .items[?(@.metadata.annotations.privyseal\\.dev/owner-uid)]}{.metadata.namespace}/{.metadata.name} {.metadata.annotations.privyseal\\.dev/owner-uid}{\"\\n\"}{end}";
    let listed: Vec<_> = told(cluster, path).lines().map(str::to_owned).collect();
    for (name, secret) in &secrets {
        let line = format!("{}/{name} {}", cluster.namespace, retained_for(secret).unwrap());
        assert!(listed.contains(&line), "{listed:?}");
    }
    assert_eq!(listed.len(), secrets.len());
    // The one with a word of its own was right before.
    eventually(PATIENCE, async || {
        match controller.metrics().await.sum("privyseal_secret_writes_total", &[]) {
            3.0 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    for name in NAMES {
        cluster.ready(name).await;
    }

    // Who asks for a pass gets one, which opens and writes nothing but that it was.
    let opened = controller.metrics().await.sum("privyseal_private_operations_total", &[]);
    let ask = ["annotate", "sealedsecret", "one", "reconcile.fluxcd.io/requestedAt=now"];
    let there = ["--namespace", &cluster.namespace];
    cluster.control_plane.kubectl_ok(&[&there[..], &ask].concat(), "");
    let answered = ["wait", "sealedsecret/one", "--for=jsonpath={.status.lastHandledReconcileAt}=now"];
    cluster.control_plane.kubectl_ok(&[&there[..], &answered].concat(), "");
    let metrics = controller.metrics().await;
    assert_eq!(metrics.sum("privyseal_private_operations_total", &[]), opened + 1.0);
    assert_eq!(metrics.sum("privyseal_secret_writes_total", &[]), 3.0);

    // A restart finds all of that in sync, and the request handled.
    controller.stop();
    controller.start_again().await;
    eventually(PATIENCE, async || {
        match controller.metrics().await.sum("privyseal_passes_in_sync_total", &[]) {
            passes if passes >= 4.0 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let metrics = controller.metrics().await;
    for nothing in [
        "privyseal_private_operations_total",
        "privyseal_secret_writes_total",
        "privyseal_status_writes_total",
    ] {
        assert_eq!(metrics.sum(nothing, &[]), 0.0, "{nothing}");
    }
    assert_eq!(rest_of_all(&cluster.all_secrets().await), rest_of_all(&secrets));
}
