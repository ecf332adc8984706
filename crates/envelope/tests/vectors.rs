//! Every case of `tests/vectors/classic`, enumerated: minted by an independent implementation, most of them negative.
#![allow(clippy::disallowed_methods, reason = "a test reads its vectors")]
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

use privyseal_envelope::{Binding, Name, Namespace, Plaintext, SealedValue, classic, rsa};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn folder() -> PathBuf {
    // Cargo runs tests in the folder of their package.
    PathBuf::from("../../tests/vectors/classic")
}

fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_else(|| panic!("{case}: no {field}"))
}

fn decode_standard(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn pkcs1_of_pem(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    decode_standard(&body)
}

fn binding(case: &Value) -> Binding {
    let namespace = Namespace::parse(text(case, "namespace")).unwrap();
    let name = Name::parse(text(case, "name_")).unwrap();
    match text(case, "scope") {
        "strict" => Binding::Strict { namespace, name },
        "namespace-wide" => Binding::NamespaceWide { namespace },
        "cluster-wide" => Binding::ClusterWide,
        other => panic!("unknown scope {other}"),
    }
}

fn open(case: &Value, keys: &BTreeMap<String, rsa::OpeningKey>) -> Result<Plaintext, String> {
    let value = SealedValue::from_base64(text(case, "ciphertext_base64")).map_err(|e| e.to_string())?;
    classic::open(&value, &keys[text(case, "key")], &binding(case)).map_err(|e| e.to_string())
}

#[test]
fn all_classic_vectors() {
    let mut keys = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let pem = std::fs::read_to_string(path.join("tls.key")).unwrap();
            let key = rsa::OpeningKey::from_pkcs1_der(&pkcs1_of_pem(&pem)).unwrap();
            keys.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), key);
        }
    }
    let cases: Vec<Value> =
        serde_json::from_slice(&std::fs::read(folder().join("classic.json")).unwrap()).unwrap();
    assert!(cases.len() >= 100, "only {} vectors", cases.len());

    let mut failures = Vec::new();
    for case in &cases {
        let name = text(case, "name");
        match (text(case, "expect"), open(case, &keys)) {
            ("ok", Ok(plaintext))
                if plaintext.expose() == decode_standard(text(case, "plaintext_base64")) => {}
            ("ok", Ok(_)) => failures.push(format!("{name}: opened to other bytes")),
            ("ok", Err(error)) => failures.push(format!("{name}: {error}")),
            ("error", Err(_)) => {}
            ("error", Ok(_)) => failures.push(format!("{name}: opened, and must not")),
            (other, _) => failures.push(format!("{name}: unknown expectation {other}")),
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
