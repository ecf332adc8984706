//! The versions of the HSM key, and what is known of them.

use super::Target;
use super::budget::half_of_limit;
use crate::custody::{Failure, FailureKind};
use crate::key_vault::client::KeyVersion;
use crate::key_vault::{KeyVault, ObjectName, VaultKey, VaultUrl, VersionId, answer};
use privyseal_envelope::{Fingerprint, KeyId};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// A version, as the vault says it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) id: VersionId,
    pub(super) public: Public,
    /// Why it does not open now.
    pub(super) obstacle: Option<Failure>,
}

/// The public half of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Public {
    Known {
        fingerprint: Fingerprint,
        /// Of the modulus.
        bits: usize,
        hardware: bool,
    },
    /// The vault does not show it: it is disabled.
    Hidden,
    /// It is no RSA key: nothing was ever sealed to it.
    Other,
}

impl Public {
    pub(super) fn of(key: &VaultKey) -> Self {
        let public = &key.public;
        Self::Known { fingerprint: public.fingerprint(), bits: public.bits(), hardware: key.hardware }
    }
}

impl Version {
    fn is(&self, key: &Fingerprint) -> bool {
        matches!(&self.public, Public::Known { fingerprint, .. } if fingerprint == key)
    }
}

/// Asks a vault, and remembers what does not change.
pub(super) struct Vault {
    pub(super) vault: KeyVault,
    pub(super) target: Target,
    learned: Mutex<HashMap<String, Learned>>,
}

/// What a version said when it was asked.
#[derive(Clone)]
struct Learned {
    public: Public,
    /// Whether it may unwrap; that can be changed.
    unwraps: bool,
}

impl Vault {
    pub(super) fn new(vault: KeyVault, target: Target) -> Self {
        Self { vault, target, learned: Mutex::default() }
    }

    /// One list, and one call more for each version whose public half is not known. If it fails half-way, the next time goes
    /// on from there.
    pub(super) async fn list(&self) -> Result<Vec<Version>, Failure> {
        let mut listed = self.vault.key_versions(&self.target.key).await?;
        listed.retain(|version| self.target.allows(&version.id));
        listed.sort_by_key(|version| Reverse(version.created));
        let mut versions = Vec::with_capacity(listed.len());
        for version in listed {
            versions.extend(self.version(version).await?);
        }
        Ok(versions)
    }

    /// Nothing if it is gone meanwhile.
    async fn version(&self, KeyVersion { id, enabled, .. }: KeyVersion) -> Result<Option<Version>, Failure> {
        let learned = match self.learned(&id) {
            // What the vault hides is shown once it is enabled, and operations can be added.
            Some(Learned { public: Public::Hidden, .. }) if enabled => None,
            Some(Learned { public: Public::Known { .. }, unwraps: false }) => None,
            learned => learned,
        };
        let learned = match learned {
            Some(learned) => learned,
            None => match self.learn(&id, enabled).await? {
                Some(learned) => learned,
                None => return Ok(None),
            },
        };
        let (key, vault) = (&self.target.key, self.vault.vault());
        let obstacle = match (enabled, learned.unwraps) {
            (false, _) => Some(Failure::new(
                FailureKind::Disabled,
                format!("version {} of HSM key {key} is disabled; {}", id.version(), enable(vault, key)),
            )),
            (true, false) => Some(Failure::new(
                FailureKind::Forbidden,
                format!(
                    "version {} of HSM key {key} does not allow unwrapKey; add it: {}",
                    id.version(),
                    answer::command("key", "set-attributes --ops unwrapKey wrapKey", vault, key.as_str())
                ),
            )),
            (true, true) => None,
        };
        Ok(Some(Version { id, public: learned.public, obstacle }))
    }

    async fn learn(&self, id: &VersionId, enabled: bool) -> Result<Option<Learned>, Failure> {
        let learned = match self.vault.get_key_of(&self.target.key, Some(id)).await {
            Ok(key) => Learned {
                public: Public::of(&key),
                unwraps: key.operations.as_ref().is_none_or(|all| all.iter().any(|one| one == "unwrapKey")),
            },
            Err(failure) => match failure.kind() {
                FailureKind::NotFound => return Ok(None),
                FailureKind::Damaged => Learned { public: Public::Other, unwraps: true },
                FailureKind::Disabled if !enabled => Learned { public: Public::Hidden, unwraps: true },
                _ => return Err(failure),
            },
        };
        self.lock().insert(id.version().to_owned(), learned.clone());
        Ok(Some(learned))
    }

    /// The version turned out to be other than it said.
    pub(super) fn forget(&self, id: &VersionId) {
        self.lock().remove(id.version());
    }

    fn learned(&self, id: &VersionId) -> Option<Learned> {
        self.lock().get(id.version()).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Learned>> {
        // Nothing panics while it is locked.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn enable(vault: &VaultUrl, key: &ObjectName) -> String {
    let command = "set-attributes --enabled true --version VERSION";
    format!("enable it: {}", answer::command("key", command, vault, key.as_str()))
}

/// What is known of the versions. What the vault said last stands until it says something else.
pub(super) struct Versions {
    key: ObjectName,
    vault: VaultUrl,
    /// Nothing before the first answer.
    list: Option<Vec<Version>>,
    /// The key is not there.
    absent: Option<Failure>,
}

impl Versions {
    pub(super) fn new(target: &Target, vault: &VaultUrl) -> Self {
        Self { key: target.key.clone(), vault: vault.clone(), list: None, absent: None }
    }

    /// Whether the vault has said anything of them.
    pub(super) fn are_known(&self) -> bool {
        self.list.is_some()
    }

    /// The vault says so now. Says whether that is news.
    pub(super) fn set(&mut self, list: Vec<Version>) -> bool {
        let is_news = self.list.as_ref() != Some(&list) || self.absent.is_some();
        (self.list, self.absent) = (Some(list), None);
        is_news
    }

    /// The vault says that there is no such key. Says whether that is news.
    pub(super) fn set_absent(&mut self, failure: Failure) -> bool {
        let is_news = self.list.is_none() || self.absent.as_ref() != Some(&failure);
        self.list.get_or_insert_default();
        self.absent = Some(failure);
        is_news
    }

    /// A version turned out not to open, until the next list.
    pub(super) fn set_obstacle(&mut self, key: &Fingerprint, failure: &Failure) {
        for version in self.list.iter_mut().flatten().filter(|version| version.is(key)) {
            version.obstacle = Some(failure.clone());
        }
    }

    /// The version that unwraps for a key, and the length of what it takes in bytes.
    ///
    /// # Errors
    /// Why there is none: a sentence with the fingerprint and the cure.
    pub(super) fn opening(&self, key: &Fingerprint) -> Result<(&VersionId, usize), Failure> {
        let with_key = |failure: &Failure| {
            let message = format!("the key with the fingerprint {key} is not to be had: {failure}");
            Failure::new(failure.kind(), message)
        };
        if let Some(failure) = &self.absent {
            return Err(with_key(failure));
        }
        // A key that was imported twice is in two versions.
        let of_key = || self.list.iter().flatten().filter(|version| version.is(key));
        match of_key().find(|version| version.obstacle.is_none()).or_else(|| of_key().next()) {
            Some(Version { obstacle: Some(failure), .. }) => Err(with_key(failure)),
            Some(Version { id, public: Public::Known { bits, .. }, .. }) => Ok((id, bits.div_ceil(8))),
            _ => Err(Failure::new(
                FailureKind::NotFound,
                format!(
                    "no version of HSM key {} of vault {} that may be used has the fingerprint {key}: seal the value to one \
                     that has; if a version is disabled, {}",
                    self.key,
                    self.vault.host(),
                    enable(&self.vault, &self.key),
                ),
            )),
        }
    }

    /// Whether a key id in a marker may be of one of them: what is not known to be gone counts as there. A version that is
    /// disabled is there too: what it opened stays as it is.
    pub(super) fn hold(&self, key: KeyId) -> bool {
        let Some(list) = &self.list else { return true };
        self.absent.is_some()
            || list.iter().any(|version| match &version.public {
                Public::Known { fingerprint, .. } => fingerprint.key_id() == key,
                Public::Hidden => true,
                Public::Other => false,
            })
    }

    /// A text that is another one whenever something may open that did not before.
    pub(super) fn name(&self) -> String {
        let version = |version: &Version| {
            let obstacle = version.obstacle.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{}\n{:?}\n{obstacle}\n", version.id, version.public)
        };
        let list: String = self.list.iter().flatten().map(version).collect();
        format!("{list}{}", self.absent.as_ref().map(ToString::to_string).unwrap_or_default())
    }

    /// The fingerprints of those that open.
    pub(super) fn opening_keys(&self) -> BTreeSet<Fingerprint> {
        let fingerprint = |version: &Version| match version.public {
            Public::Known { fingerprint, .. } => Some(fingerprint),
            Public::Hidden | Public::Other => None,
        };
        self.able().filter_map(fingerprint).collect()
    }

    /// How many calls they may get in 10 seconds: as many as the most expensive of them, since all draw from one purse.
    pub(super) fn half_of_limit(&self) -> Option<u32> {
        let managed_hsm = self.vault.is_managed_hsm();
        let limit = |version: &Version| match version.public {
            Public::Known { bits, hardware, .. } => Some(half_of_limit(bits, hardware, managed_hsm)),
            Public::Hidden | Public::Other => None,
        };
        self.able().filter_map(limit).min()
    }

    fn able(&self) -> impl Iterator<Item = &Version> {
        let list = self.list.iter().flatten();
        list.filter(|one| self.absent.is_none() && one.obstacle.is_none())
    }
}
