//! The annotations and labels that mean something to the peer or to us, and the scope that two of them spell.

use privyseal_envelope::Scope;
use std::collections::BTreeMap;

/// `apiVersion` of a SealedSecret.
pub const SEALED_SECRET_API_VERSION: &str = "bitnami.com/v1alpha1";
/// `kind` of a SealedSecret.
pub const SEALED_SECRET_KIND: &str = "SealedSecret";
/// `apiVersion` of a Secret.
pub const SECRET_API_VERSION: &str = "v1";
/// `kind` of a Secret.
pub const SECRET_KIND: &str = "Secret";

/// Annotation: sealed values open under any namespace and name. Wins over [`NAMESPACE_WIDE`].
pub const CLUSTER_WIDE: &str = "sealedsecrets.bitnami.com/cluster-wide";
/// Annotation: sealed values open under any name of their namespace.
pub const NAMESPACE_WIDE: &str = "sealedsecrets.bitnami.com/namespace-wide";
/// Annotation on an existing Secret: the controller may take it over.
pub const MANAGED: &str = "sealedsecrets.bitnami.com/managed";
/// Annotation on an existing Secret: the controller adds to it and owns nothing.
pub const PATCH: &str = "sealedsecrets.bitnami.com/patch";
/// Annotation on the template: the Secret gets no owner reference.
pub const SKIP_SET_OWNER_REFERENCES: &str = "sealedsecrets.bitnami.com/skip-set-owner-references";
/// Label on key Secrets; only [`KEY_ACTIVE`] makes a key usable.
pub const SEALED_SECRETS_KEY: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";
/// The value of [`SEALED_SECRETS_KEY`] on a usable key.
pub const KEY_ACTIVE: &str = "active";
/// The value of [`SEALED_SECRETS_KEY`] on a key that is not used yet, since its backup is not yet stored. To the peer it
/// is one of the values that retire a key.
pub const KEY_PENDING: &str = "pending";
/// Annotation: which key sealed which item, for people (docs/format.md).
pub const SEALED_WITH: &str = "privyseal.dev/sealed-with";
/// Annotation in which `kubectl apply` keeps the whole object, plaintext included. Never copied when sealing.
pub const KUBECTL_LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The same of kubecfg.
pub const KUBECFG_LAST_APPLIED: &str = "kubecfg.ksonnet.io/last-applied-configuration";

/// The scope that annotations spell, read as the peer reads it: only the exact value `true` counts.
pub fn scope_of(annotations: &BTreeMap<String, String>) -> Scope {
    if is_true(annotations, CLUSTER_WIDE) {
        Scope::ClusterWide
    } else if is_true(annotations, NAMESPACE_WIDE) {
        Scope::NamespaceWide
    } else {
        Scope::Strict
    }
}

/// Whether annotations say anything of the scope, be it `false`. Where they do not, it is strict by default only.
pub fn names_scope(annotations: &BTreeMap<String, String>) -> bool {
    annotations.contains_key(CLUSTER_WIDE) || annotations.contains_key(NAMESPACE_WIDE)
}

/// Makes annotations spell `scope` and no other.
pub fn set_scope(annotations: &mut BTreeMap<String, String>, scope: Scope) {
    annotations.remove(CLUSTER_WIDE);
    annotations.remove(NAMESPACE_WIDE);
    let annotation = match scope {
        Scope::Strict => return,
        Scope::NamespaceWide => NAMESPACE_WIDE,
        Scope::ClusterWide => CLUSTER_WIDE,
    };
    annotations.insert(annotation.to_owned(), "true".to_owned());
}

/// Whether an annotation is set to exactly `true`, the only value that the peer honours.
pub fn is_true(annotations: &BTreeMap<String, String>, name: &str) -> bool {
    annotations.get(name).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_the_exact_value_true_counts_and_cluster_wide_wins() {
        for (pairs, scope) in [
            (&[][..], Scope::Strict),
            (&[(NAMESPACE_WIDE, "true")], Scope::NamespaceWide),
            (&[(CLUSTER_WIDE, "true")], Scope::ClusterWide),
            (&[(CLUSTER_WIDE, "true"), (NAMESPACE_WIDE, "true")], Scope::ClusterWide),
            (&[(CLUSTER_WIDE, "false"), (NAMESPACE_WIDE, "true")], Scope::NamespaceWide),
            (&[(CLUSTER_WIDE, "TRUE")], Scope::Strict),
            (&[(CLUSTER_WIDE, "true ")], Scope::Strict),
            (&[(NAMESPACE_WIDE, "")], Scope::Strict),
            (&[("cluster-wide", "true")], Scope::Strict),
        ] {
            assert_eq!(scope_of(&annotations(pairs)), scope, "{pairs:?}");
        }
    }

    #[test]
    fn what_is_set_is_read_back_and_other_annotations_stay() {
        for before in Scope::ALL {
            for after in Scope::ALL {
                let mut both = annotations(&[("team", "a")]);
                set_scope(&mut both, before);
                set_scope(&mut both, after);
                assert_eq!(scope_of(&both), after);
                assert_eq!(both.len(), if after == Scope::Strict { 1 } else { 2 });
            }
        }
    }
}
