//! The published list of sealing keys: a ConfigMap, written by the leader, and set right when somebody changes it.

use crate::api;
use crate::keystore::Held;
use crate::plan::FIELD_MANAGER;
use crate::watch::changes;
use futures::Stream;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use privyseal_custody::published::{
    CONFIG_MAP, SealingKeyReason, SealingKeyStatus, from_config_map, set_status, status, to_config_map,
};
use privyseal_envelope::Fingerprint;
use privyseal_keys::{KeyringEntry, PublicHalf, PublishedKeys, PublisherKey, PublisherPublicKey};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// What shall be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publication {
    keys: Vec<PublicHalf>,
    revoked: BTreeSet<Fingerprint>,
    status: Option<SealingKeyStatus>,
}

impl Publication {
    /// What follows from the keys at `now`; `before` is what is published.
    pub(crate) fn of(
        held: &Held,
        publisher: &PublisherPublicKey,
        before: &Published,
        now: Timestamp,
    ) -> Self {
        let keys = held.sealing_at(now).filter_map(KeyringEntry::public_half).collect();
        let status = held.sealing_at(now).next().and_then(|entry| status_of(held, entry, publisher));
        let same = |status: &SealingKeyStatus, said: &SealingKeyStatus| {
            *status == SealingKeyStatus { since: status.since.clone(), ..said.clone() }
        };
        let since = whole_seconds(now).to_string();
        let status = status.map(|status| match before.status.as_ref().filter(|said| same(&status, said)) {
            Some(said) => said.clone(),
            None => SealingKeyStatus { since, ..status },
        });
        Self { keys, revoked: before.with_all_of(held.revoked()), status }
    }

    /// The key that seals, if our leader did not make it.
    pub(crate) fn foreign(&self) -> Option<&SealingKeyStatus> {
        self.status.as_ref().filter(|status| status.reason == SealingKeyReason::ForeignSealingKey)
    }
}

/// Only the key that seals now is judged: any other has nothing sealed to it, and is judged when its turn comes. So a
/// key that was taken over from the peer is told of until the next one is made, and never again.
fn status_of(held: &Held, entry: &KeyringEntry, publisher: &PublisherPublicKey) -> Option<SealingKeyStatus> {
    let is_ours = held.is_made_by(publisher, &entry.public_half()?);
    let (reason, message) = if is_ours {
        (SealingKeyReason::MadeByLeader, "the controller made the key that seals")
    } else {
        (SealingKeyReason::ForeignSealingKey, FOREIGN)
    };
    Some(SealingKeyStatus {
        reason,
        message: message.to_owned(),
        fingerprint: entry.fingerprint().to_string(),
        secret: entry.source().to_owned(),
        since: String::new(),
    })
}

/// What is published: the ConfigMap, and what of it counts.
#[derive(Default)]
pub(crate) struct Published {
    config_map: Option<ConfigMap>,
    /// The list, if we signed it. Whoever may write the ConfigMap can write any other.
    list: Option<PublishedKeys>,
    status: Option<SealingKeyStatus>,
    /// The largest serial that is known to be ours.
    last_serial: u64,
}

impl Published {
    fn of(config_map: Option<ConfigMap>, publisher: &PublisherPublicKey) -> Self {
        let list = config_map.as_ref().and_then(|config_map| from_config_map(config_map).ok());
        let list = list.filter(|(_, by)| by == publisher).map(|(list, _)| list);
        let status = config_map.as_ref().and_then(status);
        let last_serial = list.as_ref().map_or(0, |list| list.serial);
        Self { config_map, list, status, last_serial }
    }

    /// The keys that nobody may seal to, by our own word.
    pub(crate) fn revoked(&self) -> BTreeSet<Fingerprint> {
        self.list.iter().flat_map(|list| &list.revoked).copied().collect()
    }

    /// The same fingerprints, and what else the keys go by that they belong to, as far as our own list says so. A key whose
    /// private half is no more to be had is revoked with its recipients so, and none because of what a Secret claims.
    fn with_all_of(&self, revoked: &BTreeSet<Fingerprint>) -> BTreeSet<Fingerprint> {
        let listed = self.list.iter().flat_map(|list| &list.keys);
        let theirs =
            listed.filter(|key| key.fingerprints().any(|fingerprint| revoked.contains(&fingerprint)));
        revoked.iter().copied().chain(theirs.flat_map(PublicHalf::fingerprints)).collect()
    }

    /// Whether the status says of that key already that it is not ours.
    pub(crate) fn tells_of(&self, foreign: &SealingKeyStatus) -> bool {
        self.status
            .as_ref()
            .is_some_and(|said| (said.reason, &said.fingerprint) == (foreign.reason, &foreign.fingerprint))
    }

    /// The list and the ConfigMap that are to be there; none if they are.
    fn next(
        &self,
        key: &PublisherKey,
        namespace: &str,
        publication: &Publication,
        now: Timestamp,
    ) -> Option<(PublishedKeys, ConfigMap)> {
        let current = |list: &PublishedKeys| list.serial == self.last_serial && says(list, publication);
        let list = self.list.clone().filter(current).unwrap_or_else(|| PublishedKeys {
            serial: next_serial(self.last_serial, now),
            time: whole_seconds(now),
            keys: publication.keys.clone(),
            revoked: publication.revoked.iter().copied().collect(),
        });
        let mut config_map = to_config_map(namespace, &list.publish(key), publication.keys.first());
        if let Some(status) = &publication.status {
            set_status(&mut config_map, status);
        }
        if let Some(existing) = &self.config_map {
            if existing.data == config_map.data {
                return None;
            }
            config_map.metadata = existing.metadata.clone();
            config_map.metadata.managed_fields = None;
        }
        Some((list, config_map))
    }
}

fn says(list: &PublishedKeys, publication: &Publication) -> bool {
    list.keys == publication.keys && list.revoked.iter().eq(&publication.revoked)
}

/// Writes the ConfigMap.
pub(crate) struct Publisher {
    api: Api<ConfigMap>,
    namespace: String,
    /// Of the list that this term wrote last: one that is lost in the same second, or replaced by an older one of ours,
    /// has a successor all the same.
    last_serial: AtomicU64,
}

impl Publisher {
    /// For one namespace.
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            last_serial: AtomicU64::new(0),
        }
    }

    /// Each change of the ConfigMap, whoever made it.
    pub(crate) fn changes(&self) -> impl Stream<Item = ()> + Send + use<> {
        let config = watcher::Config::default().fields(&format!("metadata.name={CONFIG_MAP}"));
        changes(watcher(self.api.clone(), config).default_backoff(), "published keys")
    }

    /// What is published now.
    pub(crate) async fn read(&self, publisher: &PublisherPublicKey) -> Result<Published, String> {
        let existing =
            api::bounded(self.api.get_opt(CONFIG_MAP)).await.map_err(|error| api::brief(&error))?;
        let published = Published::of(existing, publisher);
        let last_serial = self.last_serial.load(Ordering::Relaxed).max(published.last_serial);
        Ok(Published { last_serial, ..published })
    }

    /// Makes the ConfigMap right if it is not, and nobody wrote it since it was read.
    pub(crate) async fn write(
        &self,
        key: &PublisherKey,
        before: &Published,
        publication: &Publication,
        now: Timestamp,
    ) -> Result<(), String> {
        let next = before.next(key, &self.namespace, publication, now);
        let Some((list, config_map)) = next else { return Ok(()) };
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let written = if before.config_map.is_some() {
            api::bounded(self.api.replace(CONFIG_MAP, &params, &config_map)).await
        } else {
            api::bounded(self.api.create(&params, &config_map)).await
        };
        written.map_err(|error| api::brief(&error))?;
        self.last_serial.fetch_max(list.serial, Ordering::Relaxed);
        tracing::info!(serial = list.serial, keys = list.keys.len(), "sealing keys published");
        Ok(())
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Larger than the last one, and than any before a ConfigMap that was lost: the seconds since 1970 see to that.
fn next_serial(last: u64, now: Timestamp) -> u64 {
    u64::try_from(now.as_second()).unwrap_or(0).max(last.saturating_add(1))
}

const FOREIGN: &str = "the controller did not make the key that seals: if nobody of your team put it there, label its \
    Secret as not active at once, since people may already seal to it";

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_keys::Certificate;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn publisher() -> PublisherKey {
        PublisherKey::generate().ok().unwrap()
    }

    /// What is there after one publication.
    fn after(publisher: &PublisherKey, held: &Held, before: &Published, now: Timestamp) -> Published {
        let publication = Publication::of(held, &publisher.public_key(), before, now);
        match before.next(publisher, "ns", &publication, now) {
            Some((_, config_map)) => Published::of(Some(config_map), &publisher.public_key()),
            None => Published::of(before.config_map.clone(), &publisher.public_key()),
        }
    }

    fn judged(held: &Held, publisher: &PublisherKey) -> (SealingKeyReason, String) {
        let publication = Publication::of(held, &publisher.public_key(), &Published::default(), now());
        let status = publication.status.unwrap();
        (status.reason, status.secret)
    }

    #[test]
    fn only_the_mark_tells_whose_the_sealing_key_is() {
        use SealingKeyReason::{ForeignSealingKey, MadeByLeader};
        let (ours, theirs) = (publisher(), publisher());
        let keys = |keys: &[(&str, i64)]| Held::for_tests(now(), keys, &[]);
        let held = keys(&[("ours", 1)]).marked("ours", &ours);
        // A new leader judges as the old one did: nothing is remembered.
        assert_eq!(judged(&held, &ours), (MadeByLeader, "ours".into()));
        assert_eq!(judged(&held, &theirs), (ForeignSealingKey, "ours".into()));
        assert_eq!(judged(&keys(&[("planted", 1)]), &ours), (ForeignSealingKey, "planted".into()));
        let held = keys(&[("planted", 1), ("ours", 2)]).marked("ours", &ours).marked("planted", &theirs);
        assert_eq!(judged(&held, &ours), (ForeignSealingKey, "planted".into()));
        // One that does not seal, or not any more, raises nothing.
        let held = keys(&[("ours", 1), ("adopted", 2)]).marked("ours", &ours);
        assert_eq!(judged(&held, &ours), (MadeByLeader, "ours".into()));
    }

    #[test]
    fn a_foreign_key_is_told_of_once_and_the_status_stays() {
        let publisher = publisher();
        let held = Held::for_tests(now(), &[("planted", 1)], &[]);
        let publication =
            |before: &Published, now| Publication::of(&held, &publisher.public_key(), before, now);
        let foreign = publication(&Published::default(), now()).foreign().cloned().unwrap();
        assert!(!Published::default().tells_of(&foreign));

        let published = after(&publisher, &held, &Published::default(), now());
        assert!(published.tells_of(&foreign));
        // As the next leader finds it, a day later.
        let later = now() + jiff::SignedDuration::from_hours(24);
        assert_eq!(publication(&published, later).status, Some(foreign));
        assert!(published.next(&publisher, "ns", &publication(&published, later), later).is_none());
        // A status that somebody took away is set right, and no new list is signed for it.
        let mut config_map = published.config_map.clone().unwrap();
        config_map.data.as_mut().unwrap().remove("status.json");
        let spoiled = Published::of(Some(config_map), &publisher.public_key());
        let (list, repaired) = spoiled.next(&publisher, "ns", &publication(&spoiled, later), later).unwrap();
        assert_eq!(Some(list.serial), published.list.map(|list| list.serial));
        assert_eq!(status(&repaired).unwrap().since, "2026-11-25T12:00:00Z");
    }

    #[test]
    fn revoked_is_what_key_secrets_say_and_what_we_signed_before() {
        let (ours, theirs) = (publisher(), publisher());
        let held = Held::for_tests(now(), &[("new", 1), ("leaked", 2)], &["leaked"]);
        let leaked = held.revoked().clone();
        let published = after(&ours, &held, &Published::default(), now());
        let list = published.list.as_ref().unwrap();
        assert_eq!(list.keys.len(), 1, "nobody seals to a revoked key");
        assert_eq!(published.revoked(), leaked);

        // The ConfigMap was dropped: the mark is still there.
        assert_eq!(after(&ours, &held, &Published::default(), now()).revoked(), leaked);
        // The mark was taken off, or the Secret deleted: the list is still there.
        let without = Held::for_tests(now(), &[("new", 1)], &[]);
        let again = after(&ours, &without.with_revoked(&published.revoked()), &published, now());
        assert_eq!(again.revoked(), leaked);
        // A list that somebody else signed counts for nothing.
        let config_map = published.config_map.clone();
        assert_eq!(Published::of(config_map, &theirs.public_key()).revoked(), BTreeSet::new());
    }

    #[test]
    fn a_new_certificate_of_the_same_key_is_published() {
        let publisher = publisher();
        let held = Held::for_tests(now(), &[("a", 1)], &[]);
        let published = after(&publisher, &held, &Published::default(), now());
        let mut publication = Publication::of(&held, &publisher.public_key(), &published, now());
        let hour = jiff::SignedDuration::from_hours(1);
        let key = held.keyring.entries()[0].opening_key().unwrap();
        publication.keys[0].certificate = Certificate::issue(key, "", now(), hour).unwrap();
        let (list, _) = published.next(&publisher, "ns", &publication, now()).unwrap();
        assert_eq!(list.keys, publication.keys);
    }

    #[test]
    fn recipients_are_published_and_revoked_with_their_key() {
        let publisher = publisher();
        let held = Held::for_tests(now(), &[("new", 1), ("old", 2)], &[]);
        let published = after(&publisher, &held, &Published::default(), now());
        let list = published.list.clone().unwrap();
        let halves: Vec<_> = held.keyring.entries().iter().filter_map(KeyringEntry::public_half).collect();
        assert_eq!(list.keys, halves);
        let recipients = published.config_map.as_ref().unwrap().data.as_ref().unwrap()["recipients"].clone();
        let lines: Vec<_> = recipients.lines().collect();
        assert!(lines.len() == 2 && lines[0].starts_with("age1pq1") && lines[1].starts_with("age1"));
        assert_eq!(halves[0].recipients.iter().map(ToString::to_string).collect::<Vec<_>>(), lines);

        // Recipients that come to a key that is published make another list.
        let mut bare = Publication::of(&held, &publisher.public_key(), &published, now());
        bare.keys[0].recipients.clear();
        let (without, config_map) = published.next(&publisher, "ns", &bare, now()).unwrap();
        assert!(without.serial > list.serial && !config_map.data.unwrap().contains_key("recipients"));

        let all: BTreeSet<_> = halves[1].fingerprints().collect();
        let leaked = held.clone().with_revoked(&all);
        let after_leak = after(&publisher, &leaked, &published, now());
        assert_eq!(after_leak.revoked(), all);
        // Of a key that cannot be had any more only the name is known: our own list says what else it goes by.
        let named_only = held.with_revoked(&BTreeSet::from([halves[1].fingerprint()]));
        assert_eq!(after(&publisher, &named_only, &published, now()).revoked(), all);
        // And a list that somebody else signed says nothing.
        let theirs = Published::of(published.config_map, &self::publisher().public_key());
        assert_eq!(
            after(&publisher, &named_only, &theirs, now()).revoked(),
            BTreeSet::from([halves[1].fingerprint()])
        );
    }

    #[test]
    fn serials_grow_even_when_the_list_was_lost_or_the_clock_stepped_back() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let first = next_serial(0, now);
        assert_eq!(next_serial(first, now), first + 1);
        let later = now + jiff::SignedDuration::from_secs(10);
        assert!(next_serial(0, later) > first + 1);
        assert_eq!(next_serial(u64::MAX, now), u64::MAX);
    }

    #[test]
    fn a_list_that_is_lost_or_replayed_in_the_same_second_has_a_successor() {
        let publisher = publisher();
        let held = Held::for_tests(now(), &[("a", 1)], &[]);
        let first = after(&publisher, &held, &Published::default(), now());
        let lost = Published { last_serial: first.last_serial, ..Published::default() };
        let second = after(&publisher, &held, &lost, now());
        assert_eq!(second.last_serial, first.last_serial + 1);
        let replayed = Published { last_serial: second.last_serial, ..first };
        assert_eq!(after(&publisher, &held, &replayed, now()).last_serial, second.last_serial + 1);
    }
}
