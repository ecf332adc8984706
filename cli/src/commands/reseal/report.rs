//! What was resealed, for people and for programs.

use super::{Job, Outcome, name_of};
use crate::error::{CommandError, Shown};
use crate::output::to_stdout;
use crate::speech;
use privyseal_envelope::KeyId;
use serde::Serialize;
use std::collections::BTreeMap;

/// The JSON text is an interface: fields are added and never change their meaning.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Values that were sealed anew.
    resealed: usize,
    /// Values that were on the newest key already, or left as they were because of `--only-key`.
    kept: usize,
    objects: Vec<ObjectReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectReport {
    file: String,
    line: usize,
    object: String,
    items: BTreeMap<String, ItemReport>,
}

/// Key ids before and after; of a value of format age those of all its recipients, joined by `+`.
#[derive(Serialize)]
struct ItemReport {
    from: String,
    to: String,
}

impl Report {
    pub(super) fn of(done: &[(&Job<'_>, Outcome)]) -> Self {
        let (mut resealed, mut kept) = (0, 0);
        let objects = done.iter().map(|(job, outcome)| {
            resealed += outcome.values.len();
            kept += outcome.opened_with.len() - outcome.values.len();
            let item = |(item, key): (&String, &KeyId)| {
                let stays = || (key.to_string(), key.to_string());
                let (from, to) = outcome.moved.get(item).cloned().unwrap_or_else(stays);
                (item.clone(), ItemReport { from, to })
            };
            let sealed = &job.file.objects[job.index].1;
            ObjectReport {
                file: job.file.path.to_string_lossy().into_owned(),
                line: sealed.place.as_ref().map_or(1, |place| place.line),
                object: name_of(&sealed.object),
                items: outcome.opened_with.iter().map(item).collect(),
            }
        });
        let objects = objects.collect();
        Self { resealed, kept, objects, errors: Vec::new() }
    }

    pub(super) fn announce(&self, dry_run: bool) {
        let would = if dry_run { "would be" } else { "are" };
        let Self { resealed, kept, .. } = self;
        let files: std::collections::BTreeSet<_> =
            self.objects.iter().filter(|object| object.changes()).map(|object| &object.file).collect();
        speech::note(format_args!(
            "{resealed} values in {} files {would} sealed anew, {kept} stay as they were",
            files.len()
        ));
    }

    pub(super) fn write_text(&self) -> Result<(), CommandError> {
        let mut text = String::new();
        for object in self.objects.iter().filter(|object| object.changes()) {
            for (item, ItemReport { from, to }) in &object.items {
                if from != to {
                    let (file, item) = (Shown(&object.file), Shown(item));
                    text += &format!("{file}:{}: {}: {item}: {from} -> {to}\n", object.line, object.object);
                }
            }
        }
        to_stdout(text.as_bytes())
    }

    pub(super) fn write_json(mut self, errors: &[CommandError]) -> Result<(), CommandError> {
        self.errors = errors.iter().flat_map(CommandError::reports).map(|(message, _)| message).collect();
        let text = serde_json::to_string_pretty(&self).map_err(CommandError::failed)?;
        to_stdout((text + "\n").as_bytes())
    }
}

impl ObjectReport {
    fn changes(&self) -> bool {
        self.items.values().any(|item| item.from != item.to)
    }
}
