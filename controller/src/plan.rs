//! From what is wanted and what is there to what is to be done: pure.
//!
//! A Secret that is not ours is never touched. Ours is the one whose owner references hold the SealedSecret's uid; a
//! name is no proof, since it can be given again. [`Plan::Replace`] carries the uid and the resourceVersion that were
//! judged, so that the API server refuses the write if anything changed in between.

use crate::marker::SecretVersion;
use crate::outcome::{Outcome, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference};
use privyseal_manifest::{Secret, names};
use std::collections::{BTreeMap, BTreeSet};

/// The name under which the API server records our writes.
pub(crate) const FIELD_MANAGER: &str = "privyseal-controller";

/// The SealedSecret that a Secret belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What to do.
pub(crate) enum Plan {
    /// There is none: create it.
    Create(Box<Secret>),
    /// It is ours and differs: replace it.
    Replace(Box<Secret>),
    /// It is ours and right.
    Keep(SecretVersion),
    /// It must not be written.
    Refuse(Outcome),
}

/// Decides. `desired` is what the SealedSecret asks for.
pub(crate) fn plan(mut desired: Secret, owner: &Owner, existing: Option<&Secret>) -> Plan {
    let Some(existing) = existing else {
        desired.metadata.owner_references = Some(vec![owner_reference(owner)]);
        return Plan::Create(Box::new(desired));
    };
    if let Err(outcome) = check_ownership(&existing.metadata, owner) {
        return Plan::Refuse(outcome);
    }
    if type_of(existing) != type_of(&desired) {
        return Plan::Refuse(Outcome::failed(
            Reason::TargetTypeDiffers,
            "the Secret has another type than spec.template.type, and a Secret's type cannot change: \
             delete the Secret, and it is made again",
        ));
    }

    let is_immutable = |secret: &Secret| secret.immutable == Some(true);
    let same_content = existing.data == desired.data && is_immutable(existing) == is_immutable(&desired);
    if is_immutable(existing) && !same_content {
        return Plan::Refuse(Outcome::failed(
            Reason::TargetImmutable,
            "the Secret is immutable and would have to change: delete the Secret, and it is made again",
        ));
    }
    let metadata = merged(&existing.metadata, &desired.metadata);
    if same_content && metadata == existing.metadata {
        return Plan::Keep(SecretVersion::of(&existing.metadata));
    }
    // The API server keeps its own record of who set what.
    desired.metadata = ObjectMeta { managed_fields: None, ..metadata };
    Plan::Replace(Box::new(desired))
}

fn check_ownership(metadata: &ObjectMeta, owner: &Owner) -> Result<(), Outcome> {
    let owners =
        || metadata.owner_references.iter().flatten().filter(|o| o.kind == names::SEALED_SECRET_KIND);
    let ours = owners().any(|reference| reference.uid == owner.uid);
    let namesake = owners().any(|reference| reference.name == owner.name);
    if metadata.deletion_timestamp.is_some() || (!ours && namesake) {
        return Err(Outcome::failed(
            Reason::TargetBeingCollected,
            "the Secret of this name is being deleted; it is made anew as soon as it is gone",
        ));
    }
    if ours {
        return Ok(());
    }
    Err(Outcome::failed(
        Reason::TargetNotOwned,
        "a Secret of this name exists and belongs to somebody else; it is left alone: \
         delete it, or give the SealedSecret another name and seal it again",
    ))
}

fn owner_reference(owner: &Owner) -> OwnerReference {
    OwnerReference {
        api_version: names::SEALED_SECRET_API_VERSION.to_owned(),
        kind: names::SEALED_SECRET_KIND.to_owned(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

fn type_of(secret: &Secret) -> &str {
    secret.type_.as_deref().filter(|type_| !type_.is_empty()).unwrap_or("Opaque")
}

/// Labels and annotations: ours are as the template says, those that others set stay, and those that we set once and
/// the template no longer has go.
fn merged(existing: &ObjectMeta, desired: &ObjectMeta) -> ObjectMeta {
    let merge =
        |field: &str, there: &Option<BTreeMap<String, String>>, wanted: &Option<BTreeMap<String, String>>| {
            let ours = set_by_us(existing.managed_fields.as_deref().unwrap_or_default(), field);
            let mut all = there.clone().unwrap_or_default();
            all.retain(|key, _| !ours.contains(key));
            all.extend(wanted.clone().unwrap_or_default());
            Some(all).filter(|all| !all.is_empty())
        };
    ObjectMeta {
        labels: merge("f:labels", &existing.labels, &desired.labels),
        annotations: merge("f:annotations", &existing.annotations, &desired.annotations),
        ..existing.clone()
    }
}

/// The keys of a metadata map that the API server records as written by us.
fn set_by_us(managed_fields: &[ManagedFieldsEntry], field: &str) -> BTreeSet<String> {
    managed_fields
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER))
        .filter_map(|entry| entry.fields_v1.as_ref()?.0.get("f:metadata")?.get(field)?.as_object())
        .flat_map(|fields| fields.keys().filter_map(|key| key.strip_prefix("f:")).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
    use privyseal_envelope::{Item, Plaintext};
    use serde_json::json;

    fn owner() -> Owner {
        Owner { name: "db".into(), uid: "u1".into() }
    }

    fn map(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
        Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    fn secret(data: &[(&str, &str)]) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.name = Some("db".into());
        secret.metadata.namespace = Some("team-a".into());
        for (item, value) in data {
            secret.data.insert(Item::parse(*item).unwrap(), Plaintext::from(value.as_bytes()));
        }
        secret
    }

    /// As an API server would give it back after our create.
    fn stored(mut secret: Secret) -> Secret {
        secret.metadata.uid = Some("s1".into());
        secret.metadata.resource_version = Some("7".into());
        secret.metadata.owner_references = Some(vec![owner_reference(&owner())]);
        secret.type_ = Some(type_of(&secret).to_owned());
        secret
    }

    fn refused(plan: Plan) -> Option<Reason> {
        match plan {
            Plan::Refuse(outcome) => Some(outcome.reason),
            _ => None,
        }
    }

    #[test]
    fn what_is_missing_is_created_with_an_owner() {
        let Plan::Create(secret) = plan(secret(&[("a", "1")]), &owner(), None) else { panic!() };
        let owners = secret.metadata.owner_references.unwrap();
        assert_eq!(owners, [owner_reference(&owner())]);
        assert_eq!(owners[0].controller, Some(true));
        assert!(secret.metadata.resource_version.is_none());
    }

    #[test]
    fn what_is_right_is_kept() {
        let existing = stored(secret(&[("a", "1")]));
        let Plan::Keep(version) = plan(secret(&[("a", "1")]), &owner(), Some(&existing)) else { panic!() };
        assert_eq!(version, SecretVersion { uid: "s1".into(), resource_version: "7".into() });
    }

    #[test]
    fn foreign_and_changed_entries_go_and_the_write_is_conditional() {
        for drift in [&[("a", "1"), ("b", "x")][..], &[("a", "2")], &[]] {
            let existing = stored(secret(drift));
            let Plan::Replace(new) = plan(secret(&[("a", "1")]), &owner(), Some(&existing)) else { panic!() };
            assert!(new.data == secret(&[("a", "1")]).data);
            assert_eq!(new.metadata.uid.as_deref(), Some("s1"));
            assert_eq!(new.metadata.resource_version.as_deref(), Some("7"));
            assert!(new.metadata.managed_fields.is_none());
        }
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let mut foreign = stored(secret(&[("a", "1")]));
        foreign.metadata.owner_references = None;
        assert_eq!(refused(plan(secret(&[]), &owner(), Some(&foreign))), Some(Reason::TargetNotOwned));

        let mut other_kind = stored(secret(&[("a", "1")]));
        let reference = &mut other_kind.metadata.owner_references.as_mut().unwrap()[0];
        reference.kind = "Deployment".into();
        assert_eq!(refused(plan(secret(&[]), &owner(), Some(&other_kind))), Some(Reason::TargetNotOwned));

        let mut other_sealed_secret = stored(secret(&[("a", "1")]));
        let reference = &mut other_sealed_secret.metadata.owner_references.as_mut().unwrap()[0];
        (reference.uid, reference.name) = ("u2".into(), "other".into());
        assert_eq!(
            refused(plan(secret(&[]), &owner(), Some(&other_sealed_secret))),
            Some(Reason::TargetNotOwned)
        );
    }

    #[test]
    fn an_earlier_namesakes_secret_is_waited_for() {
        let mut earlier = stored(secret(&[("a", "1")]));
        earlier.metadata.owner_references.as_mut().unwrap()[0].uid = "u0".into();
        assert_eq!(refused(plan(secret(&[]), &owner(), Some(&earlier))), Some(Reason::TargetBeingCollected));
    }

    #[test]
    fn immutable_and_other_types_are_refused() {
        let mut immutable = stored(secret(&[("a", "1")]));
        immutable.immutable = Some(true);
        let same = Secret { immutable: Some(true), ..secret(&[("a", "1")]) };
        assert!(matches!(plan(same, &owner(), Some(&immutable)), Plan::Keep(_)));
        let other = Secret { immutable: Some(true), ..secret(&[("a", "2")]) };
        assert_eq!(refused(plan(other, &owner(), Some(&immutable))), Some(Reason::TargetImmutable));
        assert_eq!(
            refused(plan(secret(&[("a", "1")]), &owner(), Some(&immutable))),
            Some(Reason::TargetImmutable)
        );

        let typed = Secret { type_: Some("kubernetes.io/tls".into()), ..secret(&[]) };
        let existing = stored(secret(&[]));
        assert_eq!(refused(plan(typed, &owner(), Some(&existing))), Some(Reason::TargetTypeDiffers));
        let opaque = Secret { type_: Some("Opaque".into()), ..secret(&[]) };
        assert!(matches!(plan(opaque, &owner(), Some(&existing)), Plan::Keep(_)));
    }

    #[test]
    fn labels_of_others_stay_and_ours_follow_the_template() {
        let mut existing = stored(secret(&[("a", "1")]));
        existing.metadata.labels = map(&[("theirs", "x"), ("old", "ours"), ("kept", "changed")]);
        existing.metadata.managed_fields = Some(vec![ManagedFieldsEntry {
            manager: Some(FIELD_MANAGER.into()),
            fields_v1: Some(FieldsV1(
                json!({"f:metadata": {"f:labels": {"f:old": {}, "f:kept": {}, ".": {}}}}),
            )),
            ..ManagedFieldsEntry::default()
        }]);
        let mut desired = secret(&[("a", "1")]);
        desired.metadata.labels = map(&[("kept", "1"), ("new", "2")]);
        let Plan::Replace(new) = plan(desired.clone(), &owner(), Some(&existing)) else { panic!() };
        assert_eq!(new.metadata.labels, map(&[("theirs", "x"), ("kept", "1"), ("new", "2")]));

        existing.metadata.labels = new.metadata.labels;
        assert!(matches!(plan(desired, &owner(), Some(&existing)), Plan::Keep(_)));
    }
}
