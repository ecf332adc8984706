//! What Flux and Argo CD change of a folder that they apply: its namespace and its names.

use super::kustomize::{self, fixed_folder, lies_in};
use super::placeholder::is_template;
use privyseal_manifest::{Document, View};

/// A Kustomization of Flux, or an Application of Argo CD.
#[derive(Clone)]
pub(super) struct Applier {
    pub(super) by: By,
    /// What it is called in messages.
    pub(super) label: String,
    /// What it applies, from the root of the repository.
    pub(super) folder: String,
    pub(super) namespace: Option<String>,
    pub(super) prefix: String,
    pub(super) suffix: String,
    /// A patch may change everything, or a name is filled in later.
    pub(super) unknown: bool,
}

/// Who applies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// It makes a kustomization of a folder that has none.
    Flux,
    /// It changes what a kustomization says, and nothing where there is none.
    ArgoCd,
}

impl Applier {
    /// It names something that is filled in later.
    pub(super) fn is_filled_in(&self) -> bool {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        [namespace, &self.prefix, &self.suffix].into_iter().any(is_template)
    }

    pub(super) fn renames(&self) -> bool {
        !self.prefix.is_empty() || !self.suffix.is_empty()
    }

    /// Whether it makes anything of what it applies.
    pub(super) fn changes(&self) -> bool {
        self.unknown || self.namespace.is_some() || self.renames()
    }

    /// Whether a file or folder lies in its folder.
    pub(super) fn covers(&self, path: &str) -> bool {
        lies_in(path, &self.folder)
    }
}

/// What Argo CD applies with Kustomize. A whole repository may be any, and a folder that is filled in later, too.
pub(super) fn of_argo(path: &str, document: &Document) -> Vec<Applier> {
    let root = document.view();
    let is_argo = document.api_version().is_some_and(|version| version.starts_with("argoproj.io/"));
    let spec: &[&str] = match document.kind() {
        Some("Application") if is_argo => &["spec"],
        Some("ApplicationSet") if is_argo => &["spec", "template", "spec"],
        _ => return Vec::new(),
    };
    let name = root.text_at(&["metadata", "name"]).unwrap_or_default();
    let at = |field| root.field(&[spec, &[field]].concat()).map(|field| field.value);
    let sources = at("source").into_iter().chain(at("sources").into_iter().flat_map(View::items));
    let applier = |source: View<'_>| {
        let written = source.text_at(&["path"]).filter(|path| !is_template(path) && !path.contains('*'))?;
        let folder = fixed_folder(written).filter(|folder| !folder.is_empty())?;
        let given = |name| source.text_at(&["kustomize", name]).unwrap_or_default().to_owned();
        let list =
            |name| source.field(&["kustomize", name]).into_iter().flat_map(|field| field.value.items());
        let mut applier = Applier {
            by: By::ArgoCd,
            label: format!("{} {name} of {path}", document.kind().unwrap_or_default()),
            folder,
            namespace: Some(given("namespace")).filter(|text| !text.is_empty()),
            prefix: given("namePrefix"),
            suffix: given("nameSuffix"),
            unknown: list("patches").any(|patch| kustomize::patches(patch, kustomize::SEALED))
                || list("components").next().is_some(),
        };
        applier.unknown |= applier.is_filled_in();
        Some(applier)
    };
    sources.filter_map(applier).collect()
}
