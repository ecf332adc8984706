//! Checks of a whole repository, offline: what is readable that should be sealed, what cannot open where it lies, and
//! what is sealed with a key that should not be used any more.
//!
//! ```text
//!   bytes of a file ──check_file──▶ [CheckedFile] ──conclude──▶ [Report]: findings, sorted
//!   key files ──judge_key_file──▶ [ClusterKeys] ─┘      └── kustomizations, duplicates, namespaces: what needs all files
//! ```
//!
//! Files are checked one by one, so that it can be done in parallel; what needs several waits for [`conclude`]. Rules
//! are made so that a repository without a fault gets no finding: where a tool may change what is in a file (a chart's
//! template, a substitution, a patch), nothing is claimed. No finding holds a value.

mod applied;
mod builds;
mod code;
mod comments;
mod embedded;
mod file;
mod finding;
mod flux;
mod gitops;
mod identity;
mod keys;
mod known;
mod kustomize;
mod listings;
mod placeholder;
mod plaintext;
mod references;
mod sealed;

pub use code::{Code, NotACode, Severity};
pub use file::{CheckedFile, FileInput, MAX_FILE_BYTES, check_file, check_neighbour, check_other};
pub use finding::{Finding, Fix, Snippet, Spot};
pub use keys::Expected;
pub use known::{
    ClusterKeys, JudgedKeyFile, JudgedRecipient, KnownRecipient, judge_key_file, judge_recipient,
};

use applied::Applier;
use builds::{Build, Builds, Role, by_folder, listed, patched_flux};
use flux::{FluxKustomization, GitRepository};
use kustomize::{Kustomization, NamespaceGiver, folder_of};
use privyseal_envelope::Scope;
use sealed::SealedFact;
use std::collections::{BTreeMap, BTreeSet};

/// Which codes are told.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// These only, if there are any.
    pub only: Vec<Code>,
    /// Not these.
    pub ignore: Vec<Code>,
}

/// What became of a tree.
#[derive(Debug)]
pub struct Report {
    /// By path, line and code.
    pub findings: Vec<Finding>,
    /// Files that were given.
    pub files: usize,
    /// SealedSecrets among them.
    pub sealed: usize,
    /// Files and objects that are filled in before the cluster sees them, and so were not checked.
    pub templates: usize,
    /// Findings that a comment or the configuration ignores.
    pub ignored: usize,
}

impl Selection {
    /// Whether a code is told.
    pub fn takes(&self, code: Code) -> bool {
        (self.only.is_empty() || self.only.contains(&code)) && !self.ignore.contains(&code)
    }
}

/// Joins what is known of all files, and adds what needs several of them. `more` are findings of key files.
pub fn conclude(files: Vec<CheckedFile>, more: Vec<Finding>, selection: &Selection) -> Report {
    let mut findings = more;
    let kustomizations = kustomizations(&files);
    let flux = told_flux(&files, &kustomizations);
    let appliers = appliers(&files, &flux);
    let tree = Tree::new(&files, &kustomizations, &appliers, flux);
    let asked_for = || files.iter().filter(|file| file.asked_for);
    for file in asked_for() {
        for sealed in &file.sealed {
            tree.names(file, sealed, &mut findings);
        }
    }
    tree.duplicates(&mut findings);
    tree.gitops(&mut findings);
    for file in asked_for() {
        tree.plaintext(file, &mut findings);
        findings.extend(file.findings.iter().cloned());
    }
    let by_path: BTreeMap<&str, &CheckedFile> = files.iter().map(|file| (file.path.as_str(), file)).collect();
    findings.retain(|finding| selection.takes(finding.code));
    let before = findings.len();
    findings.retain(|finding| !by_path.get(finding.path.as_str()).is_some_and(|file| file.ignores(finding)));
    let ignored = before - findings.len();
    findings.sort_by(|a, b| a.order().cmp(&b.order()));
    // Several builds may say the same of one place.
    findings.dedup_by(|a, b| a.order() == b.order() && a.field == b.field);
    Report {
        findings,
        files: asked_for().count(),
        sealed: asked_for().map(|file| file.sealed_count).sum(),
        templates: asked_for().map(|file| file.templates).sum(),
        ignored,
    }
}

impl Report {
    /// How many findings there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.code.severity() == severity).count()
    }
}

impl Finding {
    fn order(&self) -> (&str, usize, usize, Code, &str) {
        let (line, column) = self.spot.as_ref().map_or((0, 0), |spot| (spot.line, spot.column));
        (&self.path, line, column, self.code, &self.message)
    }
}

impl CheckedFile {
    fn ignores(&self, finding: &Finding) -> bool {
        let own = finding.spot.as_ref().map(|spot| spot.line);
        let start = self.starts.get(&(finding.document, finding.item)).copied();
        let lines: Vec<usize> = own.into_iter().chain(start).collect();
        self.ignored.contains(&finding.code)
            || self.comments.iter().any(|comment| comment.ignores(finding.code, &lines))
    }
}

/// All files together.
struct Tree<'a> {
    files: &'a [CheckedFile],
    by_within: BTreeMap<&'a str, &'a CheckedFile>,
    /// SealedSecrets by folder and name.
    sealed: BTreeMap<(&'a str, &'a str), Vec<(&'a SealedFact, &'a CheckedFile)>>,
    builds: Builds<'a>,
    givers: Vec<&'a NamespaceGiver>,
    /// Kustomizations of Flux of which it is known what they say, and where they stand.
    flux: Vec<(&'a CheckedFile, &'a FluxKustomization)>,
}

/// All kustomizations, by path.
fn kustomizations(files: &[CheckedFile]) -> BTreeMap<&str, &Kustomization> {
    files.iter().filter_map(|file| Some((file.within.as_str(), file.kustomization.as_ref()?))).collect()
}

/// The repositories that the tree itself names to Flux.
fn declared(files: &[CheckedFile]) -> Vec<&GitRepository> {
    files.iter().flat_map(|file| &file.repositories).collect()
}

/// Kustomizations of Flux that are of this repository, and that no patch changes.
fn told_flux<'a>(
    files: &'a [CheckedFile],
    all: &BTreeMap<&'a str, &'a Kustomization>,
) -> Vec<(&'a CheckedFile, &'a FluxKustomization)> {
    let by_within: BTreeMap<&str, &CheckedFile> =
        files.iter().map(|file| (file.within.as_str(), file)).collect();
    let role = |path: &str| by_within.get(path).map_or(Role::default(), |file| file.role());
    let patches: BTreeSet<&str> =
        all.values().flat_map(|kustomization| &kustomization.patches).map(String::as_str).collect();
    let declared = declared(files);
    let mut told: Vec<_> =
        files.iter().flat_map(|file| file.flux.iter().map(move |flux| (file, flux))).collect();
    told.retain(|(file, flux)| !patches.contains(file.within.as_str()) && flux.is_of(&declared));
    let mut patched = patched_flux(all, role);
    let by_folder = by_folder(all);
    for (_, flux) in told.iter().filter(|(_, flux)| flux.patches_flux) {
        patched.extend(by_within.keys().filter(|path| flux.covers(path)));
        if let Some(kustomization) = by_folder.get(flux.folder.as_str()) {
            patched.extend(listed(&by_folder, kustomization));
        }
    }
    told.retain(|(file, flux)| flux.applies && !patched.contains(file.within.as_str()));
    told
}

/// All that change what they apply.
fn appliers(files: &[CheckedFile], flux: &[(&CheckedFile, &FluxKustomization)]) -> Vec<Applier> {
    let flux = flux.iter().filter_map(|(_, flux)| flux.applier());
    flux.chain(files.iter().flat_map(|file| &file.argo)).cloned().collect()
}

impl<'a> Tree<'a> {
    fn new(
        files: &'a [CheckedFile],
        kustomizations: &BTreeMap<&'a str, &'a Kustomization>,
        appliers: &'a [Applier],
        flux: Vec<(&'a CheckedFile, &'a FluxKustomization)>,
    ) -> Self {
        let by_within: BTreeMap<&str, &CheckedFile> =
            files.iter().map(|file| (file.within.as_str(), file)).collect();
        let sealed = files.iter().filter(|file| file.sealed_count > 0);
        let sealed: Vec<&str> = sealed.map(|file| file.within.as_str()).collect();
        let builds = Builds::new(kustomizations, appliers, &sealed, |path| {
            by_within.get(path).map_or(Role::default(), |file| file.role())
        });
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for file in files {
            for fact in &file.sealed {
                all.entry((folder_of(&file.within), fact.name.as_str())).or_default().push((fact, file));
            }
        }
        let declared = declared(files);
        let of_flux = files.iter().flat_map(|file| &file.flux).filter(|flux| flux.is_of(&declared));
        let of_flux = of_flux.filter_map(|flux| flux.giver.as_ref());
        let givers = files.iter().flat_map(|file| &file.givers).chain(of_flux).collect();
        Self { files, by_within, sealed: all, builds, givers, flux }
    }

    /// Names and namespaces: what the object will be called, against what it was sealed for.
    fn names(&self, file: &CheckedFile, sealed: &SealedFact, out: &mut Vec<Finding>) {
        // A patch is no object, and a cluster-wide value is bound to nothing.
        if sealed.scope == Scope::ClusterWide || self.builds.is_patch(&file.within) {
            return;
        }
        let builds = self.builds.of(&file.within);
        let namespaces = builds.iter().filter(|build| build.namespace.is_some()).count();
        if sealed.namespace.is_none() && namespaces == 0 && !self.gives_namespace(&file.within) {
            let message = format!(
                "metadata.namespace is missing, and scope {} binds to it: it opens in one namespace only",
                sealed.scope
            );
            out.push(
                sealed
                    .at_namespace
                    .finding(Code::NoNamespace, message)
                    .cure("write the namespace that it was sealed for"),
            );
        }
        if builds.iter().any(|build| build.unknown) {
            return;
        }
        self.namespace(sealed, builds, out);
        if sealed.scope == Scope::Strict {
            self.name(sealed, builds, out);
        }
    }

    fn gives_namespace(&self, within: &str) -> bool {
        self.givers.iter().any(|giver| giver.covers(within))
    }

    fn namespace(&self, sealed: &SealedFact, builds: &[Build], out: &mut Vec<Finding>) {
        let claimed = sealed.template_namespace.as_ref().or(sealed.namespace.as_ref());
        let Some(claimed) = claimed.filter(|claimed| !claimed.is_empty()) else { return };
        let moved: Vec<&Build> = builds
            .iter()
            .filter(|build| build.namespace.as_ref().is_some_and(|namespace| namespace != claimed))
            .collect();
        if let Some(Build { namespace: Some(namespace), namespace_by: Some(by), .. }) = moved.first() {
            let message = format!(
                "{by} sets the namespace {namespace}, and the values were sealed for {claimed}{}: they will not open",
                others(moved.len() - 1)
            );
            out.push(
                sealed
                    .at_namespace
                    .finding(Code::KustomizeNamespace, message)
                    .cure("seal one for each namespace and keep it in the overlay, or seal it cluster-wide"),
            );
        } else if builds.iter().all(|build| build.namespace.is_none())
            && let (Some(template), Some(own)) = (&sealed.template_namespace, &sealed.namespace)
            && template != own
        {
            out.push(renamed("namespace", own, template, &sealed.at_template_namespace));
        }
    }

    fn name(&self, sealed: &SealedFact, builds: &[Build], out: &mut Vec<Finding>) {
        let own = &sealed.name;
        let claimed = sealed.template_name.as_ref().filter(|name| !name.is_empty()).unwrap_or(own);
        let built = |build: &Build| format!("{}{own}{}", build.prefix, build.suffix);
        let moved: Vec<&Build> =
            builds.iter().filter(|build| build.name_by.is_some() && built(build) != *claimed).collect();
        let cure = "seal it for the name that comes of it, or seal it namespace-wide";
        if let Some(build) = moved.first() {
            let by = build.name_by.as_deref().unwrap_or(&build.root);
            let message = format!(
                "{by} makes it {}, and the values were sealed for {claimed}{}: they will not open",
                built(build),
                others(moved.len() - 1)
            );
            out.push(sealed.at_name.finding(Code::KustomizeName, message).cure(cure));
        } else if sealed.needs_hash {
            let message = "Kustomize appends a hash to the name, and the values are bound to it".to_owned();
            out.push(sealed.at_name.finding(Code::KustomizeName, message).cure(cure));
        } else if builds.iter().all(|build| build.name_by.is_none()) && claimed != own {
            out.push(renamed("name", own, claimed, &sealed.at_template_name));
        }
    }

    /// Two objects of one name: in one file, or in one build.
    fn duplicates(&self, out: &mut Vec<Finding>) {
        let mut told: BTreeSet<(&str, usize)> = BTreeSet::new();
        let mut look = |files: Vec<&'a CheckedFile>, build: Option<&str>, out: &mut Vec<Finding>| {
            let mut seen: BTreeMap<(Option<&str>, &str), &CheckedFile> = BTreeMap::new();
            for file in files {
                for (index, sealed) in file.sealed.iter().enumerate() {
                    if sealed.name.is_empty() {
                        continue;
                    }
                    let key = (sealed.namespace.as_deref(), sealed.name.as_str());
                    let Some(first) = seen.get(&key) else {
                        seen.insert(key, file);
                        continue;
                    };
                    if file.asked_for && told.insert((&file.within, index)) {
                        let message = match build {
                            None => format!("there is a SealedSecret {} in this file already", sealed.name),
                            Some(root) => format!(
                                "{root} has a SealedSecret {} from {} already",
                                sealed.name, first.path
                            ),
                        };
                        out.push(
                            sealed
                                .at_name
                                .finding(Code::Duplicate, message)
                                .cure("remove one: the last one that is applied wins"),
                        );
                    }
                }
            }
        };
        for file in self.files {
            look(vec![file], None, out);
        }
        for (root, files) in self.builds.files() {
            let files = files.iter().filter_map(|path| self.by_within.get(path.as_str()).copied());
            look(files.collect(), Some(root), out);
        }
    }

    /// Plain text, and whether it lies beside what was sealed of it.
    fn plaintext(&self, file: &CheckedFile, out: &mut Vec<Finding>) {
        for plain in &file.plain {
            let is_same = |sealed: &SealedFact| {
                sealed.namespace == plain.namespace || sealed.namespace.is_none() || plain.namespace.is_none()
            };
            let beside = self.sealed.get(&(folder_of(&file.within), plain.name.as_str()));
            let beside = beside.and_then(|all| all.iter().find(|(sealed, _)| is_same(sealed)));
            let mut finding = plain.finding.clone();
            let is_sealed_of_it = !plain.name.is_empty() && finding.code == Code::PlainSecret;
            if let Some((_, other)) = beside.filter(|_| is_sealed_of_it) {
                finding.code = Code::PlainBesideSealed;
                finding.message = format!("{}, and {} has it sealed", finding.message, other.path);
                finding.cure = Some(
                    "take the plain one out of Git, and change the values: whoever has the repository has them"
                        .to_owned(),
                );
            }
            out.push(finding);
        }
    }
}

fn renamed(what: &str, own: &str, template: &str, at: &finding::Anchor) -> Finding {
    let message = format!(
        "the template's {what} is {template}, and the object's is {own}: if it was renamed after it was sealed, it does not open"
    );
    at.finding(Code::TemplateName, message)
        .cure(format!("seal it for {own}; if that was done, make the template's {what} the same"))
}

fn others(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    }
}

#[cfg(test)]
mod tests;
