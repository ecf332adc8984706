//! What stands in a key Secret for a private half that is elsewhere.

use super::{Failure, FailureKind, Kind};
use serde::{Deserialize, Serialize};

/// Where a private half is: what item `custody.json` of a key Secret says. It is public, and no byte of it is believed:
/// a vault is asked only if it is the one that this process was started with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "custody", rename_all = "kebab-case")]
pub enum Reference {
    /// A version of a secret in a Key Vault.
    KeyVaultSecret(VaultSecret),
    /// Ciphertext under a key of a Key Vault.
    KeyVaultWrapped(Envelope),
}

impl Reference {
    /// Which custody it is of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::KeyVaultSecret(_) => Kind::KeyVaultSecret,
            Self::KeyVaultWrapped(_) => Kind::KeyVaultWrapped,
        }
    }

    /// Reads the item.
    ///
    /// # Errors
    /// If it is damaged, or of a later release.
    pub fn from_json(text: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(text).map_err(|_| {
            Failure::new(FailureKind::Damaged, "custody.json is damaged, or written by a later release")
        })
    }

    /// The text of the item.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are JSON")
    }
}

/// Custody `key-vault-secret`: a version of a secret in a Key Vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultSecret {
    /// 1.
    pub version: u64,
    /// The full id of the secret's version: `https://VAULT/secrets/NAME/VERSION`.
    pub secret: String,
}

/// Custody `key-vault-wrapped`: a private half as ciphertext under a key of a Key Vault.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_references_are_written_as_the_format_says_and_read_back() {
        let version = "0123456789abcdef0123456789abcdef";
        for text in [
            format!(
                r#"{{"custody":"key-vault-secret","version":1,"secret":"https://v.vault.azure.net/secrets/a/{version}"}}"#
            ),
            format!(
                r#"{{"custody":"key-vault-wrapped","version":1,"key":"https://v.vault.azure.net/keys/a/{version}","wrapped":"AA==","ciphertext":"AA=="}}"#
            ),
        ] {
            assert_eq!(Reference::from_json(text.as_bytes()).unwrap().to_json(), text);
        }
    }

    #[test]
    fn what_is_no_reference_is_damaged_and_not_shown() {
        for text in [
            "",
            "canary",
            "{}",
            "[]",
            r#"{"custody":"canary","version":1}"#,
            r#"{"custody":"key-vault-secret","version":1}"#,
            r#"{"custody":"key-vault-secret","version":"1","secret":"canary"}"#,
            r#"{"custody":"key-vault-secret","version":1,"secret":"canary","more":1}"#,
            r#"{"custody":"key-vault-secret","version":1,"secret":"canary"} canary"#,
            r#"{"custody":"key-vault-wrapped","version":1,"secret":"canary"}"#,
            "\u{feff}{}",
        ] {
            let failure = Reference::from_json(text.as_bytes()).unwrap_err();
            assert_eq!(failure.kind(), FailureKind::Damaged, "{text}");
            assert!(!failure.to_string().contains("canary"), "{text}");
        }
    }
}
