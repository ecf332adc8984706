//! SealedSecret to SealedSecret: the same values, sealed to another key under the same binding.

use crate::binding::{BindingError, binding_of};
use crate::hints::Hints;
use crate::open::{OpenError, open, sealed_value};
use privyseal_envelope::rsa::SealingKey;
use privyseal_envelope::{Fingerprint, Item, SealedValue, classic};
use privyseal_keys::Keyring;
use privyseal_manifest::sealed_secret::SealedSecret;
use std::collections::BTreeMap;

/// Values of an object, sealed anew. No plaintext is left in it.
#[derive(Debug)]
pub struct Resealed {
    /// The new sealed values, of the items that were wanted.
    pub values: BTreeMap<Item, SealedValue>,
    /// What the annotation then says: of all items that were opened what was found, of the others what it said before.
    pub hints: Hints,
    /// The key that opened each of the old values, those included that stay as they are.
    pub opened_with: BTreeMap<Item, Fingerprint>,
    /// What opening cost.
    pub private_operations: usize,
}

/// Opens every item of an object and seals to `key` those that are wanted, as the key that opened them tells; or changes
/// none, if one does not open. See [`open()`] for keys, order and `attempts`.
///
/// The binding of the new values is that of the old ones, from the object's own metadata: nothing is widened, whatever
/// the template says. An object that holds some of the items only is resealed without the others.
pub fn reseal(
    sealed: &SealedSecret,
    keyring: &Keyring,
    key: &SealingKey,
    attempts: usize,
    wanted: impl Fn(Fingerprint) -> bool,
) -> Result<Resealed, ResealError> {
    let opened = open(sealed, keyring, attempts)?;
    let metadata = &sealed.metadata;
    let annotations = metadata.annotations.as_ref();
    let binding = binding_of(annotations, metadata.namespace.as_deref(), metadata.name.as_deref())?;
    let key_id = key.fingerprint().key_id();
    let mut hints = Hints::read(annotations);
    let mut values = BTreeMap::new();
    for (item, plaintext) in opened.values {
        let opened_with = opened.opened_with[&item];
        if wanted(opened_with) {
            let value = classic::seal(plaintext.expose(), key, &binding).map_err(ResealError::Seal)?;
            hints.note(item.as_str(), &value, key_id);
            values.insert(item, value);
        } else if let Ok((item, value)) =
            sealed_value(item.as_str(), &sealed.spec.encrypted_data[item.as_str()])
        {
            hints.note(item.as_str(), &value, opened_with.key_id());
        }
    }
    Ok(Resealed {
        values,
        hints,
        opened_with: opened.opened_with,
        private_operations: opened.private_operations,
    })
}

impl Resealed {
    /// Puts the new values and hints into an object: the one that they come from, or a whole one of which it was a
    /// part. All else stays, the template too.
    pub fn apply(&self, sealed: &mut SealedSecret) {
        for (item, value) in &self.values {
            sealed.spec.encrypted_data.insert(item.as_str().to_owned(), value.to_base64());
        }
        let mut annotations = sealed.metadata.annotations.take().unwrap_or_default();
        self.hints.write(&mut annotations);
        sealed.metadata.annotations = Some(annotations).filter(|all| !all.is_empty());
    }
}

/// An object cannot be resealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResealError {
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The cryptographic library.
    #[error(transparent)]
    Seal(privyseal_envelope::SealError),
}

impl From<BindingError> for ResealError {
    fn from(error: BindingError) -> Self {
        Self::Open(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::ItemFailure;
    use crate::seal::{Sealing, seal};
    use jiff::SignedDuration;
    use privyseal_envelope::rsa::KeySize;
    use privyseal_envelope::{Plaintext, Scope};
    use privyseal_keys::{KeyPair, KeyringEntry};
    use privyseal_manifest::{Secret, names};

    fn ring(names: &[&str]) -> Keyring {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let entry = |name: &&str| {
            let hour = SignedDuration::from_hours(1);
            KeyringEntry::from_pair(*name, KeyPair::generate(KeySize::Rsa2048, "", now, hour).ok().unwrap())
        };
        Keyring::new(names.iter().map(entry).collect())
    }

    fn key(ring: &Keyring, index: usize) -> &SealingKey {
        ring.entries()[index].opening_key().sealing_key()
    }

    fn sealed(scope: Scope, key: &SealingKey) -> SealedSecret {
        let mut secret = Secret::default();
        secret.metadata.name = Some("db".into());
        secret.metadata.namespace = Some("team-a".into());
        for (item, value) in [("a", "one"), ("b", "two")] {
            secret.data.insert(Item::parse(item).unwrap(), Plaintext::from(value.as_bytes()));
        }
        seal(&secret, &Sealing { key, scope: Some(scope), allow_empty: false }).unwrap()
    }

    fn resealed(sealed: &SealedSecret, ring: &Keyring) -> SealedSecret {
        let mut after = sealed.clone();
        reseal(sealed, ring, key(ring, 0), 100, |_| true).unwrap().apply(&mut after);
        after
    }

    #[test]
    fn values_move_to_the_new_key_under_the_binding_that_they_had() {
        let ring = ring(&["new", "old"]);
        for scope in Scope::ALL {
            let before = sealed(scope, key(&ring, 1));
            let done = reseal(&before, &ring, key(&ring, 0), 100, |_| true).unwrap();
            assert_eq!(done.private_operations, 2);
            assert!(done.opened_with.values().all(|with| *with == ring.entries()[1].fingerprint()));

            let after = resealed(&before, &ring);
            let opened = open(&after, &ring, 2).ok().unwrap();
            assert!(opened.opened_with.values().all(|with| *with == ring.entries()[0].fingerprint()));
            assert_eq!(opened.values["a"].expose(), b"one");

            let mut moved = after.clone();
            moved.metadata.name = Some("other".into());
            assert_eq!(open(&moved, &ring, 10).is_ok(), scope != Scope::Strict, "{scope}");
            moved.metadata.namespace = Some("team-b".into());
            assert_eq!(open(&moved, &ring, 10).is_ok(), scope == Scope::ClusterWide, "{scope}");
        }
    }

    #[test]
    fn all_else_stays_and_a_template_widens_nothing() {
        let ring = ring(&["k"]);
        let mut before = sealed(Scope::Strict, key(&ring, 0));
        let annotations = before.metadata.annotations.get_or_insert_default();
        annotations.insert("note".into(), "kept".into());
        let template = before.spec.template.get_or_insert_default();
        template.data.insert("x".into(), Some("{{ fail .a }}".into()));
        names::set_scope(&mut template.metadata.get_or_insert_default().annotations, Scope::ClusterWide);

        let after = resealed(&before, &ring);
        let mut restored = after.clone();
        restored.spec.encrypted_data = before.spec.encrypted_data.clone();
        let said = before.metadata.annotations.as_ref().unwrap()[names::SEALED_WITH].clone();
        let hints = restored.metadata.annotations.as_mut().unwrap().insert(names::SEALED_WITH.into(), said);
        assert_eq!(restored, before);
        assert_ne!(hints.as_deref(), Some(before.metadata.annotations.unwrap()[names::SEALED_WITH].as_str()));

        let mut moved = after;
        moved.metadata.name = Some("other".into());
        assert!(open(&moved, &ring, 10).is_err());
        names::set_scope(moved.metadata.annotations.as_mut().unwrap(), Scope::ClusterWide);
        assert!(open(&moved, &ring, 10).is_err());
    }

    #[test]
    fn some_items_are_resealed_without_the_others() {
        let ring = ring(&["new", "old"]);
        let mut whole = sealed(Scope::Strict, key(&ring, 1));
        // Nobody can open this one, and nobody has to.
        whole.spec.encrypted_data.insert("b".into(), "AAAA".into());
        let before = whole.clone();
        let mut part = whole.clone();
        part.spec.encrypted_data.remove("b");
        reseal(&part, &ring, key(&ring, 0), 1, |_| true).unwrap().apply(&mut whole);
        assert_eq!(whole.spec.encrypted_data["b"], before.spec.encrypted_data["b"]);
        assert_ne!(whole.spec.encrypted_data["a"], before.spec.encrypted_data["a"]);
        let hints = Hints::read(whole.metadata.annotations.as_ref());
        let value = SealedValue::from_base64(&whole.spec.encrypted_data["a"]).unwrap();
        assert_eq!(hints.key_of("a", &value), Some(ring.entries()[0].fingerprint().key_id()));
    }

    #[test]
    fn what_is_not_wanted_keeps_its_ciphertext_and_gets_a_right_hint() {
        let ring = ring(&["new", "old", "older"]);
        let mut object = sealed(Scope::Strict, key(&ring, 1));
        object
            .spec
            .encrypted_data
            .insert("b".into(), sealed(Scope::Strict, key(&ring, 2)).spec.encrypted_data["b"].clone());
        let older = ring.entries()[2].fingerprint();
        let done = reseal(&object, &ring, key(&ring, 0), 10, |opened_with| opened_with == older).unwrap();
        assert_eq!(done.values.keys().map(Item::as_str).collect::<Vec<_>>(), ["b"]);
        assert_eq!(done.opened_with["a"], ring.entries()[1].fingerprint());
        let before = object.clone();
        done.apply(&mut object);
        assert_eq!(object.spec.encrypted_data["a"], before.spec.encrypted_data["a"]);
        let hints = Hints::read(object.metadata.annotations.as_ref());
        for (item, index) in [("a", 1), ("b", 0)] {
            let value = SealedValue::from_base64(&object.spec.encrypted_data[item]).unwrap();
            assert_eq!(hints.key_of(item, &value), Some(ring.entries()[index].fingerprint().key_id()));
        }
    }

    #[test]
    fn one_that_does_not_open_and_too_few_attempts_reseal_nothing() {
        let ring = ring(&["k"]);
        let mut object = sealed(Scope::Strict, key(&ring, 0));
        let failure = |object: &SealedSecret, attempts| match reseal(
            object,
            &ring,
            key(&ring, 0),
            attempts,
            |_| true,
        ) {
            Err(ResealError::Open(OpenError::Items { failures, .. })) => failures[0].failure,
            _ => panic!(),
        };
        assert_eq!(failure(&object, 1), ItemFailure::AttemptsSpent);
        object.metadata.name = Some("other".into());
        assert_eq!(failure(&object, 10), ItemFailure::NoKeyOpens { tried: 1 });
        object.metadata.name = None;
        let nameless = reseal(&object, &ring, key(&ring, 0), 10, |_| true).unwrap_err();
        assert_eq!(nameless, ResealError::from(BindingError::NoName));
    }
}
