//! Offline: what an object is bound to, and who can open it.

use crate::binding::{BindingError, bind, binding_of};
use crate::hints::Hints;
use crate::open::{self, ItemFailure, check_template, sealed_value};
use privyseal_envelope::age::{self, OpenError, RecipientStanza};
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
    /// Classic: size of the RSA key that it claims to be sealed to.
    pub rsa_bits: Option<usize>,
    /// Age: its recipients, as it says itself.
    pub recipients: Vec<RecipientStanza>,
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
    /// Age: a key is among its recipients, but it is damaged, or was not sealed by Privyseal.
    Spoiled(ItemFailure),
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
        let value = sealed_value(item, text);
        let file = value.as_ref().ok().filter(|(_, value)| value.format() == Format::Age);
        let file = file.map(|(_, value)| age::File::parse(value)).transpose();
        let readable = file.as_ref().ok().and(value.as_ref().ok());
        let recipients: Vec<_> =
            file.as_ref().ok().into_iter().flatten().flat_map(age::File::recipients).collect();
        let noted = readable.and_then(|(_, value)| hints.key_of(item, value));
        let hinted = recipients.iter().filter_map(|recipient| recipient.claimed);
        let verdict = keyring.zip(readable).map(|(keyring, (name, value))| match file.as_ref().ok() {
            Some(Some(file)) => age_verdict(file, name, keyring, own),
            _ => verdict(value, keyring, own, &others),
        });
        ItemInspection {
            item: item.clone(),
            rsa_bits: readable
                .filter(|(_, value)| value.format() == Format::Classic)
                .and_then(|(_, value)| classic::claimed_modulus_len(value))
                .map(|bytes| bytes * 8),
            claimed: noted.into_iter().chain(hinted).collect(),
            format: match (&value, &file) {
                (Err(failure), _) => Err(failure.clone()),
                (_, Err(error)) => Err(error.clone().into()),
                (Ok((_, value)), Ok(_)) => Ok(value.format()),
            },
            recipients,
            verdict,
        }
    });
    Inspection { items: items.collect(), obstacle: obstacle(sealed), binding }
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
    for entry in keyring.entries() {
        let key = entry.fingerprint();
        for identity in entry.identities() {
            let unwrapped = match file.unwrap(identity) {
                Ok(Some(unwrapped)) => unwrapped,
                Ok(None) => continue,
                Err(error) => return Verdict::Spoiled(error.into()),
            };
            // An object without the names that its scope needs is bound to nothing that a value could be.
            let binding = own.unwrap_or(&Binding::ClusterWide);
            return match file.open(&unwrapped.file_key, binding, item) {
                Ok(_) if own.is_some() => Verdict::Opens { key },
                Ok(_) => Verdict::OpensUnder { key, binding: Binding::ClusterWide, item: Some(item.clone()) },
                Err(OpenError::OtherBinding { sealed_for: Some(line) }) => {
                    Verdict::OpensUnder { key, binding: line.binding, item: Some(line.item) }
                }
                Err(error) => Verdict::Spoiled(error.into()),
            };
        }
    }
    Verdict::DoesNotOpen
}
