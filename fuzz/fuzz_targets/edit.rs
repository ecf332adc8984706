//! Edits in place: whatever the file, an edit is refused, or changes what it was asked to and nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privyseal_manifest::edit::{self, Edit};
use privyseal_manifest::{Document, DocumentId, SealedSecret, read};

const ITEM: &str = "fuzz.item";
const VALUE: &str = "AgByDFh=";
const HINTS: &str = "fuzz.item=0123456789abcdef:01234567";

fuzz_target!(|data: &[u8]| {
    let before = objects(data);
    let Some(&(target, _)) = before.first() else { return };
    let set = Edit::of(target).set_item(ITEM, VALUE).sealed_with(Some(HINTS.to_owned()));
    let Ok(after) = edit::apply(data, "fuzz", &[set]).map_err(|error| (error.to_string(), error.hint()))
    else {
        return;
    };
    let changed = objects(after.as_str().as_bytes());
    assert_eq!(changed.len(), before.len());
    for ((id, after), (_, before)) in changed.iter().zip(&before) {
        let mut expected = before.clone();
        if *id == target {
            expected.spec.encrypted_data.insert(ITEM.to_owned(), VALUE.to_owned());
            let annotations = expected.metadata.annotations.get_or_insert_default();
            annotations.insert(privyseal_manifest::names::SEALED_WITH.to_owned(), HINTS.to_owned());
        }
        assert_eq!(after.spec, expected.spec);
        assert_eq!(after.metadata.annotations, expected.metadata.annotations);
    }
    // What was added goes again.
    let remove = Edit::of(target).remove_item(ITEM);
    let again = edit::apply(after.as_str().as_bytes(), "fuzz", &[remove]);
    if let Ok(again) = again.map_err(|error| error.to_string()) {
        let left = objects(again.as_str().as_bytes());
        assert!(
            left.iter().all(|(id, object)| *id != target || !object.spec.encrypted_data.contains_key(ITEM))
        );
    }
});

/// The SealedSecrets of an input; none if one of its documents is something else, or cannot be read.
fn objects(data: &[u8]) -> Vec<(DocumentId, SealedSecret)> {
    let documents = read(data, "fuzz").into_iter().flatten();
    let objects: Result<Vec<_>, _> = documents
        .map(|document| {
            Ok::<_, privyseal_manifest::DocumentError>((
                document.id(),
                Document::into_sealed_secret(document)?,
            ))
        })
        .collect();
    objects.unwrap_or_default()
}
