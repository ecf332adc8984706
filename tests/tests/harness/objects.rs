//! What tests read and write arrives as it was meant.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use kube::api::{Patch, PatchParams};
use kube::discovery::pinned_kind;
use privyseal_tests::{ControlPlane, objects};
use serde_json::json;

/// Enough of the real definition to hold a status.
const DEFINITION: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: sealedsecrets.bitnami.com}
spec:
  group: bitnami.com
  scope: Namespaced
  names: {kind: SealedSecret, plural: sealedsecrets}
  versions:
    - name: v1alpha1
      served: true
      storage: true
      subresources: {status: {}}
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
---
# Nothing here.
---
apiVersion: v1
kind: ConfigMap
metadata: {name: beside, namespace: default}
";

#[tokio::test]
async fn a_secret_is_read_as_bytes() {
    let control_plane = ControlPlane::shared();
    let client = control_plane.client();
    let namespace = control_plane.namespace("secret").await;
    assert_eq!(objects::secret_data(&client, &namespace, "made").await, None);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "made"}, "data": {"raw": "AP8="},
    });
    let applied = objects::apply(&client, Some(&namespace), &secret).await;
    assert_eq!(applied.metadata.namespace.as_deref(), Some(namespace.as_str()));
    objects::wait_for_secret(&client, &namespace, "made", &[("raw", &[0, 255])]).await;

    let data = objects::secret_data(&client, &namespace, "made").await.unwrap();
    assert_eq!(data["raw"], [0, 255]);

    let bad =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bad"}, "data": {"raw": "!"}});
    assert!(objects::try_apply(&client, Some(&namespace), &bad).await.is_err());
}

#[tokio::test]
async fn a_condition_counts_only_for_the_present_spec() {
    // No other test of this binary has this kind on the shared one.
    let control_plane = ControlPlane::shared();
    let client = control_plane.client();
    let applied = objects::apply_yaml(&client, None, DEFINITION).await;
    assert_eq!(applied.len(), 2);

    let namespace = control_plane.namespace("conditions").await;
    let sealed = json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
        "metadata": {"name": "some"}, "spec": {"encryptedData": {}},
    });
    let kind = kube::core::GroupVersionKind::gvk("bitnami.com", "v1alpha1", "SealedSecret");
    objects::apply(&client, Some(&namespace), &sealed).await;
    assert!(pinned_kind(&client, &kind).await.is_ok());

    let api = objects::sealed_secrets(&client, &namespace);
    let status = |generation: i64| {
        json!({"status": {"observedGeneration": generation, "conditions": [
            {"type": "Synced", "status": "False", "reason": "Other", "message": "no"},
            {"type": "Ready", "status": "True", "reason": "Done", "message": "yes"},
        ]}})
    };
    let set = async |generation| {
        let patch = Patch::Merge(status(generation));
        api.patch_status("some", &PatchParams::default(), &patch).await.unwrap()
    };
    let object = set(1).await;
    let kinds: Vec<String> = objects::conditions(&object).into_iter().map(|found| found.kind).collect();
    assert_eq!(kinds, ["Synced", "Ready"]);
    let ready = objects::wait_for_condition(&client, &namespace, "some", "Ready", "True").await;
    assert_eq!((ready.reason.as_str(), ready.message.as_str()), ("Done", "yes"));

    // A newer spec: what was said about the older one no longer counts.
    let changed = json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
        "metadata": {"name": "some"}, "spec": {"encryptedData": {"a": "b"}},
    });
    objects::apply(&client, Some(&namespace), &changed).await;
    let short = Duration::from_millis(500);
    let wait = objects::wait_for_condition_within(short, &client, &namespace, "some", "Ready", "True");
    let failure = AssertUnwindSafe(wait).catch_unwind().await.unwrap_err();
    let message = failure.downcast::<String>().unwrap();
    assert!(message.contains("generation Some(2), observedGeneration Some(1)"), "{message}");
    set(2).await;
    objects::wait_for_condition(&client, &namespace, "some", "Ready", "True").await;
}
