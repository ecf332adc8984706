//! `/v1/verify` and `/v1/rotate` for anyone who reaches them: what they do, and each attack on them that must fail.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod age;
mod attacks;
mod flood;
mod kubeseal;
mod verbs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use privyseal_tests::Controller;
use privyseal_tests::controller::Answer;
use privyseal_tests::sealing::{Sealer, privyseal};
use serde_json::Value;

const ROUTES: [&str; 2] = ["/v1/verify", "/v1/rotate"];

async fn post(controller: &Controller, path: &str, body: impl ToString) -> Answer {
    controller.request(Method::POST, path, body.to_string().into_bytes()).await
}

/// Which key opened each item, as `verify` says.
async fn opened_with(controller: &Controller, object: &Value) -> Value {
    let answer = post(controller, "/v1/verify", object).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    serde_json::from_slice::<Value>(&answer.body).unwrap()["openedWith"].take()
}

/// The object resealed.
async fn rotated(controller: &Controller, object: &Value) -> Value {
    let answer = post(controller, "/v1/rotate", object).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    serde_json::from_slice(&answer.body).unwrap()
}

/// All of an answer but the time.
fn all_of(mut answer: Answer) -> String {
    answer.headers.remove("date");
    format!("{} {:?} {:?}", answer.status, answer.headers, answer.body)
}

/// Seals to a key of so many bits that no controller holds.
fn stranger(bits: &str) -> Sealer {
    let made = privyseal(&["keys", "generate", "--size", bits, "-n", "x", "-o", "json"], "");
    let key: Value = serde_json::from_slice(&made.stdout).unwrap();
    let pem = STANDARD.decode(key["data"]["tls.crt"].as_str().unwrap()).unwrap();
    Sealer::to(&String::from_utf8(pem).unwrap())
}
