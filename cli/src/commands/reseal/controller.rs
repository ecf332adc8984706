//! Resealing in the cluster: each object is verified, and what an older key opens is sealed anew there.

use super::destination::Destination;
use super::{Job, Outcome};
use crate::cluster::{Controller, OpenedWith, Verdict};
use crate::error::CommandError;
use crate::interrupt;
use crate::progress::Progress;
use futures::StreamExt as _;
use privyseal_envelope::{KeyId, SealedValue};
use privyseal_manifest::SealedSecret;
use privyseal_seal::hints::Hints;

/// One outcome for each job. A cluster that cannot be reached fails the whole.
pub(super) fn reseal(
    jobs: &[Job<'_>],
    destinations: &[Destination],
    only: Option<KeyId>,
    progress: &Progress,
) -> Result<Vec<Result<Outcome, CommandError>>, CommandError> {
    let mut outcomes: Vec<_> = jobs.iter().map(|_| None).collect();
    for (number, destination) in destinations.iter().enumerate() {
        let Some(connection) = &destination.connection else { continue };
        let numbered = jobs.iter().enumerate().filter(|(_, job)| job.destination == number);
        let done: Vec<_> = connection.session(async |session| {
            let controller = session.controller().await?;
            let work = numbered.map(async |(index, job)| {
                let outcome = one(&controller, job, destination, only).await;
                progress.step();
                (index, outcome)
            });
            Ok(futures::stream::iter(work).buffer_unordered(AT_ONCE).collect().await)
        })?;
        for (index, outcome) in done {
            outcomes[index] = Some(outcome);
        }
    }
    let missing = || Err(CommandError::failed("a cluster that cannot be asked"));
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)).collect())
}

async fn one(
    controller: &Controller<'_>,
    job: &Job<'_>,
    destination: &Destination,
    only: Option<KeyId>,
) -> Result<Outcome, CommandError> {
    interrupt::check()?;
    let object = job.object();
    let Verdict::Opens(opened_with) = controller.verify(object).await? else {
        return Err(does_not_open(job));
    };
    let newest = destination.key.fingerprint().key_id();
    let wanted = |key: &KeyId| *key != newest && only.is_none_or(|only| *key == only);
    let mut hints = Hints::read(object.metadata.annotations.as_ref());
    note(&mut hints, object, &opened_with);
    let mut part = object.clone();
    part.spec.encrypted_data.retain(|item, _| opened_with.get(item).is_some_and(wanted));
    if part.spec.encrypted_data.is_empty() {
        return Ok(Outcome { values: Default::default(), opened_with, hints: hints.to_text() });
    }
    let rotated = controller.rotate(&part).await?.ok_or_else(|| does_not_open(job))?;
    let said = Hints::read(rotated.metadata.annotations.as_ref());
    for (item, old) in &part.spec.encrypted_data {
        let new = rotated.spec.encrypted_data.get(item).filter(|new| *new != old);
        let value = new.and_then(|new| SealedValue::from_base64(new).ok());
        let key = value.as_ref().and_then(|value| said.key_of(item, value));
        match (value, key) {
            (Some(value), Some(key)) if key == newest => hints.note(item, &value, Some(key)),
            (_, key) => return Err(not_the_newest(job, newest, key)),
        }
    }
    let values = part.spec.encrypted_data.keys();
    let values = values.map(|item| (item.clone(), rotated.spec.encrypted_data[item].clone())).collect();
    Ok(Outcome { values, opened_with, hints: hints.to_text() })
}

fn note(hints: &mut Hints, object: &SealedSecret, opened_with: &OpenedWith) {
    for (item, key) in opened_with {
        let text = object.spec.encrypted_data.get(item);
        if let Some(value) = text.and_then(|text| SealedValue::from_base64(text).ok()) {
            hints.note(item, &value, Some(*key));
        }
    }
}

fn does_not_open(job: &Job<'_>) -> CommandError {
    CommandError::failed(job.message("the controller does not open it"))
        .hint("it must be this cluster's, under the scope, namespace and name that it was sealed for; the controller tells nobody more")
}

fn not_the_newest(job: &Job<'_>, newest: KeyId, key: Option<KeyId>) -> CommandError {
    let what = key.map_or_else(|| "another key".to_owned(), |key| format!("key {key}"));
    CommandError::failed(
        job.message(format_args!("the controller sealed to {what}, but the list of keys says {newest}")),
    )
    .hint("if a key was made this moment, try again")
}

/// Few enough that the controller's own bound is not met by one caller alone.
const AT_ONCE: usize = 4;
