//! A certificate that was found, and who says that it is the one.

use crate::cluster::Answer;
use crate::error::{CommandError, Shown};
use crate::speech;
use jiff::Timestamp;
use privyseal_envelope::Fingerprint;
use privyseal_envelope::rsa::SealingKey;
use privyseal_keys::{Certificate, NotUsable, Published, PublishedKeys};
use std::collections::BTreeSet;
use std::fmt;

/// A certificate, and who says that it is the one.
pub(crate) struct Found {
    /// The certificate, whatever its dates say.
    pub(crate) certificate: Certificate,
    /// Who says so.
    pub(crate) provenance: Provenance,
    /// The signed list, if a cluster gave it just now.
    pub(crate) published: Option<Published>,
    /// All keys of the cluster that the signed list names, revoked ones too; none if there is no list.
    pub(crate) siblings: Option<BTreeSet<Fingerprint>>,
}

/// Who says that a certificate is the one to seal with.
pub(crate) enum Provenance {
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

/// The newest certificate of a list that is neither revoked nor outside its dates.
pub(crate) fn newest_usable(list: &PublishedKeys, now: Timestamp) -> Option<Certificate> {
    let certificates = list.keys.iter().map(|key| &key.certificate);
    certificates
        .filter(|certificate| !list.revoked.contains(&certificate.fingerprint()))
        .find(|certificate| certificate.usable_at(now).is_ok())
        .cloned()
}

/// All keys that a list names.
pub(super) fn all_keys(list: &PublishedKeys) -> BTreeSet<Fingerprint> {
    list.keys.iter().map(|key| key.certificate.fingerprint()).chain(list.revoked.iter().copied()).collect()
}

impl Found {
    /// What a cluster gave. `cluster` is its name in the configuration, and why it is this one.
    pub(super) fn from_answer(
        answer: Answer,
        cluster: Option<String>,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        match answer {
            Answer::Published { server, place, list, publisher, texts } => {
                let certificate = newest_usable(&list, now).ok_or_else(|| {
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
                let siblings = Some(all_keys(&list));
                Ok(Self { certificate, provenance, published: Some(texts), siblings })
            }
            Answer::Served { server, service, certificate } => {
                let provenance = Provenance::Served { cluster, server, service };
                Ok(Self { certificate: *certificate, provenance, published: None, siblings: None })
            }
        }
    }

    /// Says on stderr which key is sealed with, and who says so.
    pub(crate) fn announce(&self) {
        self.provenance.announce();
        let (fingerprint, until) = (self.certificate.fingerprint(), self.certificate.not_after());
        speech::note(format_args!("sealing with key {fingerprint} (until {until})"));
    }

    /// The sealing key, if one may seal with it now.
    pub(crate) fn usable_at(&self, now: Timestamp) -> Result<&SealingKey, CommandError> {
        self.certificate.usable_at(now).map_err(|error| {
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
        let note_cluster = |cluster: &Option<String>| {
            if let Some(cluster) = cluster {
                speech::note(format_args!("sealing for {}", Shown(cluster)));
            }
        };
        match self {
            Self::Named { .. } => {}
            Self::CertificateFile { cluster, file } => {
                speech::note(format_args!("sealing for {}, with {}", Shown(cluster), Shown(file)));
            }
            Self::KeyFile { cluster, file, publisher, serial, time } => {
                speech::note(format_args!("sealing for {}, with {}", Shown(cluster), Shown(file)));
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
            Self::Named { name: place }
            | Self::CertificateFile { file: place, .. }
            | Self::KeyFile { file: place, .. }
            | Self::Published { server: place, .. }
            | Self::Served { server: place, .. } => Shown(place).fmt(f),
        }
    }
}
