//! The trust file: what the keys of each cluster must be.
//!
//! ```yaml
//! version: 1
//! clusters:
//!   prod-eu:                        # the name that repositories use
//!     publisher: SHA256:…           # whose signature the list of sealing keys must bear
//!     serial: 17                    # of the newest list seen
//!   old:
//!     certificate: SHA256:…         # where no list is published
//! recipients:
//!   break-glass:                    # of the configuration
//!     recipient: SHA256:…           # of the age recipient, or of the public half of a Key Vault key
//! contexts:
//!   admin@prod-eu:                  # of the kubeconfig, for --context
//!     publisher: SHA256:…
//! ```
//!
//! It works as SSH's known_hosts does: what is not in it is asked once, what is in it never changes by itself. It lies
//! outside the repository, since who changes the repository must not change it.

use crate::document::{self, DocumentError};
use privyseal_envelope::Fingerprint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    pins: BTreeMap<Subject, Pin>,
}

/// Whose keys are pinned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A cluster, by the name that the configuration gives it.
    Cluster(String),
    /// A context of the kubeconfig.
    Context(String),
    /// A recipient that is no cluster, by the name that the configuration gives it.
    Recipient(String),
}

/// What the keys of a cluster must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Those of a list that this publisher signed, and that is not older than the newest one seen.
    Publisher {
        /// Of the publisher's public key.
        fingerprint: Fingerprint,
        /// Serial of the newest list seen.
        serial: u64,
    },
    /// This one.
    Certificate {
        /// Of the sealing key.
        fingerprint: Fingerprint,
    },
    /// This recipient.
    Recipient {
        /// Of the recipient.
        fingerprint: Fingerprint,
    },
}

/// What speaks for the keys that are at hand. It is as much as would be pinned.
pub type Evidence = Pin;

/// What trust says of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// They are those that were pinned.
    Trusted {
        /// Whether the list is newer than any seen before, which is to be noted by [`Trust::pin`].
        newer: bool,
    },
    /// Nothing is pinned: a person has to decide.
    Unknown,
    /// They are others than those that were pinned.
    Changed {
        /// What they must be.
        pinned: Pin,
    },
    /// Signed by the right publisher, but a newer list was seen: somebody gives an old one, in which keys that leaked
    /// since are not revoked.
    Outdated {
        /// The newest serial seen.
        newest: u64,
    },
}

impl Trust {
    /// Reads the text of a trust file.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let TrustText { version: _, clusters, recipients, contexts } = document::read(text)?;
        let clusters = clusters.into_iter().map(|(name, pin)| (Subject::Cluster(name), pin));
        let contexts = contexts.into_iter().map(|(name, pin)| (Subject::Context(name), pin));
        let recipients = recipients.into_iter().map(|(name, pin)| (Subject::Recipient(name), pin));
        let pins = clusters.chain(recipients).chain(contexts).map(|(subject, text)| match text.parse() {
            Ok(Pin::Recipient { .. }) if !matches!(subject, Subject::Recipient(_)) => Err(DocumentError {
                at: None,
                problem: format!("{subject}: `recipient` is for `recipients`"),
            }),
            Ok(Pin::Publisher { .. } | Pin::Certificate { .. })
                if matches!(subject, Subject::Recipient(_)) =>
            {
                Err(DocumentError { at: None, problem: format!("{subject}: give `recipient`") })
            }
            Ok(pin) => Ok((subject, pin)),
            Err(problem) => Err(DocumentError { at: None, problem: format!("{subject}: {problem}") }),
        });
        Ok(Self { pins: pins.collect::<Result<_, _>>()? })
    }

    /// The text of the trust file.
    pub fn to_text(&self) -> String {
        let mut text = TrustText { version: 1, ..TrustText::default() };
        for (subject, pin) in &self.pins {
            let (map, name) = match subject {
                Subject::Cluster(name) => (&mut text.clusters, name),
                Subject::Context(name) => (&mut text.contexts, name),
                Subject::Recipient(name) => (&mut text.recipients, name),
            };
            map.insert(name.clone(), PinText::from(*pin));
        }
        serde_saphyr::to_string(&text).expect("texts and numbers are YAML")
    }

    /// Whether these keys may be sealed to.
    pub fn judge(&self, subject: &Subject, evidence: &Evidence) -> Judgement {
        let Some(pinned) = self.pins.get(subject).copied() else { return Judgement::Unknown };
        match (pinned, *evidence) {
            (
                Pin::Publisher { fingerprint: wanted, serial: newest },
                Pin::Publisher { fingerprint, serial },
            ) if wanted == fingerprint => match serial < newest {
                true => Judgement::Outdated { newest },
                false => Judgement::Trusted { newer: serial > newest },
            },
            (Pin::Certificate { fingerprint: wanted }, Pin::Certificate { fingerprint })
                if wanted == fingerprint =>
            {
                Judgement::Trusted { newer: false }
            }
            (Pin::Recipient { fingerprint: wanted }, Pin::Recipient { fingerprint })
                if wanted == fingerprint =>
            {
                Judgement::Trusted { newer: false }
            }
            _ => Judgement::Changed { pinned },
        }
    }

    /// Whether that is the publisher who is trusted, for what bears its signature and no serial, such as a backup.
    pub fn judge_publisher(&self, subject: &Subject, publisher: Fingerprint) -> Judgement {
        match self.pins.get(subject).copied() {
            None => Judgement::Unknown,
            Some(Pin::Publisher { fingerprint, .. }) if fingerprint == publisher => {
                Judgement::Trusted { newer: false }
            }
            Some(pinned) => Judgement::Changed { pinned },
        }
    }

    /// Whose publisher that is.
    pub fn known_as(&self, publisher: Fingerprint) -> impl Iterator<Item = &Subject> {
        let is_theirs =
            move |pin: &Pin| matches!(pin, Pin::Publisher { fingerprint, .. } if *fingerprint == publisher);
        self.pins.iter().filter(move |(_, pin)| is_theirs(pin)).map(|(subject, _)| subject)
    }

    /// What the keys of a cluster must be, if that was decided.
    pub fn pinned(&self, subject: &Subject) -> Option<Pin> {
        self.pins.get(subject).copied()
    }

    /// Pins what somebody decided to trust, or the serial of a newer list.
    pub fn pin(&mut self, subject: Subject, pin: Pin) {
        self.pins.insert(subject, pin);
    }
}

impl Pin {
    /// The fingerprint that a person compares.
    pub fn fingerprint(&self) -> Fingerprint {
        match *self {
            Self::Publisher { fingerprint, .. }
            | Self::Certificate { fingerprint }
            | Self::Recipient { fingerprint } => fingerprint,
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publisher { fingerprint, .. } => write!(f, "publisher {fingerprint}"),
            Self::Certificate { fingerprint } => write!(f, "certificate {fingerprint}"),
            Self::Recipient { fingerprint } => write!(f, "recipient {fingerprint}"),
        }
    }
}

/// As it stands in the file, for messages. Escape it before showing it.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "clusters.{name}"),
            Self::Context(name) => write!(f, "contexts.{name}"),
            Self::Recipient(name) => write!(f, "recipients.{name}"),
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustText {
    version: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    clusters: BTreeMap<String, PinText>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    recipients: BTreeMap<String, PinText>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    contexts: BTreeMap<String, PinText>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publisher: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serial: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recipient: Option<String>,
}

impl PinText {
    fn parse(&self) -> Result<Pin, &'static str> {
        let read = |text: &str| {
            text.parse::<Fingerprint>().map_err(|_| "not a fingerprint: SHA256: and 43 characters of base64")
        };
        match (&self.publisher, &self.certificate, &self.recipient, self.serial) {
            (Some(publisher), None, None, serial) => {
                Ok(Pin::Publisher { fingerprint: read(publisher)?, serial: serial.unwrap_or(0) })
            }
            (None, Some(certificate), None, None) => Ok(Pin::Certificate { fingerprint: read(certificate)? }),
            (None, None, Some(recipient), None) => Ok(Pin::Recipient { fingerprint: read(recipient)? }),
            _ => Err("give `publisher`, with or without `serial`, or `certificate`, or `recipient`"),
        }
    }
}

impl From<Pin> for PinText {
    fn from(pin: Pin) -> Self {
        match pin {
            Pin::Publisher { fingerprint, serial } => {
                Self { publisher: Some(fingerprint.to_string()), serial: Some(serial), ..Self::default() }
            }
            Pin::Certificate { fingerprint } => {
                Self { certificate: Some(fingerprint.to_string()), ..Self::default() }
            }
            Pin::Recipient { fingerprint } => {
                Self { recipient: Some(fingerprint.to_string()), ..Self::default() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher(key: &str, serial: u64) -> Pin {
        Pin::Publisher { fingerprint: Fingerprint::of(key.as_bytes()), serial }
    }

    fn certificate(key: &str) -> Pin {
        Pin::Certificate { fingerprint: Fingerprint::of(key.as_bytes()) }
    }

    fn recipient(key: &str) -> Pin {
        Pin::Recipient { fingerprint: Fingerprint::of(key.as_bytes()) }
    }

    fn cluster(name: &str) -> Subject {
        Subject::Cluster(name.to_owned())
    }

    fn trust() -> Trust {
        let mut trust = Trust::default();
        trust.pin(cluster("prod"), publisher("p", 7));
        trust.pin(cluster("old"), certificate("c"));
        trust.pin(Subject::Context("admin@prod".to_owned()), publisher("p", 7));
        trust.pin(Subject::Recipient("glass".to_owned()), recipient("r"));
        trust
    }

    #[test]
    fn what_is_pinned_is_trusted_and_nothing_else() {
        let trust = trust();
        for (subject, evidence, expected) in [
            ("prod", publisher("p", 7), Judgement::Trusted { newer: false }),
            ("prod", publisher("p", 8), Judgement::Trusted { newer: true }),
            ("prod", publisher("p", 6), Judgement::Outdated { newest: 7 }),
            ("prod", publisher("q", 9), Judgement::Changed { pinned: publisher("p", 7) }),
            // A bare certificate of the same cluster has no signature behind it.
            ("prod", certificate("p"), Judgement::Changed { pinned: publisher("p", 7) }),
            ("old", certificate("c"), Judgement::Trusted { newer: false }),
            ("old", certificate("d"), Judgement::Changed { pinned: certificate("c") }),
            ("old", publisher("c", 9), Judgement::Changed { pinned: certificate("c") }),
            ("new", publisher("p", 7), Judgement::Unknown),
            // A cluster and a context of one name are two subjects.
            ("admin@prod", publisher("p", 7), Judgement::Unknown),
        ] {
            assert_eq!(trust.judge(&cluster(subject), &evidence), expected, "{subject} {evidence}");
        }
    }

    #[test]
    fn a_recipient_never_changes_by_itself() {
        let trust = trust();
        let judge = |name: &str, evidence| trust.judge(&Subject::Recipient(name.to_owned()), &evidence);
        assert_eq!(judge("glass", recipient("r")), Judgement::Trusted { newer: false });
        assert_eq!(judge("glass", recipient("s")), Judgement::Changed { pinned: recipient("r") });
        assert_eq!(judge("glass", certificate("r")), Judgement::Changed { pinned: recipient("r") });
        assert_eq!(judge("other", recipient("r")), Judgement::Unknown);
        // A cluster and a recipient of one name are two subjects.
        assert_eq!(trust.judge(&cluster("glass"), &recipient("r")), Judgement::Unknown);
        let fingerprint = Fingerprint::of(b"r");
        for text in [
            format!("version: 1\nclusters: {{a: {{recipient: \"{fingerprint}\"}}}}\n"),
            format!("version: 1\nrecipients: {{a: {{certificate: \"{fingerprint}\"}}}}\n"),
        ] {
            assert!(Trust::parse(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_publisher_is_judged_without_a_serial() {
        let trust = trust();
        let by_name =
            |name: &str, key: &str| trust.judge_publisher(&cluster(name), Fingerprint::of(key.as_bytes()));
        assert_eq!(by_name("prod", "p"), Judgement::Trusted { newer: false });
        assert_eq!(by_name("prod", "q"), Judgement::Changed { pinned: publisher("p", 7) });
        assert_eq!(
            by_name("old", "c"),
            Judgement::Changed { pinned: certificate("c") },
            "a certificate signs nothing"
        );
        assert_eq!(by_name("new", "p"), Judgement::Unknown);
        let known: Vec<_> = trust.known_as(Fingerprint::of(b"p")).map(Subject::to_string).collect();
        assert_eq!(known, ["clusters.prod", "contexts.admin@prod"]);
        assert_eq!(trust.known_as(Fingerprint::of(b"c")).count(), 0);
    }

    #[test]
    fn it_round_trips_and_reads_what_people_write() {
        let text = trust().to_text();
        assert_eq!(Trust::parse(&text), Ok(trust()), "{text}");
        let fingerprint = Fingerprint::of(b"p");
        let written = format!("version: 1\nclusters: {{prod: {{publisher: \"{fingerprint}\"}}}}\n");
        let expected = Judgement::Trusted { newer: true };
        assert_eq!(Trust::parse(&written).unwrap().judge(&cluster("prod"), &publisher("p", 1)), expected);
    }

    #[test]
    fn what_is_no_trust_file_is_refused() {
        for (text, told) in [
            ("clusters: {}\n", "version"),
            ("version: 2\n", "version 2 is not known"),
            ("version: 1\nclusters: {a: {}}\n", "clusters.a: give `publisher`"),
            ("version: 1\nclusters: {a: {certificate: x}}\n", "clusters.a: not a fingerprint"),
            ("version: 1\nkeys: {}\n", "keys"),
            ("version: 1\nclusters: {a: {certificate: x}, a: {certificate: x}}\n", "duplicate"),
        ] {
            let error = Trust::parse(text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
