//! One cluster that is well, then ill in one way after the other; and one under an older definition.

use crate::{Desk, Finding, of, told};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use privyseal_tests::controller::Chart;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, wait_for_condition};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::json;

/// Scales the Deployment, and says of its pods what a kubelet would: so many of them are ready. Nothing runs in them,
/// since the harness runs the controllers.
async fn pretend_ready(release: &Release<'_>, wanted: usize, ready: usize) {
    let (client, namespace) = (release.control_plane().client(), release.namespace());
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let pods = Api::<Pod>::namespaced(client, namespace);
    let ours = ListParams::default().labels("app.kubernetes.io/name=privyseal");
    let name = deployments.list(&ours).await.unwrap().items[0].metadata.name.clone().unwrap();
    let params = PatchParams::default();
    let scaled = Patch::Merge(json!({"spec": {"replicas": wanted}}));
    deployments.patch(&name, &params, &scaled).await.unwrap();
    let made = eventually(PATIENCE, async || {
        let made = pods.list(&ours).await.unwrap().items;
        if made.len() == wanted { Ok(made) } else { Err(format!("{} pods", made.len())) }
    })
    .await;
    for (number, pod) in made.iter().enumerate() {
        let is = if number < ready { "True" } else { "False" };
        let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": is}]}});
        let name = pod.metadata.name.as_deref().unwrap();
        pods.patch_status(name, &params, &Patch::Merge(status)).await.unwrap();
    }
    eventually(PATIENCE, async || {
        let status = deployments.get(&name).await.unwrap().status.unwrap_or_default();
        let said = status.ready_replicas.unwrap_or(0);
        if said == i32::try_from(ready).unwrap() { Ok(()) } else { Err(format!("{said} are ready")) }
    })
    .await;
}

/// Until the doctor finds this.
async fn finds(desk: &Desk, check: &str, level: &str) -> (Vec<Finding>, i32) {
    eventually(PATIENCE, async || {
        let (findings, status) = desk.doctor("--for it");
        match of(&findings, check).iter().any(|finding| finding.level == level) {
            true => Ok((findings, status)),
            false => Err(format!("{findings:#?}")),
        }
    })
    .await
}

#[tokio::test]
async fn a_healthy_cluster_is_all_well_and_each_illness_is_told() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release =
        Release::install(&control_plane, ReleaseOptions::default().place("privyseal", "privyseal")).await;
    let controller = Controller::start(&release, ControllerOptions::default()).await;
    pretend_ready(&release, 2, 2).await;
    let sealer = Sealer::of(&controller).await;
    let apps = control_plane.namespace("apps").await;
    objects::apply(&client, None, &sealer.seal(&apps, "good", &[("a", "1")], &[])).await;
    wait_for_condition(&client, &apps, "good", "Ready", "True").await;
    let desk = Desk::of_admin(&control_plane, "privyseal");
    eventually(PATIENCE, async || {
        let fetched = desk.asks("keys fetch");
        if fetched.status.success() { Ok(()) } else { Err(told(&fetched)) }
    })
    .await;
    desk.init();

    let (findings, status) = desk.doctor("--for it");
    let ill: Vec<_> = findings.iter().filter(|finding| finding.level != "ok").collect();
    assert!(ill.is_empty() && status == 0, "{ill:#?}");
    for check in [
        "configuration",
        "git-ignore",
        "trust-file",
        "trust-pin",
        "key-file",
        "key-file-age",
        "key-file-key",
        "api-server",
        "clock",
        "rights",
        "service",
        "deployment",
        "lease",
        "other-controller",
        "definition",
        "published-list",
        "publisher",
        "sealing-key",
        "foreign-sealing-key",
        "compromised-keys",
        "retired-keys",
        "unsynced",
    ] {
        assert!(!of(&findings, check).is_empty(), "{check}");
    }
    assert_eq!(of(&findings, "unsynced")[0].what, "1 SealedSecrets, all of them synced");
    assert_eq!(of(&findings, "deployment")[0].what, "privyseal/privyseal: 2 of 2 replicas are ready");

    // Replicas that are not ready.
    pretend_ready(&release, 2, 0).await;
    let (findings, status) = desk.doctor("--for it");
    assert_eq!((of(&findings, "deployment")[0].level.as_str(), status), ("problem", 1));
    pretend_ready(&release, 2, 2).await;

    // The peer's controller beside ours: a Deployment that asks for a replica is enough.
    let peer = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "sealed-secrets-controller", "namespace": "kube-system"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"name": "it"}},
            "template": {
                "metadata": {"labels": {"name": "it"}},
                "spec": {"containers": [{"name": "it", "image": "docker.io/bitnami/sealed-secrets-controller:0.38.1"}]},
            },
        },
    });
    objects::apply(&client, None, &peer).await;
    let (findings, status) = desk.doctor("--for it");
    let beside = of(&findings, "other-controller")[0];
    assert_eq!((beside.level.as_str(), status), ("warning", 0), "{beside:?}");
    assert!(beside.what.contains("kube-system/sealed-secrets-controller"), "{}", beside.what);
    let api = Api::<Deployment>::namespaced(client.clone(), "kube-system");
    let scaled = Patch::Merge(json!({"spec": {"replicas": 0}}));
    api.patch("sealed-secrets-controller", &PatchParams::default(), &scaled).await.unwrap();
    assert_eq!(of(&desk.doctor("--for it").0, "other-controller")[0].level, "ok");

    // What does not open is counted by reason, and named.
    for name in ["bad-1", "bad-2"] {
        let mut object = sealer.seal(&apps, "other", &[("a", "1")], &[]);
        object["metadata"]["name"] = json!(name);
        objects::apply(&client, None, &object).await;
        wait_for_condition(&client, &apps, name, "Synced", "False").await;
    }
    let (findings, status) = desk.doctor("--for it");
    let unsynced = of(&findings, "unsynced");
    assert_eq!((unsynced.len(), unsynced[0].level.as_str(), status), (1, "problem", 1), "{unsynced:?}");
    assert!(unsynced[0].what.starts_with("2 of 3 SealedSecrets: "), "{}", unsynced[0].what);
    for name in ["bad-1", "bad-2"] {
        assert!(unsynced[0].what.contains(&format!("{apps}/{name}")), "{}", unsynced[0].what);
        objects::sealed_secrets(&client, &apps).delete(name, &Default::default()).await.unwrap();
    }

    // A key that somebody put there seals.
    let made =
        desk.run("keys generate --size 2048 -n privyseal --name planted -o json --out-file planted.json");
    assert!(made.status.success(), "{}", told(&made));
    let planted = std::fs::read_to_string(desk.file("planted.json")).unwrap();
    objects::apply(&client, None, &serde_json::from_str(&planted).unwrap()).await;
    let (findings, status) = finds(&desk, "foreign-sealing-key", "problem").await;
    let foreign = of(&findings, "foreign-sealing-key")[0];
    assert!(foreign.what.contains("planted") && status == 1, "{foreign:?}");
    assert!(foreign.cure.contains("keys rotate"), "{foreign:?}");

    // It leaks.
    let secrets = Api::<Secret>::namespaced(client.clone(), "privyseal");
    let leaked = Patch::Merge(
        json!({"metadata": {"annotations": {"privyseal.dev/compromised": "2026-01-01T00:00:00Z"}}}),
    );
    secrets.patch("planted", &PatchParams::default(), &leaked).await.unwrap();
    let (findings, _) = finds(&desk, "compromised-keys", "warning").await;
    assert!(of(&findings, "compromised-keys")[0].what.starts_with("keys that leaked still open: "));
    let retired = Patch::Merge(
        json!({"metadata": {"labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "retired"}}}),
    );
    secrets.patch("planted", &PatchParams::default(), &retired).await.unwrap();
    let (findings, _) = finds(&desk, "compromised-keys", "ok").await;
    assert!(of(&findings, "retired-keys")[0].what.starts_with("retired keys"), "{findings:#?}");

    // The leader made another one at once, which seals.
    finds(&desk, "foreign-sealing-key", "ok").await;

    // Somebody without any right but that of everybody.
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let account = serde_json::from_value(json!({"metadata": {"name": "somebody"}})).unwrap();
    accounts.create(&Default::default(), &account).await.unwrap();
    let somebody = Desk::new(&control_plane.kubeconfig_for("default", "somebody").await, "privyseal");
    let (findings, status) = somebody.doctor_of_cluster();
    assert_eq!(status, 0, "{findings:#?}");
    for check in ["deployment", "lease", "other-controller", "definition", "compromised-keys", "unsynced"] {
        let found = of(&findings, check)[0];
        assert_eq!(found.level, "skipped", "{found:?}");
        assert!(found.what.contains("you may not "), "{found:?}");
    }
    assert_eq!(of(&findings, "published-list")[0].level, "ok");
    assert_eq!(of(&findings, "service")[0].level, "ok", "everybody may get it by its name");

    // Nobody leads any more.
    drop(controller);
    eventually(PATIENCE * 2, async || match of(&desk.doctor("--for it").0, "lease")[0] {
        finding if finding.level == "problem" => Ok(()),
        finding => Err(format!("{finding:?}")),
    })
    .await;
}

#[tokio::test]
async fn under_an_older_definition_and_without_our_controller_it_says_so() {
    let control_plane = ControlPlane::start();
    // Installed for its definition, and for a Deployment that a real cluster has.
    Release::install(
        &control_plane,
        ReleaseOptions::default().chart(Chart::Peer).place("peer", "kube-system"),
    )
    .await;
    let desk = Desk::of_admin(&control_plane, "privyseal");
    let (findings, status) = desk.doctor_of_cluster();
    let level = |check: &str| of(&findings, check)[0].level.clone();
    assert_eq!((level("definition").as_str(), status), ("warning", 1), "{findings:#?}");
    assert!(of(&findings, "definition")[0].cure.contains("sealedsecrets.yaml"));
    for check in ["service", "deployment", "lease", "published-list"] {
        assert_eq!(level(check), "problem", "{check}");
        assert!(!of(&findings, check)[0].cure.is_empty(), "{check}");
    }
}
