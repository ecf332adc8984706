//! What the leader does beside opening: makes the publisher key and sealing keys, and publishes their list.
//!
//! Before a key is made the key Secrets are read anew, and the Lease must be held: a list that is old, or a replica
//! that only believes it leads, must not lead to a second key.

use crate::config::KeyConfig;
use crate::events::Events;
use crate::keystore::{KeyStore, custody_error};
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::publish::{Publication, Published, Publisher};
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use privyseal_custody::MakerMark;
use privyseal_custody::cluster::CustodyError;
use privyseal_keys::renewal::Renewal;
use privyseal_keys::{KeyPair, PublisherKey};
use std::sync::Arc;
use std::time::Duration;

/// The leader's duties.
pub(crate) struct Duties {
    /// How keys are made.
    pub keys: KeyConfig,
    /// Where they live.
    pub store: Arc<KeyStore>,
    /// Whether we lead.
    pub leadership: Leadership,
    /// The published list.
    pub publisher: Publisher,
    /// For what people should know.
    pub events: Events,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub now: fn() -> Timestamp,
}

impl Duties {
    /// The publisher key: read, or made if there is none. Tries until it has one.
    pub(crate) async fn publisher_key(&self) -> Arc<PublisherKey> {
        loop {
            match self.find_or_make_publisher_key().await {
                Ok(key) => return Arc::new(key),
                Err(error) => tracing::error!(error = %custody_error(&error), "no publisher key yet"),
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    async fn find_or_make_publisher_key(&self) -> Result<PublisherKey, CustodyError> {
        let custody = self.store.custody();
        if let Some(key) = custody.publisher().await? {
            return Ok(key);
        }
        let key = PublisherKey::generate()
            .map_err(|error| CustodyError::Publisher { reason: error.to_string() })?;
        match custody.create_publisher(&key).await {
            Ok(()) => tracing::info!(fingerprint = %key.public_key().fingerprint(), "publisher key made"),
            // Another replica was faster: its key counts.
            Err(CustodyError::Api(error)) if error.status().is_some_and(|status| status.code == 409) => {}
            Err(error) => return Err(error),
        }
        custody
            .publisher()
            .await?
            .ok_or_else(|| CustodyError::Publisher { reason: "it is gone again".into() })
    }

    /// Runs as long as we lead: renews by age, and keeps the published list right.
    pub(crate) async fn run(&self, publisher_key: &PublisherKey) {
        let mut held = self.store.subscribe();
        let mut changes = std::pin::pin!(self.publisher.changes());
        let mut told = None;
        loop {
            // Before the pass: what changes during it is looked at after it.
            held.mark_unchanged();
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
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One look at everything; says when the next is due. `told` is the foreign key that this term has told of.
    async fn pass(
        &self,
        publisher_key: &PublisherKey,
        told: &mut Option<String>,
    ) -> Result<Duration, String> {
        let publisher = publisher_key.public_key();
        let mut held = self.store.reload().await.map_err(|error| custody_error(&error))?;
        // What cannot be read hinders no renewal.
        let published = self.publisher.read(&publisher).await;
        if let Ok(published) = &published {
            held = self.store.revoke(&published.revoked());
        }
        let now = (self.now)();
        let mut next = held.renewal(self.keys.renew_period, now);
        if next == Renewal::Now {
            self.make_key(publisher_key, now).await?;
            held = self.store.reload().await.map_err(|error| custody_error(&error))?;
            next = held.renewal(self.keys.renew_period, (self.now)());
        }
        if !self.leadership.is_held() {
            return Err("the Lease is no longer held".into());
        }
        let published = published?;
        let publication = Publication::of(&held, &publisher, &published, (self.now)());
        self.tell_of_stranger(&published, &publication, told).await;
        self.publisher.write(publisher_key, &published, &publication, (self.now)()).await?;
        Ok(match next {
            Renewal::At(at) => from_until((self.now)(), at).min(LOOK_AGAIN),
            Renewal::Now => TRY_AGAIN,
            Renewal::Never => LOOK_AGAIN,
        })
    }

    /// A key that is valid from the moment that it was decided on: so it is newer than the one it follows, whatever the
    /// clock does meanwhile.
    async fn make_key(&self, publisher_key: &PublisherKey, now: Timestamp) -> Result<(), String> {
        if !self.leadership.is_held() {
            return Err("the Lease is no longer held".into());
        }
        let KeyConfig { size, ttl, common_name, .. } = self.keys.clone();
        let pair = tokio::task::spawn_blocking(move || KeyPair::generate(size, &common_name, now, ttl))
            .await
            .map_err(|_| "making a key was interrupted".to_owned())?
            .map_err(|error| error.to_string())?;
        // Making a key takes a second or more: the Lease may have gone meanwhile.
        if !self.leadership.is_held() {
            return Err("the Lease is no longer held".into());
        }
        let mark = MakerMark::make(publisher_key, pair.certificate());
        let created = self.store.custody().create(&pair, &mark).await;
        let name = created.map_err(|error| custody_error(&error))?;
        self.metrics.keys_made.inc();
        tracing::info!(secret = name, fingerprint = %pair.fingerprint(), "sealing key made");
        Ok(())
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
