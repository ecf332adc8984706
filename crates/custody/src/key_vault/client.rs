//! What is asked of a vault, and what may be answered.

use super::answer::{self, Asked};
use super::credential::options;
use super::{Collection, ConfigError, KeyVault, ObjectName, Operation, VaultUrl, VersionId, transport};
use crate::custody::{Failure, FailureKind};
use azure_core::credentials::TokenCredential;
use azure_core::http::{HttpClient, RequestContent};
use azure_core::time::OffsetDateTime;
use azure_security_keyvault_keys::models::{
    EncryptionAlgorithm, Key, KeyClientGetKeyOptions, KeyOperationParameters, KeyProperties, KeyType,
};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions};
use azure_security_keyvault_secrets::models::{
    SecretAttributes, SecretClientGetSecretOptions, SecretProperties, SetSecretParameters,
};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use privyseal_envelope::rsa::SealingKey;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Until a whole request is done: a challenge, a token and the call itself, each of which has its own limit, and the
/// wait for others who are getting the same token.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);
/// The operation that a vault key must allow.
const UNWRAP_KEY: &str = "unwrapKey";

pub(super) fn clients(
    vault: &VaultUrl,
    credential: Arc<dyn TokenCredential>,
    transport: Arc<dyn HttpClient>,
    emulator: bool,
) -> Result<(KeyClient, SecretClient), ConfigError> {
    let keys = KeyClientOptions {
        client_options: options(Arc::clone(&transport)),
        verify_challenge_resource: Some(!emulator),
        ..KeyClientOptions::default()
    };
    let secrets = SecretClientOptions {
        client_options: options(transport),
        verify_challenge_resource: Some(!emulator),
        ..SecretClientOptions::default()
    };
    let keys = KeyClient::new(vault.as_str(), Arc::clone(&credential), Some(keys));
    let secrets = SecretClient::new(vault.as_str(), credential, Some(secrets));
    Ok((keys.map_err(|_| ConfigError::Sdk)?, secrets.map_err(|_| ConfigError::Sdk)?))
}

/// A version of the vault key: its public half, and what the vault says of it.
#[derive(Clone, Debug)]
pub struct VaultKey {
    /// The full id.
    pub id: VersionId,
    /// The public half.
    pub public: SealingKey,
    /// Whether it is in a hardware module (`RSA-HSM`).
    pub hardware: bool,
    /// Whether it may be used.
    pub enabled: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// From when on it wraps.
    pub not_before: Option<Timestamp>,
    /// Until when it wraps. It unwraps afterwards too.
    pub expires: Option<Timestamp>,
    /// What happens when it is deleted, as the vault says it: `Recoverable+Purgeable`, …
    pub recovery_level: Option<String>,
    /// What it may be used for; nothing if the vault does not say.
    pub operations: Option<Vec<String>>,
}

impl VaultKey {
    /// Whether private halves may be wrapped with it now, and will unwrap.
    ///
    /// # Errors
    /// [`FailureKind::Disabled`] or [`FailureKind::Forbidden`].
    pub fn check_usable(&self, now: Timestamp) -> Result<(), Failure> {
        let disabled =
            |why: &str| Err(Failure::new(FailureKind::Disabled, format!("vault key {}: {why}", self.id)));
        if !self.enabled {
            return disabled("it is disabled; enable it, or make a new version");
        }
        if self.expires.is_some_and(|end| end <= now) {
            return disabled(
                "it has expired and no longer wraps; make a new version (az keyvault key rotate)",
            );
        }
        if self.not_before.is_some_and(|start| start > now) {
            return disabled("it is not valid yet (--not-before)");
        }
        if self.operations.as_ref().is_some_and(|allowed| !allowed.iter().any(|one| one == UNWRAP_KEY)) {
            return Err(Failure::new(
                FailureKind::Forbidden,
                format!(
                    "vault key {} does not allow unwrapKey: add it (az keyvault key set-attributes --ops)",
                    self.id
                ),
            ));
        }
        Ok(())
    }
}

/// A version of a key as a list has it: without its public half.
pub(super) struct KeyVersion {
    pub(super) id: VersionId,
    pub(super) enabled: bool,
    pub(super) created: Option<Timestamp>,
}

/// A version of a vault secret, without its value.
#[derive(Clone, Debug)]
pub struct SecretVersion {
    /// The full id.
    pub id: VersionId,
    /// Whether it may be got.
    pub enabled: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Until when it is meant to be used. Key Vault gives it afterwards too.
    pub expires: Option<Timestamp>,
    /// What kind of text it says it is.
    pub content_type: Option<String>,
    /// What was noted on it.
    pub tags: BTreeMap<String, String>,
    /// What happens when it is deleted, as the vault says it.
    pub recovery_level: Option<String>,
}

/// A version of a vault secret.
pub struct SecretValue {
    /// What the vault says of it.
    pub version: SecretVersion,
    /// The value. This copy is wiped; those of the SDK are not.
    pub value: Zeroizing<Vec<u8>>,
}

/// The vault key's current version, remembered for a while.
pub(super) struct CurrentKey {
    poll_interval: Duration,
    known: Mutex<Option<(Instant, VaultKey)>>,
}

impl CurrentKey {
    pub(super) fn new(poll_interval: Duration) -> Self {
        Self { poll_interval, known: Mutex::default() }
    }
}

impl KeyVault {
    /// The vault key's current version: asked for at most once in a poll interval, by however many callers.
    ///
    /// # Errors
    /// If the vault does not give it, or it is no RSA key of at least 2048 bits.
    pub async fn current_key(&self) -> Result<VaultKey, Failure> {
        // Held while the vault is asked, so that the others wait for that answer.
        let mut known = self.0.current_key.known.lock().await;
        match known.as_ref() {
            Some((since, key)) if since.elapsed() < self.0.current_key.poll_interval => Ok(key.clone()),
            _ => {
                *known = None;
                let key = self.get_key(None).await?;
                *known = Some((Instant::now(), key.clone()));
                Ok(key)
            }
        }
    }

    /// Has [`KeyVault::current_key`] ask again the next time.
    pub async fn forget_current_key(&self) {
        *self.0.current_key.known.lock().await = None;
    }

    /// A version of the vault key, or the current one.
    ///
    /// # Errors
    /// If the vault does not give it, or it is no RSA key of at least 2048 bits.
    pub async fn get_key(&self, version: Option<&VersionId>) -> Result<VaultKey, Failure> {
        self.get_key_of(self.key_name(), version).await
    }

    /// A version of a key of that name, or its current one.
    pub(super) async fn get_key_of(
        &self,
        name: &ObjectName,
        version: Option<&VersionId>,
    ) -> Result<VaultKey, Failure> {
        let asked = Asked::vault(Operation::GetKey, self.vault(), name.as_str());
        let options = KeyClientGetKeyOptions {
            key_version: version.map(|id| id.version().to_owned()),
            ..KeyClientGetKeyOptions::default()
        };
        let answer = async { self.0.keys.get_key(name.as_str(), Some(options)).await?.into_model() };
        let key = self.in_time(&asked, answer).await?;
        let key = vault_key(key, self.vault(), name, &asked)?;
        match version {
            Some(wanted) if *wanted != key.id => Err(answer::unreadable(&asked)),
            _ => Ok(key),
        }
    }

    /// Unwraps with RSA-OAEP-256 what was wrapped for a version of the vault key.
    ///
    /// # Errors
    /// If the vault does not do it. [`FailureKind::Damaged`] if it says that this was not wrapped for that key.
    pub async fn unwrap_key(&self, id: &VersionId, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        self.unwrap_with(Operation::UnwrapKey, self.key_name(), id, wrapped).await
    }

    /// Unwraps with a version of a key of that name.
    pub(super) async fn unwrap_with(
        &self,
        operation: Operation,
        name: &ObjectName,
        id: &VersionId,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let asked = Asked::vault(operation, self.vault(), name.as_str());
        let parameters = KeyOperationParameters {
            algorithm: Some(EncryptionAlgorithm::RsaOaep256),
            value: Some(wrapped.to_vec()),
            ..KeyOperationParameters::default()
        };
        let answer = async {
            let content: RequestContent<KeyOperationParameters> = parameters.try_into()?;
            self.0.keys.unwrap_key(name.as_str(), id.version(), content, None).await?.into_model()
        };
        let result = self.in_time(&asked, answer).await?;
        result.result.map(Zeroizing::new).ok_or_else(|| answer::unreadable(&asked))
    }

    /// All versions of a key of that name: their ids, and what else a list says of them.
    pub(super) async fn key_versions(&self, name: &ObjectName) -> Result<Vec<KeyVersion>, Failure> {
        let asked = Asked::vault(Operation::ListKeyVersions, self.vault(), name.as_str());
        let answer = async {
            let pages = self.0.keys.list_key_properties_versions(name.as_str(), None)?;
            pages.try_collect::<Vec<KeyProperties>>().await
        };
        let listed = self.in_time(&asked, answer).await?;
        let version = |one: KeyProperties| {
            let id = one.kid.ok_or_else(|| answer::unreadable(&asked))?;
            let attributes = one.attributes.unwrap_or_default();
            Ok(KeyVersion {
                id: VersionId::answered(&id, self.vault(), Collection::Keys, name)?,
                enabled: attributes.enabled.unwrap_or(true),
                created: timestamp(attributes.created),
            })
        };
        listed.into_iter().map(version).collect()
    }

    /// A version of a vault secret, with its value.
    ///
    /// # Errors
    /// If the vault does not give it.
    pub async fn get_secret(&self, name: &ObjectName, id: &VersionId) -> Result<SecretValue, Failure> {
        let asked = Asked::vault(Operation::GetSecret, self.vault(), name.as_str());
        let options = SecretClientGetSecretOptions {
            secret_version: Some(id.version().to_owned()),
            ..SecretClientGetSecretOptions::default()
        };
        let answer = async { self.0.secrets.get_secret(name.as_str(), Some(options)).await?.into_model() };
        let secret = self.in_time(&asked, answer).await?;
        // The String's own bytes, not a copy: they are wiped in the end.
        let value = secret.value.map(|value| Zeroizing::new(value.into_bytes()));
        let value = value.ok_or_else(|| answer::unreadable(&asked))?;
        let found = secret.id.ok_or_else(|| answer::unreadable(&asked))?;
        let version =
            self.secret_version(name, &found, secret.attributes, secret.content_type, secret.tags)?;
        if version.id == *id { Ok(SecretValue { version, value }) } else { Err(answer::unreadable(&asked)) }
    }

    /// Makes a new version of a vault secret. The SDK makes copies of the value that are not wiped.
    ///
    /// # Errors
    /// If the vault does not take it.
    pub async fn set_secret(
        &self,
        name: &ObjectName,
        value: &str,
        content_type: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<VersionId, Failure> {
        let asked = Asked::vault(Operation::SetSecret, self.vault(), name.as_str());
        let parameters = SetSecretParameters {
            content_type: Some(content_type.to_owned()),
            tags: Some(tags.into_iter().collect()),
            value: Some(value.to_owned()),
            ..SetSecretParameters::default()
        };
        let answer = async {
            let content: RequestContent<SetSecretParameters> = parameters.try_into()?;
            self.0.secrets.set_secret(name.as_str(), content, None).await?.into_model()
        };
        let secret = self.in_time(&asked, answer).await?;
        drop(secret.value.map(Zeroizing::new));
        let id = secret.id.ok_or_else(|| answer::unreadable(&asked))?;
        VersionId::answered(&id, self.vault(), Collection::Secrets, name)
    }

    /// All versions of a vault secret, newest first. None if there is no such secret.
    ///
    /// # Errors
    /// If the vault does not give them.
    pub async fn secret_versions(&self, name: &ObjectName) -> Result<Vec<SecretVersion>, Failure> {
        let asked = Asked::vault(Operation::ListSecretVersions, self.vault(), name.as_str());
        let answer = async {
            let pages = self.0.secrets.list_secret_properties_versions(name.as_str(), None)?;
            pages.try_collect::<Vec<SecretProperties>>().await
        };
        let listed = self.in_time(&asked, answer).await?;
        let mut versions = Vec::with_capacity(listed.len());
        for one in listed {
            let id = one.id.ok_or_else(|| answer::unreadable(&asked))?;
            versions.push(self.secret_version(name, &id, one.attributes, one.content_type, one.tags)?);
        }
        versions.sort_by_key(|version| Reverse(version.created));
        Ok(versions)
    }

    /// An answer, or why there is none.
    pub(super) async fn in_time<T>(
        &self,
        asked: &Asked,
        answer: impl Future<Output = azure_core::Result<T>>,
    ) -> Result<T, Failure> {
        let in_turn = async {
            let _turn = self.0.turns.take().await;
            answer.await
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, in_turn).await {
            Ok(answer) => answer.map_err(|error| answer::failure(asked, &error)),
            Err(_) => Err(asked.late()),
        }
    }

    fn secret_version(
        &self,
        name: &ObjectName,
        id: &str,
        attributes: Option<SecretAttributes>,
        content_type: Option<String>,
        tags: Option<HashMap<String, String>>,
    ) -> Result<SecretVersion, Failure> {
        let attributes = attributes.unwrap_or_default();
        Ok(SecretVersion {
            id: VersionId::answered(id, self.vault(), Collection::Secrets, name)?,
            enabled: attributes.enabled.unwrap_or(true),
            created: timestamp(attributes.created),
            expires: timestamp(attributes.expires),
            content_type,
            tags: tags.unwrap_or_default().into_iter().collect(),
            recovery_level: attributes.recovery_level.map(|level| level.to_string()),
        })
    }
}

fn vault_key(key: Key, vault: &VaultUrl, name: &ObjectName, asked: &Asked) -> Result<VaultKey, Failure> {
    let attributes = key.attributes.unwrap_or_default();
    let key = key.key.ok_or_else(|| answer::unreadable(asked))?;
    let id = key.kid.ok_or_else(|| answer::unreadable(asked))?;
    let id = VersionId::answered(&id, vault, Collection::Keys, name)?;
    let unfit = || {
        Failure::new(
            FailureKind::Damaged,
            format!(
                "vault key {id} is no RSA key of 2048 to 8192 bits: name one with --key-vault-key or --hsm-key"
            ),
        )
    };
    let hardware = match key.kty {
        Some(KeyType::Rsa) => false,
        Some(KeyType::RsaHsm) => true,
        _ => return Err(unfit()),
    };
    let (Some(n), Some(e)) = (key.n, key.e) else { return Err(unfit()) };
    let public = SealingKey::from_components(&n, &e).map_err(|_| unfit())?;
    Ok(VaultKey {
        id,
        public,
        hardware,
        enabled: attributes.enabled.unwrap_or(true),
        created: timestamp(attributes.created),
        not_before: timestamp(attributes.not_before),
        expires: timestamp(attributes.expires),
        recovery_level: attributes.recovery_level.map(|level| level.to_string()),
        operations: key.key_ops,
    })
}

fn timestamp(time: Option<OffsetDateTime>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::from_second(time.unix_timestamp()).ok())
}

/// The time of day.
pub(super) fn now() -> Timestamp {
    transport::now()
}
