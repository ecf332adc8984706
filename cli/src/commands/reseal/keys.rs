//! Resealing with keys at hand, on all cores.

use super::destination::Destination;
use super::{Job, Outcome};
use crate::error::{CommandError, Shown};
use crate::interrupt;
use crate::progress::Progress;
use privyseal_envelope::{Fingerprint, KeyId};
use privyseal_keys::Keyring;
use privyseal_seal::{
    Change, DEFAULT_ATTEMPTS, OpenError, ResealError, SealTo, Value, reseal as reseal_object,
};
use rayon::prelude::*;

/// One outcome for each job.
pub(super) fn reseal(
    jobs: &[Job<'_>],
    destinations: &[Destination],
    keyring: &Keyring,
    only: Option<KeyId>,
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
            let (destination, keyring) = (&destinations[job.destination], &keyrings[job.destination]);
            let outcome = one(job, destination, keyring, only);
            progress.step();
            outcome
        })
        .collect()
}

fn one(
    job: &Job<'_>,
    destination: &Destination,
    keyring: &Keyring,
    only: Option<KeyId>,
) -> Result<Outcome, CommandError> {
    let newest = destination.key.fingerprint();
    let wanted = |key: Fingerprint| key != newest && only.is_none_or(|only| key.key_id() == only);
    let change = |value: &Value<'_>| match wanted(value.opened_by.key) {
        true => Change::Seal(SealTo::Classic(&destination.key)),
        false => Change::Keep,
    };
    let resealed = reseal_object(job.object(), keyring, DEFAULT_ATTEMPTS, change)
        .map_err(|error| cannot(job, destination, &error))?;
    Ok(Outcome {
        values: resealed.values.iter().map(|(item, value)| (item.to_string(), value.to_base64())).collect(),
        opened_with: resealed
            .opened_with
            .iter()
            .map(|(item, key)| (item.to_string(), key.key_id()))
            .collect(),
        hints: resealed.hints.to_text(),
    })
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
