//! Secrets that somebody holds, one by one: for whoever reads and writes them by other ways than [`KeySecrets`], or has
//! them in a file. Nothing is remembered.
//!
//! [`KeySecrets`]: super::KeySecrets

use super::{Custodies, CustodyError, in_clear};
use crate::custody::{Failure, FailureKind, Half, Kind};
use crate::key_secret::{self, Look, NotAKey};
use crate::publisher_secret::{self, PUBLISHER_SECRET, Whereabouts};
use privyseal_keys::{KeyringEntry, PublisherKey};
use privyseal_manifest::Secret;

impl Custodies {
    /// The key in a Secret, wherever its private half is kept.
    ///
    /// # Errors
    /// If it is no key, or its vault does not give the private half.
    pub async fn open(&self, secret: &Secret) -> Result<KeyringEntry, CustodyError> {
        let no_key = |reason: NotAKey| CustodyError::NotAKey { secret: name_of(secret), reason };
        let Look { subject, half } = Look::at(secret).map_err(no_key)?;
        let in_vault = |failure| CustodyError::Vault { secret: name_of(secret), failure };
        match half {
            Half::Clear(private) => key_secret::entry_of(&subject, &private).map_err(no_key),
            Half::Kept(reference) => {
                let private = self.fetch(&subject, &reference).await.map_err(in_vault)?;
                key_secret::entry_of(&subject, &private).map_err(|reason| {
                    in_vault(Failure::new(FailureKind::Damaged, format!("what its vault keeps: {reason}")))
                })
            }
        }
    }

    /// A Secret with its private half in the clear, as a backup holds it.
    ///
    /// # Errors
    /// As [`Custodies::open`].
    pub async fn in_clear(&self, secret: &Secret) -> Result<Secret, CustodyError> {
        Ok(in_clear(secret, &self.open(secret).await?)?)
    }

    /// A Secret that holds its private half, as it is with the private half where new ones go. It must have its name:
    /// a vault may bind what it keeps to that.
    ///
    /// # Errors
    /// If it is no key that holds its private half, or the vault does not take it.
    pub async fn keep_key(&self, secret: &Secret) -> Result<Secret, CustodyError> {
        let no_key = |reason: NotAKey| CustodyError::NotAKey { secret: name_of(secret), reason };
        let subject = Look::at(secret).map_err(no_key)?.subject;
        let entry = key_secret::from_secret(secret).map_err(no_key)?;
        let private = entry.private_text()?;
        let kept = self.keeping.keep(&subject, private.as_bytes()).await;
        let half = kept.map_err(|failure| CustodyError::Vault { secret: name_of(secret), failure })?;
        let mut secret = secret.clone();
        key_secret::put_half(&mut secret.data, key_secret::PRIVATE_KEY_ITEM, half);
        Ok(secret)
    }

    /// The publisher key in a Secret, wherever its private half is kept.
    ///
    /// # Errors
    /// If it is none, or its vault does not give the private half.
    pub async fn open_publisher(&self, secret: &Secret) -> Result<PublisherKey, CustodyError> {
        let (public, reference) = match Whereabouts::of(secret)? {
            Whereabouts::Here(key) => return Ok(key),
            Whereabouts::Kept(public, reference) => (public, reference),
        };
        let subject = publisher_secret::subject(public, PUBLISHER_SECRET);
        let fetched = self.fetch(&subject, &reference).await;
        fetched
            .and_then(|private| publisher_secret::key_for(public, &private))
            .map_err(|failure| CustodyError::Vault { secret: PUBLISHER_SECRET.to_owned(), failure })
    }

    /// The Secret of a publisher key, its private half kept where new ones go.
    ///
    /// # Errors
    /// If the vault does not take it.
    pub async fn keep_publisher(&self, key: &PublisherKey, namespace: &str) -> Result<Secret, CustodyError> {
        if self.keeping() == Kind::Cluster {
            return Ok(publisher_secret::publisher_secret(key, namespace));
        }
        let subject = publisher_secret::subject(key.public_key(), PUBLISHER_SECRET);
        let kept = self.keeping.keep(&subject, key.to_pem().as_bytes()).await;
        let half =
            kept.map_err(|failure| CustodyError::Vault { secret: PUBLISHER_SECRET.to_owned(), failure })?;
        Ok(publisher_secret::secret_of(&key.public_key(), half, PUBLISHER_SECRET, namespace))
    }
}

fn name_of(secret: &Secret) -> String {
    secret.metadata.name.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::Envelope;
    use crate::custody::{Custody, Found, Purpose, Reference, Subject};
    use crate::key_secrets::{publisher_kept_by, publisher_public_of};
    use async_trait::async_trait;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use jiff::{SignedDuration, Timestamp};
    use privyseal_envelope::Plaintext;
    use privyseal_envelope::rsa::KeySize;
    use privyseal_keys::KeyPair;
    use std::sync::Arc;
    use std::time::Duration;

    /// Keeps what it is given in the reference itself, under the Secret's name; refuses what is of another name.
    struct Shelf;

    #[async_trait]
    impl Custody for Shelf {
        fn kind(&self) -> Kind {
            Kind::KeyVaultWrapped
        }

        async fn keep(&self, subject: &Subject, private: &[u8]) -> Result<Half, Failure> {
            Ok(Half::Kept(Reference::KeyVaultWrapped(Envelope {
                version: 1,
                key: subject.secret.clone(),
                wrapped: subject.public.fingerprint().to_string(),
                ciphertext: STANDARD.encode(private),
            })))
        }

        async fn fetch(&self, subject: &Subject, reference: &Reference) -> Result<Plaintext, Failure> {
            let Reference::KeyVaultWrapped(envelope) = reference else { unreachable!() };
            if envelope.key != subject.secret {
                return Err(Failure::new(FailureKind::Damaged, "of another Secret"));
            }
            Ok(Plaintext::from(STANDARD.decode(&envelope.ciphertext).unwrap().as_slice()))
        }

        async fn is_current(&self, _: &Reference) -> Result<bool, Failure> {
            Ok(true)
        }

        async fn found(&self, _: Purpose, _: &[Reference]) -> Result<Vec<Found>, Failure> {
            Ok(Vec::new())
        }
    }

    fn custodies() -> Custodies {
        Custodies::new(Kind::KeyVaultWrapped, vec![Arc::new(Shelf)], Duration::MAX)
    }

    fn key(name: &str) -> Secret {
        let day = SignedDuration::from_hours(24);
        let pair = KeyPair::generate(KeySize::Rsa2048, "", Timestamp::UNIX_EPOCH, day).ok().unwrap();
        let mut secret = key_secret::to_secret(&pair, "", Some("ns")).unwrap();
        secret.metadata.generate_name = None;
        secret.metadata.name = Some(name.to_owned());
        secret
    }

    #[tokio::test]
    async fn a_key_goes_into_a_custody_and_comes_back_and_for_its_own_secret_only() {
        let clear = key("key-a");
        let kept = custodies().keep_key(&clear).await.ok().unwrap();
        assert!(kept.data[key_secret::PRIVATE_KEY_ITEM].expose().is_empty());
        assert!(matches!(key_secret::from_secret(&kept), Err(NotAKey::Elsewhere { .. })));
        let back = custodies().in_clear(&kept).await.ok().unwrap();
        assert_eq!(back.to_json(), clear.to_json());
        assert!(!back.data.contains_key(key_secret::REFERENCE_ITEM));

        let mut renamed = kept.clone();
        renamed.metadata.name = Some("key-b".to_owned());
        assert!(
            matches!(custodies().open(&renamed).await, Err(CustodyError::Vault { secret, .. }) if secret == "key-b")
        );
        // Somebody else's private half in its place.
        let mut swapped = kept.clone();
        let other = custodies().keep_key(&key("key-a")).await.ok().unwrap();
        swapped.data.insert(
            privyseal_envelope::Item::parse(key_secret::REFERENCE_ITEM).unwrap(),
            other.data[key_secret::REFERENCE_ITEM].clone(),
        );
        let error = custodies().open(&swapped).await.err().unwrap().to_string();
        assert!(error.contains("what its vault keeps"), "{error}");
        // And without a vault.
        assert!(matches!(Custodies::cluster().open(&kept).await, Err(CustodyError::Vault { .. })));
        assert!(Custodies::cluster().open(&clear).await.is_ok());
    }

    #[tokio::test]
    async fn a_publisher_key_goes_into_a_custody_and_comes_back() {
        let publisher = PublisherKey::generate().ok().unwrap();
        let kept = custodies().keep_publisher(&publisher, "ns").await.ok().unwrap();
        assert_eq!(publisher_kept_by(&kept).ok(), Some(Kind::KeyVaultWrapped));
        assert_eq!(publisher_public_of(&kept).ok(), Some(publisher.public_key()));
        assert!(kept.data["publisher.key"].expose().is_empty());
        let back = custodies().open_publisher(&kept).await.ok().unwrap();
        assert_eq!(back.public_key(), publisher.public_key());
        assert!(Custodies::cluster().open_publisher(&kept).await.is_err());

        let clear = Custodies::cluster().keep_publisher(&publisher, "ns").await.ok().unwrap();
        assert_eq!(publisher_kept_by(&clear).ok(), Some(Kind::Cluster));
        assert_eq!(publisher_public_of(&clear).ok(), Some(publisher.public_key()));
        // Another public half than the private one that is kept.
        let stranger = PublisherKey::generate().ok().unwrap().public_key();
        let mut swapped = kept;
        swapped.data.insert(
            privyseal_envelope::Item::parse("publisher.pub").unwrap(),
            Plaintext::from(stranger.to_string().as_bytes()),
        );
        assert!(custodies().open_publisher(&swapped).await.is_err());
    }
}
