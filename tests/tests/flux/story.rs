//! A team's days: good seals and what comes of them, a new key, what leaves Git, a pause.

use super::{Place, measured};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::flux::kustomization;
use privyseal_tests::objects::sealed_secrets;
use privyseal_tests::sealing::{privyseal_command, run};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Instant;

fn config_map(value: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plain"}, "data": {"value": value},
    })
    .to_string()
}

#[tokio::test]
async fn a_commit_is_ready_once_its_secret_is_right() {
    let place = Place::new("ready").await;
    // Held back: the API server answers our controller that it cannot make the Secret now.
    let hold = place.hold_secrets();
    place.repository.write("sealed/db.yaml", &place.sealed("db", "first"));
    let revision = place.repository.commit("a password for the database");
    let app = kustomization("sealed", "team", "./sealed");
    let app = place.watched(&app).await;
    place.source.reconcile().await;

    // Our controller tries, Flux looks on, and neither calls it done or failed.
    eventually(PATIENCE, async || match hold.hits() {
        hits @ ..3 => Err(format!("{hits} attempts")),
        _ => Ok(()),
    })
    .await;
    app.wait_checking().await;
    assert!(!place.has_password("db", "first").await);

    hold.remove();
    let (right, ready) = tokio::join!(place.password("db", "first"), app.wait_ready(&revision));
    assert!(right < ready.at, "the Secret was right before anybody called it ready");

    // What of the time is whose: the same commits with a ConfigMap and with a sealed Secret.
    let mut plain = kustomization("plain", "team", "./plain");
    plain["spec"]["targetNamespace"] = json!(place.namespace);
    place.repository.write("plain/map.yaml", &config_map("first"));
    place.repository.commit("a ConfigMap");
    place.source.reconcile().await;
    let plain = place.watched(&plain).await;
    plain.wait_ready(None).await;
    for round in ["second", "third"] {
        place.repository.write("plain/map.yaml", &config_map(round));
        let began = Instant::now();
        let revision = place.repository.commit("a change of the ConfigMap");
        place.source.reconcile().await;
        let (fetched, ready) = tokio::join!(place.source.wait_ready(&revision), plain.wait_ready(&revision));
        let times = [("fetched", fetched.at - began), ("Ready", ready.at - began)];
        measured("commit with a ConfigMap", &times, &ready);
        app.wait_ready(&revision).await;

        place.repository.write("sealed/db.yaml", &place.sealed("db", round));
        let began = Instant::now();
        let revision = place.repository.commit("a change of the password");
        place.source.reconcile().await;
        let (fetched, right, ready) = tokio::join!(
            place.source.wait_ready(&revision),
            place.password("db", round),
            app.wait_ready(&revision)
        );
        assert!(right < ready.at, "the Secret was right before anybody called it ready");
        let times =
            [("fetched", fetched.at - began), ("Secret right", right - began), ("Ready", ready.at - began)];
        measured("commit with a sealed Secret", &times, &ready);
        plain.wait_ready(&revision).await;
    }
}

#[tokio::test]
async fn a_new_key_and_what_is_resealed_to_it_go_through_git() {
    let place = Place::new("rotate").await;
    place.repository.write("sealed/db.yaml", &place.sealed("db", "same"));
    let revision = place.repository.commit("sealed with the first key");
    place.source.reconcile().await;
    let app = place.watched(&kustomization("sealed", "team", "./sealed")).await;
    app.wait_ready(&revision).await;
    let opened_with = async || {
        let object = sealed_secrets(&place.client, &place.namespace).get("db").await.unwrap();
        object.data["status"]["openedWith"].clone()
    };
    let old = opened_with().await;

    // As people do it: a new key, then the whole tree to it. The keys are at hand, so no plaintext is asked of anyone.
    let files = tempfile::tempdir().unwrap();
    let (context, keys) =
        (place.control_plane.kubectl_ok(&["config", "current-context"], ""), files.path().join("keys.yaml"));
    let privyseal = |args: &[&str]| {
        let mut command = privyseal_command();
        command.args(args).args(["--context", context.trim()]).current_dir(place.repository.folder());
        command.env("KUBECONFIG", place.control_plane.kubeconfig());
        command.env("PRIVYSEAL_TRUST", files.path().join("trust.yaml"));
        let output = run(&mut command, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        said
    };
    let said = privyseal(&["keys", "fetch"]);
    let (_, rest) = said.split_once("publisher ").unwrap();
    let publisher = rest.split_whitespace().next().unwrap();
    privyseal(&["keys", "rotate", "--yes-trust", publisher]);
    let label = "sealedsecrets.bitnami.com/sealed-secrets-key";
    let listed = ["get", "secrets", "-n", place.world.release.namespace(), "-l", label, "-o", "yaml"];
    std::fs::write(&keys, place.control_plane.kubectl_ok(&listed, "")).unwrap();
    privyseal(&["reseal", ".", "--key", &keys.to_string_lossy(), "--yes-trust", publisher]);

    let revision = place.repository.commit("resealed with the second key");
    place.source.reconcile().await;
    app.wait_ready(&revision).await;
    let new = opened_with().await;
    assert!(new != old && new.as_array().is_some_and(|keys| keys.len() == 1), "{old} and then {new}");
    assert!(place.has_password("db", "same").await);
}

#[tokio::test]
async fn what_leaves_git_leaves_the_cluster() {
    let place = Place::new("prune").await;
    for name in ["goes", "stays"] {
        place.repository.write(&format!("sealed/{name}.yaml"), &place.sealed(name, name));
    }
    let revision = place.repository.commit("two of them");
    place.source.reconcile().await;
    let app = place.watched(&kustomization("sealed", "team", "./sealed")).await;
    app.wait_ready(&revision).await;
    assert!(place.has_password("goes", "goes").await && place.has_password("stays", "stays").await);

    place.repository.remove("sealed/goes.yaml");
    let revision = place.repository.commit("one less");
    place.source.reconcile().await;
    app.wait_ready(&revision).await;
    let secrets: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    let sealed = sealed_secrets(&place.client, &place.namespace);
    let are_gone = async |name: &str| {
        let left = (sealed.get_opt(name).await.unwrap(), secrets.get_opt(name).await.unwrap());
        match left {
            (None, None) => Ok(()),
            (sealed, secret) => Err((sealed.is_some(), secret.is_some())),
        }
    };
    eventually(PATIENCE, async || are_gone("goes").await).await;
    assert!(place.has_password("stays", "stays").await);

    // A Kustomization that prunes takes along what it made.
    app.delete().await;
    eventually(PATIENCE, async || are_gone("stays").await).await;
}

#[tokio::test]
async fn what_is_suspended_waits_and_what_is_resumed_catches_up() {
    let place = Place::new("suspend").await;
    place.repository.write("paused/db.yaml", &place.sealed("db", "before"));
    place.repository.write("other/cache.yaml", &place.sealed("cache", "before"));
    let revision = place.repository.commit("before the pause");
    place.source.reconcile().await;
    let paused = place.watched(&kustomization("paused", "team", "./paused")).await;
    let other = place.watched(&kustomization("other", "team", "./other")).await;
    paused.wait_ready(&revision).await;
    other.wait_ready(&revision).await;

    paused.suspend(true).await;
    place.repository.write("paused/db.yaml", &place.sealed("db", "after"));
    place.repository.write("other/cache.yaml", &place.sealed("cache", "after"));
    let newer = place.repository.commit("during the pause");
    place.source.reconcile().await;
    other.wait_ready(&newer).await;
    assert!(place.has_password("cache", "after").await);
    assert!(place.has_password("db", "before").await, "nobody applied it");
    let applied = paused.get().await.data["status"]["lastAppliedRevision"].clone();
    assert!(revision.is(applied.as_str().unwrap_or_default()), "{applied}");

    paused.suspend(false).await;
    paused.wait_ready(&newer).await;
    assert!(place.has_password("db", "after").await);
}

#[tokio::test]
async fn flux_and_the_controller_leave_each_others_fields_alone() {
    let place = Place::new("peace").await;
    place.repository.write("sealed/db.yaml", &place.sealed("db", "same"));
    let revision = place.repository.commit("a password");
    place.source.reconcile().await;
    let app = place.watched(&kustomization("sealed", "team", "./sealed")).await;
    app.wait_ready(&revision).await;
    let secrets: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    let sealed = sealed_secrets(&place.client, &place.namespace);
    let versions = async || {
        let (sealed, secret) = (sealed.get("db").await.unwrap(), secrets.get("db").await.unwrap());
        (sealed.metadata.resource_version, secret.metadata.resource_version)
    };
    let before = versions().await;
    for _ in 0..3 {
        app.reconcile_until_ready().await;
    }
    assert_eq!(versions().await, before, "nobody found anything to write");

    // What Flux knows its own objects by is on the SealedSecret, and Flux would prune a Secret that had it.
    let of_flux = |labels: Option<BTreeMap<String, String>>| {
        labels.unwrap_or_default().into_keys().filter(|label| label.contains("fluxcd.io")).count()
    };
    assert_eq!(of_flux(sealed.get("db").await.unwrap().metadata.labels), 2);
    assert_eq!(of_flux(secrets.get("db").await.unwrap().metadata.labels), 0);
}
