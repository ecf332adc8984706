//! What a kustomization says of SealedSecrets, and who else gives objects a namespace. What comes of it is in `builds`.

use super::file::contains;
use super::finding::{Anchor, Text};
use super::placeholder::is_template;
use privyseal_envelope::Scope;
use privyseal_manifest::{Document, View, names};
use std::collections::BTreeSet;

/// What a `kustomization.yaml` says. Paths are from the root of the repository.
pub(super) struct Kustomization {
    /// What it lists: files and folders.
    pub(super) resources: Vec<String>,
    /// All that it names in any place, as far as it may be a file or a folder.
    pub(super) mentions: BTreeSet<String>,
    /// Folders of which it lists what is filled in later.
    pub(super) patterns: Vec<String>,
    /// Generators, functions or components may bring more.
    pub(super) brings_more: bool,
    /// Files with patches.
    pub(super) patches: Vec<String>,
    /// It patches SealedSecrets: what comes of them is not known.
    pub(super) patches_sealed: bool,
    /// It patches Kustomizations of Flux, written in place or by a target.
    pub(super) patches_flux: bool,
    /// Of the resources those that change what lies beside them.
    pub(super) components: Vec<String>,
    pub(super) namespace: Option<String>,
    pub(super) prefix: String,
    pub(super) suffix: String,
    /// A name or namespace is filled in later.
    pub(super) unknown: bool,
    /// Files with functions that change what is built, after prefix, suffix and namespace.
    pub(super) transformers: Vec<String>,
    /// One of its own functions, written in place, seals strictly.
    pub(super) seals_strictly: bool,
    /// Files that say more of what refers to what.
    pub(super) configurations: Vec<String>,
    /// Secrets that it makes.
    pub(super) generated: Vec<Generated>,
    /// Files that it makes Secrets of.
    pub(super) secret_files: Vec<SecretFiles>,
    /// Sealed values that it copies.
    pub(super) copied: Vec<Copied>,
}

/// An item of `secretGenerator`.
pub(super) struct Generated {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    /// Its name gets a hash.
    pub(super) hashed: bool,
    /// Its own annotations say a scope wider than strict.
    pub(super) wide: bool,
    pub(super) at: Anchor,
}

/// What `envs`, `env` or `files` of an item of `secretGenerator` name.
pub(super) struct SecretFiles {
    pub(super) paths: Vec<String>,
    /// Each line is an item.
    pub(super) lines: bool,
    pub(super) at: Anchor,
}

/// An item of `replacements` whose source is a sealed value.
pub(super) struct Copied {
    /// The SealedSecret that it is taken from.
    pub(super) name: String,
    pub(super) at: Anchor,
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
pub(super) fn read(path: &str, file: &Text<'_>, document: &Document) -> Kustomization {
    let root = document.view();
    let folder = folder_of(path);
    let text = |name: &str| root.text_at(&[name]).unwrap_or_default();
    let list = |name: &str| -> Vec<&str> {
        let items = root.field(&[name]).into_iter().flat_map(|field| field.value.items());
        items.filter_map(View::text).collect()
    };
    let mut this = Kustomization {
        resources: Vec::new(),
        mentions: BTreeSet::new(),
        patterns: Vec::new(),
        brings_more: ["generators", "transformers", "components"]
            .iter()
            .any(|name| root.field(&[name]).is_some()),
        patches: Vec::new(),
        patches_sealed: false,
        patches_flux: false,
        components: list("components").into_iter().filter_map(|folder_of| join(folder, folder_of)).collect(),
        namespace: Some(text("namespace").to_owned()).filter(|text| !text.is_empty()),
        prefix: text("namePrefix").to_owned(),
        suffix: text("nameSuffix").to_owned(),
        unknown: ["namespace", "namePrefix", "nameSuffix"].iter().any(|name| is_template(text(name))),
        transformers: Vec::new(),
        seals_strictly: false,
        configurations: list("configurations").into_iter().filter_map(|file| join(folder, file)).collect(),
        generated: generated(file, document),
        secret_files: secret_files(folder, file, document),
        copied: copied(file, document),
    };
    for resource in ["resources", "bases", "components"].into_iter().flat_map(list) {
        this.resources.extend(join(folder, resource));
        if is_template(resource) || resource.contains('*') {
            let fixed = fixed_folder(&format!("{folder}/{resource}"));
            this.patterns.push(fixed.unwrap_or_default());
        }
    }
    mentions(folder, root, &mut this.mentions);
    for function in list("transformers") {
        if is_inline(function) {
            let documents = privyseal_manifest::read(function.as_bytes(), path).unwrap_or_default();
            this.seals_strictly |= documents.iter().any(seals_strictly);
        } else {
            this.transformers.extend(join(folder, function));
        }
    }
    for patch in list("patchesStrategicMerge") {
        this.patch(folder, patch);
    }
    for name in ["patches", "patchesJson6902", "replacements"] {
        for item in root.field(&[name]).into_iter().flat_map(|field| field.value.items()) {
            for field in ["path", "patch"] {
                item.text_at(&[field]).into_iter().for_each(|patch| this.patch(folder, patch));
            }
            this.patches_sealed |= patches(item, SEALED);
            this.patches_flux |= patches(item, FLUX);
        }
    }
    this
}

/// Every text that may be a path, and the path of a generator's `NAME=PATH`.
fn mentions(folder: &str, view: View<'_>, out: &mut BTreeSet<String>) {
    if let Some(text) = view.text().filter(|text| !text.contains('\n')) {
        let path = text.split_once('=').map_or(text, |(_, path)| path);
        out.extend(join(folder, path));
    }
    view.items().for_each(|item| mentions(folder, item, out));
    view.fields().for_each(|field| mentions(folder, field.value, out));
}

impl Kustomization {
    /// A patch: a file, or the patch itself.
    fn patch(&mut self, folder: &str, patch: &str) {
        if is_inline(patch) {
            self.patches_sealed |= patch.contains(SEALED.kind);
            self.patches_flux |= patch.contains(FLUX.kind);
        } else {
            self.patches.extend(join(folder, patch));
        }
    }
}

/// A kind of objects that patches may change.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    group: &'static str,
    kind: &'static str,
}

pub(super) const SEALED: Kind = Kind { group: "bitnami.com", kind: names::SEALED_SECRET_KIND };
pub(super) const FLUX: Kind = Kind { group: "kustomize.toolkit.fluxcd.io", kind: "Kustomization" };

/// Whether an item of `patches` or `replacements` may change objects of a kind, as far as it says so itself.
pub(super) fn patches(item: View<'_>, kind: Kind) -> bool {
    let targets = item.field(&["targets"]).into_iter().flat_map(|field| field.value.items());
    let targets = targets.filter_map(|target| target.field(&["select"]));
    let mut targets = item.field(&["target"]).into_iter().chain(targets).map(|field| field.value);
    let inline = item.text_at(&["patch"]).unwrap_or_default();
    inline.contains(kind.kind) || targets.any(|target| selects(target, kind))
}

/// Whether a target may be of a kind. What it says of kind and group are regular expressions, and what it leaves out is
/// any.
fn selects(target: View<'_>, kind: Kind) -> bool {
    let may_be = |field: &str, wanted: &str| {
        let pattern = target.text_at(&[field]).unwrap_or_default();
        let one = |pattern: &str| {
            let pattern = pattern.trim_matches(['^', '$', '(', ')', ' ']);
            let is_pattern = pattern.contains(['*', '+', '?', '[', '\\']);
            pattern.is_empty() || is_pattern || pattern == wanted || is_template(pattern)
        };
        pattern.split('|').any(one)
    };
    may_be("group", kind.group) && may_be("kind", kind.kind)
}

/// Whether it is what Kustomize would else read in a file.
fn is_inline(text: &str) -> bool {
    text.contains('\n') || text.contains(':')
}

fn generated(file: &Text<'_>, document: &Document) -> Vec<Generated> {
    let root = document.view();
    let is_true = |view: View<'_>, path: &[&str]| view.field(path).is_some_and(|field| field.value.is_true());
    const DISABLED: &str = "disableNameSuffixHash";
    let never_hashed = is_true(root, &["generatorOptions", DISABLED]);
    let items = root.field(&["secretGenerator"]).into_iter().flat_map(|field| field.value.items());
    let generated = items.enumerate().filter_map(|(index, item)| {
        let name = item.field(&["name"])?;
        let text = name.value.text().filter(|name| !name.is_empty() && !is_template(name))?;
        let annotation = |name| {
            let own = item.text_at(&["options", "annotations", name]);
            own.or_else(|| root.text_at(&["generatorOptions", "annotations", name])) == Some("true")
        };
        Some(Generated {
            name: text.to_owned(),
            namespace: item.text_at(&["namespace"]).filter(|text| !text.is_empty()).map(str::to_owned),
            hashed: !never_hashed && !is_true(item, &["options", DISABLED]),
            wide: annotation(names::CLUSTER_WIDE) || annotation(names::NAMESPACE_WIDE),
            at: file.anchor_in_list(document, &format!("secretGenerator[{index}].name"), name),
        })
    });
    generated.collect()
}

fn secret_files(folder: &str, file: &Text<'_>, document: &Document) -> Vec<SecretFiles> {
    let mut found = Vec::new();
    let items = document.view().field(&["secretGenerator"]).into_iter().flat_map(|field| field.value.items());
    for (index, item) in items.enumerate() {
        for name in ["envs", "env", "files"] {
            let Some(field) = item.field(&[name]) else { continue };
            let lines = name != "files";
            // The name of an item may stand before the path.
            let path = |text: &str| match text.split_once('=').filter(|_| !lines) {
                Some((_, path)) => join(folder, path),
                None => join(folder, text),
            };
            let texts = field.value.text().into_iter().chain(field.value.items().filter_map(View::text));
            let paths = texts.filter_map(path).collect();
            let at = file.anchor_in_list(document, &format!("secretGenerator[{index}].{name}"), field);
            found.push(SecretFiles { paths, lines, at });
        }
    }
    found
}

fn copied(file: &Text<'_>, document: &Document) -> Vec<Copied> {
    let items = document.view().field(&["replacements"]).into_iter().flat_map(|field| field.value.items());
    let copied = items.enumerate().filter_map(|(index, item)| {
        let is_of_sealed = item.text_at(&["source", "kind"]) == Some(names::SEALED_SECRET_KIND);
        let path = item.field(&["source", "fieldPath"]).filter(|_| is_of_sealed)?;
        path.value.text().filter(|text| text.starts_with("spec.encryptedData."))?;
        let name = item.text_at(&["source", "name"])?;
        // Within one object the names stay what they are.
        let mut targets = item.field(&["targets"]).into_iter().flat_map(|field| field.value.items());
        let is_itself = |target: View<'_>| target.text_at(&["select", "name"]) == Some(name);
        (!targets.all(is_itself)).then(|| Copied {
            name: name.to_owned(),
            at: file.anchor_in_list(document, &format!("replacements[{index}].source.fieldPath"), path),
        })
    });
    copied.collect()
}

/// Whether a document declares our function, and lets it seal strictly. What the Secrets themselves say may still be
/// another scope.
pub(super) fn seals_strictly(document: &Document) -> bool {
    let root = document.view();
    let declared = root.text_at(&["metadata", "annotations", "config.kubernetes.io/function"]);
    let Some(declared) = declared.filter(|text| text.contains("privyseal")) else { return false };
    let wide = [Scope::NamespaceWide, Scope::ClusterWide].map(Scope::as_str);
    let configured = root.text_at(&["spec", "scope"]);
    !wide.iter().any(|scope| declared.contains(scope) || configured == Some(scope))
}

/// Whether a file makes references follow SealedSecrets that are renamed.
pub(super) fn follows_sealed(bytes: &[u8]) -> bool {
    ["nameReference", names::SEALED_SECRET_KIND].iter().all(|word| contains(bytes, word.as_bytes()))
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
    fixed_folder(folder).map(|folder| NamespaceGiver { folder })
}

impl NamespaceGiver {
    pub(super) fn covers(&self, path: &str) -> bool {
        lies_in(path, &self.folder)
    }
}

/// A folder from the root of the repository, up to where it depends on something.
pub(super) fn fixed_folder(path: &str) -> Option<String> {
    let fixed = path.split('/').take_while(|part| !is_template(part) && !part.contains('*'));
    join("", &fixed.collect::<Vec<_>>().join("/"))
}

/// Whether a path is a folder, or lies in it or below.
pub(super) fn lies_in(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The folder of a path, empty for the root.
pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A relative path from a folder, written out. None if it is a URL, or leads out of the repository.
pub(super) fn join(folder: &str, path: &str) -> Option<String> {
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
