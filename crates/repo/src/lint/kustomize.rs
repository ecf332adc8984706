//! What kustomizations make of a SealedSecret's name and namespace, and who else gives objects a namespace.
//!
//! Only what is in the tree is looked at. A kustomization that another one lists is not built by itself, so only those
//! that nobody lists count, with all that they list, and what they list in turn.

use super::placeholder::is_template;
use privyseal_manifest::{Document, View};
use std::collections::{BTreeMap, BTreeSet};

/// What a `kustomization.yaml` says.
pub(super) struct Kustomization {
    /// What it lists: files and folders, from the root of the repository.
    resources: Vec<String>,
    /// Files with patches.
    patches: Vec<String>,
    /// It patches SealedSecrets: what comes of them is not known.
    patches_sealed: bool,
    namespace: Option<String>,
    prefix: String,
    suffix: String,
    /// A name or namespace is filled in later.
    unknown: bool,
}

/// A tool that gives a namespace to what lies in a folder.
pub(super) struct NamespaceGiver {
    pub(super) folder: String,
}

/// The names of a file that Kustomize takes for a kustomization.
pub(super) fn is_kustomization_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name, "kustomization.yaml" | "kustomization.yml" | "Kustomization")
}

/// Reads a kustomization. `path` is its own, from the root of the repository.
pub(super) fn read(path: &str, document: &Document) -> Kustomization {
    let root = document.view();
    let folder = folder_of(path);
    let text = |name: &str| root.text_at(&[name]).unwrap_or_default();
    let list = |name: &str| -> Vec<&str> {
        let items = root.field(&[name]).into_iter().flat_map(|field| field.value.items());
        items.filter_map(View::text).collect()
    };
    let mut this = Kustomization {
        resources: Vec::new(),
        patches: Vec::new(),
        patches_sealed: false,
        namespace: Some(text("namespace").to_owned()).filter(|text| !text.is_empty()),
        prefix: text("namePrefix").to_owned(),
        suffix: text("nameSuffix").to_owned(),
        unknown: ["namespace", "namePrefix", "nameSuffix"].iter().any(|name| is_template(text(name))),
    };
    for resource in ["resources", "bases", "components"].into_iter().flat_map(list) {
        this.resources.extend(join(folder, resource));
    }
    for patch in list("patchesStrategicMerge") {
        this.patch(folder, patch);
    }
    for name in ["patches", "patchesJson6902", "replacements"] {
        for item in root.field(&[name]).into_iter().flat_map(|field| field.value.items()) {
            for field in ["path", "patch"] {
                item.text_at(&[field]).into_iter().for_each(|patch| this.patch(folder, patch));
            }
            let targets = item.field(&["targets"]).into_iter().flat_map(|field| field.value.items());
            let kinds = item.text_at(&["target", "kind"]).into_iter();
            let mut kinds = kinds.chain(targets.filter_map(|target| target.text_at(&["select", "kind"])));
            this.patches_sealed |= kinds.any(|kind| kind.contains("SealedSecret"));
        }
    }
    this
}

impl Kustomization {
    /// A patch: a file, or the patch itself.
    fn patch(&mut self, folder: &str, patch: &str) {
        if patch.contains('\n') || patch.contains(':') {
            self.patches_sealed |= patch.contains("SealedSecret");
        } else {
            self.patches.extend(join(folder, patch));
        }
    }
}

/// Flux and Argo CD set the namespace of what they apply.
pub(super) fn namespace_giver(document: &Document) -> Option<NamespaceGiver> {
    let root = document.view();
    let version = document.api_version().unwrap_or_default();
    let at = |path: &[&str]| root.text_at(path).filter(|text| !text.is_empty());
    let folder = match document.kind()? {
        "Kustomization" if version.starts_with("kustomize.toolkit.fluxcd.io/") => {
            at(&["spec", "targetNamespace"])?;
            at(&["spec", "path"]).unwrap_or(".")
        }
        "Application" if version.starts_with("argoproj.io/") => {
            at(&["spec", "destination", "namespace"])?;
            at(&["spec", "source", "path"])?
        }
        "ApplicationSet" if version.starts_with("argoproj.io/") => {
            at(&["spec", "template", "spec", "destination", "namespace"])?;
            at(&["spec", "template", "spec", "source", "path"])?
        }
        _ => return None,
    };
    // Up to where it depends on something.
    let fixed = folder.split('/').take_while(|part| !is_template(part) && !part.contains('*'));
    join("", &fixed.collect::<Vec<_>>().join("/")).map(|folder| NamespaceGiver { folder })
}

impl NamespaceGiver {
    pub(super) fn covers(&self, path: &str) -> bool {
        self.folder.is_empty()
            || path.strip_prefix(&self.folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// What comes of the objects of one file in one build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Build {
    /// The kustomization that is built.
    pub(super) root: String,
    /// The namespace, if any of them sets one.
    pub(super) namespace: Option<String>,
    /// Which one of them does.
    pub(super) namespace_by: Option<String>,
    pub(super) prefix: String,
    pub(super) suffix: String,
    /// Which one of them changes the name.
    pub(super) name_by: Option<String>,
    /// A patch may change everything, or a name is filled in later.
    pub(super) unknown: bool,
}

/// All builds of a tree.
pub(super) struct Builds {
    /// By file.
    of_file: BTreeMap<String, Vec<Build>>,
    /// By kustomization, what it lists in the end.
    files: BTreeMap<String, BTreeSet<String>>,
    patches: BTreeSet<String>,
}

impl Builds {
    /// `holds_sealed` says whether a file holds a SealedSecret.
    pub(super) fn new(all: &BTreeMap<&str, &Kustomization>, holds_sealed: impl Fn(&str) -> bool) -> Self {
        let by_folder: BTreeMap<&str, &str> = all.keys().map(|path| (folder_of(path), *path)).collect();
        let listed: BTreeSet<&str> = all
            .values()
            .flat_map(|kustomization| &kustomization.resources)
            .filter_map(|resource| by_folder.get(resource.as_str()).copied())
            .collect();
        let patches = all.values().flat_map(|kustomization| kustomization.patches.iter().cloned()).collect();
        let mut walk =
            Walk { all, by_folder, holds_sealed: &holds_sealed, left: MOST_STEPS, found: Vec::new() };
        // Those of a circle list each other, and nobody builds them.
        for root in all.keys().filter(|path| !listed.contains(*path)) {
            walk.visit(root, root, &mut Vec::new());
        }
        let mut this = Self { of_file: BTreeMap::new(), files: BTreeMap::new(), patches };
        for (file, build) in walk.found {
            this.files.entry(build.root.clone()).or_default().insert(file.clone());
            let builds = this.of_file.entry(file).or_default();
            if !builds.contains(&build) {
                builds.push(build);
            }
        }
        this
    }

    pub(super) fn of(&self, file: &str) -> &[Build] {
        self.of_file.get(file).map_or(&[], Vec::as_slice)
    }

    /// The files of each build.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.files.iter().map(|(root, files)| (root.as_str(), files))
    }

    /// Whether a file is a patch, and not an object of its own.
    pub(super) fn is_patch(&self, file: &str) -> bool {
        self.patches.contains(file)
    }
}

struct Walk<'a, F> {
    all: &'a BTreeMap<&'a str, &'a Kustomization>,
    by_folder: BTreeMap<&'a str, &'a str>,
    holds_sealed: &'a F,
    left: usize,
    found: Vec<(String, Build)>,
}

impl<'a, F: Fn(&str) -> bool> Walk<'a, F> {
    /// `chain` is the way from the root down.
    fn visit(&mut self, root: &str, path: &'a str, chain: &mut Vec<&'a str>) {
        if chain.contains(&path) || self.left == 0 {
            return;
        }
        self.left -= 1;
        let Some(kustomization) = self.all.get(path).copied() else { return };
        chain.push(path);
        for resource in &kustomization.resources {
            if let Some(inner) = self.by_folder.get(resource.as_str()).copied() {
                self.visit(root, inner, chain);
            } else if (self.holds_sealed)(resource) {
                let build = self.build(root, chain);
                self.found.push((resource.clone(), build));
            }
        }
        chain.pop();
    }

    fn build(&self, root: &str, chain: &[&str]) -> Build {
        let mut build = Build {
            root: root.to_owned(),
            namespace: None,
            namespace_by: None,
            prefix: String::new(),
            suffix: String::new(),
            name_by: None,
            unknown: false,
        };
        // From the inside out: the outermost namespace wins, and prefixes add up.
        for path in chain.iter().rev() {
            let Some(kustomization) = self.all.get(path) else { continue };
            let patched = kustomization.patches.iter().any(|patch| (self.holds_sealed)(patch));
            build.unknown |= kustomization.unknown || kustomization.patches_sealed || patched;
            if let Some(namespace) = &kustomization.namespace {
                build.namespace = Some(namespace.clone());
                build.namespace_by = Some((*path).to_owned());
            }
            if !kustomization.prefix.is_empty() || !kustomization.suffix.is_empty() {
                build.prefix.insert_str(0, &kustomization.prefix);
                build.suffix.push_str(&kustomization.suffix);
                build.name_by = Some((*path).to_owned());
            }
        }
        build
    }
}

/// More than any repository has, and soon done: bases that list bases multiply.
const MOST_STEPS: usize = 100_000;

/// The folder of a path, empty for the root.
pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A relative path from a folder, written out. None if it is a URL, or leads out of the repository.
fn join(folder: &str, path: &str) -> Option<String> {
    if path.contains("://") || path.contains('?') || path.starts_with('/') || path.contains('@') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kustomization(path: &str, text: &str) -> Kustomization {
        read(path, &privyseal_manifest::read(text.as_bytes(), path).unwrap()[0])
    }

    fn builds(files: &[(&str, &str)]) -> Builds {
        let all: Vec<_> = files.iter().map(|(path, text)| (*path, kustomization(path, text))).collect();
        let by_path = all.iter().map(|(path, kustomization)| (*path, kustomization)).collect();
        Builds::new(&by_path, |path| path.ends_with("sealed.yaml"))
    }

    fn told(builds: &Builds, file: &str) -> Vec<String> {
        let name = |build: &Build| format!("{}x{}", build.prefix, build.suffix);
        builds
            .of(file)
            .iter()
            .map(|build| {
                format!(
                    "{} {} {}{}",
                    build.root,
                    build.namespace.as_deref().unwrap_or("-"),
                    name(build),
                    if build.unknown { " ?" } else { "" }
                )
            })
            .collect()
    }

    #[test]
    fn overlays_change_what_bases_list() {
        let builds = builds(&[
            ("base/kustomization.yaml", "namespace: a\nnamePrefix: p-\nresources: [sealed.yaml, ./x.yaml]\n"),
            (
                "o/one/kustomization.yaml",
                "namespace: one\nnamePrefix: q-\nnameSuffix: -s\nbases: ['../../base']\n",
            ),
            (
                "o/two/kustomization.yaml",
                "resources: [../../base/]\npatches: [{target: {kind: SealedSecret}}]\n",
            ),
            ("o/three/kustomization.yaml", "resources: [../../base]\npatchesStrategicMerge: [sealed.yaml]\n"),
            (
                "o/four/kustomization.yaml",
                "namespace: ${tenant}\nresources: [../../base, 'https://x/y?ref=z', ../../../out]\n",
            ),
        ]);
        assert_eq!(
            told(&builds, "base/sealed.yaml"),
            [
                "o/four/kustomization.yaml ${tenant} p-x ?",
                "o/one/kustomization.yaml one q-p-x-s",
                "o/three/kustomization.yaml a p-x ?",
                "o/two/kustomization.yaml a p-x ?",
            ]
        );
        assert!(builds.is_patch("o/three/sealed.yaml"));
        assert!(!builds.is_patch("base/sealed.yaml"));
    }

    #[test]
    fn circles_and_crowds_end() {
        let circle = [
            ("a/kustomization.yaml", "resources: [../b]\n"),
            ("b/kustomization.yaml", "resources: [../a]\n"),
        ];
        assert_eq!(told(&builds(&circle), "a/sealed.yaml"), [""; 0]);
        // Each lists the next ten times: 10^20 ways.
        let files: Vec<(String, String)> = (0..20)
            .map(|n| {
                let next = format!("../{}, ", n + 1).repeat(10);
                (format!("{n}/kustomization.yaml"), format!("resources: [{next} sealed.yaml]\n"))
            })
            .collect();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        assert_eq!(told(&builds(&files), "0/sealed.yaml").len(), 1);
    }

    #[test]
    fn flux_and_argo_give_namespaces() {
        for (text, path, gives) in [
            (
                "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec: {path: ./apps/a, targetNamespace: a}\n",
                "apps/a/x.yaml",
                true,
            ),
            (
                "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec: {path: ./apps/a, targetNamespace: a}\n",
                "apps/ab/x.yaml",
                false,
            ),
            (
                "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec: {path: ./apps/a}\n",
                "apps/a/x.yaml",
                false,
            ),
            (
                "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {path: apps/a}, destination: {namespace: a}}\n",
                "apps/a/x.yaml",
                true,
            ),
            (
                "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nspec: {template: {spec: {source: {path: 'apps/{{path.basename}}'}, destination: {namespace: '{{x}}'}}}}\n",
                "apps/q/x.yaml",
                true,
            ),
            ("apiVersion: v1\nkind: Kustomization\nspec: {path: ., targetNamespace: a}\n", "x.yaml", false),
        ] {
            let document = &privyseal_manifest::read(text.as_bytes(), "x").unwrap()[0];
            let giver = namespace_giver(document);
            assert_eq!(giver.is_some_and(|giver| giver.covers(path)), gives, "{text}");
        }
    }
}
