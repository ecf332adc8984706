//! The keys that a repository knows: those of its clusters' key files, and the recipients of its configuration. Each is
//! held against the trust file before it is believed.

use super::code::Code;
use super::finding::Finding;
use crate::{ClusterName, Evidence, Judgement, KeyFile, KeySource, Pin, RecipientName, Subject, Trust};
use jiff::Timestamp;
use privyseal_envelope::age::{Kind, Recipient};
use privyseal_envelope::{Fingerprint, KeyId};
use privyseal_keys::{PublicHalf, PublishedKeys};

/// The keys of one cluster, as far as the repository knows them.
#[derive(Clone, Debug)]
pub struct ClusterKeys {
    pub(super) name: ClusterName,
    /// Newest first.
    pub(super) keys: Vec<KnownKey>,
    pub(super) revoked: Vec<KeyId>,
    /// Whether these are all keys that may seal, and not only one of them.
    pub(super) complete: bool,
}

/// One key of a cluster.
#[derive(Clone, Debug)]
pub(super) struct KnownKey {
    /// Of its RSA half, which names it.
    pub(super) id: KeyId,
    /// Of its recipients, which have ids of their own.
    pub(super) recipients: Vec<(KeyId, Kind)>,
    pub(super) bits: usize,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// A recipient of the configuration that is no cluster.
#[derive(Clone, Debug)]
pub struct KnownRecipient {
    pub(super) name: RecipientName,
    pub(super) id: KeyId,
    pub(super) kind: Kind,
}

/// What became of a key file.
#[derive(Debug, Default)]
pub struct JudgedKeyFile {
    /// Its keys, if they can be used.
    pub keys: Option<ClusterKeys>,
    /// What is wrong with it.
    pub finding: Option<Finding>,
    /// Nothing is pinned for this cluster: the keys are used on the repository's own word.
    pub unpinned: Option<Evidence>,
}

/// Reads the key file of a cluster and asks whether it may be believed. Lint asks nobody and pins nothing.
pub fn judge_key_file(
    cluster: &ClusterName,
    source: &KeySource,
    path: &str,
    bytes: &[u8],
    trust: &Trust,
    now: Timestamp,
) -> JudgedKeyFile {
    let unusable = |problem: String| JudgedKeyFile {
        finding: Some(
            Finding::of_file(Code::KeyFileUnusable, path, format!("the keys of {cluster}: {problem}"))
                .cure("`privyseal keys fetch --published --out-file FILE` writes it anew"),
        ),
        ..JudgedKeyFile::default()
    };
    let (keys, evidence) = match source {
        KeySource::Published(_) => match KeyFile::verify(bytes) {
            Ok((list, publisher)) => {
                let evidence =
                    Evidence::Publisher { fingerprint: publisher.fingerprint(), serial: list.serial };
                (ClusterKeys::of_list(cluster.clone(), &list), evidence)
            }
            Err(error) => return unusable(error.to_string()),
        },
        // What is pinned is the certificate: recipients beside it could be anybody's, and are not sealed to either.
        KeySource::Certificate(_) => match PublicHalf::from_text(bytes) {
            Ok(PublicHalf { certificate, .. }) => {
                let key = PublicHalf::from(certificate);
                let fingerprint = key.fingerprint();
                (ClusterKeys::of_key(cluster.clone(), &key), Evidence::Certificate { fingerprint })
            }
            Err(error) => return unusable(error.to_string()),
        },
    };
    let changed = |problem: String, cure: &str| JudgedKeyFile {
        finding: Some(Finding::of_file(Code::KeyFileChanged, path, problem).cure(cure)),
        ..JudgedKeyFile::default()
    };
    match trust.judge(&Subject::Cluster(cluster.as_str().to_owned()), &evidence) {
        Judgement::Changed { pinned } => changed(
            format!("the keys of {cluster} have {evidence}, but {pinned} is trusted"),
            "ask somebody who knows the cluster, before anything is sealed with it",
        ),
        Judgement::Outdated { newest } => changed(
            format!("the list of keys of {cluster} is older than list {newest}, which was seen before"),
            "get the current list: `privyseal keys fetch --published`",
        ),
        judgement => JudgedKeyFile {
            finding: keys.without_sealing_key(path, now),
            keys: Some(keys),
            unpinned: (judgement == Judgement::Unknown).then_some(evidence),
        },
    }
}

/// What became of a recipient of the configuration.
#[derive(Debug, Default)]
pub struct JudgedRecipient {
    /// It, if it can be used.
    pub recipient: Option<KnownRecipient>,
    /// What is wrong with it.
    pub finding: Option<Finding>,
    /// Nothing is pinned for it: it is used on the repository's own word.
    pub unpinned: Option<Evidence>,
}

/// Asks whether a recipient of the configuration may be believed. `path` is that of the configuration.
pub fn judge_recipient(
    name: &RecipientName,
    recipient: &Recipient,
    path: &str,
    trust: &Trust,
) -> JudgedRecipient {
    let fingerprint = recipient.fingerprint();
    let evidence = Pin::Recipient { fingerprint };
    let known = KnownRecipient { name: name.clone(), id: fingerprint.key_id(), kind: recipient.kind() };
    match trust.judge(&Subject::Recipient(name.as_str().to_owned()), &evidence) {
        Judgement::Changed { pinned } => JudgedRecipient {
            finding: Some(
                Finding::of_file(
                    Code::KeyFileChanged,
                    path,
                    format!("recipients.{name} is {evidence}, but {pinned} is trusted"),
                )
                .cure("ask whoever holds it, before anything is sealed to it"),
            ),
            ..JudgedRecipient::default()
        },
        judgement => JudgedRecipient {
            recipient: Some(known),
            finding: None,
            unpinned: (judgement == Judgement::Unknown).then_some(evidence),
        },
    }
}

impl ClusterKeys {
    /// The keys of a published list.
    pub fn of_list(name: ClusterName, list: &PublishedKeys) -> Self {
        let keys = list.keys.iter().map(KnownKey::of).collect();
        let revoked = list.revoked.iter().map(Fingerprint::key_id).collect();
        Self { name, keys, revoked, complete: true }
    }

    /// The one key of which there is a certificate.
    pub fn of_key(name: ClusterName, key: &PublicHalf) -> Self {
        Self { name, keys: vec![KnownKey::of(key)], revoked: Vec::new(), complete: false }
    }

    pub(super) fn find(&self, id: KeyId) -> Option<&KnownKey> {
        self.keys.iter().find(|key| key.goes_by(id))
    }

    /// Whether the key that seals has a post-quantum recipient.
    pub(super) fn is_post_quantum(&self) -> bool {
        let newest = self.keys.first();
        newest.is_some_and(|key| key.recipients.iter().any(|(_, kind)| kind.is_post_quantum()))
    }

    fn without_sealing_key(&self, path: &str, now: Timestamp) -> Option<Finding> {
        let may_seal = |key: &KnownKey| now <= key.not_after && !self.revoked.contains(&key.id);
        (!self.keys.iter().any(may_seal)).then(|| {
            let message = format!("no key of {} may seal now: all are expired or revoked", self.name);
            Finding::of_file(Code::NoSealingKey, path, message)
                .cure("get the current list: `privyseal keys fetch --published`")
        })
    }
}

impl KnownKey {
    fn of(key: &PublicHalf) -> Self {
        let PublicHalf { certificate, recipients } = key;
        let of_recipient = |recipient: &Recipient| (recipient.fingerprint().key_id(), recipient.kind());
        Self {
            id: certificate.fingerprint().key_id(),
            recipients: recipients.iter().map(of_recipient).collect(),
            bits: certificate.sealing_key().bits(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        }
    }

    pub(super) fn goes_by(&self, id: KeyId) -> bool {
        self.id == id || self.recipients.iter().any(|(own, _)| *own == id)
    }
}
