//! Sealing keys that were found, and who says that they are the ones.

use crate::cluster::Answer;
use crate::error::{CommandError, Shown};
use crate::speech;
use jiff::Timestamp;
use privyseal_envelope::age::{Kind, Recipient};
use privyseal_envelope::rsa::SealingKey;
use privyseal_envelope::{Fingerprint, KeyId};
use privyseal_keys::{Certificate, NotUsable, PublicHalf, Published, PublishedKeys};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::OnceLock;

/// The sealing keys of one who is to open, and who says that they are the ones.
pub(crate) struct Found {
    /// The certificate, whatever its dates say; none of a recipient that is no cluster.
    pub(crate) certificate: Option<Certificate>,
    /// The recipients. They are the same one's: sealing to any of them will do.
    pub(crate) recipients: Vec<Recipient>,
    /// Who says so.
    pub(crate) provenance: Provenance,
    /// The signed list, if a cluster gave it just now.
    pub(crate) published: Option<Published>,
    /// All keys of the cluster that the signed list names, revoked ones too; none if there is no list. Of a recipient it
    /// is the recipient itself.
    pub(crate) siblings: Option<BTreeSet<Fingerprint>>,
    /// See [`Found::key_ids`].
    ids: OnceLock<BTreeSet<KeyId>>,
}

/// Who says that keys are the ones to seal with.
pub(crate) enum Provenance {
    /// The command line, which has the recipient itself.
    Recipient,
    /// A recipient of the repository, which is pinned.
    ConfiguredRecipient {
        /// Its name, and why it is this one.
        recipient: String,
        /// The file that has it.
        file: String,
    },
    /// The command line named it.
    Named {
        /// The file or URL.
        name: String,
    },
    /// A certificate in the repository, which is pinned.
    CertificateFile {
        /// The cluster that it is for, and why.
        cluster: String,
        /// The file.
        file: String,
    },
    /// A signed list in the repository, whose publisher is pinned.
    KeyFile {
        /// The cluster that it is for, and why.
        cluster: String,
        /// The file.
        file: String,
        /// Whose signature the list bears.
        publisher: Fingerprint,
        /// The list's serial.
        serial: u64,
        /// When the list was written.
        time: Timestamp,
    },
    /// The cluster's signed list.
    Published {
        /// The cluster of the configuration, and why it is this one.
        cluster: Option<String>,
        /// The API server.
        server: String,
        /// Whose signature the list bears.
        publisher: Fingerprint,
        /// The list's serial.
        serial: u64,
        /// When the list was written.
        time: Timestamp,
    },
    /// The controller's Service, without a signature.
    Served {
        /// The cluster of the configuration, and why it is this one.
        cluster: Option<String>,
        /// The API server.
        server: String,
        /// `NAMESPACE/NAME` of the Service.
        service: String,
    },
}

/// The newest key of a list that is neither revoked nor outside its dates.
pub(crate) fn newest_half(list: &PublishedKeys, now: Timestamp) -> Option<PublicHalf> {
    let revoked = |key: &PublicHalf| key.fingerprints().any(|part| list.revoked.contains(&part));
    list.keys.iter().filter(|key| !revoked(key)).find(|key| key.certificate.usable_at(now).is_ok()).cloned()
}

/// The certificate of the newest key of a list that is neither revoked nor outside its dates.
pub(crate) fn newest_usable(list: &PublishedKeys, now: Timestamp) -> Option<Certificate> {
    newest_half(list, now).map(|half| half.certificate)
}

impl Found {
    /// A key that nobody signed a list for.
    pub(super) fn of_half(half: PublicHalf, provenance: Provenance) -> Self {
        let PublicHalf { certificate, recipients } = half;
        let ids = OnceLock::new();
        Self { certificate: Some(certificate), recipients, provenance, published: None, siblings: None, ids }
    }

    /// The same, knowing all keys of the list, recipients too.
    pub(super) fn of_list(self, list: &PublishedKeys) -> Self {
        let keys = list.keys.iter().flat_map(PublicHalf::fingerprints);
        Self { siblings: Some(keys.chain(list.revoked.iter().copied()).collect()), ..self }
    }

    /// A recipient that is no cluster.
    pub(super) fn of_recipient(recipient: Recipient, provenance: Provenance) -> Self {
        let siblings = Some(BTreeSet::from([recipient.fingerprint()]));
        let (recipients, ids) = (vec![recipient], OnceLock::new());
        Self { certificate: None, recipients, provenance, published: None, siblings, ids }
    }

    /// A recipient that the command line names.
    pub(crate) fn named(recipient: Recipient) -> Self {
        Self::of_recipient(recipient, Provenance::Recipient)
    }

    /// What a cluster gave. `cluster` is its name in the configuration, and why it is this one.
    pub(super) fn from_answer(
        answer: Answer,
        cluster: Option<String>,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        match answer {
            Answer::Published { server, place, list, publisher, texts } => {
                let half = newest_half(&list, now).ok_or_else(|| {
                    CommandError::failed(format!(
                        "{}: {place}: no key of the list may seal now",
                        Shown(&server)
                    ))
                    .hint("look at the controller's log: a controller that runs makes a new key in time")
                })?;
                let provenance = Provenance::Published {
                    cluster,
                    server,
                    publisher: publisher.fingerprint(),
                    serial: list.serial,
                    time: list.time,
                };
                Ok(Self { published: Some(texts), ..Self::of_half(half, provenance).of_list(&list) })
            }
            Answer::Served { server, service, certificate } => {
                let provenance = Provenance::Served { cluster, server, service };
                Ok(Self::of_half((*certificate).into(), provenance))
            }
        }
    }

    /// The recipient of a kind.
    pub(crate) fn recipient(&self, kind: Kind) -> Option<&Recipient> {
        self.recipients.iter().find(|recipient| recipient.kind() == kind)
    }

    /// The key ids that its keys go by, and those of the keys that it had before, as far as they are known.
    pub(crate) fn key_ids(&self) -> &BTreeSet<KeyId> {
        self.ids.get_or_init(|| {
            let newest = self.certificate.iter().map(Certificate::fingerprint);
            let newest = newest.chain(self.recipients.iter().map(Recipient::fingerprint));
            newest.chain(self.siblings.iter().flatten().copied()).map(|key| key.key_id()).collect()
        })
    }

    /// Whether one of its keys, or of those that it had before as far as they are known, goes by this id.
    pub(crate) fn goes_by(&self, key: KeyId) -> bool {
        self.key_ids().contains(&key)
    }

    /// Whether it is a cluster whose older keys nobody names: a bare certificate.
    pub(crate) fn is_unlisted(&self) -> bool {
        self.siblings.is_none()
    }

    /// Whether it has a post-quantum recipient.
    pub(crate) fn can_post_quantum(&self) -> bool {
        self.recipient(Kind::Hybrid).is_some()
    }

    /// A short name, for people.
    pub(crate) fn who(&self) -> String {
        match (&self.provenance, self.recipients.first()) {
            (Provenance::Recipient, Some(recipient)) => {
                format!("{} recipient {}", recipient.kind(), recipient.fingerprint())
            }
            (
                Provenance::CertificateFile { cluster, .. }
                | Provenance::KeyFile { cluster, .. }
                | Provenance::Published { cluster: Some(cluster), .. }
                | Provenance::Served { cluster: Some(cluster), .. },
                _,
            ) => Shown(cluster).to_string(),
            (provenance, _) => provenance.to_string(),
        }
    }

    /// That nothing of the age format can be sealed to it, and what to do.
    pub(crate) fn without_recipients(&self) -> CommandError {
        let this = CommandError::input(format!("{}: it names no age recipients", self.provenance));
        match self.provenance {
            // The certificate is what is pinned: recipients beside it would be anybody's.
            Provenance::CertificateFile { .. } => this.hint(
                "a certificate is pinned alone, without what stands beside it: name the cluster's signed list, `keys`, which \
                 `privyseal keys fetch --published` writes, or seal in --format classic",
            ),
            _ => this.hint(
                "its controller must be of this release or newer, and not that of sealed-secrets; get the current list with \
                 `privyseal keys fetch`, or seal in --format classic",
            ),
        }
    }

    /// Whether one may seal with it now.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), CommandError> {
        self.certificate.as_ref().map_or(Ok(()), |certificate| self.usable(certificate, now).map(drop))
    }

    /// The key of the certificate, if there is one and one may seal with it now.
    pub(crate) fn sealing_key(&self, now: Timestamp) -> Result<&SealingKey, CommandError> {
        let certificate = self.certificate.as_ref().ok_or_else(|| {
            CommandError::input(format!("{}: only values of format age can be sealed to it", self.provenance))
                .hint("--format age seals for it and for clusters alike")
        })?;
        self.usable(certificate, now)
    }

    fn usable<'a>(
        &self,
        certificate: &'a Certificate,
        now: Timestamp,
    ) -> Result<&'a SealingKey, CommandError> {
        certificate.usable_at(now).map_err(|error| {
            let (what, hint) = match error {
                NotUsable::Expired { not_after } => (
                    format!("the certificate expired on {not_after}"),
                    "get the current one: `privyseal keys fetch --context CONTEXT`",
                ),
                NotUsable::NotYetValid { not_before } => (
                    format!("the certificate is not valid before {not_before}"),
                    "compare this machine's clock with that of the cluster",
                ),
            };
            CommandError::input(format!("{}: {what}", self.provenance)).hint(hint)
        })
    }
}

impl Provenance {
    /// Says on stderr what was taken from where, if the command line does not say it already.
    pub(crate) fn announce(&self) {
        self.announce_as("sealing for");
    }

    /// The same, where nothing is sealed: `doing` says what is done, such as `keys of`.
    pub(crate) fn announce_as(&self, doing: &str) {
        let note_cluster = |cluster: &Option<String>| {
            if let Some(cluster) = cluster {
                speech::note(format_args!("{doing} {}", Shown(cluster)));
            }
        };
        match self {
            Self::Named { .. } | Self::Recipient => {}
            Self::ConfiguredRecipient { recipient, file } => {
                speech::note(format_args!("{doing} {}, of {}", Shown(recipient), Shown(file)));
            }
            Self::CertificateFile { cluster, file } => {
                speech::note(format_args!("{doing} {}, with {}", Shown(cluster), Shown(file)));
            }
            Self::KeyFile { cluster, file, publisher, serial, time } => {
                speech::note(format_args!("{doing} {}, with {}", Shown(cluster), Shown(file)));
                speech::note(format_args!("list {serial} of {time}, signed by publisher {publisher}"));
            }
            Self::Published { cluster, server, publisher, serial, time } => {
                note_cluster(cluster);
                speech::note(format_args!("cluster {}", Shown(server)));
                speech::note(format_args!("list {serial} of {time}, signed by publisher {publisher}"));
            }
            Self::Served { cluster, server, service } => {
                note_cluster(cluster);
                speech::note(format_args!("cluster {}", Shown(server)));
                speech::warning(format_args!(
                    "the Service {} gave the certificate, without a signature: compare the fingerprint",
                    Shown(service)
                ));
            }
        }
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recipient => f.write_str("--recipient"),
            Self::ConfiguredRecipient { recipient: place, .. }
            | Self::Named { name: place }
            | Self::CertificateFile { file: place, .. }
            | Self::KeyFile { file: place, .. }
            | Self::Published { server: place, .. }
            | Self::Served { server: place, .. } => Shown(place).fmt(f),
        }
    }
}
