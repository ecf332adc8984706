use super::*;
use crate::http::public;
use crate::metrics::Metrics;
use axum::Router;
use axum::body::to_bytes;
use axum::http::{HeaderMap, Method, Request};
use jiff::Timestamp;
use privyseal_envelope::rsa::SealingKey;
use privyseal_envelope::{Item, Plaintext, Scope};
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
    let mut secret = Secret::default();
    secret.metadata.name = Some("db".into());
    secret.metadata.namespace = Some("team-a".into());
    for item in ["password", "other"] {
        secret.data.insert(Item::parse(item).unwrap(), Plaintext::from(VALUE.as_bytes()));
    }
    let how = Sealing { to: SealTo::Classic(key), scope: Some(scope), allow_empty: false };
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
