//! One file: what it tells by itself, and what of it matters to others.

use super::applied::{self, Applier};
use super::builds::Role;
use super::code::Code;
use super::comments::{self, Comment};
use super::embedded;
use super::finding::{Finding, Text};
use super::flux::{self, FluxKustomization, GitRepository};
use super::identity;
use super::keys::Expected;
use super::kustomize::{self, Kustomization, NamespaceGiver};
use super::placeholder::is_template;
use super::plaintext::{self, PlainSecret, Readable};
use super::references::{self, Reference};
use super::sealed::{self, SealedFact};
use jiff::Timestamp;
use privyseal_manifest::{DocumentError, Problem};
use std::collections::BTreeMap;

/// A file, and what is known about it.
#[derive(Clone, Copy)]
pub struct FileInput<'a> {
    /// Its path for messages.
    pub path: &'a str,
    /// Its path from the root of the repository, its parts separated by `/`: other files speak of it so.
    pub within: &'a str,
    /// What it holds, or the beginning of it if that is longer than [`MAX_FILE_BYTES`].
    pub bytes: &'a [u8],
    /// Which keys it should be sealed with.
    pub expected: Expected<'a>,
    /// Codes that the configuration ignores for it.
    pub ignored: &'a [Code],
    /// Whether it was asked for. If not, it is known for what it says of others, and nothing is told of itself.
    pub asked_for: bool,
}

/// What is not looked at: no manifest is as large.
pub const MAX_FILE_BYTES: usize = 10 << 20;

/// A file that was looked at.
pub struct CheckedFile {
    pub(super) path: String,
    pub(super) within: String,
    pub(super) findings: Vec<Finding>,
    pub(super) sealed: Vec<SealedFact>,
    pub(super) plain: Vec<PlainSecret>,
    /// It is no manifest, and what a Secret that is made of it would hold.
    pub(super) readable: Readable,
    pub(super) kustomization: Option<Kustomization>,
    pub(super) givers: Vec<NamespaceGiver>,
    pub(super) flux: Vec<FluxKustomization>,
    /// What Argo CD applies.
    pub(super) argo: Vec<Applier>,
    /// Other repositories, and perhaps this one.
    pub(super) repositories: Vec<GitRepository>,
    /// Secrets that its objects refer to.
    pub(super) references: Vec<Reference>,
    /// It declares a function that seals, strictly.
    seals_strictly: bool,
    /// It makes references follow SealedSecrets.
    follows: bool,
    pub(super) comments: Vec<Comment>,
    /// Where each document begins, by document and item.
    pub(super) starts: BTreeMap<(Option<usize>, Option<usize>), usize>,
    pub(super) ignored: Vec<Code>,
    pub(super) asked_for: bool,
    pub(super) templates: usize,
    pub(super) sealed_count: usize,
}

impl CheckedFile {
    fn new(input: &FileInput<'_>) -> Self {
        Self {
            path: input.path.to_owned(),
            within: input.within.to_owned(),
            findings: Vec::new(),
            sealed: Vec::new(),
            plain: Vec::new(),
            readable: Readable::default(),
            kustomization: None,
            givers: Vec::new(),
            flux: Vec::new(),
            argo: Vec::new(),
            repositories: Vec::new(),
            references: Vec::new(),
            seals_strictly: false,
            follows: false,
            comments: Vec::new(),
            starts: BTreeMap::new(),
            ignored: input.ignored.to_vec(),
            asked_for: input.asked_for,
            templates: 0,
            sealed_count: 0,
        }
    }

    /// What it is to a kustomization that lists it.
    pub(super) fn role(&self) -> Role {
        Role {
            sealed: self.sealed_count > 0,
            refers: !self.references.is_empty(),
            seals_strictly: self.seals_strictly,
            follows: self.follows,
            flux: !self.flux.is_empty(),
        }
    }
}

/// Looks at one file.
pub fn check_file(input: &FileInput<'_>, now: Timestamp) -> CheckedFile {
    let mut file = CheckedFile::new(input);
    let not_looked_at = |why: &str| {
        Finding::of_file(Code::NotLookedAt, input.path, format!("not looked at: {why}"))
            .cure("if it holds a Secret or a SealedSecret, give it a file of its own, in UTF-8")
    };
    if input.bytes.len() > MAX_FILE_BYTES {
        if mentions_secret(input.bytes) {
            file.findings.push(not_looked_at("it is larger than 10 MiB"));
        }
        return file;
    }
    let kustomization = kustomize::is_kustomization_file(input.within);
    if !kustomization && !is_interesting(input.bytes) {
        return file;
    }
    let Ok(text) = str::from_utf8(input.bytes) else {
        // git-crypt has encrypted it.
        if !input.bytes.starts_with(b"\0GITCRYPT") && mentions_secret(input.bytes) {
            file.findings.push(not_looked_at("it is not UTF-8"));
        }
        return file;
    };
    let text = Text::new(input.path, text);
    (file.comments, file.findings) = comments::read(&text);
    identity::check(&text, &mut file.findings);
    file.follows = kustomize::follows_sealed(input.bytes);
    let documents = match privyseal_manifest::read(input.bytes, input.path) {
        Ok(documents) => documents,
        Err(error) => {
            unreadable(&mut file, &text, &error);
            return file;
        }
    };
    for document in &documents {
        file.starts.insert((Some(document.number()), document.item()), document.line());
        if plaintext::is_secret(document) {
            file.plain.extend(plaintext::check(&text, document));
        } else if sealed::is_sealed_secret(document) {
            file.sealed_count += 1;
            match sealed::check(&text, document, &input.expected, now, &mut file.findings) {
                sealed::Outcome::Checked(fact) => file.sealed.push(*fact),
                sealed::Outcome::Template => file.templates += 1,
                sealed::Outcome::Unreadable => {}
            }
        } else {
            file.argo.extend(applied::of_argo(input.path, document));
            file.repositories.extend(flux::git_repository(document));
            if let Some(flux) = flux::read(input.path, &text, document) {
                file.flux.push(flux);
            } else if kustomization && file.kustomization.is_none() {
                file.kustomization = Some(kustomize::read(input.within, &text, document));
                plaintext::check_generators(&text, document, &mut file.findings);
            } else {
                file.givers.extend(kustomize::namespace_giver(document));
                file.references.extend(references::of(document));
                file.seals_strictly |= kustomize::seals_strictly(document);
            }
            if text.as_str().contains("SealedSecret") {
                embedded::check(&text, document, &mut file.findings);
            }
        }
    }
    file
}

/// Looks at a file that was not asked for and lies in another folder than those that were: what builds them and what gives
/// them a namespace is read, and of the rest only whether it may hold a SealedSecret. A hook of Git that names one file must
/// not cost as much as the whole repository.
pub fn check_neighbour(input: &FileInput<'_>, now: Timestamp) -> CheckedFile {
    const WORDS: [&[u8]; 3] =
        [b"argoproj.io/", b"kustomize.toolkit.fluxcd.io/", b"source.toolkit.fluxcd.io/"];
    let applies = WORDS.iter().any(|word| contains(input.bytes, word));
    if applies || kustomize::is_kustomization_file(input.within) {
        return check_file(input, now);
    }
    let mut file = CheckedFile::new(input);
    file.sealed_count = usize::from(contains(input.bytes, b"SealedSecret"));
    file.follows = kustomize::follows_sealed(input.bytes);
    file
}

/// Looks at a file that is no manifest, such as `keys.txt`: for keys, and whether a Secret that a kustomization makes of
/// it would be plain text.
pub fn check_other(input: &FileInput<'_>) -> CheckedFile {
    let mut file = CheckedFile::new(input);
    file.readable = plaintext::readable(input.within, input.bytes);
    if let Ok(text) = str::from_utf8(input.bytes)
        && identity::may_hold_one(input.bytes)
    {
        let text = Text::new(input.path, text);
        file.comments = comments::read(&text).0;
        identity::check(&text, &mut file.findings);
    }
    file
}

/// Whether anything in a file could be for us. Most files of a repository are done here, without being parsed.
fn is_interesting(bytes: &[u8]) -> bool {
    const WORDS: [&[u8]; 8] = [
        b"Secret",
        b"secretKeyRef",
        b"secretName",
        b"secretRef",
        b"targetNamespace",
        b"argoproj.io/",
        b"kustomize.toolkit.fluxcd.io/",
        b"source.toolkit.fluxcd.io/",
    ];
    WORDS.iter().any(|word| contains(bytes, word)) || identity::may_hold_one(bytes)
}

pub(super) fn contains(bytes: &[u8], word: &[u8]) -> bool {
    let Some((&first, _)) = word.split_first() else { return true };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == first) {
        if rest[at..].starts_with(word) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// A file that is neither YAML nor JSON matters only if it looks as if it held a Secret. A chart's template is not YAML
/// before it is rendered, and that is as it should be.
fn unreadable(file: &mut CheckedFile, text: &Text<'_>, error: &DocumentError) {
    // A list is something else: an Ansible playbook, a JSON patch.
    let is_list = matches!(error.problem(), Problem::WrongType { expected: "a mapping", .. });
    if is_list || !mentions_secret(text.as_str().as_bytes()) {
        return;
    }
    if is_template(text.as_str()) {
        file.templates += 1;
        return;
    }
    let is_manifest = ["yaml", "yml", "json"]
        .iter()
        .any(|known| file.path.rsplit('.').next().is_some_and(|it| it.eq_ignore_ascii_case(known)));
    if !is_manifest {
        return;
    }
    let message = format!("it looks like a Secret or SealedSecret, and cannot be read: {}", error.problem());
    let mut finding = text.at_position(Code::NotADocument, None, error.field(), error.position(), message);
    finding.document = error.document();
    finding.cure = error.hint();
    file.findings.push(finding);
}

/// Whether a line says `kind: Secret` or `kind: SealedSecret`, in YAML or JSON.
fn mentions_secret(bytes: &[u8]) -> bool {
    // In UTF-16 every other byte is zero.
    let bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    bytes.split(|&byte| matches!(byte, b'\n' | b',' | b'{' | b'}')).any(|line| {
        let line = line.trim_ascii();
        let line = line.strip_prefix(b"- ").unwrap_or(line);
        let unquoted: Vec<u8> =
            line.iter().copied().filter(|byte| !matches!(byte, b'"' | b'\'' | b' ' | b'\t')).collect();
        matches!(unquoted.as_slice(), b"kind:Secret" | b"kind:SealedSecret")
    })
}
