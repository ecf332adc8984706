//! Offline: what an object is bound to, and who can open it.

use crate::binding::{BindingError, bind, binding_of};
use crate::hints::Hints;
use crate::open::{ItemFailure, OpenError, check_template, sealed_value};
use privyseal_envelope::{Binding, Fingerprint, Format, KeyId, Scope, SealedValue, classic};
use privyseal_keys::Keyring;
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
    /// Who can open it, as the annotation claims of this very value.
    pub claimed: Option<KeyId>,
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
    /// The key is right, but the value was sealed for another scope, namespace or name.
    OpensUnder {
        /// With this key.
        key: Fingerprint,
        /// What it was sealed for.
        binding: Binding,
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
        let value = sealed_value(item, text);
        let readable = value.as_ref().ok().map(|(_, value)| value);
        ItemInspection {
            item: item.clone(),
            format: value.as_ref().map(|(_, value)| value.format()).map_err(|failure| *failure),
            rsa_bits: readable
                .filter(|value| value.format() == Format::Classic)
                .and_then(classic::claimed_modulus_len)
                .map(|bytes| bytes * 8),
            claimed: readable.and_then(|value| hints.key_of(item, value)),
            verdict: keyring.zip(readable).map(|(keyring, value)| verdict(value, keyring, own, &others)),
        }
    });
    Inspection { items: items.collect(), obstacle: obstacle(sealed), binding }
}

fn obstacle(sealed: &SealedSecret) -> Option<String> {
    if sealed.spec.data.is_some() {
        Some(OpenError::LegacyData.to_string())
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
        let opening = |key| classic::open(value, key, binding).is_ok();
        keyring.entries().iter().find(|entry| opening(entry.opening_key())).map(|entry| entry.fingerprint())
    };
    if let Some(key) = own.and_then(opens_with) {
        return Verdict::Opens { key };
    }
    others
        .iter()
        .find_map(|binding| Some(Verdict::OpensUnder { key: opens_with(binding)?, binding: binding.clone() }))
        .unwrap_or(Verdict::DoesNotOpen)
}
