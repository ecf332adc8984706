//! The published list of sealing keys: a ConfigMap, written by the leader, and set right when somebody changes it.

use crate::api;
use crate::keystore::watch_error;
use crate::plan::FIELD_MANAGER;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use privyseal_custody::published::{CONFIG_MAP, from_config_map, to_config_map};
use privyseal_envelope::Fingerprint;
use privyseal_keys::{Certificate, Keyring, PublishedKey, PublishedKeys, PublisherKey};
use std::collections::BTreeSet;

/// What shall be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publication {
    certificates: Vec<Certificate>,
}

impl Publication {
    /// The certificates that may seal at `now`: the one that seals first, then the others, newest first.
    pub(crate) fn of(keyring: &Keyring, now: Timestamp) -> Self {
        let usable = |certificate: &&Certificate| {
            certificate.not_before() <= now && certificate.usable_at(now).is_ok()
        };
        let certificates = keyring.entries().iter().filter_map(|entry| entry.certificate()).filter(usable);
        Self { certificates: certificates.cloned().collect() }
    }

    fn fingerprints(&self) -> Vec<Fingerprint> {
        self.certificates.iter().map(Certificate::fingerprint).collect()
    }
}

/// Writes the ConfigMap.
pub(crate) struct Publisher {
    api: Api<ConfigMap>,
    namespace: String,
}

impl Publisher {
    /// For one namespace.
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.to_owned() }
    }

    /// Each change of the ConfigMap, whoever made it.
    pub(crate) fn changes(&self) -> impl Stream<Item = ()> + Send + use<> {
        let config = watcher::Config::default().fields(&format!("metadata.name={CONFIG_MAP}"));
        watcher(self.api.clone(), config).default_backoff().filter_map(async |event| match event {
            Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_) | watcher::Event::InitDone) => Some(()),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(error = %watch_error(&error), "the watch of the published keys was interrupted");
                None
            }
        })
    }

    /// Makes the ConfigMap right if it is not. Gives the certificates that were not in the list before, if there was
    /// a list that we signed.
    pub(crate) async fn publish(
        &self,
        key: &PublisherKey,
        publication: &Publication,
    ) -> Result<Vec<Certificate>, String> {
        let existing =
            api::bounded(self.api.get_opt(CONFIG_MAP)).await.map_err(|error| api::brief(&error))?;
        let ours = existing.as_ref().and_then(|config_map| from_config_map(config_map).ok());
        let ours = ours.filter(|(_, publisher)| *publisher == key.public_key()).map(|(list, _)| list);
        if let (Some(existing), Some(list)) = (&existing, &ours)
            && is_right(list, publication)
            && existing.data == render(&self.namespace, list, key, publication).data
        {
            return Ok(Vec::new());
        }

        let now = Timestamp::now();
        let list = PublishedKeys {
            serial: next_serial(ours.as_ref(), now),
            time: Timestamp::from_second(now.as_second()).unwrap_or(now),
            keys: publication.certificates.iter().map(|c| PublishedKey { certificate: c.clone() }).collect(),
            revoked: ours.as_ref().map(|list| list.revoked.clone()).unwrap_or_default(),
        };
        let mut config_map = render(&self.namespace, &list, key, publication);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let written = match existing {
            Some(existing) => {
                config_map.metadata = existing.metadata;
                config_map.metadata.managed_fields = None;
                api::bounded(self.api.replace(CONFIG_MAP, &params, &config_map)).await
            }
            None => api::bounded(self.api.create(&params, &config_map)).await,
        };
        written.map_err(|error| api::brief(&error))?;
        tracing::info!(serial = list.serial, keys = list.keys.len(), "sealing keys published");

        let known: Option<BTreeSet<_>> =
            ours.map(|list| list.keys.iter().map(|key| key.certificate.fingerprint()).collect());
        let is_new = |certificate: &&Certificate| {
            known.as_ref().is_some_and(|known| !known.contains(&certificate.fingerprint()))
        };
        Ok(publication.certificates.iter().filter(is_new).cloned().collect())
    }
}

fn is_right(list: &PublishedKeys, publication: &Publication) -> bool {
    let listed: Vec<_> = list.keys.iter().map(|key| key.certificate.fingerprint()).collect();
    listed == publication.fingerprints()
}

fn render(namespace: &str, list: &PublishedKeys, key: &PublisherKey, publication: &Publication) -> ConfigMap {
    let sealing = publication.certificates.first().map(Certificate::to_pem);
    to_config_map(namespace, &list.publish(key), sealing)
}

/// Larger than the last one, and than any before a ConfigMap that was lost: the seconds since 1970 see to that.
fn next_serial(before: Option<&PublishedKeys>, now: Timestamp) -> u64 {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    before.map_or(0, |list| list.serial.saturating_add(1)).max(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_grow_even_when_the_list_was_lost_or_the_clock_stepped_back() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let first = next_serial(None, now);
        let list = |serial| PublishedKeys { serial, time: now, keys: Vec::new(), revoked: Vec::new() };
        assert_eq!(next_serial(Some(&list(first)), now), first + 1);
        let later = now + jiff::SignedDuration::from_secs(10);
        assert!(next_serial(None, later) > first + 1);
        assert_eq!(next_serial(Some(&list(u64::MAX)), now), u64::MAX);
    }
}
