//! `privyseal lint`

mod azure;
mod context;
mod fix;
mod github;
mod gitlab;
mod json;
mod sarif;
mod text;

use crate::error::{CommandError, Shown};
use crate::input::cannot_read;
use crate::output::to_stdout;
use crate::speech;
use crate::tree::{self, TreeFile};
use clap::ValueEnum;
use context::{Contexts, Neighbour};
use jiff::Timestamp;
use privyseal_repo::lint::{
    CheckedFile, Code, Expected, FileInput, Finding, MAX_FILE_BYTES, Report, Selection, Severity, check_file,
    check_neighbour, check_other, conclude,
};
use rayon::prelude::*;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Check manifests for plain text, and for seals that will not open
///
/// Works offline, needs no key and writes nothing unless --fix is given. Folders are searched for YAML and JSON, and for
/// age identities in small text files, without what .gitignore ignores; a file that is named is taken as it is. Keys come from the key files that .privyseal.yaml
/// names. docs/lint.md says what each code means.
///
/// A comment `# privyseal:ignore PS001 why` on the line of a finding, above it, or above the document silences it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal lint
  privyseal lint clusters/ --format github
  privyseal lint --fix --dry-run
  privyseal lint --format sarif > privyseal.sarif

Exit status: 0 if there is no error and no warning, and with --strict no note; 1 if there is; 2 if a file or the
configuration cannot be read.")]
pub(super) struct Args {
    /// Files and folders
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    /// How findings are written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Change what can be changed safely; every other byte stays
    #[arg(long)]
    fix: bool,

    /// With --fix: say what would be changed, and change nothing
    #[arg(long, requires = "fix")]
    dry_run: bool,

    /// Let notes fail the run too
    #[arg(long)]
    strict: bool,

    /// Tell nothing of this code. May be repeated
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    ignore: Vec<Code>,

    /// Tell of this code only. May be repeated
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    only: Vec<Code>,

    /// The configuration, if it is not the .privyseal.yaml of a file's repository
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The trust file, which pins the keys of each cluster. Nothing is asked, and nothing is written to it
    /// [default: ~/.config/privyseal/trust.yaml]
    #[arg(long, value_name = "FILE", env = "PRIVYSEAL_TRUST", hide_env_values = true)]
    trust: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of a GitHub workflow
    Github,
    /// Issues of an Azure DevOps pipeline
    AzureDevops,
    /// A Code Quality report of GitLab
    Gitlab,
}

impl Format {
    fn render(self, report: &Report) -> Result<String, CommandError> {
        Ok(match self {
            Self::Text => text::render(report),
            Self::Json => json::render(report).map_err(CommandError::failed)?,
            Self::Sarif => sarif::render(report).map_err(CommandError::failed)?,
            Self::Github => github::render(report),
            Self::AzureDevops => azure::render(report),
            Self::Gitlab => gitlab::render(report).map_err(CommandError::failed)?,
        })
    }
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let now = Timestamp::now();
    let (files, mut errors) = tree::walk(&args.paths);
    let files: Vec<TreeFile> =
        files.into_iter().filter(|file| is_looked_at(file) || may_be_a_key(file)).collect();
    let contexts = Contexts::new(&files, args.config.as_deref(), args.trust.clone(), now)?;
    contexts.announce();

    let neighbours = contexts.neighbours(&files);
    let lint = Lint { args, files: &files, neighbours: &neighbours, contexts: &contexts, now };
    let (mut report, unreadable) = lint.report();
    errors.extend(unreadable);
    if args.fix && fix::run(&report.findings, args.dry_run)? {
        report = lint.report().0;
    }
    to_stdout(args.format.render(&report)?.as_bytes())?;
    errors.extend(verdict(&report, args.strict));
    CommandError::all(errors)
}

struct Lint<'a> {
    args: &'a Args,
    files: &'a [TreeFile],
    neighbours: &'a [Neighbour],
    contexts: &'a Contexts,
    now: Timestamp,
}

impl Lint<'_> {
    /// Looks at all files, in parallel.
    fn report(&self) -> (Report, Vec<CommandError>) {
        let results: Vec<Result<CheckedFile, (String, io::Error)>> = self
            .files
            .par_iter()
            .map(|file| self.check(file).map_err(|error| (shown_path(&file.path), error)))
            .collect();
        let (mut checked, mut errors) = (Vec::with_capacity(results.len()), Vec::new());
        for result in results {
            match result {
                Ok(file) => checked.push(file),
                Err((name, error)) => errors.push(cannot_read(&name, &error)),
            }
        }
        checked.par_extend(self.neighbours.par_iter().filter_map(|file| self.look_at(file).ok()));
        let selection = Selection { only: self.args.only.clone(), ignore: self.args.ignore.clone() };
        let more: Vec<Finding> = self.contexts.findings().cloned().collect();
        (conclude(checked, more, &selection), errors)
    }

    fn check(&self, file: &TreeFile) -> io::Result<CheckedFile> {
        let path = shown_path(&file.path);
        let bytes = read(&file.path)?;
        let context = self.contexts.of(&file.path);
        let input = FileInput {
            path: &path,
            within: &context.within,
            bytes: &bytes,
            expected: context.expected,
            ignored: &context.ignored,
            asked_for: true,
        };
        Ok(if is_looked_at(file) { check_file(&input, self.now) } else { check_other(&input) })
    }

    fn look_at(&self, neighbour: &Neighbour) -> io::Result<CheckedFile> {
        let Neighbour { path, within, beside } = neighbour;
        let input = FileInput {
            path: within,
            within,
            bytes: &read(path)?,
            expected: Expected::default(),
            ignored: &[],
            asked_for: false,
        };
        Ok(if *beside { check_file(&input, self.now) } else { check_neighbour(&input, self.now) })
    }
}

/// What the tree takes for manifests, and the one kind of kustomization that has no extension.
fn is_looked_at(file: &TreeFile) -> bool {
    file.may_hold_manifests() || file.path.file_name().is_some_and(|name| name == "Kustomization")
}

/// A small file of the kinds that keys are kept in: only identities of age are looked for.
fn may_be_a_key(file: &TreeFile) -> bool {
    const KINDS: [&str; 6] = ["age", "agekey", "env", "key", "pem", "txt"];
    let extension = file.path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension.is_none_or(|extension| KINDS.contains(&&*extension))
        && file.path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_KEY_BYTES)
}

/// More than any file of keys has.
const MAX_KEY_BYTES: u64 = 64 << 10;

/// At most as much as lint looks at, and one byte more.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let limit = MAX_FILE_BYTES as u64 + 1;
    // As large as it can become, so that growing leaves no copy behind; a pipe has no length.
    let expected = if metadata.is_file() { metadata.len().min(limit) } else { limit };
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(expected).unwrap_or(0) + 1));
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As people write it: from where they are, with `/`, and without `./`.
fn shown_path(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let path = here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    let text = path.to_string_lossy();
    let text = if cfg!(windows) { text.replace('\\', "/") } else { text.into_owned() };
    text.strip_prefix("./").filter(|rest| !rest.is_empty()).map_or_else(|| text.clone(), str::to_owned)
}

/// Says in one line what was looked at, and fails if something is wrong.
fn verdict(report: &Report, strict: bool) -> Option<CommandError> {
    let count = |severity| report.count(severity);
    let [errors, warnings, notes] = [Severity::Error, Severity::Warning, Severity::Note].map(count);
    let looked_at = format!(
        "{} and {}",
        counted(report.files, "file", "files"),
        counted(report.sealed, "SealedSecret", "SealedSecrets")
    );
    if report.templates > 0 {
        speech::note(format_args!(
            "{} not checked, since they are filled in later",
            counted(report.templates, "template is", "templates are")
        ));
    }
    if report.ignored > 0 {
        speech::note(format_args!("{} ignored", counted(report.ignored, "finding is", "findings are")));
    }
    let found = format!(
        "{}, {} and {} in {looked_at}",
        counted(errors, "error", "errors"),
        counted(warnings, "warning", "warnings"),
        counted(notes, "note", "notes")
    );
    if errors + warnings > 0 || strict && notes > 0 {
        return Some(CommandError::failed(found));
    }
    speech::note(if notes > 0 { found } else { format!("nothing found in {looked_at}") });
    None
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What every format says of a finding besides where it is.
fn told(finding: &Finding) -> String {
    let Finding { message, cure, .. } = finding;
    match cure {
        Some(cure) => format!("{}; {}", Shown(message), Shown(cure)),
        None => Shown(message).to_string(),
    }
}
