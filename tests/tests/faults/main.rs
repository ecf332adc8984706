//! The API server refuses, stumbles, lies down and comes back; the controller is killed. Nothing is lost.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

use kube::Client;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::fault_proxy::{After, Requests};
use privyseal_tests::objects::{self, sealed_secrets, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{
    Action, ControlPlane, Controller, ControllerOptions, Fault, FaultProxy, Release, ReleaseOptions,
};
use serde_json::json;
use std::time::Duration;

struct Scene {
    client: Client,
    namespace: String,
    proxy: FaultProxy,
    controller: Controller,
    sealer: Sealer,
}

impl Scene {
    async fn set(control_plane: &ControlPlane) -> Self {
        let proxy = FaultProxy::start(&control_plane.admin_kubeconfig_with_token().await);
        let release = Release::install(control_plane, ReleaseOptions::default()).await;
        let controller = Controller::start(&release, ControllerOptions::default().through(&proxy)).await;
        let sealer = Sealer::of(&controller).await;
        let namespace = control_plane.namespace("faults").await;
        Self { client: control_plane.client(), namespace, proxy, controller, sealer }
    }

    async fn apply(&self, name: &str, value: &str) {
        let sealed = self.sealer.seal(&self.namespace, name, &[("a", value)], &[]);
        objects::apply(&self.client, None, &sealed).await;
    }

    async fn is_right(&self, name: &str, value: &str) {
        wait_for_secret(&self.client, &self.namespace, name, &[("a", value.as_bytes())]).await;
        wait_for_condition(&self.client, &self.namespace, name, "Ready", "True").await;
    }
}

#[tokio::test]
async fn refused_and_lost_requests_heal_by_themselves() {
    let control_plane = ControlPlane::start();
    let scene = Scene::set(&control_plane).await;
    let faults = [
        ("conflict", "patch sealedsecrets.bitnami.com/status", Action::status(409)),
        ("throttled", "create secrets", Action::too_many_requests(1)),
        ("broken", "create secrets", Action::status(500)),
        ("dropped", "create secrets", Action::Drop),
        // Done, but the answer is lost: the Secret is there, and it is ours.
        ("lost", "create secrets", Action::DropAfter),
        ("status-lost", "patch sealedsecrets.bitnami.com/status", Action::DropAfter),
        ("unread", "get sealedsecrets.bitnami.com", Action::status(503)),
    ];
    for (name, call, action) in faults {
        let injected = scene.proxy.inject(Fault::new(Requests::call(call), action).next(2));
        scene.apply(name, name).await;
        scene.is_right(name, name).await;
        assert!(injected.hits() >= 1, "{name}: {call} was never asked");
        injected.remove();
    }

    // Drift while replaces conflict.
    let injected =
        scene.proxy.inject(Fault::new(Requests::call("update secrets"), Action::status(409)).next(2));
    let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> =
        kube::Api::namespaced(scene.client.clone(), &scene.namespace);
    let patch = kube::api::Patch::Merge(json!({"data": {"a": "eA=="}}));
    secrets.patch("lost", &Default::default(), &patch).await.unwrap();
    scene.is_right("lost", "lost").await;
    assert_eq!(injected.hits(), 2);
}

#[tokio::test]
async fn while_it_cannot_write_it_says_so_and_keeps_what_is_there() {
    let control_plane = ControlPlane::start();
    let scene = Scene::set(&control_plane).await;
    scene.apply("db", "1").await;
    scene.is_right("db", "1").await;
    let fault = scene.proxy.inject(Fault::new(Requests::call("update secrets"), Action::status(500)));
    scene.apply("db", "2").await;
    let told = wait_for_condition(&scene.client, &scene.namespace, "db", "Reconciling", "True").await;
    assert_eq!(told.reason, "ApiUnavailable");
    let object = sealed_secrets(&scene.client, &scene.namespace).get("db").await.unwrap();
    let kinds: Vec<_> = objects::conditions(&object).into_iter().map(|c| (c.kind, c.status)).collect();
    let expected = [("Synced", "Unknown"), ("Ready", "Unknown"), ("Reconciling", "True")];
    assert_eq!(kinds, expected.map(|(kind, status)| (kind.to_owned(), status.to_owned())));
    wait_for_secret(&scene.client, &scene.namespace, "db", &[("a", b"1")]).await;
    fault.remove();
    scene.is_right("db", "2").await;
}

#[tokio::test]
async fn cut_and_expired_watches_miss_nothing() {
    let control_plane = ControlPlane::start();
    let scene = Scene::set(&control_plane).await;
    for (n, action) in [
        Action::cut_watch(After::Events(1)),
        Action::watch_error_410(After::Events(1)),
        Action::cut_watch(After::Time(Duration::from_millis(200))),
        Action::watch_error_410(After::Time(Duration::from_millis(200))),
    ]
    .into_iter()
    .enumerate()
    {
        // Every watch that is opened from now on; those that are open end with the outage.
        let fault = scene.proxy.inject(Fault::new(Requests::all().query("watch=true"), action));
        scene.proxy.outage(true);
        scene.apply(&format!("during-{n}"), "1").await;
        scene.proxy.outage(false);
        scene.apply(&format!("after-{n}"), "2").await;
        scene.is_right(&format!("during-{n}"), "1").await;
        scene.is_right(&format!("after-{n}"), "2").await;
        assert!(fault.hits() >= 1);
        fault.remove();
    }
}

#[tokio::test]
async fn the_api_server_is_killed_and_comes_back() {
    let mut control_plane = ControlPlane::start();
    let scene = Scene::set(&control_plane).await;
    scene.apply("before", "1").await;
    scene.is_right("before", "1").await;
    control_plane.kill();
    // It holds its keys: it still serves the certificate, and is ready.
    assert_eq!(scene.controller.http("/v1/cert.pem").await.status, 200);
    assert_eq!(scene.controller.http("/readyz").await.status, 200);
    control_plane.resume();
    scene.apply("after", "2").await;
    scene.is_right("after", "2").await;
    scene.is_right("before", "1").await;
}

#[tokio::test]
async fn the_controller_is_killed_at_any_point() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::set(&control_plane).await;
    for (n, call) in
        ["create secrets", "update secrets", "patch sealedsecrets.bitnami.com/status"].into_iter().enumerate()
    {
        let name = format!("killed-{n}");
        scene.apply(&name, "1").await;
        scene.is_right(&name, "1").await;
        // The request is done, and held back until the process is gone.
        let held =
            scene.proxy.inject(Fault::new(Requests::call(call), Action::Delay(Duration::from_secs(2))));
        if call == "create secrets" {
            scene.apply(&format!("{name}-new"), "1").await;
        } else {
            scene.apply(&name, "2").await;
        }
        eventually(PATIENCE, async || if held.hits() > 0 { Ok(()) } else { Err("not asked yet") }).await;
        scene.controller.kill();
        held.remove();
        scene.controller.start_again().await;
        if call == "create secrets" {
            scene.is_right(&format!("{name}-new"), "1").await;
        } else {
            scene.is_right(&name, "2").await;
        }
    }
}
