//! SealedSecret to plaintext: the one path that unseals.

use crate::binding::{BindingError, binding_of};
use crate::hints::Hints;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::age::{FileKey, RecipientStanza};
use privyseal_envelope::{
    Binding, DecodeError, Fingerprint, Format, Item, KeyId, NameError, Plaintext, SealedValue, age, classic,
};
use privyseal_keys::Keyring;
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
    /// What opened each of them.
    pub opened_by: BTreeMap<Item, OpenedBy>,
    /// What it cost.
    pub private_operations: usize,
    /// Of values of the age format.
    pub(crate) file_keys: BTreeMap<Item, FileKey>,
}

/// What opened a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedBy {
    /// The key.
    pub key: Fingerprint,
    /// The place of its stanza in the header of an age file.
    pub stanza: Option<usize>,
}

/// Opens every item of an object, or none: one that fails fails the object, and all failures are told.
///
/// For each value the keys are tried in this order: those that hints name, the one that opened the item before, then
/// newest first. At most `attempts` private operations are done for the whole object.
pub fn open(sealed: &SealedSecret, keyring: &Keyring, attempts: usize) -> Result<Opened, OpenError> {
    if sealed.spec.data.is_some() {
        return Err(OpenError::LegacyData);
    }
    let annotations = sealed.metadata.annotations.as_ref();
    let binding =
        binding_of(annotations, sealed.metadata.namespace.as_deref(), sealed.metadata.name.as_deref())?;
    let hints = Hints::read(annotations);

    let mut attempt = Attempts { left: attempts, used: 0 };
    let mut opened = Opened {
        values: BTreeMap::new(),
        opened_by: BTreeMap::new(),
        private_operations: 0,
        file_keys: BTreeMap::new(),
    };
    let mut failures = Vec::new();
    let mut keys = Keys { binding: &binding, hints: &hints, keyring, last_good: None };
    for (item, text) in &sealed.spec.encrypted_data {
        match keys.open_item(item, text, &mut attempt) {
            Ok(OpenedItem { item, plaintext, by, file_key }) => {
                keys.last_good = Some(by.key.key_id());
                opened.file_keys.extend(file_key.map(|key| (item.clone(), key)));
                opened.opened_by.insert(item.clone(), by);
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
        self.opened_by.values().map(|by| by.key).collect()
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

struct OpenedItem {
    item: Item,
    plaintext: Plaintext,
    by: OpenedBy,
    file_key: Option<FileKey>,
}

/// How many private operations are left.
struct Attempts {
    left: usize,
    used: usize,
}

impl Attempts {
    fn take(&mut self, count: usize) -> Result<(), ItemFailure> {
        self.left = self.left.checked_sub(count).ok_or(ItemFailure::AttemptsSpent)?;
        self.used += count;
        Ok(())
    }
}

/// The keys at hand, and what is known of where to begin.
struct Keys<'a> {
    binding: &'a Binding,
    hints: &'a Hints,
    keyring: &'a Keyring,
    last_good: Option<KeyId>,
}

impl Keys<'_> {
    fn open_item(&self, item: &str, text: &str, attempts: &mut Attempts) -> Result<OpenedItem, ItemFailure> {
        let (item, value) = sealed_value(item, text)?;
        match value.format() {
            Format::Classic => self.open_classic(item, &value, attempts),
            Format::Age => self.open_age(item, &value, attempts),
        }
    }

    fn open_classic(
        &self,
        item: Item,
        value: &SealedValue,
        attempts: &mut Attempts,
    ) -> Result<OpenedItem, ItemFailure> {
        let first = self.hints.key_of(item.as_str(), value).or(self.last_good);
        let mut tried = 0;
        for entry in self.keyring.candidates(first.as_slice()) {
            let Some(key) = entry.opening_key() else { continue };
            tried += 1;
            if classic::claimed_modulus_len(value) != Some(key.sealing_key().bits().div_ceil(8)) {
                continue;
            }
            attempts.take(1)?;
            if let Ok(plaintext) = classic::open(value, key, self.binding) {
                let by = OpenedBy { key: entry.fingerprint(), stanza: None };
                return Ok(OpenedItem { item, plaintext, by, file_key: None });
            }
        }
        Err(ItemFailure::NoKeyOpens { tried })
    }

    fn open_age(
        &self,
        item: Item,
        value: &SealedValue,
        attempts: &mut Attempts,
    ) -> Result<OpenedItem, ItemFailure> {
        let file = age::File::parse(value)?;
        let (unwrapped, key) = self.unwrap(&file, attempts)?;
        let plaintext = file.open(&unwrapped.file_key, self.binding, &item)?.plaintext;
        let by = OpenedBy { key, stanza: Some(unwrapped.at) };
        Ok(OpenedItem { item, plaintext, by, file_key: Some(unwrapped.file_key) })
    }

    /// What a Key Vault unwrapped costs nothing; then the keys that hints name, and all others.
    fn unwrap(
        &self,
        file: &age::File<'_>,
        attempts: &mut Attempts,
    ) -> Result<(age::Unwrapped, Fingerprint), ItemFailure> {
        let recipients: Vec<_> = file.recipients().collect();
        for recipient in &recipients {
            if let Some(stanza) = file.vault_stanza(recipient.at)
                && let Some(file_key) = self.keyring.unwrapped(&stanza)
            {
                return Ok((age::Unwrapped { file_key: file_key.clone(), at: recipient.at }, stanza.key));
            }
        }
        let claimed: Vec<_> = recipients.iter().filter_map(|recipient| recipient.claimed).collect();
        let first: Vec<_> = claimed.iter().copied().chain(self.last_good).collect();
        // Where a hint names key and stanza one operation is enough; hints may lie, so all the rest comes after.
        for is_named in [true, false] {
            for entry in self.keyring.candidates(&first) {
                let names =
                    |recipient: &&RecipientStanza| recipient.claimed.is_some_and(|id| entry.goes_by(id));
                for identity in entry.identities() {
                    let kind = |recipient: &&RecipientStanza| recipient.kind == identity.kind();
                    for recipient in recipients.iter().filter(kind).filter(|one| names(one) == is_named) {
                        attempts.take(1)?;
                        if let Some(unwrapped) = file.unwrap_at(identity, recipient.at)? {
                            return Ok((unwrapped, entry.fingerprint()));
                        }
                    }
                }
            }
        }
        let tried = self.keyring.entries().iter().filter(|entry| !entry.identities().is_empty()).count();
        Err(ItemFailure::NotARecipient { tried, claimed })
    }
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemFailure {
    /// A Secret cannot have such an item.
    #[error("the item's name is {0}")]
    BadName(#[source] NameError),
    /// Not base64.
    #[error("the sealed value is {0}")]
    BadText(#[source] DecodeError),
    /// Every key failed. Why is not known: wrong key, wrong scope, namespace or name, or changed bytes.
    #[error("none of {tried} keys opens it under the object's scope, namespace and name")]
    NoKeyOpens {
        /// Keys in the keyring.
        tried: usize,
    },
    /// Age: none of the keys is among the recipients.
    #[error("none of {tried} keys is among its recipients{}", claims(claimed))]
    NotARecipient {
        /// Keys with identities in the keyring.
        tried: usize,
        /// Whose it claims to be.
        claimed: Vec<KeyId>,
    },
    /// Age: it is no such file, was changed, or was sealed for something else.
    #[error("{0}")]
    Age(#[from] age::OpenError),
    /// The bound on private operations was reached.
    #[error("the object needs more private-key operations than one object may cost")]
    AttemptsSpent,
}

fn claims(claimed: &[KeyId]) -> String {
    let claimed: Vec<_> = claimed.iter().map(KeyId::to_string).collect();
    match claimed.is_empty() {
        true => String::new(),
        false => format!(", which it says are {}", claimed.join(", ")),
    }
}

/// The values opened, but the Secret cannot be made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntoSecretError {
    /// `spec.template.data` asks for templates.
    #[error("spec.template.data is not supported by this release")]
    TemplateUnsupported,
}
