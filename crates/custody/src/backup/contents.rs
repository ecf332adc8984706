//! What a backup says is in it, in the clear and signed.

use super::BackupError;
use crate::key_secret;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::Fingerprint;
use privyseal_manifest::names;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is in a backup. Its texts come from outside: escape them before showing them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// When it was made.
    pub time: Timestamp,
    /// Of which cluster, for people.
    pub cluster: String,
    /// Where the Secrets were.
    pub namespace: String,
    /// The keys, newest first.
    pub keys: Vec<KeyRecord>,
    /// To whom it is encrypted.
    pub recipients: Vec<String>,
    /// SHA-256 of the age file, not armored.
    pub digest: Fingerprint,
}

/// One key of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The one that names the key.
    pub fingerprint: Fingerprint,
    /// Of the recipients of its age identities, in their order.
    pub recipients: Vec<Fingerprint>,
    /// The name of its Secret.
    pub secret: String,
    /// What its label said.
    pub state: KeyState,
    /// Whether it was marked as compromised.
    pub compromised: bool,
}

/// What the label of a key Secret says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeyState {
    /// In use.
    Active,
    /// Not yet in use.
    Pending,
    /// No longer in use.
    Retired,
}

impl KeyState {
    /// The state of a key Secret.
    pub fn of(metadata: &ObjectMeta) -> Self {
        match key_secret::label(metadata) {
            Some(names::KEY_ACTIVE) => Self::Active,
            Some(names::KEY_PENDING) => Self::Pending,
            _ => Self::Retired,
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Retired => "retired",
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContentsText {
    time: String,
    cluster: String,
    namespace: String,
    keys: Vec<RecordText>,
    recipients: Vec<String>,
    sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordText {
    fingerprint: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recipients: Vec<String>,
    secret: String,
    state: KeyState,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    compromised: bool,
}

impl Contents {
    /// The JSON text that is signed.
    pub(super) fn to_text(&self) -> String {
        let text = ContentsText {
            time: self.time.to_string(),
            cluster: self.cluster.clone(),
            namespace: self.namespace.clone(),
            keys: self
                .keys
                .iter()
                .map(|key| RecordText {
                    fingerprint: key.fingerprint.to_string(),
                    recipients: key.recipients.iter().map(Fingerprint::to_string).collect(),
                    secret: key.secret.clone(),
                    state: key.state,
                    compromised: key.compromised,
                })
                .collect(),
            recipients: self.recipients.clone(),
            sha256: self.digest.to_string(),
        };
        serde_json::to_string(&text).expect("strings and numbers are JSON")
    }

    pub(super) fn parse(text: &str) -> Result<Self, BackupError> {
        let text: ContentsText = serde_json::from_str(text).map_err(|_| BackupError::Malformed)?;
        let fingerprint = |text: &str| text.parse::<Fingerprint>().map_err(|_| BackupError::Malformed);
        let record = |key: RecordText| {
            Ok(KeyRecord {
                fingerprint: fingerprint(&key.fingerprint)?,
                recipients: key.recipients.iter().map(|text| fingerprint(text)).collect::<Result<_, _>>()?,
                secret: key.secret,
                state: key.state,
                compromised: key.compromised,
            })
        };
        Ok(Self {
            time: text.time.parse().map_err(|_| BackupError::Malformed)?,
            cluster: text.cluster,
            namespace: text.namespace,
            keys: text.keys.into_iter().map(record).collect::<Result<_, BackupError>>()?,
            recipients: text.recipients,
            digest: fingerprint(&text.sha256)?,
        })
    }
}
