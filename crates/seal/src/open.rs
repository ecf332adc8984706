//! SealedSecret to plaintext: the one path that unseals.

use crate::binding::{BindingError, binding_of};
use crate::hints::Hints;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::{
    Binding, DecodeError, Fingerprint, Format, Item, KeyId, NameError, Plaintext, SealedValue, classic,
};
use privyseal_keys::{Keyring, KeyringEntry};
use privyseal_manifest::Secret;
use privyseal_manifest::sealed_secret::SealedSecret;
use std::collections::{BTreeMap, BTreeSet};

/// How many private operations one object may cost: some 8 s of one core at RSA-4096. Enough for any honest object,
/// a bound for a hostile one.
pub const DEFAULT_ATTEMPTS: usize = 2048;

/// All items of an object, opened.
pub struct Opened {
    /// The values.
    pub values: BTreeMap<Item, Plaintext>,
    /// The key that opened each of them.
    pub opened_with: BTreeMap<Item, Fingerprint>,
    /// What it cost.
    pub private_operations: usize,
}

/// Opens every item of an object, or none: one that fails fails the object, and all failures are told.
///
/// For each value the keys are tried in this order: the one that a hint names, the one that opened the item before,
/// then newest first. At most `attempts` private operations are done for the whole object.
pub fn open(sealed: &SealedSecret, keyring: &Keyring, attempts: usize) -> Result<Opened, OpenError> {
    if sealed.spec.data.is_some() {
        return Err(OpenError::LegacyData);
    }
    let annotations = sealed.metadata.annotations.as_ref();
    let binding =
        binding_of(annotations, sealed.metadata.namespace.as_deref(), sealed.metadata.name.as_deref())?;
    let hints = Hints::read(annotations);

    let mut attempt = Attempts { left: attempts, used: 0 };
    let mut opened = Opened { values: BTreeMap::new(), opened_with: BTreeMap::new(), private_operations: 0 };
    let mut failures = Vec::new();
    let mut last_good = None;
    for (item, text) in &sealed.spec.encrypted_data {
        match open_item(item, text, &binding, &hints, keyring, last_good, &mut attempt) {
            Ok((item, plaintext, key)) => {
                last_good = Some(key.key_id());
                opened.opened_with.insert(item.clone(), key);
                opened.values.insert(item, plaintext);
            }
            Err(failure) => failures.push(ItemError { item: item.clone(), failure }),
        }
    }
    opened.private_operations = attempt.used;
    if failures.is_empty() {
        Ok(opened)
    } else {
        Err(OpenError::Items { failures, private_operations: attempt.used })
    }
}

impl Opened {
    /// The keys that opened anything.
    pub fn keys(&self) -> BTreeSet<Fingerprint> {
        self.opened_with.values().copied().collect()
    }

    /// The Secret that the object asks for: name and namespace are the object's own, the rest is the template's.
    pub fn into_secret(self, sealed: &SealedSecret) -> Result<Secret, IntoSecretError> {
        check_template(sealed)?;
        let template = sealed.spec.template.as_ref();
        let metadata = template.and_then(|template| template.metadata.as_ref());
        let some_map = |map: &BTreeMap<String, String>| Some(map.clone()).filter(|map| !map.is_empty());
        Ok(Secret {
            metadata: ObjectMeta {
                name: sealed.metadata.name.clone(),
                namespace: sealed.metadata.namespace.clone(),
                labels: metadata.and_then(|metadata| some_map(&metadata.labels)),
                annotations: metadata.and_then(|metadata| some_map(&metadata.annotations)),
                finalizers: metadata.map(|m| m.finalizers.clone()).filter(|all| !all.is_empty()),
                ..ObjectMeta::default()
            },
            type_: template.and_then(|template| template.type_.clone()),
            immutable: template.and_then(|template| template.immutable),
            data: self.values,
        })
    }
}

struct Attempts {
    left: usize,
    used: usize,
}

impl Attempts {
    fn take(&mut self) -> bool {
        let allowed = self.left > 0;
        if allowed {
            self.left -= 1;
            self.used += 1;
        }
        allowed
    }
}

fn open_item(
    item: &str,
    text: &str,
    binding: &Binding,
    hints: &Hints,
    keyring: &Keyring,
    last_good: Option<KeyId>,
    attempts: &mut Attempts,
) -> Result<(Item, Plaintext, Fingerprint), ItemFailure> {
    let (item, value) = sealed_value(item, text)?;
    if value.format() != Format::Classic {
        return Err(ItemFailure::UnknownFormat { format: value.format() });
    }
    let first = hints.key_of(item.as_str(), &value).or(last_good);
    for entry in keyring.candidates(first) {
        if classic::claimed_modulus_len(&value) != Some(modulus_len(entry)) {
            continue;
        }
        if !attempts.take() {
            return Err(ItemFailure::AttemptsSpent);
        }
        if let Ok(plaintext) = classic::open(&value, entry.opening_key(), binding) {
            return Ok((item, plaintext, entry.fingerprint()));
        }
    }
    Err(ItemFailure::NoKeyOpens { tried: keyring.entries().len() })
}

/// An entry of `encryptedData`, if it can open at all.
pub(crate) fn sealed_value(item: &str, text: &str) -> Result<(Item, SealedValue), ItemFailure> {
    let item = Item::parse(item).map_err(ItemFailure::BadName)?;
    Ok((item, SealedValue::from_base64(text).map_err(ItemFailure::BadText)?))
}

/// Templates are not rendered yet, and a Secret without what they would have made is not the one that was asked for.
pub(crate) fn check_template(sealed: &SealedSecret) -> Result<(), IntoSecretError> {
    let template = sealed.spec.template.as_ref();
    match template.is_some_and(|template| !template.data.is_empty()) {
        true => Err(IntoSecretError::TemplateUnsupported),
        false => Ok(()),
    }
}

fn modulus_len(entry: &KeyringEntry) -> usize {
    entry.opening_key().sealing_key().bits().div_ceil(8)
}

/// An object does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A name is missing or wrong.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// The deprecated form of one blob.
    #[error("spec.data, the deprecated form of one sealed value for the whole Secret, is not supported")]
    LegacyData,
    /// Items failed.
    #[error("{} of the items cannot be opened", failures.len())]
    Items {
        /// Which, and how.
        failures: Vec<ItemError>,
        /// What the attempts cost.
        private_operations: usize,
    },
}

/// One item that does not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemError {
    /// Its name as the object has it. It may be anything: escape it before showing it.
    pub item: String,
    /// What happened.
    pub failure: ItemFailure,
}

/// How an item failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemFailure {
    /// A Secret cannot have such an item.
    #[error("the item's name is {0}")]
    BadName(#[source] NameError),
    /// Not base64.
    #[error("the sealed value is {0}")]
    BadText(#[source] DecodeError),
    /// A format that this release does not open.
    #[error("values of format {format} are not supported by this release")]
    UnknownFormat {
        /// The format.
        format: Format,
    },
    /// Every key failed. Why is not known: wrong key, wrong scope, namespace or name, or changed bytes.
    #[error("none of {tried} keys opens it under the object's scope, namespace and name")]
    NoKeyOpens {
        /// Keys in the keyring.
        tried: usize,
    },
    /// The bound on private operations was reached.
    #[error("the object needs more private-key operations than one object may cost")]
    AttemptsSpent,
}

/// The values opened, but the Secret cannot be made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntoSecretError {
    /// `spec.template.data` asks for templates.
    #[error("spec.template.data is not supported by this release")]
    TemplateUnsupported,
}
