//! What is written reads back, whatever the text looks like.

use privyseal_envelope::{Item, Plaintext};
use privyseal_manifest::{
    SealedSecret, SealedSecretSpec, Secret, SecretTemplate, TemplateMetadata, emit, read,
};
use std::collections::BTreeMap;

pub(crate) const NASTY: &[&str] = &[
    "",
    " ",
    "  two",
    "trailing ",
    "\ttab",
    "tab\t",
    "\n",
    "a\nb",
    "a\nb\n",
    "\na",
    "a\n\n",
    "a\r\nb",
    "\r",
    "a\rb",
    "y",
    "Y",
    "yes",
    "Yes",
    "YES",
    "n",
    "N",
    "no",
    "No",
    "on",
    "On",
    "off",
    "OFF",
    "true",
    "True",
    "false",
    "FALSE",
    "null",
    "Null",
    "NULL",
    "~",
    "0",
    "1",
    "-1",
    "+1",
    "010",
    "08",
    "0o10",
    "0x1",
    "0xFF",
    "0b1",
    "1_000",
    "_1",
    "1__",
    "1.5",
    "1.",
    ".5",
    "1e3",
    "1E3",
    "1e+3",
    "-1e-3",
    ".inf",
    "-.Inf",
    "+.INF",
    ".nan",
    ".NaN",
    "inf",
    "nan",
    "Infinity",
    "12:30",
    "12:30:45",
    "190:20:30.5",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "2026-1-1 1:1:1",
    "1.2.3",
    "1,000",
    "=",
    "<<",
    "-",
    "--",
    "---",
    "--- a",
    "...",
    "... a",
    "?",
    "? a",
    ":",
    ": a",
    "a: b",
    "a:",
    "a:b",
    "#",
    "#a",
    "a #b",
    "a#b",
    "&a",
    "*a",
    "!a",
    "!!str a",
    "|",
    ">",
    "|-",
    "%a",
    "@a",
    "`a",
    "'",
    "\"",
    "'a'",
    "\"a\"",
    "a'b",
    "a\"b",
    "\\",
    "a\\nb",
    "[",
    "]",
    "{",
    "}",
    "[a]",
    "{a: b}",
    "{}",
    "[]",
    ",",
    "a, b",
    "- a",
    "-a",
    "$(x)",
    "{{ .x }}",
    "{{- if x }}",
    "\0",
    "\u{7}",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{2029}",
    "\u{feff}",
    "\u{feff}a",
    "a\u{feff}",
    "é",
    "日本",
    "😀",
    "\u{fffd}",
    "\u{ffff}",
    "\u{10ffff}",
    "<>&",
    "/",
    "http://a:b@c/#d",
    "a=b",
    "0.0.0.0/0",
    "AgB0b3A=",
    "0123456789abcdef",
    "00",
    "0e0",
    "1e999",
    "٣",
    "TRUE ",
    " null",
    "!!binary aGk=",
];

fn with_annotations(annotations: BTreeMap<String, String>) -> SealedSecret {
    let metadata = TemplateMetadata {
        annotations: annotations.clone(),
        labels: annotations.clone(),
        ..Default::default()
    };
    let template = SecretTemplate {
        type_: Some("Opaque".into()),
        data: annotations.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect(),
        metadata: Some(metadata),
        ..Default::default()
    };
    let spec = SealedSecretSpec {
        template: Some(template),
        encrypted_data: annotations.clone(),
        ..Default::default()
    };
    let mut object = SealedSecret::new("a", spec);
    object.metadata.annotations = Some(annotations);
    object
}

pub(crate) fn read_back(text: &str) -> Vec<SealedSecret> {
    let documents = read(text.as_bytes(), "out").unwrap_or_else(|error| panic!("{error}\n{text}"));
    let typed = documents.into_iter().map(|document| document.into_sealed_secret());
    typed.map(|object| object.unwrap_or_else(|error| panic!("{error}\n{text}"))).collect()
}

#[test]
fn nasty_strings_read_back_as_values_and_as_keys() {
    assert!(NASTY.len() > 150);
    for nasty in NASTY {
        let object = with_annotations(
            [
                ("k".to_owned(), (*nasty).to_owned()),
                (format!("k{nasty}"), "v".into()),
                ((*nasty).to_owned(), "v".into()),
            ]
            .into(),
        );
        assert_eq!(read_back(&emit::to_yaml(&object)), std::slice::from_ref(&object), "{nasty:?}");
        assert_eq!(read_back(&emit::to_json(&object)), [object], "{nasty:?}");
    }
}

#[test]
fn many_objects_are_a_stream() {
    let objects = [
        with_annotations([("a".into(), "---".into())].into()),
        with_annotations([("b".into(), "\n---\n".into())].into()),
    ];
    let yaml = emit::yaml_documents(&objects);
    assert!(
        yaml.starts_with("---\napiVersion: bitnami.com/v1alpha1\n")
            && yaml.ends_with('\n')
            && !yaml.ends_with("---\n")
    );
    assert_eq!(yaml.lines().filter(|line| *line == "---").count(), 2);
    assert_eq!(read_back(&yaml), objects);
    let json = emit::json_documents(&objects);
    assert!(json.starts_with("{\n  \"apiVersion\"") && json.ends_with("}\n") && !json.ends_with("\n\n"));
    assert_eq!(read_back(&json), objects);
    assert_eq!((emit::yaml_documents(&[]), emit::json_documents(&[])), (String::new(), String::new()));
}

#[test]
fn a_long_sealed_value_stays_on_its_line() {
    let value = "QUJD".repeat(4000);
    let object = with_annotations([("k".into(), value.clone())].into());
    assert!(emit::to_yaml(&object).contains(&format!("  encryptedData:\n    k: {value}\n")));
    let words = "word ".repeat(100) + "end";
    assert!(
        emit::to_yaml(&with_annotations([("k".into(), words.clone())].into()))
            .contains(&format!("k: {words}\n"))
    );
}

#[test]
fn secrets_read_back_in_every_spelling() {
    let mut secret =
        Secret { type_: Some("kubernetes.io/tls".into()), immutable: Some(false), ..Default::default() };
    secret.metadata.name = Some("1".into());
    secret.metadata.annotations =
        Some(NASTY.iter().map(|nasty| ((*nasty).to_owned(), (*nasty).to_owned())).collect());
    for (index, item) in ["y", "on", "010", "1e3", "null", "tls.crt", "-", "_", "a"].iter().enumerate() {
        let value: Vec<u8> = (0..=255).cycle().take(index * 50).collect();
        secret.data.insert(Item::parse(*item).unwrap(), Plaintext::new(value));
    }
    for text in [
        secret.to_yaml(),
        secret.to_json_pretty(),
        String::from_utf8(secret.to_json().to_vec()).unwrap().into(),
    ] {
        let back = read(text.as_bytes(), "out")
            .unwrap()
            .remove(0)
            .into_secret()
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(back == secret);
    }
}
