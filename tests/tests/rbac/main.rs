//! The chart gives the controller what it needs and no more: with any one verb taken away, something fails.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use privyseal_tests::objects::{self, sealed_secrets};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How the controller words a refusal, whatever it was doing.
const REFUSED: &str = "the API server answered 403";
/// From start to the first refusal: two seconds to the first renewal of the Lease, and some for a busy machine.
const LIMIT: Duration = Duration::from_secs(40);

/// One verb of one rule.
#[derive(Clone, Debug)]
struct Right {
    role: String,
    rule: usize,
    verb: String,
    resources: Value,
}

#[tokio::test]
async fn each_verb_of_the_chart_is_needed() {
    let control_plane = ControlPlane::start();
    // Everybody may read the published keys, and the controller is somebody: its own right would not be missed.
    let options = || ReleaseOptions::default().set("rbac.publishedKeys.create=false");
    let whole = Release::install(&control_plane, options()).await;
    let rights = rights(whole.objects(), whole.name());
    assert!(rights.len() >= 15, "{rights:#?}");

    // With all of them nothing is refused, however long it is driven.
    let mut controller =
        Controller::start(&whole, ControllerOptions::default().arg("--log-level=debug")).await;
    let refused = drive(&control_plane, &mut controller, whole.namespace(), Duration::from_secs(6)).await;
    assert!(!refused, "{}", controller.logs());
    controller.kill();

    let mut not_missed = Vec::new();
    for right in rights {
        let without = options().without_crds();
        let release =
            Release::install_edited(&control_plane, without, |objects| take_away(objects, &right)).await;
        let mut controller =
            Controller::launch(&release, ControllerOptions::default().arg("--log-level=debug")).await;
        if !drive(&control_plane, &mut controller, release.namespace(), LIMIT).await {
            not_missed.push(right);
        }
        controller.kill();
        // Its objects would be in the way of the next one.
        let namespace = release.namespace();
        sealed_secrets(&control_plane.client(), namespace).delete("db", &Default::default()).await.ok();
    }
    assert!(not_missed.is_empty(), "nothing misses these rights: {not_missed:#?}");
}

/// The verbs of the controller's own roles, in the order of the chart.
fn rights(objects: &[Value], release: &str) -> Vec<Right> {
    let mut rights = Vec::new();
    for object in objects {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let is_role = matches!(object["kind"].as_str(), Some("Role" | "ClusterRole"));
        // What others may do with us is not ours.
        let is_for_others = ["proxier", "published", "resealer"].iter().any(|role| name.contains(role));
        if !is_role || is_for_others {
            continue;
        }
        for (rule, content) in object["rules"].as_array().unwrap().iter().enumerate() {
            for verb in content["verbs"].as_array().unwrap() {
                rights.push(Right {
                    role: format!(
                        "{} {}",
                        object["kind"].as_str().unwrap(),
                        name.replace(release, "RELEASE")
                    ),
                    rule,
                    verb: verb.as_str().unwrap().to_owned(),
                    resources: content["resources"].clone(),
                });
            }
        }
    }
    rights
}

fn take_away(objects: &mut [Value], right: &Right) {
    let mut taken = 0;
    for object in objects {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        if right.role.split(' ').next() != Some(&kind) {
            continue;
        }
        let Some(rule) = object["rules"].get_mut(right.rule) else { continue };
        if rule["resources"] != right.resources {
            continue;
        }
        let verbs = rule["verbs"].as_array_mut().unwrap();
        let before = verbs.len();
        verbs.retain(|verb| *verb != json!(right.verb));
        taken += before - verbs.len();
        if verbs.is_empty() {
            // A rule without verbs is invalid; this one means nothing.
            verbs.push(json!("none"));
        }
    }
    assert_eq!(taken, 1, "{right:?}");
}

/// Makes the controller do everything that it can do, again and again; says whether it was refused anything.
async fn drive(
    control_plane: &ControlPlane,
    controller: &mut Controller,
    own: &str,
    limit: Duration,
) -> bool {
    let client = control_plane.client();
    let started = Instant::now();
    let mut round = 0;
    while started.elapsed() < limit {
        if controller.logs().contains(REFUSED) {
            return true;
        }
        assert!(controller.ended().is_none(), "{}", controller.logs());
        poke(&client, controller, own, round).await;
        round += 1;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    false
}

/// One thing that somebody does to the cluster. Whether it works is not asked: without a right much does not.
async fn poke(client: &Client, controller: &Controller, own: &str, round: usize) {
    let certificate = match controller.request(http::Method::GET, "/v1/cert.pem", Vec::new()) {
        request if round > 3 => request.await,
        _ => return,
    };
    if certificate.status != 200 {
        return;
    }
    let sealer = Sealer::to(&certificate.text());
    let params = PatchParams::default();
    match round % 4 {
        0 => {
            let secrets: Api<Secret> = Api::namespaced(client.clone(), own);
            secrets.patch("db", &params, &Patch::Merge(json!({"data": {"x": "eA=="}}))).await.ok();
        }
        1 => {
            let maps: Api<ConfigMap> = Api::namespaced(client.clone(), own);
            let name = "privyseal-sealing-keys";
            maps.patch(name, &params, &Patch::Merge(json!({"data": {"cert.pem": "x"}}))).await.ok();
        }
        // Good, bad and good again is one event that comes twice.
        2 => {
            objects::try_apply(client, Some(own), &sealer.seal(own, "db", &[("a", "1")], &[])).await.ok();
        }
        _ => {
            let mut bad = sealer.seal(own, "db", &[("a", "1")], &[]);
            bad["spec"]["encryptedData"]["a"] = json!("AAAA");
            objects::try_apply(client, Some(own), &bad).await.ok();
        }
    }
}
