//! What the leader does beside opening: makes the publisher key and sealing keys, and publishes their list.
//!
//! Before a key is made the key Secrets are read anew, and the Lease must be held: a list that is old, or a replica
//! that only believes it leads, must not lead to a second key.

mod identities;
mod vault;

use crate::config::KeyConfig;
use crate::escrow;
use crate::escrow::{Escrow, choose};
use crate::events::Events;
use crate::keystore::{Held, KeyStore, bounded, custody_error};
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::publish::{Publication, Published, Publisher};
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use privyseal_custody::MakerMark;
use privyseal_custody::custody::Failure;
use privyseal_custody::custody::back_off;
use privyseal_custody::key_secrets::{CustodyError, NotAPublisher, PUBLISHER_SECRET};
use privyseal_envelope::Fingerprint;
use privyseal_keys::renewal::Renewal;
use privyseal_keys::{Certificate, KeyPair, PublisherKey, PublisherPublicKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The leader's duties.
pub(crate) struct Duties {
    /// How keys are made.
    pub keys: KeyConfig,
    /// Where they live.
    pub store: Arc<KeyStore>,
    /// Whether we lead.
    pub leadership: Leadership,
    /// Backups of new keys.
    pub escrow: Escrow,
    /// The published list.
    pub publisher: Publisher,
    /// For what people should know.
    pub events: Events,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// What one term remembers, so that it tells everything once.
#[derive(Default)]
struct Told {
    /// The foreign key that seals.
    foreign: Option<String>,
    /// Foreign keys that are pending.
    pending: BTreeSet<Fingerprint>,
    /// Why the last backup was not stored.
    escrow: Option<String>,
    /// Backups in a row that were not stored.
    escrow_failures: u32,
    /// When the vault was looked at last.
    polled: Option<Instant>,
    /// Why that failed.
    vault: Option<Failure>,
    /// When a key may be given to the vault again that it did not take.
    not_before: Option<Instant>,
    /// The key that seals did not get its age identities.
    no_identities: Option<identities::NotGiven>,
    /// Keys that could not be moved to their custody.
    refused: BTreeMap<String, vault::Refused>,
    /// Whether all private halves were where they should be, when that was looked at last.
    is_settled: bool,
}

impl Told {
    /// The vault may have got the key all the same: an answer can be lost, and the Secret refused. So it is looked at before
    /// another key is made, and none is made before its time.
    fn look_at_the_vault_first(&mut self, wait: Duration) {
        (self.polled, self.not_before) = (None, Some(Instant::now() + wait));
    }
}

/// A key is not made, or not used yet.
enum NotMade {
    /// Its backup is not stored.
    Escrow {
        /// The Secret of the key.
        secret: String,
        reason: String,
    },
    /// Its vault does not take it.
    Vault(Failure),
    /// It is not time yet to ask its vault again.
    Yet(Duration),
    /// Anything else.
    Other(String),
}

impl From<CustodyError> for NotMade {
    fn from(error: CustodyError) -> Self {
        match error {
            CustodyError::Vault { failure, .. } => Self::Vault(failure),
            other => Self::Other(custody_error(&other)),
        }
    }
}

/// Whether somebody else was faster.
fn is_already_there(error: &CustodyError) -> bool {
    matches!(error, CustodyError::Api(error) if error.status().is_some_and(|status| status.code == 409))
}

impl Duties {
    /// The publisher key: read, or made if there is none. Tries until it has one; `failures` hears why a vault does not
    /// give it.
    pub(crate) async fn publisher_key(&self, failures: &watch::Sender<Option<Failure>>) -> Arc<PublisherKey> {
        let mut tries = 0;
        loop {
            let error = match self.find_or_make_publisher_key().await {
                Ok(key) => return key,
                Err(error) => error,
            };
            tries += 1;
            let wait = match &error {
                CustodyError::Vault { failure, .. } if failure.kind().heals() => {
                    failure.wait().unwrap_or_else(|| back_off(tries))
                }
                CustodyError::Vault { .. } => self.store.poll_interval().unwrap_or(TRY_AGAIN),
                _ => TRY_AGAIN,
            };
            tracing::error!(seconds = wait.as_secs(), error = %custody_error(&error), "no publisher key yet; it is tried again");
            if let CustodyError::Vault { failure, .. } = error {
                failures.send_if_modified(|told| {
                    let is_news = told.as_ref() != Some(&failure);
                    *told = Some(failure);
                    is_news
                });
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn find_or_make_publisher_key(&self) -> Result<Arc<PublisherKey>, CustodyError> {
        let custody = self.store.key_secrets();
        if let Some(key) = custody.publisher().await? {
            return Ok(key);
        }
        match custody.adopt_publisher().await {
            Ok(Some(public)) => {
                tracing::info!(fingerprint = %public.fingerprint(), "the publisher key that the vault holds is taken over");
            }
            Ok(None) => self.make_publisher_key().await?,
            Err(error) if is_already_there(&error) => {}
            Err(error) => return Err(error),
        }
        custody
            .publisher()
            .await?
            .ok_or_else(|| CustodyError::Publisher(NotAPublisher { reason: "it is gone again".into() }))
    }

    async fn make_publisher_key(&self) -> Result<(), CustodyError> {
        let key = PublisherKey::generate()
            .map_err(|error| CustodyError::Publisher(NotAPublisher { reason: error.to_string() }))?;
        match self.store.key_secrets().create_publisher(&key).await {
            Ok(()) => {
                tracing::info!(fingerprint = %key.public_key().fingerprint(), "publisher key made");
                Ok(())
            }
            // Another replica was faster: its key counts.
            Err(error) if is_already_there(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Runs as long as we lead with this publisher key: renews by age, and keeps the published list right. Ends if
    /// another one takes its place, as a restore does: what this term holds was made with the old one.
    pub(crate) async fn run(&self, publisher_key: &PublisherKey) {
        let mut held = self.store.subscribe();
        let mut changes = std::pin::pin!(self.publisher.changes());
        let mut replaced = std::pin::pin!(self.store.publisher_changes());
        let mut told = Told::default();
        loop {
            // Before the pass: what changes during it is looked at after it.
            held.mark_unchanged();
            if self.publisher_is_replaced(&publisher_key.public_key()).await {
                return;
            }
            let wait = match self.pass(publisher_key, &mut told).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(error, "the leader's duties are not done, and tried again");
                    TRY_AGAIN
                }
            };
            tokio::select! {
                changed = held.changed() => if changed.is_err() { return },
                _ = changes.next() => {}
                _ = replaced.next() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Whether the Secret holds another publisher key than this term's. One that is gone or damaged is none: it is told,
    /// and this term's goes on.
    async fn publisher_is_replaced(&self, ours: &PublisherPublicKey) -> bool {
        let there = match self.store.publisher().await {
            Ok(Some(key)) => key.public_key(),
            Ok(None) => {
                tracing::warn!(
                    "the Secret with the publisher key is gone: a next leader will make another key"
                );
                return false;
            }
            // The pass that follows asks the same API server and vault, and tells.
            Err(CustodyError::Api(_) | CustodyError::Vault { .. }) => return false,
            Err(error) => {
                tracing::warn!(error = %custody_error(&error), "the publisher key cannot be read again");
                return false;
            }
        };
        if there == *ours {
            return false;
        }
        tracing::warn!(
            before = %ours.fingerprint(),
            now = %there.fingerprint(),
            "the publisher key was replaced: leading begins anew with it, and all objects are opened again"
        );
        true
    }

    /// One look at everything; says when the next is due.
    async fn pass(&self, publisher_key: &PublisherKey, told: &mut Told) -> Result<Duration, String> {
        let publisher = publisher_key.public_key();
        // Before anything is decided: a key that is in the vault already is not made once more.
        let adopted = self.adopt(&publisher, told).await;
        let mut held = self.store.reload().await.map_err(|error| custody_error(&error))?;
        // What cannot be read hinders no renewal.
        let published = self.publisher.read(&publisher).await;
        if let Ok(published) = &published {
            held = self.store.revoke(&published.revoked());
        }
        let now = (self.now)();
        let mut next = held.renewal(self.keys.renew_period, now);
        // Changes wake this up early: what did not work is not tried again before its time.
        let too_early = told.not_before.map(|at| at.saturating_duration_since(Instant::now()));
        let too_early = too_early.filter(|wait| !wait.is_zero());
        if next == Renewal::Now && too_early.is_none() && !held.waiting.is_empty() {
            // The key that seems to be missing may be there again: its vault is asked once more, before a second one is made.
            self.store.ask_again().await;
            held = self.store.subscribe().borrow().clone();
            next = held.renewal(self.keys.renew_period, now);
        }
        let mut try_again = TRY_AGAIN;
        if next == Renewal::Now {
            let made = match (adopted, too_early) {
                (_, Some(wait)) => Err(NotMade::Yet(wait)),
                (Ok(()), None) => self.make_key(publisher_key, &held, now, told).await,
                (Err(not_looked_at), None) => Err(not_looked_at),
            };
            match made {
                Ok(()) => {
                    held = self.store.reload().await.map_err(|error| custody_error(&error))?;
                    next = held.renewal(self.keys.renew_period, (self.now)());
                }
                // The old key goes on sealing, and everything else is done as ever.
                Err(not_made) => try_again = self.not_made(not_made, told).await?,
            }
        }
        let mut look_again = self.store.poll_interval().unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN);
        if next != Renewal::Now {
            told.not_before = None;
            match self.give_identities(publisher_key, &mut held, now, told).await {
                None => {
                    (told.escrow, told.escrow_failures) = (None, 0);
                    self.metrics.escrow_pending.set(0);
                }
                Some(wait) => look_again = look_again.min(wait),
            }
        }
        self.settle(told).await;
        if !self.leadership.is_held() {
            return Err("the Lease is no longer held".into());
        }
        let published = published?;
        let publication = Publication::of(&held, &publisher, &published, (self.now)());
        self.tell_of_stranger(&published, &publication, &mut told.foreign).await;
        self.publisher.write(publisher_key, &published, &publication, (self.now)()).await?;
        Ok(match next {
            Renewal::At(at) => from_until((self.now)(), at).min(look_again),
            Renewal::Now => try_again,
            Renewal::Never => look_again,
        })
    }

    /// Makes a key and puts it into use; with escrow, once its backup is stored. A key that an earlier leader began goes on
    /// from where that ended, unless a newer one is in use.
    ///
    /// It is valid from the moment that it was decided on: so it is newer than the one it follows, whatever the clock does
    /// meanwhile.
    async fn make_key(
        &self,
        publisher_key: &PublisherKey,
        held: &Held,
        now: Timestamp,
        told: &mut Told,
    ) -> Result<(), NotMade> {
        self.must_lead()?;
        let custody = self.store.key_secrets();
        let (begun, strangers) = choose(
            bounded(custody.pending()).await?,
            &publisher_key.public_key(),
            held.keyring.sealing_at(now).map(Certificate::not_before),
        );
        for stranger in strangers {
            if told.pending.insert(stranger.fingerprint()) {
                tracing::warn!(
                    secret = %crate::outcome::shown(stranger.name()),
                    fingerprint = %stranger.fingerprint(),
                    "a pending key that no leader of ours made is left alone"
                );
            }
        }
        let key = match begun {
            Some(key) => {
                tracing::info!(secret = key.name(), fingerprint = %key.fingerprint(), "a pending key is taken up again");
                key
            }
            None => {
                let (pair, mark) = self.generate(publisher_key, now).await?;
                // That took a while: the key that seemed to be missing may be there again.
                if self.is_back(held).await {
                    return Ok(());
                }
                if !self.escrow.is_asked() {
                    let fingerprint = pair.fingerprint();
                    let name = bounded(custody.create(pair, mark)).await?;
                    self.metrics.keys_made.inc();
                    tracing::info!(secret = name, %fingerprint, "sealing key made");
                    return Ok(());
                }
                let key = bounded(custody.create_pending(pair, mark)).await?;
                self.metrics.keys_made.inc();
                tracing::info!(secret = key.name(), fingerprint = %key.fingerprint(), "key made, not used yet");
                key
            }
        };
        if self.escrow.is_asked() {
            self.metrics.escrow_pending.set(1);
            self.must_lead()?;
            let stored = self.escrow.store(publisher_key, &key, now).await;
            stored.map_err(|reason| NotMade::Escrow { secret: key.name().to_owned(), reason })?;
            tracing::info!(secret = key.name(), fingerprint = %key.fingerprint(), "the backup of the key is stored");
        }
        self.must_lead()?;
        bounded(custody.activate(&key)).await?;
        tracing::info!(secret = key.name(), fingerprint = %key.fingerprint(), "the key is in use");
        Ok(())
    }

    async fn generate(
        &self,
        publisher_key: &PublisherKey,
        now: Timestamp,
    ) -> Result<(KeyPair, MakerMark), NotMade> {
        let KeyConfig { size, ttl, common_name, .. } = self.keys.clone();
        let pair = tokio::task::spawn_blocking(move || KeyPair::generate(size, &common_name, now, ttl))
            .await
            .map_err(|_| NotMade::Other("making a key was interrupted".to_owned()))?
            .map_err(|error| NotMade::Other(error.to_string()))?;
        // Making a key takes a second or more: the Lease may have gone meanwhile.
        self.must_lead()?;
        let mark = MakerMark::make(publisher_key, &pair.public_half());
        Ok((pair, mark))
    }

    /// Whether a key that was waited for is there now.
    async fn is_back(&self, before: &Held) -> bool {
        self.store.ask_again().await;
        self.store.subscribe().borrow().waiting.len() < before.waiting.len()
    }

    fn must_lead(&self) -> Result<(), NotMade> {
        match self.leadership.is_held() {
            true => Ok(()),
            false => Err(NotMade::Other("the Lease is no longer held".to_owned())),
        }
    }

    /// What follows from a key that is not made: who is told, and when to try again. What is no matter of this key alone is
    /// an error.
    async fn not_made(&self, not_made: NotMade, told: &mut Told) -> Result<Duration, String> {
        let failures = told.escrow_failures.saturating_add(1);
        match not_made {
            NotMade::Escrow { secret, reason } => {
                let note = format!("the new key is not used, since its backup is not stored: {reason}");
                let wait = escrow::back_off(failures);
                self.tell_of_escrow(&secret, note, wait, told).await;
                Ok(wait)
            }
            NotMade::Vault(failure) => {
                let note = format!("no new key is made, since its vault does not take it: {failure}");
                let wait = failure.wait().unwrap_or_else(|| back_off(failures));
                self.tell_of_escrow(PUBLISHER_SECRET, note, wait, told).await;
                told.look_at_the_vault_first(wait);
                Ok(wait)
            }
            NotMade::Yet(wait) => Ok(wait),
            NotMade::Other(reason) => {
                told.look_at_the_vault_first(TRY_AGAIN);
                Err(reason)
            }
        }
    }

    /// Event, metric and log of a key that is not made or not used, since it would be in one place only.
    async fn tell_of_escrow(&self, secret: &str, note: String, wait: Duration, told: &mut Told) {
        self.metrics.escrow_failures.inc();
        self.metrics.escrow_pending.set(1);
        told.escrow_failures = told.escrow_failures.saturating_add(1);
        tracing::error!(secret, seconds = wait.as_secs(), "{note}; it is tried again");
        if told.escrow.as_ref() != Some(&note) {
            self.events.escrow_failed(secret, &note).await;
            told.escrow = Some(note);
        }
    }

    /// Event, metric and log of a sealing key that we did not make, before the status says it: a leader that is lost in
    /// between leaves the telling to the next one.
    async fn tell_of_stranger(
        &self,
        published: &Published,
        publication: &Publication,
        told: &mut Option<String>,
    ) {
        let foreign = publication.foreign();
        self.metrics.sealing_key_foreign.set(i64::from(foreign.is_some()));
        let Some(foreign) = foreign else {
            *told = None;
            return;
        };
        if told.as_ref() == Some(&foreign.fingerprint) {
            return;
        }
        *told = Some(foreign.fingerprint.clone());
        tracing::warn!(
            secret = foreign.secret,
            fingerprint = foreign.fingerprint,
            "this controller did not make the key that seals"
        );
        if !published.tells_of(foreign) {
            self.metrics.foreign_keys.inc();
            self.events.foreign_key(foreign).await;
        }
    }
}

fn from_until(now: Timestamp, at: Timestamp) -> Duration {
    let wait = at.duration_since(now).max(SignedDuration::ZERO);
    Duration::try_from(wait).unwrap_or(LOOK_AGAIN)
}

const TRY_AGAIN: Duration = Duration::from_secs(5);
/// A clock that jumped, or a watch that slept, delays nothing by more than this.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
