use super::*;
use crate::http::public;
use crate::metrics::Metrics;
use axum::Router;
use axum::body::to_bytes;
use axum::http::{HeaderMap, Method, Request};
use jiff::Timestamp;
use privyseal_envelope::age::{self, Identity, Recipient, Recipients};
use privyseal_envelope::rsa::{KeySize, OpeningKey, SealingKey};
use privyseal_envelope::{Item, Plaintext, Scope, SealedValue};
use privyseal_manifest::{Secret, names};
use privyseal_seal::{SealTo, Sealing};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::watch;
use tower::ServiceExt as _;

const VALUE: &str = "hunter2";

struct Place {
    router: Router,
    metrics: Arc<Metrics>,
    _keys: watch::Sender<Held>,
}

impl Place {
    fn of(held: Held) -> Self {
        let (sender, keys) = watch::channel(held);
        let metrics = Arc::new(Metrics::new());
        let router = public(Served { keys, synced: Arc::default(), metrics: metrics.clone() });
        Self { router, metrics, _keys: sender }
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> (StatusCode, HeaderMap, String) {
        let request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn post(&self, path: &str, body: impl ToString) -> (StatusCode, HeaderMap, String) {
        self.ask(Method::POST, path, body.to_string()).await
    }
}

fn held(keys: &[(&str, i64)], revoked: &[&str]) -> Held {
    Held::for_tests(Timestamp::now(), keys, revoked)
}

fn key(held: &Held, index: usize) -> &SealingKey {
    held.keyring.entries()[index].opening_key().unwrap().sealing_key()
}

/// An object of two items, as JSON.
fn sealed(key: &SealingKey, scope: Scope) -> Value {
    sealed_to(SealTo::Classic(key), scope)
}

/// The same in the age format, to recipients of that kind of some keys.
fn sealed_for(keys: &[(&Held, usize)], kind: Kind, scope: Scope) -> Value {
    let recipients = keys.iter().map(|(held, index)| recipient(held, *index, kind));
    sealed_to(SealTo::Age(&Recipients::new(recipients).unwrap()), scope)
}

/// One key of several.
fn only(held: &Held, index: usize) -> Held {
    let mut one = held.clone();
    one.keyring = Arc::new(held.keyring.only(&[key(held, index).fingerprint()].into()));
    one
}

fn base64(bytes: Vec<u8>) -> String {
    Plaintext::new(bytes).to_base64().to_string()
}

fn recipient(held: &Held, index: usize, kind: Kind) -> Recipient {
    held.keyring.entries()[index].public_half().unwrap().recipient(kind).unwrap().clone()
}

fn sealed_to(to: SealTo<'_>, scope: Scope) -> Value {
    let mut secret = Secret::default();
    secret.metadata.name = Some("db".into());
    secret.metadata.namespace = Some("team-a".into());
    for item in ["password", "other"] {
        secret.data.insert(Item::parse(item).unwrap(), Plaintext::from(VALUE.as_bytes()));
    }
    let how = Sealing { to, scope: Some(scope), allow_empty: false };
    serde_json::to_value(privyseal_seal::seal(&secret, &how).unwrap()).unwrap()
}

/// `template.data` that tells the value by failing or not, if anybody renders it.
fn with_oracle(mut object: Value, prefix: &str) -> Value {
    let text = format!("{{{{ if hasPrefix \"{prefix}\" .password }}}}{{{{ fail \"x\" }}}}{{{{ end }}}}");
    object["spec"]["template"]["data"] = json!({ "x": text });
    object
}

#[tokio::test]
async fn verify_says_which_key_and_rotate_seals_to_the_newest() {
    let held = held(&[("old", 2), ("new", 1)], &[]);
    let place = Place::of(held.clone());
    let ids = [0, 1].map(|index| key(&held, index).fingerprint().key_id().to_string());
    for scope in Scope::ALL {
        let mut object = sealed(key(&held, 1), scope);
        object["metadata"]["labels"] = json!({"app": "db"});
        object["metadata"]["uid"] = json!("u");
        object["status"] = json!({"conditions": []});
        object = with_oracle(object, "h");
        let template = &mut object["spec"]["template"]["metadata"]["annotations"];
        *template = json!({names::CLUSTER_WIDE: "true", "note": "kept"});

        let (status, headers, body) = place.post("/v1/verify", &object).await;
        assert_eq!(
            (status, &headers[header::CONTENT_TYPE]),
            (StatusCode::OK, &"application/json".parse().unwrap())
        );
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(told, json!({"openedWith": {"password": ids[1], "other": ids[1]}}));

        let (status, headers, body) = place.post("/v1/rotate", &object).await;
        assert_eq!(
            (status, &headers[header::CONTENT_TYPE]),
            (StatusCode::OK, &"application/json".parse().unwrap())
        );
        let mut rotated: Value = serde_json::from_str(&body).unwrap();
        let (_, _, told) = place.post("/v1/verify", &rotated).await;
        assert_eq!(told, json!({"openedWith": {"password": ids[0], "other": ids[0]}}).to_string() + "\n");
        let mut moved = rotated.clone();
        moved["metadata"]["name"] = json!("other");
        let opens = place.post("/v1/verify", &moved).await.0 == StatusCode::OK;
        assert_eq!(opens, scope != Scope::Strict, "{scope}");

        // All else is as it was.
        let hints = rotated["metadata"]["annotations"][names::SEALED_WITH].take();
        assert_eq!(hints.as_str().unwrap().matches(&*ids[0]).count(), 2, "{hints}");
        object["metadata"]["annotations"][names::SEALED_WITH].take();
        object["spec"]["encryptedData"].take();
        assert_ne!(rotated["spec"]["encryptedData"].take(), Value::Null);
        object.as_object_mut().unwrap().remove("status");
        assert_eq!(rotated, object, "{scope}");
    }
    let yaml =
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: a, namespace: b}\nspec: {}\n";
    assert_eq!(place.post("/v1/verify", yaml).await.2, "{\"openedWith\":{}}\n");
}

#[tokio::test]
async fn every_failure_to_open_is_the_same_answer() {
    let held = held(&[("old", 2), ("new", 1)], &[]);
    let place = Place::of(held.clone());
    let stranger = self::held(&[("stranger", 1)], &[]);
    let good = sealed(key(&held, 0), Scope::Strict);
    let changed = |pointer: &str, value: Value| {
        let mut object = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[name] = value;
        object
    };
    let damaged = {
        let text = good["spec"]["encryptedData"]["password"].as_str().unwrap();
        let other = if text.ends_with("A=") { "B" } else { "A" };
        format!("{}{other}{}", &text[..text.len() - 8], &text[text.len() - 7..])
    };
    let many: serde_json::Map<_, _> =
        (0..300).map(|n| (format!("k{n}"), good["spec"]["encryptedData"]["password"].clone())).collect();
    let age_good = sealed_for(&[(&held, 0)], Kind::Hybrid, Scope::Strict);
    let aged = |pointer: &str, value: Value| {
        let mut object = age_good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[name] = value;
        object
    };
    let value = age_good["spec"]["encryptedData"]["password"].as_str().unwrap();
    let mut bytes = SealedValue::from_base64(value).unwrap().as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged_age = base64(bytes);
    let to = Recipients::new([recipient(&held, 0, Kind::Hybrid)]).unwrap();
    let foreign = base64(age::encrypt(VALUE.as_bytes(), &to).unwrap());
    let many_aged: serde_json::Map<_, _> = (0..300).map(|n| (format!("k{n}"), json!(value))).collect();
    let vault_key = OpeningKey::generate(KeySize::Rsa2048).unwrap().sealing_key().clone();
    let in_vault = Recipients::new([Recipient::KeyVault(vault_key)]).unwrap();
    let objects = [
        ("wrong key", sealed(key(&stranger, 0), Scope::Strict)),
        ("wrong name", changed("/metadata/name", json!("other"))),
        ("wrong namespace", changed("/metadata/namespace", json!("team-b"))),
        ("no namespace", changed("/metadata/namespace", Value::Null)),
        ("no name", changed("/metadata/name", Value::Null)),
        ("wider scope", changed("/metadata/annotations", json!({names::CLUSTER_WIDE: "true"}))),
        ("damaged", changed("/spec/encryptedData/password", json!(damaged))),
        ("cut", changed("/spec/encryptedData/password", json!("AgAA"))),
        ("no base64", changed("/spec/encryptedData/password", json!("not base64"))),
        ("other format", changed("/spec/encryptedData/x", json!("YWdlLWVuY3J5cHRpb24ub3JnL3YxCg=="))),
        ("no item's name", changed("/spec/encryptedData/a~1b", json!("AAAA"))),
        ("legacy", changed("/spec/data", json!("AAAA"))),
        ("attempts spent", changed("/spec/encryptedData", Value::Object(many))),
        ("age: wrong key", sealed_for(&[(&stranger, 0)], Kind::Hybrid, Scope::Strict)),
        ("age: wrong name", aged("/metadata/name", json!("other"))),
        ("age: wrong namespace", aged("/metadata/namespace", json!("team-b"))),
        ("age: no namespace", aged("/metadata/namespace", Value::Null)),
        ("age: wider scope", aged("/metadata/annotations", json!({names::CLUSTER_WIDE: "true"}))),
        (
            "age: another item",
            aged("/spec/encryptedData/x", age_good["spec"]["encryptedData"]["other"].clone()),
        ),
        ("age: damaged", aged("/spec/encryptedData/password", json!(damaged_age))),
        ("age: no binding line", aged("/spec/encryptedData/password", json!(foreign))),
        (
            "age: no header",
            aged("/spec/encryptedData/password", json!("YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0tLSA=")),
        ),
        ("age: attempts spent", aged("/spec/encryptedData", Value::Object(many_aged))),
        ("age: a Key Vault's", sealed_to(SealTo::Age(&in_vault), Scope::Strict)),
        ("one of each format, one damaged", aged("/spec/encryptedData/classic", json!(damaged))),
        ("with what tells the value", with_oracle(changed("/metadata/name", json!("other")), "h")),
        ("with what does not", with_oracle(changed("/metadata/name", json!("other")), "x")),
    ];
    let wanted = (StatusCode::CONFLICT, HeaderMap::new(), String::new());
    for path in ["/v1/verify", "/v1/rotate"] {
        for (cause, object) in &objects {
            let mut answer = place.post(path, object).await;
            assert_eq!(answer.1.remove(header::CONTENT_LENGTH).unwrap(), "0", "{path}: {cause}");
            assert_eq!(answer, wanted, "{path}: {cause}");
        }
        assert_eq!(place.post(path, &good).await.0, StatusCode::OK);
        assert_eq!(place.post(path, &age_good).await.0, StatusCode::OK);
    }
    // No key at all is one more reason.
    let mut answer = Place::of(self::held(&[], &[])).post("/v1/verify", &good).await;
    answer.1.remove(header::CONTENT_LENGTH);
    assert_eq!(answer, wanted);
}

#[tokio::test]
async fn what_cannot_be_read_is_said_in_fixed_words() {
    let held = held(&[("k", 1)], &[]);
    let place = Place::of(held.clone());
    let good = sealed(key(&held, 0), Scope::Strict);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"CANARY": "CANARY"}});
    let laughs = (1..30).fold("a0: &a0 [CANARY]\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)
    });
    let typed = |field: &str, value: Value| {
        let mut object = good.clone();
        object[field] = value;
        object.to_string()
    };
    let bodies = [
        String::new(),
        "CANARY".into(),
        "{\"CANARY\": ".into(),
        secret.to_string(),
        json!({"apiVersion": "v1", "kind": "List", "items": [good]}).to_string(),
        format!("{good}\n---\n{good}"),
        typed("spec", json!({"encryptedData": {"CANARY": {"CANARY": 1}}})),
        typed("spec", json!({"encryptedData": {}, "CANARY": 1})),
        typed("spec", Value::Null),
        typed("metadata", json!({"name": "CANARY!"})),
        format!("a: [{}]", "1,".repeat(NODES)),
        laughs,
        "a: 1\na: CANARY\n".into(),
    ];
    for path in ["/v1/verify", "/v1/rotate"] {
        for body in &bodies {
            let (status, _, text) = place.post(path, body).await;
            let shown = &body[..body.len().min(60)];
            assert_eq!(status, StatusCode::BAD_REQUEST, "{shown}");
            assert!(text.ends_with('\n') && text.len() < 80 && !text.contains("CANARY"), "{shown}: {text}");
        }
        let large = format!("# {}\n{good}", "x".repeat(2 << 20));
        assert_eq!(place.post(path, large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH] {
            let (status, headers, _) = place.ask(method, path, good.to_string()).await;
            assert_eq!(
                (status, &headers[header::ALLOW]),
                (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
            );
        }
    }
    assert_eq!(place.metrics.private_operations.get(), 0);
}

#[tokio::test]
async fn without_a_key_that_may_do_it_nothing_is_done() {
    let loaded = held(&[("leaked", 1)], &["leaked"]);
    let object = sealed(key(&loaded, 0), Scope::Strict);
    let unavailable = async |held: Held, path| {
        let (status, headers, body) = Place::of(held).post(path, &object).await;
        assert_eq!((status, &*body), (StatusCode::SERVICE_UNAVAILABLE, ""));
        assert_eq!(headers[header::RETRY_AFTER], RETRY_AFTER);
    };
    unavailable(Held::default(), "/v1/verify").await;
    unavailable(Held::default(), "/v1/rotate").await;
    unavailable(loaded.clone(), "/v1/rotate").await;
    assert_eq!(Place::of(loaded).post("/v1/verify", &object).await.0, StatusCode::OK, "it opens");
}

#[tokio::test]
async fn what_a_request_costs_is_bounded_and_counted() {
    let held = held(&[("a", 2), ("b", 1)], &[]);
    let place = Place::of(held.clone());
    let stranger = self::held(&[("stranger", 1)], &[]);
    let mut object = sealed(key(&stranger, 0), Scope::Strict);
    let value = object["spec"]["encryptedData"]["password"].clone();
    object["spec"]["encryptedData"] = (0..1000).map(|n| (format!("k{n}"), value.clone())).collect();
    assert_eq!(place.post("/v1/rotate", &object).await.0, StatusCode::CONFLICT);
    assert_eq!(place.metrics.private_operations.get(), ATTEMPTS as u64);
    let good = sealed(key(&held, 0), Scope::Strict);
    assert_eq!(place.post("/v1/rotate", &good).await.0, StatusCode::OK);
    assert_eq!(place.metrics.private_operations.get(), ATTEMPTS as u64 + 2);
    let text = place.metrics.text();
    for (code, count) in [("409", 1), ("200", 1)] {
        let line = format!("privyseal_http_answers_total{{route=\"rotate\",code=\"{code}\"}} {count}\n");
        assert!(text.contains(&line), "{text}");
    }
}

/// Header lines of a value, without its MAC.
fn stanzas(object: &Value, item: &str) -> Vec<String> {
    let text = object["spec"]["encryptedData"][item].as_str().unwrap();
    let value = SealedValue::from_base64(text).unwrap();
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    text.lines().take_while(|line| !line.starts_with("---")).map(str::to_owned).collect()
}

fn payload(object: &Value, item: &str) -> Vec<u8> {
    let text = object["spec"]["encryptedData"][item].as_str().unwrap();
    let value = SealedValue::from_base64(text).unwrap();
    let bytes = value.as_bytes();
    let mac = bytes.windows(5).position(|window| window == b"\n--- ").unwrap() + 1;
    bytes[mac + bytes[mac..].iter().position(|&byte| byte == b'\n').unwrap()..].to_vec()
}

#[tokio::test]
async fn rotate_gives_a_value_to_our_newest_key_and_leaves_everybody_elses_stanza() {
    let held = held(&[("new", 1), ("old", 2)], &[]);
    let theirs = self::held(&[("theirs", 1)], &[]);
    let (place, at_theirs) = (Place::of(held.clone()), Place::of(theirs.clone()));
    let ids = [0, 1].map(|index| key(&held, index).fingerprint().key_id().to_string());
    for kind in [Kind::Hybrid, Kind::X25519] {
        for scope in Scope::ALL {
            let object = sealed_for(&[(&theirs, 0), (&held, 1)], kind, scope);
            let (status, _, told) = place.post("/v1/verify", &object).await;
            assert_eq!(status, StatusCode::OK);
            assert_eq!(told, json!({"openedWith": {"password": ids[1], "other": ids[1]}}).to_string() + "\n");

            let (status, _, body) = place.post("/v1/rotate", &object).await;
            assert_eq!(status, StatusCode::OK);
            let rotated: Value = serde_json::from_str(&body).unwrap();
            let (_, _, told) = place.post("/v1/verify", &rotated).await;
            assert_eq!(told, json!({"openedWith": {"password": ids[0], "other": ids[0]}}).to_string() + "\n");
            assert_eq!(
                at_theirs.post("/v1/verify", &rotated).await.0,
                StatusCode::OK,
                "they go on opening it"
            );
            assert_eq!(Place::of(only(&held, 1)).post("/v1/verify", &rotated).await.0, StatusCode::CONFLICT);
            for item in ["password", "other"] {
                let (before, after) = (stanzas(&object, item), stanzas(&rotated, item));
                let theirs_end =
                    before.iter().rposition(|line| line.starts_with("-> privyseal.dev/key")).unwrap();
                assert_eq!(before[..theirs_end], after[..theirs_end], "their stanza is the same");
                assert_ne!(before[theirs_end..], after[theirs_end..]);
                let hint = recipient(&held, 0, kind).fingerprint().key_id();
                assert_eq!(after[theirs_end], format!("-> privyseal.dev/key {hint}"));
                assert_eq!(payload(&object, item), payload(&rotated, item), "same file key, same payload");
            }
            let mut rest = rotated.clone();
            rest["spec"]["encryptedData"] = object["spec"]["encryptedData"].clone();
            assert_eq!(rest, object, "{kind} {scope}");

            // What is right already stays, byte for byte.
            let (_, _, again) = place.post("/v1/rotate", &rotated).await;
            assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), rotated);
        }
    }
}

#[tokio::test]
async fn both_formats_in_one_object_keep_their_format() {
    let held = held(&[("new", 1), ("old", 2)], &[]);
    let place = Place::of(held.clone());
    let mut object = sealed(key(&held, 1), Scope::Strict);
    let aged = sealed_for(&[(&held, 1)], Kind::X25519, Scope::Strict);
    object["spec"]["encryptedData"]["other"] = aged["spec"]["encryptedData"]["other"].clone();
    let (status, _, body) = place.post("/v1/rotate", &object).await;
    assert_eq!(status, StatusCode::OK);
    let rotated: Value = serde_json::from_str(&body).unwrap();
    let format = |item: &str| {
        SealedValue::from_base64(rotated["spec"]["encryptedData"][item].as_str().unwrap()).unwrap().format()
    };
    assert_eq!((format("password"), format("other")), (Format::Classic, Format::Age));
    let hints = rotated["metadata"]["annotations"][names::SEALED_WITH].as_str().unwrap();
    assert!(hints.contains("password") && !hints.contains("other"), "{hints}");
    let new = key(&held, 0).fingerprint().key_id().to_string();
    let (_, _, told) = place.post("/v1/verify", &rotated).await;
    assert_eq!(told, json!({"openedWith": {"password": new, "other": new}}).to_string() + "\n");
}

#[tokio::test]
async fn hints_are_authenticated_and_a_value_without_them_is_rotated_too() {
    let held = held(&[("new", 1), ("old", 2)], &[]);
    let place = Place::of(held.clone());
    let object = sealed_for(&[(&held, 1)], Kind::X25519, Scope::Strict);
    let [new, old] = [0, 1].map(|index| recipient(&held, index, Kind::X25519).fingerprint().key_id());
    let text = object["spec"]["encryptedData"]["password"].as_str().unwrap();
    let mut forged = SealedValue::from_base64(text).unwrap().as_bytes().to_vec();
    let at = forged.windows(16).position(|window| window == old.to_string().as_bytes()).unwrap();
    forged[at..at + 16].copy_from_slice(new.to_string().as_bytes());
    let mut changed = object.clone();
    changed["spec"]["encryptedData"]["password"] = json!(base64(forged));
    assert_eq!(place.post("/v1/rotate", &changed).await.0, StatusCode::CONFLICT, "hints are under the MAC");
    let to = Recipients::new([recipient(&held, 1, Kind::X25519)]).unwrap().without_hints();
    let object = sealed_to(SealTo::Age(&to), Scope::Strict);
    let (status, _, body) = place.post("/v1/rotate", &object).await;
    assert_eq!(status, StatusCode::OK);
    let rotated: Value = serde_json::from_str(&body).unwrap();
    assert!(
        !stanzas(&rotated, "password").iter().any(|line| line.contains("privyseal.dev/key")),
        "it stays so"
    );
    assert_eq!(Place::of(only(&held, 0)).post("/v1/verify", &rotated).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_newest_key_without_such_a_recipient_rotates_nothing() {
    let whole = held(&[("old", 2)], &[]);
    let bare = Held::for_tests(Timestamp::now(), &[("new", 1)], &[]).without_identities();
    let both = Held::for_tests_of([whole.clone(), bare]);
    let place = Place::of(both.clone());
    let object = sealed_for(&[(&whole, 0)], Kind::Hybrid, Scope::Strict);
    let (status, headers, body) = place.post("/v1/rotate", &object).await;
    assert_eq!((status, &*body), (StatusCode::SERVICE_UNAVAILABLE, ""));
    assert_eq!(headers[header::RETRY_AFTER], RETRY_AFTER);
    assert_eq!(place.post("/v1/verify", &object).await.0, StatusCode::OK);
    assert_eq!(place.post("/v1/rotate", &sealed(key(&whole, 0), Scope::Strict)).await.0, StatusCode::OK);
    // Nor are there recipients to fetch, and the certificate is PEM alone.
    let (status, _, why) = place.ask(Method::GET, "/v1/recipients", String::new()).await;
    assert_eq!(
        (status, &*why),
        (StatusCode::SERVICE_UNAVAILABLE, "the key that seals has no age recipients yet\n")
    );
    let (status, _, why) = Place::of(held(&[], &[])).ask(Method::GET, "/v1/recipients", String::new()).await;
    assert_eq!((status, &*why), (StatusCode::SERVICE_UNAVAILABLE, "there is no key that seals\n"));
}

#[tokio::test]
async fn recipients_are_served_one_per_line_and_the_certificate_stays_pem() {
    let held = held(&[("new", 1), ("old", 2)], &["old"]);
    let place = Place::of(held.clone());
    let (status, headers, text) = place.ask(Method::GET, "/v1/recipients", String::new()).await;
    assert_eq!(
        (status, &headers[header::CONTENT_TYPE]),
        (StatusCode::OK, &"text/plain; charset=utf-8".parse().unwrap())
    );
    let expected = [Kind::Hybrid, Kind::X25519].map(|kind| format!("{}\n", recipient(&held, 0, kind)));
    assert_eq!(text, expected.concat());
    let (_, _, pem) = place.ask(Method::GET, "/v1/cert.pem", String::new()).await;
    assert!(
        pem.starts_with("-----BEGIN CERTIFICATE-----\n") && pem.ends_with("-----END CERTIFICATE-----\n"),
        "{pem}"
    );
    assert_eq!(place.post("/v1/recipients", "").await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert!(place.metrics.text().contains("route=\"recipients\",code=\"200\"} 1\n"));
}

#[tokio::test]
async fn what_age_values_cost_is_bounded_and_counted() {
    let held = held(&[("a", 2), ("b", 1)], &[]);
    let place = Place::of(held.clone());
    // 32 stanzas each of a kind that both keys could have: 32 attempts a key for each value.
    let strangers = (0..32).map(|_| Identity::generate_x25519().recipient());
    let mut object = sealed_to(SealTo::Age(&Recipients::new(strangers).unwrap()), Scope::Strict);
    let value = object["spec"]["encryptedData"]["password"].clone();
    object["spec"]["encryptedData"] = (0..100).map(|n| (format!("k{n}"), value.clone())).collect();
    assert_eq!(place.post("/v1/rotate", &object).await.0, StatusCode::CONFLICT);
    assert_eq!(place.metrics.private_operations.get(), ATTEMPTS as u64);
    let good = sealed_for(&[(&held, 1)], Kind::Hybrid, Scope::Strict);
    assert_eq!(place.post("/v1/verify", &good).await.0, StatusCode::OK);
    assert_eq!(place.metrics.private_operations.get(), ATTEMPTS as u64 + 2, "the hint saves the others");
}
