//! Custody `key-vault-hsm`: an RSA key that never leaves its vault, and opens values of the age format one by one.
//!
//! It stands beside the ordinary keys and is in no key Secret. A value that is sealed to it has a stanza whose body is the
//! wrapped file key, and names the fingerprint of the public half it was wrapped for. Vault, key and versions come from the
//! configuration: a value can only say which of these it is for.
//!
//! ```text
//!   object ──ask──▶ Unwrapper ──▶ all there ─────────▶ file keys, for the one path that opens
//!                      │   └────▶ not all ──▶ lines, namespaces in turn ──budget──▶ unwrapKey ──▶ again, with all of them
//!                      └──poll──▶ versions of the key, and their public halves
//! ```
//!
//! - **A value costs one call**, and none while its file key is in the cache (`hsm/cache.rs`): file keys and nothing else, bounded,
//!   and for a time. What is asked for twice at once is called once. What the vault says was never wrapped for the key is
//!   not tried again.
//! - **Nobody waits in place.** Who asks is told at once what is there, and called back when there is more to be had. File
//!   keys are held for an object until it is done, so that it opens as a whole, also without a cache.
//! - **Fair.** Within the budget, which is at most half of what the vault allows, namespaces take turns.
//! - **What is not known to be gone counts as there.** A vault that does not answer takes no version away.

mod budget;
mod cache;
mod lines;
mod state;
#[cfg(test)]
mod tests;
mod unwrapper;
mod versions;

pub use unwrapper::Unwrapper;

use super::address::is_version;
use super::{ConfigError, KeyVault, ObjectName, Operation, VersionId};
use crate::custody::Failure;
use async_trait::async_trait;
use privyseal_envelope::age::{FileKey, VaultStanza};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use versions::{Vault, Versions};
use zeroize::Zeroizing;

/// How many file keys are kept, unless configured otherwise: some 2 MiB.
pub const DEFAULT_CACHE: usize = 10_000;
/// For how long a file key is kept, unless configured otherwise.
pub const DEFAULT_CACHE_TTL: Duration = Duration::from_secs(3600);

/// Key Vault's code for a key that is not made for an operation.
const FORBIDDEN_OPERATION: &str = "KeyOperationForbidden";

/// Which key, and how it is used.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name.
    pub key: String,
    /// The versions that may be used; all if none is named.
    pub versions: Vec<String>,
    /// How much is kept and called.
    pub settings: Settings,
}

/// How much is kept and called.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many file keys are kept; 0 for none.
    pub cache: usize,
    /// For how long each is kept.
    pub cache_ttl: Duration,
    /// Calls in any 10 seconds. None, and never more, is half of what the vault allows with the key.
    pub budget: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cache: DEFAULT_CACHE, cache_ttl: DEFAULT_CACHE_TTL, budget: None }
    }
}

/// The key and its versions, parsed.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) key: ObjectName,
    allowed: BTreeSet<String>,
    settings: Settings,
}

impl Target {
    pub(super) fn parse(config: Config) -> Result<Self, ConfigError> {
        let allowed: BTreeSet<_> =
            config.versions.iter().map(|version| version.to_ascii_lowercase()).collect();
        match allowed.iter().all(|version| is_version(version)) {
            true => Ok(Self { key: ObjectName::parse(&config.key)?, allowed, settings: config.settings }),
            false => Err(ConfigError::Version),
        }
    }

    fn allows(&self, id: &VersionId) -> bool {
        self.allowed.is_empty() || self.allowed.contains(id.version())
    }
}

/// An object whose values are opened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Its namespace: namespaces take turns.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What is there for an object that asks for file keys.
pub enum Answer {
    /// One for each value.
    Ready(Vec<(VaultStanza, FileKey)>),
    /// The object is called back.
    Waiting {
        /// So many of its values wait.
        values: usize,
        /// What is wrong with the vault, if they wait for more than their turn.
        trouble: Option<Failure>,
    },
    /// These values the vault does not open, whatever is waited for; by their place in what was asked.
    Refused(Vec<(usize, Failure)>),
    /// It asks for more than one object may cost.
    TooMany,
}

/// The objects, as whoever opens them knows them. Nothing here may block, or call back into the [`Unwrapper`].
pub trait Objects: Send + Sync {
    /// Whether there still is such an object.
    fn is_there(&self, owner: &Owner) -> bool;

    /// It is worth asking again for that one: what it waited for is there, or there is another reason to wait.
    fn again(&self, owner: &Owner);

    /// The versions of the key are others than before: what failed may open now.
    fn all_again(&self);

    /// Something to be counted.
    fn saw(&self, seen: Seen);

    /// Something to be warned of, once and free of secrets.
    fn warn(&self, message: &str);
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seen {
    /// A file key was in the cache.
    InCache,
    /// A file key was not, and is called for.
    NotInCache,
    /// So many values wait for a call, or for its answer.
    Waiting(usize),
    /// An object has its file keys, after so long.
    Waited(Duration),
    /// So many calls may be made in any 10 seconds.
    Budget(u32),
    /// So many versions open.
    Versions(usize),
}

impl KeyVault {
    /// The name of the HSM key, if one is configured.
    pub fn hsm_key(&self) -> Option<&ObjectName> {
        self.0.hsm.as_ref().map(|hsm| &hsm.key)
    }

    /// What unwraps with the HSM key; nothing if none is configured. It knows nothing and calls nobody before it
    /// [runs](Unwrapper::run).
    pub fn unwrapper(&self, objects: Arc<dyn Objects>) -> Option<Unwrapper> {
        let target = self.0.hsm.clone()?;
        let settings = target.settings;
        let versions = Versions::new(&target, self.vault());
        let calls = Vault::new(self.clone(), target);
        Some(Unwrapper::new(Box::new(calls), objects, settings, versions))
    }
}

/// What is asked of a vault about its HSM key.
#[async_trait]
trait Calls: Send + Sync {
    /// The versions as they are now. What was learned before is not asked again.
    async fn versions(&self) -> Result<Vec<versions::Version>, Failure>;

    /// One unwrap.
    async fn unwrap(&self, id: &VersionId, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure>;
}

#[async_trait]
impl Calls for Vault {
    async fn versions(&self) -> Result<Vec<versions::Version>, Failure> {
        self.list().await
    }

    async fn unwrap(&self, id: &VersionId, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let unwrapped = self.vault.unwrap_with(Operation::UnwrapFileKey, &self.target.key, id, wrapped).await;
        if unwrapped.as_ref().is_err_and(|failure| failure.code() == Some(FORBIDDEN_OPERATION)) {
            self.forget(id);
        }
        unwrapped
    }
}
