//! A successor of the sealing key on request: one, however long the request stays.

use super::key_secrets;
use super::marks::Place;
use kube::api::{Patch, PatchParams};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::json;

#[tokio::test]
async fn a_successor_that_is_asked_for_is_made_once_however_long_the_mark_stays() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    // Asked for or not: that keys are not renewed by age is no reason.
    let never = || ControllerOptions::default().arg("--key-renew-period=0");
    let mut controller = Controller::start(&release, never()).await;
    let mut standby = Controller::start(&release, never()).await;
    let place = Place::new(&client, release.namespace());
    let keys = async || key_secrets(&client, release.namespace()).await.items.len();
    let made =
        async |controller: &Controller| controller.metrics().await.sum("privyseal_keys_made_total", &[]);
    let (first, _) = place.published(|status, _| status["reason"] == "MadeByLeader").await;
    assert_eq!(keys().await, 1);

    let ask = json!({"metadata": {"annotations": {"privyseal.dev/rotate": "2026-11-24T12:00:00Z"}}});
    let ask = Patch::Merge(ask);
    place.secrets.patch(first["secret"].as_str().unwrap(), &PatchParams::default(), &ask).await.unwrap();
    let (second, list) = place
        .published(|status, _| {
            status["reason"] == "MadeByLeader" && status["fingerprint"] != first["fingerprint"]
        })
        .await;
    assert_eq!(list["keys"].as_array().unwrap().len(), 2, "{list}");
    assert_eq!(list["revoked"], json!([]), "the old one is not compromised");
    assert_eq!(made(&controller).await + made(&standby).await, 2.0);

    // The mark stays. Another replica leads, then one that has just started; the list is made anew, and no key.
    controller.kill();
    place.drop_list().await;
    place.published(|status, _| status["fingerprint"] == second["fingerprint"]).await;
    controller.start_again().await;
    standby.kill();
    place.drop_list().await;
    place.published(|status, _| status["fingerprint"] == second["fingerprint"]).await;
    assert_eq!((keys().await, made(&controller).await), (2, 0.0));

    // A new request is on the key that seals now.
    place.secrets.patch(second["secret"].as_str().unwrap(), &PatchParams::default(), &ask).await.unwrap();
    eventually(PATIENCE, async || match keys().await {
        3 => Ok(()),
        other => Err(other),
    })
    .await;
    controller.stop();
}
