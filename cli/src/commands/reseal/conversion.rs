//! What a change of format means, in numbers and names.

use super::changes::Changes;
use super::destination::Destination;
use super::differences::names;
use super::{Job, Outcome};
use crate::key_source::Keys;
use crate::speech;
use privyseal_envelope::{Format, KeyId, SealedValue};
use privyseal_seal::claimed;
use privyseal_seal::hints::Hints;
use std::collections::BTreeSet;

/// Says of the values that change their format what they lose and for whom they open from now on.
pub(super) fn announce(
    done: &[(&Job<'_>, Outcome)],
    destinations: &[Destination],
    changes: &Changes,
    dry_run: bool,
) {
    for (number, destination) in destinations.iter().enumerate() {
        let theirs = || done.iter().filter(|(job, _)| job.destination == number);
        let mut converted = Converted::default();
        theirs().for_each(|(job, outcome)| converted.add(job, outcome));
        converted.announce(destination, changes, dry_run);
    }
}

/// Values of one destination that change their format.
#[derive(Default)]
struct Converted {
    to_age: usize,
    to_classic: usize,
    /// Who could open those that are classic now, as their hints claimed.
    before: BTreeSet<KeyId>,
}

impl Converted {
    fn add(&mut self, job: &Job<'_>, outcome: &Outcome) {
        let object = job.object();
        let hints = Hints::read(object.metadata.annotations.as_ref());
        for (item, new) in &outcome.values {
            let value = |text: &str| SealedValue::from_base64(text).ok();
            let (Some(old), Some(new)) = (value(&object.spec.encrypted_data[item]), value(new)) else {
                continue;
            };
            match (old.format(), new.format()) {
                (Format::Classic, Format::Age) => self.to_age += 1,
                (Format::Age, Format::Classic) => {
                    self.to_classic += 1;
                    self.before.extend(claimed(&hints, item, &old));
                }
                _ => {}
            }
        }
    }

    fn announce(&self, destination: &Destination, changes: &Changes, dry_run: bool) {
        let would = if dry_run { "would be" } else { "are" };
        let Self { to_age, to_classic, before } = self;
        if let (1.., Some(Keys::Age(recipients))) = (to_age, destination.anew(Format::Classic)) {
            speech::warning(format_args!(
                "{to_age} values {would} converted from format classic, which does not bind the name of the item: nobody \
                 verified that each stood under the item that it was sealed for, and format age takes that for given"
            ));
            let target = destination.target.and(&changes.add).without(&changes.drop);
            speech::note(format_args!(
                "each opened with one key, and {would} sealed for {} now: {}",
                recipients.iter().count(),
                names(target.found())
            ));
        }
        if *to_classic > 0 {
            let others = before.iter().filter(|key| destination.target.owner(**key).is_none());
            let others: Vec<_> = others.map(KeyId::to_string).collect();
            speech::warning(format_args!(
                "{to_classic} values {would} converted to format classic: the names of their items are bound no more, nor are \
                 they protected against a future quantum computer"
            ));
            if !others.is_empty() {
                speech::note(format_args!(
                    "{} alone opens them; until now {} did too",
                    names(destination.target.found()),
                    others.join(", ")
                ));
            }
        }
    }
}
