//! What hints claim of keys, held against the keys that the repository knows. Hints prove nothing, and the messages say
//! so; a value's RSA size is no claim but a fact.

use super::code::Code;
use super::finding::Finding;
use crate::{ClusterName, Evidence, Judgement, KeyFile, KeySource, Subject, Trust};
use jiff::{SignedDuration, Timestamp};
use privyseal_envelope::{Fingerprint, KeyId};
use privyseal_keys::{Certificate, PublishedKeys};
use privyseal_seal::ItemInspection;
use std::collections::BTreeMap;

/// The keys of one cluster, as far as the repository knows them.
#[derive(Clone, Debug)]
pub struct ClusterKeys {
    name: ClusterName,
    /// Newest first.
    keys: Vec<KnownKey>,
    revoked: Vec<KeyId>,
    /// Whether these are all keys that may seal, and not only one of them.
    complete: bool,
}

#[derive(Clone, Copy, Debug)]
struct KnownKey {
    id: KeyId,
    bits: usize,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// What holds for one file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// The cluster that the rule for the path names, and the rule's number.
    pub cluster: Option<(&'a ClusterName, usize)>,
    /// The keys of all clusters of the configuration that the repository knows any of.
    pub known: &'a [ClusterKeys],
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
        KeySource::Certificate(_) => match Certificate::from_pem(bytes) {
            Ok(certificate) => {
                let fingerprint = certificate.fingerprint();
                let keys = ClusterKeys::of_certificate(cluster.clone(), &certificate);
                (keys, Evidence::Certificate { fingerprint })
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

impl ClusterKeys {
    /// The keys of a published list.
    pub fn of_list(name: ClusterName, list: &PublishedKeys) -> Self {
        let keys = list.keys.iter().map(|key| KnownKey::of(&key.certificate)).collect();
        let revoked = list.revoked.iter().map(Fingerprint::key_id).collect();
        Self { name, keys, revoked, complete: true }
    }

    /// The one key of which there is a certificate.
    pub fn of_certificate(name: ClusterName, certificate: &Certificate) -> Self {
        Self { name, keys: vec![KnownKey::of(certificate)], revoked: Vec::new(), complete: false }
    }

    fn find(&self, id: KeyId) -> Option<&KnownKey> {
        self.keys.iter().find(|key| key.id == id)
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
    fn of(certificate: &Certificate) -> Self {
        Self {
            id: certificate.fingerprint().key_id(),
            bits: certificate.sealing_key().bits(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        }
    }
}

/// What is told of the keys of some items.
pub(super) struct Told {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) cure: &'static str,
}

/// Holds items against the keys. What many items share is told once, at the first.
pub(super) fn check<'i>(
    items: &[&'i ItemInspection],
    expected: &Expected<'_>,
    now: Timestamp,
) -> Vec<(&'i str, Told)> {
    let mut told: BTreeMap<(Code, String), (&'i str, usize, Told)> = BTreeMap::new();
    for inspected in items {
        let of_key = inspected.claimed.iter().filter_map(|key| judge(*key, expected, now));
        let of_size = inspected.rsa_bits.and_then(|bits| judge_size(bits, expected));
        for one in of_key.into_iter().chain(of_size) {
            let entry = told.entry((one.code, one.message.clone()));
            entry.or_insert((inspected.item.as_str(), 0, one)).1 += 1;
        }
    }
    told.into_values()
        .map(|(item, count, mut one)| {
            if count > 1 {
                one.message.push_str(&format!(" (and {} more)", count - 1));
            }
            (item, one)
        })
        .collect()
}

const RESEAL: &str = "seal the value anew for the cluster";

fn judge(id: KeyId, expected: &Expected<'_>, now: Timestamp) -> Option<Told> {
    let revoked_by = expected.known.iter().find(|cluster| cluster.revoked.contains(&id));
    if let Some(ClusterKeys { name, .. }) = revoked_by {
        return Some(Told {
            code: Code::RevokedKey,
            message: format!("its hint claims key {id}, which {name} has revoked"),
            cure: "change the value where it is used, then seal it anew: whoever has the key can open it",
        });
    }
    let (cluster, rule) = expected.cluster?;
    let keys = expected.known.iter().find(|keys| keys.name == *cluster);
    match (keys, keys.and_then(|keys| keys.find(id))) {
        (_, None) => {
            let other = expected.known.iter().find(|keys| keys.name != *cluster && keys.find(id).is_some());
            match (other, keys) {
                (Some(ClusterKeys { name, .. }), _) => Some(Told {
                    code: Code::OtherCluster,
                    message: format!("its hint claims a key of {name}, and rule {rule} is for {cluster}"),
                    cure: RESEAL,
                }),
                (None, Some(ClusterKeys { complete: true, .. })) => Some(Told {
                    code: Code::UnknownKey,
                    message: format!("its hint claims key {id}, which {cluster} does not publish"),
                    cure: "get the current list with `privyseal keys fetch --published`; if it lacks the key too, seal the value anew",
                }),
                (None, Some(_)) => Some(Told {
                    code: Code::StaleKey,
                    message: format!(
                        "its hint claims key {id}, which is not that of the certificate of {cluster}"
                    ),
                    cure: RESEAL,
                }),
                (None, None) => None,
            }
        }
        (Some(keys), Some(key)) if key.not_after < now => Some(Told {
            code: Code::ExpiredKey,
            message: format!("its hint claims key {id} of {}, which expired on {}", keys.name, key.not_after),
            cure: RESEAL,
        }),
        (Some(keys), Some(key)) => {
            let newest = keys.keys.first()?;
            let due = key.not_before.checked_add(RENEWAL).unwrap_or(Timestamp::MAX);
            (newest.id != id && due < now).then(|| Told {
                code: Code::StaleKey,
                message: format!("its hint claims key {id} of {}, which has a newer one since", keys.name),
                cure: RESEAL,
            })
        }
        (None, Some(_)) => None,
    }
}

fn judge_size(bits: usize, expected: &Expected<'_>) -> Option<Told> {
    let (cluster, _) = expected.cluster?;
    let keys = expected.known.iter().find(|keys| keys.name == *cluster && keys.complete)?;
    let fits = keys.keys.iter().any(|key| key.bits.div_ceil(8) == bits.div_ceil(8));
    (!fits && !keys.keys.is_empty()).then(|| Told {
        code: Code::KeySize,
        message: format!("sealed with a key of {bits} bits, and {cluster} publishes none of that size"),
        cure: RESEAL,
    })
}

/// How long a key seals before the controller makes the next one, by default.
const RENEWAL: SignedDuration = SignedDuration::from_hours(24 * 30);
