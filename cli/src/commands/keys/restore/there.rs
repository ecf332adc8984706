//! What a cluster has before anything is restored: its keys, its publisher key, and which of them a vault keeps.

use super::NamespaceSecrets;
use crate::error::{CommandError, Shown};
use crate::key_vault::{patiently, vault_error};
use crate::speech;
use privyseal_custody::custody::{Failure, FailureKind, Kind};
use privyseal_custody::key_secret::{self, Look};
use privyseal_custody::key_secrets::{Custodies, CustodyError, publisher_kept_by, publisher_public_of};
use privyseal_keys::PublisherPublicKey;
use privyseal_manifest::Secret;
use std::collections::BTreeSet;

/// What is there.
pub(super) struct There {
    /// Key Secrets whose key opens, or may.
    pub(super) keys: Vec<Secret>,
    /// Names of those whose private half a vault keeps that was not asked for it.
    pub(super) unasked: BTreeSet<String>,
    /// None if there is no Secret; in it none if the key cannot be had.
    pub(super) publisher: Option<Option<PublisherPublicKey>>,
    /// Which vault custody keeps anything of it.
    pub(super) kept_by: Option<Kind>,
}

impl There {
    /// Looks. What a vault keeps counts as there if the vault gives it, or if none of `custodies` can be asked.
    pub(super) async fn of(
        secrets: &NamespaceSecrets<'_>,
        custodies: &Custodies,
    ) -> Result<Self, CommandError> {
        let mut this = Self { keys: Vec::new(), unasked: BTreeSet::new(), publisher: None, kept_by: None };
        for secret in secrets.keys().await? {
            if this.is_usable(&secret, custodies).await? {
                this.keys.push(secret);
            }
        }
        if let Some(secret) = secrets.publisher().await? {
            this.publisher = Some(this.look_at_publisher(&secret, custodies).await?);
        }
        Ok(this)
    }

    async fn is_usable(&mut self, secret: &Secret, custodies: &Custodies) -> Result<bool, CommandError> {
        let Ok(look) = Look::at(secret) else { return Ok(false) };
        let kind = look.half.kind();
        if kind == Kind::Cluster {
            return Ok(key_secret::from_secret(secret).is_ok());
        }
        self.kept_by = Some(kind);
        let name = look.subject.secret;
        if custodies.poll_interval().is_none() {
            self.unasked.insert(name);
            return Ok(true);
        }
        match patiently(async || custodies.open(secret).await).await {
            Ok(_) => Ok(true),
            Err(CustodyError::Vault { failure, .. }) => not_given(&name, &failure),
            Err(_) => Ok(false),
        }
    }

    async fn look_at_publisher(
        &mut self,
        secret: &Secret,
        custodies: &Custodies,
    ) -> Result<Option<PublisherPublicKey>, CommandError> {
        let kind = publisher_kept_by(secret).ok();
        let kept = kind.filter(|kind| *kind != Kind::Cluster);
        self.kept_by = self.kept_by.or(kept);
        let claimed = publisher_public_of(secret).ok();
        if kept.is_none() || custodies.poll_interval().is_none() {
            return Ok(claimed);
        }
        match patiently(async || custodies.open_publisher(secret).await).await {
            Ok(key) => Ok(Some(key.public_key())),
            Err(CustodyError::Vault { failure, .. }) => {
                let name = secret.metadata.name.as_deref().unwrap_or_default();
                let counts = not_given(name, &failure)?;
                Ok(claimed.filter(|_| counts))
            }
            Err(_) => Ok(None),
        }
    }
}

/// Whether a key still counts as there although its vault does not give it. One that is disabled can be enabled; one that
/// is deleted, or of a vault that is lost, is what a backup is for. A vault that lets nobody in says nothing of its keys.
fn not_given(secret: &str, failure: &Failure) -> Result<bool, CommandError> {
    let about = format!("Secret {}", Shown(secret));
    match failure.kind() {
        FailureKind::Disabled => {
            speech::warning(format_args!("{about}: {failure}"));
            Ok(true)
        }
        FailureKind::NotFound | FailureKind::Unconfigured | FailureKind::Damaged => {
            speech::warning(format_args!("{about} holds no key that can be had: {failure}"));
            Ok(false)
        }
        _ => Err(vault_error(&about, failure)),
    }
}
