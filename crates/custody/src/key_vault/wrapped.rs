//! Custody `key-vault-wrapped`: private halves as ciphertext under a fresh key that a key of a Key Vault wraps.
//!
//! Wrapping needs no call but the one for the vault key's public half: RSA-OAEP is done here. What comes out is opened
//! once through the vault before it is taken for kept, so that a right that is missing is found while the private half
//! is still at hand. The bytes are in docs/format.md.

use super::client::now;
use super::{Collection, KeyVault, VersionId, check_version};
use crate::custody::{self, Envelope, Failure, FailureKind, Found, Half, Kind, Purpose, Subject};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privyseal_envelope::{Plaintext, key_wrap};

/// Keeps what is sealed with one thing from being taken for another.
const DOMAIN: &str = "privyseal.dev/key-vault-wrapped/v1";

/// The custody.
pub(super) struct Wrapped {
    vault: KeyVault,
}

impl Wrapped {
    pub(super) fn new(vault: KeyVault) -> Self {
        Self { vault }
    }
}

#[async_trait]
impl custody::Custody for Wrapped {
    fn kind(&self) -> Kind {
        Kind::KeyVaultWrapped
    }

    async fn keep(&self, subject: &Subject, private: &[u8]) -> Result<Half, Failure> {
        let key = self.vault.current_key().await?;
        key.check_usable(now())?;
        let sealed =
            key_wrap::seal(private, &key.public, &binding(key.id.as_str(), subject)).map_err(|_| {
                Failure::new(
                    FailureKind::Unavailable,
                    "the cryptographic library could not wrap the private half",
                )
            })?;
        let envelope = Envelope {
            version: 1,
            key: key.id.as_str().to_owned(),
            wrapped: STANDARD.encode(&sealed.wrapped),
            ciphertext: STANDARD.encode(&sealed.ciphertext),
        };
        match fetch(&self.vault, subject, &envelope).await {
            Ok(back) if back.expose() == private => {
                Ok(Half::Kept(custody::Reference::KeyVaultWrapped(envelope)))
            }
            Ok(_) => Err(Failure::new(
                FailureKind::Damaged,
                format!("vault key {} gives back another private half than it was given", key.id),
            )),
            Err(failure) => {
                // Perhaps it is no longer the current version.
                self.vault.forget_current_key().await;
                Err(failure)
            }
        }
    }

    async fn fetch(&self, subject: &Subject, reference: &custody::Reference) -> Result<Plaintext, Failure> {
        self.vault.fetch(subject, reference).await
    }

    async fn is_current(&self, reference: &custody::Reference) -> Result<bool, Failure> {
        let custody::Reference::KeyVaultWrapped(envelope) = reference else { return Ok(false) };
        // Under another vault or name it is not, and nobody is asked; nor does `fetch` give it, so it stays where it is.
        let Ok(id) = key_id(&self.vault, envelope) else { return Ok(false) };
        Ok(self.vault.current_key().await?.id == id)
    }

    async fn found(&self, _: Purpose, _: &[custody::Reference]) -> Result<Vec<Found>, Failure> {
        Ok(Vec::new())
    }
}

/// Opens an envelope: one call.
pub(super) async fn fetch(
    vault: &KeyVault,
    subject: &Subject,
    envelope: &Envelope,
) -> Result<Plaintext, Failure> {
    check_version(envelope.version)?;
    let id = key_id(vault, envelope)?;
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| damaged("is no base64"));
    let (wrapped, ciphertext) = (decode(&envelope.wrapped)?, decode(&envelope.ciphertext)?);
    let fresh_key = vault.unwrap_key(&id, &wrapped).await?;
    key_wrap::open(&fresh_key, &ciphertext, &binding(id.as_str(), subject)).map_err(|_| {
        damaged("does not open for this Secret and this certificate: changed, or of another Secret")
    })
}

fn key_id(vault: &KeyVault, envelope: &Envelope) -> Result<VersionId, Failure> {
    VersionId::stored(&envelope.key, vault.vault(), Collection::Keys, vault.key_name())
}

fn damaged(why: &str) -> Failure {
    Failure::new(FailureKind::Damaged, format!("what custody.json holds {why}; restore a backup"))
}

/// What the ciphertext is bound to. An id and a fingerprint hold no line break, and the name is last: no two bindings
/// have the same bytes.
fn binding(key: &str, subject: &Subject) -> Vec<u8> {
    let Subject { secret, public, .. } = subject;
    format!("{DOMAIN}\n{key}\n{}\n{secret}", public.fingerprint()).into_bytes()
}
