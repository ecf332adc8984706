//! No plaintext, no private key and no unkeyed digest of either leaves by any channel. The search is first shown to
//! find what is leaked on purpose, in each channel and in each form that it looks for.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod search;
mod vaults;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use privyseal_tests::objects::{self, sealed_secrets, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use search::{Canaries, Channels};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const VALUE: &str = "CANARY-hunter2-b7f1c9";
const CHANGED: &str = "CANARY-changed-by-hand-41d0";

#[tokio::test]
async fn nothing_leaks_by_any_channel() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    // As loud as it goes, and louder than it listens to.
    let loud = ControllerOptions::default()
        .arg("--log-level=debug")
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full");
    let mut controller = Controller::start(&release, loud).await;
    let sealer = Sealer::of(&controller).await;
    let namespace = control_plane.namespace("canary").await;

    let posted = everything_that_can_go_wrong(&client, &sealer, &namespace).await;
    // Once more from the start, without markers to believe.
    controller.kill();
    controller.start_again().await;
    wait_for_secret(&client, &namespace, "good", &[("password", VALUE.as_bytes())]).await;
    wait_for_condition(&client, &namespace, "good", "Ready", "True").await;

    let mut canaries = Canaries::of(&[VALUE.as_bytes(), CHANGED.as_bytes()]);
    for key in private_keys(&client, release.namespace()).await {
        canaries.add_private_key(&key);
    }
    let channels = collect(&client, &controller, release.namespace(), &namespace, &posted).await;
    assert_eq!(canaries.find(&channels), Vec::<String>::new());
    assert!(channels.len() >= 6, "{:?}", channels.names());

    // The proof that the search would have found it: leak it on purpose.
    canaries.prove(&channels);
    leak(&client, &namespace, "good", VALUE).await;
    let leaked = collect(&client, &controller, release.namespace(), &namespace, &posted).await;
    let found = canaries.find(&leaked).join("\n");
    for channel in ["SealedSecrets", "events", "ConfigMaps"] {
        assert!(found.contains(channel), "{channel} is not searched:\n{found}");
    }
}

/// Gives the objects that it applied, and a Secret in the clear: somebody posts that by mistake.
async fn everything_that_can_go_wrong(client: &Client, sealer: &Sealer, namespace: &str) -> Vec<Value> {
    let seal = |name: &str| sealer.seal(namespace, name, &[("password", VALUE), ("other", VALUE)], &[]);
    let good = sealer.seal(namespace, "good", &[("password", VALUE)], &[]);
    objects::apply(client, None, &good).await;
    wait_for_secret(client, namespace, "good", &[("password", VALUE.as_bytes())]).await;

    let mut moved = seal("moved");
    moved["metadata"]["name"] = json!("renamed");
    let mut damaged = seal("damaged");
    damaged["spec"]["encryptedData"]["other"] = json!("not base64");
    let mut templated = seal("templated");
    templated["spec"]["template"]["data"] = json!({"x": "{{ fail .password }}"});
    let mut typed = seal("typed");
    typed["spec"]["template"]["type"] = json!("kubernetes.io/tls");
    let mut labelled = seal("labelled");
    labelled["spec"]["template"]["metadata"]["labels"] = json!({"not a label": "!"});
    let mut refused = seal("refused");
    refused["spec"]["template"]["type"] = json!("bootstrap.kubernetes.io/token");
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let theirs = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "foreign"}, "stringData": {"a": VALUE},
    });
    api.create(&PostParams::default(), &serde_json::from_value(theirs.clone()).unwrap()).await.unwrap();
    let objects = [moved, damaged, templated, typed, labelled, refused, seal("foreign")];
    for object in &objects {
        objects::apply(client, None, object).await;
        let name = object["metadata"]["name"].as_str().unwrap();
        wait_for_condition(client, namespace, name, "Stalled", "True").await;
    }

    let by_hand = Patch::Merge(json!({"stringData": {"password": CHANGED, "foreign": CHANGED}}));
    api.patch("good", &PatchParams::default(), &by_hand).await.unwrap();
    wait_for_secret(client, namespace, "good", &[("password", VALUE.as_bytes())]).await;
    objects.into_iter().chain([good, theirs]).collect()
}

async fn private_keys(client: &Client, namespace: &str) -> Vec<Vec<u8>> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let all = api.list(&ListParams::default()).await.unwrap();
    let of = |secret: Secret| {
        let data = secret.data.unwrap_or_default();
        ["tls.key", "publisher.key"]
            .into_iter()
            .filter_map(move |item| data.get(item).map(|value| value.0.clone()))
            .collect::<Vec<_>>()
    };
    let keys: Vec<_> = all.items.into_iter().flat_map(of).collect();
    assert!(keys.len() >= 2, "a sealing key and the publisher key");
    keys
}

/// Everything that somebody without a right to Secrets may come to read.
async fn collect(
    client: &Client,
    controller: &Controller,
    own: &str,
    namespace: &str,
    posted: &[Value],
) -> Channels {
    let mut channels = Channels::default();
    // Before the log is read.
    let mut answered = BTreeSet::new();
    for path in ["/v1/verify", "/v1/rotate"] {
        for object in posted {
            let answer = controller.request(http::Method::POST, path, object.to_string().into_bytes()).await;
            answered.insert(answer.status);
            channels.add(&format!("http {path}"), format!("{:?} {}", answer.headers, answer.text()));
        }
    }
    assert_eq!(answered, BTreeSet::from([200, 400, 409]));
    channels.add("log", controller.logs());
    channels.add("metrics", controller.metrics().await.text().to_owned());
    for path in ["/healthz", "/readyz", "/v1/cert.pem", "/nothing"] {
        channels.add(&format!("http {path}"), format!("{:?}", controller.http(path).await));
    }
    for place in [own, namespace] {
        let events: Api<Event> = Api::namespaced(client.clone(), place);
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), place);
        let params = ListParams::default();
        let json = |list: Result<serde_json::Value, _>| {
            list.unwrap_or_else(|error: serde_json::Error| panic!("{error}")).to_string()
        };
        channels.add("events", json(serde_json::to_value(events.list(&params).await.unwrap().items)));
        channels.add("ConfigMaps", json(serde_json::to_value(maps.list(&params).await.unwrap().items)));
        channels.add(
            "SealedSecrets",
            json(serde_json::to_value(sealed_secrets(client, place).list(&params).await.unwrap().items)),
        );
    }
    channels
}

/// Where anybody may write it: a ConfigMap, an annotation of this SealedSecret, and an event.
pub(crate) async fn leak(client: &Client, namespace: &str, sealed_secret: &str, what: &str) {
    let leak = json!({"metadata": {"name": "leak"}, "data": {"leak": what}});
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    maps.create(&PostParams::default(), &serde_json::from_value(leak).unwrap()).await.unwrap();
    let annotation = Patch::Merge(json!({"metadata": {"annotations": {"leak": what}}}));
    let sealed = sealed_secrets(client, namespace);
    sealed.patch(sealed_secret, &PatchParams::default(), &annotation).await.unwrap();
    // A note has at most 1024 characters; the end of a token is what matters of it.
    let note = &what[what.len().saturating_sub(1000)..];
    let event = json!({
        "metadata": {"name": "leak"}, "eventTime": "2026-01-01T00:00:00.000000Z", "action": "Leak", "reason": "Leak",
        "regarding": {"kind": "Secret", "name": "leak", "namespace": namespace}, "type": "Normal",
        "reportingController": "test", "reportingInstance": "test", "note": note,
    });
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    events.create(&PostParams::default(), &serde_json::from_value(event).unwrap()).await.unwrap();
}
