//! A team whose Flux may write SealedSecrets and no Secrets.

use super::Place;
use kube::api::PostParams;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::flux::kustomization;
use privyseal_tests::objects;
use serde_json::json;

#[tokio::test]
async fn whoever_applies_sealed_secrets_needs_no_right_to_secrets() {
    let place = Place::new("tenant").await;
    let rbac = "rbac.authorization.k8s.io";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "applier"}});
    let role = json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": {"name": "applier"},
        "rules": [{
            "apiGroups": ["bitnami.com"], "resources": ["sealedsecrets"],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"],
        }],
    });
    let binding = json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": "applier"},
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "applier"},
        "subjects": [{"kind": "ServiceAccount", "name": "applier", "namespace": place.namespace}],
    });
    for object in [&account, &role, &binding] {
        objects::apply(&place.client, Some(&place.namespace), object).await;
    }
    // The authorizer sees the binding a little later.
    let applier = place.control_plane.client_as(&place.namespace, "applier").await;
    let sealed = objects::sealed_secrets(&applier, &place.namespace);
    eventually(PATIENCE, async || sealed.list(&Default::default()).await.map(drop)).await;

    place.repository.write("sealed/db.yaml", &place.sealed("db", "first"));
    let revision = place.repository.commit("a password");
    place.source.reconcile().await;
    let mut object = kustomization("sealed", "team", "./sealed");
    object["spec"]["serviceAccountName"] = json!("applier");
    let app = place.watched(&object).await;
    app.wait_ready(&revision).await;
    assert!(place.has_password("db", "first").await);

    // And it has none: a Secret in the clear does not come in this way.
    let plain = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "plain", "namespace": place.namespace},
        "stringData": {"password": "in the clear"},
    });
    place.repository.write("sealed/plain.yaml", &plain.to_string());
    let revision = place.repository.commit("a Secret that nobody sealed");
    place.source.reconcile().await;
    app.wait_not_ready(&revision, "forbidden").await;
    let secrets = kube::Api::<k8s_openapi::api::core::v1::Secret>::namespaced(applier, &place.namespace);
    let refused = secrets.create(&PostParams::default(), &Default::default()).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403));
    assert!(!place.has_password("plain", "in the clear").await);
}
