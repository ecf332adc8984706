//! `privyseal verify`
//!
//! ```text
//!   paths ──SealedTree──▶ objects ──the cluster's controller──▶ Answer for each ──▶ report, status
//! ```

use super::ReportFormat;
use super::reseal::name_of;
use crate::cluster::{Controller, OpenedWith, Verdict};
use crate::documents::Located;
use crate::error::{CommandError, ErrorKind, Shown};
use crate::input::Source;
use crate::interrupt;
use crate::key_source::ClusterOptions;
use crate::output::to_stdout;
use crate::progress::Progress;
use crate::sealed_file::sealed_objects;
use crate::sealed_tree::{SealedTree, SealedTreeFile};
use crate::speech;
use futures::{StreamExt as _, TryStreamExt as _};
use privyseal_manifest::SealedSecret;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Ask the cluster whether SealedSecrets open
///
/// The controller tries each SealedSecret with its keys, as it stands in the file, and says with which key every value
/// opens. Nothing is applied, and no plaintext leaves the cluster. It takes the right to `create` services/proxy of the
/// controller's Service.
///
/// Which value does not open, and why, the controller tells nobody: whoever could ask that could find out more.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal verify --context prod sealed.yaml
  privyseal verify --for prod clusters/prod
  kustomize build . | privyseal verify --context prod -
  privyseal verify --for prod . -o json | jq '.objects[] | select(.opens | not)'

Exit status: 0 if everything opens; 1 if something does not; 2 if a file cannot be read;
3 if the cluster cannot be reached.")]
pub(super) struct Args {
    /// Files and folders; `-` is stdin. With --for, files that a rule gives to another cluster are left out
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The form of the report
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: ReportFormat,

    #[command(flatten)]
    cluster: ClusterOptions,
}

/// One SealedSecret that is to be asked about.
struct Job<'a> {
    file: &'a SealedTreeFile,
    sealed: &'a Located<SealedSecret>,
}

/// What came of asking.
enum Answer {
    /// The key of each item; empty where the controller names none.
    Opens(OpenedWith),
    DoesNotOpen,
    /// It was not judged.
    Failed(CommandError),
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    interrupt::watch();
    let (stdin, paths): (Vec<_>, Vec<_>) = args.files.iter().cloned().partition(|path| is_stdin(path));
    let tree = SealedTree::read(&paths);
    tree.warn_of_hidden("they are not verified");
    let SealedTree { mut files, unreadable, .. } = tree;
    if !stdin.is_empty() {
        files.push(read_stdin()?);
    }
    let mut jobs = Vec::new();
    let mut elsewhere = 0;
    for file in &files {
        // What comes through a pipe has no path that a rule could be about.
        if is_stdin(&file.path) || args.cluster.concerns(&file.path)? {
            jobs.extend(file.objects.iter().map(|(_, sealed)| Job { file, sealed }));
        } else {
            elsewhere += 1;
        }
    }
    if elsewhere > 0 {
        speech::note(format_args!("{elsewhere} files are left out: a rule gives them to another cluster"));
    }
    if files.is_empty() && unreadable.is_empty() {
        speech::warning("there is no SealedSecret in what was named: nothing was verified");
    }
    let answers = if jobs.is_empty() { Vec::new() } else { ask(&args.cluster, &jobs)? };
    let report = Report::of(&jobs, &answers, &unreadable);
    match args.output {
        ReportFormat::Text => report.write_text()?,
        ReportFormat::Json => report.write_json()?,
    }
    let mut errors: Vec<_> = does_not_open(&jobs, &answers).into_iter().collect();
    errors.extend(not_judged(&jobs, answers));
    errors.extend(unreadable);
    CommandError::all(errors)
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read_stdin() -> Result<SealedTreeFile, CommandError> {
    let bytes = Source::Stdin.read()?;
    let objects = sealed_objects(&bytes, &Source::Stdin.name())?;
    match objects.is_empty() {
        true => Err(CommandError::input("stdin: there is no SealedSecret in it")),
        false => Ok(SealedTreeFile::new(PathBuf::from("-"), bytes, objects)),
    }
}

/// An answer for each job, in order. A cluster that cannot be reached fails the whole.
fn ask(cluster: &ClusterOptions, jobs: &[Job<'_>]) -> Result<Vec<Answer>, CommandError> {
    let progress = Progress::new(jobs.len(), "verifying");
    cluster.session(async |session| {
        let controller = session.controller().await?;
        let work = jobs.iter().map(async |job| {
            let answer = one(&controller, &job.sealed.object).await;
            progress.step();
            answer
        });
        futures::stream::iter(work).buffered(AT_ONCE).try_collect().await
    })
}

async fn one(controller: &Controller<'_>, object: &SealedSecret) -> Result<Answer, CommandError> {
    interrupt::check()?;
    match controller.opens(object).await {
        Ok(Verdict::Opens(keys)) => Ok(Answer::Opens(keys)),
        Ok(Verdict::DoesNotOpen) => Ok(Answer::DoesNotOpen),
        Err(error) if error.kind() == ErrorKind::Unreachable => Err(error),
        Err(error) => Ok(Answer::Failed(error)),
    }
}

fn does_not_open(jobs: &[Job<'_>], answers: &[Answer]) -> Option<CommandError> {
    let closed = jobs.iter().zip(answers).filter(|(_, answer)| matches!(answer, Answer::DoesNotOpen));
    let closed: Vec<_> = closed.map(|(job, _)| &job.sealed.object).collect();
    if closed.is_empty() {
        return None;
    }
    let mut error =
        CommandError::failed(format!("{} of {} SealedSecrets do not open", closed.len(), jobs.len()));
    if closed.iter().any(|object| object.metadata.namespace.is_none()) {
        error = error.hint(
            "a namespace that only `kubectl -n`, Flux or a kustomization gives is not in the file, and so not in the \
             question: verify what is rendered",
        );
    }
    if closed.iter().any(|object| object.spec.data.is_some()) {
        error = error.hint("spec.data, the deprecated form, opens nowhere any more: seal the Secret anew");
    }
    Some(CHECK.iter().fold(error, |error, hint| error.hint(*hint)))
}

/// Each reason once, however many objects it held up.
fn not_judged(jobs: &[Job<'_>], answers: Vec<Answer>) -> Vec<CommandError> {
    let mut reasons: BTreeMap<String, (CommandError, Vec<String>)> = BTreeMap::new();
    for (job, answer) in jobs.iter().zip(answers) {
        let Answer::Failed(error) = answer else { continue };
        let reason = error.reports().first().map_or_else(String::new, |(reason, _)| reason.clone());
        let (_, names) = reasons.entry(reason).or_insert_with(|| (error, Vec::new()));
        names.push(name_of(&job.sealed.object));
    }
    let told = reasons.into_iter().map(|(reason, (error, names))| {
        let more = match names.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let told = CommandError::failed(format!("{}{more}: {reason}", names[0])).of_kind(error.kind());
        let reports = error.reports();
        let hints = reports.iter().flat_map(|(_, hints)| hints);
        hints.fold(told, |told, hint| told.hint(*hint))
    });
    told.collect()
}

#[derive(Serialize)]
struct Report {
    objects: Vec<ObjectReport>,
    /// What could not be read.
    errors: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectReport {
    file: String,
    line: usize,
    object: String,
    /// None if it was not judged.
    opens: Option<bool>,
    /// The key that opens each item; none where the controller names no keys.
    opened_with: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Report {
    fn of(jobs: &[Job<'_>], answers: &[Answer], unreadable: &[CommandError]) -> Self {
        let objects = jobs.iter().zip(answers).map(|(job, answer)| ObjectReport::of(job, answer));
        let errors = unreadable.iter().flat_map(CommandError::reports).map(|(message, _)| message);
        Self { objects: objects.collect(), errors: errors.collect() }
    }

    fn write_text(&self) -> Result<(), CommandError> {
        let text: String = self.objects.iter().map(ObjectReport::line).collect();
        to_stdout(text.as_bytes())
    }

    fn write_json(&self) -> Result<(), CommandError> {
        let text = serde_json::to_string_pretty(self).map_err(CommandError::failed)?;
        to_stdout((text + "\n").as_bytes())
    }
}

impl ObjectReport {
    fn of(job: &Job<'_>, answer: &Answer) -> Self {
        let (opens, opened_with, error) = match answer {
            Answer::Opens(keys) => {
                let named = !keys.is_empty() || job.sealed.object.spec.encrypted_data.is_empty();
                let keys = keys.iter().map(|(item, key)| (item.clone(), key.to_string()));
                (Some(true), named.then(|| keys.collect()), None)
            }
            Answer::DoesNotOpen => (Some(false), None, None),
            Answer::Failed(error) => {
                let reason = error.reports().into_iter().next().map(|(reason, _)| reason);
                (None, None, reason)
            }
        };
        Self {
            file: job.file.path.to_string_lossy().into_owned(),
            line: job.sealed.place.as_ref().map_or(1, |place| place.line),
            object: name_of(&job.sealed.object),
            opens,
            opened_with,
            error,
        }
    }

    fn line(&self) -> String {
        let verdict = match (self.opens, &self.opened_with) {
            (Some(true), Some(keys)) if keys.is_empty() => "opens: it has no items".to_owned(),
            (Some(true), Some(keys)) => {
                let keys: Vec<_> =
                    keys.iter().map(|(item, key)| format!("{} with {key}", Shown(item))).collect();
                format!("opens: {}", keys.join(", "))
            }
            (Some(true), None) => "opens; the controller does not say with which keys".to_owned(),
            (Some(false), _) => "does not open".to_owned(),
            (None, _) => "not judged".to_owned(),
        };
        format!("{}:{}: {}: {verdict}\n", Shown(&self.file), self.line, self.object)
    }
}

/// What to look at, since the controller does not say.
const CHECK: [&str; 3] = [
    "compare namespace, name and scope with those that it was sealed under: `privyseal inspect FILE` says what the file is \
     bound to",
    "compare the keys: `privyseal inspect FILE` says which keys a value claims, `privyseal keys list -o json` which keys this \
     cluster opens with, and the ids of their age recipients; one that is retired or deleted opens nothing",
    "with an opening key at hand, `privyseal inspect --key` says which value it is, and under which name it would open",
];

/// Few enough that the controller's own bound is not met by one caller alone.
const AT_ONCE: usize = 4;
