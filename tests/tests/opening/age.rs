//! Values of the age format: beside classic ones, to several recipients, and each way in which one does not open.

use privyseal_envelope::Scope;
use privyseal_envelope::age::{Identity, Kind, encrypt};
use privyseal_tests::age_keys::{AgeSealer, recipient_of};
use privyseal_tests::objects::{self, sealed_secrets, secret_data, wait_for_condition, wait_for_secret};
use privyseal_tests::world::Place;
use serde_json::{Value, json};

const KINDS: [Kind; 2] = [Kind::Hybrid, Kind::X25519];

#[tokio::test]
async fn values_of_either_format_open_in_one_object_in_every_scope() {
    let place = Place::new("age").await;
    let elsewhere = place.control_plane.namespace("elsewhere").await;
    for scope in Scope::ALL {
        let name = scope.to_string();
        let items = [("classic", "1"), ("hybrid", ""), ("x25519", "")];
        let mut object = place.world.sealer.seal(&place.namespace, &name, &items, &["--scope", &name]);
        for kind in KINDS {
            let sealer = AgeSealer::of(&place.world.controller, kind).await;
            let item = kind.to_string();
            object["spec"]["encryptedData"][&item] =
                json!(sealer.value(scope, &place.namespace, &name, &item, &format!("by {kind}")));
        }
        objects::apply(&place.client, None, &object).await;
        let expected: [(&str, &[u8]); 3] =
            [("classic", b"1"), ("hybrid", b"by hybrid"), ("x25519", b"by x25519")];
        wait_for_secret(&place.client, &place.namespace, &name, &expected).await;
        let told = wait_for_condition(&place.client, &place.namespace, &name, "Ready", "True").await;
        assert_eq!((told.reason.as_str(), told.message.as_str()), ("Unsealed", "3 items unsealed"));
        // One key, whatever opened them: it has one name.
        let status = sealed_secrets(&place.client, &place.namespace).get(&name).await.unwrap();
        assert_eq!(status.data["status"]["openedWith"].as_array().map(Vec::len), Some(1), "{}", status.data);

        // Where a scope lets it open, and nowhere else.
        let opens = |narrowest: Scope| if scope >= narrowest { "True" } else { "False" };
        let mut renamed = object.clone();
        renamed["metadata"]["name"] = json!(format!("{name}-renamed"));
        renamed["spec"]["encryptedData"].as_object_mut().unwrap().remove("classic");
        objects::apply(&place.client, None, &renamed).await;
        let synced = opens(Scope::NamespaceWide);
        wait_for_condition(&place.client, &place.namespace, &format!("{name}-renamed"), "Synced", synced)
            .await;
        let mut moved = renamed;
        moved["metadata"]["namespace"] = json!(elsewhere);
        moved["metadata"]["name"] = json!(name);
        objects::apply(&place.client, None, &moved).await;
        let told =
            wait_for_condition(&place.client, &elsewhere, &name, "Synced", opens(Scope::ClusterWide)).await;
        assert!(!told.message.contains(&place.namespace), "{}", told.message);
    }
}

#[tokio::test]
async fn one_value_for_several_recipients_opens_here_too() {
    let place = Place::new("several").await;
    for kind in KINDS {
        let strangers = (0..3).map(|_| match kind {
            Kind::Hybrid => Identity::generate_hybrid().unwrap().recipient(),
            _ => Identity::generate_x25519().recipient(),
        });
        let ours = recipient_of(&place.world.controller, kind).await;
        let sealer = AgeSealer::to(strangers.chain([ours]));
        let name = kind.to_string();
        objects::apply(&place.client, None, &sealer.seal(&place.namespace, &name, &[("a", "1")])).await;
        wait_for_secret(&place.client, &place.namespace, &name, &[("a", b"1")]).await;
    }
}

/// What the status says of a bad object, and that nothing was written.
async fn refused(place: &Place, namespace: &str, object: &Value) -> (String, String) {
    objects::apply(&place.client, None, object).await;
    let name = object["metadata"]["name"].as_str().unwrap();
    let told = wait_for_condition(&place.client, namespace, name, "Stalled", "True").await;
    assert_eq!(secret_data(&place.client, namespace, name).await, None);
    assert!(!told.message.contains(|c: char| c.is_control()), "{:?}", told.message);
    (told.reason, told.message)
}

#[tokio::test]
async fn each_cause_is_told_as_what_it_is() {
    let place = Place::new("causes").await;
    let elsewhere = place.control_plane.namespace("elsewhere").await;
    let sealer = AgeSealer::of(&place.world.controller, Kind::Hybrid).await;
    let good = |name: &str| sealer.seal(&place.namespace, name, &[("a", "hunter2"), ("b", "hunter3")]);

    let mut exchanged = good("exchanged");
    let values = exchanged["spec"]["encryptedData"].clone();
    exchanged["spec"]["encryptedData"] = json!({"a": values["b"], "b": values["a"]});
    let (reason, message) = refused(&place, &place.namespace, &exchanged).await;
    assert_eq!(reason, "BindingDiffers");
    assert!(message.contains("a, b: sealed for another object or item"), "{message}");
    assert!(message.contains(&format!("namespace {}, name exchanged, item b", place.namespace)), "{message}");

    let mut renamed = good("original");
    renamed["metadata"]["name"] = json!("renamed");
    let (reason, message) = refused(&place, &place.namespace, &renamed).await;
    assert_eq!(reason, "BindingDiffers");
    assert!(message.contains("name original, item a"), "{message}");

    let mut moved = good("moved");
    moved["metadata"]["namespace"] = json!(elsewhere);
    let (reason, message) = refused(&place, &elsewhere, &moved).await;
    assert_eq!(reason, "BindingDiffers");
    assert!(
        message.contains("another namespace, name moved") && !message.contains(&place.namespace),
        "{message}"
    );

    for scope in ["namespace-wide", "cluster-wide"] {
        let mut widened = good(scope);
        widened["metadata"]["annotations"] = json!({format!("sealedsecrets.bitnami.com/{scope}"): "true"});
        let (reason, message) = refused(&place, &place.namespace, &widened).await;
        assert_eq!(reason, "BindingDiffers");
        assert!(message.contains("with scope strict"), "{message}");
    }

    let mut altered = good("altered");
    let text = altered["spec"]["encryptedData"]["a"].as_str().unwrap().to_owned();
    let place_of_change = text.len() - 10;
    let other = if &text[place_of_change..=place_of_change] == "A" { "B" } else { "A" };
    altered["spec"]["encryptedData"]["a"] =
        json!(format!("{}{other}{}", &text[..place_of_change], &text[place_of_change + 1..]));
    let (reason, message) = refused(&place, &place.namespace, &altered).await;
    assert_eq!(reason, "Altered");
    assert!(message.starts_with("a: changed after sealing"), "{message}");

    let stranger = Identity::generate_x25519().recipient();
    let id = stranger.fingerprint().key_id().to_string();
    let foreign = AgeSealer::to([stranger]).seal(&place.namespace, "foreign", &[("a", "1")]);
    let (reason, message) = refused(&place, &place.namespace, &foreign).await;
    assert_eq!(reason, "NotARecipient");
    assert!(message.contains(&id) && message.contains("Seal it again for this cluster"), "{message}");

    let mut headless = good("headless");
    headless["spec"]["encryptedData"] =
        json!({"\u{1b}[31mred": base64(b"age-encryption.org/v1\n-> \x1b[31m\n")});
    let (reason, _) = refused(&place, &place.namespace, &headless).await;
    assert_eq!(reason, "Malformed");
    headless["metadata"]["name"] = json!("headless-too");
    headless["spec"]["encryptedData"] = json!({"a": base64(b"age-encryption.org/v1\n-> \x1b[31m\n")});
    let (reason, message) = refused(&place, &place.namespace, &headless).await;
    assert_eq!(reason, "Malformed");
    assert!(message.contains("header is not that of an age v1 file"), "{message}");

    // Somebody's own age file, sealed by stock tools: no byte of it is told, nor does it become a Secret.
    let to =
        privyseal_envelope::age::Recipients::new([recipient_of(&place.world.controller, Kind::X25519).await]);
    let mut plain = good("plain");
    let file = encrypt(b"privyseal.dev/v1 hunter2\n", &to.unwrap()).unwrap();
    plain["spec"]["encryptedData"] = json!({"a": base64(&file)});
    let (reason, message) = refused(&place, &place.namespace, &plain).await;
    assert_eq!(reason, "BindingDiffers");
    assert!(message.contains("Privyseal did not seal") && !message.contains("hunter2"), "{message}");

    // Beside a good classic value, and the other way round: the object fails as a whole, and the worst is told.
    let mut mixed = place.world.sealer.seal(&place.namespace, "mixed", &[("classic", "1")], &[]);
    mixed["spec"]["encryptedData"]["a"] = foreign["spec"]["encryptedData"]["a"].clone();
    mixed["spec"]["encryptedData"]["b"] = exchanged["spec"]["encryptedData"]["b"].clone();
    let (reason, message) = refused(&place, &place.namespace, &mixed).await;
    assert_eq!(reason, "BindingDiffers");
    assert!(message.ends_with("(one more item does not open, for another reason)"), "{message}");

    let all = place.control_plane.kubectl_ok(&["get", "sealedsecrets,events", "-A", "-o", "json"], "");
    assert!(!all.contains("hunter"));
    // What is put right opens.
    objects::apply(&place.client, None, &good("exchanged")).await;
    wait_for_secret(&place.client, &place.namespace, "exchanged", &[("a", b"hunter2"), ("b", b"hunter3")])
        .await;
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
