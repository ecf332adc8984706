//! What the controller believes of a key, and of whom: keys that its leader made, keys that somebody planted, keys that
//! leaked. All of it has to outlive a leader, and a ConfigMap that somebody drops.

use super::ring::{named, new_key};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::{Value, json};

const PUBLISHED: &str = "privyseal-sealing-keys";

pub(crate) struct Place {
    maps: Api<ConfigMap>,
    pub(crate) secrets: Api<Secret>,
    events: Api<Event>,
}

impl Place {
    pub(crate) fn new(client: &Client, namespace: &str) -> Self {
        Self {
            maps: Api::namespaced(client.clone(), namespace),
            secrets: Api::namespaced(client.clone(), namespace),
            events: Api::namespaced(client.clone(), namespace),
        }
    }

    /// Waits until status and list of the published ConfigMap are as wanted; gives both.
    pub(crate) async fn published(&self, wanted: impl Fn(&Value, &Value) -> bool) -> (Value, Value) {
        eventually(PATIENCE, async || {
            let map = self.maps.get_opt(PUBLISHED).await.map_err(|error| error.to_string())?;
            let data = map.and_then(|map| map.data).ok_or("no ConfigMap")?;
            let read = |item| data.get(item).and_then(|text| serde_json::from_str(text).ok());
            let (status, list) =
                (read("status.json").ok_or("no status")?, read("sealing-keys.json").ok_or("no list")?);
            if wanted(&status, &list) { Ok((status, list)) } else { Err(format!("{status} {list}")) }
        })
        .await
    }

    /// Names of Secrets that an event calls foreign.
    async fn told_of(&self) -> Vec<String> {
        let events = self.events.list(&ListParams::default()).await.unwrap().items;
        let foreign = events.into_iter().filter(|event| event.reason.as_deref() == Some("ForeignSealingKey"));
        foreign.filter_map(|event| event.regarding?.name).collect()
    }

    async fn mark_as_compromised(&self, secret: &str) {
        let mark =
            json!({"metadata": {"annotations": {"privyseal.dev/compromised": "2026-11-24T12:00:00Z"}}});
        self.secrets.patch(secret, &PatchParams::default(), &Patch::Merge(mark)).await.unwrap();
    }

    pub(crate) async fn drop_list(&self) {
        self.maps.delete(PUBLISHED, &Default::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_planted_and_a_leaked_key_are_known_whoever_leads_and_whatever_is_dropped() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let never = ControllerOptions::default().arg("--key-renew-period=0");
    let mut controller = Controller::start(&release, never).await;
    let place = Place::new(&client, release.namespace());
    let namespace = control_plane.namespace("marks").await;

    // Made by an earlier leader, and known as such without a list.
    let (first, _) = place.published(|status, _| status["reason"] == "MadeByLeader").await;
    controller.kill();
    place.drop_list().await;
    controller.start_again().await;
    let (status, _) = place.published(|status, _| status["reason"] == "MadeByLeader").await;
    assert_eq!(status["fingerprint"], first["fingerprint"]);
    assert_eq!(controller.metrics().await.sum("privyseal_foreign_keys_total", &[]), 0.0);

    // Planted while nobody led, with the list dropped, too. A second has to pass, so that it is the newest.
    controller.kill();
    place.drop_list().await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    objects::apply(&client, None, &named(new_key(release.namespace()), "planted")).await;
    controller.start_again().await;
    let (planted, _) = place.published(|status, _| status["reason"] == "ForeignSealingKey").await;
    assert_eq!(planted["secret"], "planted");
    assert_eq!(place.told_of().await, ["planted"]);
    let metrics = controller.metrics().await;
    assert_eq!(metrics.sum("privyseal_foreign_keys_total", &[]), 1.0);
    assert_eq!(metrics.value("privyseal_sealing_key_foreign", &[]), Some(1.0));
    let sealer = Sealer::of(&controller).await;

    // Marked as compromised: replaced at once though keys are not renewed, revoked, and still opening.
    place.mark_as_compromised("planted").await;
    // It goes by three fingerprints: that of its certificate, and one for each of its recipients.
    let revoked = |key: &Value| {
        let key = key["fingerprint"].clone();
        move |status: &Value, list: &Value| {
            let revoked = list["revoked"].as_array().unwrap();
            status["reason"] == "MadeByLeader"
                && revoked.len() == 3
                && revoked.contains(&key)
                && list["keys"].as_array().unwrap().iter().all(|entry| entry["fingerprint"] != key)
        }
    };
    let (status, _) = place.published(revoked(&planted)).await;
    assert_ne!(status["fingerprint"], first["fingerprint"], "the older key is no substitute");
    assert_eq!(controller.metrics().await.value("privyseal_sealing_key_foreign", &[]), Some(0.0));
    objects::apply(&client, None, &sealer.seal(&namespace, "late", &[("a", "1")], &[])).await;
    wait_for_secret(&client, &namespace, "late", &[("a", b"1")]).await;

    // Retired, the controller restarted and the list dropped: the mark says it again.
    let retired =
        json!({"metadata": {"labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "retired"}}});
    place.secrets.patch("planted", &PatchParams::default(), &Patch::Merge(retired)).await.unwrap();
    controller.kill();
    place.drop_list().await;
    controller.start_again().await;
    place.published(revoked(&planted)).await;
    // The Secret gone, and another start: the list says it again.
    controller.kill();
    place.secrets.delete("planted", &Default::default()).await.unwrap();
    controller.start_again().await;
    place.mark_as_compromised(status["secret"].as_str().unwrap()).await;
    let (_, list) = place
        .published(|status, list| {
            status["reason"] == "MadeByLeader" && list["revoked"].as_array().unwrap().len() == 6
        })
        .await;
    assert!(list["revoked"].as_array().unwrap().contains(&planted["fingerprint"]));
    controller.stop();
}
