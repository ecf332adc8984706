//! What strangers must not learn or get: scopes, values, why something does not open.

use super::{ROUTES, all_of, opened_with, post, rotated, stranger};
use privyseal_tests::objects::{self, wait_for_condition};
use privyseal_tests::world::Place;
use serde_json::{Value, json};

const VALUE: &str = "hunter2";
const CLUSTER_WIDE: &str = "sealedsecrets.bitnami.com/cluster-wide";

/// `template.data` that tells the value by failing or not, if anybody renders it.
fn with_oracle(mut object: Value, prefix: &str) -> Value {
    let text = format!("{{{{ if hasPrefix \"{prefix}\" .a }}}}{{{{ fail \"x\" }}}}{{{{ end }}}}");
    object["spec"]["template"]["data"] = json!({ "x": text });
    object
}

fn with(object: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut object = object.clone();
    change(&mut object);
    object
}

#[tokio::test]
async fn every_failure_to_open_is_the_same_to_the_byte() {
    let place = Place::new("same").await;
    let (controller, namespace) = (&place.world.controller, &place.namespace);
    let good = place.world.sealer.seal(namespace, "db", &[("a", VALUE)], &[]);
    let value = good["spec"]["encryptedData"]["a"].as_str().unwrap().to_owned();
    let damaged = {
        let mut bytes = value.clone().into_bytes();
        let at = bytes.len() / 2;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let moved = with(&good, |object| object["metadata"]["name"] = json!("other"));
    let causes = [
        ("wrong key", stranger("2048").seal(namespace, "db", &[("a", VALUE)], &[])),
        ("wrong name", moved.clone()),
        ("wrong namespace", with(&good, |object| object["metadata"]["namespace"] = json!("other"))),
        ("no namespace", with(&good, |object| _ = object["metadata"]["namespace"].take())),
        ("wider", with(&good, |object| object["metadata"]["annotations"] = json!({CLUSTER_WIDE: "true"}))),
        ("damaged", with(&good, |object| object["spec"]["encryptedData"]["a"] = json!(damaged))),
        ("cut", with(&good, |object| object["spec"]["encryptedData"]["a"] = json!(value[..40]))),
        ("no base64", with(&good, |object| object["spec"]["encryptedData"]["a"] = json!("%"))),
        ("one of two", with(&good, |object| object["spec"]["encryptedData"]["b"] = json!(damaged))),
        (
            "age",
            with(&good, |object| {
                object["spec"]["encryptedData"]["b"] = json!("YWdlLWVuY3J5cHRpb24ub3JnL3YxCg==");
            }),
        ),
        ("legacy", with(&good, |object| object["spec"]["data"] = json!(value))),
        (
            "attempts spent",
            with(&good, |object| {
                object["spec"]["encryptedData"] = (0..300).map(|n| (format!("k{n}"), json!(value))).collect();
            }),
        ),
        ("a template that fails on the value", with_oracle(moved.clone(), "h")),
        ("a template that does not", with_oracle(moved, "x")),
    ];
    let mut answers = Vec::new();
    for path in ROUTES {
        for (cause, object) in &causes {
            answers.push((path, cause, all_of(post(controller, path, object).await)));
        }
        assert_eq!(post(controller, path, &good).await.status, 200);
    }
    let (_, _, first) = answers[0].clone();
    assert!(first.starts_with("409 ") && first.ends_with(" b\"\""), "{first}");
    for (path, cause, answer) in answers {
        assert_eq!(answer, first, "{path}: {cause}");
    }
}

#[tokio::test]
async fn a_template_neither_widens_a_scope_nor_tells_a_value() {
    let place = Place::new("scope").await;
    let (controller, namespace) = (&place.world.controller, &place.namespace);
    let sealed = place.world.sealer.seal(namespace, "db", &[("a", VALUE)], &[]);
    let confused = with(&sealed, |object| {
        object["spec"]["template"]["metadata"]["annotations"] = json!({CLUSTER_WIDE: "true"});
    });
    let mut moved = rotated(controller, &confused).await;
    assert_eq!(moved["metadata"]["annotations"][CLUSTER_WIDE], json!(null));
    assert!(opened_with(controller, &moved).await.is_object());
    // Under another name it opens nowhere, whatever scope it now claims.
    moved["metadata"]["name"] = json!("other");
    for annotations in [json!({}), json!({CLUSTER_WIDE: "true"})] {
        moved["metadata"]["annotations"] = annotations;
        for path in ROUTES {
            assert_eq!(post(controller, path, &moved).await.status, 409, "{moved}");
        }
        objects::apply(&place.client, None, &moved).await;
        let told = wait_for_condition(&place.client, namespace, "other", "Stalled", "True").await;
        assert_eq!(told.reason, "NotOpened");
    }

    // A right guess and a wrong one are answered alike, and the template comes back as it went.
    let mut answers = Vec::new();
    for prefix in ["h", "x"] {
        let object = with_oracle(sealed.clone(), prefix);
        answers.push(all_of(post(controller, "/v1/verify", &object).await));
        let rotated = rotated(controller, &object).await;
        assert_eq!(rotated["spec"]["template"], object["spec"]["template"]);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn what_is_no_sealed_secret_is_refused_in_fixed_words() {
    let place = Place::new("unread").await;
    let controller = &place.world.controller;
    let good = place.world.sealer.seal(&place.namespace, "db", &[("a", VALUE)], &[]);
    let bomb = (1..40).fold("a0: &a0 [CANARY]\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)
    });
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"CANARY": "CANARY"}});
    let bodies = [
        String::new(),
        "CANARY: [".to_owned(),
        bomb,
        format!("a: {}", "[".repeat(100_000)),
        format!("a: [{}]", "1,".repeat(1_000_000)),
        secret.to_string(),
        json!({"apiVersion": "v1", "kind": "List", "items": [good]}).to_string(),
        format!("{good}\n---\n{good}"),
        with(&good, |object| object["spec"]["encryptedData"]["a"] = json!({"CANARY": 1})).to_string(),
        with(&good, |object| object["spec"]["CANARY"] = json!(1)).to_string(),
    ];
    for path in ROUTES {
        for body in &bodies {
            let answer = post(controller, path, body).await;
            let shown = &body[..body.len().min(40)];
            assert_eq!(answer.status, 400, "{shown}");
            assert!(
                answer.body.len() < 80 && !answer.text().contains("CANARY"),
                "{shown}: {}",
                answer.text()
            );
        }
        let large = format!("{good}{}", " ".repeat(2 << 20));
        assert_eq!(post(controller, path, large).await.status, 413);
        for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE"] {
            let answer = controller.request(method.parse().unwrap(), path, Vec::new()).await;
            assert_eq!((answer.status, answer.header("allow")), (405, "POST"), "{method} {path}");
        }
    }
}
