//! The opening keys in memory: loaded at start, and again whenever a key Secret appears, changes or goes.
//!
//! Every replica holds them. A key that cannot be read is left out and told; the others go on. One that its vault does not
//! give now is waited for: it is asked for again by this module alone, however many objects need it, and everybody is
//! told when that changes. That a key is compromised
//! every replica reads from its Secret; the leader reads the list too that it signed before, so that a mark which is
//! taken off again changes nothing.

use crate::api;
use crate::metrics::Metrics;
use crate::watch::{changes, watch_error};
use futures::{Stream, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use privyseal_custody::MakerMark;
use privyseal_custody::custody::Kind;
use privyseal_custody::key_secrets::{
    Custodies, CustodyError, KeySecrets, LeftOut, Loaded, PUBLISHER_SECRET, Waiting,
};
use privyseal_envelope::age::Recipient;
use privyseal_envelope::{Fingerprint, KeyId};
use privyseal_keys::renewal::{self, Renewal};
use privyseal_keys::{Certificate, Keyring, KeyringEntry, PublicHalf, PublisherKey, PublisherPublicKey};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What is held at one moment.
#[derive(Clone, Default)]
pub(crate) struct Held {
    /// The keyring.
    pub keyring: Arc<Keyring>,
    /// All that the keys in it go by, and those that are waited for: what they opened stays as it is.
    key_ids: Arc<BTreeSet<KeyId>>,
    /// What key Secrets say of their maker.
    maker_marks: Arc<Vec<MakerMark>>,
    /// Keys that nobody may seal to any more. It only grows: to be compromised is not undone.
    revoked: Arc<BTreeSet<Fingerprint>>,
    /// Keys whose successor is asked for.
    rotation_asked: Arc<BTreeSet<Fingerprint>>,
    /// Keys that nobody may go on sealing to where a vault keeps keys: their private half lies in the cluster, or did.
    exposed: Arc<BTreeSet<Fingerprint>>,
    /// Keys that their vault does not give now.
    pub waiting: Arc<Vec<Waiting>>,
    /// Secrets that say they are keys and are none.
    pub left_out: Arc<Vec<LeftOut>>,
    /// Whether the key Secrets were read at all.
    pub loaded: bool,
}

impl Held {
    fn new(loaded: Loaded, keeping: Kind) -> Self {
        let exposed = if keeping == Kind::Cluster { BTreeSet::new() } else { loaded.in_clear };
        let keyring = Keyring::new(loaded.entries);
        let in_ring = keyring.entries().iter().flat_map(KeyringEntry::fingerprints).copied();
        let awaited = loaded.waiting.iter().flat_map(|key| {
            let age = key.recipients.iter().map(Recipient::fingerprint);
            std::iter::once(key.certificate.fingerprint()).chain(age)
        });
        let key_ids = in_ring.chain(awaited).map(|fingerprint| fingerprint.key_id()).collect();
        Self {
            keyring: Arc::new(keyring),
            key_ids: Arc::new(key_ids),
            maker_marks: Arc::new(loaded.maker_marks),
            revoked: Arc::new(loaded.compromised),
            rotation_asked: Arc::new(loaded.rotation_asked),
            exposed: Arc::new(exposed),
            waiting: Arc::new(loaded.waiting),
            left_out: Arc::new(loaded.left_out),
            loaded: true,
        }
    }

    /// The same keys, more of them revoked.
    pub(crate) fn with_revoked(self, more: &BTreeSet<Fingerprint>) -> Self {
        Self { revoked: Arc::new(&*self.revoked | more), ..self }
    }

    /// Whether everybody who follows the keys has to know of the difference.
    fn differs(&self, before: &Self) -> bool {
        // A key may come back with another certificate.
        let certificates = |held: &Self| {
            held.keyring.entries().iter().map(|entry| entry.certificate().cloned()).collect::<Vec<_>>()
        };
        self.loaded != before.loaded
            || self.keyring.fingerprint() != before.keyring.fingerprint()
            || certificates(self) != certificates(before)
            || self.maker_marks != before.maker_marks
            || self.revoked != before.revoked
            || self.rotation_asked != before.rotation_asked
            || self.exposed != before.exposed
            || self.waiting != before.waiting
            || self.left_out != before.left_out
    }

    /// A name for what can be opened and what is waited for: what did not open is tried again when it changes.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let ring = self.keyring.fingerprint();
        if self.waiting.is_empty() {
            return ring;
        }
        let waiting = self.waiting.iter().map(|key| format!("{} {}", key.secret, key.failure));
        Fingerprint::of(
            std::iter::once(ring.to_string()).chain(waiting).collect::<Vec<_>>().join("\n").as_bytes(),
        )
    }

    /// Whether a key is in the ring, or waited for, by any of its key ids.
    pub(crate) fn holds(&self, key: KeyId) -> bool {
        self.key_ids.contains(&key)
    }

    /// The certificate that seals now.
    pub(crate) fn sealing(&self) -> Option<&Certificate> {
        self.sealing_at(Timestamp::now()).next().and_then(KeyringEntry::certificate)
    }

    /// The same with the recipients beside it, for values of the age format.
    pub(crate) fn sealing_half(&self) -> Option<PublicHalf> {
        self.sealing_at(Timestamp::now()).next().and_then(KeyringEntry::public_half)
    }

    /// The keys that may seal at `now`, newest first: the first one seals. A revoked one opens and never seals.
    pub(crate) fn sealing_at(&self, now: Timestamp) -> impl Iterator<Item = &KeyringEntry> {
        self.keyring.entries().iter().filter(move |entry| {
            let usable = entry.certificate().is_some_and(|certificate| {
                certificate.not_before() <= now && certificate.usable_at(now).is_ok()
            });
            usable && !entry.fingerprints().iter().any(|fingerprint| self.revoked.contains(fingerprint))
        })
    }

    /// The key that seals at `now`, if it is to go on sealing: one that is replaced anyway is changed no more.
    pub(crate) fn sealing_on_at(&self, now: Timestamp) -> Option<&KeyringEntry> {
        let entry = self.sealing_at(now).next()?;
        let name = entry.fingerprint();
        (!self.rotation_asked.contains(&name) && !self.exposed.contains(&name)).then_some(entry)
    }

    /// Keys that nobody may seal to any more.
    pub(crate) fn revoked(&self) -> &BTreeSet<Fingerprint> {
        &self.revoked
    }

    /// When the next sealing key is to be made. A revoked one that is newer than all that may seal is replaced at once:
    /// an older key steps in for this moment only, whatever its age.
    ///
    /// One whose successor is asked for is replaced as soon as the successor's second is a later one, certificates being
    /// dated to the second: so the new key is the newest for certain, and seals, and the mark that stays on the old one
    /// asks for nothing any more. The same goes for one whose private half lies in the cluster, or once did, where a vault
    /// keeps keys.
    ///
    /// A key that its vault will give again counts as one that is there: a vault that is down makes no second key.
    pub(crate) fn renewal(&self, period: Option<SignedDuration>, now: Timestamp) -> Renewal {
        let newest = self.keyring.sealing_at(now).map(Certificate::not_before);
        let sealing = self.sealing_at(now).next().and_then(KeyringEntry::certificate);
        let awaited = self.awaited_at(now).max_by_key(|certificate| certificate.not_before());
        let sealing = match (sealing, awaited) {
            (Some(sealing), Some(awaited)) if awaited.not_before() > sealing.not_before() => Some(awaited),
            (None, awaited) => awaited,
            (sealing, _) => sealing,
        };
        let since = sealing.map(Certificate::not_before).filter(|since| Some(*since) >= newest);
        let is_asked = sealing.is_some_and(|certificate| {
            let fingerprint = certificate.fingerprint();
            self.rotation_asked.contains(&fingerprint) || self.exposed.contains(&fingerprint)
        });
        let period = if is_asked { Some(SignedDuration::from_secs(1)) } else { period };
        renewal::decide(since, period, now)
    }

    /// Certificates that would seal at `now`, of keys that their vault will give again.
    fn awaited_at(&self, now: Timestamp) -> impl Iterator<Item = &Certificate> {
        let out_of_reach = self.waiting.iter().filter(|key| key.failure.kind().is_out_of_reach());
        out_of_reach.map(|key| &key.certificate).filter(move |certificate| {
            certificate.not_before() <= now
                && certificate.usable_at(now).is_ok()
                && !self.revoked.contains(&certificate.fingerprint())
        })
    }

    /// Whether a leader that had this publisher key made that key.
    pub(crate) fn is_made_by(&self, publisher: &PublisherPublicKey, key: &PublicHalf) -> bool {
        self.maker_marks.iter().any(|mark| mark.proves(publisher, key))
    }
}

/// Loads keys, and tells everybody.
pub(crate) struct KeyStore {
    client: Client,
    namespace: String,
    key_secrets: KeySecrets,
    /// When keys that are waited for are to be asked for again.
    again: Mutex<Option<Instant>>,
    metrics: Arc<Metrics>,
    held: watch::Sender<Held>,
}

impl KeyStore {
    /// For one namespace.
    pub(crate) fn new(
        client: Client,
        namespace: &str,
        prefix: &str,
        custodies: Custodies,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            key_secrets: KeySecrets::new(client.clone(), namespace, prefix, custodies),
            client,
            namespace: namespace.to_owned(),
            again: Mutex::default(),
            metrics,
            held: watch::Sender::default(),
        }
    }

    /// Follows the keys.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }

    /// Where keys live.
    pub(crate) fn key_secrets(&self) -> &KeySecrets {
        &self.key_secrets
    }

    /// How often a vault is looked at; none without one.
    pub(crate) fn poll_interval(&self) -> Option<Duration> {
        self.key_secrets.custodies().poll_interval()
    }

    /// Reads the publisher key now.
    pub(crate) async fn publisher(&self) -> Result<Option<Arc<PublisherKey>>, CustodyError> {
        bounded(self.key_secrets.publisher()).await
    }

    /// Reads the key Secrets now. The keys held stay as they were if that fails.
    pub(crate) async fn reload(&self) -> Result<Held, CustodyError> {
        let mut loaded = bounded(self.key_secrets.load()).await?;
        keep_what_is_held(&mut loaded, &self.held.borrow().keyring);
        *self.again.lock().unwrap_or_else(PoisonError::into_inner) = loaded.again;
        let loaded = Held::new(loaded, self.key_secrets.custodies().keeping());
        let before = self.held.borrow().clone();
        if *before.left_out != *loaded.left_out {
            for LeftOut { name, reason } in loaded.left_out.iter() {
                tracing::error!(secret = %crate::outcome::shown(name), reason, "a key Secret is not usable and left out");
            }
        }
        if *before.waiting != *loaded.waiting {
            for Waiting { secret, failure, .. } in loaded.waiting.iter() {
                tracing::warn!(
                    secret = %crate::outcome::shown(secret),
                    reason = failure.kind().as_str(),
                    "a key is waited for: {failure}"
                );
            }
        }
        self.metrics.keys_waiting.set(i64::try_from(loaded.waiting.len()).unwrap_or(i64::MAX));
        self.metrics.keys_left_out.set(i64::try_from(loaded.left_out.len()).unwrap_or(i64::MAX));
        self.metrics.keys_held.set(i64::try_from(loaded.keyring.entries().len()).unwrap_or(i64::MAX));
        if !before.loaded || before.keyring.fingerprint() != loaded.keyring.fingerprint() {
            tracing::info!(keys = loaded.keyring.entries().len(), "keys loaded");
        }
        Ok(self.hold(|before| loaded.with_revoked(&before.revoked)))
    }

    /// Asks vaults at once for what they did not give. If that fails, it is asked for again in its turn.
    pub(crate) async fn ask_again(&self) {
        if self.held.borrow().waiting.is_empty() {
            return;
        }
        self.key_secrets.ask_again().await;
        if let Err(error) = self.reload().await {
            tracing::warn!(error = %custody_error(&error), "cannot read the key Secrets");
        }
    }

    /// Takes keys out of sealing, for as long as this process lives.
    pub(crate) fn revoke(&self, fingerprints: &BTreeSet<Fingerprint>) -> Held {
        self.hold(|before| before.clone().with_revoked(fingerprints))
    }

    /// Holds what follows from what was held, and tells everybody if it differs.
    fn hold(&self, next: impl FnOnce(&Held) -> Held) -> Held {
        self.held.send_if_modified(|held| {
            let next = next(held);
            let differs = next.differs(held);
            *held = next;
            differs
        });
        let held = self.held.borrow().clone();
        let since = held.sealing().map_or(0, |certificate| certificate.not_before().as_second());
        self.metrics.sealing_key_since.set(since);
        held
    }

    /// Each change of the Secret with the publisher key, whoever made it.
    pub(crate) fn publisher_changes(&self) -> impl Stream<Item = ()> + Send + use<> {
        let api = Api::<PartialObjectMeta<Secret>>::namespaced(self.client.clone(), &self.namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={PUBLISHER_SECRET}"));
        changes(watcher(api, config).default_backoff(), "publisher key")
    }

    /// When keys that a vault did not give are to be asked for again; never if there are none.
    async fn again(&self) {
        let again = *self.again.lock().unwrap_or_else(PoisonError::into_inner);
        match again {
            Some(again) => tokio::time::sleep_until(again).await,
            None => std::future::pending().await,
        }
    }

    /// Runs for ever: watches the metadata of key Secrets and loads them again on each change, and when a vault that did
    /// not give a key is to be asked again.
    pub(crate) async fn run(&self) {
        let api = Api::<PartialObjectMeta<Secret>>::namespaced(self.client.clone(), &self.namespace);
        let config = watcher::Config::default().labels(KeySecrets::selector());
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        let mut stale = false;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    // A list that has only begun says nothing yet.
                    Some(Ok(watcher::Event::Init | watcher::Event::InitApply(_))) => continue,
                    Some(Ok(_)) => stale = true,
                    Some(Err(error)) => {
                        tracing::warn!(error = %watch_error(&error), "the watch of key Secrets was interrupted");
                    }
                    None => return,
                },
                () = self.again(), if !stale => stale = true,
                // Several changes at once are one reload; a failed one is tried again.
                () = tokio::time::sleep(SETTLE), if stale => match self.reload().await {
                    Ok(_) => stale = false,
                    Err(error) => tracing::warn!(error = %custody_error(&error), "cannot read the key Secrets"),
                },
            }
        }
    }
}

/// A key that is held and that its vault does not give just now, as when the leader had it wrapped anew, stays in use: its
/// certificate was held against it before. It is asked for all the same.
///
/// That it is compromised is believed of the Secret that it came from, and of no other: a Secret that only shows a
/// certificate proves nothing, and whoever may create one could have every key revoked.
fn keep_what_is_held(loaded: &mut Loaded, held: &Keyring) {
    for waiting in &loaded.waiting {
        let fingerprint = waiting.certificate.fingerprint();
        let entry = held.entries().iter().find(|entry| entry.fingerprint() == fingerprint);
        if waiting.is_compromised {
            let its_own = entry.filter(|entry| entry.source() == waiting.secret);
            loaded.compromised.extend(its_own.into_iter().flat_map(KeyringEntry::fingerprints));
        }
        if waiting.failure.kind().is_out_of_reach() {
            loaded.entries.extend(entry.cloned());
        }
    }
}

/// Bounds what custody asks of the API server and of a vault. A vault bounds its own calls; what it gave before the end is
/// not asked for again.
pub(crate) async fn bounded<T>(
    request: impl Future<Output = Result<T, CustodyError>>,
) -> Result<T, CustodyError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(result) => result,
        Err(_) => {
            let silent = kube::Error::Service("no answer in time".into());
            Err(CustodyError::Api(silent.into()))
        }
    }
}

/// An error of custody in our words.
pub(crate) fn custody_error(error: &CustodyError) -> String {
    match error {
        CustodyError::Api(error) => api::brief_secret(error),
        other => other.to_string(),
    }
}

/// Longer than a vault's own bound on one request, token included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_millis(200);

#[cfg(test)]
impl Held {
    /// Keys of the given age in hours and name, some of them revoked, for tests.
    pub(crate) fn for_tests(now: Timestamp, keys: &[(&str, i64)], revoked: &[&str]) -> Self {
        use privyseal_envelope::rsa::KeySize;
        use privyseal_keys::KeyPair;
        let mut loaded = Loaded::default();
        for (name, age) in keys {
            let since = now - SignedDuration::from_hours(*age);
            let ten_years = SignedDuration::from_hours(87_600);
            let pair = KeyPair::generate(KeySize::Rsa2048, "", since, ten_years).ok().unwrap();
            if revoked.contains(name) {
                loaded.compromised.extend(pair.public_half().fingerprints());
            }
            loaded.entries.push(KeyringEntry::from_pair(*name, pair));
        }
        Self::new(loaded, Kind::Cluster)
    }

    /// The same keys as the peer has them.
    pub(crate) fn without_identities(self) -> Self {
        let bare = |entry: &KeyringEntry| {
            let private = privyseal_keys::private_key::to_pkcs1_pem(entry.opening_key().unwrap()).unwrap();
            let public = PublicHalf::from(entry.certificate().unwrap().clone());
            let pair = privyseal_keys::KeyPair::new(public, private.as_bytes()).ok().unwrap();
            KeyringEntry::from_pair(entry.source(), pair)
        };
        let entries = self.keyring.entries().iter().map(bare).collect();
        Self::new(Loaded { entries, ..Loaded::default() }, Kind::Cluster)
    }

    /// All keys of several.
    pub(crate) fn for_tests_of(all: impl IntoIterator<Item = Self>) -> Self {
        let entries = all.into_iter().flat_map(|held| held.keyring.entries().to_vec()).collect();
        Self::new(Loaded { entries, ..Loaded::default() }, Kind::Cluster)
    }

    /// The same keys, a successor asked for of these.
    pub(crate) fn asked(self, names: &[&str]) -> Self {
        let entries = self.keyring.entries().iter();
        let asked = entries.filter(|entry| names.contains(&entry.source())).map(KeyringEntry::fingerprint);
        Self { rotation_asked: Arc::new(asked.collect()), ..self }
    }

    /// The same keys, one of them with the mark of its maker.
    pub(crate) fn marked(self, name: &str, publisher: &privyseal_keys::PublisherKey) -> Self {
        let entry = self.keyring.entries().iter().find(|entry| entry.source() == name).unwrap();
        let mark = MakerMark::make(publisher, &entry.public_half().unwrap());
        let maker_marks = self.maker_marks.iter().cloned().chain([mark]).collect();
        Self { maker_marks: Arc::new(maker_marks), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_custody::custody::{Failure, FailureKind};

    const MONTH: Option<SignedDuration> = Some(SignedDuration::from_hours(720));

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn sealing(held: &Held) -> Option<&str> {
        held.sealing_at(now()).next().map(KeyringEntry::source)
    }

    fn waiting(held: &Held, name: &str, kind: FailureKind) -> Waiting {
        let entry = held.keyring.entries().iter().find(|entry| entry.source() == name).unwrap();
        let PublicHalf { certificate, recipients } = entry.public_half().unwrap();
        let (secret, failure) = (name.to_owned(), Failure::new(kind, ""));
        Waiting { secret, certificate, recipients, is_compromised: false, failure }
    }

    #[test]
    fn a_key_that_its_vault_does_not_give_just_now_stays_in_use_and_one_that_is_disabled_does_not() {
        let held = Held::for_tests(now(), &[("a", 1), ("b", 2)], &[]);
        let mut loaded = Loaded::default();
        for (name, kind) in [("a", FailureKind::Throttled), ("b", FailureKind::Disabled)] {
            loaded.waiting.push(waiting(&held, name, kind));
        }
        keep_what_is_held(&mut loaded, &held.keyring);
        let kept: Vec<_> = loaded.entries.iter().map(KeyringEntry::source).collect();
        assert_eq!(kept, ["a"]);
        assert_eq!(loaded.waiting.len(), 2, "it is asked for all the same");
    }

    #[test]
    fn a_held_key_is_revoked_by_its_own_secret_and_by_no_other_while_its_vault_is_down() {
        let held = Held::for_tests(now(), &[("a", 1)], &[]);
        let all = held.keyring.entries()[0].fingerprints();
        assert_eq!(all.len(), 3, "a certificate and two recipients");
        for (secret, expected) in [("a", all.len()), ("planted", 0)] {
            for kind in [FailureKind::Unavailable, FailureKind::Disabled] {
                let waiting =
                    Waiting { secret: secret.to_owned(), is_compromised: true, ..waiting(&held, "a", kind) };
                let mut loaded = Loaded { waiting: vec![waiting], ..Loaded::default() };
                keep_what_is_held(&mut loaded, &held.keyring);
                assert_eq!(loaded.compromised.len(), expected, "{secret} {kind:?}");
            }
        }
        // Nobody has seen the key of a Secret that only shows a certificate.
        let waiting = Waiting { is_compromised: true, ..waiting(&held, "a", FailureKind::Unavailable) };
        let mut loaded = Loaded { waiting: vec![waiting], ..Loaded::default() };
        keep_what_is_held(&mut loaded, &Keyring::default());
        assert!(loaded.compromised.is_empty());
    }

    #[test]
    fn a_key_goes_by_its_recipients_too() {
        let held = Held::for_tests(now(), &[("a", 1)], &[]);
        let all: Vec<_> = held.keyring.entries()[0].fingerprints().iter().map(|one| one.key_id()).collect();
        assert!(all.iter().all(|id| held.holds(*id)));
        let loaded =
            Loaded { waiting: vec![waiting(&held, "a", FailureKind::Unavailable)], ..Loaded::default() };
        let awaited = Held::new(loaded, Kind::KeyVaultSecret);
        assert!(awaited.keyring.is_empty() && all.iter().all(|id| awaited.holds(*id)));
        // A list that names one of its recipients only takes the key out of sealing.
        for fingerprint in held.keyring.entries()[0].fingerprints() {
            assert_eq!(sealing(&held.clone().with_revoked(&BTreeSet::from([*fingerprint]))), None);
        }
    }

    #[test]
    fn identities_make_it_another_set_of_keys() {
        let whole = Held::for_tests(now(), &[("a", 1)], &[]);
        let bare = whole.clone().without_identities();
        assert!(whole.differs(&bare), "everybody has to know");
        assert_ne!(whole.fingerprint(), bare.fingerprint(), "what did not open is tried again");
        assert!(bare.sealing_on_at(now()).is_some());
        assert!(bare.asked(&["a"]).sealing_on_at(now()).is_none());
    }

    #[test]
    fn a_key_out_of_reach_counts_as_there_and_one_that_is_gone_does_not() {
        let all = Held::for_tests(now(), &[("new", 1), ("old", 48)], &[]);
        for (kind, expected) in [
            (FailureKind::Unavailable, true),
            (FailureKind::Untrusted, true),
            (FailureKind::Unconfigured, true),
            (FailureKind::Disabled, false),
            (FailureKind::NotFound, false),
        ] {
            let loaded = Loaded { waiting: vec![waiting(&all, "new", kind)], ..Loaded::default() };
            let held = Held::new(loaded, Kind::KeyVaultSecret);
            assert_eq!(held.renewal(MONTH, now()) != Renewal::Now, expected, "{kind:?}");
            assert!(
                held.sealing_at(now()).next().is_none()
                    && held.holds(all.keyring.entries()[0].fingerprint().key_id())
            );
        }
    }

    #[test]
    fn what_lies_in_the_cluster_does_not_go_on_sealing_where_a_vault_keeps_keys() {
        for (keeping, expected) in [(Kind::Cluster, false), (Kind::KeyVaultWrapped, true)] {
            let all = Held::for_tests(now(), &[("clear", 1)], &[]);
            let entries = all.keyring.entries().to_vec();
            let in_clear = entries.iter().map(KeyringEntry::fingerprint).collect();
            let held = Held::new(Loaded { entries, in_clear, ..Loaded::default() }, keeping);
            assert_eq!(held.renewal(None, now()) == Renewal::Now, expected, "{keeping}");
        }
    }

    #[test]
    fn a_revoked_key_opens_does_not_seal_and_is_replaced_at_once() {
        let keys = [("old", 48), ("new", 24), ("future", -1)];
        let held = Held::for_tests(now(), &keys, &[]);
        assert_eq!(sealing(&held), Some("new"));
        assert!(matches!(held.renewal(MONTH, now()), Renewal::At(_)));

        let held = Held::for_tests(now(), &keys, &["new"]);
        assert_eq!(sealing(&held), Some("old"), "until there is a new one");
        assert_eq!(held.renewal(MONTH, now()), Renewal::Now);
        assert_eq!(held.renewal(None, now()), Renewal::Now, "also if renewal by age is off");
        assert_eq!(held.keyring.entries().len(), 3);
        assert!(held.keyring.entries().iter().all(|entry| held.holds(entry.fingerprint().key_id())));

        let held = Held::for_tests(now(), &keys, &["old"]);
        assert_eq!(sealing(&held), Some("new"));
        assert!(matches!(held.renewal(MONTH, now()), Renewal::At(_)), "an older one has its successor");

        // Made in the second in which the other one was: which of them is first says nothing.
        let held = Held::for_tests(now(), &[("a-leaked", 0), ("b-made", 0)], &["a-leaked"]);
        assert_eq!(sealing(&held), Some("b-made"));
        assert_eq!(held.renewal(None, now()), Renewal::Never);
    }

    #[test]
    fn a_successor_that_is_asked_for_is_made_once() {
        let at = |keys: &[(&str, i64)], asked: &[&str]| Held::for_tests(now(), keys, &[]).asked(asked);
        for period in [MONTH, None] {
            let held = at(&[("old", 48), ("new", 24), ("future", -1)], &["new"]);
            assert_eq!(held.renewal(period, now()), Renewal::Now);
            for asked in [&["old"][..], &["future"], &["old", "future"]] {
                let held = at(&[("old", 48), ("new", 24), ("future", -1)], asked);
                assert_ne!(held.renewal(period, now()), Renewal::Now, "{asked:?} does not seal");
            }
            // With the successor there the mark asks for nothing, however long it stays.
            let held = at(&[("new", 24), ("successor", 0)], &["new"]);
            assert_ne!(held.renewal(period, now()), Renewal::Now);
        }
        // Asked for in the second in which the key was made: a successor of the same second might not be the newest.
        let second = SignedDuration::from_secs(1);
        for keys in [&[("a", 0)][..], &[("a", 0), ("b", 0)]] {
            let held = at(keys, &["a"]);
            assert_eq!(held.renewal(MONTH, now()), Renewal::At(now() + second));
            assert_eq!(held.renewal(MONTH, now() + second), Renewal::Now);
        }
        assert_eq!(at(&[("a", 0), ("b", 0)], &["b"]).renewal(None, now()), Renewal::Never, "a seals");
        // A key that is revoked as well is replaced anyway, at once and once.
        let held = Held::for_tests(now(), &[("a", 1)], &["a"]).asked(&["a"]);
        assert_eq!(held.renewal(None, now()), Renewal::Now);
        let held = Held::for_tests(now(), &[("a", 1), ("b", 0)], &["a"]).asked(&["a"]);
        assert_eq!(held.renewal(None, now()), Renewal::Never);
    }

    #[test]
    fn that_a_successor_is_asked_for_is_told() {
        let held = Held::for_tests(now(), &[("a", 1)], &[]);
        assert!(held.clone().asked(&["a"]).differs(&held));
        assert!(held.differs(&held.clone().asked(&["a"])));
    }

    #[test]
    fn what_is_revoked_stays_so_when_its_mark_is_taken_off() {
        let marked = Held::for_tests(now(), &[("a", 1)], &["a"]);
        let unmarked = Held { revoked: Arc::default(), ..marked.clone() };
        assert_eq!(sealing(&unmarked), Some("a"));
        let held = unmarked.clone().with_revoked(marked.revoked());
        assert_eq!(sealing(&held), None);
        assert!(held.differs(&unmarked), "everybody has to know");
        assert!(!held.differs(&marked));
    }
}
