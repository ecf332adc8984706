//! Labels and annotations by which Argo CD, Flux and Helm know again what they applied. On a Secret that another
//! controller makes they do harm: the tool finds an object that is not in Git, and deletes it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// Whose mark a label or annotation is, if it is one.
///
/// What a person writes for such a tool (`argocd.argoproj.io/sync-wave`, `kustomize.toolkit.fluxcd.io/prune`) is none, nor
/// are labels that charts use for everything, such as `app.kubernetes.io/instance`.
pub fn tracked_by(name: &str) -> Option<&'static str> {
    match name {
        "argocd.argoproj.io/instance"
        | "argocd.argoproj.io/tracking-id"
        | "argocd.argoproj.io/installation-id" => Some("Argo CD"),
        "kustomize.toolkit.fluxcd.io/name"
        | "kustomize.toolkit.fluxcd.io/namespace"
        | "kustomize.toolkit.fluxcd.io/checksum"
        | "helm.toolkit.fluxcd.io/name"
        | "helm.toolkit.fluxcd.io/namespace" => Some("Flux"),
        "meta.helm.sh/release-name" | "meta.helm.sh/release-namespace" => Some("Helm"),
        _ => None,
    }
}

/// The marks on an object, in order.
pub fn tracking(metadata: &ObjectMeta) -> Vec<&str> {
    let both = [&metadata.labels, &metadata.annotations].into_iter().flatten();
    both.flat_map(BTreeMap::keys).map(String::as_str).filter(|name| tracked_by(name).is_some()).collect()
}
