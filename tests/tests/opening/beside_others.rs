//! Other tools write on the same objects: what is theirs is not copied, not taken off and not fought over.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use privyseal_tests::objects::{self, sealed_secrets, wait_for_condition, wait_for_secret};
use privyseal_tests::world::Place;
use serde_json::{Value, json};

fn secrets(place: &Place) -> Api<Secret> {
    Api::namespaced(place.client.clone(), &place.namespace)
}

/// The present versions of a SealedSecret and its Secret.
async fn versions(place: &Place, name: &str) -> [Option<String>; 2] {
    let object = sealed_secrets(&place.client, &place.namespace).get(name).await.unwrap();
    let secret = secrets(place).get(name).await.unwrap();
    [object.metadata.resource_version, secret.metadata.resource_version]
}

/// Has an object looked at anew as docs/status.md says, and waits until that is done.
pub(super) fn refresh(place: &Place, name: &str, request: &str) {
    let annotation = format!("reconcile.fluxcd.io/requestedAt={request}");
    let there = ["--namespace", &place.namespace];
    let annotate = ["annotate", "--overwrite", "sealedsecret", name, &annotation];
    place.control_plane.kubectl_ok(&[&there[..], &annotate].concat(), "");
    let object = format!("sealedsecret/{name}");
    let condition = format!("--for=jsonpath={{.status.lastHandledReconcileAt}}={request}");
    let wait = ["wait", &object, &condition, "--timeout=60s"];
    place.control_plane.kubectl_ok(&[&there[..], &wait].concat(), "");
}

/// What Flux, Argo CD and Helm track their objects by, as labels and as annotations.
fn tracking() -> (Value, Value) {
    let labels = json!({
        "kustomize.toolkit.fluxcd.io/name": "apps",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
        "helm.toolkit.fluxcd.io/name": "apps",
        "helm.toolkit.fluxcd.io/namespace": "flux-system",
        "app.kubernetes.io/instance": "apps",
        "app.kubernetes.io/managed-by": "Helm",
        "argocd.argoproj.io/instance": "apps",
    });
    let annotations = json!({
        "argocd.argoproj.io/tracking-id": "apps:bitnami.com/SealedSecret:team-a/db",
        "argocd.argoproj.io/sync-wave": "1",
        "meta.helm.sh/release-name": "apps",
        "meta.helm.sh/release-namespace": "flux-system",
        "kustomize.toolkit.fluxcd.io/prune": "disabled",
        "reconcile.fluxcd.io/requestedAt": "now",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    });
    (labels, annotations)
}

#[tokio::test]
async fn what_tracks_the_sealed_secret_never_reaches_the_secret() {
    let place = Place::new("tracked").await;
    for policy in ["Delete", "Retain"] {
        let name = policy.to_lowercase();
        let mut sealed = place.world.sealer.seal(&place.namespace, &name, &[("a", "1")], &[]);
        let (labels, annotations) = tracking();
        sealed["metadata"]["labels"] = labels.clone();
        for (key, value) in annotations.as_object().unwrap() {
            sealed["metadata"]["annotations"][key] = value.clone();
        }
        sealed["metadata"]["annotations"]["privyseal.dev/deletion-policy"] = json!(policy);
        objects::apply(&place.client, None, &sealed).await;
        wait_for_condition(&place.client, &place.namespace, &name, "Ready", "True").await;

        let secret = secrets(&place).get(&name).await.unwrap();
        assert_eq!(secret.metadata.labels, None);
        let annotations = secret.metadata.annotations.unwrap_or_default();
        let expected = if policy == "Retain" { vec!["privyseal.dev/owner-uid"] } else { Vec::new() };
        assert_eq!(annotations.keys().collect::<Vec<_>>(), expected);
        let object = sealed_secrets(&place.client, &place.namespace).get(&name).await.unwrap();
        assert_eq!(serde_json::to_value(object.metadata.labels).unwrap(), labels, "nor are they taken off");
    }
}

/// Each write on the Secret is looked at, and none is answered with another.
#[tokio::test]
async fn a_tool_that_labels_the_secret_again_and_again_is_left_in_peace() {
    let place = Place::new("labelled").await;
    for policy in ["Delete", "Retain"] {
        let name = policy.to_lowercase();
        let mut sealed = place.world.sealer.seal(&place.namespace, &name, &[("a", "1")], &[]);
        sealed["metadata"]["annotations"]["privyseal.dev/deletion-policy"] = json!(policy);
        objects::apply(&place.client, None, &sealed).await;
        wait_for_condition(&place.client, &place.namespace, &name, "Ready", "True").await;
        for round in 0..4 {
            let theirs = json!({"argocd.argoproj.io/instance": format!("round-{round}")});
            let patch = Patch::Merge(json!({"metadata": {"labels": theirs, "annotations": theirs}}));
            let patched = secrets(&place).patch(&name, &PatchParams::default(), &patch).await.unwrap();
            refresh(&place, &name, &format!("round-{round}"));
            assert_eq!(versions(&place, &name).await[1], patched.metadata.resource_version, "{policy}");
        }
        // The same write once more is none, to the API server too; and then nobody writes.
        let settled = versions(&place, &name).await;
        refresh(&place, &name, "round-3");
        let witness = format!("{name}-witness");
        objects::apply(
            &place.client,
            None,
            &place.world.sealer.seal(&place.namespace, &witness, &[("a", "1")], &[]),
        )
        .await;
        wait_for_condition(&place.client, &place.namespace, &witness, "Ready", "True").await;
        assert_eq!(versions(&place, &name).await, settled, "{policy}");
    }
}

#[tokio::test]
async fn a_secret_of_a_helm_release_is_left_to_it_and_the_release_is_named() {
    let place = Place::new("helm").await;
    let secret = json!({
        "metadata": {
            "name": "db",
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {
                "meta.helm.sh/release-name": "postgresql", "meta.helm.sh/release-namespace": "another-team",
            },
        },
        "stringData": {"theirs": "x"},
    });
    let made =
        secrets(&place).create(&Default::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let create = ["create", "secret", "generic", "by-hand", "--from-literal=theirs=x"];
    place.control_plane.kubectl_ok(&[&["--namespace", place.namespace.as_str()][..], &create].concat(), "");
    for (name, part) in [("db", "Helm release postgresql"), ("by-hand", "kubectl-create wrote it")] {
        let sealed = place.world.sealer.seal(&place.namespace, name, &[("a", "1")], &[]);
        objects::apply(&place.client, None, &sealed).await;
        let told = wait_for_condition(&place.client, &place.namespace, name, "Stalled", "True").await;
        assert_eq!(told.reason, "TargetNotOwned");
        assert!(told.message.contains(part), "{}", told.message);
        // A controller names another namespace to nobody.
        assert!(!told.message.contains("another-team"), "{}", told.message);
        wait_for_secret(&place.client, &place.namespace, name, &[("theirs", b"x")]).await;
    }
    assert_eq!(versions(&place, "db").await[1], made.metadata.resource_version);

    // The chart lets go of it, and the object heals.
    secrets(&place).delete("db", &Default::default()).await.unwrap();
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
    wait_for_condition(&place.client, &place.namespace, "db", "Ready", "True").await;
}

#[tokio::test]
async fn who_asks_is_answered_whatever_comes_of_it_and_nonsense_is_not_repeated() {
    let place = Place::new("refresh").await;
    let api = sealed_secrets(&place.client, &place.namespace);
    let handled = async |name: &str| {
        let object = api.get(name).await.unwrap();
        object.data["status"]["lastHandledReconcileAt"].as_str().map(str::to_owned)
    };
    let good = place.world.sealer.seal(&place.namespace, "good", &[("a", "1")], &[]);
    let mut bad = place.world.sealer.seal(&place.namespace, "bad", &[("a", "1")], &[]);
    bad["spec"]["encryptedData"] = good["spec"]["encryptedData"].clone();
    for sealed in [&good, &bad] {
        objects::apply(&place.client, None, sealed).await;
    }
    wait_for_condition(&place.client, &place.namespace, "good", "Ready", "True").await;
    let told = wait_for_condition(&place.client, &place.namespace, "bad", "Stalled", "True").await;
    assert_eq!(handled("good").await, None);
    let secret = versions(&place, "good").await[1].clone();
    for request in ["2026-11-30T12:00:00Z", "2026-11-30T12:00:01Z"] {
        for name in ["good", "bad"] {
            refresh(&place, name, request);
        }
        let still = wait_for_condition(&place.client, &place.namespace, "bad", "Stalled", "True").await;
        assert_eq!(still, told);
    }
    wait_for_condition(&place.client, &place.namespace, "good", "Ready", "True").await;
    assert_eq!(versions(&place, "good").await[1], secret, "a right Secret is not written");

    let nonsense = Patch::Merge(json!({"metadata": {"annotations": {
        "reconcile.fluxcd.io/requestedAt": "x".repeat(129),
    }}}));
    api.patch("good", &PatchParams::default(), &nonsense).await.unwrap();
    let mut again = place.world.sealer.seal(&place.namespace, "good", &[("a", "2")], &[]);
    again["metadata"]["annotations"] = json!({});
    objects::apply(&place.client, None, &again).await;
    wait_for_secret(&place.client, &place.namespace, "good", &[("a", b"2")]).await;
    wait_for_condition(&place.client, &place.namespace, "good", "Ready", "True").await;
    assert_eq!(
        handled("good").await.as_deref(),
        Some("2026-11-30T12:00:01Z"),
        "the last one that was a time"
    );
}
