//! A key together with its Secret: one that is made and not used yet, or one that is about to change.

use super::loaded::NotOpened;
use super::{CustodyError, FIELD_MANAGER, KeySecrets, in_clear, not_opened};
use crate::MakerMark;
use crate::backup::{Backup, BackupError};
use crate::custody::Half;
use crate::key_secret::{self, Look, NotAKey};
use crate::publisher_secret::publisher_secret;
use jiff::Timestamp;
use privyseal_envelope::Fingerprint;
use privyseal_keys::{Certificate, KeyringEntry, PublisherKey, PublisherPublicKey};
use privyseal_manifest::{Secret, names};

/// A key and the Secret that it is in, or will be. No `Debug`, `Display` or `Serialize`.
pub struct StoredKey {
    secret: Secret,
    entry: KeyringEntry,
}

impl StoredKey {
    /// A Secret and the key that is known to be its.
    pub(super) fn new(secret: Secret, entry: KeyringEntry) -> Self {
        Self { secret, entry }
    }

    pub(super) fn into_parts(self) -> (Secret, KeyringEntry) {
        (self.secret, self.entry)
    }

    /// The key in a Secret that holds its private half, whatever its label says.
    pub fn of(secret: Secret) -> Result<Self, NotAKey> {
        Ok(Self { entry: key_secret::from_secret(&secret)?, secret })
    }

    /// The fingerprint that names it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.entry.fingerprint()
    }

    /// The fingerprints of everything in it that can be sealed to, its name first.
    pub fn fingerprints(&self) -> &[Fingerprint] {
        self.entry.fingerprints()
    }

    /// The name of its Secret.
    pub fn name(&self) -> &str {
        self.secret.metadata.name.as_deref().unwrap_or_default()
    }

    /// When it was made.
    pub fn not_before(&self) -> Option<Timestamp> {
        self.entry.certificate().map(Certificate::not_before)
    }

    /// Whether the holder of that publisher key made it.
    pub fn is_made_by(&self, publisher: &PublisherPublicKey) -> bool {
        let mark = MakerMark::of(&self.secret.metadata);
        mark.zip(self.entry.public_half()).is_some_and(|(mark, key)| mark.proves(publisher, &key))
    }

    /// A backup of this key alone, as it will be once it is in use.
    ///
    /// One that lies in the cluster in the clear says so there: should it come back into a cluster whose keys a vault keeps,
    /// nobody seals to it.
    pub fn to_backup(
        &self,
        publisher: &PublisherKey,
        namespace: &str,
        now: Timestamp,
    ) -> Result<Backup, BackupError> {
        let mut secret = in_clear(&self.activated(), &self.entry).map_err(|error| BackupError::NotAKey {
            secret: self.name().to_owned(),
            reason: error.to_string(),
        })?;
        if Look::at(&self.secret).is_ok_and(|look| matches!(look.half, Half::Clear(_))) {
            key_secret::note_was_in_clear(&mut secret.metadata, now);
        }
        Backup::new(publisher_secret(publisher, namespace), vec![secret])
    }

    fn activated(&self) -> Secret {
        let mut secret = self.secret.clone();
        key_secret::set_label(&mut secret.metadata, names::KEY_ACTIVE);
        secret.metadata.managed_fields = None;
        secret
    }
}

impl KeySecrets {
    /// Keys that are not used yet, whoever made them. What is no key is left out; one that its vault does not give is an
    /// error, since another one must not be made in its place.
    pub async fn pending(&self) -> Result<Vec<StoredKey>, CustodyError> {
        let selector = format!("{}={}", names::SEALED_SECRETS_KEY, names::KEY_PENDING);
        let mut pending = Vec::new();
        for secret in self.secrets.list(&selector).await?.into_iter().flatten() {
            let Ok(look) = Look::at(&secret) else { continue };
            match self.opened(&look).await {
                Ok(entry) => pending.push(StoredKey { secret, entry }),
                Err(NotOpened::Unusable(_)) => {}
                Err(NotOpened::Waiting(failure)) => {
                    return Err(CustodyError::Vault { secret: look.subject.secret, failure });
                }
            }
        }
        Ok(pending)
    }

    /// The key in a Secret, if that holds one.
    pub async fn stored(&self, secret: &str) -> Result<Option<StoredKey>, CustodyError> {
        let Some(secret) = self.secrets.get(secret).await? else { return Ok(None) };
        let Ok(look) = Look::at(&secret) else { return Ok(None) };
        let name = &look.subject.secret;
        let entry = self.opened(&look).await.map_err(|error| not_opened(name, error))?;
        Ok(Some(StoredKey { secret, entry }))
    }

    /// Puts a key into use, if its Secret is still the one that was read.
    pub async fn activate(&self, key: &StoredKey) -> Result<(), CustodyError> {
        self.secrets.replace(&key.activated(), FIELD_MANAGER).await?;
        Ok(())
    }
}
