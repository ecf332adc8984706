//! `privyseal keys report --compromised`: the whole history of Git trees, searched for values of a key that leaked.
//!
//! `git` itself lists the objects: whoever has a repository has it, and knows its packs, alternates and worktrees.

use crate::commands::ReportFormat;
use crate::commands::reseal::name_of;
use crate::error::{CommandError, Shown};
use crate::git::git;
use crate::key_files::KeyFileOptions;
use crate::output::to_stdout;
use crate::sealed_file::sealed_objects;
use crate::sealed_tree::speaks_of_sealed_secrets;
use crate::speech;
use privyseal_envelope::{KeyId, SealedValue};
use privyseal_keys::Keyring;
use privyseal_manifest::SealedSecret;
use privyseal_seal::hints::Hints;
use privyseal_seal::{DEFAULT_ATTEMPTS, open};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// What is known of one item of one object, over all its versions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Finding {
    /// Nothing says which key it was sealed with.
    Unknown,
    /// An annotation says it was this key.
    Claimed,
    /// The key opens it.
    Opened,
}

#[derive(Serialize)]
struct Found {
    object: String,
    item: String,
    finding: Finding,
    /// Where it stands, or stood.
    files: BTreeSet<String>,
}

pub(super) fn run(
    paths: &[PathBuf],
    key: KeyId,
    keys: &KeyFileOptions,
    format: ReportFormat,
) -> Result<(), CommandError> {
    let keyring = if keys.is_given() { Some(keys.load()?) } else { None };
    let mut found = BTreeMap::new();
    let roots = paths.iter().map(|path| root_of(path)).collect::<Result<BTreeSet<_>, _>>()?;
    let mut refs = Vec::new();
    for root in &roots {
        refs.extend(search(root, key, keyring.as_ref(), &mut found)?);
    }
    let found: Vec<Found> = found.into_values().collect();
    let text = match format {
        ReportFormat::Json => {
            let all = serde_json::json!({"key": key.to_string(), "refs": refs, "values": found});
            serde_json::to_string_pretty(&all).map_err(CommandError::failed)? + "\n"
        }
        ReportFormat::Text => as_text(&found, &refs),
    };
    to_stdout(text.as_bytes())?;
    let known = found.iter().filter(|found| found.finding != Finding::Unknown).count();
    speech::note(format_args!(
        "{known} values were sealed with key {key}, and of {} that is not known: change them at their source, since \
         resealing does not take back what leaked",
        found.len() - known
    ));
    Ok(())
}

fn as_text(found: &[Found], refs: &[String]) -> String {
    let mut text = String::new();
    for Found { object, item, finding, files } in found {
        let finding = match finding {
            Finding::Opened => "opened with it",
            Finding::Claimed => "claims it",
            Finding::Unknown => "unknown",
        };
        let files: Vec<_> = files.iter().map(|file| Shown(file).to_string()).collect();
        text += &format!("{}: {}: {finding}: {}\n", Shown(object), Shown(item), files.join(", "));
    }
    text += &format!("searched all commits of {} refs:\n", refs.len());
    refs.iter().for_each(|name| text += &format!("  {}\n", Shown(name)));
    text
}

/// The repository that a path is in.
fn root_of(path: &Path) -> Result<PathBuf, CommandError> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let folder = if folder == Path::new("") { Path::new(".") } else { folder };
    let output = output(git(folder).args(["rev-parse", "--show-toplevel"]), folder)?;
    Ok(PathBuf::from(output.trim_end_matches(['\n', '\r'])))
}

/// Gives the refs that were seen.
fn search(
    root: &Path,
    key: KeyId,
    keyring: Option<&Keyring>,
    found: &mut BTreeMap<(String, String), Found>,
) -> Result<Vec<String>, CommandError> {
    if output(git(root).args(["rev-parse", "--is-shallow-repository"]), root)?.trim() == "true" {
        speech::warning(format_args!(
            "{}: a shallow clone has a part of the history only; `git fetch --unshallow` gets the rest",
            Shown(&root.to_string_lossy())
        ));
    }
    let refs = output(git(root).args(["for-each-ref", "--format=%(refname)"]), root)?;
    let objects = output(git(root).args(["rev-list", "--objects", "--all", "HEAD", "--reflog"]), root)?;
    // Whatever a file was called: Git names each content once, and that may be the name that it had before another.
    let blobs: Vec<_> = objects.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut unreadable = BTreeSet::new();
    read_blobs(root, &blobs, |path, bytes| {
        if !speaks_of_sealed_secrets(bytes) {
            return;
        }
        match sealed_objects(bytes, path) {
            Ok(objects) => {
                for (_, located) in objects {
                    judge(&located.object, path, key, keyring, found);
                }
            }
            Err(_) => _ = unreadable.insert(path.to_owned()),
        }
    })?;
    for path in unreadable {
        speech::warning(format_args!(
            "{}: a version of it speaks of SealedSecrets and cannot be read",
            Shown(&path)
        ));
    }
    let refs = refs.lines().map(str::to_owned).collect::<Vec<_>>();
    speech::note(format_args!(
        "{}: {} files and folders of {} refs and the reflog were looked at",
        Shown(&root.to_string_lossy()),
        blobs.len(),
        refs.len()
    ));
    Ok(refs)
}

fn judge(
    object: &SealedSecret,
    path: &str,
    key: KeyId,
    keyring: Option<&Keyring>,
    found: &mut BTreeMap<(String, String), Found>,
) {
    let hints = Hints::read(object.metadata.annotations.as_ref());
    for (item, text) in &object.spec.encrypted_data {
        let mut part = object.clone();
        part.spec.encrypted_data.retain(|other, _| other == item);
        let opened = keyring.and_then(|keyring| open(&part, keyring, DEFAULT_ATTEMPTS).ok());
        let opened = opened.and_then(|opened| opened.keys().into_iter().next());
        let claimed = SealedValue::from_base64(text).ok().and_then(|value| hints.key_of(item, &value));
        let finding = match (opened.map(|opened| opened.key_id()), claimed) {
            (Some(opened), _) if opened == key => Finding::Opened,
            (Some(_), _) => continue,
            (None, Some(claimed)) if claimed == key => Finding::Claimed,
            // A claim of another key may be a lie, but it is not what one has to begin with.
            (None, Some(_)) => continue,
            (None, None) => Finding::Unknown,
        };
        let object = name_of(object);
        let entry = found.entry((object.clone(), item.clone())).or_insert_with(|| Found {
            object,
            item: item.clone(),
            finding,
            files: BTreeSet::new(),
        });
        entry.finding = entry.finding.max(finding);
        entry.files.insert(path.to_owned());
    }
}

/// `git cat-file --batch`: one process for all blobs.
fn read_blobs(
    root: &Path,
    blobs: &[(&str, &str)],
    mut each: impl FnMut(&str, &[u8]),
) -> Result<(), CommandError> {
    let failed = |error: &std::io::Error| git_failed(root, &crate::input::reason(error));
    let mut child = git(root)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let (Some(mut questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(git_failed(root, "no pipes"));
    };
    let mut answers = BufReader::new(answers);
    let mut read = || -> std::io::Result<()> {
        for (id, path) in blobs {
            writeln!(questions, "{id}")?;
            questions.flush()?;
            let mut head = String::new();
            answers.read_line(&mut head)?;
            let parts: Vec<_> = head.split_whitespace().collect();
            let [_, kind, len] = parts.as_slice() else { continue };
            let len: u64 = len.parse().map_err(|_| std::io::ErrorKind::InvalidData)?;
            // There may be plaintext in it. The whole capacity at once: growing would leave a copy behind.
            let capacity = usize::try_from(len + 1).map_err(|_| std::io::ErrorKind::InvalidData)?;
            let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
            answers.by_ref().take(len + 1).read_to_end(&mut bytes)?;
            bytes.pop();
            if *kind == "blob" {
                each(path, &bytes);
            }
        }
        Ok(())
    };
    let done = read();
    drop(questions);
    let _ = child.wait();
    done.map_err(|error| failed(&error))
}

fn output(command: &mut Command, folder: &Path) -> Result<String, CommandError> {
    let output = command.output().map_err(|error| git_failed(folder, &crate::input::reason(&error)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(git_failed(folder, said.lines().next().unwrap_or("it failed")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn git_failed(folder: &Path, why: &str) -> CommandError {
    CommandError::input(format!("{}: git: {}", Shown(&folder.to_string_lossy()), Shown(why)))
        .hint("the history of a Git repository is searched with `git`, which must be installed")
}
