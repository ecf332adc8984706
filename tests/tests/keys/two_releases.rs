//! Two releases by mistake: each has keys of its own, and both look at the whole cluster.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use privyseal_envelope::age::Kind;
use privyseal_tests::age_keys::{AgeSealer, recipient_of};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, sealed_secrets, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::json;
use std::time::Duration;

/// Waits until neither of them writes any more.
async fn settle(controllers: [&Controller; 2]) {
    let writes = async || {
        let mut writes = 0.0;
        for controller in controllers {
            let metrics = controller.metrics().await;
            writes += metrics.sum("privyseal_status_writes_total", &[]);
            writes += metrics.sum("privyseal_secret_writes_total", &[]);
        }
        writes
    };
    let mut last = writes().await;
    eventually(PATIENCE, async || {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = writes().await;
        let before = std::mem::replace(&mut last, now);
        if now == before { Ok(()) } else { Err(format!("{now} writes and more")) }
    })
    .await;
}

/// Whether a Secret says that it stays when its SealedSecret goes.
async fn is_retained(secrets: &Api<Secret>, name: &str) -> bool {
    let metadata = secrets.get(name).await.unwrap().metadata;
    let annotations = metadata.annotations.unwrap_or_default();
    let is_annotated = annotations.contains_key("privyseal.dev/owner-uid");
    assert_eq!(is_annotated, metadata.owner_references.is_none(), "{name}");
    is_annotated
}

#[tokio::test]
async fn they_do_no_harm_but_a_warning() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let ours = Release::install(&control_plane, ReleaseOptions::default()).await;
    let theirs = Release::install(&control_plane, ReleaseOptions::default().without_crds()).await;
    let a = Controller::start(&ours, ControllerOptions::default()).await;
    // They do not even agree on what becomes of Secrets.
    let b = Controller::start(&theirs, ControllerOptions::default().arg("--deletion-policy=Retain")).await;
    let namespace = control_plane.namespace("both").await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    for (controller, name) in [(&a, "for-a"), (&b, "for-b")] {
        let sealed = Sealer::of(controller).await.seal(&namespace, name, &[("a", name)], &[]);
        objects::apply(&client, None, &sealed).await;
    }
    let recipients = [recipient_of(&a, Kind::X25519).await, recipient_of(&b, Kind::X25519).await];
    let for_both = AgeSealer::to(recipients);
    objects::apply(&client, None, &for_both.seal(&namespace, "for-both", &[("a", "for-both")])).await;
    let all_are_right = async || {
        for name in ["for-a", "for-b", "for-both"] {
            wait_for_secret(&client, &namespace, name, &[("a", name.as_bytes())]).await;
            wait_for_condition(&client, &namespace, name, "Ready", "True").await;
        }
    };
    all_are_right().await;
    // Whoever cannot open leaves the word to who can, and what both can open stays as it is.
    settle([&a, &b]).await;
    all_are_right().await;
    assert!(!is_retained(&secrets, "for-a").await && is_retained(&secrets, "for-b").await);
    let warned = a.logs().contains("two controllers") || b.logs().contains("two controllers");
    assert!(warned, "{}\n{}", a.logs(), b.logs());

    // Also after somebody changed all of it.
    for name in ["for-a", "for-b", "for-both"] {
        let patch = Patch::Merge(json!({"data": {"foreign": "eA=="}}));
        secrets.patch(name, &PatchParams::default(), &patch).await.unwrap();
    }
    for (sealer, name) in [(Sealer::of(&a).await, "for-a"), (Sealer::of(&b).await, "for-b")] {
        let anew = sealer.seal(&namespace, name, &[("a", name)], &[]);
        objects::apply(&client, None, &anew).await;
    }
    all_are_right().await;
    settle([&a, &b]).await;
    all_are_right().await;
    assert!(!is_retained(&secrets, "for-a").await && is_retained(&secrets, "for-b").await);

    // An object's own word is the same for both.
    for retained in [true, false] {
        let policy = if retained { "Retain" } else { "Delete" };
        let patch =
            Patch::Merge(json!({"metadata": {"annotations": {"privyseal.dev/deletion-policy": policy}}}));
        for name in ["for-a", "for-b", "for-both"] {
            let objects = sealed_secrets(&client, &namespace);
            objects.patch(name, &PatchParams::default(), &patch).await.unwrap();
        }
        for name in ["for-a", "for-b", "for-both"] {
            eventually(PATIENCE, async || {
                if is_retained(&secrets, name).await == retained { Ok(()) } else { Err(name) }
            })
            .await;
        }
        settle([&a, &b]).await;
    }
}
