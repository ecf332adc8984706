//! The opening keys that a process holds, newest first.

use crate::{Certificate, KeyPair, PublicHalf, key_pair};
use jiff::Timestamp;
use privyseal_envelope::age::{FileKey, Identity, VaultStanza};
use privyseal_envelope::rsa::OpeningKey;
use privyseal_envelope::{Fingerprint, KeyError, KeyId};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use zeroize::Zeroizing;

/// One key of a keyring: an RSA key, age identities, or both. Keyrings share their keys: a clone is the same key, which
/// is wiped when the last one goes.
#[derive(Clone)]
pub struct KeyringEntry {
    source: String,
    opening_key: Option<Arc<OpeningKey>>,
    identities: Arc<[Identity]>,
    certificate: Option<Certificate>,
    /// First the one that names the key, then those of the recipients.
    fingerprints: Arc<[Fingerprint]>,
}

impl KeyringEntry {
    /// A key with its certificate; `source` is the name of the key Secret or file it came from.
    pub fn from_pair(source: impl Into<String>, pair: KeyPair) -> Self {
        let (opening_key, identities, certificate) = pair.into_parts();
        Self::new(source.into(), Some(opening_key), identities, Some(certificate))
    }

    /// A bare RSA key: it opens, and never seals.
    pub fn from_opening_key(source: impl Into<String>, opening_key: OpeningKey) -> Self {
        Self::new(source.into(), Some(opening_key), Vec::new(), None)
    }

    /// A private half without its certificate: an RSA key and the identities beside it. It opens, and never seals.
    pub fn from_private_half(
        source: impl Into<String>,
        opening_key: OpeningKey,
        identities: Vec<Identity>,
    ) -> Self {
        Self::new(source.into(), Some(opening_key), identities, None)
    }

    /// A bare age identity.
    pub fn from_identity(source: impl Into<String>, identity: Identity) -> Self {
        Self::new(source.into(), None, vec![identity], None)
    }

    fn new(
        source: String,
        opening_key: Option<OpeningKey>,
        identities: Vec<Identity>,
        certificate: Option<Certificate>,
    ) -> Self {
        let rsa = opening_key.iter().map(OpeningKey::fingerprint);
        let age = identities.iter().map(|identity| identity.recipient().fingerprint());
        Self {
            source,
            fingerprints: rsa.chain(age).collect(),
            opening_key: opening_key.map(Arc::new),
            identities: identities.into(),
            certificate,
        }
    }

    /// Where the key came from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The RSA key, for values of the classic format.
    pub fn opening_key(&self) -> Option<&OpeningKey> {
        self.opening_key.as_deref()
    }

    /// The identities, for values of the age format.
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// The certificate, if it came with one.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// The public half, if it came with a certificate.
    pub fn public_half(&self) -> Option<PublicHalf> {
        let recipients = self.identities.iter().map(Identity::recipient).collect();
        self.certificate.clone().map(|certificate| PublicHalf { certificate, recipients })
    }

    /// The private half as it is kept: the RSA key as PEM, then the identities, one per line.
    ///
    /// # Errors
    /// If the RSA key cannot be encoded.
    pub fn private_text(&self) -> Result<Zeroizing<String>, KeyError> {
        key_pair::private_text(self.opening_key(), &self.identities)
    }

    /// The name of the key: the fingerprint of its RSA half, or of its recipient if it has none.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprints[0]
    }

    /// The fingerprints of everything in it that can be sealed to, its name first.
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.fingerprints
    }

    /// Whether a hint speaks of this key.
    pub fn goes_by(&self, id: KeyId) -> bool {
        self.fingerprints.iter().any(|fingerprint| fingerprint.key_id() == id)
    }

    fn not_before(&self) -> Option<Timestamp> {
        self.certificate.as_ref().map(Certificate::not_before)
    }
}

/// Opening keys, newest first. A key that is in it twice is kept once. Beside them it may hold what a Key Vault unwrapped
/// for single values.
#[derive(Clone, Default)]
pub struct Keyring {
    entries: Vec<KeyringEntry>,
    unwrapped: HashMap<VaultStanza, FileKey>,
}

impl Keyring {
    /// Orders the keys: latest start of validity first, then by source, so that every process agrees.
    pub fn new(mut entries: Vec<KeyringEntry>) -> Self {
        // Of the same key with and without identities, the one with them.
        let order = |entry: &KeyringEntry| (Reverse(entry.not_before()), Reverse(entry.fingerprints.len()));
        entries.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.source.cmp(&b.source)));
        let mut seen: BTreeSet<Fingerprint> = BTreeSet::new();
        // It counts what can be sealed to, not the name: the same RSA key may have got identities in two places.
        entries.retain(|entry| {
            let before = seen.len();
            seen.extend(entry.fingerprints());
            seen.len() > before
        });
        Self { entries, unwrapped: HashMap::new() }
    }

    /// The same keys, and file keys that a Key Vault unwrapped: each opens one value.
    #[must_use]
    pub fn with_unwrapped(self, unwrapped: impl IntoIterator<Item = (VaultStanza, FileKey)>) -> Self {
        Self { unwrapped: unwrapped.into_iter().collect(), ..self }
    }

    /// What a Key Vault unwrapped of this stanza.
    pub fn unwrapped(&self, stanza: &VaultStanza) -> Option<&FileKey> {
        self.unwrapped.get(stanza)
    }

    /// Those of its keys that are named, by whichever of their fingerprints, in the same order.
    #[must_use]
    pub fn only(&self, keys: &BTreeSet<Fingerprint>) -> Self {
        let is_named = |entry: &&KeyringEntry| entry.fingerprints().iter().any(|part| keys.contains(part));
        let entries = self.entries.iter().filter(is_named);
        Self { entries: entries.cloned().collect(), unwrapped: self.unwrapped.clone() }
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

    /// The keys in the order in which to try them: those that hints name, then newest first.
    /// A hint only orders: a wrong one costs an attempt and nothing else.
    pub fn candidates<'a>(&'a self, hints: &'a [KeyId]) -> impl Iterator<Item = &'a KeyringEntry> {
        let hinted = move |entry: &&KeyringEntry| hints.iter().any(|hint| entry.goes_by(*hint));
        self.entries.iter().filter(hinted).chain(self.entries.iter().filter(move |entry| !hinted(entry)))
    }

    /// A name for this set of keys, for remembering that a value did not open with any of them. It is another one when a
    /// key gets identities.
    pub fn fingerprint(&self) -> Fingerprint {
        let all = self.entries.iter().flat_map(KeyringEntry::fingerprints);
        let mut fingerprints: Vec<String> = all.map(Fingerprint::to_string).collect();
        fingerprints.sort();
        Fingerprint::of(fingerprints.join("\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_key;
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
        assert_eq!(sources(keyring.candidates(&[hint])), ["bare", "new", "old"]);
        let of_age = keyring.entries()[1].fingerprints()[1].key_id();
        assert_eq!(sources(keyring.candidates(&[of_age])), ["old", "new", "bare"]);
        assert_eq!(sources(keyring.candidates(&[])), ["new", "old", "bare"]);
        let two = [0, 2].map(|index: usize| keyring.entries()[index].fingerprint());
        assert_eq!(sources(keyring.only(&BTreeSet::from(two)).entries()), ["new", "bare"]);
    }

    /// Restored beside a leader that gave the same RSA key identities of its own: values may be sealed to either.
    #[test]
    fn one_rsa_key_with_identities_of_two_places_is_kept_whole() {
        let now = at("2026-01-01T00:00:00Z");
        let pair =
            || KeyPair::generate(KeySize::Rsa2048, "", now, SignedDuration::from_hours(1)).ok().unwrap();
        let whole = pair();
        let rsa = private_key::to_pkcs1_pem(whole.opening_key()).unwrap();
        let certificate = whole.certificate().clone();
        let again = || KeyPair::new(certificate.clone().into(), rsa.as_bytes()).ok().unwrap();
        let keyring = Keyring::new(vec![
            KeyringEntry::from_pair("a-bare", again()),
            KeyringEntry::from_pair("b-other", again().with_identities().ok().unwrap()),
            KeyringEntry::from_pair("c-same", whole),
        ]);
        assert_eq!(sources(keyring.entries()), ["b-other", "c-same"]);
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
