//! `privyseal reseal`
//!
//! ```text
//!   paths ──SealedTree──▶ jobs ──keyring (all cores) │ controller──▶ Resealed ──edit──▶ Staged ──▶ renames
//!         SealingOptions ──▶ Destination ┘                                  └──▶ report
//! ```
//!
//! Nothing is written before everything is computed and staged. What the controller opens it opens with its own keys
//! and seals to its own; with keys at hand, a rule of the repository alone moves no value from one cluster to another.

mod changes;
mod controller;
mod conversion;
mod destination;
mod differences;
mod keys;
mod recipients;
mod report;
mod strangers;

use super::ReportFormat;
use crate::error::{CommandError, Shown};
use crate::interrupt;
use crate::key_files::KeyFileOptions;
use crate::key_source::SealingOptions;
use crate::object_size;
use crate::output::{Content, Staged};
use crate::progress::Progress;
use crate::sealed_file::refuse_if_changed;
use crate::sealed_tree::{SealedTree, SealedTreeFile};
use crate::speech;
use changes::{ChangeOptions, Changes};
use destination::{Destination, Destinations};
use differences::differences;
use jiff::Timestamp;
use privyseal_envelope::{Format, KeyId, SealedValue};
use privyseal_keys::Keyring;
use privyseal_manifest::SealedSecret;
use privyseal_manifest::edit::{self, Edit};
use privyseal_seal::claimed;
use privyseal_seal::hints::Hints;
use rayon::prelude::*;
use report::Report;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Seal whole trees to the newest key, in place
///
/// Every value that an older key opens is sealed anew to the newest sealing key of its cluster, under the same scope,
/// namespace and name. Every other byte of the files stays as it was.
///
/// A value of format age keeps its other recipients: only the older keys of the clusters that are named, or that the rule
/// names, make room for their newest ones. No recipient is added and no format changed unless the command line says so;
/// where a rule asks for it, that is listed, and nothing is opened.
///
/// With --key the values are opened here, on all cores. Without it the controller of the cluster does it, and no
/// plaintext leaves the cluster: that takes the right to `create` services/proxy of its Service.
///
/// All results are computed and staged before the first file is replaced. Whatever stops it, every file is whole, and a
/// second run finishes the work. Folders are walked as Git sees them: what .gitignore ignores is left out, and links are
/// not followed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal reseal .
  privyseal reseal clusters/prod --key backup.pem --dry-run
  privyseal reseal . --for prod --only-key 0123456789abcdef
  privyseal reseal apps --key backup.pem --format age --for prod --for dr
  privyseal reseal apps --key backup.pem --add-recipient break-glass --drop-recipient old-cluster")]
pub(super) struct Args {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    keys: KeyFileOptions,

    /// Only values that this key opens
    #[arg(long, value_name = "KEYID")]
    only_key: Option<KeyId>,

    /// Write what can be resealed, in spite of what cannot; the exit status still says so
    #[arg(long)]
    keep_going: bool,

    /// Write nothing; report what would be done
    #[arg(long)]
    dry_run: bool,

    /// The form of the report
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: ReportFormat,

    #[command(flatten)]
    changes: ChangeOptions,

    #[command(flatten)]
    destination: SealingOptions,
}

/// One SealedSecret that is to be looked at.
struct Job<'a> {
    file: &'a SealedTreeFile,
    /// Which of the file's objects.
    index: usize,
    /// Which of the destinations.
    destination: usize,
}

/// What is to become of one SealedSecret.
struct Outcome {
    /// The new sealed values, by item; none where all may stay.
    values: BTreeMap<String, String>,
    /// The key that opened each of the old ones.
    opened_with: BTreeMap<String, KeyId>,
    /// Whose each changed value was, and whose it is, for people.
    moved: BTreeMap<String, (String, String)>,
    /// The annotation that then holds.
    hints: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    interrupt::watch();
    let now = Timestamp::now();
    let tree = SealedTree::read(&args.paths);
    tree.warn_of_hidden("they stay as they are");
    let mut errors = tree.unreadable;
    let changes = args.changes.read(&args.destination, &mut args.destination.finder(now))?;
    let live = !args.keys.is_given();
    if live && changes.need_keys() {
        return Err(CommandError::input(
            "--format, --add-recipient and --drop-recipient take the opening keys: no controller does it for others",
        )
        .hint("give --key FILE"));
    }
    let mut destinations = Destinations::new(&args.destination, &changes, now, live);
    let mut jobs = Vec::new();
    for file in &tree.files {
        match destinations.of(&file.path, now) {
            Ok(destination) => {
                jobs.extend((0..file.objects.len()).map(|index| Job { file, index, destination }));
            }
            Err(error) => errors.push(error),
        }
    }
    let destinations = destinations.into_all();
    interrupt::check()?;
    let mut differing: Vec<_> =
        jobs.iter().flat_map(|job| differences(job, &destinations[job.destination], &changes)).collect();
    if !differing.is_empty() {
        errors.append(&mut differing);
        errors.push(CommandError::failed("the values are not as they are asked for; nothing was opened"));
        return CommandError::all(errors);
    }

    let progress = Progress::new(jobs.len(), "resealing");
    let outcomes = if args.keys.is_given() {
        let keyring = args.keys.load()?;
        warn_of_what_is_in_vain(&jobs, &destinations, &changes, &keyring);
        keys::reseal(&jobs, &destinations, &keyring, &changes, args.only_key, now, &progress)
    } else {
        controller::reseal(&jobs, &destinations, args.only_key, &progress)?
    };
    drop(progress);
    interrupt::check()?;

    let mut done = Vec::new();
    for (job, outcome) in jobs.iter().zip(outcomes) {
        match outcome {
            Ok(outcome) => done.push((job, outcome)),
            Err(error) => errors.push(error),
        }
    }
    let staged = stage(&done, args.dry_run, &mut errors);
    let failed = !errors.is_empty();
    if failed && !args.keep_going {
        errors.push(
            CommandError::failed("nothing was written").hint("--keep-going writes what can be resealed"),
        );
        return CommandError::all(errors);
    }
    interrupt::check()?;
    Staged::commit_all(staged)?;

    let report = Report::of(&done);
    report.announce(args.dry_run);
    if changes.format.is_some() {
        conversion::announce(&done, &destinations, &changes, args.dry_run);
    }
    strangers::announce(&done, args.dry_run);
    for (job, outcome) in done.iter().filter(|(_, outcome)| !outcome.values.is_empty()) {
        object_size::warn(&job.place(), &outcome.object(job));
    }
    match args.output {
        ReportFormat::Text => report.write_text()?,
        ReportFormat::Json => report.write_json(&errors)?,
    }
    CommandError::all(errors)
}

/// What the command line asks for and cannot be done for want of names in the values.
fn warn_of_what_is_in_vain(
    jobs: &[Job<'_>],
    destinations: &[Destination],
    changes: &Changes,
    keyring: &Keyring,
) {
    let (mut claims, mut unnamed) = (BTreeSet::new(), 0);
    for job in jobs {
        let hints = Hints::read(job.object().metadata.annotations.as_ref());
        for (item, text) in &job.object().spec.encrypted_data {
            let Ok(value) = SealedValue::from_base64(text) else { continue };
            let theirs = claimed(&hints, item, &value);
            let is_age = value.format() == Format::Age;
            unnamed += usize::from(is_age && theirs.is_empty() && destinations[job.destination].is_named());
            claims.extend(theirs);
        }
    }
    for name in changes.dropped_in_vain(&claims, keyring) {
        speech::warning(format_args!(
            "--drop-recipient {}: no value has it among its recipients, as far as they are named",
            Shown(name)
        ));
    }
    if changes.format == Some(Format::Age) && unnamed > 0 {
        speech::warning(format_args!(
            "{unnamed} values of format age do not name their recipients (--no-hints): who else opens them is not known, \
             and stays as it is"
        ));
    }
}

impl Job<'_> {
    fn object(&self) -> &SealedSecret {
        &self.file.objects[self.index].1.object
    }

    /// Which object of which file it is.
    fn place(&self) -> String {
        let sealed = &self.file.objects[self.index].1;
        sealed.message(name_of(&sealed.object))
    }

    /// A message that says which object of which file it is about.
    fn message(&self, what: impl std::fmt::Display) -> String {
        format!("{}: {what}", self.place())
    }
}

/// As people name an object.
pub(super) fn name_of(object: &SealedSecret) -> String {
    let part = |text: &Option<String>| Shown(text.as_deref().unwrap_or("(none)")).to_string();
    match &object.metadata.namespace {
        Some(_) => format!("{}/{}", part(&object.metadata.namespace), part(&object.metadata.name)),
        None => part(&object.metadata.name),
    }
}

/// The files that change, written beside their places.
fn stage(done: &[(&Job<'_>, Outcome)], dry_run: bool, errors: &mut Vec<CommandError>) -> Vec<Staged> {
    let changed = done.iter().filter(|(job, outcome)| outcome.changes(job.object()));
    let mut files: BTreeMap<&std::path::Path, (&SealedTreeFile, Vec<Edit>)> = BTreeMap::new();
    for (job, outcome) in changed {
        let (_, edits) = files.entry(&job.file.path).or_insert_with(|| (job.file, Vec::new()));
        edits.push(outcome.edit(job));
    }
    let results: Vec<_> = files
        .into_par_iter()
        .map(|(_, (file, edits))| {
            let name = file.path.to_string_lossy();
            let edited = edit::apply(&file.bytes, &name, &edits)?;
            if dry_run {
                return Ok(None);
            }
            let staged = Staged::new(&file.path, edited.as_str().as_bytes(), Content::Public)?;
            refuse_if_changed(&file.path, &file.bytes)?;
            Ok(Some(staged))
        })
        .collect();
    let mut staged = Vec::new();
    for result in results {
        match result {
            Ok(file) => staged.extend(file),
            Err(error) => errors.push(error),
        }
    }
    staged
}

impl Outcome {
    /// Nothing is written for the annotation alone, unless it is wrong about a value.
    fn changes(&self, object: &SealedSecret) -> bool {
        !self.values.is_empty() || Hints::contradict(object, &self.opened_with)
    }

    /// The object as it becomes.
    fn object(&self, job: &Job<'_>) -> SealedSecret {
        let mut object = job.object().clone();
        object.spec.encrypted_data.extend(self.values.clone());
        object
    }

    fn edit(&self, job: &Job<'_>) -> Edit {
        let edit = Edit::of(job.file.objects[job.index].0);
        let edit = self.values.iter().fold(edit, |edit, (item, value)| edit.set_item(item, value.clone()));
        edit.sealed_with(self.hints.clone())
    }
}
