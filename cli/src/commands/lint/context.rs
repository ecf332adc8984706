//! What holds for a file: its configuration, the keys that its cluster should be sealed with, and its place in the
//! repository. Found once for each folder.

use super::{is_looked_at, shown_path};
use crate::config_file::{Configuration, folder_of, repository_root};
use crate::error::{CommandError, Shown};
use crate::input::reason;
use crate::speech;
use crate::tree::{self, TreeFile};
use crate::trust_file::TrustOptions;
use jiff::Timestamp;
use privyseal_envelope::age::Recipient;
use privyseal_envelope::rsa::SealingKey;
use privyseal_keys::public_key;
use privyseal_repo::lint::{
    ClusterKeys, Code, Expected, Finding, KnownRecipient, judge_key_file, judge_recipient,
};
use privyseal_repo::{Config, Evidence, KeySource, RecipientSource, Subject};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// What holds for all files.
pub(super) struct Contexts {
    configurations: Vec<Loaded>,
    folders: BTreeMap<PathBuf, Folder>,
    /// The repositories that the files are in.
    repositories: BTreeSet<PathBuf>,
}

/// A file that was not asked for, and may say something of those that were.
pub(super) struct Neighbour {
    pub(super) path: PathBuf,
    /// Its path from the root of the repository.
    pub(super) within: String,
    /// Whether it lies in the folder of a file that was asked for.
    pub(super) beside: bool,
}

/// What holds for one file.
pub(super) struct Context<'a> {
    /// Its path from the root of the repository.
    pub(super) within: String,
    pub(super) expected: Expected<'a>,
    /// Codes that the configuration ignores.
    pub(super) ignored: Vec<Code>,
}

/// A configuration and its keys.
struct Loaded {
    file: PathBuf,
    config: Config,
    keys: Vec<ClusterKeys>,
    recipients: Vec<KnownRecipient>,
    findings: Vec<Finding>,
    /// Clusters and recipients whose keys nobody has compared.
    unpinned: Vec<(Subject, Evidence)>,
}

struct Folder {
    /// From the root of the repository, or from where the command runs.
    within: String,
    /// Which configuration, and the folder's path from it.
    configuration: Option<(usize, String)>,
}

impl Contexts {
    pub(super) fn new(
        files: &[TreeFile],
        config: Option<&Path>,
        trust: Option<PathBuf>,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        let mut this =
            Self { configurations: Vec::new(), folders: BTreeMap::new(), repositories: BTreeSet::new() };
        let options = TrustOptions::of_file(trust);
        let load = |this: &mut Self, configuration: Configuration| {
            let known = this.configurations.iter().position(|known| known.file == configuration.file);
            match known {
                Some(index) => Ok::<usize, CommandError>(index),
                None => {
                    this.configurations.push(Loaded::new(configuration, &options, now)?);
                    Ok(this.configurations.len() - 1)
                }
            }
        };
        let named = match config {
            Some(config) => Some(Configuration::read(config)?),
            None => None,
        };
        for file in files {
            let folder = parent(&file.path).to_owned();
            if this.folders.contains_key(&folder) {
                continue;
            }
            let resolved = folder_of(&file.path).unwrap_or_else(|| folder.clone());
            let configuration = match &named {
                Some(named) => Some(named.clone()),
                None => Configuration::for_file(&file.path)?,
            };
            let configuration = match configuration {
                Some(configuration) => {
                    let root =
                        fs::canonicalize(&configuration.folder).unwrap_or(configuration.folder.clone());
                    let path = relative(&resolved, &root);
                    let index = load(&mut this, configuration)?;
                    path.map(|path| (index, path))
                }
                None => None,
            };
            let repository = repository_of(&resolved);
            let within = within(&folder, &resolved, repository.as_deref());
            this.repositories.extend(repository);
            this.folders.insert(folder, Folder { within, configuration });
        }
        Ok(this)
    }

    /// What holds for a file of those that were given.
    pub(super) fn of(&self, path: &Path) -> Context<'_> {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let Some(folder) = self.folders.get(parent(path)) else {
            return Context { within: name.into_owned(), expected: Expected::default(), ignored: Vec::new() };
        };
        let within = joined(&folder.within, &name);
        let Some((index, prefix)) = &folder.configuration else {
            return Context { within, expected: Expected::default(), ignored: Vec::new() };
        };
        let Loaded { config, keys, recipients, .. } = &self.configurations[*index];
        let path = joined(prefix, &name);
        let expected = Expected { rule: config.rule_for(&path), known: keys, recipients };
        let ignored = config.lint_ignores(&path).flat_map(|ignore| ignore.codes.iter().copied()).collect();
        Context { within, expected, ignored }
    }

    /// What lies around the files that were asked for: their kustomizations, and what gives namespaces to them. A hook
    /// of Git names the files of one commit only.
    pub(super) fn neighbours(&self, files: &[TreeFile]) -> Vec<Neighbour> {
        let known: BTreeSet<String> = files.iter().map(|file| self.of(&file.path).within).collect();
        let folder = |within: &str| within.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let folders: BTreeSet<String> = known.iter().map(|within| folder(within)).collect();
        let mut neighbours = Vec::new();
        for root in &self.repositories {
            // What cannot be read on the way was not asked for.
            let (around, _) = tree::walk(std::slice::from_ref(root));
            for file in around.into_iter().filter(is_looked_at) {
                let within = relative(&file.path, root).filter(|within| !known.contains(within));
                neighbours.extend(within.map(|within| Neighbour {
                    path: file.path,
                    beside: folders.contains(&folder(&within)),
                    within,
                }));
            }
        }
        neighbours
    }

    /// What is wrong with key files.
    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.configurations.iter().flat_map(|loaded| &loaded.findings)
    }

    /// Says whose keys are taken on the repository's own word.
    pub(super) fn announce(&self) {
        for (subject, evidence) in self.configurations.iter().flat_map(|loaded| &loaded.unpinned) {
            speech::note(format_args!(
                "{}: {evidence} is not in the trust file; what its keys say is taken from the repository",
                Shown(&subject.to_string())
            ));
        }
    }
}

impl Loaded {
    fn new(
        configuration: Configuration,
        options: &TrustOptions,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        let Configuration { config, file, folder } = configuration;
        let trust = options.open()?;
        trust.must_be_outside(&folder)?;
        let mut this = Self {
            file,
            config,
            keys: Vec::new(),
            recipients: Vec::new(),
            findings: Vec::new(),
            unpinned: Vec::new(),
        };
        for (name, cluster) in this.config.clusters() {
            let Some(source) = &cluster.keys else { continue };
            let (KeySource::Published(path) | KeySource::Certificate(path)) = source;
            let path = folder.join(path);
            let shown = shown_path(&path);
            let bytes = match read_key_file(&path) {
                Ok(bytes) => bytes,
                Err(error) => {
                    let problem = format!("the keys of {name}: {}", reason(&error));
                    this.findings.push(
                        Finding::of_file(Code::KeyFileUnusable, &shown, problem)
                            .cure("`privyseal keys fetch --published --out-file FILE` writes it"),
                    );
                    continue;
                }
            };
            let judged = judge_key_file(name, source, &shown, &bytes, trust.trust(), now);
            this.keys.extend(judged.keys);
            this.findings.extend(judged.finding);
            let subject = || Subject::Cluster(name.as_str().to_owned());
            this.unpinned.extend(judged.unpinned.map(|evidence| (subject(), evidence)));
        }
        for (name, source) in this.config.recipients() {
            let (shown, recipient) = match source {
                RecipientSource::Age(recipient) => (shown_path(&this.file), recipient.clone()),
                RecipientSource::PublicKey(path) => {
                    let path = folder.join(path);
                    let shown = shown_path(&path);
                    match read_public_key(&path) {
                        Ok(key) => (shown, Recipient::KeyVault(key)),
                        Err(problem) => {
                            let problem = format!("recipients.{name}: {problem}");
                            this.findings.push(Finding::of_file(Code::KeyFileUnusable, &shown, problem).cure(
                                "`az keyvault key download --vault-name VAULT --name KEY --encoding PEM --file FILE` \
                                 writes it",
                            ));
                            continue;
                        }
                    }
                }
            };
            let judged = judge_recipient(name, &recipient, &shown, trust.trust());
            this.recipients.extend(judged.recipient);
            this.findings.extend(judged.finding);
            let subject = || Subject::Recipient(name.as_str().to_owned());
            this.unpinned.extend(judged.unpinned.map(|evidence| (subject(), evidence)));
        }
        Ok(this)
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The root of the repository that a folder is in, if it is in one.
fn repository_of(folder: &Path) -> Option<PathBuf> {
    repository_root(folder).ok().filter(|root| root.join(".git").symlink_metadata().is_ok())
}

/// From the root of the repository; outside of one, from where the command runs, and as it was given if that is
/// elsewhere.
fn within(folder: &Path, resolved: &Path, repository: Option<&Path>) -> String {
    let here = std::env::current_dir().and_then(fs::canonicalize).ok();
    let from = |root: &Path| relative(resolved, root);
    repository.and_then(from).or_else(|| from(&here?)).unwrap_or_else(|| shown_path(folder))
}

/// A path below a root, its parts separated by `/`.
fn relative(path: &Path, root: &Path) -> Option<String> {
    let parts: Option<Vec<_>> =
        path.strip_prefix(root).ok()?.components().map(|part| part.as_os_str().to_str()).collect();
    Some(parts?.join("/"))
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn read_key_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_KEY_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_public_key(path: &Path) -> Result<SealingKey, String> {
    let bytes = read_key_file(path).map_err(|error| reason(&error))?;
    public_key::from_pem(&bytes).map_err(|error| error.to_string())
}

/// More than any list. What is longer is cut, and then no list.
const MAX_KEY_FILE_BYTES: u64 = 1 << 20;
