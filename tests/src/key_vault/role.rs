//! Who may do what: the roles of Azure RBAC for a vault's data.

use super::operation::Operation;

/// A built-in role, by its data actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Key Vault Crypto Service Encryption User: read keys, wrap and unwrap.
    KeyVaultCryptoServiceEncryptionUser,
    /// Key Vault Crypto User: use keys and change their attributes.
    KeyVaultCryptoUser,
    /// Key Vault Crypto Officer: everything about keys.
    KeyVaultCryptoOfficer,
    /// Key Vault Secrets User: read secrets and what is known of them.
    KeyVaultSecretsUser,
    /// Key Vault Secrets Officer: everything about secrets.
    KeyVaultSecretsOfficer,
}

impl Role {
    fn allows(self, action: &str) -> bool {
        let Some(action) = action.strip_prefix(VAULT) else { return false };
        match self {
            Self::KeyVaultCryptoServiceEncryptionUser => {
                ["keys/read", "keys/wrap/action", "keys/unwrap/action"].contains(&action)
            }
            Self::KeyVaultCryptoUser => [
                "keys/read",
                "keys/update/action",
                "keys/encrypt/action",
                "keys/decrypt/action",
                "keys/wrap/action",
                "keys/unwrap/action",
            ]
            .contains(&action),
            Self::KeyVaultCryptoOfficer => action.starts_with("keys/"),
            Self::KeyVaultSecretsUser => {
                ["secrets/getSecret/action", "secrets/readMetadata/action"].contains(&action)
            }
            Self::KeyVaultSecretsOfficer => action.starts_with("secrets/"),
        }
    }
}

/// A role that a client has, for the vault or for one object in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) client_id: String,
    pub(super) role: Role,
    /// `keys/NAME` or `secrets/NAME`; `None` is the whole vault.
    pub(super) scope: Option<String>,
}

impl Assignment {
    /// Whether it lets a client do something to `object`, which is named as a scope is.
    pub(super) fn allows(&self, client_id: &str, action: &str, object: Option<&str>) -> bool {
        self.client_id == client_id
            && self.role.allows(action)
            && self.scope.as_deref().is_none_or(|scope| object == Some(scope))
    }
}

const VAULT: &str = "Microsoft.KeyVault/vaults/";

/// The data action that an operation takes, as role definitions name it.
pub(super) fn action(operation: Operation) -> &'static str {
    match operation {
        Operation::GetKey | Operation::ListKeys | Operation::ListKeyVersions | Operation::GetDeletedKey => {
            "Microsoft.KeyVault/vaults/keys/read"
        }
        Operation::CreateKey => "Microsoft.KeyVault/vaults/keys/create/action",
        Operation::RotateKey => "Microsoft.KeyVault/vaults/keys/rotate/action",
        Operation::UpdateKey => "Microsoft.KeyVault/vaults/keys/update/action",
        Operation::WrapKey => "Microsoft.KeyVault/vaults/keys/wrap/action",
        Operation::UnwrapKey => "Microsoft.KeyVault/vaults/keys/unwrap/action",
        Operation::Encrypt => "Microsoft.KeyVault/vaults/keys/encrypt/action",
        Operation::Decrypt => "Microsoft.KeyVault/vaults/keys/decrypt/action",
        Operation::DeleteKey => "Microsoft.KeyVault/vaults/keys/delete",
        Operation::RecoverKey => "Microsoft.KeyVault/vaults/keys/recover/action",
        Operation::PurgeKey => "Microsoft.KeyVault/vaults/keys/purge/action",
        Operation::GetSecret => "Microsoft.KeyVault/vaults/secrets/getSecret/action",
        Operation::ListSecrets | Operation::ListSecretVersions | Operation::GetDeletedSecret => {
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action"
        }
        Operation::SetSecret => "Microsoft.KeyVault/vaults/secrets/setSecret/action",
        Operation::UpdateSecret => "Microsoft.KeyVault/vaults/secrets/update/action",
        Operation::DeleteSecret => "Microsoft.KeyVault/vaults/secrets/delete",
        Operation::RecoverSecret => "Microsoft.KeyVault/vaults/secrets/recover/action",
        Operation::PurgeSecret => "Microsoft.KeyVault/vaults/secrets/purge/action",
    }
}
