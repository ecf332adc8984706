//! Resealing in the cluster: each object is verified, and what an older key opens is sealed anew there.

use super::destination::Destination;
use super::recipients::recipients_of;
use super::{Job, Outcome};
use crate::cluster::{Controller, OpenedWith, Verdict};
use crate::error::CommandError;
use crate::interrupt;
use crate::key_source::Found;
use crate::progress::Progress;
use futures::StreamExt as _;
use privyseal_envelope::age::File;
use privyseal_envelope::{Format, KeyId, SealedValue};
use privyseal_manifest::SealedSecret;
use privyseal_seal::claimed;
use privyseal_seal::hints::Hints;
use std::collections::BTreeMap;

/// One outcome for each job. A cluster that cannot be reached fails the whole.
///
/// A value of format age may be several clusters': each has its turn with what the one before made of it.
pub(super) fn reseal(
    jobs: &[Job<'_>],
    destinations: &[Destination],
    only: Option<KeyId>,
    progress: &Progress,
) -> Result<Vec<Result<Outcome, CommandError>>, CommandError> {
    let mut states: Vec<_> = jobs.iter().map(|job| Ok(State::of(job))).collect();
    for (number, destination) in destinations.iter().enumerate() {
        for (connection, found) in &destination.clusters {
            let mine = jobs.iter().zip(&mut states).filter(|(job, _)| job.destination == number);
            connection.session(async |session| {
                let controller = session.controller().await?;
                let work = mine.map(async |(job, state)| {
                    if let Ok(before) = state {
                        match one(&controller, job, before, found, only).await {
                            Ok(()) => {}
                            Err(error) => *state = Err(error),
                        }
                    }
                    progress.step();
                });
                futures::stream::iter(work).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
                Ok(())
            })?;
        }
    }
    Ok(states.into_iter().zip(jobs).map(|(state, job)| Ok(state?.into_outcome(job))).collect())
}

/// What has become of an object so far.
struct State {
    object: SealedSecret,
    opened_with: OpenedWith,
    hints: Hints,
}

impl State {
    fn of(job: &Job<'_>) -> Self {
        let object = job.object().clone();
        let hints = Hints::read(object.metadata.annotations.as_ref());
        Self { object, opened_with: OpenedWith::new(), hints }
    }

    fn into_outcome(self, job: &Job<'_>) -> Outcome {
        let before = &job.object().spec.encrypted_data;
        let values: BTreeMap<_, _> =
            self.object.spec.encrypted_data.into_iter().filter(|(item, new)| before[item] != *new).collect();
        let moved = values.iter().map(|(item, new)| {
            let key = self.opened_with.get(item).map(KeyId::to_string).unwrap_or_default();
            let text = |text: &str, classic: String| match SealedValue::from_base64(text) {
                Ok(value) if value.format() == Format::Age => recipients_of(&value),
                _ => classic,
            };
            let newest = SealedValue::from_base64(new).ok().and_then(|new| self.hints.key_of(item, &new));
            let to = text(new, newest.map(|key| key.to_string()).unwrap_or_default());
            (item.clone(), (text(&before[item], key), to))
        });
        Outcome { moved: moved.collect(), values, opened_with: self.opened_with, hints: self.hints.to_text() }
    }
}

async fn one(
    controller: &Controller<'_>,
    job: &Job<'_>,
    state: &mut State,
    found: &Found,
    only: Option<KeyId>,
) -> Result<(), CommandError> {
    interrupt::check()?;
    let Verdict::Opens(opened_with) = controller.verify(&state.object).await? else {
        return Err(does_not_open(job));
    };
    let newest = found.certificate.as_ref().map(|certificate| certificate.fingerprint().key_id());
    let newest = newest.ok_or_else(|| CommandError::failed("a cluster without a key that seals"))?;
    note(&mut state.hints, &state.object, &opened_with);
    let hints = Hints::read(state.object.metadata.annotations.as_ref());
    // A key goes by the ids of its recipients too, and the value says those itself.
    let is_of = |item: &str, text: &str, key: KeyId, only: KeyId| {
        let claims = |value: SealedValue| claimed(&hints, item, &value).contains(&only);
        key == only
            || SealedValue::from_base64(text)
                .is_ok_and(|value| value.format() == Format::Age && claims(value))
    };
    let wanted = |item: &str, text: &str, key: KeyId| {
        key != newest && only.is_none_or(|only| is_of(item, text, key, only))
    };
    let mut part = state.object.clone();
    part.spec
        .encrypted_data
        .retain(|item, text| opened_with.get(item).is_some_and(|key| wanted(item, text, *key)));
    state.opened_with.extend(opened_with);
    if part.spec.encrypted_data.is_empty() {
        return Ok(());
    }
    let rotated = controller.rotate(&part).await?.ok_or_else(|| does_not_open(job))?;
    let said = Hints::read(rotated.metadata.annotations.as_ref());
    for (item, old) in part.spec.encrypted_data {
        let text = rotated.spec.encrypted_data.get(&item);
        let new = text.and_then(|new| SealedValue::from_base64(new).ok());
        let (Some(text), Some(new), Ok(old)) = (text, new, SealedValue::from_base64(&old)) else {
            return Err(not_the_newest(job, newest, None));
        };
        match old.format() {
            Format::Classic => match said.key_of(&item, &new) {
                Some(key) if key == newest && new != old => state.hints.note(&item, &new, Some(key)),
                key => return Err(not_the_newest(job, newest, key)),
            },
            // Whoever else can open it is to go on doing so, and nobody may have come in.
            Format::Age if is_resealed_for(&old, &new, found) => {}
            Format::Age => {
                return Err(CommandError::failed(
                    job.message("the controller gave back another value than the one it was given"),
                )
                .hint("do not commit it; look at the controller's log"));
            }
        }
        state.object.spec.encrypted_data.insert(item, text.clone());
    }
    Ok(())
}

/// Whether what came back is the value that was sent, but for the newest key of the cluster in the place of an older one.
fn is_resealed_for(old: &SealedValue, new: &SealedValue, cluster: &Found) -> bool {
    let (Ok(before), Ok(after)) = (File::parse(old), File::parse(new)) else { return false };
    let Some(exchanged) = before.exchanged(&after) else { return false };
    let unnamed = exchanged.iter().filter(|(old, _)| old.claimed.is_none()).count();
    let is_theirs = exchanged.iter().all(|(old, new)| match old.claimed {
        Some(key) => {
            let newest = cluster.recipient(new.kind).map(|newest| newest.fingerprint().key_id());
            cluster.goes_by(key) && newest.is_some() && new.claimed == newest
        }
        // It does not say whose it is; there is only one that the controller opened it with.
        None => new.claimed.is_none() && unnamed == 1,
    });
    !exchanged.is_empty() && is_theirs
}

fn note(hints: &mut Hints, object: &SealedSecret, opened_with: &OpenedWith) {
    for (item, key) in opened_with {
        let text = object.spec.encrypted_data.get(item);
        if let Some(value) = text.and_then(|text| SealedValue::from_base64(text).ok()) {
            hints.note(item, &value, (value.format() == Format::Classic).then_some(*key));
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
