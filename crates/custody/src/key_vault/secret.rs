//! Custody `key-vault-secret`: private halves in secrets of a Key Vault, a version each.

use serde::{Deserialize, Serialize};

/// Where a private half is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// 1.
    pub version: u64,
    /// The full id of the secret's version: `https://VAULT/secrets/NAME/VERSION`.
    pub secret: String,
}
