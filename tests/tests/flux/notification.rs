//! Who has an alert on a Kustomization is told of a seal that does not open.

use super::Place;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::flux::{Receiver, kustomization};
use privyseal_tests::objects;
use serde_json::{Value, json};

#[tokio::test]
async fn an_alert_tells_what_failed() {
    let place = Place::new("alert").await;
    let receiver = Receiver::start().await;
    let provider = json!({
        "apiVersion": "notification.toolkit.fluxcd.io/v1beta3", "kind": "Provider",
        "metadata": {"name": "webhook"}, "spec": {"type": "generic", "address": receiver.url()},
    });
    let alert = json!({
        "apiVersion": "notification.toolkit.fluxcd.io/v1beta3", "kind": "Alert",
        "metadata": {"name": "secrets"},
        "spec": {
            "providerRef": {"name": "webhook"}, "eventSeverity": "error",
            "eventSources": [{"kind": "Kustomization", "name": "*"}],
        },
    });
    for object in [&provider, &alert] {
        objects::apply(&place.client, Some(&place.namespace), object).await;
    }

    let mut sealed: Value = serde_json::from_str(&place.sealed("db", "hunter2")).unwrap();
    sealed["spec"]["encryptedData"]["password"] = json!("this is not base64");
    place.repository.write("sealed/db.yaml", &sealed.to_string());
    let revision = place.repository.commit("a bad merge");
    place.source.reconcile().await;
    let app = place.watched(&kustomization("sealed", "team", "./sealed")).await;
    let red = app.wait_not_ready(&revision, "SealedSecret/").await;

    let event = eventually(PATIENCE, async || {
        let received = receiver.received();
        let about = |event: &&Value| event["reason"] == "HealthCheckFailed";
        received.iter().find(about).cloned().ok_or_else(|| json!(received).to_string())
    })
    .await;
    assert_eq!(event["severity"], "error");
    assert_eq!(event["involvedObject"]["kind"], "Kustomization");
    let message = event["message"].as_str().unwrap_or_default();
    assert!(message.contains(&format!("SealedSecret/{}/db status: 'Failed'", place.namespace)), "{message}");
    assert!(message.contains("stalled") && red.ready.message.contains("stalled"), "{message}");
}
