//! The leader's duties about a vault: keys that are there and not here, and keys that are not where they should be.

use super::{Duties, NotMade, Told};
use crate::config::KeyConfig;
use crate::keystore::custody_error;
use privyseal_custody::MakerMark;
use privyseal_custody::key_secrets::{Adopted, CustodyError, PUBLISHER_SECRET};
use privyseal_envelope::rsa::OpeningKey;
use privyseal_keys::{Certificate, PublicHalf, PublisherPublicKey};
use std::time::Duration;
use tokio::time::Instant;

impl Duties {
    /// Makes Secrets of keys that the vault holds and nobody here knows. That they are not ours, as keys that people bring
    /// are not, is told of the one that seals, as ever.
    pub(super) async fn adopt(&self, publisher: &PublisherPublicKey, told: &mut Told) -> Result<(), NotMade> {
        if !self.is_poll_due(told) {
            return told.vault.clone().map_or(Ok(()), |failure| Err(NotMade::Vault(failure)));
        }
        let KeyConfig { ttl, common_name, .. } = &self.keys;
        let now = (self.now)();
        let certify = |key: &OpeningKey| Certificate::issue(key, common_name, now, *ttl).ok();
        // One that we made is used once its backup is stored, as if its maker had not been lost.
        let is_pending =
            |key: &PublicHalf, mark: &MakerMark| self.escrow.is_asked() && mark.proves(publisher, key);
        let adopted = self.store.key_secrets().adopt(certify, is_pending).await;
        told.vault = None;
        match adopted {
            Ok(adopted) => {
                for Adopted { secret, fingerprint, taken } in adopted {
                    if taken {
                        tracing::error!(
                            secret,
                            %fingerprint,
                            "a key that the vault holds gets no Secret, since one of that name is there and is no key: \
                             delete that one, then restart the leader"
                        );
                    } else {
                        tracing::info!(secret, %fingerprint, "a key that the vault holds is taken over");
                    }
                }
                Ok(())
            }
            Err(CustodyError::Vault { failure, .. }) => {
                tracing::warn!(reason = failure.kind().as_str(), "the vault cannot be looked at: {failure}");
                told.vault = Some(failure.clone());
                Err(NotMade::Vault(failure))
            }
            Err(error) => {
                // What is there is not known: nothing is made beside it.
                told.polled = None;
                let reason = format!("the vault's keys are not taken over: {}", custody_error(&error));
                tracing::warn!("{reason}");
                Err(NotMade::Other(reason))
            }
        }
    }

    /// Moves private halves to where they should be, one by one. What is left is told, and tried again at the next look.
    pub(super) async fn settle(&self, told: &mut Told) {
        if std::mem::replace(&mut told.is_settled, true) {
            return;
        }
        let key_secrets = self.store.key_secrets();
        if self.leadership.is_held() {
            match key_secrets.settle_publisher().await {
                Ok(true) => tracing::info!("the publisher key was moved to its custody"),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(
                        secret = PUBLISHER_SECRET,
                        error = %custody_error(&error),
                        "the publisher key was not moved to its custody"
                    );
                    told.is_settled = false;
                }
            }
        }
        let unsettled = match key_secrets.unsettled().await {
            Ok(unsettled) => unsettled,
            Err(error) => {
                tracing::warn!(error = %custody_error(&error), "where keys are kept is not looked at");
                return told.is_settled = false;
            }
        };
        for key in unsettled {
            if !self.leadership.is_held() {
                return;
            }
            let secret = key.name().to_owned();
            if told.refused.get(&secret).is_some_and(|refused| refused.again > Instant::now()) {
                told.is_settled = false;
                continue;
            }
            match key_secrets.settle(key, (self.now)()).await {
                Ok(()) => {
                    told.refused.remove(&secret);
                    let keeping = key_secrets.custodies().keeping();
                    tracing::info!(secret, custody = keeping.as_str(), "a key was moved to its custody");
                }
                Err(error) => {
                    tracing::warn!(
                        secret,
                        error = %custody_error(&error),
                        "a key was not moved to its custody (is its Secret immutable, or guarded by a policy?)"
                    );
                    told.is_settled = false;
                    if !is_refused(&error) {
                        continue;
                    }
                    // The vault may get a version of it each time: so each time later.
                    let failures =
                        told.refused.get(&secret).map_or(1, |refused| refused.failures.saturating_add(1));
                    let again = Instant::now() + wait_after(failures);
                    told.refused.insert(secret, Refused { failures, again });
                }
            }
        }
    }

    /// Whether the vault is to be looked at again: at each poll, and no more often than that. Passes are as frequent as
    /// changes, and every look is a call.
    fn is_poll_due(&self, told: &mut Told) -> bool {
        let Some(interval) = self.store.poll_interval() else { return false };
        let now = Instant::now();
        let is_due = told.polled.is_none_or(|polled| polled + interval <= now)
            || told.vault.as_ref().is_some_and(|failure| failure.kind().heals());
        if is_due {
            told.polled = Some(now);
            told.is_settled = false;
        }
        is_due
    }
}

/// A key that could not be moved.
pub(super) struct Refused {
    failures: u32,
    again: Instant,
}

/// Whether the API server does not take the Secret, and would not a moment later either.
fn is_refused(error: &CustodyError) -> bool {
    match error {
        CustodyError::Api(error) => {
            error.status().is_some_and(|status| matches!(status.code, 400 | 403 | 422))
        }
        _ => false,
    }
}

/// 1, 2, 4 minutes and so on, up to a day.
pub(super) fn wait_after(failures: u32) -> Duration {
    MINUTE.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(DAY)
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
