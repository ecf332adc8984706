//! The keys of one namespace: key Secrets, and what a vault keeps of them.
//!
//! ```text
//!   key Secrets ──Look::at──▶ public halves ──Memory, Custody::fetch──▶ Loaded { entries, waiting, left_out, … }
//!   KeyPair ──Custody::keep──▶ Half ──▶ key Secret                      create, adopt, settle, give_identities
//! ```
//!
//! All that is known of a key but its private half is in its Secret, whatever the custody: so a key is created with one
//! write, moved from one custody to another with one write, and whoever is lost in between leaves the one or the other.

mod adopt;
mod custodies;
mod identities;
mod loaded;
mod memory;
mod one_by_one;
mod publisher;
mod settle;
mod stored_key;

pub use adopt::Adopted;
pub use custodies::Custodies;
pub use identities::NewIdentities;
pub use loaded::{LeftOut, Loaded, Waiting};
pub use settle::Unsettled;
pub use stored_key::StoredKey;

pub use crate::publisher_secret::{
    MOVING_SECRET, NotAPublisher, PUBLISHER_SECRET, publisher_kept_by, publisher_of, publisher_public_of,
    publisher_secret,
};

use crate::custody::{Failure, FailureKind, Half, Public, Reference, Subject};
use crate::key_secret::{self, Look, NotAKey};
use crate::{ApiError, MADE_BY, MakerMark, SecretApi};
use kube::Client;
use loaded::NotOpened;
use memory::{Memory, Place};
use privyseal_envelope::{Fingerprint, KeyError, Plaintext};
use privyseal_keys::{KeyPair, KeyringEntry, PublisherKey};
use privyseal_manifest::{Secret, names};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Mutex;

const FIELD_MANAGER: &str = "privyseal-custody";

/// Keys of one namespace.
#[derive(Clone)]
pub struct KeySecrets {
    secrets: SecretApi,
    namespace: String,
    prefix: String,
    custodies: Custodies,
    /// One look at a time, so that no key is asked for twice.
    keys: Arc<Mutex<Memory<KeyringEntry>>>,
    publishers: Arc<Mutex<Memory<Arc<PublisherKey>>>>,
    /// What a vault holds that needs no Secret.
    declined: Arc<Mutex<Vec<Reference>>>,
}

impl KeySecrets {
    /// For the namespace that holds the keys; new ones get names with this prefix.
    pub fn new(client: Client, namespace: &str, prefix: &str, custodies: Custodies) -> Self {
        Self {
            secrets: SecretApi::new(client, namespace),
            namespace: namespace.to_owned(),
            prefix: prefix.to_owned(),
            keys: Arc::new(Mutex::new(Memory::new(custodies.poll_interval))),
            publishers: Arc::new(Mutex::new(Memory::new(custodies.poll_interval))),
            declined: Arc::default(),
            custodies,
        }
    }

    /// The label selector of keys, usable or retired.
    pub fn selector() -> &'static str {
        names::SEALED_SECRETS_KEY
    }

    /// Where private halves are kept.
    pub fn custodies(&self) -> &Custodies {
        &self.custodies
    }

    /// Reads all keys. A bad one is left out and told; the others are used. What a vault gave once it is not asked for
    /// again as long as its Secret is there.
    pub async fn load(&self) -> Result<Loaded, CustodyError> {
        let secrets = self.secrets.list(Self::selector()).await?;
        let mut memory = self.keys.lock().await;
        memory.begin();
        let (mut loaded, looks) = Loaded::of(secrets);
        let mut places = BTreeSet::new();
        for look in looks {
            let opened = match &look.look.half {
                Half::Clear(private) => {
                    key_secret::entry_of(&look.look.subject, private).map_err(NotOpened::Unusable)
                }
                Half::Kept(reference) => {
                    places.insert(place(&look.look.subject, reference));
                    self.open(&mut memory, &look.look.subject, reference).await
                }
            };
            loaded.add(look, opened);
        }
        memory.keep_only(|place| places.contains(place));
        loaded.again = memory.again();
        Ok(loaded)
    }

    /// Has the next look ask vaults for what they did not give, whatever the wait.
    pub async fn ask_again(&self) {
        self.keys.lock().await.forget_failures();
    }

    /// The key that a reference stands for: remembered, or from its vault.
    async fn open(
        &self,
        memory: &mut Memory<KeyringEntry>,
        subject: &Subject,
        reference: &Reference,
    ) -> Result<KeyringEntry, NotOpened> {
        let place = place(subject, reference);
        if let Some(remembered) = memory.recall(&place) {
            return remembered.map_err(NotOpened::Waiting);
        }
        let fetched = self.custodies.fetch(subject, reference).await;
        let opened = fetched.and_then(|private| {
            key_secret::entry_of(subject, &private).map_err(|reason| {
                Failure::new(FailureKind::Damaged, format!("what its vault keeps: {reason}"))
            })
        });
        match opened {
            Ok(entry) => {
                memory.hold(place, entry.clone());
                Ok(entry)
            }
            Err(failure) => {
                memory.fail(place, failure.clone());
                Err(NotOpened::Waiting(failure))
            }
        }
    }

    /// Stores a new key and the mark of its maker; gives the name of its Secret.
    pub async fn create(&self, pair: KeyPair, mark: MakerMark) -> Result<String, CustodyError> {
        Ok(self.create_labelled(pair, mark, names::KEY_ACTIVE).await?.name().to_owned())
    }

    /// Stores a new key and the mark of its maker, not to be used yet.
    pub async fn create_pending(&self, pair: KeyPair, mark: MakerMark) -> Result<StoredKey, CustodyError> {
        self.create_labelled(pair, mark, names::KEY_PENDING).await
    }

    async fn create_labelled(
        &self,
        pair: KeyPair,
        mark: MakerMark,
        label: &str,
    ) -> Result<StoredKey, CustodyError> {
        let subject = Subject {
            secret: self.name_for(pair.fingerprint()),
            public: Public::Sealing(pair.public_half()),
            mark: Some(mark),
        };
        let entry = KeyringEntry::from_pair(&subject.secret, pair);
        let secret = self.keep(&subject, &entry, label).await?;
        Ok(StoredKey::new(secret, entry))
    }

    /// Gives the private half to the custody, then makes the Secret: one that is there has its private half.
    async fn keep(
        &self,
        subject: &Subject,
        entry: &KeyringEntry,
        label: &str,
    ) -> Result<Secret, CustodyError> {
        let private = entry.private_text()?;
        let kept = self.custodies.keeping.keep(subject, private.as_bytes()).await;
        let half = kept.map_err(|failure| CustodyError::Vault { secret: subject.secret.clone(), failure })?;
        self.create_secret(subject, entry, half, label).await
    }

    async fn create_secret(
        &self,
        subject: &Subject,
        entry: &KeyringEntry,
        half: Half,
        label: &str,
    ) -> Result<Secret, CustodyError> {
        let kept = match &half {
            Half::Kept(reference) => Some(place(subject, reference)),
            Half::Clear(_) => None,
        };
        let public = entry.public_half().ok_or(KeyError::Rejected)?;
        let mut secret = key_secret::secret_of(&public, half, &self.prefix, Some(&self.namespace));
        secret.metadata.generate_name = None;
        secret.metadata.name = Some(subject.secret.clone());
        key_secret::set_label(&mut secret.metadata, label);
        if let Some(mark) = &subject.mark {
            let annotations = secret.metadata.annotations.get_or_insert_default();
            annotations.insert(MADE_BY.to_owned(), mark.as_str().to_owned());
        }
        secret.metadata = self.secrets.create(&secret, FIELD_MANAGER).await?;
        if let Some(place) = kept {
            self.keys.lock().await.hold(place, entry.clone());
        }
        Ok(secret)
    }

    /// The name of the Secret for a key. It follows from the key, so that one key gets one Secret.
    fn name_for(&self, key: Fingerprint) -> String {
        let key_id = key.key_id().to_string();
        format!("{}{}", self.prefix, &key_id[..NAME_DIGITS])
    }

    /// Keeps a private half anew, then writes its Secret, if that is still the one that was read: whoever is lost before
    /// that write left all as it was.
    async fn rewrite(
        &self,
        mut secret: Secret,
        subject: &Subject,
        half: Half,
        entry: KeyringEntry,
    ) -> Result<(), CustodyError> {
        let kept = match &half {
            Half::Kept(reference) => Some(place(subject, reference)),
            Half::Clear(_) => None,
        };
        key_secret::put_half(&mut secret.data, key_secret::PRIVATE_KEY_ITEM, half);
        let annotations = secret.metadata.annotations.get_or_insert_default();
        // They repeat the values.
        for copy in names::LAST_APPLIED {
            annotations.remove(copy);
        }
        secret.metadata.managed_fields = None;
        self.secrets.replace(&secret, FIELD_MANAGER).await?;
        if let Some(place) = kept {
            self.keys.lock().await.hold(place, entry);
        }
        Ok(())
    }

    async fn opened(&self, look: &Look) -> Result<KeyringEntry, NotOpened> {
        match &look.half {
            Half::Clear(private) => key_secret::entry_of(&look.subject, private).map_err(NotOpened::Unusable),
            Half::Kept(reference) => {
                let mut memory = self.keys.lock().await;
                memory.begin();
                self.open(&mut memory, &look.subject, reference).await
            }
        }
    }
}

fn place(subject: &Subject, reference: &Reference) -> Place {
    Place {
        secret: subject.secret.clone(),
        reference: reference.clone(),
        fingerprint: subject.public.fingerprint(),
    }
}

/// Why a key is not opened, as an error about its Secret.
fn not_opened(secret: &str, error: NotOpened) -> CustodyError {
    let secret = secret.to_owned();
    match error {
        NotOpened::Unusable(reason) => CustodyError::NotAKey { secret, reason },
        NotOpened::Waiting(failure) => CustodyError::Vault { secret, failure },
    }
}

/// The same Secret with its private half in the clear.
fn in_clear(secret: &Secret, entry: &KeyringEntry) -> Result<Secret, KeyError> {
    let private = entry.private_text()?;
    let mut secret = secret.clone();
    let half = Half::Clear(Plaintext::from(private.as_bytes()));
    key_secret::put_half(&mut secret.data, key_secret::PRIVATE_KEY_ITEM, half);
    Ok(secret)
}

/// Keys cannot be read or stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CustodyError {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A key cannot be encoded.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A Secret that is no key.
    #[error("the Secret {secret} is no key: {reason}")]
    NotAKey {
        /// Its name.
        secret: String,
        /// What is wrong with it.
        reason: NotAKey,
    },
    /// The Secret with the publisher key is damaged.
    #[error(transparent)]
    Publisher(#[from] NotAPublisher),
    /// A vault does not give or take a private half.
    #[error("{failure}")]
    Vault {
        /// The Secret of the key; empty if it is about the vault as a whole.
        secret: String,
        /// Why.
        failure: Failure,
    },
}

/// Of a key id in the name of a Secret; names that the API server makes have five.
const NAME_DIGITS: usize = 8;

#[cfg(test)]
mod tests;
