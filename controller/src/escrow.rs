//! Escrow: a new key is used only once its backup is stored and read back.
//!
//! ```text
//!   (a) Secret, labelled pending ──▶ (b) ConfigMap with its archive, read back ──▶ (c) Secret, labelled active
//! ```
//!
//! Each step may be the last one before a leader is lost. What is there says where it ended: a pending key that our
//! leader marked is taken up again, and an archive that fits is not made anew. A key that gets age identities later is backed
//! up with them before its Secret has them.

use crate::api;
use crate::plan::FIELD_MANAGER;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Client};
use privyseal_custody::backup::BackupRecipients;
use privyseal_custody::escrow::{holds, name, text, to_config_map};
use privyseal_custody::key_secrets::StoredKey;
use privyseal_envelope::Fingerprint;
use privyseal_keys::{PublisherKey, PublisherPublicKey};
use std::time::Duration;

/// Stores backups of new keys.
pub(crate) struct Escrow {
    recipients: Option<BackupRecipients>,
    config_maps: Api<ConfigMap>,
    namespace: String,
}

impl Escrow {
    /// For one namespace. Without recipients keys are used as soon as they are made.
    pub(crate) fn new(client: Client, namespace: &str, recipients: Option<BackupRecipients>) -> Self {
        Self { recipients, config_maps: Api::namespaced(client, namespace), namespace: namespace.to_owned() }
    }

    /// Whether keys have to be backed up before they are used.
    pub(crate) fn is_asked(&self) -> bool {
        self.recipients.is_some()
    }

    /// Stores the backup of a key and reads it back, unless one that fits is there.
    pub(crate) async fn store(
        &self,
        publisher: &PublisherKey,
        key: &StoredKey,
        now: Timestamp,
    ) -> Result<(), String> {
        let Some(recipients) = &self.recipients else { return Ok(()) };
        let (fingerprint, public) = (key.fingerprint(), publisher.public_key());
        let name = name(fingerprint);
        let fits = |config_map: &ConfigMap| {
            let of_it = |text| holds(text, key.fingerprints(), &public, recipients.all());
            text(config_map).is_some_and(of_it)
        };
        let there = self.read(&name).await?;
        if there.as_ref().is_some_and(fits) {
            return Ok(());
        }
        let backup = key.to_backup(publisher, &self.namespace, now).map_err(|error| error.to_string())?;
        let archive = backup.seal("", &self.namespace, recipients, now).map_err(|error| error.to_string())?;
        let mut config_map = to_config_map(fingerprint, &self.namespace, archive.clone());
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let written = if let Some(there) = there {
            config_map.metadata.resource_version = there.metadata.resource_version;
            api::bounded(self.config_maps.replace(&name, &params, &config_map)).await
        } else {
            api::bounded(self.config_maps.create(&params, &config_map)).await
        };
        written.map_err(|error| format!("the ConfigMap {name}: {}", api::brief(&error)))?;
        let read = self.read(&name).await?;
        match read.is_some_and(|read| text(&read) == Some(archive.as_str()) && fits(&read)) {
            true => Ok(()),
            false => Err(format!("the ConfigMap {name}: what is read back is not what was written")),
        }
    }

    /// Whether something else stands in the place of the backup of a key that goes by these fingerprints: a backup of it
    /// as it was, for others, or no backup at all. None is no other: keys are older than escrow, and backed up otherwise.
    pub(crate) async fn is_outdated(
        &self,
        publisher: &PublisherPublicKey,
        key: &[Fingerprint],
    ) -> Result<bool, String> {
        let (Some(recipients), Some(fingerprint)) = (&self.recipients, key.first()) else { return Ok(false) };
        let there = self.read(&name(*fingerprint)).await?;
        let fits =
            |map: &ConfigMap| text(map).is_some_and(|text| holds(text, key, publisher, recipients.all()));
        Ok(there.is_some_and(|there| !fits(&there)))
    }

    async fn read(&self, name: &str) -> Result<Option<ConfigMap>, String> {
        let read = api::bounded(self.config_maps.get_opt(name)).await;
        read.map_err(|error| format!("the ConfigMap {name}: {}", api::brief(&error)))
    }
}

/// Of the keys that are pending: the newest that our leader made, which goes on, and those that are not ours. One that is
/// no newer than the newest in use would not seal, and stays where it is.
pub(crate) fn choose(
    pending: Vec<StoredKey>,
    publisher: &PublisherPublicKey,
    in_use: Option<Timestamp>,
) -> (Option<StoredKey>, Vec<StoredKey>) {
    let (ours, strangers): (Vec<_>, Vec<_>) = pending.into_iter().partition(|key| key.is_made_by(publisher));
    let newer = ours.into_iter().filter(|key| key.not_before() > in_use);
    let newest = newer.max_by_key(|key| (key.not_before(), key.name().to_owned()));
    (newest, strangers)
}

/// How long to wait after so many failures in a row.
pub(crate) fn back_off(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_WAIT)
}

const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use privyseal_custody::{MADE_BY, MakerMark, key_secret};
    use privyseal_envelope::rsa::KeySize;
    use privyseal_keys::KeyPair;
    use std::collections::BTreeMap;

    fn pending(name: &str, age: i64, maker: Option<&PublisherKey>) -> StoredKey {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let hour = SignedDuration::from_hours(1);
        let pair = KeyPair::generate(KeySize::Rsa2048, "", now - hour * i32::try_from(age).unwrap(), hour)
            .ok()
            .unwrap();
        let mut secret = key_secret::to_secret(&pair, "", None).unwrap();
        secret.metadata.name = Some(name.to_owned());
        let mark = maker.map(|maker| MakerMark::make(maker, &pair.public_half()).as_str().to_owned());
        secret.metadata.annotations = mark.map(|mark| BTreeMap::from([(MADE_BY.to_owned(), mark)]));
        StoredKey::of(secret).ok().unwrap()
    }

    #[test]
    fn the_newest_of_ours_goes_on_and_a_strangers_never() {
        let [ours, theirs] = [0, 1].map(|_| PublisherKey::generate().ok().unwrap());
        let keys = vec![
            pending("planted", 0, None),
            pending("older", 5, Some(&ours)),
            pending("newer", 3, Some(&ours)),
            pending("foreign", 1, Some(&theirs)),
        ];
        let (chosen, strangers) = choose(keys, &ours.public_key(), None);
        assert_eq!(chosen.unwrap().name(), "newer");
        assert_eq!(strangers.iter().map(StoredKey::name).collect::<Vec<_>>(), ["planted", "foreign"]);
        let (chosen, strangers) = choose(vec![pending("planted", 0, None)], &ours.public_key(), None);
        assert!(chosen.is_none() && strangers.len() == 1);

        let key = pending("older", 5, Some(&ours));
        let since = key.not_before();
        assert!(choose(vec![key], &ours.public_key(), since).0.is_none(), "it would not seal");
    }

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<_> = [1, 2, 3, 7, 8, 40, u32::MAX].map(|failures| back_off(failures).as_secs()).into();
        assert_eq!(waits, [5, 10, 20, 300, 300, 300, 300]);
    }
}
