//! What a look at the keys gives.

use crate::custody::{Failure, FailureKind, Half, Public};
use crate::key_secret::{self, Look, NotAKey};
use crate::{MakerMark, Unreadable};
use privyseal_envelope::Fingerprint;
use privyseal_envelope::age::Recipient;
use privyseal_keys::{Certificate, KeyringEntry, PublicHalf};
use privyseal_manifest::Secret;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// What a look at the keys gave.
#[derive(Default)]
pub struct Loaded {
    /// Usable keys.
    pub entries: Vec<KeyringEntry>,
    /// The marks of their maker that are there: claims, to be checked against a publisher key and a certificate.
    pub maker_marks: Vec<MakerMark>,
    /// Keys that are marked as compromised, retired ones too: everything in them that can be sealed to.
    pub compromised: BTreeSet<Fingerprint>,
    /// Usable keys whose successor is asked for.
    pub rotation_asked: BTreeSet<Fingerprint>,
    /// Usable keys whose private half lies in the cluster in the clear, or once did.
    pub in_clear: BTreeSet<Fingerprint>,
    /// Keys that a vault does not give now.
    pub waiting: Vec<Waiting>,
    /// When to look again for those.
    pub again: Option<Instant>,
    /// Secrets that say they are keys and are none.
    pub left_out: Vec<LeftOut>,
}

/// A key that its vault does not give now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The name of its Secret.
    pub secret: String,
    /// Its certificate: a claim, as long as nobody has seen the private half.
    pub certificate: Certificate,
    /// The recipients beside it: a claim too.
    pub recipients: Vec<Recipient>,
    /// Whether it is marked as compromised.
    pub is_compromised: bool,
    /// Why.
    pub failure: Failure,
}

/// A Secret that says it is a key, and why it is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why, without a byte of it.
    pub reason: String,
}

/// A key Secret that is to be opened, and what its metadata say.
pub(super) struct Wanted {
    pub(super) look: Look,
    is_active: bool,
    is_compromised: bool,
    is_rotation_asked: bool,
    was_in_clear: bool,
}

/// Why a key is not opened.
pub(super) enum NotOpened {
    Unusable(NotAKey),
    Waiting(Failure),
}

impl Loaded {
    /// Sorts Secrets into those that are none and those to open, newest first: the key that seals comes before all others.
    ///
    /// A retired key is looked at only if it is marked as compromised. It has to be a whole key like any other: were a
    /// certificate enough, whoever may create a Secret could have every key revoked.
    pub(super) fn of(secrets: Vec<Result<Secret, Unreadable>>) -> (Self, Vec<Wanted>) {
        let (mut loaded, mut wanted) = (Self::default(), Vec::new());
        for secret in secrets {
            let secret = match secret {
                Ok(secret) => secret,
                Err(unreadable) => {
                    loaded.left_out.push(unreadable.into());
                    continue;
                }
            };
            let metadata = &secret.metadata;
            let (is_active, is_compromised) =
                (key_secret::is_active(metadata), key_secret::is_compromised(metadata));
            if !is_active && !is_compromised {
                continue;
            }
            match Look::at(&secret) {
                Ok(look) => wanted.push(Wanted {
                    look,
                    is_active,
                    is_compromised,
                    is_rotation_asked: key_secret::is_rotation_asked(metadata),
                    was_in_clear: key_secret::was_in_clear(metadata),
                }),
                Err(reason) => loaded.leave_out(metadata.name.clone().unwrap_or_default(), &reason),
            }
        }
        wanted.sort_by_key(|wanted| Reverse(wanted.look.certificate().map(Certificate::not_before)));
        (loaded, wanted)
    }

    pub(super) fn add(&mut self, wanted: Wanted, opened: Result<KeyringEntry, NotOpened>) {
        let Wanted { look: Look { subject, half }, .. } = wanted;
        let entry = match opened {
            Ok(entry) => entry,
            Err(NotOpened::Unusable(reason)) => return self.leave_out(subject.secret, &reason),
            Err(NotOpened::Waiting(failure)) => {
                if failure.kind() == FailureKind::Damaged {
                    return self.leave_out(subject.secret, &NotAKey::Reference(failure));
                }
                // One that is retired is missed by nobody.
                if let (true, Public::Sealing(public)) = (wanted.is_active, subject.public) {
                    let PublicHalf { certificate, recipients } = public;
                    let (secret, is_compromised) = (subject.secret, wanted.is_compromised);
                    self.waiting.push(Waiting { secret, certificate, recipients, is_compromised, failure });
                }
                return;
            }
        };
        let fingerprint = entry.fingerprint();
        if wanted.is_compromised {
            self.compromised.extend(entry.fingerprints());
        }
        if wanted.is_active {
            if wanted.is_rotation_asked {
                self.rotation_asked.insert(fingerprint);
            }
            if wanted.was_in_clear || matches!(half, Half::Clear(_)) {
                self.in_clear.insert(fingerprint);
            }
            self.maker_marks.extend(subject.mark);
            self.entries.push(entry);
        }
    }

    fn leave_out(&mut self, name: String, reason: &NotAKey) {
        self.left_out.push(LeftOut { name, reason: reason.to_string() });
    }
}

impl From<Unreadable> for LeftOut {
    fn from(Unreadable { name, error }: Unreadable) -> Self {
        Self { name, reason: error.to_string() }
    }
}
