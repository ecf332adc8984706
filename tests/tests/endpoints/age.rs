//! Values of the age format at the endpoints: each failure is the answer that every failure is, and a rotated value needs the
//! new key while everybody else goes on opening it.

use super::{ROUTES, all_of, opened_with, post, rotated};
use privyseal_envelope::age::{Identity, Kind, Recipient, Recipients, encrypt};
use privyseal_tests::age_keys::{AgeSealer, recipient_of};
use privyseal_tests::objects;
use privyseal_tests::world::Place;
use serde_json::{Value, json};

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn every_failure_of_an_age_value_is_the_same_answer() {
    let place = Place::new("same").await;
    let controller = &place.world.controller;
    let sealer = AgeSealer::of(controller, Kind::Hybrid).await;
    let good = sealer.seal("team-a", "db", &[("a", "1"), ("b", "2")]);
    let changed = |pointer: &str, value: Value| {
        let mut object = good.clone();
        *object.pointer_mut(pointer).unwrap() = value;
        object
    };
    let text = good["spec"]["encryptedData"]["a"].as_str().unwrap();
    let damaged = format!("{}{}", &text[..text.len() - 12], "AAAAAAAAAAAA");
    let ours = recipient_of(controller, Kind::Hybrid).await;
    let foreign = encrypt(b"hunter2\n", &Recipients::new([ours]).unwrap()).unwrap();
    let strangers = |count: usize| (0..count).map(|_| Identity::generate_x25519().recipient());
    let objects = [
        changed("/metadata/name", json!("other")),
        changed("/metadata/namespace", json!("team-b")),
        changed("/metadata/annotations", json!({"sealedsecrets.bitnami.com/cluster-wide": "true"})),
        changed("/spec/encryptedData/a", good["spec"]["encryptedData"]["b"].clone()),
        changed("/spec/encryptedData/a", json!(damaged)),
        changed("/spec/encryptedData/a", json!(base64(&foreign))),
        changed("/spec/encryptedData/a", json!(base64(b"age-encryption.org/v1\n"))),
        AgeSealer::to(strangers(1)).seal("team-a", "db", &[("a", "1")]),
        AgeSealer::to(strangers(32)).seal("team-a", "db", &[("a", "1")]),
    ];
    for route in ROUTES {
        let wanted = all_of(post(controller, route, changed("/spec/encryptedData/a", json!("AAAA"))).await);
        for object in &objects {
            assert_eq!(all_of(post(controller, route, object).await), wanted, "{route} {object}");
        }
        assert_eq!(post(controller, route, &good).await.status, 200);
    }
    // What needs no rotation comes back as it was.
    assert_eq!(rotated(controller, &good).await["spec"], good["spec"]);
    assert_eq!(opened_with(controller, &good).await["a"], opened_with(controller, &good).await["b"]);
}

#[tokio::test]
async fn a_strangers_recipient_stays_in_a_value_and_no_request_adds_one() {
    let place = Place::new("stays").await;
    let controller = &place.world.controller;
    let theirs = Identity::generate_x25519();
    let ours: Recipient = recipient_of(controller, Kind::X25519).await;
    let sealer = AgeSealer::to([theirs.recipient(), ours]);
    let mut object = sealer.seal(&place.namespace, "db", &[("a", "1")]);
    // Whatever else a request says of recipients is no field of a SealedSecret, or is looked at by nobody.
    object["metadata"]["annotations"] = json!({"privyseal.dev/recipients": theirs.recipient().to_string()});
    let after = rotated(controller, &object).await;
    assert_eq!(after["spec"]["encryptedData"], object["spec"]["encryptedData"]);
    let mut named = object.clone();
    named["spec"]["recipients"] = json!([theirs.recipient().to_string()]);
    assert_eq!(post(controller, "/v1/rotate", &named).await.status, 400);
    objects::apply(&place.client, None, &after).await;
    objects::wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
}
