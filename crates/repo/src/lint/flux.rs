//! What Flux does with a folder: what it makes of what lies there, whether it waits until that is well, and what it may
//! delete for that.

use super::applied::{Applier, By};
use super::finding::{Anchor, Show, Text};
use super::kustomize::{self, NamespaceGiver, fixed_folder, folder_of, is_kustomization_file, lies_in};
use super::placeholder::is_template;
use privyseal_manifest::{Document, View};

/// A Kustomization of Flux.
pub(super) struct FluxKustomization {
    /// What it applies, from the root of the repository; as far as that is known.
    pub(super) folder: String,
    /// The folder is known, and it is not suspended.
    pub(super) applies: bool,
    /// Where the folder is.
    source: Source,
    /// It gives a namespace to what has none.
    pub(super) giver: Option<NamespaceGiver>,
    /// It patches Kustomizations of Flux.
    pub(super) patches_flux: bool,
    /// It waits for all that it applies.
    pub(super) waits: bool,
    /// It waits for objects that it names.
    pub(super) checks: bool,
    /// It says how such objects are judged, which alone does nothing.
    pub(super) expressions: bool,
    /// It deletes what the API server refuses to change, to make it anew.
    pub(super) forces: bool,
    /// What it changes of what it applies.
    applier: Applier,
    pub(super) at: Anchor,
    pub(super) at_wait: Anchor,
    pub(super) at_force: Anchor,
}

/// A `sourceRef`.
enum Source {
    /// Some GitRepository.
    Git(GitRepository),
    /// Anything else: an OCIRepository, a Bucket, an ExternalArtifact.
    Other,
    /// None is named.
    Unnamed,
}

/// A GitRepository of Flux.
pub(super) struct GitRepository {
    namespace: Option<String>,
    name: String,
}

/// What `flux bootstrap` calls the repository itself.
const BOOTSTRAP: &str = "flux-system";

/// Whether a document is a Kustomization of Flux, or a patch of one.
pub(super) fn is_kustomization(document: &Document) -> bool {
    document.kind() == Some("Kustomization")
        && document.api_version().is_some_and(|version| version.starts_with("kustomize.toolkit.fluxcd.io/"))
}

/// Reads one. `path` is that of the file, for messages.
pub(super) fn read(path: &str, text: &Text<'_>, document: &Document) -> Option<FluxKustomization> {
    if !is_kustomization(document) {
        return None;
    }
    let root = document.view();
    let is_true = |name| root.field(&["spec", name]).is_some_and(|field| field.value.is_true());
    let written = root.text_at(&["spec", "path"]).filter(|path| !path.is_empty()).unwrap_or(".");
    // Flux reads a leading slash from the root of the source.
    let folder = fixed_folder(written.trim_start_matches('/'))?;
    let list = |name| root.field(&["spec", name]).into_iter().flat_map(|field| field.value.items());
    let patches = |kind| list("patches").any(|patch| kustomize::patches(patch, kind));
    let given = |name| root.text_at(&["spec", name]).unwrap_or_default().to_owned();
    let name = root.text_at(&["metadata", "name"]).unwrap_or_default();
    let mut applier = Applier {
        by: By::Flux,
        label: format!("Kustomization {name} of {path}"),
        folder: folder.clone(),
        namespace: Some(given("targetNamespace")).filter(|text| !text.is_empty()),
        prefix: given("namePrefix"),
        suffix: given("nameSuffix"),
        unknown: patches(kustomize::SEALED) || list("components").next().is_some(),
    };
    applier.unknown |= applier.is_filled_in();
    Some(FluxKustomization {
        folder,
        applies: !is_template(written) && !is_true("suspend"),
        source: source(root),
        giver: kustomize::namespace_giver(document),
        patches_flux: patches(kustomize::FLUX),
        waits: is_true("wait"),
        checks: list("healthChecks").next().is_some(),
        expressions: list("healthCheckExprs").next().is_some(),
        forces: is_true("force"),
        applier,
        at: text.anchor(document, &["metadata", "name"], Show::Value),
        at_force: text.anchor(document, &["spec", "force"], Show::Key),
        at_wait: text.anchor(document, &["spec", "healthChecks"], Show::Key),
    })
}

fn source(root: View<'_>) -> Source {
    let at = |name| root.text_at(&["spec", "sourceRef", name]).filter(|text| !text.is_empty());
    let own = root.text_at(&["metadata", "namespace"]).filter(|text| !text.is_empty());
    match (at("kind"), at("name")) {
        (None | Some("GitRepository"), Some(name)) => {
            let namespace = at("namespace").or(own).map(str::to_owned);
            Source::Git(GitRepository { namespace, name: name.to_owned() })
        }
        (None | Some("GitRepository"), None) => Source::Unnamed,
        (Some(_), _) => Source::Other,
    }
}

/// Reads a GitRepository that says where it is.
pub(super) fn git_repository(document: &Document) -> Option<GitRepository> {
    let is_source = document.api_version()?.starts_with("source.toolkit.fluxcd.io/");
    if !is_source || document.kind()? != "GitRepository" {
        return None;
    }
    let root = document.view();
    root.text_at(&["spec", "url"]).filter(|url| !url.is_empty())?;
    let namespace = root.text_at(&["metadata", "namespace"]).filter(|text| !text.is_empty());
    let name = root.text_at(&["metadata", "name"])?.to_owned();
    Some(GitRepository { namespace: namespace.map(str::to_owned), name })
}

impl FluxKustomization {
    /// Whether the folder may be one of this repository. Its own source is the one that `flux bootstrap` makes, or one that
    /// the repository does not declare itself.
    pub(super) fn is_of(&self, declared: &[&GitRepository]) -> bool {
        match &self.source {
            Source::Unnamed => true,
            Source::Other => false,
            Source::Git(source) => {
                source.name == BOOTSTRAP || !declared.iter().any(|other| other.is_same(source))
            }
        }
    }

    /// What it changes. A whole repository may be any other one, unless it is known to be this.
    pub(super) fn applier(&self) -> Option<&Applier> {
        let is_known = match &self.source {
            Source::Git(source) => source.name == BOOTSTRAP,
            Source::Unnamed | Source::Other => true,
        };
        Some(&self.applier).filter(|_| is_known || !self.folder.is_empty())
    }

    /// Whether a kustomization is the one that Flux builds here.
    pub(super) fn builds(&self, kustomization: &str) -> bool {
        is_kustomization_file(kustomization) && folder_of(kustomization) == self.folder
    }

    /// Whether a file lies in the folder or below it.
    pub(super) fn covers(&self, path: &str) -> bool {
        lies_in(path, &self.folder)
    }
}

impl GitRepository {
    /// A namespace that is not written may be any.
    fn is_same(&self, other: &Self) -> bool {
        let apart =
            self.namespace.is_some() && other.namespace.is_some() && self.namespace != other.namespace;
        self.name == other.name && !apart
    }
}
