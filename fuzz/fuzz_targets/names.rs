//! Short texts that name something: names of Kubernetes, scopes, fingerprints, key ids, and the annotation of hints.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privyseal_envelope::{Fingerprint, Item, KeyId, Name, Namespace, Scope};
use privyseal_keys::PublisherPublicKey;
use privyseal_manifest::names::SEALED_WITH;
use privyseal_seal::hints::Hints;
use std::collections::BTreeMap;
use std::fmt::Display;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    is_itself(text, Namespace::parse(text).ok());
    is_itself(text, Name::parse(text).ok());
    is_itself(text, Item::parse(text).ok());
    is_itself(text, text.parse::<Scope>().ok());
    is_itself(text, text.parse::<Fingerprint>().ok());
    is_itself(text, text.parse::<KeyId>().ok());
    if Namespace::parse(text).is_ok() {
        assert!(Name::parse(text).is_ok(), "each label is a subdomain");
    }
    if Name::parse(text).is_ok() {
        assert!(!text.contains('/') && Item::parse(text).is_ok(), "a label of OAEP would be ambiguous");
    }
    if let Ok(key) = text.parse::<PublisherPublicKey>() {
        assert!(key.to_string().parse() == Ok(key));
    }
    hints(text);
});

/// There is one text for each: what is parsed is shown as it was written.
fn is_itself(text: &str, parsed: Option<impl Display>) {
    if let Some(parsed) = parsed {
        assert_eq!(parsed.to_string(), text);
    }
}

fn hints(text: &str) {
    let mut annotations = BTreeMap::from([(SEALED_WITH.to_owned(), text.to_owned())]);
    let read = Hints::read(Some(&annotations));
    read.write(&mut annotations);
    assert!(Hints::read(Some(&annotations)) == read, "what is written reads back");
    assert_eq!(read == Hints::default(), annotations.is_empty());
}
