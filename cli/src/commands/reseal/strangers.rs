//! Recipients of kinds that Privyseal does not know, in values that were looked at: they stay, or they are gone.

use super::{Job, Outcome};
use crate::error::Shown;
use crate::speech;
use privyseal_envelope::SealedValue;
use privyseal_seal::Strangers;

/// Says of each object what stays in it that nobody here can tell whose it is, and what does not stay.
pub(super) fn announce(done: &[(&Job<'_>, Outcome)], dry_run: bool) {
    for (job, outcome) in done {
        let before = strangers(job.object().spec.encrypted_data.values());
        if before.is_empty() {
            continue;
        }
        let after = strangers(outcome.object(job).spec.encrypted_data.values());
        if !after.is_empty() {
            let text = after.to_string();
            speech::warning(format_args!(
                "{}: recipients stay as they were that Privyseal cannot drop or renew, and can open its values: {}; \
                 --format age, with all whom they are for named by --for or --recipient, seals the values anew without them",
                job.place(),
                Shown(&text)
            ));
        }
        if after != before {
            let would = if dry_run { "would be" } else { "are" };
            let gone = before.tags().len() - after.tags().len();
            speech::note(format_args!(
                "{}: {gone} recipients of a kind that Privyseal does not know {would} gone; what they opened before, they have \
                 seen",
                job.place()
            ));
        }
    }
}

/// Those of all values. What is no sealed value is told elsewhere.
fn strangers<'a>(values: impl Iterator<Item = &'a String>) -> Strangers {
    let values = values.filter_map(|text| SealedValue::from_base64(text).ok());
    values.flat_map(|value| Strangers::of(&value).tags().to_vec()).collect()
}
