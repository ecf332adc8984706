//! The keys of a cluster, for those who may read the Secrets of the controller's namespace, and marks on them.
//!
//! Of a key Secret the public half is looked at, and the rest is wiped with it.

use super::{Answer, Session};
use crate::error::{CommandError, Shown};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret as SecretKind;
use kube::Api;
use kube::api::{Patch, PatchParams};
use privyseal_custody::custody::Kind;
use privyseal_custody::key_secret::Look;
use privyseal_custody::key_secrets::KeySecrets;
use privyseal_custody::{ApiError, SecretApi, key_secret};
use privyseal_envelope::age::Recipient;
use privyseal_envelope::{Fingerprint, KeyId};
use privyseal_keys::{Certificate, PublicHalf, PublishedKeys};
use privyseal_manifest::{Secret, names};
use serde::Serialize;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::fmt;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyState {
    /// New values are sealed to it.
    Sealing,
    /// It opens, and nothing is sealed to it.
    OpeningOnly,
    /// It leaked: it opens until it is retired.
    Compromised,
    /// The leader made it, and it seals and opens once its backup is stored.
    Pending,
    /// It does not open.
    Retired,
}

/// One key of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterKey {
    /// Its Secret; none where Secrets may not be read.
    pub(crate) secret: Option<KeySecret>,
    /// Its certificate.
    pub(crate) certificate: Certificate,
    /// Its recipients; none if it has no age identities.
    pub(crate) recipients: Vec<Recipient>,
    /// What it does.
    pub(crate) state: KeyState,
}

/// A key Secret at the moment in which it was read.
#[derive(Clone, Debug)]
pub(crate) struct KeySecret {
    /// Its name.
    pub(crate) name: String,
    uid: Option<String>,
    resource_version: Option<String>,
    /// Whether it is marked as compromised, in whatever state it is.
    pub(crate) compromised: bool,
    /// Where its private half is; none if what says that cannot be read.
    pub(crate) custody: Option<Kind>,
    /// Whether it is marked as having lain in the cluster in the clear.
    pub(crate) was_in_clear: bool,
}

impl KeySecret {
    #[cfg(test)]
    pub(crate) fn for_test(name: &str, custody: Option<Kind>, was_in_clear: bool) -> Self {
        let (name, compromised) = (name.to_owned(), false);
        Self { name, uid: None, resource_version: None, compromised, custody, was_in_clear }
    }

    /// Whether a vault keeps now what once lay in the cluster for whoever could read Secrets. Of what still does, that is
    /// nothing to tell.
    pub(crate) fn once_lay_in_clear(&self) -> bool {
        self.was_in_clear && self.custody != Some(Kind::Cluster)
    }
}

impl ClusterKey {
    /// Its fingerprint.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint()
    }

    /// Its key id.
    pub(crate) fn key_id(&self) -> KeyId {
        self.fingerprint().key_id()
    }

    /// The key ids of its recipients: hints of the age format speak of these.
    pub(crate) fn recipient_ids(&self) -> impl Iterator<Item = KeyId> {
        self.recipients.iter().map(|recipient| recipient.fingerprint().key_id())
    }

    /// All by which lists know it: its own fingerprint, and those of its recipients.
    pub(crate) fn fingerprints(&self) -> impl Iterator<Item = Fingerprint> {
        std::iter::once(self.fingerprint()).chain(self.recipients.iter().map(Recipient::fingerprint))
    }

    /// What counts of it when values are asked for the keys that they need.
    pub(crate) fn for_report(&self) -> privyseal_repo::report::Key {
        privyseal_repo::report::Key { id: self.key_id(), recipients: self.recipient_ids().collect() }
    }

    /// By any of the names that people find: the list shows one, and values and lists of keys the others.
    pub(crate) fn is_called(&self, text: &str) -> bool {
        self.fingerprints()
            .any(|fingerprint| fingerprint.to_string() == text || fingerprint.key_id().to_string() == text)
            || self.secret.as_ref().is_some_and(|secret| secret.name == text)
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sealing => "sealing",
            Self::OpeningOnly => "opening only",
            Self::Compromised => "compromised",
            Self::Pending => "pending",
            Self::Retired => "retired",
        })
    }
}

impl Session {
    /// The published list of sealing keys, which our controller always has.
    pub(crate) async fn sealing_keys(&self) -> Result<PublishedKeys, CommandError> {
        match self.answer().await? {
            Answer::Published { list, .. } => Ok(list),
            Answer::Served { .. } => Err(CommandError::failed(format!(
                "{}: the controller publishes no list of keys",
                Shown(&self.server)
            ))
            .hint("the life of keys is managed where Privyseal's controller runs; --controller-namespace says where")),
        }
    }

    /// All keys, newest first. Where Secrets may not be read, those of the published list.
    pub(crate) async fn keys(&self) -> Result<Vec<ClusterKey>, CommandError> {
        let list = self.sealing_keys().await?;
        let sealing = list.keys.first().map(|key| key.certificate.fingerprint());
        let secrets = SecretApi::new(self.client.clone(), self.namespace());
        let found = match secrets.list(KeySecrets::selector()).await {
            Err(error) if error.status().is_some_and(|status| status.code == 403) => {
                crate::speech::note("key Secrets may not be read: only what is published is shown");
                return Ok(published_only(&list));
            }
            found => found.map_err(|error| self.secret_error(&error))?,
        };
        let read = found
            .into_iter()
            .filter_map(Result::ok)
            .filter_map(|secret| key_of(&secret, |fingerprint| Some(fingerprint) == sealing));
        let mut keys: Vec<_> = read.collect();
        // Certificates are dated to the second: of two of one second the one that seals is the newer.
        keys.sort_by_key(|key| {
            (Reverse(key.certificate.not_before()), key.state != KeyState::Sealing, key.key_id())
        });
        Ok(keys)
    }

    /// The key that somebody names by its key id, fingerprint or Secret.
    pub(crate) async fn key(&self, text: &str) -> Result<ClusterKey, CommandError> {
        self.named(&self.keys().await?, text).cloned()
    }

    /// The same, of keys that were read before.
    pub(crate) fn named<'k>(
        &self,
        keys: &'k [ClusterKey],
        text: &str,
    ) -> Result<&'k ClusterKey, CommandError> {
        keys.iter().find(|key| key.is_called(text)).ok_or_else(|| {
            CommandError::input(format!("{}: there is no key {}", Shown(&self.server), Shown(text))).hint(
                "`privyseal keys list` shows the keys; a key is named by an id or fingerprint of it or of its age \
                 recipients, or by its Secret",
            )
        })
    }

    /// Sets an annotation of a key Secret to the time.
    pub(crate) async fn mark_key(
        &self,
        key: &ClusterKey,
        annotation: &str,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let time = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
        self.patch_key(key, json!({"annotations": {annotation: time}})).await
    }

    /// Takes a key out of opening.
    pub(crate) async fn retire_key(&self, key: &ClusterKey) -> Result<(), CommandError> {
        self.patch_key(key, json!({"labels": {KeySecrets::selector(): RETIRED}})).await
    }

    /// Changes the Secret that was read, and no other that took its place; asks for no value in the answer.
    async fn patch_key(&self, key: &ClusterKey, mut metadata: Value) -> Result<(), CommandError> {
        let Some(secret) = &key.secret else {
            return Err(CommandError::failed(format!(
                "{}: the key Secrets may not be read, and so not changed",
                Shown(&self.server)
            ))
            .hint("it takes the rights to get, list and patch Secrets in the controller's namespace"));
        };
        metadata["uid"] = json!(secret.uid);
        metadata["resourceVersion"] = json!(secret.resource_version);
        let api = Api::<SecretKind>::namespaced(self.client.clone(), self.namespace());
        let patch = Patch::Merge(json!({"metadata": metadata}));
        let what = format!("the Secret {}/{}", self.namespace(), secret.name);
        match api.patch_metadata(&secret.name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Err(CommandError::failed(
                format!("{what} changed or was deleted since it was read: nothing was done"),
            )
            .hint("look at `privyseal keys list`, and run the command again")),
            Err(error) => Err(self.error(&what, &error)),
        }
    }

    /// An error about the key Secrets.
    fn secret_error(&self, error: &ApiError) -> CommandError {
        let what = format!("the key Secrets of {}", self.namespace());
        match error {
            ApiError::Kube(error) => self.error(&what, error),
            other => CommandError::failed(format!("{}: {what}: {other}", Shown(&self.server))),
        }
    }
}

fn published_only(list: &PublishedKeys) -> Vec<ClusterKey> {
    let state = |index| if index == 0 { KeyState::Sealing } else { KeyState::OpeningOnly };
    let keys = list.keys.iter().enumerate();
    keys.map(|(index, key)| ClusterKey {
        secret: None,
        certificate: key.certificate.clone(),
        recipients: key.recipients.clone(),
        state: state(index),
    })
    .collect()
}

/// None if the Secret is no key at all.
fn key_of(secret: &Secret, seals: impl Fn(Fingerprint) -> bool) -> Option<ClusterKey> {
    let metadata = &secret.metadata;
    if key_secret::is_made_by_sealed_secret(metadata) {
        return None;
    }
    let text = secret.data.get(key_secret::CERTIFICATE_ITEM)?.expose();
    // Recipients that cannot be read are none, and take no key out of sight.
    let PublicHalf { certificate, recipients } = match PublicHalf::from_text(text) {
        Ok(key) => key,
        Err(_) => Certificate::from_pem(text).ok()?.into(),
    };
    let compromised = key_secret::is_compromised(metadata);
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(names::SEALED_SECRETS_KEY));
    let state = match (key_secret::is_active(metadata), compromised) {
        (false, _) if label.is_some_and(|label| label == names::KEY_PENDING) => KeyState::Pending,
        (false, _) => KeyState::Retired,
        (true, true) => KeyState::Compromised,
        (true, false) if seals(certificate.fingerprint()) => KeyState::Sealing,
        (true, false) => KeyState::OpeningOnly,
    };
    let secret = KeySecret {
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        compromised,
        custody: Look::at(secret).ok().map(|look| look.half.kind()),
        was_in_clear: key_secret::was_in_clear(metadata),
    };
    Some(ClusterKey { secret: Some(secret), certificate, recipients, state })
}

/// What the label of a retired key says; any word but `active` does it.
const RETIRED: &str = "retired";
