//! Private halves that are not where they should be, and how they get there.

use super::{CustodyError, KeySecrets, not_opened};
use crate::custody::{Half, Kind};
use crate::key_secret::{self, Look};
use jiff::Timestamp;
use privyseal_manifest::Secret;

/// A key whose private half is not where it should be.
pub struct Unsettled {
    secret: Secret,
    look: Look,
}

impl Unsettled {
    /// The name of its Secret.
    pub fn name(&self) -> &str {
        &self.look.subject.secret
    }
}

impl KeySecrets {
    /// Keys, in use or not, whose private half is not where it should be: with another custody than the one that this
    /// process was started with, or under an older key of the vault.
    pub async fn unsettled(&self) -> Result<Vec<Unsettled>, CustodyError> {
        let mut unsettled = Vec::new();
        for secret in self.secrets.list(Self::selector()).await?.into_iter().flatten() {
            let Ok(look) = Look::at(&secret) else { continue };
            if !self.is_settled(&look.subject.secret, &look.half).await? {
                unsettled.push(Unsettled { secret, look });
            }
        }
        Ok(unsettled)
    }

    pub(super) async fn is_settled(&self, secret: &str, half: &Half) -> Result<bool, CustodyError> {
        let keeping = self.custodies.keeping();
        match half {
            Half::Clear(_) => Ok(keeping == Kind::Cluster),
            Half::Kept(reference) if reference.kind() != keeping => Ok(false),
            Half::Kept(reference) => {
                let current = self.custodies.keeping.is_current(reference).await;
                current.map_err(|failure| CustodyError::Vault { secret: secret.to_owned(), failure })
            }
        }
    }

    /// Keeps a private half where it should be, with one write: whoever is lost before it left all as it was. Its Secret
    /// says from then on if the private half was there in the clear.
    pub async fn settle(&self, key: Unsettled, now: Timestamp) -> Result<(), CustodyError> {
        let Unsettled { mut secret, look } = key;
        let name = look.subject.secret.clone();
        let entry = self.opened(&look).await.map_err(|error| not_opened(&name, error))?;
        let private = entry.private_text()?;
        let kept = self.custodies.keeping.keep(&look.subject, private.as_bytes()).await;
        let half = kept.map_err(|failure| CustodyError::Vault { secret: name, failure })?;
        if matches!(look.half, Half::Clear(_)) {
            key_secret::note_was_in_clear(&mut secret.metadata, now);
        }
        self.rewrite(secret, &look.subject, half, entry).await
    }
}
