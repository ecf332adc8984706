//! What must not be opened, written or believed; and that it heals when its cause goes.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use privyseal_tests::objects::{self, secret_data, wait_for_condition, wait_for_secret};
use privyseal_tests::world::Place;
use serde_json::{Value, json};

async fn stalled(place: &Place, name: &str) -> objects::Condition {
    let told = wait_for_condition(&place.client, &place.namespace, name, "Stalled", "True").await;
    let object = objects::sealed_secrets(&place.client, &place.namespace).get(name).await.unwrap();
    let all = objects::conditions(&object);
    let kinds: Vec<_> = all.iter().map(|c| (c.kind.as_str(), c.status.as_str())).collect();
    assert_eq!(kinds, [("Synced", "False"), ("Ready", "False"), ("Stalled", "True")]);
    told
}

fn seal(place: &Place, name: &str) -> Value {
    place.world.sealer.seal(&place.namespace, name, &[("a", "1")], &[])
}

async fn make_secret(place: &Place, secret: Value) {
    let api: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    api.create(&Default::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
}

#[tokio::test]
async fn one_bad_object_stays_one_bad_object() {
    let place = Place::new("bad").await;
    let mut damaged = seal(&place, "damaged");
    damaged["spec"]["encryptedData"]["a"] = json!("no base64!");
    let mut stranger = seal(&place, "stranger");
    stranger["spec"]["encryptedData"]["a"] =
        place.world.sealer.seal("another", "stranger", &[("a", "1")], &[])["spec"]["encryptedData"]["a"]
            .clone();
    let mut hostile = seal(&place, "hostile");
    hostile["spec"]["encryptedData"] = json!({"\u{1b}[31mred\n": "AAAA"});
    for object in [&damaged, &stranger, &hostile, &seal(&place, "good")] {
        objects::apply(&place.client, None, object).await;
    }
    wait_for_secret(&place.client, &place.namespace, "good", &[("a", b"1")]).await;

    assert_eq!(stalled(&place, "damaged").await.reason, "Malformed");
    let told = stalled(&place, "stranger").await;
    assert_eq!(told.reason, "NotOpened");
    assert!(
        told.message.contains(&place.namespace) && !told.message.contains("another/"),
        "{}",
        told.message
    );
    let told = stalled(&place, "hostile").await;
    assert!(!told.message.contains('\u{1b}') && !told.message.contains('\n'), "{:?}", told.message);
    for name in ["damaged", "stranger", "hostile"] {
        assert_eq!(secret_data(&place.client, &place.namespace, name).await, None);
    }

    // The fix heals it, without a restart.
    objects::apply(&place.client, None, &seal(&place, "damaged")).await;
    wait_for_secret(&place.client, &place.namespace, "damaged", &[("a", b"1")]).await;
    wait_for_condition(&place.client, &place.namespace, "damaged", "Ready", "True").await;
}

#[tokio::test]
async fn a_bad_change_keeps_the_secret_that_is_there() {
    let place = Place::new("keeps").await;
    objects::apply(&place.client, None, &seal(&place, "db")).await;
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
    let mut bad = seal(&place, "db");
    bad["spec"]["encryptedData"]["a"] = json!("AQAA");
    objects::apply(&place.client, None, &bad).await;
    stalled(&place, "db").await;
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_left_alone_until_it_goes() {
    let place = Place::new("foreign").await;
    make_secret(&place, json!({"metadata": {"name": "db"}, "stringData": {"theirs": "x"}})).await;
    objects::apply(&place.client, None, &seal(&place, "db")).await;
    assert_eq!(stalled(&place, "db").await.reason, "TargetNotOwned");
    wait_for_secret(&place.client, &place.namespace, "db", &[("theirs", b"x")]).await;

    let api: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    api.delete("db", &Default::default()).await.unwrap();
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
    wait_for_condition(&place.client, &place.namespace, "db", "Synced", "True").await;
}

#[tokio::test]
async fn immutable_secrets_and_types_are_told_and_healed_by_deleting() {
    let place = Place::new("immutable").await;
    let immutable = |value: &str| {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "immutable": true,
            "metadata": {"name": "fixed", "namespace": place.namespace}, "stringData": {"a": value},
        });
        place.world.sealer.seal_secret(&secret, &[])
    };
    objects::apply(&place.client, None, &immutable("1")).await;
    wait_for_secret(&place.client, &place.namespace, "fixed", &[("a", b"1")]).await;
    objects::apply(&place.client, None, &immutable("2")).await;
    assert_eq!(stalled(&place, "fixed").await.reason, "TargetImmutable");
    let api: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    api.delete("fixed", &Default::default()).await.unwrap();
    wait_for_secret(&place.client, &place.namespace, "fixed", &[("a", b"2")]).await;

    objects::apply(&place.client, None, &seal(&place, "typed")).await;
    wait_for_condition(&place.client, &place.namespace, "typed", "Synced", "True").await;
    let mut typed = seal(&place, "typed");
    typed["spec"]["template"]["type"] = json!("example.com/other");
    objects::apply(&place.client, None, &typed).await;
    assert_eq!(stalled(&place, "typed").await.reason, "TargetTypeDiffers");

    // A type that the API server checks, without what it asks for.
    let mut invalid = seal(&place, "invalid");
    invalid["spec"]["template"]["type"] = json!("kubernetes.io/tls");
    objects::apply(&place.client, None, &invalid).await;
    let told = stalled(&place, "invalid").await;
    assert_eq!(told.reason, "TargetInvalid");
    assert!(told.message.contains("data[tls.crt]"), "{}", told.message);
}

#[tokio::test]
async fn what_would_reach_beyond_the_namespace_is_refused() {
    let place = Place::new("refused").await;
    let mut token = seal(&place, "token");
    token["spec"]["template"]["type"] = json!("kubernetes.io/service-account-token");
    token["spec"]["template"]["metadata"]["annotations"] =
        json!({"kubernetes.io/service-account.name": "default"});
    let mut key = seal(&place, "key");
    key["spec"]["template"]["metadata"]["labels"] =
        json!({"sealedsecrets.bitnami.com/sealed-secrets-key": "active"});
    let mut copied = seal(&place, "copied");
    copied["spec"]["template"]["metadata"]["annotations"] =
        json!({"reflector.v1.k8s.emberstack.com/reflection-auto-enabled": "true"});
    for (name, object) in [("token", &token), ("key", &key), ("copied", &copied)] {
        objects::apply(&place.client, None, object).await;
        assert_eq!(stalled(&place, name).await.reason, "Refused");
        assert_eq!(secret_data(&place.client, &place.namespace, name).await, None);
    }

    let own = place.world.release.namespace();
    let planted = place.world.sealer.seal(own, "sealed-secrets-keyplant", &[("a", "1")], &[]);
    objects::apply(&place.client, None, &planted).await;
    let told = wait_for_condition(&place.client, own, "sealed-secrets-keyplant", "Stalled", "True").await;
    assert_eq!(told.reason, "Refused");
}

#[tokio::test]
async fn templates_and_legacy_data_write_nothing_for_now() {
    let place = Place::new("templates").await;
    let mut templated = seal(&place, "templated");
    templated["spec"]["template"]["data"] = json!({"b": "{{ .a }}"});
    objects::apply(&place.client, None, &templated).await;
    assert_eq!(stalled(&place, "templated").await.reason, "TemplateUnsupported");
    let mut legacy = seal(&place, "legacy");
    legacy["spec"]["data"] = json!("AAAA");
    objects::apply(&place.client, None, &legacy).await;
    assert_eq!(stalled(&place, "legacy").await.reason, "LegacyDataUnsupported");
    for name in ["templated", "legacy"] {
        assert_eq!(secret_data(&place.client, &place.namespace, name).await, None);
    }
}

#[tokio::test]
async fn strangers_get_health_and_certificate_and_no_more() {
    let place = Place::new("http").await;
    let controller = &place.world.controller;
    for path in ["/healthz", "/readyz", "/v1/cert.pem"] {
        assert_eq!(controller.http(path).await.status, 200, "{path}");
        for method in ["POST", "PUT", "DELETE"] {
            let answer = controller.request(method.parse().unwrap(), path, b"x".to_vec()).await;
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    // What the two others do is in tests/endpoints.
    for path in ["/v1/verify", "/v1/rotate"] {
        assert_eq!(controller.http(path).await.status, 405, "{path}");
    }
    for path in ["/", "/v1/verify/", "/metrics", "/v1/cert.pem/../../etc/passwd"] {
        assert_eq!(controller.http(path).await.status, 404, "{path}");
    }
}
