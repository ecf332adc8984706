//! The opening keys that a process holds, newest first.

use crate::{Certificate, KeyPair};
use jiff::Timestamp;
use privyseal_envelope::rsa::OpeningKey;
use privyseal_envelope::{Fingerprint, KeyId};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One key of a keyring. Keyrings share their keys: a clone is the same key, which is wiped when the last one goes.
#[derive(Clone)]
pub struct KeyringEntry {
    source: String,
    opening_key: Arc<OpeningKey>,
    certificate: Option<Certificate>,
}

impl KeyringEntry {
    /// A key with its certificate; `source` is the name of the key Secret or file it came from.
    pub fn from_pair(source: impl Into<String>, pair: KeyPair) -> Self {
        let (opening_key, certificate) = pair.into_parts();
        Self { source: source.into(), opening_key: Arc::new(opening_key), certificate: Some(certificate) }
    }

    /// A bare opening key: it opens, and never seals.
    pub fn from_opening_key(source: impl Into<String>, opening_key: OpeningKey) -> Self {
        Self { source: source.into(), opening_key: Arc::new(opening_key), certificate: None }
    }

    /// Where the key came from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The private half.
    pub fn opening_key(&self) -> &OpeningKey {
        &self.opening_key
    }

    /// The certificate, if it came with one.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// The fingerprint of the public half.
    pub fn fingerprint(&self) -> Fingerprint {
        self.opening_key.fingerprint()
    }

    fn not_before(&self) -> Option<Timestamp> {
        self.certificate.as_ref().map(Certificate::not_before)
    }
}

/// Opening keys, newest first. A key that is in it twice is kept once.
#[derive(Clone, Default)]
pub struct Keyring {
    entries: Vec<KeyringEntry>,
}

impl Keyring {
    /// Orders the keys: latest start of validity first, then by source, so that every process agrees.
    pub fn new(mut entries: Vec<KeyringEntry>) -> Self {
        entries.sort_by(|a, b| {
            Reverse(a.not_before()).cmp(&Reverse(b.not_before())).then_with(|| a.source.cmp(&b.source))
        });
        let mut seen = BTreeSet::new();
        entries.retain(|entry| seen.insert(entry.fingerprint()));
        Self { entries }
    }

    /// Those of its keys that are named, in the same order.
    #[must_use]
    pub fn only(&self, keys: &BTreeSet<Fingerprint>) -> Self {
        let entries = self.entries.iter().filter(|entry| keys.contains(&entry.fingerprint()));
        Self { entries: entries.cloned().collect() }
    }

    /// The keys, newest first.
    pub fn entries(&self) -> &[KeyringEntry] {
        &self.entries
    }

    /// Whether it holds no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The newest certificate that may seal at `now`. One from the future, or past its end, opens but does not seal.
    pub fn sealing_at(&self, now: Timestamp) -> Option<&Certificate> {
        self.entries
            .iter()
            .filter_map(KeyringEntry::certificate)
            .find(|certificate| certificate.not_before() <= now && certificate.usable_at(now).is_ok())
    }

    /// The keys in the order in which to try them: the one that the hint names first, then newest first.
    /// A hint only orders: a wrong one costs an attempt and nothing else.
    pub fn candidates(&self, hint: Option<KeyId>) -> impl Iterator<Item = &KeyringEntry> {
        let hinted = move |entry: &&KeyringEntry| hint == Some(entry.fingerprint().key_id());
        self.entries.iter().filter(hinted).chain(self.entries.iter().filter(move |entry| !hinted(entry)))
    }

    /// A name for this set of keys, for remembering that a value did not open with any of them.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut fingerprints: Vec<String> =
            self.entries.iter().map(|e| e.fingerprint().to_string()).collect();
        fingerprints.sort();
        Fingerprint::of(fingerprints.join("\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use privyseal_envelope::rsa::KeySize;

    static_assertions::assert_not_impl_any!(Keyring: std::fmt::Debug, std::fmt::Display);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn entry(source: &str, not_before: &str) -> KeyringEntry {
        let hour = SignedDuration::from_hours(1);
        let pair = KeyPair::generate(KeySize::Rsa2048, "", at(not_before), hour).ok().unwrap();
        KeyringEntry::from_pair(source, pair)
    }

    fn sources<'a>(entries: impl IntoIterator<Item = &'a KeyringEntry>) -> Vec<&'a str> {
        entries.into_iter().map(KeyringEntry::source).collect()
    }

    #[test]
    fn newest_first_and_bare_keys_last() {
        let bare = OpeningKey::generate(KeySize::Rsa2048).unwrap();
        let keyring = Keyring::new(vec![
            KeyringEntry::from_opening_key("bare", bare),
            entry("old", "2026-01-01T00:00:00Z"),
            entry("new", "2026-02-01T00:00:00Z"),
        ]);
        assert_eq!(sources(keyring.entries()), ["new", "old", "bare"]);
        let hint = keyring.entries()[2].fingerprint().key_id();
        assert_eq!(sources(keyring.candidates(Some(hint))), ["bare", "new", "old"]);
        assert_eq!(sources(keyring.candidates(None)), ["new", "old", "bare"]);
        let two = [0, 2].map(|index: usize| keyring.entries()[index].fingerprint());
        assert_eq!(sources(keyring.only(&BTreeSet::from(two)).entries()), ["new", "bare"]);
    }

    #[test]
    fn a_key_from_the_future_does_not_seal() {
        let keyring =
            Keyring::new(vec![entry("now", "2026-01-01T00:00:00Z"), entry("future", "2026-01-01T00:30:00Z")]);
        let sealing = |now| keyring.sealing_at(at(now)).map(Certificate::not_before);
        assert_eq!(sealing("2026-01-01T00:10:00Z"), Some(at("2026-01-01T00:00:00Z")));
        assert_eq!(sealing("2026-01-01T00:40:00Z"), Some(at("2026-01-01T00:30:00Z")));
        assert_eq!(sealing("2026-01-01T01:10:00Z"), Some(at("2026-01-01T00:30:00Z")));
        assert_eq!(sealing("2026-01-01T02:00:00Z"), None);
    }
}
