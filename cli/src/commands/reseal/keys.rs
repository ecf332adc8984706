//! Resealing with keys at hand, on all cores.

use super::changes::{Changes, described};
use super::destination::Destination;
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
use std::collections::{BTreeMap, BTreeSet};

/// What the command line asks for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Beyond newer keys.
    pub(super) changes: &'a Changes,
    /// Only values of this key.
    pub(super) only: Option<KeyId>,
    /// The time at which keys may seal.
    pub(super) now: Timestamp,
}

/// One outcome for each job.
pub(super) fn reseal(
    jobs: &[Job<'_>],
    destinations: &[Destination],
    keyring: &Keyring,
    asked: Asked<'_>,
    progress: &Progress,
) -> Vec<Result<Outcome, CommandError>> {
    let keyrings: Vec<_> = destinations
        .iter()
        .map(|destination| {
            destination.from.as_ref().map_or_else(|| keyring.clone(), |from| keyring.only(from))
        })
        .collect();
    jobs.par_iter()
        .map(|job| {
            interrupt::check()?;
            let outcome = one(job, &destinations[job.destination], &keyrings[job.destination], asked);
            progress.step();
            outcome
        })
        .collect()
}

fn one(
    job: &Job<'_>,
    destination: &Destination,
    keyring: &Keyring,
    asked: Asked<'_>,
) -> Result<Outcome, CommandError> {
    let object = job.object();
    let anew = keys_of_formats(job, destination, asked)?;
    let refused = RefCell::new(None);
    let change = |value: &Value<'_>| {
        if let Some(keys) = anew.get(&value.format) {
            let newest = match keys {
                Keys::Classic(key) => Some(key.fingerprint()),
                Keys::Age(_) => None,
            };
            let key = value.opened_by.key;
            let wanted = Some(key) != newest && asked.only.is_none_or(|only| key.key_id() == only);
            return if wanted { Change::Seal(keys.seal_to()) } else { Change::Keep };
        }
        match asked.changes.rewrap(value, destination, asked.only) {
            Ok(rewrap) => Change::Rewrap(rewrap),
            Err(reason) => {
                refused.replace(Some(format!("{}: {reason}", value.item)));
                Change::Keep
            }
        }
    };
    let resealed = reseal_object(object, keyring, DEFAULT_ATTEMPTS, change)
        .map_err(|error| cannot(job, destination, &error))?;
    if let Some(reason) = refused.into_inner() {
        return Err(CommandError::failed(job.message(reason)));
    }
    let moved = resealed.values.iter().map(|(item, new)| {
        let old = SealedValue::from_base64(&object.spec.encrypted_data[item.as_str()]);
        let key = resealed.opened_with[item].key_id();
        let from = old.ok().filter(|old| old.format() == Format::Age).map(|old| described(&old));
        let to = match new.format() {
            Format::Classic => resealed.hints.key_of(item.as_str(), new).map(|key| key.to_string()),
            Format::Age => Some(described(new)),
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

/// The keys that values are sealed anew to, by the format that they have now. A value that is of format age and stays so is
/// not sealed anew: its recipients change.
fn keys_of_formats(
    job: &Job<'_>,
    destination: &Destination,
    asked: Asked<'_>,
) -> Result<BTreeMap<Format, Keys>, CommandError> {
    let texts = job.object().spec.encrypted_data.values();
    let own = texts.filter_map(|text| SealedValue::from_base64(text).ok()).map(|value| value.format());
    let own: BTreeSet<_> = own.collect();
    let stays_age = |own: Format| own == Format::Age && destination.target.format(Some(own)) == Format::Age;
    let keys = own
        .into_iter()
        .filter(|own| !stays_age(*own))
        .map(|own| Ok((own, destination.target.keys(Some(own), asked.now)?)));
    keys.collect()
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
