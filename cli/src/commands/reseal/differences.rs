//! Whether values are what their rule, or the command line, says; before anything is opened.
//!
//! A rule is part of the repository. So it alone adds no recipient and changes no format: where the values differ from
//! what it says, that is listed, and nothing is opened before the command line names it.

use super::Job;
use super::changes::Changes;
use super::destination::Destination;
use crate::error::{CommandError, Shown};
use crate::key_source::Found;
use privyseal_envelope::age::File;
use privyseal_envelope::{Format, KeyId, SealedValue};
use privyseal_seal::hints::Hints;
use privyseal_seal::{Strangers, claimed};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What of an object differs.
pub(super) fn differences(job: &Job<'_>, destination: &Destination, changes: &Changes) -> Vec<CommandError> {
    let object = job.object();
    let hints = Hints::read(object.metadata.annotations.as_ref());
    let values = object.spec.encrypted_data.iter();
    // What is damaged is told when it is opened.
    let values = values.filter_map(|(item, text)| Some((item, SealedValue::from_base64(text).ok()?)));
    let each = values.flat_map(|(item, value)| {
        let seen = Seen { claims: claimed(&hints, item, &value), value: &value, destination, changes };
        seen.differences().into_iter().map(move |(problem, hint)| {
            CommandError::failed(job.message(format_args!("{}: {problem}", Shown(item)))).hint(hint)
        })
    });
    each.collect()
}

/// A value as it can be seen without a key.
struct Seen<'a> {
    value: &'a SealedValue,
    /// Whose it claims to be.
    claims: BTreeSet<KeyId>,
    destination: &'a Destination,
    changes: &'a Changes,
}

impl Seen<'_> {
    /// Problems, each with what to do about it.
    fn differences(&self) -> Vec<(String, String)> {
        let Self { value, destination, changes, .. } = self;
        let own = value.format();
        let wanted = destination.target.format(None);
        if changes.format.is_none() && destination.is_explicit && own != wanted {
            let problem = format!("it is of format {own}, but {wanted} is asked for");
            let hint = format!("--format {wanted} changes it, and takes the opening keys (--key)");
            return vec![(problem, hint)];
        }
        match (own, destination.target.format(Some(own))) {
            (Format::Classic, Format::Classic) if !changes.add.is_empty() => vec![(
                "it is of format classic, which opens for nobody else".to_owned(),
                "--format age makes room for more recipients".to_owned(),
            )],
            (_, Format::Classic) => Vec::new(),
            (Format::Classic, Format::Age) => self.widened(),
            (Format::Age, Format::Age) => self.lacking(),
        }
    }

    /// Of a value that opens for one cluster: for whom else it would, though only a rule says so.
    fn widened(&self) -> Vec<(String, String)> {
        if self.destination.is_named() {
            return Vec::new();
        }
        let found = self.destination.target.found();
        let others: Vec<_> =
            found.iter().filter(|found| !self.is_of(found) && !self.is_added(found)).collect();
        // Without a hint it is one of them: the only one, or nobody knows which.
        if others.is_empty() || self.claims.is_empty() && others.len() == 1 {
            return Vec::new();
        }
        vec![(
            format!("in format age it would open for {} too, and only a rule says so", names(others)),
            "name all whom it is for with --for NAME, or those who are new with --add-recipient NAME"
                .to_owned(),
        )]
    }

    /// Of a value with recipients: who is not among them. A value without hints does not say it.
    fn lacking(&self) -> Vec<(String, String)> {
        if self.claims.is_empty() || self.is_sealed_anew() {
            return Vec::new();
        }
        let target = &self.destination.target;
        let is_known = |key: &&KeyId| target.owner(**key).is_some();
        // Whoever is not known by its older keys may be any of those whom nobody knows.
        let may_be = |found: &Found| found.is_unlisted() && !self.claims.iter().all(|key| is_known(&key));
        let lacking = target
            .found()
            .iter()
            .filter(|found| !self.is_of(found) && !self.is_added(found) && !may_be(found));
        lacking
            .map(|found| {
                (
                    format!("{} is not among its recipients", found.who()),
                    "--add-recipient adds it, and takes the opening keys (--key)".to_owned(),
                )
            })
            .collect()
    }

    /// Whether the command line has it sealed for whom it names, since the recipients that are there do not go with them, or
    /// are of kinds that nobody knows.
    fn is_sealed_anew(&self) -> bool {
        let Self { value, destination, changes, .. } = self;
        let is_post_quantum = |file: File<'_>| file.recipients().all(|place| place.kind.is_post_quantum());
        let post_quantum = File::parse(value).is_ok_and(is_post_quantum);
        destination.is_named() && destination.exchanges_all(post_quantum, &Strangers::of(value), changes)
    }

    fn is_of(&self, found: &Found) -> bool {
        !found.key_ids().is_disjoint(&self.claims)
    }

    fn is_added(&self, found: &Found) -> bool {
        self.changes.add.iter().any(|added| !added.key_ids().is_disjoint(found.key_ids()))
    }
}

/// For people.
pub(super) fn names<'a>(found: impl IntoIterator<Item = &'a Arc<Found>>) -> String {
    found.into_iter().map(|found| found.who()).collect::<Vec<_>>().join(", ")
}
