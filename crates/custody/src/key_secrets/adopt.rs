//! Keys that a vault holds and no Secret tells of.

use super::{CustodyError, KeySecrets};
use crate::custody::{Found, Half, Public, Purpose, Subject};
use crate::key_secret::Look;
use privyseal_envelope::Fingerprint;
use privyseal_envelope::rsa::OpeningKey;
use privyseal_keys::{Certificate, KeyPair, KeyPairError, KeyringEntry, private_key};
use privyseal_manifest::names;
use std::collections::BTreeSet;

/// A key that was found in a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The name of its new Secret.
    pub secret: String,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

impl KeySecrets {
    /// Makes Secrets of keys that the vault holds and no Secret tells of: keys that people brought, keys whose maker was
    /// lost before it made the Secret, keys of a cluster that was lost. `certify` makes the certificate of one that has
    /// none. What is no key is told by the vault's custody and left there.
    pub async fn adopt(
        &self,
        certify: impl Fn(&OpeningKey) -> Option<Certificate>,
    ) -> Result<Vec<Adopted>, CustodyError> {
        if self.custodies.poll_interval().is_none() {
            return Ok(Vec::new());
        }
        let secrets = self.secrets.list(Self::selector()).await?;
        let looks: Vec<_> =
            secrets.into_iter().flatten().filter_map(|secret| Look::at(&secret).ok()).collect();
        let known: Vec<_> = looks
            .iter()
            .filter_map(|look| match &look.half {
                Half::Kept(reference) => Some(reference.clone()),
                Half::Clear(_) => None,
            })
            .collect();
        let found = self.custodies.keeping.found(Purpose::Sealing, &known).await;
        let found = found.map_err(|failure| CustodyError::Vault { secret: String::new(), failure })?;
        let mut held: BTreeSet<_> = looks.iter().map(|look| look.subject.public.fingerprint()).collect();
        let mut adopted = Vec::new();
        for Found { reference, pem, mark } in found {
            let Ok(opening_key) = private_key::first_from_pem(pem.expose()) else { continue };
            let fingerprint = opening_key.fingerprint();
            let certificate = match Certificate::from_pem(pem.expose()) {
                Ok(certificate) if certificate.fingerprint() == fingerprint => Some(certificate),
                _ => certify(&opening_key),
            };
            let Some(certificate) = certificate else { continue };
            if !held.insert(fingerprint) {
                continue;
            }
            let secret = self.name_for(fingerprint);
            let subject =
                Subject { secret: secret.clone(), public: Public::Sealing(certificate.clone()), mark };
            let private = private_key::to_pkcs1_pem(&opening_key)?;
            let pair = KeyPair::from_pem(certificate.to_pem().as_bytes(), private.as_bytes());
            let pair = pair.map_err(|error: KeyPairError| CustodyError::NotAKey {
                secret: secret.clone(),
                reason: error.into(),
            })?;
            let entry = KeyringEntry::from_pair(&secret, pair);
            self.create_secret(&subject, &entry, Half::Kept(reference), names::KEY_ACTIVE).await?;
            adopted.push(Adopted { secret, fingerprint });
        }
        Ok(adopted)
    }
}
