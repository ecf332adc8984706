//! What comes of files in the kustomizations that list them.
//!
//! Only what is in the tree is looked at. A kustomization that another one lists is not built by itself, so only those
//! that nobody lists count, with all that they list, and what they list in turn.

use super::applied::{Applier, By};
use super::kustomize::{Generated, Kustomization, folder_of};
use std::collections::{BTreeMap, BTreeSet};

/// What a file is to a kustomization that lists it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Role {
    /// It holds a SealedSecret.
    pub(super) sealed: bool,
    /// Its objects refer to Secrets.
    pub(super) refers: bool,
    /// It declares a function that seals strictly.
    pub(super) seals_strictly: bool,
    /// It makes references follow SealedSecrets.
    pub(super) follows: bool,
    /// It holds Kustomizations of Flux, or patches of them.
    pub(super) flux: bool,
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

/// A Secret that a kustomization makes, in one build.
pub(super) struct GeneratedIn<'a> {
    pub(super) generated: &'a Generated,
    /// The kustomization that makes it.
    pub(super) by: &'a str,
    pub(super) build: Build,
    /// The kustomization whose function seals it strictly, and the one that changes names after that, if one does.
    pub(super) sealed_by: Option<(&'a str, Option<&'a str>)>,
}

/// All builds of a tree.
pub(super) struct Builds<'a> {
    /// By file.
    of_file: BTreeMap<String, Vec<Build>>,
    /// By kustomization, what it lists in the end: files with SealedSecrets, or with references to Secrets.
    files: BTreeMap<String, BTreeSet<String>>,
    patches: BTreeSet<String>,
    generated: Vec<GeneratedIn<'a>>,
    /// Kustomizations that are built and make references follow SealedSecrets.
    follow: BTreeSet<String>,
}

impl<'a> Builds<'a> {
    /// `appliers` are who applies what is built, `sealed` all files with SealedSecrets, and `role` says what a file is.
    pub(super) fn new(
        all: &BTreeMap<&'a str, &'a Kustomization>,
        appliers: &'a [Applier],
        sealed: &[&'a str],
        role: impl Fn(&str) -> Role,
    ) -> Self {
        let by_folder: BTreeMap<&str, &'a str> = all.keys().map(|path| (folder_of(path), *path)).collect();
        let listed: BTreeSet<&str> = all
            .values()
            .flat_map(|kustomization| &kustomization.resources)
            .filter_map(|resource| by_folder.get(resource.as_str()).copied())
            .collect();
        let patches = all.values().flat_map(|kustomization| kustomization.patches.iter().cloned()).collect();
        let mut walk = Walk {
            all,
            by_folder,
            role: &role,
            left: MOST_STEPS,
            found: Vec::new(),
            generated: Vec::new(),
            follow: BTreeSet::new(),
            applied: None,
        };
        // Those of a circle list each other, and nobody builds them.
        for root in all.keys().filter(|path| !listed.contains(*path)) {
            let applied = walk.applied(appliers, folder_of(root));
            if applied.is_empty() {
                walk.visit(root, root, &mut Vec::new());
            }
            for applied in applied {
                walk.applied = Some(applied);
                walk.visit(root, root, &mut Vec::new());
            }
            walk.applied = None;
        }
        // What others list may be applied by itself, too.
        for root in listed {
            for applier in appliers.iter().filter(|applier| applier.folder == folder_of(root)) {
                if applier.changes() {
                    walk.applied = Some(Applied { applier, instead: true });
                    walk.visit(root, root, &mut Vec::new());
                }
            }
            walk.applied = None;
        }
        let mut beside = Vec::new();
        for file in sealed.iter().filter(|file| file.ends_with(".yaml") || file.ends_with(".yml")) {
            let applied = walk.applied(appliers, file);
            beside.extend(applied.into_iter().map(|applied| (*file, alone(applied.applier))));
        }
        let (generated, follow) = (walk.generated, walk.follow);
        let mut this = Self { of_file: BTreeMap::new(), files: BTreeMap::new(), patches, generated, follow };
        for (file, build) in walk.found {
            this.files.entry(build.root.clone()).or_default().insert(file.clone());
            this.add(&file, build);
        }
        for (file, build) in beside {
            this.add(file, build);
        }
        this
    }

    fn add(&mut self, file: &str, build: Build) {
        let builds = self.of_file.entry(file.to_owned()).or_default();
        if !builds.contains(&build) {
            builds.push(build);
        }
    }

    pub(super) fn of(&self, file: &str) -> &[Build] {
        self.of_file.get(file).map_or(&[], Vec::as_slice)
    }

    /// The files of each build.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.files.iter().map(|(root, files)| (root.as_str(), files))
    }

    /// The files of the build of one kustomization, if it is built by itself.
    pub(super) fn files_of(&self, root: &str) -> Option<&BTreeSet<String>> {
        self.files.get(root)
    }

    /// Secrets that are made in builds.
    pub(super) fn generated(&self) -> &[GeneratedIn<'a>] {
        &self.generated
    }

    /// Whether references follow a SealedSecret in the build of a kustomization.
    pub(super) fn follow(&self, root: &str) -> bool {
        self.follow.contains(root)
    }

    /// Whether a file is a patch, and not an object of its own.
    pub(super) fn is_patch(&self, file: &str) -> bool {
        self.patches.contains(file)
    }
}

struct Walk<'w, 'a, F> {
    all: &'w BTreeMap<&'a str, &'a Kustomization>,
    by_folder: BTreeMap<&'a str, &'a str>,
    role: &'w F,
    left: usize,
    found: Vec<(String, Build)>,
    generated: Vec<GeneratedIn<'a>>,
    follow: BTreeSet<String>,
    /// Who applies what is built now.
    applied: Option<Applied<'a>>,
}

/// How something is applied.
#[derive(Clone, Copy)]
struct Applied<'a> {
    applier: &'a Applier,
    /// What it says stands in the place of what the kustomization says. Else it comes on top.
    instead: bool,
}

impl<'a, F: Fn(&str) -> Role> Walk<'_, 'a, F> {
    /// Who applies a file without a kustomization, or the folder of one. Flux makes a kustomization where there is none,
    /// and that lists folders with one and all other files, at any depth.
    fn applied(&self, appliers: &'a [Applier], path: &str) -> Vec<Applied<'a>> {
        let is_free = |applier: &Applier| {
            let mut folder = path;
            while !folder.is_empty() && folder != applier.folder {
                folder = folder_of(folder);
                if self.by_folder.contains_key(folder) {
                    return false;
                }
            }
            folder == applier.folder
        };
        let applied = |applier: &'a Applier| {
            let instead = applier.folder == path;
            let on_top = applier.by == By::Flux && applier.covers(path) && is_free(applier);
            (instead || on_top).then_some(Applied { applier, instead })
        };
        appliers.iter().filter_map(applied).collect()
    }

    /// `chain` is the way from the root down.
    fn visit(&mut self, root: &str, path: &'a str, chain: &mut Vec<&'a str>) {
        if chain.contains(&path) || self.left == 0 {
            return;
        }
        self.left -= 1;
        let Some(kustomization) = self.all.get(path).copied() else { return };
        chain.push(path);
        if kustomization.configurations.iter().any(|file| (self.role)(file).follows) {
            self.follow.insert(root.to_owned());
        }
        for generated in &kustomization.generated {
            let (build, sealed_by) = (self.build(root, chain), self.sealed_by(chain));
            self.generated.push(GeneratedIn { generated, by: path, build, sealed_by });
        }
        for resource in &kustomization.resources {
            if let Some(inner) = self.by_folder.get(resource.as_str()).copied() {
                self.visit(root, inner, chain);
                continue;
            }
            let role = (self.role)(resource);
            if role.sealed || role.refers {
                let build = self.build(root, chain);
                self.found.push((resource.clone(), build));
            }
        }
        chain.pop();
    }

    /// Functions run after the prefix, the suffix and the namespace of their own kustomization, and before those of the
    /// ones that list it.
    fn sealed_by(&self, chain: &[&'a str]) -> Option<(&'a str, Option<&'a str>)> {
        let seals = |path: &str| {
            let kustomization = self.all.get(path)?;
            let declared = kustomization.transformers.iter().any(|file| (self.role)(file).seals_strictly);
            (declared || kustomization.seals_strictly).then_some(())
        };
        let renames = |path: &str| {
            let kustomization = self.all.get(path)?;
            (!kustomization.prefix.is_empty() || !kustomization.suffix.is_empty()).then_some(())
        };
        let at = chain.iter().rposition(|path| seals(path).is_some())?;
        let (outer, own) = chain.split_at(at);
        Some((own.first()?, outer.iter().copied().find(|path| renames(path).is_some())))
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
            let (mut namespace, mut by) = (&kustomization.namespace, *path);
            let (mut prefix, mut suffix) = (&kustomization.prefix, &kustomization.suffix);
            let mut renamed_by = *path;
            let instead = self.applied.filter(|applied| applied.instead && chain.first() == Some(path));
            if let Some(Applied { applier, .. }) = instead {
                if applier.namespace.is_some() {
                    (namespace, by) = (&applier.namespace, &applier.label);
                }
                if !applier.prefix.is_empty() {
                    (prefix, renamed_by) = (&applier.prefix, &applier.label);
                }
                if !applier.suffix.is_empty() {
                    (suffix, renamed_by) = (&applier.suffix, &applier.label);
                }
            }
            let patched = kustomization.patches.iter().any(|patch| (self.role)(patch).sealed);
            build.unknown |= kustomization.unknown || kustomization.patches_sealed || patched;
            if let Some(namespace) = namespace {
                build.namespace = Some(namespace.clone());
                build.namespace_by = Some(by.to_owned());
            }
            if !prefix.is_empty() || !suffix.is_empty() {
                build.prefix.insert_str(0, prefix);
                build.suffix.push_str(suffix);
                build.name_by = Some(renamed_by.to_owned());
            }
        }
        if let Some(Applied { applier, instead }) = self.applied {
            build.unknown |= applier.unknown;
            if !instead {
                on_top(&mut build, applier);
            }
        }
        build
    }
}

/// What comes of a file that no kustomization lists, and Flux applies.
fn alone(applier: &Applier) -> Build {
    let mut build = Build {
        root: applier.label.clone(),
        namespace: None,
        namespace_by: None,
        prefix: String::new(),
        suffix: String::new(),
        name_by: None,
        unknown: applier.unknown,
    };
    on_top(&mut build, applier);
    build
}

fn on_top(build: &mut Build, applier: &Applier) {
    if applier.namespace.is_some() {
        build.namespace.clone_from(&applier.namespace);
        build.namespace_by = Some(applier.label.clone());
    }
    if applier.renames() {
        build.prefix.insert_str(0, &applier.prefix);
        build.suffix.push_str(&applier.suffix);
        build.name_by = Some(applier.label.clone());
    }
}

/// Files that are objects of kustomizations which patch Kustomizations of Flux: what comes of these is not known.
pub(super) fn patched_flux<'a>(
    all: &BTreeMap<&'a str, &'a Kustomization>,
    role: impl Fn(&str) -> Role,
) -> BTreeSet<&'a str> {
    let patches = |kustomization: &Kustomization| {
        kustomization.patches_flux || kustomization.patches.iter().any(|file| role(file).flux)
    };
    let by_folder = by_folder(all);
    let mut patched = BTreeSet::new();
    for (path, kustomization) in all.iter().filter(|(_, kustomization)| patches(kustomization)) {
        patched.extend(listed(&by_folder, kustomization));
        // A component changes what lies beside it.
        let folder = folder_of(path);
        for parent in all.values().filter(|parent| parent.components.iter().any(|it| it == folder)) {
            patched.extend(listed(&by_folder, parent));
        }
    }
    patched
}

/// All kustomizations, by folder.
pub(super) fn by_folder<'a>(
    all: &BTreeMap<&'a str, &'a Kustomization>,
) -> BTreeMap<&'a str, &'a Kustomization> {
    all.iter().map(|(path, kustomization)| (folder_of(path), *kustomization)).collect()
}

/// All that a kustomization lists, and what is listed by those that it lists.
pub(super) fn listed<'a>(
    by_folder: &BTreeMap<&'a str, &'a Kustomization>,
    kustomization: &'a Kustomization,
) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut left = vec![kustomization];
    while let Some(kustomization) = left.pop() {
        for resource in &kustomization.resources {
            if seen.insert(resource.as_str()) {
                left.extend(by_folder.get(resource.as_str()));
            }
        }
    }
    seen
}

/// More than any repository has, and soon done: bases that list bases multiply.
const MOST_STEPS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::finding::Text;
    use crate::lint::kustomize;

    fn kustomization(path: &str, text: &str) -> Kustomization {
        let document = &privyseal_manifest::read(text.as_bytes(), path).unwrap()[0];
        kustomize::read(path, &Text::new(path, text), document)
    }

    fn builds(files: &[(&str, &str)], check: impl FnOnce(&Builds<'_>)) {
        let all: Vec<_> = files.iter().map(|(path, text)| (*path, kustomization(path, text))).collect();
        let by_path = all.iter().map(|(path, kustomization)| (*path, kustomization)).collect();
        let role = |path: &str| Role { sealed: path.ends_with("sealed.yaml"), ..Role::default() };
        check(&Builds::new(&by_path, &[], &[], role));
    }

    fn told(builds: &Builds<'_>, file: &str) -> Vec<String> {
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
        let files = [
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
        ];
        builds(&files, |builds| {
            assert_eq!(
                told(builds, "base/sealed.yaml"),
                [
                    "o/four/kustomization.yaml ${tenant} p-x ?",
                    "o/one/kustomization.yaml one q-p-x-s",
                    "o/three/kustomization.yaml a p-x ?",
                    "o/two/kustomization.yaml a p-x ?",
                ]
            );
            assert!(builds.is_patch("o/three/sealed.yaml"));
            assert!(!builds.is_patch("base/sealed.yaml"));
        });
    }

    #[test]
    fn circles_and_crowds_end() {
        let circle = [
            ("a/kustomization.yaml", "resources: [../b]\n"),
            ("b/kustomization.yaml", "resources: [../a]\n"),
        ];
        builds(&circle, |builds| assert_eq!(told(builds, "a/sealed.yaml"), [""; 0]));
        // Each lists the next ten times: 10^20 ways.
        let files: Vec<(String, String)> = (0..20)
            .map(|n| {
                let next = format!("../{}, ", n + 1).repeat(10);
                (format!("{n}/kustomization.yaml"), format!("resources: [{next} sealed.yaml]\n"))
            })
            .collect();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        builds(&files, |builds| assert_eq!(told(builds, "0/sealed.yaml").len(), 1));
    }
}
