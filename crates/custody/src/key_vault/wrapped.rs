//! Custody `key-vault-wrapped`: private halves as ciphertext under a fresh key that a key of a Key Vault wraps.

use serde::{Deserialize, Serialize};

/// A private half as ciphertext.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// 1.
    pub version: u64,
    /// The full id of the vault key's version: `https://VAULT/keys/NAME/VERSION`.
    pub key: String,
    /// The fresh key, wrapped with RSA-OAEP-256; standard base64.
    pub wrapped: String,
    /// AES-256-GCM ciphertext and tag under the fresh key; standard base64.
    pub ciphertext: String,
}
