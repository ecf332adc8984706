//! The annotation [`names::SEALED_WITH`]: which key sealed which item. Values of the age format are not in it: they have
//! room for hints of their own.
//!
//! `ITEM=KEYID:DIGEST`, comma-separated and sorted by item; DIGEST is the first 8 hex digits of SHA-256 over the
//! decoded sealed value. An entry whose digest does not fit its value is ignored: somebody changed the value with a
//! tool that does not know the annotation. Hints order attempts and inform people. They never authorise or prove.

use aws_lc_rs::digest;
use privyseal_envelope::{KeyId, SealedValue};
use privyseal_manifest::{SealedSecret, names};
use std::collections::BTreeMap;

/// Item name to the key that it is said to be sealed with, and the digest of the value that this was said of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints(BTreeMap<String, (KeyId, String)>);

impl Hints {
    /// Reads the annotation. What does not parse is left out: hints are never worth an error.
    pub fn read(annotations: Option<&BTreeMap<String, String>>) -> Self {
        let text = annotations.and_then(|all| all.get(names::SEALED_WITH)).map_or("", String::as_str);
        Self(text.split(',').filter_map(parse_entry).collect())
    }

    /// The key that the item is said to be sealed with, if that was said of this very value.
    pub fn key_of(&self, item: &str, value: &SealedValue) -> Option<KeyId> {
        let (key, digest) = self.0.get(item)?;
        (*digest == short_digest(value)).then_some(*key)
    }

    /// The items that it speaks of, whether or not they are there.
    pub fn items(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether an object's annotation says of one of its values another key than the one that opened it.
    pub fn contradict(sealed: &SealedSecret, opened_with: &BTreeMap<String, KeyId>) -> bool {
        let hints = Self::read(sealed.metadata.annotations.as_ref());
        opened_with.iter().any(|(item, key)| {
            let text = sealed.spec.encrypted_data.get(item);
            let value = text.and_then(|text| SealedValue::from_base64(text).ok());
            value.and_then(|value| hints.key_of(item, &value)).is_some_and(|claimed| claimed != *key)
        })
    }

    /// Notes the key of an item's new value, or that the value says itself whose it is.
    pub fn note(&mut self, item: &str, value: &SealedValue, key: Option<KeyId>) {
        match key {
            Some(key) => self.0.insert(item.to_owned(), (key, short_digest(value))),
            None => self.0.remove(item),
        };
    }

    /// Forgets an item.
    pub fn forget(&mut self, item: &str) {
        self.0.remove(item);
    }

    /// The annotation's text; none when there is nothing to say.
    pub fn to_text(&self) -> Option<String> {
        let entries: Vec<_> =
            self.0.iter().map(|(item, (key, digest))| format!("{item}={key}:{digest}")).collect();
        (!entries.is_empty()).then(|| entries.join(","))
    }

    /// Writes the annotation, or removes it when there is nothing to say.
    pub fn write(&self, annotations: &mut BTreeMap<String, String>) {
        match self.to_text() {
            Some(text) => annotations.insert(names::SEALED_WITH.to_owned(), text),
            None => annotations.remove(names::SEALED_WITH),
        };
    }
}

fn parse_entry(entry: &str) -> Option<(String, (KeyId, String))> {
    let (item, rest) = entry.trim().split_once('=')?;
    let (key, digest) = rest.split_once(':')?;
    Some((item.to_owned(), (key.parse().ok()?, digest.to_owned())))
}

fn short_digest(value: &SealedValue) -> String {
    let digest = digest::digest(&digest::SHA256, value.as_bytes());
    digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_envelope::Fingerprint;

    #[test]
    fn entries_round_trip_and_stale_ones_are_ignored() {
        let key = Fingerprint::of(b"key").key_id();
        let value = SealedValue::from_base64("AAAA").unwrap();
        let mut hints = Hints::default();
        hints.note("b", &value, Some(key));
        hints.note("a.b-c_D", &value, Some(key));
        let mut annotations = BTreeMap::new();
        hints.write(&mut annotations);
        assert_eq!(annotations[names::SEALED_WITH], format!("a.b-c_D={key}:709e80c8,b={key}:709e80c8"),);

        let read = Hints::read(Some(&annotations));
        assert_eq!(read, hints);
        assert_eq!(read.key_of("b", &value), Some(key));
        assert_eq!(read.key_of("b", &SealedValue::from_base64("AAAB").unwrap()), None);
        assert_eq!(read.key_of("c", &value), None);
    }

    #[test]
    fn garbage_is_no_hint() {
        for text in ["", ",", "a", "a=", "a=b", "a=b:c", "=0123456789abcdef:00000000"] {
            let annotations = BTreeMap::from([(names::SEALED_WITH.to_owned(), text.to_owned())]);
            assert!(Hints::read(Some(&annotations)).0.keys().all(String::is_empty), "{text}");
        }
    }
}
