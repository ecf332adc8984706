//! The stanza of a Key Vault key: `privyseal.dev/akv RSA-OAEP-256 FINGERPRINT`, its body the wrapped file key.
//!
//! RSA-OAEP with SHA-256 for hash and MGF1, and no label: Key Vault's `unwrapKey` knows none. What binds the value to its
//! object is the binding line in the payload. Vault and version come from whoever opens, never from here: a value says
//! which key it is for, and not where that key is.

use crate::Fingerprint;
use crate::rsa::SealingKey;
use age::secrecy::ExposeSecret as _;
use age_core::format::{FileKey, Stanza};

pub(super) const TAG: &str = "privyseal.dev/akv";
const ALGORITHM: &str = "RSA-OAEP-256";

/// A file key as it was wrapped for one Key Vault key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VaultStanza {
    /// Of the public half of that key.
    pub key: Fingerprint,
    /// What `unwrapKey` is given.
    pub wrapped: Vec<u8>,
}

impl VaultStanza {
    /// What a stanza says; nothing if it is not such a one.
    pub(super) fn of(stanza: &Stanza) -> Option<Self> {
        match (stanza.tag.as_str(), &stanza.args[..]) {
            (TAG, [algorithm, key]) if algorithm == ALGORITHM => {
                Some(Self { key: key.parse().ok()?, wrapped: stanza.body.clone() })
            }
            _ => None,
        }
    }
}

pub(super) fn wrap(key: &SealingKey, file_key: &FileKey) -> Result<Stanza, age::EncryptError> {
    let body = key.encrypt(file_key.expose_secret(), b"").map_err(|_| {
        age::EncryptError::Io(std::io::Error::other("the cryptographic library could not seal"))
    })?;
    Ok(Stanza { tag: TAG.to_owned(), args: vec![ALGORITHM.to_owned(), key.fingerprint().to_string()], body })
}
