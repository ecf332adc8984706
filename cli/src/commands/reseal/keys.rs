//! Resealing with keys at hand, on all cores.

use super::changes::Changes;
use super::destination::Destination;
use super::recipients::{self, all_ids, recipients_of};
use super::{Job, Outcome};
use crate::error::{CommandError, Shown};
use crate::interrupt;
use crate::key_source::Keys;
use crate::progress::Progress;
use jiff::Timestamp;
use privyseal_envelope::{Format, KeyId, SealedValue};
use privyseal_keys::Keyring;
use privyseal_seal::{Change, DEFAULT_ATTEMPTS, OpenError, ResealError, Value, reseal as reseal_object};
use rayon::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// One outcome for each job. `only` says of which key's values.
pub(super) fn reseal(
    jobs: &[Job<'_>],
    destinations: &[Destination],
    keyring: &Keyring,
    changes: &Changes,
    only: Option<KeyId>,
    now: Timestamp,
    progress: &Progress,
) -> Vec<Result<Outcome, CommandError>> {
    let keyrings: Vec<_> = destinations
        .iter()
        .map(|destination| {
            destination.from.as_ref().map_or_else(|| keyring.clone(), |from| keyring.only(from))
        })
        .collect();
    let only = only.map(|only| all_ids(keyring, [only]));
    let drop = all_ids(keyring, changes.drop.iter().copied());
    jobs.par_iter()
        .map(|job| {
            interrupt::check()?;
            let asked = recipients::Asked {
                destination: &destinations[job.destination],
                changes,
                keyring: &keyrings[job.destination],
                only: only.as_ref(),
                drop: &drop,
            };
            let outcome = one(job, asked, now);
            progress.step();
            outcome
        })
        .collect()
}

fn one(job: &Job<'_>, asked: recipients::Asked<'_>, now: Timestamp) -> Result<Outcome, CommandError> {
    let object = job.object();
    check_formats(job, asked, now)?;
    let refused = RefCell::new(Vec::new());
    let change = |value: &Value<'_>| {
        decide(value, asked).unwrap_or_else(|reason| {
            refused.borrow_mut().push(format!("{}: {reason}", value.item));
            Change::Keep
        })
    };
    let resealed = reseal_object(object, asked.keyring, DEFAULT_ATTEMPTS, change)
        .map_err(|error| cannot(job, asked.destination, &error))?;
    let refused = refused.into_inner();
    if !refused.is_empty() {
        return Err(CommandError::failed(job.message(refused.join("; "))));
    }
    let moved = resealed.values.iter().map(|(item, new)| {
        let old = SealedValue::from_base64(&object.spec.encrypted_data[item.as_str()]);
        let key = resealed.opened_with[item].key_id();
        let from = old.ok().filter(|old| old.format() == Format::Age).map(|old| recipients_of(&old));
        let to = match new.format() {
            Format::Classic => resealed.hints.key_of(item.as_str(), new).map(|key| key.to_string()),
            Format::Age => Some(recipients_of(new)),
        };
        (item.to_string(), (from.unwrap_or_else(|| key.to_string()), to.unwrap_or_default()))
    });
    Ok(Outcome {
        moved: moved.collect(),
        values: resealed.values.iter().map(|(item, value)| (item.to_string(), value.to_base64())).collect(),
        opened_with: resealed
            .opened_with
            .iter()
            .map(|(item, key)| (item.to_string(), key.key_id()))
            .collect(),
        hints: resealed.hints.to_text(),
    })
}

/// What becomes of a value. One that is of format age and stays so is not sealed anew: its recipients change.
fn decide<'a>(value: &Value<'_>, asked: recipients::Asked<'a>) -> Result<Change<'a>, String> {
    let recipients::Asked { destination, only, .. } = asked;
    let becomes = destination.target.format(Some(value.format));
    match (destination.anew(value.format), value.format, becomes) {
        (anew, Format::Age, Format::Age) => asked.change(value, anew),
        (Some(keys), ..) => {
            let key = value.opened_by.key;
            let is_newest = match (keys, value.format) {
                (Keys::Classic(newest), Format::Classic) => newest.fingerprint() == key,
                _ => false,
            };
            let is_wanted = !is_newest && only.is_none_or(|only| only.contains(&key.key_id()));
            Ok(if is_wanted { Change::Seal(keys.seal_to()) } else { Change::Keep })
        }
        (None, ..) => Err(format!("nothing of format {becomes} can be sealed")),
    }
}

/// Whether there are keys for what has to be sealed anew. It is told before an object is opened.
fn check_formats(job: &Job<'_>, asked: recipients::Asked<'_>, now: Timestamp) -> Result<(), CommandError> {
    let recipients::Asked { destination, changes, .. } = asked;
    let texts = job.object().spec.encrypted_data.values();
    let own: BTreeSet<_> = texts
        .filter_map(|text| SealedValue::from_base64(text).ok())
        .map(|value| value.format())
        .filter(|own| (*own, destination.target.format(Some(*own))) != (Format::Age, Format::Age))
        .collect();
    own.into_iter()
        .filter(|own| destination.anew(*own).is_none())
        .try_for_each(|own| destination.keys(own, changes, now).map(drop))
}

fn cannot(job: &Job<'_>, destination: &Destination, error: &ResealError) -> CommandError {
    let ResealError::Open(OpenError::Items { failures, .. }) = error else {
        return CommandError::failed(job.message(error));
    };
    let items: Vec<_> =
        failures.iter().map(|failure| format!("{}: {}", Shown(&failure.item), failure.failure)).collect();
    let this = CommandError::failed(job.message(items.join("; ")));
    match destination.from {
        Some(_) => this.hint(
            "a rule of the repository chose the cluster, so only that cluster's own keys were tried; \
             --for CLUSTER on the command line seals values of any key at hand for it",
        ),
        None => this.hint("`privyseal inspect --key KEY FILE` says more"),
    }
}
