//! Documents as SealedSecrets: YAML and JSON in, YAML and JSON out, and as the API server's client reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privyseal_manifest::{Document, SealedSecret, emit, read};

fuzz_target!(|data: &[u8]| {
    let objects: Vec<SealedSecret> = read(data, "fuzz")
        .into_iter()
        .flatten()
        .map(Document::into_sealed_secret)
        .filter_map(|object| object.map_err(|error| (error.to_string(), error.hint())).ok())
        .collect();
    for object in &objects {
        for text in [emit::to_yaml(object), emit::to_json(object)] {
            same(&read_back(&text), std::slice::from_ref(object));
        }
        let json = serde_json::to_vec(object).expect("a SealedSecret is representable");
        let again: SealedSecret = serde_json::from_slice(&json).expect("kube reads what we write");
        same(&[again], std::slice::from_ref(object));
    }
    same(&read_back(&emit::yaml_documents(&objects)), &objects);
    same(&read_back(&emit::json_documents(&objects)), &objects);
});

/// What is written reads back. The text tells all but the specification: Kubernetes writes times in whole seconds, so
/// that what is read back may differ from what was read in a fraction.
fn same(after: &[SealedSecret], before: &[SealedSecret]) {
    assert_eq!(emit::json_documents(after), emit::json_documents(before));
    for (after, before) in after.iter().zip(before) {
        assert_eq!(after.spec, before.spec);
        assert_eq!(after.metadata.annotations, before.metadata.annotations);
        assert_eq!(after.metadata.labels, before.metadata.labels);
    }
}

fn read_back(text: &str) -> Vec<SealedSecret> {
    let documents = read(text.as_bytes(), "fuzz").expect("what is written is a document");
    let objects = documents.into_iter().map(Document::into_sealed_secret);
    objects.collect::<Result<_, _>>().expect("what is written is a SealedSecret")
}
