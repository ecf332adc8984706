//! What the command line asks for beyond newer keys, and whether the values are what the rule says without it.
//!
//! A rule is part of the repository. So it alone adds no recipient and changes no format: where the values differ from
//! what it says, that is listed, and nothing is opened before the command line names it.

use super::destination::Destination;
use super::{Job, name_of};
use crate::error::{CommandError, Shown};
use crate::key_source::{Found, KeyFinder, SealingOptions, named_recipients};
use privyseal_envelope::age::{File, Kind, Recipient, RecipientStanza, Rewrap};
use privyseal_envelope::{Fingerprint, Format, KeyId, SealedValue};
use privyseal_seal::hints::Hints;
use privyseal_seal::{Value, claimed};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Options that change for whom values are sealed.
#[derive(clap::Args)]
#[command(next_help_heading = "Recipients")]
pub(super) struct ChangeOptions {
    /// Let somebody else open the values of format age too: a recipient, a file of recipients, or a name of the
    /// configuration. May be repeated
    #[arg(long, value_name = "RECIPIENT|FILE|NAME")]
    add_recipient: Vec<String>,

    /// Let somebody open the values of format age no more: a recipient, a file of recipients, a name of the configuration,
    /// or a key id that `inspect` shows. What was opened before was seen. May be repeated
    #[arg(long, value_name = "RECIPIENT|FILE|NAME|KEYID")]
    drop_recipient: Vec<String>,
}

/// What is to change about values, beyond newer keys.
pub(super) struct Changes {
    /// Who is to open them too.
    add: Vec<Arc<Found>>,
    /// Whose keys are to open them no more.
    drop: BTreeSet<KeyId>,
    /// The format.
    pub(super) format: Option<Format>,
}

impl ChangeOptions {
    /// What is asked for. Names of the configuration are found as for the folder that the command runs in.
    pub(super) fn read(
        &self,
        sealing: &SealingOptions,
        finder: &mut KeyFinder<'_>,
    ) -> Result<Changes, CommandError> {
        let mut add = Vec::new();
        for argument in &self.add_recipient {
            add.extend(find(argument, "--add-recipient", sealing, finder)?);
        }
        let mut drop = BTreeSet::new();
        for argument in &self.drop_recipient {
            if let Ok(key) = argument.parse::<KeyId>() {
                drop.insert(key);
            } else if let Ok(key) = argument.parse::<Fingerprint>() {
                drop.insert(key.key_id());
            } else {
                let found = find(argument, "--drop-recipient", sealing, finder)?;
                drop.extend(found.iter().flat_map(|found| found.key_ids()));
            }
        }
        Ok(Changes { add, drop, format: sealing.format() })
    }
}

/// A name of the configuration, or what `--recipient` takes.
fn find(
    argument: &str,
    option: &str,
    sealing: &SealingOptions,
    finder: &mut KeyFinder<'_>,
) -> Result<Vec<Arc<Found>>, CommandError> {
    if let Some(origin) = sealing.places().by_name(argument, option)? {
        return Ok(vec![finder.find(&origin)?]);
    }
    let recipients = named_recipients(argument)?;
    Ok(recipients.into_iter().map(|recipient| Arc::new(Found::named(recipient))).collect())
}

impl Changes {
    /// Whether values have to be opened here for it.
    pub(super) fn need_keys(&self) -> bool {
        self.format.is_some() || !self.add.is_empty() || !self.drop.is_empty()
    }

    /// What of an object is not as its rule or the command line says, and is not to be changed either.
    pub(super) fn differences(&self, job: &Job<'_>, destination: &Destination) -> Vec<CommandError> {
        if !destination.is_explicit {
            return Vec::new();
        }
        let object = job.object();
        let hints = Hints::read(object.metadata.annotations.as_ref());
        let wanted = destination.target.format(None);
        let mut found = Vec::new();
        for (item, text) in &object.spec.encrypted_data {
            let Ok(value) = SealedValue::from_base64(text) else { continue };
            let what = format!("{}: {}", name_of(object), Shown(item));
            if self.format.is_none() && value.format() != wanted {
                found.push(
                    CommandError::failed(job.message(format_args!(
                        "{what}: it is of format {}, but {wanted} is asked for",
                        value.format()
                    )))
                    .hint(format!("--format {wanted} changes it, and takes the opening keys (--key)")),
                );
                continue;
            }
            if value.format() != Format::Age {
                continue;
            }
            let claims = claimed(&hints, item, &value);
            let is_recipient = |found: &Found| !found.key_ids().is_disjoint(&claims);
            for one in destination.target.found() {
                let added = self.add.iter().any(|added| added.key_ids() == one.key_ids());
                // A value without hints does not say whose it is.
                if !claims.is_empty() && !is_recipient(one) && !added {
                    found.push(
                        CommandError::failed(job.message(format_args!(
                            "{what}: {} is not among its recipients",
                            Shown(&one.who())
                        )))
                        .hint("--add-recipient adds it, and takes the opening keys (--key)"),
                    );
                }
            }
        }
        found
    }

    /// What becomes of the recipients of a value.
    pub(super) fn rewrap<'a>(
        &'a self,
        value: &Value<'_>,
        destination: &'a Destination,
        only: Option<KeyId>,
    ) -> Result<Rewrap<'a>, String> {
        let is_dropped = |place: &RecipientStanza| place.claimed.is_some_and(|key| self.drop.contains(&key));
        let mut rewrap = Rewrap {
            drop: value.recipients.iter().filter(|place| is_dropped(place)).copied().collect(),
            ..Rewrap::default()
        };
        for place in value.recipients.iter().filter(|place| !is_dropped(place)) {
            // A stanza without a hint is known only if it is the one that was opened.
            let opener = value.opened_by.stanza == Some(place.at);
            let ids: Vec<_> =
                place.claimed.into_iter().chain(opener.then(|| value.opened_by.key.key_id())).collect();
            if only.is_some_and(|only| !ids.contains(&only)) {
                continue;
            }
            let owner = destination.target.found().iter().find(|found| {
                let theirs = found.key_ids();
                ids.iter().any(|id| theirs.contains(id))
            });
            let newest = owner.and_then(|found| found.recipient(place.kind));
            if let Some(newest) = newest.filter(|newest| {
                let newest = newest.fingerprint().key_id();
                let named =
                    owner.and_then(|found| found.certificate.as_ref()).map(|c| c.fingerprint().key_id());
                !ids.contains(&newest) && !ids.iter().any(|id| Some(*id) == named)
            }) {
                rewrap.replace.push((*place, newest));
            }
        }
        let post_quantum = value.recipients.iter().all(|place| place.kind.is_post_quantum());
        for found in &self.add {
            let theirs = found.key_ids();
            let there = |place: &RecipientStanza| place.claimed.is_some_and(|key| theirs.contains(&key));
            if !value.recipients.iter().any(there) {
                rewrap.add.push(fitting(found, post_quantum)?);
            }
        }
        Ok(rewrap)
    }
}

/// The recipient of somebody that goes with a value's others.
fn fitting(found: &Found, post_quantum: bool) -> Result<&Recipient, String> {
    let fits = |recipient: &&Recipient| recipient.kind().is_post_quantum() == post_quantum;
    found.recipients.iter().find(fits).ok_or_else(|| {
        let (is, has) = if post_quantum { ("post-quantum", "none") } else { ("not post-quantum", "no other") };
        format!(
            "the value is {is}, and {} has {has} such recipient; `--format age` with all of its recipients named seals it anew",
            found.who()
        )
    })
}

/// The keys of an age value, as text for the report: those that its hints name.
pub(super) fn described(value: &SealedValue) -> String {
    let file = File::parse(value).ok();
    let names = file.iter().flat_map(File::recipients).map(|recipient| match recipient.claimed {
        Some(key) => key.to_string(),
        None => format!("({})", recipient.kind),
    });
    names.collect::<Vec<_>>().join("+")
}

/// Whether what came back is the value that was sent, for other recipients of the same kinds.
pub(super) fn is_rewrapped(old: &SealedValue, new: &SealedValue, newest: &Found) -> bool {
    let (Ok(before), Ok(after)) = (File::parse(old), File::parse(new)) else { return false };
    let theirs = newest.key_ids();
    let others = |file: &File<'_>| -> Vec<(Kind, Option<KeyId>)> {
        let is_other = |place: &RecipientStanza| place.claimed.is_none_or(|key| !theirs.contains(&key));
        file.recipients().filter(is_other).map(|place| (place.kind, place.claimed)).collect()
    };
    let has_newest = after.recipients().any(|place| {
        let recipient = newest.recipient(place.kind);
        place.claimed.is_none()
            || place.claimed == recipient.map(|recipient| recipient.fingerprint().key_id())
    });
    before.has_payload_of(&after) && others(&before) == others(&after) && has_newest
}
