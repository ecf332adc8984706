//! SealedSecret to SealedSecret: the same values, sealed to other keys under the same binding.

use crate::binding::{BindingError, binding_of};
use crate::hints::Hints;
use crate::open::{ItemError, ItemFailure, OpenError, Opened, OpenedBy, open, sealed_value};
use crate::seal_to::SealTo;
use crate::strangers::Strangers;
use privyseal_envelope::age::{self, File, RecipientStanza, Rewrap, RewrapError};
use privyseal_envelope::{Binding, Fingerprint, Format, Item, KeyId, SealedValue};
use privyseal_keys::Keyring;
use privyseal_manifest::sealed_secret::SealedSecret;
use std::collections::BTreeMap;

/// A value that was opened, for whoever decides what becomes of it.
#[derive(Clone, Debug)]
pub struct Value<'a> {
    /// Its item.
    pub item: &'a Item,
    /// Its format.
    pub format: Format,
    /// What opened it.
    pub opened_by: OpenedBy,
    /// Age: its recipients of the kinds that we know, as it says itself.
    pub recipients: &'a [RecipientStanza],
    /// Age: who else may open it. A [`Change::Rewrap`] keeps these.
    pub strangers: &'a Strangers,
}

/// What becomes of a value.
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// It stays as it is.
    Keep,
    /// It is sealed anew, with nothing in common with what it was.
    Seal(SealTo<'a>),
    /// Age: the same value for other recipients. Those that are not spoken of go on opening it.
    Rewrap(Rewrap<'a>),
}

/// Values of an object, sealed anew. No plaintext is left in it.
#[derive(Debug)]
pub struct Resealed {
    /// The new sealed values, of the items that changed.
    pub values: BTreeMap<Item, SealedValue>,
    /// What the annotation then says: of all items that were opened what was found, of the others what it said before.
    pub hints: Hints,
    /// The key that opened each of the old values, those included that stay as they are.
    pub opened_with: BTreeMap<Item, Fingerprint>,
    /// What opening cost.
    pub private_operations: usize,
}

/// Opens every item of an object and changes those that `decide` says, or changes none if one does not open. See
/// [`open()`] for keys, order and `attempts`.
///
/// The binding of the new values is that of the old ones, from the object's own metadata: nothing is widened, whatever
/// the template says. An object that holds some of the items only is resealed without the others.
pub fn reseal<'a>(
    sealed: &SealedSecret,
    keyring: &Keyring,
    attempts: usize,
    decide: impl Fn(&Value<'_>) -> Change<'a>,
) -> Result<Resealed, ResealError> {
    let opened = open(sealed, keyring, attempts)?;
    let metadata = &sealed.metadata;
    let annotations = metadata.annotations.as_ref();
    let binding = binding_of(annotations, metadata.namespace.as_deref(), metadata.name.as_deref())?;
    let mut hints = Hints::read(annotations);
    let mut values = BTreeMap::new();
    for (item, by) in &opened.opened_by {
        let gone = |failure| one_failure(item, failure, opened.private_operations);
        let (_, before) =
            sealed_value(item.as_str(), &sealed.spec.encrypted_data[item.as_str()]).map_err(gone)?;
        let old = Old { item, binding: &binding, opened: &opened, by: *by, value: &before };
        match old.change(&decide)? {
            Some((value, hint)) => {
                hints.note(item.as_str(), &value, hint);
                values.insert(item.clone(), value);
            }
            None => {
                let classic = before.format() == Format::Classic;
                hints.note(item.as_str(), &before, classic.then(|| by.key.key_id()));
            }
        }
    }
    Ok(Resealed {
        values,
        hints,
        opened_with: opened.opened_by.iter().map(|(item, by)| (item.clone(), by.key)).collect(),
        private_operations: opened.private_operations,
    })
}

/// A value that was opened and has not changed yet.
struct Old<'a> {
    item: &'a Item,
    binding: &'a Binding,
    opened: &'a Opened,
    by: OpenedBy,
    value: &'a SealedValue,
}

impl Old<'_> {
    /// The new value and what the annotation says of it; nothing if it stays.
    fn change<'d>(
        &self,
        decide: impl Fn(&Value<'_>) -> Change<'d>,
    ) -> Result<Option<(SealedValue, Option<KeyId>)>, ResealError> {
        let Self { item, binding, opened, by, value } = *self;
        let gone = |error: age::OpenError| ResealError::from(one_failure(item, error.into(), 0));
        let file = match value.format() {
            Format::Age => Some(File::parse(value).map_err(gone)?),
            Format::Classic => None,
        };
        let recipients: Vec<_> = file.iter().flat_map(File::recipients).collect();
        let strangers = file.as_ref().map(Strangers::in_file).unwrap_or_default();
        let seen = Value {
            item,
            format: value.format(),
            opened_by: by,
            recipients: &recipients,
            strangers: &strangers,
        };
        match (decide(&seen), &file, opened.file_keys.get(item)) {
            (Change::Seal(to), ..) => {
                let value = to.seal(&opened.values[item], binding, item).map_err(ResealError::Seal)?;
                Ok(Some((value, to.hint())))
            }
            (Change::Rewrap(change), Some(file), Some(key)) if !change.is_empty() => {
                let opened = file.open(key, binding, item).map_err(gone)?;
                let rewrapped = opened.rewrap(&change);
                let item = item.as_str().to_owned();
                Ok(Some((rewrapped.map_err(|source| ResealError::Rewrap { item, source })?, None)))
            }
            (Change::Keep | Change::Rewrap(_), ..) => Ok(None),
        }
    }
}

fn one_failure(item: &Item, failure: ItemFailure, private_operations: usize) -> OpenError {
    let failures = vec![ItemError { item: item.as_str().to_owned(), failure }];
    OpenError::Items { failures, private_operations }
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
    /// The recipients that were asked for do not go together.
    #[error("{item}: {source}")]
    Rewrap {
        /// Of which item.
        item: String,
        /// Why.
        source: RewrapError,
    },
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
    use privyseal_envelope::age::{Kind, Recipients};
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

    fn key(ring: &Keyring, index: usize) -> SealTo<'_> {
        SealTo::Classic(ring.entries()[index].opening_key().unwrap().sealing_key())
    }

    fn sealed(scope: Scope, to: SealTo<'_>) -> SealedSecret {
        let mut secret = Secret::default();
        secret.metadata.name = Some("db".into());
        secret.metadata.namespace = Some("team-a".into());
        for (item, value) in [("a", "one"), ("b", "two")] {
            secret.data.insert(Item::parse(item).unwrap(), Plaintext::from(value.as_bytes()));
        }
        seal(&secret, &Sealing { to, scope: Some(scope), allow_empty: false }).unwrap()
    }

    fn resealed(sealed: &SealedSecret, ring: &Keyring) -> SealedSecret {
        let mut after = sealed.clone();
        reseal(sealed, ring, 100, |_| Change::Seal(key(ring, 0))).unwrap().apply(&mut after);
        after
    }

    #[test]
    fn values_move_to_the_new_key_under_the_binding_that_they_had() {
        let ring = ring(&["new", "old"]);
        for scope in Scope::ALL {
            let before = sealed(scope, key(&ring, 1));
            let done = reseal(&before, &ring, 100, |_| Change::Seal(key(&ring, 0))).unwrap();
            assert_eq!(done.private_operations, 2);
            assert!(done.opened_with.values().all(|with| *with == ring.entries()[1].fingerprint()));

            let after = resealed(&before, &ring);
            let opened = open(&after, &ring, 2).ok().unwrap();
            assert!(opened.opened_by.values().all(|by| by.key == ring.entries()[0].fingerprint()));
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
        reseal(&part, &ring, 1, |_| Change::Seal(key(&ring, 0))).unwrap().apply(&mut whole);
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
        let done = reseal(&object, &ring, 10, |value| match value.opened_by.key == older {
            true => Change::Seal(key(&ring, 0)),
            false => Change::Keep,
        })
        .unwrap();
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
        let failure = |object: &SealedSecret, attempts| match reseal(object, &ring, attempts, |_| {
            Change::Seal(key(&ring, 0))
        }) {
            Err(ResealError::Open(OpenError::Items { failures, .. })) => failures[0].failure.clone(),
            _ => panic!(),
        };
        assert_eq!(failure(&object, 1), ItemFailure::AttemptsSpent);
        object.metadata.name = Some("other".into());
        assert_eq!(failure(&object, 10), ItemFailure::NoKeyOpens { tried: 1 });
        object.metadata.name = None;
        let nameless = reseal(&object, &ring, 10, |_| Change::Seal(key(&ring, 0))).unwrap_err();
        assert_eq!(nameless, ResealError::from(BindingError::NoName));
    }

    fn recipients(ring: &Keyring, kind: Kind) -> Recipients {
        let of = |entry: &KeyringEntry| entry.public_half().unwrap().recipient(kind).unwrap().clone();
        Recipients::new(ring.entries().iter().map(of)).unwrap()
    }

    #[test]
    fn a_recipient_is_replaced_and_the_others_go_on_opening() {
        let (mine, theirs) = (ring(&["new", "old"]), ring(&["theirs"]));
        for kind in [Kind::Hybrid, Kind::X25519] {
            let both = Keyring::new(vec![mine.entries()[1].clone(), theirs.entries()[0].clone()]);
            let before = sealed(Scope::Strict, SealTo::Age(&recipients(&both, kind)));
            let newest = mine.entries()[0].public_half().unwrap();
            let done = reseal(&before, &mine, 100, |value| {
                let own = value.recipients.iter().find(|place| Some(place.at) == value.opened_by.stanza);
                let replace = vec![(*own.unwrap(), newest.recipient(kind).unwrap())];
                Change::Rewrap(Rewrap { replace, ..Rewrap::default() })
            });
            let mut after = before.clone();
            done.unwrap().apply(&mut after);
            assert_eq!(
                after.metadata.annotations, before.metadata.annotations,
                "no annotation speaks of age values"
            );
            for keyring in [mine.only(&[mine.entries()[0].fingerprint()].into()), theirs.clone()] {
                assert_eq!(open(&after, &keyring, 10).ok().unwrap().values["b"].expose(), b"two");
            }
            let old = mine.only(&[mine.entries()[1].fingerprint()].into());
            assert!(open(&after, &old, 10).is_err());
            let nothing = reseal(&before, &mine, 100, |_| Change::Rewrap(Rewrap::default())).unwrap();
            assert!(nothing.values.is_empty());
        }
    }

    #[test]
    fn formats_change_both_ways_and_hints_follow() {
        let ring = ring(&["k"]);
        let to = recipients(&ring, Kind::Hybrid);
        let mut object = sealed(Scope::NamespaceWide, key(&ring, 0));
        reseal(&object, &ring, 10, |_| Change::Seal(SealTo::Age(&to))).unwrap().apply(&mut object);
        assert!(!object.metadata.annotations.as_ref().unwrap().contains_key(names::SEALED_WITH));
        let mut exchanged = object.clone();
        let a = exchanged.spec.encrypted_data["a"].clone();
        exchanged.spec.encrypted_data.insert("b".into(), a);
        assert!(open(&exchanged, &ring, 10).is_err(), "the item is bound now");
        reseal(&object, &ring, 10, |_| Change::Seal(key(&ring, 0))).unwrap().apply(&mut object);
        assert!(object.metadata.annotations.as_ref().unwrap().contains_key(names::SEALED_WITH));
        assert_eq!(open(&object, &ring, 2).ok().unwrap().values["a"].expose(), b"one");
    }
}
