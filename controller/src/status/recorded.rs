//! Every status that can be written, recorded for those who read them: `tests/vectors/status/cases.json`.
//!
//! `tests/tests/health` shows each of these objects to kstatus, to Argo CD's check and to kubectl. After a change that
//! is meant, `PRIVYSEAL_STATUS=overwrite` writes the file anew; read the difference.

use super::next;
use crate::outcome::{Class, Outcome, Proof, Reason};
use jiff::Timestamp;
use privyseal_manifest::SealedSecretStatus;
use serde_json::{Value, json};
use std::path::Path;

/// What an object was before a pass, and the generation that the pass looks at.
struct Before {
    name: &'static str,
    status: Option<SealedSecretStatus>,
    generation: i64,
}

#[test]
fn every_status_that_can_be_written_is_recorded() {
    let cases = cases();
    // One a line: a difference then shows which case it is in.
    let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/status/cases.json");
    if std::env::var("PRIVYSEAL_STATUS").is_ok_and(|wanted| wanted == "overwrite") {
        std::fs::write(&path, &text).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap();
    for (line, wanted) in recorded.lines().zip(text.lines()) {
        assert_eq!(line, wanted, "{} is not what is written now", path.display());
    }
    assert_eq!(recorded.len(), text.len(), "{} has other cases", path.display());
}

fn cases() -> Vec<Value> {
    let mut cases = of_the_api_server();
    for &reason in Reason::ALL {
        for before in befores() {
            let status = after(reason, before.status.as_ref(), before.generation);
            cases.push(json!({
                "name": format!("{}, {}", reason.as_str(), before.name),
                "state": state(reason.class()),
                "reason": reason.as_str(),
                "object": object(before.generation, Some(&status)),
            }));
        }
    }
    cases
}

/// What readers see where the controller has written nothing yet, or not yet again.
fn of_the_api_server() -> Vec<Value> {
    let fresh = default_of_the_definition();
    let mut cases = vec![
        // Under a definition without a default, such as the peer's.
        json!({"name": "new, without any status", "state": "new", "object": object(1, None)}),
        json!({"name": "new", "state": "new", "object": object(1, Some(&fresh))}),
    ];
    for reason in [Reason::Unsealed, Reason::NotOpened, Reason::ApiUnavailable] {
        let (class, status) = (state(reason.class()), after(reason, None, 1));
        // The API server counts the deletion as a change.
        let mut deleted = object(2, Some(&status));
        deleted["metadata"]["deletionTimestamp"] = json!("2026-03-01T00:00:00Z");
        deleted["metadata"]["finalizers"] = json!(["example.com/held"]);
        cases.push(json!({
            "name": format!("changed and not looked at, after {class}"),
            "state": "changed", "before": class, "object": object(2, Some(&status)),
        }));
        cases.push(json!({
            "name": format!("being deleted, after {class}"),
            "state": "deleted", "before": class, "object": deleted,
        }));
    }
    cases
}

fn befores() -> Vec<Before> {
    let mut befores = vec![
        Before { name: "without any status", status: None, generation: 1 },
        Before { name: "new", status: Some(default_of_the_definition()), generation: 1 },
        Before { name: "after the peer, done", status: Some(of_the_peer("True")), generation: 1 },
        Before { name: "after the peer, failed", status: Some(of_the_peer("False")), generation: 1 },
    ];
    for (reason, same, changed) in [
        (Reason::Unsealed, "after done", "changed after done"),
        (Reason::NotOpened, "after stalled", "changed after stalled"),
        (Reason::ApiUnavailable, "after retried", "changed after retried"),
    ] {
        let status = Some(after(reason, None, 1));
        befores.push(Before { name: same, status: status.clone(), generation: 1 });
        befores.push(Before { name: changed, status, generation: 2 });
    }
    befores
}

/// What is there after a pass that came to this; what was there before stays if it says all of it.
fn after(reason: Reason, before: Option<&SealedSecretStatus>, generation: i64) -> SealedSecretStatus {
    let proof = || Proof { marker: "m".to_owned(), opened_with: Vec::new() };
    let outcome = Outcome {
        reason,
        message: format!("what {} says", reason.as_str()),
        proof: (reason.class() == Class::Done).then(proof),
    };
    let now = at(if before.is_none() { "2026-01-01T00:00:00Z" } else { "2026-02-01T00:00:00Z" });
    let written = next(before, &outcome, Some(generation), None, now);
    written.or_else(|| before.cloned()).unwrap()
}

fn object(generation: i64, status: Option<&SealedSecretStatus>) -> Value {
    let mut object = json!({
        "apiVersion": "bitnami.com/v1alpha1",
        "kind": "SealedSecret",
        "metadata": {"name": "db", "namespace": "team-a", "generation": generation},
        "spec": {"encryptedData": {"password": "AAAA"}},
    });
    if let Some(status) = status {
        object["status"] = serde_json::to_value(status).unwrap();
    }
    object
}

/// What the API server gives a new object that has no status.
fn default_of_the_definition() -> SealedSecretStatus {
    let definition = serde_json::to_value(privyseal_manifest::sealed_secret::crd()).unwrap();
    let default =
        definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status/default").unwrap();
    serde_json::from_value(default.clone()).unwrap()
}

fn of_the_peer(synced: &str) -> SealedSecretStatus {
    let times = "2025-12-01T00:00:00Z";
    let condition =
        json!({"type": "Synced", "status": synced, "lastUpdateTime": times, "lastTransitionTime": times});
    serde_json::from_value(json!({"observedGeneration": 1, "conditions": [condition]})).unwrap()
}

fn state(class: Class) -> &'static str {
    match class {
        Class::Done => "done",
        Class::Stalled => "stalled",
        Class::Retry => "retried",
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
