//! The marker: what makes a restart cheap.
//!
//! An HMAC under a key that only the controller holds, over everything that decides whether the Secret is right:
//! the SealedSecret's uid and input, the Secret's uid and resourceVersion, and the keys that opened the values. Who
//! cannot make it cannot have a wrong Secret believed; a missing or wrong one means that the values are opened.

use aws_lc_rs::hmac;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::KeyId;
use privyseal_keys::PublisherKey;
use privyseal_manifest::SealedSecretSpec;
use privyseal_manifest::names::{self, DeletionPolicy};
use std::collections::BTreeMap;

/// Digest of what a SealedSecret asks for: its spec, and those of its annotations that decide how it is opened and what
/// becomes of its Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Input([u8; 32]);

impl Input {
    /// Of an object, where `default` is the deletion policy of those that have none of their own.
    pub(crate) fn of(
        annotations: Option<&BTreeMap<String, String>>,
        spec: &SealedSecretSpec,
        default: DeletionPolicy,
    ) -> Self {
        let scope = annotations.map_or(privyseal_envelope::Scope::Strict, names::scope_of);
        // As it is written: a word that is none is told, and another such word is told anew.
        let deletion_policy = annotations.and_then(|all| all.get(names::DELETION_POLICY)).map(String::as_str);
        let deletion_policy = deletion_policy.unwrap_or(default.as_str());
        let spec = serde_json::to_vec(spec).expect("a spec of strings is JSON");
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in [scope.as_str().as_bytes(), deletion_policy.as_bytes(), &spec] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self(digest)
    }
}

/// What identifies one state of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretVersion {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

impl SecretVersion {
    /// From metadata that an API server wrote.
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
        }
    }
}

/// Makes and checks markers: `v1:ID:HMAC`, ID being the key id of the controller's publisher key.
pub(crate) struct MarkerKey {
    hmac: hmac::Key,
    id: KeyId,
}

impl MarkerKey {
    /// From 32 secret bytes, and the key id of the controller that holds them.
    pub(crate) fn new(bytes: &[u8; 32], id: KeyId) -> Self {
        Self { hmac: hmac::Key::new(hmac::HMAC_SHA256, bytes), id }
    }

    /// Of the controller that has this publisher key.
    pub(crate) fn of(publisher: &PublisherKey) -> Self {
        Self::new(&publisher.derive("status-marker"), publisher.public_key().fingerprint().key_id())
    }

    /// Whether a marker names another controller as its maker. It proves nothing: it only makes us step back.
    pub(crate) fn is_of_another_controller(&self, claimed: &str) -> bool {
        let id = claimed
            .strip_prefix("v1:")
            .and_then(|rest| rest.split_once(':'))
            .map(|(id, _)| id.parse::<KeyId>());
        matches!(id, Some(Ok(id)) if id != self.id)
    }

    /// The marker of one state. `opened_with` is sorted.
    pub(crate) fn mark(
        &self,
        uid: &str,
        input: &Input,
        secret: &SecretVersion,
        opened_with: &[KeyId],
    ) -> String {
        let mut context = hmac::Context::with_key(&self.hmac);
        let keys = opened_with.iter().map(KeyId::to_string).collect::<Vec<_>>().join(",");
        for part in [
            uid.as_bytes(),
            &input.0,
            secret.uid.as_bytes(),
            secret.resource_version.as_bytes(),
            keys.as_bytes(),
        ] {
            // Each part with its length, so that no two states share their bytes.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign();
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("v1:{}:{hex}", self.id)
    }

    /// Whether `claimed` is the marker of that state, compared in constant time.
    pub(crate) fn verify(
        &self,
        claimed: &str,
        uid: &str,
        input: &Input,
        secret: &SecretVersion,
        opened_with: &[KeyId],
    ) -> bool {
        let expected = self.mark(uid, input, secret, opened_with);
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), claimed.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_envelope::Fingerprint;

    fn version(uid: &str, resource_version: &str) -> SecretVersion {
        SecretVersion { uid: uid.into(), resource_version: resource_version.into() }
    }

    fn input_of(annotations: Option<&BTreeMap<String, String>>, spec: &SealedSecretSpec) -> Input {
        Input::of(annotations, spec, DeletionPolicy::Delete)
    }

    fn marker_key(byte: u8) -> MarkerKey {
        MarkerKey::new(&[byte; 32], Fingerprint::of(&[byte]).key_id())
    }

    #[test]
    fn another_controller_is_told_by_its_id() {
        let (ours, theirs) = (marker_key(7), marker_key(8));
        let marker = |key: &MarkerKey| {
            key.mark("u", &input_of(None, &SealedSecretSpec::default()), &version("s", "1"), &[])
        };
        assert!(ours.is_of_another_controller(&marker(&theirs)));
        assert!(!ours.is_of_another_controller(&marker(&ours)));
        for garbage in ["", "v1:", "v1:x:y", "v2:0123456789abcdef:00"] {
            assert!(!ours.is_of_another_controller(garbage));
        }
    }

    #[test]
    fn every_part_counts() {
        let key = marker_key(7);
        let mut spec = SealedSecretSpec::default();
        let input = input_of(None, &spec);
        let keys = [Fingerprint::of(b"a").key_id()];
        let marker = key.mark("u", &input, &version("s", "1"), &keys);
        assert!(key.verify(&marker, "u", &input, &version("s", "1"), &keys));

        spec.encrypted_data.insert("a".into(), "b".into());
        let scope = BTreeMap::from([(names::CLUSTER_WIDE.to_owned(), "true".to_owned())]);
        let note = BTreeMap::from([("note".to_owned(), "x".to_owned())]);
        assert_eq!(
            input_of(Some(&note), &SealedSecretSpec::default()),
            input,
            "other annotations do not count"
        );
        for (other, what) in [
            (marker_key(8).mark("u", &input, &version("s", "1"), &keys), "key"),
            (key.mark("x", &input, &version("s", "1"), &keys), "uid"),
            (key.mark("u", &input_of(None, &spec), &version("s", "1"), &keys), "spec"),
            (
                key.mark(
                    "u",
                    &input_of(Some(&scope), &SealedSecretSpec::default()),
                    &version("s", "1"),
                    &keys,
                ),
                "scope",
            ),
            (key.mark("u", &input, &version("x", "1"), &keys), "Secret uid"),
            (key.mark("u", &input, &version("s", "2"), &keys), "Secret version"),
            (key.mark("u", &input, &version("s1", ""), &keys), "boundaries"),
            (key.mark("u", &input, &version("s", "1"), &[]), "keys"),
        ] {
            assert_ne!(other, marker, "{what}");
        }
    }
    #[test]
    fn the_deletion_policy_that_holds_counts_and_not_where_it_comes_from() {
        let spec = SealedSecretSpec::default();
        let of = |own: Option<&str>, default| {
            let annotations =
                own.map(|own| BTreeMap::from([(names::DELETION_POLICY.to_owned(), own.to_owned())]));
            Input::of(annotations.as_ref(), &spec, default).0
        };
        let (delete, retain) = (DeletionPolicy::Delete, DeletionPolicy::Retain);
        assert_eq!(of(None, retain), of(Some("Retain"), delete));
        assert_eq!(of(None, delete), of(Some("Delete"), retain));
        let all = [of(None, delete), of(None, retain), of(Some("retain"), delete), of(Some(""), delete)];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
