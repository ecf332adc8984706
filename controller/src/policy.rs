//! What no template may ask for: `create sealedsecrets` means write access to Secrets of that namespace, and no more.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_custody::key_secrets::PUBLISHER_SECRET;
use privyseal_manifest::{Secret, names};

/// Types whose Secrets another controller fills or turns into an identity.
const REFUSED_TYPES: [&str; 2] = ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"];

/// Labels and annotations that make another controller copy a Secret into other namespaces, or hand out an identity.
/// An entry that ends with `/` or `-` is a prefix.
const REFUSED_METADATA: [&str; 8] = [
    "kubernetes.io/service-account.name",
    "kubernetes.io/service-account.uid",
    "reflector.v1.k8s.emberstack.com/",
    "replicator.v1.mittwald.de/",
    "kubed.appscode.com/sync",
    "config-syncer.appscode.com/",
    "secretsync.cattle.io/",
    "generate.kyverno.io/clone-",
];

/// The rules, as the flags set them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    /// The namespace that holds our own keys.
    pub own_namespace: String,
    /// The prefix of key Secrets.
    pub key_prefix: String,
    /// Types, labels and annotations that are allowed all the same.
    pub allowed: Vec<String>,
}

impl Policy {
    /// Says what is refused, if anything is.
    pub(crate) fn check(&self, secret: &Secret) -> Result<(), String> {
        self.check_name(&secret.metadata)?;
        let type_ = secret.type_.as_deref().unwrap_or_default();
        if REFUSED_TYPES.contains(&type_) && !self.is_allowed(type_) {
            return Err(format!("spec.template.type {type_} is refused: it would hand out an identity"));
        }
        let ObjectMeta { labels, annotations, .. } = &secret.metadata;
        for (field, map) in [("labels", labels), ("annotations", annotations)] {
            for key in map.iter().flat_map(|map| map.keys()) {
                if key == names::SEALED_SECRETS_KEY {
                    return Err(format!(
                        "spec.template.metadata.{field}: {key} is refused: it marks sealing keys"
                    ));
                }
                if key.starts_with(names::OUR_PREFIX) {
                    return Err(format!(
                        "spec.template.metadata.{field}: {} is refused: such words on a Secret are the controller's own; what \
                         is meant for the SealedSecret belongs into its metadata.annotations",
                        crate::outcome::shown(key)
                    ));
                }
                if is_refused(key) && !self.is_allowed(key) {
                    return Err(format!(
                        "spec.template.metadata.{field}: {} is refused: it would carry the Secret beyond its namespace",
                        crate::outcome::shown(key)
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_name(&self, metadata: &ObjectMeta) -> Result<(), String> {
        let name = metadata.name.as_deref().unwrap_or_default();
        let in_own_namespace = metadata.namespace.as_deref() == Some(&self.own_namespace);
        if in_own_namespace && (name.starts_with(&self.key_prefix) || name == PUBLISHER_SECRET) {
            return Err(
                "metadata.name is refused: in this namespace such names are for the controller's keys".into(),
            );
        }
        Ok(())
    }

    fn is_allowed(&self, what: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == what)
    }
}

fn is_refused(key: &str) -> bool {
    REFUSED_METADATA
        .iter()
        .any(|entry| if entry.ends_with(['/', '-']) { key.starts_with(entry) } else { key == *entry })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn policy(allowed: &[&str]) -> Policy {
        Policy {
            own_namespace: "privyseal".into(),
            key_prefix: "sealed-secrets-key".into(),
            allowed: allowed.iter().map(|s| (*s).to_owned()).collect(),
        }
    }

    fn secret(namespace: &str, name: &str) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.namespace = Some(namespace.into());
        secret.metadata.name = Some(name.into());
        secret
    }

    #[test]
    fn ordinary_secrets_pass() {
        let mut secret = secret("team-a", "sealed-secrets-key-of-team-a");
        secret.type_ = Some("kubernetes.io/tls".into());
        let labels = [("app.kubernetes.io/name", "x"), ("argocd.argoproj.io/secret-type", "repository")];
        secret.metadata.labels = Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert_eq!(policy(&[]).check(&secret), Ok(()));
    }

    #[test]
    fn keys_cannot_be_planted() {
        for name in ["sealed-secrets-key", "sealed-secrets-keyabcde", "privyseal-publisher-key"] {
            assert!(policy(&[]).check(&secret("privyseal", name)).is_err(), "{name}");
        }
        let mut labelled = secret("team-a", "x");
        labelled.metadata.labels =
            Some(BTreeMap::from([(names::SEALED_SECRETS_KEY.into(), "active".into())]));
        assert!(policy(&[names::SEALED_SECRETS_KEY]).check(&labelled).is_err(), "no flag allows it");
    }

    /// Whoever could set them would have a Secret taken over, or kept, or a key revoked.
    #[test]
    fn what_we_note_on_secrets_is_ours_to_note() {
        for key in [names::OWNER_UID, names::DELETION_POLICY, privyseal_custody::key_secret::COMPROMISED] {
            let map = Some(BTreeMap::from([(key.to_owned(), "u1".to_owned())]));
            let mut annotated = secret("team-a", "x");
            annotated.metadata.annotations = map.clone();
            let mut labelled = secret("team-a", "x");
            labelled.metadata.labels = map;
            for secret in [annotated, labelled] {
                let told = policy(&[key]).check(&secret).unwrap_err();
                assert!(told.contains(key), "{told}");
            }
        }
    }

    #[test]
    fn identities_and_copies_are_refused_unless_allowed() {
        for type_ in REFUSED_TYPES {
            let mut secret = secret("team-a", "x");
            secret.type_ = Some(type_.into());
            assert!(policy(&[]).check(&secret).is_err());
            assert!(policy(&[type_]).check(&secret).is_ok());
        }
        for key in ["reflector.v1.k8s.emberstack.com/reflection-allowed", "kubed.appscode.com/sync"] {
            let mut secret = secret("team-a", "x");
            secret.metadata.annotations = Some(BTreeMap::from([(key.into(), "true".into())]));
            assert!(policy(&[]).check(&secret).is_err());
            assert!(policy(&[key]).check(&secret).is_ok());
        }
    }
}
