//! Offline: what an object is bound to, and who can open it.

use crate::binding::{BindingError, bind, binding_of};
use crate::hints::Hints;
use crate::open::{self, ItemFailure, check_template, sealed_value};
use crate::strangers::Strangers;
use privyseal_envelope::age::{self, FileKey, OpenError, RecipientStanza};
use privyseal_envelope::{Binding, Fingerprint, Format, Item, KeyId, Scope, SealedValue, classic};
use privyseal_keys::{Keyring, KeyringEntry};
use privyseal_manifest::sealed_secret::SealedSecret;

/// What can be said of one SealedSecret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What its values must have been sealed for.
    pub binding: Result<Binding, BindingError>,
    /// Why no Secret is made of it, even where all values open.
    pub obstacle: Option<String>,
    /// Its items, in order.
    pub items: Vec<ItemInspection>,
}

/// What can be said of one sealed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemInspection {
    /// Its item name as the object has it: escape it before showing it.
    pub item: String,
    /// Its format, or why it can never open.
    pub format: Result<Format, ItemFailure>,
    /// How many bytes it has, decoded; none if it is not base64.
    pub bytes: Option<usize>,
    /// Classic: size of the RSA key that it claims to be sealed to.
    pub rsa_bits: Option<usize>,
    /// Age: its recipients of the kinds that we know, as it says itself.
    pub recipients: Vec<RecipientStanza>,
    /// Age: who else may open it.
    pub strangers: Strangers,
    /// Who can open it, as the annotation claims of this very value, or as its hints claim.
    pub claimed: Vec<KeyId>,
    /// With keys at hand: what they say.
    pub verdict: Option<Verdict>,
}

/// What trying the keys at hand told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Opens.
    Opens {
        /// With this key.
        key: Fingerprint,
    },
    /// The key is right, but the value was sealed for another scope, namespace, name or item.
    OpensUnder {
        /// With this key.
        key: Fingerprint,
        /// What it was sealed for.
        binding: Binding,
        /// For which item, where the format binds that.
        item: Option<Item>,
    },
    /// Age: a key is among its recipients, but header or payload are not as they were sealed.
    Damaged {
        /// This key; none if a stanza of its kind is so malformed that it cannot be tried.
        key: Option<Fingerprint>,
    },
    /// Age: a key opens it, but its payload begins with no binding line: it was not sealed by Privyseal, and nothing of
    /// it is shown.
    NotBound {
        /// With this key.
        key: Fingerprint,
    },
    /// Opens with none of the keys under any binding tried: a wrong key, or right and names that were not tried.
    DoesNotOpen,
}

/// A namespace and a name that a value may have been sealed for.
pub type Names = (Option<String>, Option<String>);

/// Looks at an object. With a keyring every value is tried: under the object's own binding, and if that fails under
/// every scope of the object's names, of its template's, and of `other_names` (an earlier name, say), by ordinary
/// decryption each time.
pub fn inspect(sealed: &SealedSecret, keyring: Option<&Keyring>, other_names: &[Names]) -> Inspection {
    let (namespace, name) = (sealed.metadata.namespace.as_deref(), sealed.metadata.name.as_deref());
    let binding = binding_of(sealed.metadata.annotations.as_ref(), namespace, name);
    let hints = Hints::read(sealed.metadata.annotations.as_ref());
    let own = binding.as_ref().ok();
    let others = other_bindings(sealed, other_names, own);
    let items = sealed.spec.encrypted_data.iter().map(|(item, text)| {
        let read = sealed_value(item, text);
        let Ok((name, value)) = &read else {
            let bytes = SealedValue::from_base64(text).ok().map(|value| value.as_bytes().len());
            return ItemInspection::unreadable(item, bytes, read.err());
        };
        let bytes = Some(value.as_bytes().len());
        let noted = hints.key_of(item, value);
        match value.format() {
            Format::Classic => ItemInspection {
                rsa_bits: classic::claimed_modulus_len(value).map(|bytes| bytes * 8),
                claimed: noted.into_iter().collect(),
                format: Ok(Format::Classic),
                verdict: keyring.map(|keyring| verdict(value, keyring, own, &others)),
                ..ItemInspection::unreadable(item, bytes, None)
            },
            Format::Age => match age::File::parse(value) {
                Err(error) => ItemInspection::unreadable(item, bytes, Some(error.into())),
                // Cut off: that shows without any key.
                Ok(file) if file.payload_len().is_none() => {
                    ItemInspection::unreadable(item, bytes, Some(OpenError::Damaged.into()))
                }
                Ok(file) => {
                    let recipients: Vec<_> = file.recipients().collect();
                    let hinted = recipients.iter().filter_map(|recipient| recipient.claimed);
                    ItemInspection {
                        claimed: noted.into_iter().chain(hinted).collect(),
                        format: Ok(Format::Age),
                        verdict: keyring.map(|keyring| age_verdict(&file, name, keyring, own)),
                        recipients,
                        strangers: Strangers::in_file(&file),
                        ..ItemInspection::unreadable(item, bytes, None)
                    }
                }
            },
        }
    });
    Inspection { items: items.collect(), obstacle: obstacle(sealed), binding }
}

impl ItemInspection {
    /// Nothing is known of it yet but why it can never open, if it cannot.
    fn unreadable(item: &str, bytes: Option<usize>, failure: Option<ItemFailure>) -> Self {
        Self {
            item: item.to_owned(),
            format: failure.map_or(Ok(Format::Classic), Err),
            bytes,
            rsa_bits: None,
            recipients: Vec::new(),
            strangers: Strangers::default(),
            claimed: Vec::new(),
            verdict: None,
        }
    }
}

fn obstacle(sealed: &SealedSecret) -> Option<String> {
    if sealed.spec.data.is_some() {
        Some(open::OpenError::LegacyData.to_string())
    } else {
        check_template(sealed).err().map(|error| error.to_string())
    }
}

fn other_bindings(sealed: &SealedSecret, other_names: &[Names], own: Option<&Binding>) -> Vec<Binding> {
    let metadata = &sealed.metadata;
    let template = sealed.spec.template.as_ref().and_then(|template| template.metadata.as_ref());
    let names = [(metadata.namespace.clone(), metadata.name.clone())]
        .into_iter()
        .chain(template.map(|template| (template.namespace.clone(), template.name.clone())))
        .chain(other_names.iter().cloned());
    let mut bindings = Vec::new();
    for (namespace, name) in names {
        for scope in Scope::ALL {
            if let Ok(binding) = bind(scope, namespace.as_deref(), name.as_deref())
                && Some(&binding) != own
                && !bindings.contains(&binding)
            {
                bindings.push(binding);
            }
        }
    }
    bindings
}

fn verdict(value: &SealedValue, keyring: &Keyring, own: Option<&Binding>, others: &[Binding]) -> Verdict {
    let opens_with = |binding: &Binding| {
        let opens = |entry: &&KeyringEntry| {
            entry.opening_key().is_some_and(|key| classic::open(value, key, binding).is_ok())
        };
        keyring.entries().iter().find(opens).map(KeyringEntry::fingerprint)
    };
    if let Some(key) = own.and_then(opens_with) {
        return Verdict::Opens { key };
    }
    let under = |binding: &Binding| {
        Some(Verdict::OpensUnder { key: opens_with(binding)?, binding: binding.clone(), item: None })
    };
    others.iter().find_map(under).unwrap_or(Verdict::DoesNotOpen)
}

/// An age file says itself what it was sealed for: nothing has to be guessed.
fn age_verdict(file: &age::File<'_>, item: &Item, keyring: &Keyring, own: Option<&Binding>) -> Verdict {
    let (file_key, key) = match unwrap(file, keyring) {
        Ok(Some(found)) => found,
        Ok(None) => return Verdict::DoesNotOpen,
        Err(_) => return Verdict::Damaged { key: None },
    };
    // An object without the names that its scope needs is bound to nothing that a value could be.
    let binding = own.unwrap_or(&Binding::ClusterWide);
    match file.open(&file_key, binding, item) {
        Ok(_) if own.is_some() => Verdict::Opens { key },
        Ok(_) => Verdict::OpensUnder { key, binding: Binding::ClusterWide, item: Some(item.clone()) },
        Err(OpenError::OtherBinding { sealed_for: Some(line) }) => {
            Verdict::OpensUnder { key, binding: line.binding, item: Some(line.item) }
        }
        Err(OpenError::OtherBinding { sealed_for: None }) => Verdict::NotBound { key },
        Err(_) => Verdict::Damaged { key: Some(key) },
    }
}

/// What a Key Vault unwrapped of it, or the first key that is among its recipients.
fn unwrap(file: &age::File<'_>, keyring: &Keyring) -> Result<Option<(FileKey, Fingerprint)>, OpenError> {
    for stanza in file.recipients().filter_map(|recipient| file.vault_stanza(recipient.at)) {
        if let Some(file_key) = keyring.unwrapped(&stanza) {
            return Ok(Some((file_key.clone(), stanza.key)));
        }
    }
    for entry in keyring.entries() {
        for identity in entry.identities() {
            if let Some(unwrapped) = file.unwrap(identity)? {
                return Ok(Some((unwrapped.file_key, entry.fingerprint())));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SealTo, Sealing, seal};
    use jiff::SignedDuration;
    use privyseal_envelope::age::{Identity, Kind, Recipient, Recipients};
    use privyseal_envelope::rsa::KeySize;
    use privyseal_envelope::{Name, Namespace, Plaintext};
    use privyseal_keys::KeyPair;
    use privyseal_manifest::{Secret, names};

    fn entry(source: &str) -> KeyringEntry {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let pair = KeyPair::generate(KeySize::Rsa2048, "", now, SignedDuration::from_hours(1)).ok().unwrap();
        KeyringEntry::from_pair(source, pair)
    }

    fn recipient(entry: &KeyringEntry, kind: Kind) -> Recipient {
        entry.public_half().unwrap().recipient(kind).unwrap().clone()
    }

    fn sealed(scope: Scope, to: SealTo<'_>) -> SealedSecret {
        let mut secret = Secret::default();
        secret.metadata.namespace = Some("ns".to_owned());
        secret.metadata.name = Some("db".to_owned());
        for item in ["a", "b"] {
            secret.data.insert(Item::parse(item).unwrap(), Plaintext::from(b"hunter2".as_slice()));
        }
        seal(&secret, &Sealing { to, scope: Some(scope), allow_empty: false }).unwrap()
    }

    fn verdict_of(object: &SealedSecret, entries: Vec<KeyringEntry>, item: &str) -> Verdict {
        let inspection = inspect(object, Some(&Keyring::new(entries)), &[]);
        let found = inspection.items.into_iter().find(|inspected| inspected.item == item);
        found.unwrap().verdict.unwrap()
    }

    fn strict(namespace: &str, name: &str) -> Binding {
        Binding::Strict { namespace: Namespace::parse(namespace).unwrap(), name: Name::parse(name).unwrap() }
    }

    /// The same object, its value changed byte by byte.
    fn with_value(object: &SealedSecret, item: &str, change: impl FnOnce(&mut Vec<u8>)) -> SealedSecret {
        let mut changed = object.clone();
        let text = changed.spec.encrypted_data.get_mut(item).unwrap();
        let mut bytes = SealedValue::from_base64(text).unwrap().as_bytes().to_vec();
        change(&mut bytes);
        let base64 = serde_json::to_value(k8s_openapi::ByteString(bytes)).unwrap();
        *text = base64.as_str().unwrap().to_owned();
        changed
    }

    #[test]
    fn an_age_value_says_who_can_open_it() {
        let (a, b) = (entry("a"), entry("b"));
        for kind in [Kind::Hybrid, Kind::X25519] {
            let of = [recipient(&a, kind), recipient(&b, kind)];
            let ids = of.each_ref().map(|recipient| recipient.fingerprint().key_id());
            let to = Recipients::new(of).unwrap();
            let item = inspect(&sealed(Scope::Strict, SealTo::Age(&to)), None, &[]).items.remove(0);
            assert_eq!((item.format, item.rsa_bits, item.verdict), (Ok(Format::Age), None, None));
            assert_eq!(item.claimed, ids);
            assert!(item.recipients.iter().all(|recipient| recipient.kind == kind));
            assert!(item.bytes.unwrap() > 100);

            let anonymous = sealed(Scope::Strict, SealTo::Age(&to.without_hints()));
            let item = inspect(&anonymous, None, &[]).items.remove(0);
            assert_eq!((item.claimed.len(), item.recipients.len()), (0, 2));
        }
    }

    #[test]
    fn a_right_key_under_other_names_says_what_it_was_sealed_for() {
        let key = entry("k");
        for kind in [Kind::Hybrid, Kind::X25519] {
            let to = Recipients::new([recipient(&key, kind)]).unwrap();
            let object = sealed(Scope::Strict, SealTo::Age(&to));
            let fingerprint = key.fingerprint();
            let verdict = |object: &SealedSecret| verdict_of(object, vec![key.clone()], "b");
            let under = |binding: Binding, item: &str| Verdict::OpensUnder {
                key: fingerprint,
                binding,
                item: Some(Item::parse(item).unwrap()),
            };
            assert_eq!(verdict(&object), Verdict::Opens { key: fingerprint });

            let mut other = object.clone();
            other.metadata.name = Some("renamed".to_owned());
            assert_eq!(verdict(&other), under(strict("ns", "db"), "b"));
            other.metadata.namespace = Some("moved".to_owned());
            assert_eq!(verdict(&other), under(strict("ns", "db"), "b"));
            other.metadata.namespace = None;
            assert_eq!(verdict(&other), under(strict("ns", "db"), "b"));

            let mut other = object.clone();
            let a = other.spec.encrypted_data["a"].clone();
            other.spec.encrypted_data.insert("b".to_owned(), a);
            assert_eq!(verdict(&other), under(strict("ns", "db"), "a"));

            let mut other = object.clone();
            names::set_scope(other.metadata.annotations.get_or_insert_default(), Scope::ClusterWide);
            assert_eq!(verdict(&other), under(strict("ns", "db"), "b"));

            let mut wide = sealed(Scope::ClusterWide, SealTo::Age(&to));
            wide.metadata.annotations = None;
            assert_eq!(verdict(&wide), under(Binding::ClusterWide, "b"));
            // Not even a binding of its own: the value still says what it is for.
            wide.metadata.name = None;
            assert_eq!(verdict(&wide), under(Binding::ClusterWide, "b"));
        }
    }

    #[test]
    fn a_stranger_damage_and_a_foreign_file_are_told_apart() {
        let (key, stranger) = (entry("k"), entry("stranger"));
        for kind in [Kind::Hybrid, Kind::X25519] {
            let to = Recipients::new([recipient(&key, kind)]).unwrap();
            let object = sealed(Scope::Strict, SealTo::Age(&to));
            let fingerprint = key.fingerprint();
            assert_eq!(verdict_of(&object, vec![stranger.clone()], "a"), Verdict::DoesNotOpen);
            let both = vec![stranger.clone(), key.clone()];
            assert_eq!(verdict_of(&object, both, "a"), Verdict::Opens { key: fingerprint });

            let changed = with_value(&object, "a", |bytes| *bytes.last_mut().unwrap() ^= 1);
            let verdict = verdict_of(&changed, vec![key.clone()], "a");
            assert_eq!(verdict, Verdict::Damaged { key: Some(fingerprint) });
            assert_eq!(verdict_of(&changed, vec![key.clone()], "b"), Verdict::Opens { key: fingerprint });

            // Somebody's own file, whose first line is a secret.
            let foreign = age::encrypt(
                b"hunter2
value",
                &to,
            )
            .unwrap();
            let changed = with_value(&object, "a", |bytes| *bytes = foreign);
            let verdict = verdict_of(&changed, vec![key.clone()], "a");
            assert_eq!(verdict, Verdict::NotBound { key: fingerprint });
            assert!(!format!("{verdict:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_stanza_of_another_kind_is_told() {
        let to = Recipients::new([Identity::generate_x25519().recipient()]).unwrap();
        let object = sealed(Scope::Strict, SealTo::Age(&to));
        let more = b"-> ssh-ed25519 AAAA\nAAAA\n-> piv-p256\n\n-> x-grease\n\n";
        let object = with_value(&object, "a", |bytes| {
            let at = b"age-encryption.org/v1\n".len();
            bytes.splice(at..at, *more);
        });
        let [a, b] = &inspect(&object, None, &[]).items[..] else { panic!() };
        // age fills a header with one stanza: of two that look like it the second is somebody's.
        let [first, second, filling] = a.strangers.tags() else { panic!("{:?}", a.strangers) };
        assert_eq!((a.recipients.len(), &first[..], &second[..]), (1, "ssh-ed25519", "piv-p256"));
        assert!(filling.ends_with("-grease"), "{filling}");
        assert!(b.strangers.is_empty());
    }

    #[test]
    fn what_shows_without_a_key_is_told_without_one() {
        let to = Recipients::new([Identity::generate_x25519().recipient()]).unwrap();
        let object = sealed(Scope::Strict, SealTo::Age(&to));
        let format = |object: &SealedSecret| inspect(object, None, &[]).items.remove(0).format;
        let cut = with_value(&object, "a", |bytes| bytes.truncate(bytes.len() - 70));
        assert_eq!(format(&cut), Err(OpenError::Damaged.into()));
        let header = with_value(&object, "a", |bytes| bytes.truncate(60));
        assert_eq!(format(&header), Err(OpenError::Header.into()));
        let stanzas = "-> X\nAAAA\n".repeat(100);
        let many = format!("age-encryption.org/v1\n{stanzas}--- {}\n{}", "A".repeat(43), "x".repeat(64));
        let many = with_value(&object, "a", |bytes| *bytes = many.into_bytes());
        assert_eq!(format(&many), Err(OpenError::TooLarge.into()));
    }

    #[test]
    fn what_a_key_vault_unwrapped_opens_too() {
        let (vault, other) = (entry("vault"), entry("other"));
        let public = vault.certificate().unwrap().sealing_key().clone();
        let own = Identity::generate_x25519();
        let to = Recipients::new([Recipient::KeyVault(public.clone()), own.recipient()]).unwrap();
        let object = sealed(Scope::Strict, SealTo::Age(&to));
        let value = SealedValue::from_base64(&object.spec.encrypted_data["a"]).unwrap();
        let file = age::File::parse(&value).unwrap();
        let stanza = file.vault_stanza(file.recipients().next().unwrap().at).unwrap();
        let file_key = file.unwrap(&own).unwrap().unwrap().file_key;
        let keyring = Keyring::new(vec![other]).with_unwrapped([(stanza, file_key)]);
        let verdicts: Vec<_> = inspect(&object, Some(&keyring), &[])
            .items
            .into_iter()
            .map(|item| item.verdict.unwrap())
            .collect();
        assert_eq!(verdicts, [Verdict::Opens { key: public.fingerprint() }, Verdict::DoesNotOpen]);
    }
}
