//! The age identities of keys: a key without them gets them, they are renewed and retired with it, and a restart opens nothing.

use super::ring::named;
use super::{ACTIVE, key_secrets};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use privyseal_envelope::Scope;
use privyseal_envelope::age::Kind;
use privyseal_tests::age_keys::{AgeSealer, recipient_of};
use privyseal_tests::controller::{Chart, Program};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::{Value, json};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/golden/0.1.0");

fn golden(name: &str) -> Value {
    objects::documents(&std::fs::read_to_string(format!("{GOLDEN}/{name}")).unwrap()).remove(0)
}

/// The recipients of the key that seals, as the ConfigMap has them and as the controller serves them.
async fn recipients(client: &Client, controller: &Controller, namespace: &str) -> String {
    eventually(PATIENCE, async || {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let map = maps.get_opt("privyseal-sealing-keys").await.unwrap().and_then(|map| map.data);
        let data = map.unwrap_or_default();
        let answer = controller.http("/v1/recipients").await;
        match data.get("recipients") {
            Some(published) if answer.status == 200 && *published == answer.text() => {
                let list: Value = serde_json::from_str(&data["sealing-keys.json"]).unwrap();
                let listed: Vec<_> = published.lines().map(|line| json!(line)).collect();
                assert_eq!(list["keys"][0]["recipients"], json!(listed), "the signed list says the same");
                Ok(answer.text())
            }
            other => Err(format!("{other:?} {}: {}", answer.status, answer.text())),
        }
    })
    .await
}

fn text(secret: &Secret, item: &str) -> String {
    String::from_utf8(secret.data.as_ref().unwrap()[item].0.clone()).unwrap()
}

#[tokio::test]
async fn a_key_of_the_previous_release_gets_identities_and_the_peer_goes_on_reading_it() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let place = |name| ReleaseOptions::default().place(name, "shared");
    let release = Release::install(&control_plane, place("ours")).await;
    let mut key = golden("key.yaml");
    key["metadata"]["namespace"] = json!(release.namespace());
    objects::apply(&client, None, &key).await;
    let before = key_secrets(&client, release.namespace()).await.items.remove(0);
    let never = ControllerOptions::default().arg("--key-renew-period=0");
    let mut controller = Controller::start(&release, never).await;
    let served = recipients(&client, &controller, release.namespace()).await;
    let lines: Vec<_> = served.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("age1pq1") && lines[1].starts_with("age1"), "{served}");

    let keys = key_secrets(&client, release.namespace()).await.items;
    assert_eq!(keys.len(), 1, "no key was made");
    for (item, more) in [("tls.crt", "age1pq1"), ("tls.key", "AGE-SECRET-KEY-PQ-1")] {
        let (before, after) = (text(&before, item), text(&keys[0], item));
        assert!(after.strip_prefix(&before).is_some_and(|rest| rest.starts_with(more)), "{item}");
    }
    let certificate = controller.http("/v1/cert.pem").await.text();
    assert_eq!(certificate.trim(), std::fs::read_to_string(format!("{GOLDEN}/cert.pem")).unwrap().trim());

    // Values of that release, and new ones of both formats.
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}});
    objects::apply(&client, None, &namespace).await;
    objects::apply(&client, None, &golden("strict.sealed.yaml")).await;
    wait_for_condition(&client, "team-a", "db", "Ready", "True").await;
    for kind in [Kind::Hybrid, Kind::X25519] {
        let sealed = AgeSealer::of(&controller, kind).await.seal("team-a", &kind.to_string(), &[("a", "1")]);
        objects::apply(&client, None, &sealed).await;
        wait_for_secret(&client, "team-a", &kind.to_string(), &[("a", b"1")]).await;
    }
    // Others do not come, whoever starts.
    controller.stop();
    controller.start_again().await;
    assert_eq!(recipients(&client, &controller, release.namespace()).await, served);
    controller.stop();

    let theirs = Release::install(&control_plane, place("theirs").chart(Chart::Peer).without_crds()).await;
    let peer = Controller::start(&theirs, ControllerOptions::default().program(Program::Peer)).await;
    assert_eq!(peer.http("/v1/cert.pem").await.text(), certificate, "it seals with a key of its own");
    let sealed = Sealer::to(&certificate).seal("team-a", "classic", &[("a", "2")], &[]);
    objects::apply(&client, None, &sealed).await;
    wait_for_secret(&client, "team-a", "classic", &[("a", b"2")]).await;
}

#[tokio::test]
async fn the_peers_key_gets_identities_when_its_cluster_moves_here() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let place = |name| ReleaseOptions::default().place(name, "shared");
    let theirs = Release::install(&control_plane, place("theirs").chart(Chart::Peer)).await;
    let mut peer = Controller::start(&theirs, ControllerOptions::default().program(Program::Peer)).await;
    let certificate = peer.http("/v1/cert.pem").await.text();
    peer.stop();
    let ours = Release::install(&control_plane, place("ours").without_crds()).await;
    let mut controller = Controller::start(&ours, ControllerOptions::default()).await;
    recipients(&client, &controller, ours.namespace()).await;
    assert_eq!(controller.http("/v1/cert.pem").await.text(), certificate);
    let namespace = control_plane.namespace("moved").await;
    let sealed = AgeSealer::of(&controller, Kind::Hybrid).await.seal(&namespace, "db", &[("a", "1")]);
    objects::apply(&client, None, &sealed).await;
    wait_for_secret(&client, &namespace, "db", &[("a", b"1")]).await;
    // It is still told that nobody of ours made it.
    let foreign = controller.metrics().await.value("privyseal_sealing_key_foreign", &[]);
    assert_eq!(foreign, Some(1.0));
    controller.stop();
    peer.start_again().await;
    assert_eq!(peer.http("/v1/cert.pem").await.text(), certificate, "and back");
}

#[tokio::test]
async fn age_values_follow_the_life_of_their_key_and_a_restart_opens_nothing() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let mut controller = Controller::start(&release, ControllerOptions::default()).await;
    let namespace = control_plane.namespace("life").await;
    let mut first = Vec::new();
    for kind in [Kind::Hybrid, Kind::X25519] {
        let sealed =
            AgeSealer::of(&controller, kind).await.seal(&namespace, &kind.to_string(), &[("a", "1")]);
        objects::apply(&client, None, &sealed).await;
        wait_for_secret(&client, &namespace, &kind.to_string(), &[("a", b"1")]).await;
        wait_for_condition(&client, &namespace, &kind.to_string(), "Ready", "True").await;
        first.push((kind, recipient_of(&controller, kind).await, sealed));
    }

    // What is right is not opened again: the marker holds for values of this format too.
    controller.stop();
    controller.start_again().await;
    for (kind, ..) in &first {
        let sealed = AgeSealer::of(&controller, *kind).await;
        let sealed = sealed.seal_with(Scope::NamespaceWide, &namespace, "after", &[("a", "2")]);
        objects::apply(&client, None, &sealed).await;
    }
    wait_for_secret(&client, &namespace, "after", &[("a", b"2")]).await;
    let opened = controller.metrics().await.sum("privyseal_private_operations_total", &[]);
    assert!(opened <= 2.0, "{opened} private operations for one new object, applied twice");

    // A successor: its recipients are others, and the old values go on opening.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), release.namespace());
    let old = secrets.list(&ListParams::default().labels(ACTIVE)).await.unwrap().items.remove(0);
    let old = old.metadata.name.unwrap();
    let patch = async |name: &str, patch: Value| {
        secrets.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    };
    patch(&old, json!({"metadata": {"annotations": {"privyseal.dev/rotate": "2026-11-24T12:00:00Z"}}})).await;
    for (kind, before, _) in &first {
        eventually(PATIENCE, async || {
            let now = recipient_of(&controller, *kind).await;
            if now == *before { Err("still the old one") } else { Ok(()) }
        })
        .await;
    }
    let mut rotated = Vec::new();
    for (kind, _, sealed) in &first {
        let again = named(sealed.clone(), &format!("{kind}-again"));
        let answer =
            controller.request(http::Method::POST, "/v1/verify", again.to_string().into_bytes()).await;
        assert_eq!(answer.status, 409, "under another name");
        let answer =
            controller.request(http::Method::POST, "/v1/rotate", sealed.to_string().into_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        rotated.push((kind.to_string(), serde_json::from_slice::<Value>(&answer.body).unwrap()));
    }

    // Retired: what was not rotated says so and keeps its Secret, and what was opens.
    patch(&old, json!({"metadata": {"labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "retired"}}}))
        .await;
    for ((name, after), (_, _, before)) in rotated.iter().zip(&first) {
        objects::apply(&client, None, before).await;
        let told = wait_for_condition(&client, &namespace, name, "Stalled", "True").await;
        assert_eq!(told.reason, "NotARecipient");
        wait_for_secret(&client, &namespace, name, &[("a", b"1")]).await;
        objects::apply(&client, None, after).await;
        wait_for_condition(&client, &namespace, name, "Ready", "True").await;
        wait_for_secret(&client, &namespace, name, &[("a", b"1")]).await;
    }
    // And back: to retire is not to lose.
    patch(&old, json!({"metadata": {"labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}}}))
        .await;
    objects::apply(&client, None, &first[0].2).await;
    wait_for_condition(&client, &namespace, &first[0].0.to_string(), "Ready", "True").await;

    // Compromised: the list revokes all that the key goes by.
    patch(&old, json!({"metadata": {"annotations": {"privyseal.dev/compromised": "2026-11-24T12:00:00Z"}}}))
        .await;
    eventually(PATIENCE, async || {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), release.namespace());
        let data = maps.get("privyseal-sealing-keys").await.unwrap().data.unwrap();
        let list: Value = serde_json::from_str(&data["sealing-keys.json"]).unwrap();
        let revoked = list["revoked"].as_array().unwrap();
        let both = first
            .iter()
            .all(|(_, recipient, _)| revoked.contains(&json!(recipient.fingerprint().to_string())));
        if revoked.len() == 3 && both { Ok(()) } else { Err(format!("{revoked:?}")) }
    })
    .await;
    controller.stop();
}

#[tokio::test]
async fn with_escrow_the_backup_that_holds_the_identities_comes_first() {
    use privyseal_tests::age_keys::{keeper, write_identity};
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let options = ReleaseOptions::default().set(&format!("escrow.recipients={{{}}}", keeper().recipient));
    let release = Release::install(&control_plane, options).await;
    let mut key = golden("key.yaml");
    key["metadata"]["namespace"] = json!(release.namespace());
    objects::apply(&client, None, &key).await;
    let never = ControllerOptions::default().arg("--key-renew-period=0");
    let mut controller = Controller::start(&release, never).await;
    recipients(&client, &controller, release.namespace()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), release.namespace());
    let label = ListParams::default().labels("privyseal.dev/escrow=backup");
    let stored = maps.list(&label).await.unwrap().items;
    assert_eq!(stored.len(), 1);
    // That backup alone opens what was sealed to the new recipient.
    let desk = super::backup::Desk::new();
    write_identity(&desk.file("identity.txt"));
    std::fs::write(desk.file("it.backup"), &stored[0].data.as_ref().unwrap()["key.backup"]).unwrap();
    let sealed = AgeSealer::of(&controller, Kind::Hybrid).await.seal("ns", "db", &[("a", "1")]);
    std::fs::write(desk.file("db.json"), sealed.to_string()).unwrap();
    let unsealed = desk.does("unseal --key it.backup --identity identity.txt -o json db.json");
    assert!(unsealed.contains("\"MQ==\""), "{unsealed}");
    controller.stop();

    // Whoever gives it classical recipients is told at once what would follow, and how to have it all the same.
    let classical = "--escrow-recipient=age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let plain = Release::install(&control_plane, ReleaseOptions::default().without_crds()).await;
    let mut refused = Controller::launch(&plain, ControllerOptions::default().arg(classical)).await;
    let status = eventually(PATIENCE, async || refused.ended().ok_or("it runs")).await;
    assert!(!status.success());
    let logs = refused.logs();
    assert!(logs.contains("age-keygen -pq") && logs.contains("--escrow-allow-classical"), "{logs}");
    let allowed = ControllerOptions::default().arg(classical).env("PRIVYSEAL_ESCROW_ALLOW_CLASSICAL", "true");
    let mut controller = Controller::launch(&plain, allowed).await;
    eventually(PATIENCE, async || match controller.ended() {
        Some(status) => panic!("{status}: {}", controller.logs()),
        None if controller.logs().contains("publisher key made") => Ok(()),
        None => Err(controller.logs()),
    })
    .await;
    controller.stop();
}
