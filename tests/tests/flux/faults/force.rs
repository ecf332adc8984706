//! `force: true`: Flux deletes and makes again what the API server will not let it update.

use super::super::Place;
use super::{Change, version, without_wait};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{sealed_secrets, wait_for_condition};
use serde_json::{Value, json};

fn forced(name: &str, path: &str) -> Value {
    let mut object = without_wait(name, "team", path);
    object["spec"]["force"] = json!(true);
    object
}

#[tokio::test]
async fn force_touches_no_sealed_secret_whose_secret_cannot_be_written() {
    let place = Place::new("force").await;
    let seal = |name: &str, password: &str, field: &str, value: Value| {
        let mut sealed: Value = serde_json::from_str(&place.sealed(name, password)).unwrap();
        sealed["spec"]["template"][field] = value;
        sealed.to_string()
    };
    place.repository.write("sealed/frozen.yaml", &seal("frozen", "first", "immutable", json!(true)));
    place.repository.write("sealed/typed.yaml", &seal("typed", "first", "type", json!("Opaque")));
    let revision = place.repository.commit("an immutable one, and one of a type");
    place.source.reconcile().await;
    let app = place.watched(&forced("sealed", "./sealed")).await;
    app.wait_ready(&revision).await;
    place.password("frozen", "first").await;
    place.password("typed", "first").await;
    app.patch(json!({"spec": {"wait": true}})).await;
    app.wait_ready(&revision).await;
    let secrets = async || {
        let (frozen, typed) = (place.secret("frozen").await, place.secret("typed").await);
        (version(&frozen), version(&typed))
    };
    let uids = async || {
        let (frozen, typed) = (place.sealed_secret("frozen").await, place.sealed_secret("typed").await);
        (frozen.metadata.uid, typed.metadata.uid)
    };
    let before = (secrets().await, uids().await);

    place.repository.write("sealed/frozen.yaml", &seal("frozen", "second", "immutable", json!(true)));
    place.repository.write("sealed/typed.yaml", &seal("typed", "second", "type", json!("example.com/typed")));
    let revision = place.repository.commit("neither can be written");
    place.source.reconcile().await;
    app.wait_not_ready(&revision, "SealedSecret/").await;
    let mut reasons = Vec::new();
    for name in ["frozen", "typed"] {
        reasons
            .push(wait_for_condition(&place.client, &place.namespace, name, "Stalled", "True").await.reason);
    }
    assert_eq!(reasons, ["TargetImmutable", "TargetTypeDiffers"]);
    let status = place.sealed_secret("frozen").await.data["status"].clone();
    for _ in 0..3 {
        let red = app.reconciled().await.ready;
        assert_eq!(
            (red.status.as_str(), red.reason.as_str()),
            ("False", "HealthCheckFailed"),
            "{}",
            red.message
        );
        // It names the first that it finds.
        let failed = |name| format!("SealedSecret/{}/{name} status: 'Failed'", place.namespace);
        let is_named = ["frozen", "typed"].into_iter().any(|name| red.message.contains(&failed(name)));
        assert!(is_named, "{}", red.message);
    }
    assert_eq!((secrets().await, uids().await), before, "nobody touched anything");
    assert_eq!(place.sealed_secret("frozen").await.data["status"], status);

    // As our message says: who deletes the Secret gets a new one.
    for name in ["frozen", "typed"] {
        place.secrets().delete(name, &Default::default()).await.unwrap();
        place.password(name, "second").await;
        wait_for_condition(&place.client, &place.namespace, name, "Ready", "True").await;
    }
    app.reconcile_until_ready().await;
}

#[tokio::test]
async fn force_deletes_a_sealed_secret_that_the_api_refuses_and_with_it_the_secret_unless_retained() {
    let place = Place::new("refused").await;
    let names = ["plain", "forced", "disabled", "retained"];
    let good = |name: &str, password: &str| {
        if name == "retained" {
            return serde_json::from_str(&place.retained(name, password)).unwrap();
        }
        let mut sealed: Value = serde_json::from_str(&place.sealed(name, password)).unwrap();
        // What people may think of as a remedy: Flux knows `Enabled` alone.
        if name == "disabled" {
            sealed["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/force"] = json!("Disabled");
        }
        sealed
    };
    let file = |name: &str| format!("{name}/sealed.yaml");
    for name in names {
        place.repository.write(&file(name), &good(name, "first").to_string());
    }
    let revision = place.repository.commit("all is well");
    place.source.reconcile().await;
    let mut apps = Vec::new();
    for name in names {
        let object = if name == "plain" { without_wait(name, "team", name) } else { forced(name, name) };
        apps.push(place.watched(&object).await);
    }
    for (app, name) in apps.iter().zip(names) {
        app.wait_ready(&revision).await;
        place.password(name, "first").await;
    }
    let before = (place.secret("plain").await, place.sealed_secret("plain").await);
    let moment = place.moment().await;

    // The API server lets nobody write it, which Flux takes for a field that cannot change.
    for name in names {
        let mut bad = good(name, "second");
        bad["metadata"]["labels"] = json!({"branch": "a/branch"});
        place.repository.write(&file(name), &bad.to_string());
    }
    let revision = place.repository.commit("no label");
    place.source.reconcile().await;
    for app in &apps {
        app.wait_not_ready(&revision, "dry-run failed (Invalid)").await;
    }
    let sealed = sealed_secrets(&place.client, &place.namespace);
    for name in ["forced", "disabled", "retained"] {
        assert!(sealed.get_opt(name).await.unwrap().is_none(), "{name}");
    }
    assert_eq!(place.sealed_secret("plain").await.metadata, before.1.metadata);
    assert_eq!(version(&place.secret("plain").await), version(&before.0));
    for name in ["forced", "disabled"] {
        eventually(PATIENCE, async || match place.secrets().get_opt(name).await.unwrap() {
            None => Ok(()),
            Some(_) => Err("the Secret is there"),
        })
        .await;
        assert_eq!(place.changes(name, &moment).await, [Change::Deleted]);
    }
    // Where `force` must be, the deletion policy helps.
    assert_eq!(place.changes("retained", &moment).await, []);
    let retained = place.secret("retained").await.metadata.uid;

    for name in names {
        place.repository.write(&file(name), &good(name, "third").to_string());
    }
    let revision = place.repository.commit("without it");
    place.source.reconcile().await;
    for (app, name) in apps.iter().zip(names) {
        app.wait_ready(&revision).await;
        place.password(name, "third").await;
    }
    assert_eq!(place.secret("plain").await.metadata.uid, before.0.metadata.uid);
    assert_eq!(place.secret("retained").await.metadata.uid, retained);
}
