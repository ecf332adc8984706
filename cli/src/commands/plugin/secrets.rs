//! Which documents are Secrets to be sealed, and what of their metadata is addressed to the tools that carry the object.

use crate::documents::{Located, Place, collect};
use crate::error::CommandError;
use crate::speech;
use privyseal_envelope::{Name, Scope};
use privyseal_manifest::stream::Stream;
use privyseal_manifest::{Document, DocumentId, SealedSecret, Secret, names};
use std::collections::BTreeMap;

/// A Secret to be sealed.
pub(super) struct Found {
    /// Where it stands in the stream.
    pub(super) id: DocumentId,
    /// The Secret, without what is addressed to tools.
    pub(super) secret: Located<Secret>,
    /// That.
    for_tools: ForTools,
}

/// What tools look for on the object that they carry.
struct ForTools {
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

/// All Secrets of a stream that hold values.
pub(super) fn find(stream: &Stream) -> Result<Vec<Found>, CommandError> {
    Ok(collect(stream.secrets().map(Found::read))?.into_iter().flatten().collect())
}

impl Found {
    /// A document as a Secret; nothing if there is nothing in it to be sealed.
    pub(super) fn read(document: &Document) -> Result<Option<Self>, CommandError> {
        let object = document.to_secret().map_err(|error| {
            let this = CommandError::from(error);
            match document.view().text_at(&["metadata", "name"]).filter(|name| Name::parse(*name).is_ok()) {
                Some(name) => this.hint(format!("it is in Secret {name}")),
                None => this,
            }
        })?;
        let mut place = Place::of(document);
        place.object = object.metadata.name.as_ref().map(|name| format!("Secret {name}"));
        let mut secret = Located { place: Some(place), object };
        if let Some((why, cure)) = refusal(&secret.object) {
            return Err(CommandError::input(secret.message(why)).hint(cure));
        }
        if secret.object.data.is_empty() {
            speech::note(
                secret.message("no value in it: left as it is, for whoever fills it in the cluster"),
            );
            return Ok(None);
        }
        let for_tools = take_for_tools(&mut secret.object);
        Ok(Some(Self { id: document.id(), secret, for_tools }))
    }

    /// The sealed object with what tools look for on it: they see no template.
    pub(super) fn finish(&self, mut sealed: SealedSecret) -> Result<SealedSecret, CommandError> {
        let annotations = sealed.metadata.annotations.get_or_insert_default();
        if needs_hash(&self.for_tools.annotations) && names::scope_of(annotations) == Scope::Strict {
            return Err(CommandError::input(self.secret.message(
                "kustomize adds a hash to its name after this, and values of scope strict open under no other name",
            ))
            .hint(
                "set `generatorOptions: {disableNameSuffixHash: true}` (or `options:` of the generator), or seal with --scope \
                 namespace-wide",
            ));
        }
        for (name, value) in &self.for_tools.annotations {
            annotations.entry(name.clone()).or_insert_with(|| value.clone());
        }
        sealed.metadata.annotations.take_if(|annotations| annotations.is_empty());
        // Labels select: whoever lists, prunes or refers to objects by them is to find this one too.
        let mut labels = self.secret.object.metadata.labels.clone().unwrap_or_default();
        labels.extend(self.for_tools.labels.clone());
        sealed.metadata.labels = Some(labels).filter(|labels| !labels.is_empty());
        Ok(sealed)
    }
}

/// Why a Secret is neither sealed nor let pass, and what to do.
fn refusal(secret: &Secret) -> Option<(&'static str, &'static str)> {
    let metadata = &secret.metadata;
    let has_label = |name| metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(name));
    let has_annotation = |name| metadata.annotations.as_ref().is_some_and(|all| all.contains_key(name));
    match secret.type_.as_deref() {
        _ if has_label(names::SEALED_SECRETS_KEY) => Some((
            "an opening key is never sealed, and has no place among manifests",
            "take it out; `privyseal keys backup` keeps keys, encrypted",
        )),
        // There is nothing to seal in it but the copy that kubectl or another tool keeps.
        _ if secret.data.is_empty() && names::LAST_APPLIED.into_iter().any(has_annotation) => Some((
            "an annotation holds the object as it was once applied, perhaps with values",
            "remove the annotation",
        )),
        Some(SERVICE_ACCOUNT_TOKEN) if !secret.data.is_empty() => Some((
            "a token of a service account is made by the cluster, and the controller makes no Secret of this type",
            "leave out the values: the cluster fills them in",
        )),
        Some(HELM_RELEASE) => {
            Some(("Helm's record of a release is no manifest", "take it out; Helm writes it itself"))
        }
        _ => None,
    }
}

const SERVICE_ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";
const HELM_RELEASE: &str = "helm.sh/release.v1";

/// Takes off what is said to the tools that build, order, apply or prune the object. On the Secret it would mislead them, or
/// end in it for good: it is not them who make that.
fn take_for_tools(secret: &mut Secret) -> ForTools {
    let take = |map: &mut Option<BTreeMap<String, String>>| {
        let (for_tools, own) =
            map.take().unwrap_or_default().into_iter().partition(|(name, _)| is_for_tools(name));
        *map = Some(own).filter(|own: &BTreeMap<_, _>| !own.is_empty());
        for_tools
    };
    let metadata = &mut secret.metadata;
    ForTools { annotations: take(&mut metadata.annotations), labels: take(&mut metadata.labels) }
}

fn is_for_tools(name: &str) -> bool {
    TOOLS.iter().any(|domain| name.strip_prefix(domain).is_some_and(|rest| rest.starts_with('/')))
}

/// Domains of annotations and labels about the object that is applied.
const TOOLS: [&str; 11] = [
    "alpha.config.kubernetes.io",
    "config.k8s.io",
    "config.kubernetes.io",
    "internal.config.kubernetes.io",
    "kustomize.config.k8s.io",
    "helm.sh",
    "meta.helm.sh",
    "postrenderer.helm.sh",
    "argocd.argoproj.io",
    "kustomize.toolkit.fluxcd.io",
    "helm.toolkit.fluxcd.io",
];

/// Whether kustomize is to add a hash to the name: as a generator says it, and as kustomize itself keeps it.
fn needs_hash(annotations: &BTreeMap<String, String>) -> bool {
    let value = |name| annotations.get(name).map(String::as_str);
    matches!(value("kustomize.config.k8s.io/needs-hash"), Some("1" | "t" | "T" | "true" | "True" | "TRUE"))
        || value("internal.config.kubernetes.io/needsHashSuffix") == Some("enabled")
}
