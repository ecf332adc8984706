//! Whom values are sealed for, once all are found and trusted, and the format that follows from it.

use super::Found;
use crate::error::{CommandError, Shown};
use crate::speech;
use jiff::Timestamp;
use privyseal_envelope::age::{Kind, Recipient, Recipients, RecipientsError};
use privyseal_envelope::rsa::SealingKey;
use privyseal_envelope::{Format, KeyId};
use privyseal_seal::SealTo;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Those who are to open, each found and trusted.
#[derive(Clone)]
pub(crate) struct Target {
    found: Vec<Arc<Found>>,
    /// The format that the command line names.
    asked: Option<Format>,
    /// The format that the rule names.
    ruled: Option<Format>,
    hints: bool,
}

/// The keys to seal to, in one format.
#[derive(Clone, PartialEq)]
pub(crate) enum Keys {
    /// Format `classic`.
    Classic(SealingKey),
    /// Format `age`.
    Age(Recipients),
}

impl Keys {
    /// As the verbs take it.
    pub(crate) fn seal_to(&self) -> SealTo<'_> {
        match self {
            Self::Classic(key) => SealTo::Classic(key),
            Self::Age(recipients) => SealTo::Age(recipients),
        }
    }
}

impl Target {
    pub(super) fn new(
        found: Vec<Arc<Found>>,
        asked: Option<Format>,
        ruled: Option<Format>,
        hints: bool,
    ) -> Self {
        Self { found, asked, ruled, hints }
    }

    /// All of them.
    pub(crate) fn found(&self) -> &[Arc<Found>] {
        &self.found
    }

    /// The same, and some more.
    pub(crate) fn and(&self, more: &[Arc<Found>]) -> Self {
        Self { found: self.found.iter().chain(more).cloned().collect(), ..self.clone() }
    }

    /// The same, but for those of whom a recipient is to open nothing any more.
    pub(crate) fn without(mut self, dropped: &BTreeSet<KeyId>) -> Self {
        let is_dropped = |recipient: &Recipient| dropped.contains(&recipient.fingerprint().key_id());
        self.found.retain(|found| !found.recipients.iter().any(is_dropped));
        self
    }

    /// Which of them a key is of, as far as their keys are known.
    pub(crate) fn owner(&self, key: KeyId) -> Option<usize> {
        self.found.iter().position(|found| found.goes_by(key))
    }

    /// The format for a value: what the command line says; else that of the value in whose place it comes; else what the
    /// rule says; else classic for one cluster, and age for everybody else.
    pub(crate) fn format(&self, own: Option<Format>) -> Format {
        let natural = match &self.found[..] {
            [only] if only.certificate.is_some() => Format::Classic,
            _ => Format::Age,
        };
        self.asked.or(own).or(self.ruled).unwrap_or(natural)
    }

    /// Says of items whose values keep their own format that the rule asks for another. A rule with several needs no format,
    /// and a classic value under it is refused by [`Self::keys`].
    pub(crate) fn warn_of_kept<'a>(&self, items: impl IntoIterator<Item = (&'a str, Option<Format>)>) {
        let Some(ruled) = self.ruled else { return };
        let kept: Vec<_> = items
            .into_iter()
            .filter(|(_, own)| self.format(*own) != ruled && self.asked.is_none())
            .map(|(item, _)| Shown(item).to_string())
            .collect();
        let other = match ruled {
            Format::Age => Format::Classic,
            Format::Classic => Format::Age,
        };
        if !kept.is_empty() {
            speech::warning(format_args!(
                "{} keeps format {other}, though the rule says {ruled}; --format {ruled} changes it",
                kept.join(", ")
            ));
        }
    }

    /// The keys for a value; `own` is the format of the one in whose place it comes.
    pub(crate) fn keys(&self, own: Option<Format>, now: Timestamp) -> Result<Keys, CommandError> {
        match (self.format(own), &self.found[..]) {
            (Format::Classic, [only]) => Ok(Keys::Classic(only.sealing_key(now)?.clone())),
            (Format::Classic, _) => {
                let which = match own {
                    Some(Format::Classic) if self.asked.is_none() => {
                        "the value is of format classic, and such a value"
                    }
                    _ => "a value of format classic",
                };
                Err(CommandError::input(format!(
                    "{which} opens in one cluster only, but {} are named",
                    self.found.len()
                ))
                .hint("--format age seals for all of them; the controllers must know that format"))
            }
            (Format::Age, _) => {
                self.found.iter().try_for_each(|found| found.check(now))?;
                self.recipients().map(Keys::Age)
            }
        }
    }

    /// Post-quantum, if all can; else classical, for all.
    fn recipients(&self) -> Result<Recipients, CommandError> {
        if let Some(none) = self.found.iter().find(|found| found.recipients.is_empty()) {
            return Err(none.without_recipients());
        }
        let post_quantum = self.found.iter().all(|found| found.can_post_quantum());
        let wanted = if post_quantum { Kind::Hybrid } else { Kind::X25519 };
        let chosen = |found: &Arc<Found>| -> Recipient {
            found.recipient(wanted).unwrap_or(&found.recipients[0]).clone()
        };
        let recipients = Recipients::new(self.found.iter().map(chosen)).map_err(|error| match &error {
            RecipientsError::Mixed { .. } => CommandError::input(error).hint(
                "leave one side out, or give those that have none a post-quantum recipient: `privyseal keys generate --age` \
                 makes one",
            ),
            _ => CommandError::input(error),
        })?;
        Ok(if self.hints { recipients } else { recipients.without_hints() })
    }

    fn warn_of_classical(&self) {
        let (could, cannot): (Vec<_>, Vec<_>) = self.found.iter().partition(|found| found.can_post_quantum());
        let names = |these: Vec<&Arc<Found>>| -> String {
            these.into_iter().map(|found| found.who()).collect::<Vec<_>>().join(", ")
        };
        let reason = match could.is_empty() {
            true => String::new(),
            false => format!(", though {} could", names(could)),
        };
        speech::warning(format_args!(
            "the values are not protected against a future quantum computer, because of {}{reason}",
            names(cannot)
        ));
    }

    /// Says on stderr whose keys were sealed with, and who says so; and if they do not last.
    pub(crate) fn announce(&self, used: &[Keys]) {
        for found in &self.found {
            found.provenance.announce();
        }
        let distinct = used.iter().enumerate().filter(|(index, keys)| !used[..*index].contains(keys));
        distinct.for_each(|(_, keys)| self.announce_keys(keys));
    }

    fn announce_keys(&self, keys: &Keys) {
        let until = |found: &Found| {
            let certificate = found.certificate.as_ref();
            certificate
                .map_or_else(String::new, |certificate| format!(" (until {})", certificate.not_after()))
        };
        match keys {
            Keys::Classic(key) => {
                if !self.hints {
                    speech::warning(format_args!(
                        "--no-hints changes nothing in format classic, whose values have no room for hints; the annotation \
                         privyseal.dev/sealed-with names the key"
                    ));
                }
                for found in &self.found {
                    speech::note(format_args!("sealing with key {}{}", key.fingerprint(), until(found)));
                }
            }
            Keys::Age(recipients) => {
                if !recipients.are_post_quantum() {
                    self.warn_of_classical();
                }
                for recipient in recipients.iter() {
                    let theirs = self.found.iter().find(|found| found.recipients.contains(recipient));
                    speech::note(format_args!(
                        "sealing to {} recipient {}{}",
                        recipient.kind(),
                        recipient.fingerprint(),
                        theirs.map_or_else(String::new, |found| until(found))
                    ));
                }
            }
        }
    }
}
