//! The publisher key: made once, read at every start, and moved from custody to custody.
//!
//! In the clear its Secret is immutable, so that nobody spoils it by mistake, and an immutable Secret cannot be changed into
//! one whose private half a vault keeps. It is moved by way of a second Secret, and at each moment one of the two holds all:
//!
//! ```text
//!   create the second ──▶ delete the first ──▶ create the first anew ──▶ delete the second
//! ```

use super::{CustodyError, FIELD_MANAGER, KeySecrets, place};
use crate::custody::{Found, Half, Purpose};
use crate::publisher_secret::{
    MOVING_SECRET, PUBLISHER_SECRET, Whereabouts, key_for, look_at, secret_of, subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_keys::{PublisherKey, PublisherPublicKey};
use privyseal_manifest::Secret;
use std::sync::Arc;

impl KeySecrets {
    /// The publisher key, if there is one.
    pub async fn publisher(&self) -> Result<Option<Arc<PublisherKey>>, CustodyError> {
        // The second one is there for a moment only, and then holds the same.
        for name in [PUBLISHER_SECRET, MOVING_SECRET] {
            if let Some(secret) = self.secrets.get(name).await? {
                return self.open_publisher(&secret).await.map(Some);
            }
        }
        Ok(None)
    }

    async fn open_publisher(&self, secret: &Secret) -> Result<Arc<PublisherKey>, CustodyError> {
        let (public, reference) = match Whereabouts::of(secret)? {
            Whereabouts::Here(key) => return Ok(Arc::new(key)),
            Whereabouts::Kept(public, reference) => (public, reference),
        };
        // Bound to the Secret that it is for, whichever of the two it stands in.
        let subject = subject(public, PUBLISHER_SECRET);
        let waiting = |failure| CustodyError::Vault { secret: PUBLISHER_SECRET.to_owned(), failure };
        let place = place(&subject, &reference);
        let mut memory = self.publishers.lock().await;
        memory.begin();
        if let Some(remembered) = memory.recall(&place) {
            return remembered.map_err(waiting);
        }
        let fetched = self.custodies.fetch(&subject, &reference).await;
        let opened = fetched.and_then(|private| key_for(public, &private).map(Arc::new));
        match opened {
            Ok(key) => {
                memory.keep_only(|_| false);
                memory.hold(place, key.clone());
                Ok(key)
            }
            Err(failure) => {
                memory.fail(place, failure.clone());
                Err(waiting(failure))
            }
        }
    }

    /// Stores a new publisher key; fails if there is one already.
    pub async fn create_publisher(&self, key: &PublisherKey) -> Result<(), CustodyError> {
        let half = self.keep_publisher(key).await?;
        let secret = secret_of(&key.public_key(), half, PUBLISHER_SECRET, &self.namespace);
        self.secrets.create(&secret, FIELD_MANAGER).await?;
        Ok(())
    }

    async fn keep_publisher(&self, key: &PublisherKey) -> Result<Half, CustodyError> {
        let subject = subject(key.public_key(), PUBLISHER_SECRET);
        let kept = self.custodies.keeping.keep(&subject, key.to_pem().as_bytes()).await;
        kept.map_err(|failure| CustodyError::Vault { secret: PUBLISHER_SECRET.to_owned(), failure })
    }

    /// Makes the Secret of the newest publisher key that the vault holds, if it holds any: that of a cluster that was lost,
    /// or of a leader that was lost before it made the Secret.
    pub async fn adopt_publisher(&self) -> Result<Option<PublisherPublicKey>, CustodyError> {
        let found = self.custodies.keeping.found(Purpose::Publisher, &[]).await;
        let found = found.map_err(|failure| CustodyError::Vault { secret: String::new(), failure })?;
        for Found { reference, pem, .. } in found {
            let Ok(key) = PublisherKey::from_pem(pem.expose()) else { continue };
            let public = key.public_key();
            let secret = secret_of(&public, Half::Kept(reference), PUBLISHER_SECRET, &self.namespace);
            self.secrets.create(&secret, FIELD_MANAGER).await?;
            return Ok(Some(public));
        }
        Ok(None)
    }

    /// Ends a move of the publisher key that somebody began, and moves it if it is not where it should be. Says whether
    /// there was anything to do.
    pub async fn settle_publisher(&self) -> Result<bool, CustodyError> {
        let (first, second) =
            (self.secrets.get(PUBLISHER_SECRET).await?, self.secrets.get(MOVING_SECRET).await?);
        let Some(there) = first.as_ref().or(second.as_ref()) else { return Ok(false) };
        let key = self.open_publisher(there).await?;
        let (_, half) = look_at(there)?;
        if first.is_some() && self.is_settled(PUBLISHER_SECRET, &half).await? {
            // What is left of a move, whose first Secret was made anew.
            let Some(second) = second else { return Ok(false) };
            self.secrets.delete(&second.metadata).await?;
            return Ok(true);
        }
        let half = self.keep_publisher(&key).await?;
        let mut wanted = secret_of(&key.public_key(), half, PUBLISHER_SECRET, &self.namespace);
        match first {
            Some(first) if first.immutable != Some(true) => {
                wanted.metadata = ObjectMeta { managed_fields: None, ..first.metadata };
                self.secrets.replace(&wanted, FIELD_MANAGER).await?;
            }
            Some(first) => {
                let mut moving = wanted.clone();
                moving.metadata.name = Some(MOVING_SECRET.to_owned());
                // One that is left of another move may hold another key.
                if let Some(second) = second {
                    self.secrets.delete(&second.metadata).await?;
                }
                let moving = self.secrets.create(&moving, FIELD_MANAGER).await?;
                self.secrets.delete(&first.metadata).await?;
                self.secrets.create(&wanted, FIELD_MANAGER).await?;
                self.secrets.delete(&moving).await?;
            }
            None => {
                self.secrets.create(&wanted, FIELD_MANAGER).await?;
                if let Some(second) = second {
                    self.secrets.delete(&second.metadata).await?;
                }
            }
        }
        Ok(true)
    }
}
