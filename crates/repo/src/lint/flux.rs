//! What Flux does with a folder: whether it waits until what it applied is well.

use super::finding::{Anchor, Show, Text};
use super::kustomize::{folder_of, is_kustomization_file, join};
use super::placeholder::is_template;
use privyseal_manifest::Document;

/// A Kustomization of Flux.
pub(super) struct FluxKustomization {
    /// What it applies, from the root of the repository.
    pub(super) folder: String,
    /// It waits for all that it applies.
    pub(super) waits: bool,
    /// It waits for objects that it names.
    pub(super) checks: bool,
    /// It says how such objects are judged, which alone does nothing.
    pub(super) expressions: bool,
    pub(super) at: Anchor,
    pub(super) at_wait: Anchor,
}

/// Reads one. One whose folder is filled in later says nothing, nor does one that is suspended.
pub(super) fn read(text: &Text<'_>, document: &Document) -> Option<FluxKustomization> {
    let root = document.view();
    let is_flux = document.api_version()?.starts_with("kustomize.toolkit.fluxcd.io/");
    let is_true = |name| root.field(&["spec", name]).is_some_and(|field| field.value.is_true());
    if !is_flux || document.kind()? != "Kustomization" || is_true("suspend") {
        return None;
    }
    let folder = root.text_at(&["spec", "path"]).filter(|path| !path.is_empty()).unwrap_or(".");
    // Flux reads a leading slash from the root of the source.
    let folder = join("", folder.trim_start_matches('/')).filter(|folder| !is_template(folder))?;
    let holds = |name| {
        let list = root.field(&["spec", name]);
        list.is_some_and(|list| list.value.items().next().is_some())
    };
    Some(FluxKustomization {
        folder,
        waits: is_true("wait"),
        checks: holds("healthChecks"),
        expressions: holds("healthCheckExprs"),
        at: text.anchor(document, &["metadata", "name"], Show::Value),
        at_wait: text.anchor(document, &["spec", "healthChecks"], Show::Key),
    })
}

impl FluxKustomization {
    /// Whether a kustomization is the one that Flux builds here.
    pub(super) fn builds(&self, kustomization: &str) -> bool {
        is_kustomization_file(kustomization) && folder_of(kustomization) == self.folder
    }

    /// Whether a file lies in the folder or below it.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.folder.is_empty() || path.strip_prefix(&*self.folder).is_some_and(|rest| rest.starts_with('/'))
    }
}
