//! The leader's duty about age: the key that seals has identities, so that values of that format can be sealed for the cluster.
//!
//! Keys that we make have them. One that the peer made, or an older release, or that people brought, gets them here, if it
//! seals and is not to be replaced anyway. With escrow the backup that holds them comes first: what nobody could bring back
//! is published to nobody.

use super::vault::wait_after;
use super::{Duties, NotMade, TRY_AGAIN, Told, is_already_there};
use crate::escrow;
use crate::keystore::{Held, bounded, custody_error};
use jiff::Timestamp;
use privyseal_custody::custody::back_off;
use privyseal_envelope::Fingerprint;
use privyseal_keys::{KeyringEntry, PublisherKey};
use std::time::Duration;
use tokio::time::Instant;

/// A key did not get its identities.
#[derive(Clone, Copy)]
pub(super) struct NotGiven {
    key: Fingerprint,
    failures: u32,
    again: Instant,
}

impl Duties {
    /// Gives the key that seals identities if it has none, and sees to it that an escrowed backup holds what it has. What
    /// does not work hinders nothing else; says then when to try again.
    pub(super) async fn give_identities(
        &self,
        publisher_key: &PublisherKey,
        held: &mut Held,
        now: Timestamp,
        told: &mut Told,
    ) -> Option<Duration> {
        let entry = held.sealing_on_at(now)?.clone();
        let key = entry.fingerprint();
        let failed = told.no_identities.take().filter(|failed| failed.key == key);
        if let Some(failed) = &failed {
            let wait = failed.again.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                told.no_identities = Some(*failed);
                return Some(wait);
            }
        }
        let done = match entry.identities().is_empty() {
            true => self.complete(publisher_key, &entry, now).await,
            false => self.renew_backup(publisher_key, &entry, now).await.map(|()| false),
        };
        let not_made = match done {
            Ok(false) => return None,
            Ok(true) => match self.store.reload().await {
                Ok(reloaded) => {
                    *held = reloaded;
                    return None;
                }
                Err(error) => NotMade::Other(custody_error(&error)),
            },
            Err(not_made) => not_made,
        };
        let failures = failed.map_or(1, |failed| failed.failures.saturating_add(1));
        let wait = self.not_given(entry.source(), not_made, failures, told).await;
        told.no_identities = Some(NotGiven { key, failures, again: Instant::now() + wait });
        Some(wait)
    }

    /// Whether the key got identities: not if its Secret says that it needs none any more.
    async fn complete(
        &self,
        publisher_key: &PublisherKey,
        entry: &KeyringEntry,
        now: Timestamp,
    ) -> Result<bool, NotMade> {
        self.must_lead()?;
        let custody = self.store.key_secrets();
        let new = bounded(custody.new_identities(entry.source(), entry.fingerprint(), publisher_key)).await?;
        let Some(new) = new else { return Ok(false) };
        if self.escrow.is_asked() {
            self.metrics.escrow_pending.set(1);
            self.must_lead()?;
            let stored = self.escrow.store(publisher_key, new.key(), now).await;
            stored.map_err(|reason| NotMade::Escrow { secret: entry.source().to_owned(), reason })?;
        }
        self.must_lead()?;
        match bounded(custody.give_identities(new)).await {
            Ok(()) => {
                tracing::info!(
                    secret = entry.source(),
                    fingerprint = %entry.fingerprint(),
                    "the key that seals got age identities"
                );
                Ok(true)
            }
            // Somebody was faster: the next pass looks at what is there.
            Err(error) if is_already_there(&error) => Err(NotMade::Yet(TRY_AGAIN)),
            Err(error) => Err(error.into()),
        }
    }

    /// A backup that another leader stored, which was overtaken, or that is for other people, does not hold the identities
    /// that this key has, and that anybody may seal to.
    async fn renew_backup(
        &self,
        publisher_key: &PublisherKey,
        entry: &KeyringEntry,
        now: Timestamp,
    ) -> Result<(), NotMade> {
        let failed = |reason| NotMade::Escrow { secret: entry.source().to_owned(), reason };
        let public = publisher_key.public_key();
        if !self.escrow.is_outdated(&public, entry.fingerprints()).await.map_err(failed)? {
            return Ok(());
        }
        let key = bounded(self.store.key_secrets().stored(entry.source())).await?;
        let Some(key) = key.filter(|key| key.fingerprints() == entry.fingerprints()) else { return Ok(()) };
        self.must_lead()?;
        self.escrow.store(publisher_key, &key, now).await.map_err(failed)?;
        tracing::info!(secret = key.name(), fingerprint = %key.fingerprint(), "the backup of the key is stored anew");
        Ok(())
    }

    /// Who is told, and when to try again: a vault may get a version of the key each time, so each time later.
    async fn not_given(&self, secret: &str, not_made: NotMade, failures: u32, told: &mut Told) -> Duration {
        match not_made {
            NotMade::Escrow { secret, reason } => {
                let wait = escrow::back_off(failures);
                let note = format!(
                    "the backup of the key that seals is not stored with its age identities: {reason}"
                );
                self.tell_of_escrow(&secret, note, wait, told).await;
                wait
            }
            NotMade::Vault(failure) => {
                let wait = failure.wait().unwrap_or_else(|| back_off(failures));
                tracing::warn!(
                    secret,
                    seconds = wait.as_secs(),
                    "the key that seals has no age identities, since its vault does not take them: {failure}"
                );
                wait
            }
            NotMade::Yet(wait) => wait,
            NotMade::Other(reason) => {
                let wait = wait_after(failures);
                tracing::warn!(
                    secret,
                    seconds = wait.as_secs(),
                    reason,
                    "the key that seals got no age identities (is its Secret immutable, or guarded by a policy?)"
                );
                wait
            }
        }
    }
}
