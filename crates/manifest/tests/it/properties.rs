//! For all inputs: reading never panics, and what is written reads back.

use crate::emission::read_back;
use privyseal_manifest::{
    Condition, Document, SealedSecret, SealedSecretSpec, SealedSecretStatus, SecretTemplate,
    TemplateMetadata, emit, read,
};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[-+.0-9_eExXobnyYNtTfFlru~:#'\" ]{0,6}",
        proptest::sample::select(crate::emission::NASTY).prop_map(str::to_owned),
        "[A-Za-z0-9+/]{0,200}={0,2}",
    ]
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..4)
}

fn template() -> impl Strategy<Value = SecretTemplate> {
    let other = proptest::sample::select(vec![
        ("generateName", serde_json::json!("x-")),
        (
            "managedFields",
            serde_json::json!([{"manager": "yes", "fieldsV1": {"f:a": {".": {}}}, "n": [1, -2, true]}]),
        ),
        ("generation", serde_json::json!(7)),
    ]);
    let metadata = (of("[a-z]{1,9}"), of("[a-z]{1,9}"), texts(), texts(), vec(text(), 0..3), of(other))
        .prop_map(|(name, namespace, labels, annotations, finalizers, other)| TemplateMetadata {
            name,
            namespace,
            labels,
            annotations,
            finalizers,
            other: other.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        });
    (of("[A-Za-z./]{1,9}"), of(any::<bool>()), btree_map(text(), of(text()), 0..3), of(metadata))
        .prop_map(|(type_, immutable, data, metadata)| SecretTemplate { type_, immutable, data, metadata })
}

fn status() -> impl Strategy<Value = SealedSecretStatus> {
    let time = of(0i64..4_102_444_800).prop_map(|seconds| {
        seconds.map(|seconds| {
            k8s_openapi::jiff::Timestamp::from_second(seconds)
                .map(Into::into)
                .expect("within the range of times")
        })
    });
    let condition =
        (text(), text(), time, of(text()), of(text())).prop_map(|(type_, status, time, reason, message)| {
            Condition {
                type_,
                status,
                last_update_time: time.clone(),
                last_transition_time: time,
                reason,
                message,
            }
        });
    (of(any::<i64>()), vec(condition, 0..3), of(text()), vec("[0-9a-f]{16}", 0..3), of(text())).prop_map(
        |(observed_generation, conditions, marker, opened_with, last_handled_reconcile_at)| {
            SealedSecretStatus {
                observed_generation,
                conditions,
                marker,
                opened_with,
                last_handled_reconcile_at,
            }
        },
    )
}

fn object() -> impl Strategy<Value = SealedSecret> {
    let metadata = (of("[a-z]{1,9}"), of("[a-z]{1,9}"), texts(), texts());
    (metadata, of(template()), of("[A-Za-z0-9+/]{1,40}"), texts(), of(status())).prop_map(
        |((name, namespace, labels, annotations), template, data, encrypted_data, status)| {
            let mut object = SealedSecret::new("", SealedSecretSpec { template, data, encrypted_data });
            object.metadata.name = name;
            object.metadata.namespace = namespace;
            object.metadata.labels = Some(labels).filter(|labels| !labels.is_empty());
            object.metadata.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
            object.status = status;
            object
        },
    )
}

fn exercise(bytes: &[u8]) {
    for document in read(bytes, "fuzz").into_iter().flatten() {
        let _ = (document.kind(), document.line());
        let _ = document.into_secret().map_err(|error| (error.to_string(), error.hint()));
    }
    let sealed = read(bytes, "fuzz").into_iter().flatten().map(Document::into_sealed_secret);
    for object in sealed.flatten() {
        assert_eq!(read_back(&emit::to_yaml(&object)), [object]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_reads_back(objects in vec(object(), 1..3)) {
        prop_assert_eq!(&read_back(&emit::yaml_documents(&objects)), &objects);
        prop_assert_eq!(&read_back(&emit::json_documents(&objects)), &objects);
    }

    #[test]
    fn the_api_servers_json_reads_back(object in object()) {
        let json = serde_json::to_vec(&object).unwrap();
        prop_assert_eq!(serde_json::from_slice::<SealedSecret>(&json).unwrap(), object);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..300)) {
        exercise(&bytes);
    }

    #[test]
    fn any_mix_of_tokens_is_read_without_panic(tokens in vec(proptest::sample::select(TOKENS), 0..40)) {
        exercise(tokens.concat().as_bytes());
    }

    #[test]
    fn any_damage_to_a_document_is_read_without_panic(object in object(), cut in any::<(u16, u16)>(), json in any::<bool>(), put in text()) {
        let mut bytes = if json { emit::to_json(&object) } else { emit::to_yaml(&object) }.into_bytes();
        let start = usize::from(cut.0) % bytes.len();
        let end = (start + usize::from(cut.1 % 8)).min(bytes.len());
        bytes.splice(start..end, put.into_bytes());
        exercise(&bytes);
    }
}

const TOKENS: &[&str] = &[
    "a",
    "b",
    ": ",
    ":",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "&a ",
    "*a",
    "<<: ",
    "!",
    "!!str ",
    "? ",
    "# ",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "\t",
    "\r\n",
    "\u{feff}",
    "\\u",
    "\\ud83d",
    "\\",
    "1",
    "yes",
    "~",
    "null",
    "0x",
    ".",
    "kind",
    "List",
    "items",
    "Secret",
    "apiVersion: v1\nkind: Secret\n",
    "{\"kind\":\"List\",\"items\":[",
    "\"",
    "stringData",
    "data",
    "é",
    "\0",
];
