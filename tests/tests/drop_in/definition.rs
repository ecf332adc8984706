//! CustomResourceDefinitions that are not ours: the peer's, which knows less of the status, and an older one, which lets
//! anything in.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use privyseal_tests::controller::Chart;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, sealed_secrets, secret_data, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::{Value, json};

/// What the API server has of an object's version and of the marker in its status.
async fn version_and_marker(client: &Client, namespace: &str, name: &str) -> (Option<String>, Option<Value>) {
    let object = sealed_secrets(client, namespace).get(name).await.unwrap();
    (object.metadata.resource_version, object.data.pointer("/status/marker").cloned())
}

#[tokio::test]
async fn under_the_peers_definition_all_works_and_a_restart_opens_again() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    // Installed for its definition.
    Release::install(&control_plane, ReleaseOptions::default().chart(Chart::Peer)).await;
    let release = Release::install(&control_plane, ReleaseOptions::default().without_crds()).await;
    let mut controller = Controller::start(&release, ControllerOptions::default()).await;
    let sealer = Sealer::of(&controller).await;
    let namespace = control_plane.namespace("old").await;
    let names = ["one", "two", "three"];
    let right: [(&str, &[u8]); 2] = [("a", b"1"), ("b", b"2")];
    let mut versions = Vec::new();
    for name in names {
        objects::apply(&client, None, &sealer.seal(&namespace, name, &[("a", "1"), ("b", "2")], &[])).await;
        wait_for_secret(&client, &namespace, name, &right).await;
        wait_for_condition(&client, &namespace, name, "Ready", "True").await;
        let (version, marker) = version_and_marker(&client, &namespace, name).await;
        assert_eq!(marker, None, "this definition was to drop it");
        versions.push(version);
    }
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let spoil = || Patch::Merge(json!({"data": {"a": "eA==", "foreign": "eA=="}}));
    secrets.patch("one", &PatchParams::default(), &spoil()).await.unwrap();
    wait_for_secret(&client, &namespace, "one", &right).await;

    controller.kill();
    // What is changed meanwhile would be believed by whoever trusts without a marker.
    secrets.patch("two", &PatchParams::default(), &spoil()).await.unwrap();
    controller.start_again().await;
    wait_for_secret(&client, &namespace, "two", &right).await;
    eventually(PATIENCE, async || {
        let metrics = controller.metrics().await;
        let opened = metrics.sum("privyseal_private_operations_total", &[]);
        let passes = metrics.sum("privyseal_passes_total", &[("reason", "Unsealed")]);
        if (opened, passes) == (6.0, 3.0) { Ok(()) } else { Err((opened, passes)) }
    })
    .await;
    assert_eq!(controller.metrics().await.sum("privyseal_secret_writes_total", &[]), 1.0);

    // A status that is never what was asked for must not be written again and again. A change that comes later is
    // told after all that the objects before it brought about.
    objects::apply(&client, None, &sealer.seal(&namespace, "last", &[("a", "1")], &[])).await;
    wait_for_condition(&client, &namespace, "last", "Ready", "True").await;
    for (name, version) in names.into_iter().zip(versions) {
        assert_eq!(version_and_marker(&client, &namespace, name).await.0, version, "{name}");
        wait_for_condition(&client, &namespace, name, "Ready", "True").await;
    }
    assert_eq!(controller.metrics().await.sum("privyseal_private_operations_total", &[]), 7.0);
    requests_are_handled_once(&client, &namespace, &sealer, &controller).await;
    eventually(PATIENCE, async || match controller.metrics().await.sum("privyseal_marker_dropped", &[]) {
        1.0 => Ok(()),
        other => Err(other),
    })
    .await;
    assert!(controller.logs().contains("drops status.marker"), "{}", controller.logs());

    // Our definition comes while objects change; the controller runs on.
    objects::apply(&client, None, &sealer.seal(&namespace, "last", &[("a", "2")], &[])).await;
    Release::install(&control_plane, ReleaseOptions::default().place(release.name(), release.namespace()))
        .await;
    objects::apply(&client, None, &sealer.seal(&namespace, "last", &[("a", "3")], &[])).await;
    wait_for_secret(&client, &namespace, "last", &[("a", b"3")]).await;
    eventually(PATIENCE, async || {
        let probe = Patch::Merge(json!({"status": {"lastHandledReconcileAt": "probe"}}));
        let api = sealed_secrets(&client, &namespace);
        let probed = api.patch_status("three", &PatchParams::default(), &probe).await.unwrap();
        match probed.data["status"]["lastHandledReconcileAt"].as_str() {
            Some("probe") => Ok(()),
            _ => Err("the old definition still holds"),
        }
    })
    .await;
    objects::apply(&client, None, &sealer.seal(&namespace, "last", &[("a", "4")], &[])).await;
    wait_for_secret(&client, &namespace, "last", &[("a", b"4")]).await;
    eventually(PATIENCE, async || match version_and_marker(&client, &namespace, "last").await.1 {
        Some(_) => Ok(()),
        None => Err("there is no marker yet"),
    })
    .await;
    // A watch that began before tells for a moment of objects as the old definition has them, so that more than one
    // write may be needed until the controller sees its marker again.
    let mut asked = 0;
    eventually(PATIENCE, async || {
        asked += 1;
        let request = asked.to_string();
        ask(&client, &namespace, "last", &request).await;
        eventually(PATIENCE, async || {
            let object = sealed_secrets(&client, &namespace).get("last").await.unwrap();
            match object.data["status"]["lastHandledReconcileAt"].as_str() {
                Some(handled) if handled == request => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        match controller.metrics().await.sum("privyseal_marker_dropped", &[]) {
            0.0 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(controller.ended(), None, "{}", controller.logs());
}

async fn ask(client: &Client, namespace: &str, name: &str, request: &str) {
    let patch =
        Patch::Merge(json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": request}}}));
    sealed_secrets(client, namespace).patch(name, &PatchParams::default(), &patch).await.unwrap();
}

/// The status cannot repeat a request here: it is handled all the same, once.
async fn requests_are_handled_once(
    client: &Client,
    namespace: &str,
    sealer: &Sealer,
    controller: &Controller,
) {
    let api = sealed_secrets(client, namespace);
    let opened_at_last = async |expected: f64| {
        eventually(PATIENCE, async || {
            let opened = controller.metrics().await.sum("privyseal_private_operations_total", &[]);
            if opened == expected { Ok(()) } else { Err(opened) }
        })
        .await;
    };
    let mut opened = controller.metrics().await.sum("privyseal_private_operations_total", &[]);
    for request in ["now", "later"] {
        ask(client, namespace, "one", request).await;
        opened += 2.0;
        opened_at_last(opened).await;
        let version = api.get("one").await.unwrap().metadata.resource_version;
        ask(client, namespace, "one", request).await;
        // What else changes of the object has it looked at, and finds the request handled.
        let patch = Patch::Merge(json!({"metadata": {"labels": {"seen": request}}}));
        let labelled =
            api.patch("one", &PatchParams::default(), &patch).await.unwrap().metadata.resource_version;
        assert_ne!(labelled, version);
        let witness = format!("after-{request}");
        objects::apply(client, None, &sealer.seal(namespace, &witness, &[("a", "1")], &[])).await;
        wait_for_condition(client, namespace, &witness, "Ready", "True").await;
        opened += 1.0;
        opened_at_last(opened).await;
        let object = api.get("one").await.unwrap();
        assert_eq!(object.metadata.resource_version, labelled, "nobody wrote");
        assert_eq!(object.data["status"].get("lastHandledReconcileAt"), None);
    }
    let mut bad = sealer.seal(namespace, "bad", &[("a", "1")], &[]);
    bad["spec"]["encryptedData"]["a"] =
        sealer.seal(namespace, "good", &[("a", "1")], &[])["spec"]["encryptedData"]["a"].clone();
    objects::apply(client, None, &bad).await;
    wait_for_condition(client, namespace, "bad", "Stalled", "True").await;
    opened += 1.0;
    opened_at_last(opened).await;
    ask(client, namespace, "bad", "now").await;
    opened += 1.0;
    opened_at_last(opened).await;
    api.delete("bad", &Default::default()).await.unwrap();
}

/// As the peer's was before it had a schema: spec and status hold what they will.
fn loosen(objects: &mut [Value]) {
    let definitions = objects.iter_mut().filter(|object| object["kind"] == "CustomResourceDefinition");
    for definition in definitions {
        let properties = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        for field in ["spec", "status"] {
            assert!(properties[field].is_object());
            properties[field] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        }
    }
}

#[tokio::test]
async fn objects_that_are_no_sealed_secrets_harm_nobody_but_themselves() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install_edited(&control_plane, ReleaseOptions::default(), |o| loosen(o)).await;
    let mut controller = Controller::start(&release, ControllerOptions::default()).await;
    let sealer = Sealer::of(&controller).await;
    let namespace = control_plane.namespace("malformed").await;
    let seal = |name: &str, value: &str| sealer.seal(&namespace, name, &[("a", value)], &[]);

    let bad = [
        ("no-map", "encryptedData", json!("text-hunter2")),
        ("no-text", "encryptedData", json!({"a": {"hunter2": 1}})),
        ("no-template", "template", json!("hunter2")),
        ("no-labels", "template", json!({"metadata": {"labels": "hunter2"}})),
    ];
    for (name, field, value) in &bad {
        let mut object = seal(name, "1");
        object["spec"][field] = value.clone();
        objects::apply(&client, None, &object).await;
        objects::apply(&client, None, &seal(&format!("beside-{name}"), "1")).await;
    }
    let all_is_as_it_should = async || {
        for (name, _, _) in &bad {
            let told = wait_for_condition(&client, &namespace, name, "Stalled", "True").await;
            assert_eq!(told.reason, "InvalidObject", "{name}");
            assert!(!told.message.contains("hunter2"), "{}", told.message);
            assert_eq!(secret_data(&client, &namespace, name).await, None);
            let beside = format!("beside-{name}");
            wait_for_secret(&client, &namespace, &beside, &[("a", b"1")]).await;
            wait_for_condition(&client, &namespace, &beside, "Ready", "True").await;
        }
    };
    all_is_as_it_should().await;
    let reported = [("reason", "InvalidObject")];
    assert!(controller.metrics().await.sum("privyseal_passes_total", &reported) >= 4.0);
    assert!(!controller.logs().contains("hunter2"), "{}", controller.logs());

    // The definition gets its schema: what is stored stays as it is, and is still listed, watched and told of, what
    // nobody has told of yet too.
    objects::apply(&client, None, &seal("later", "2")).await;
    wait_for_secret(&client, &namespace, "later", &[("a", b"2")]).await;
    controller.kill();
    let mut unseen = seal("unseen", "1");
    unseen["spec"]["template"] = json!({"immutable": "hunter2"});
    objects::apply(&client, None, &unseen).await;
    Release::install(&control_plane, ReleaseOptions::default()).await;
    let mut refused = seal("refused", "1");
    refused["spec"]["encryptedData"] = json!("text");
    eventually(PATIENCE, async || match objects::try_apply(&client, None, &refused).await {
        Err(_) => Ok(()),
        Ok(_) => Err("the schema does not hold yet"),
    })
    .await;
    controller.start_again().await;
    objects::apply(&client, None, &seal("later", "3")).await;
    wait_for_secret(&client, &namespace, "later", &[("a", b"3")]).await;
    all_is_as_it_should().await;
    let told = wait_for_condition(&client, &namespace, "unseen", "Stalled", "True").await;
    assert_eq!(told.reason, "InvalidObject");

    // And what is mended is opened. By a PUT: the API server cannot merge into what does not fit its schema.
    let api = sealed_secrets(&client, &namespace);
    for (name, _, _) in &bad {
        let mut mended = api.get(name).await.unwrap();
        mended.data["spec"] = seal(name, "4")["spec"].clone();
        api.replace(name, &PostParams::default(), &mended).await.unwrap();
        wait_for_secret(&client, &namespace, name, &[("a", b"4")]).await;
        wait_for_condition(&client, &namespace, name, "Ready", "True").await;
    }
}

/// Whoever may write the status of an object can make it one that does not decode; not for long.
#[tokio::test]
async fn a_status_that_is_none_is_replaced() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install_edited(&control_plane, ReleaseOptions::default(), |o| loosen(o)).await;
    let controller = Controller::start(&release, ControllerOptions::default()).await;
    let sealer = Sealer::of(&controller).await;
    let namespace = control_plane.namespace("status").await;
    objects::apply(&client, None, &sealer.seal(&namespace, "db", &[("a", "1")], &[])).await;
    wait_for_condition(&client, &namespace, "db", "Ready", "True").await;
    let uid = async || {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        secrets.get("db").await.unwrap().metadata.uid
    };
    let before = uid().await;
    let spoilt = Patch::Merge(json!({"status": {"conditions": "none", "observedGeneration": "none"}}));
    let api = sealed_secrets(&client, &namespace);
    api.patch_status("db", &PatchParams::default(), &spoilt).await.unwrap();
    wait_for_condition(&client, &namespace, "db", "Ready", "True").await;
    wait_for_secret(&client, &namespace, "db", &[("a", b"1")]).await;
    assert_eq!(uid().await, before, "the Secret was never gone");
}
