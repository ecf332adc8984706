//! Others that wait for a Secret, or take values from it.

use super::Place;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::flux::kustomization;
use privyseal_tests::objects::sealed_secrets;
use serde_json::json;

impl Place {
    /// As [`sealed`](Self::sealed), with the label by which Flux looks at a Secret that others take values from.
    pub(crate) fn sealed_and_watched(&self, name: &str, password: &str) -> String {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "name": name, "namespace": self.namespace, "labels": {"reconcile.fluxcd.io/watch": "Enabled"},
            },
            "stringData": {"password": password},
        });
        self.world.sealer.seal_secret(&secret, &[]).to_string()
    }

    /// The `url` of a ConfigMap.
    pub(crate) async fn url(&self, name: &str) -> Option<String> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        maps.get_opt(name).await.unwrap()?.data?.get("url").cloned()
    }
}

#[tokio::test]
async fn an_app_waits_for_its_secrets_and_takes_their_values() {
    let place = Place::new("depends").await;
    let (apps, source_of_apps) = place.repository("apps").await;
    let hold = place.hold_secrets();
    place.repository.write("sealed/db.yaml", &place.sealed_and_watched("db", "first"));
    let sealed = place.repository.commit("a password");
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"},
        "data": {"url": "postgres://app:${password}@db"},
    });
    apps.write("app/map.yaml", &map.to_string());
    let commit = apps.commit("an app");
    place.source.reconcile().await;
    source_of_apps.reconcile().await;

    let secrets = place.watched(&kustomization("secrets", "team", "./sealed")).await;
    let mut app = kustomization("app", "apps", "./app");
    app["spec"]["targetNamespace"] = json!(place.namespace);
    app["spec"]["dependsOn"] = json!([{"name": "secrets"}]);
    app["spec"]["postBuild"] = json!({"substituteFrom": [{"kind": "Secret", "name": "db"}]});
    let app = place.watched(&app).await;

    // The SealedSecret is applied and waits for us; the app is not, and waits for it.
    secrets.wait_checking().await;
    let waiting = app.wait_not_ready(None, "secrets").await;
    assert_eq!(waiting.ready.reason, "DependencyNotReady");
    assert!(sealed_secrets(&place.client, &place.namespace).get_opt("db").await.unwrap().is_some());
    assert_eq!(place.url("app").await, None);
    hold.remove();
    secrets.wait_ready(&sealed).await;
    app.wait_ready(&commit).await;
    assert_eq!(place.url("app").await.as_deref(), Some("postgres://app:first@db"));

    // A change of the Secret alone reaches the app: of the app's source and Kustomization nothing changed.
    place.repository.write("sealed/db.yaml", &place.sealed_and_watched("db", "second"));
    let sealed = place.repository.commit("another password");
    place.source.reconcile().await;
    secrets.wait_ready(&sealed).await;
    eventually(PATIENCE, async || match place.url("app").await.as_deref() {
        Some("postgres://app:second@db") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
