//! `privyseal keys report --compromised`: the whole history of Git trees, searched for values of a key that leaked.
//!
//! `git` itself lists the objects: whoever has a repository has it, and knows its packs, alternates and worktrees.
//!
//! A key goes by several ids: that of its RSA half in annotations, and those of its recipients in values of the age format.
//! Which belong together is said by the cluster, by keys at hand, and by every key file that the history ever held. A file
//! that lies can only add values to the list.

use crate::commands::ReportFormat;
use crate::commands::reseal::name_of;
use crate::error::{CommandError, Shown};
use crate::git::git;
use crate::key_files::KeyFileOptions;
use crate::key_source::ClusterOptions;
use crate::output::to_stdout;
use crate::sealed_file::sealed_objects;
use crate::sealed_tree::speaks_of_sealed_secrets;
use crate::speech;
use privyseal_envelope::{Fingerprint, Format, KeyId};
use privyseal_keys::{Keyring, PublicHalf};
use privyseal_manifest::SealedSecret;
use privyseal_repo::KeyFile;
use privyseal_seal::{DEFAULT_ATTEMPTS, inspect, open};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// What is asked of the key beside its history.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// Opening keys at hand.
    pub(super) keys: &'a KeyFileOptions,
    /// The cluster whose key it is, if one is named.
    pub(super) cluster: &'a ClusterOptions,
}

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

/// One version of a value.
struct Version {
    object: String,
    item: String,
    file: String,
    is_age: bool,
    /// The key of --key that opens it.
    opened: Option<KeyId>,
    claimed: Vec<KeyId>,
    /// Whether there may be a key that no hint claims.
    is_open: bool,
}

/// All that the trees' histories say.
#[derive(Default)]
struct History {
    versions: Vec<Version>,
    /// Ids that belong together.
    keys: BTreeSet<Vec<KeyId>>,
    refs: Vec<String>,
}

pub(super) fn run(
    paths: &[PathBuf],
    key: &str,
    sources: Sources<'_>,
    format: ReportFormat,
) -> Result<(), CommandError> {
    let mut ids = ids_of(key, sources.cluster)?;
    let name = ids[0];
    let keyring = if sources.keys.is_given() { Some(sources.keys.load()?) } else { None };
    let mut history = History::default();
    for entry in keyring.iter().flat_map(Keyring::entries) {
        history.learn(entry.fingerprints().iter().copied());
    }
    let roots = paths.iter().map(|path| root_of(path)).collect::<Result<BTreeSet<_>, _>>()?;
    for root in &roots {
        history.search(root, keyring.as_ref())?;
    }
    let more: Vec<KeyId> = history.keys.iter().filter(|key| key.contains(&name)).flatten().copied().collect();
    ids.extend(more.into_iter().filter(|id| *id != name));
    let ids: BTreeSet<KeyId> = ids.into_iter().collect();
    let found = history.found(&ids);
    let others: Vec<_> = ids.iter().filter(|id| **id != name).map(KeyId::to_string).collect();
    let refs = &history.refs;
    let text = match format {
        ReportFormat::Json => {
            let all = serde_json::json!({
                "key": name.to_string(), "otherIds": others, "refs": refs, "values": found,
            });
            serde_json::to_string_pretty(&all).map_err(CommandError::failed)? + "\n"
        }
        ReportFormat::Text => as_text(&found, refs),
    };
    to_stdout(text.as_bytes())?;
    match others.is_empty() {
        false => speech::note(format_args!("key {name} goes by {} too", others.join(", "))),
        true if history.versions.iter().any(|version| version.is_age) => speech::warning(format_args!(
            "no other id of key {name} is known: if it has age recipients, values of the age format claim theirs. Give \
             --key, or name its cluster with --context or --for"
        )),
        true => {}
    }
    let known = found.iter().filter(|found| found.finding != Finding::Unknown).count();
    speech::note(format_args!(
        "{known} values were sealed with key {name}, and of {} that is not known: change them at their source, since \
         resealing does not take back what leaked",
        found.len() - known
    ));
    Ok(())
}

/// The id that somebody gives, first, and those that the cluster knows the key by, if one is named.
fn ids_of(key: &str, cluster: &ClusterOptions) -> Result<Vec<KeyId>, CommandError> {
    if cluster.asked(None)?.is_some() {
        let key = cluster.session(async |session| session.key(key).await)?;
        return Ok(std::iter::once(key.key_id()).chain(key.recipient_ids()).collect());
    }
    let id = key.parse::<Fingerprint>().map(|fingerprint| fingerprint.key_id()).or_else(|_| key.parse());
    id.map(|id| vec![id]).map_err(|_| {
        CommandError::input(format!("--compromised {}: no key id, and no fingerprint", Shown(key))).hint(
            "a key id is 16 lower-case hex digits, a fingerprint SHA256: and 43 characters of base64; a Secret is found \
             with --context or --for",
        )
    })
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

impl History {
    fn learn(&mut self, fingerprints: impl IntoIterator<Item = Fingerprint>) {
        self.keys.insert(fingerprints.into_iter().map(|fingerprint| fingerprint.key_id()).collect());
    }

    fn search(&mut self, root: &Path, keyring: Option<&Keyring>) -> Result<(), CommandError> {
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
            self.learn_from_key_file(bytes);
            if !speaks_of_sealed_secrets(bytes) {
                return;
            }
            match sealed_objects(bytes, path) {
                Ok(objects) => {
                    for (_, located) in objects {
                        self.add(&located.object, path, keyring);
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
        self.refs.extend(refs);
        Ok(())
    }

    /// Of a published list, or of a certificate with recipients beside it. Who wrote it does not matter here.
    fn learn_from_key_file(&mut self, bytes: &[u8]) {
        if bytes.len() > MAX_KEY_FILE_BYTES {
            return;
        }
        if bytes.trim_ascii_start().starts_with(b"{") {
            let list = KeyFile::verify(bytes).map(|(list, _)| list.keys).unwrap_or_default();
            list.iter().for_each(|key| self.learn(key.fingerprints()));
        } else if bytes.trim_ascii_start().starts_with(b"-----BEGIN CERTIFICATE-----")
            && let Ok(key) = PublicHalf::from_text(bytes)
        {
            self.learn(key.fingerprints());
        }
    }

    fn add(&mut self, object: &SealedSecret, path: &str, keyring: Option<&Keyring>) {
        for inspected in inspect(object, None, &[]).items {
            let mut part = object.clone();
            part.spec.encrypted_data.retain(|other, _| *other == inspected.item);
            let opened = keyring.and_then(|keyring| open(&part, keyring, DEFAULT_ATTEMPTS).ok());
            let opened = opened.and_then(|opened| opened.keys().into_iter().next());
            let unnamed = inspected.recipients.iter().any(|recipient| recipient.claimed.is_none());
            self.versions.push(Version {
                object: name_of(object),
                file: path.to_owned(),
                is_age: inspected.format == Ok(Format::Age),
                opened: opened.map(|key| key.key_id()),
                is_open: unnamed || inspected.claimed.is_empty(),
                claimed: inspected.claimed,
                item: inspected.item,
            });
        }
    }

    /// What the key opened, by object and item. `ids` is all that it goes by.
    fn found(&self, ids: &BTreeSet<KeyId>) -> Vec<Found> {
        let mut found = BTreeMap::new();
        for version in &self.versions {
            let Version { object, item, file, .. } = version;
            let Some(finding) = version.judge(ids) else { continue };
            let entry = found.entry((object, item)).or_insert_with(|| Found {
                object: object.clone(),
                item: item.clone(),
                finding,
                files: BTreeSet::new(),
            });
            entry.finding = entry.finding.max(finding);
            entry.files.insert(file.clone());
        }
        found.into_values().collect()
    }
}

impl Version {
    fn judge(&self, ids: &BTreeSet<KeyId>) -> Option<Finding> {
        let claims = || self.claimed.iter().any(|id| ids.contains(id));
        match self.opened {
            Some(opened) if ids.contains(&opened) => Some(Finding::Opened),
            // A classic value has one key; one of the age format may be for others too.
            Some(_) if !self.is_age => None,
            _ if claims() => Some(Finding::Claimed),
            // A claim of another key may be a lie, but it is not what one has to begin with.
            _ if !self.is_open => None,
            _ => Some(Finding::Unknown),
        }
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

/// More than any key file.
const MAX_KEY_FILE_BYTES: usize = 1 << 20;
