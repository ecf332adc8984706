//! The annotations and labels that mean something to the peer or to us, and the scope and the deletion policy that some of
//! them spell.

use privyseal_envelope::Scope;
use std::collections::BTreeMap;
use std::str::FromStr;

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
/// Annotation of a SealedSecret: its [`DeletionPolicy`].
pub const DELETION_POLICY: &str = "privyseal.dev/deletion-policy";
/// Annotation of a Secret that is retained: the uid of the SealedSecret that it was made of, in place of an owner reference.
pub const OWNER_UID: &str = "privyseal.dev/owner-uid";
/// What our own annotations and labels begin with.
pub const OUR_PREFIX: &str = "privyseal.dev/";
/// Annotation of a SealedSecret, Flux's word for it: whoever changes its value asks that the object be looked at anew.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
/// Annotation in which `kubectl apply` keeps the whole object, plaintext included. Never copied when sealing.
pub const KUBECTL_LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The same of kubecfg.
pub const KUBECFG_LAST_APPLIED: &str = "kubecfg.ksonnet.io/last-applied-configuration";
/// Annotations in which tools keep the whole object as they applied it: `kubectl`, kubecfg, kapp, and Rancher's object sets
/// with Fleet. None is ever copied when sealing.
pub const LAST_APPLIED: [&str; 4] =
    [KUBECTL_LAST_APPLIED, KUBECFG_LAST_APPLIED, "kapp.k14s.io/original", "objectset.rio.cattle.io/applied"];

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

/// Whether an owner reference with these two names a SealedSecret, of whatever version.
pub fn is_sealed_secret(api_version: &str, kind: &str) -> bool {
    let group = |api_version: &str| api_version.split_once('/').map(|(group, _)| group.to_owned());
    kind == SEALED_SECRET_KIND && group(api_version) == group(SEALED_SECRET_API_VERSION)
}

/// What becomes of the Secret when its SealedSecret is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// The Secret has an owner reference, so Kubernetes deletes it too.
    #[default]
    Delete,
    /// The Secret has no owner reference and stays.
    Retain,
}

impl DeletionPolicy {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Delete, Self::Retain];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Retain => "Retain",
        }
    }
}

impl FromStr for DeletionPolicy {
    type Err = NotADeletionPolicy;

    fn from_str(text: &str) -> Result<Self, NotADeletionPolicy> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or(NotADeletionPolicy)
    }
}

/// Another word than the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither Retain nor Delete; upper and lower case matter")]
pub struct NotADeletionPolicy;

/// The deletion policy that annotations spell, if they spell any.
///
/// # Errors
/// If [`DELETION_POLICY`] is there with another value than the two.
pub fn deletion_policy_of(
    annotations: &BTreeMap<String, String>,
) -> Result<Option<DeletionPolicy>, NotADeletionPolicy> {
    annotations.get(DELETION_POLICY).map(|value| value.parse()).transpose()
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
    fn a_deletion_policy_is_one_of_two_words_or_none() {
        let of = |value: &str| deletion_policy_of(&annotations(&[(DELETION_POLICY, value)]));
        assert_eq!(of("Retain"), Ok(Some(DeletionPolicy::Retain)));
        assert_eq!(of("Delete"), Ok(Some(DeletionPolicy::Delete)));
        for other in ["retain", "DELETE", "", " Retain", "Orphan"] {
            assert_eq!(of(other), Err(NotADeletionPolicy), "{other}");
        }
        assert_eq!(deletion_policy_of(&annotations(&[])), Ok(None));
    }

    #[test]
    fn a_sealed_secret_is_one_of_the_peers_group() {
        assert!(is_sealed_secret("bitnami.com/v1alpha1", "SealedSecret"));
        assert!(is_sealed_secret("bitnami.com/v1", "SealedSecret"));
        for (api_version, kind) in
            [("example.com/v1", "SealedSecret"), ("v1", "SealedSecret"), ("bitnami.com/v1alpha1", "Other")]
        {
            assert!(!is_sealed_secret(api_version, kind), "{api_version} {kind}");
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
