use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
use privyseal_envelope::{Item, Plaintext};
use privyseal_manifest::names::{self, DeletionPolicy};
use serde_json::json;

fn owner() -> Owner {
    Owner { name: "db".into(), uid: "u1".into(), deletion_policy: DeletionPolicy::Delete, yields: false }
}

fn retaining() -> Owner {
    Owner { deletion_policy: DeletionPolicy::Retain, ..owner() }
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
    owner().hold(&mut secret.metadata);
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
    assert_eq!((owners[0].uid.as_str(), owners[0].controller), ("u1", Some(true)));
    assert!(secret.metadata.resource_version.is_none());
}

#[test]
fn what_is_right_is_kept() {
    let existing = stored(secret(&[("a", "1")]));
    let Plan::Keep(kept) = plan(secret(&[("a", "1")]), &owner(), Some(&existing)) else { panic!() };
    assert_eq!(*kept, existing.metadata);
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
        fields_v1: Some(FieldsV1(json!({"f:metadata": {"f:labels": {"f:old": {}, "f:kept": {}, ".": {}}}}))),
        ..ManagedFieldsEntry::default()
    }]);
    let mut desired = secret(&[("a", "1")]);
    desired.metadata.labels = map(&[("kept", "1"), ("new", "2")]);
    let Plan::Replace(new) = plan(desired.clone(), &owner(), Some(&existing)) else { panic!() };
    assert_eq!(new.metadata.labels, map(&[("theirs", "x"), ("kept", "1"), ("new", "2")]));

    existing.metadata.labels = new.metadata.labels;
    assert!(matches!(plan(desired, &owner(), Some(&existing)), Plan::Keep(_)));
}

#[test]
fn what_is_retained_is_created_without_an_owner() {
    let Plan::Create(new) = plan(secret(&[("a", "1")]), &retaining(), None) else { panic!() };
    assert_eq!(new.metadata.owner_references, None);
    assert_eq!(new.metadata.annotations, map(&[(names::OWNER_UID, "u1")]));
}

#[test]
fn another_deletion_policy_is_one_write_that_changes_no_value() {
    let mut existing = stored(Secret { immutable: Some(true), ..secret(&[("a", "1")]) });
    let desired = || Secret { immutable: Some(true), ..secret(&[("a", "1")]) };
    for (to, from) in [(retaining(), owner()), (owner(), retaining())] {
        assert!(matches!(plan(desired(), &from, Some(&existing)), Plan::Keep(_)));
        let Plan::Replace(new) = plan(desired(), &to, Some(&existing)) else { panic!() };
        assert!(new.data == existing.data && new.immutable == existing.immutable);
        assert_eq!(new.metadata.resource_version.as_deref(), Some("7"));
        existing.metadata = new.metadata;
    }
}

#[test]
fn what_is_retained_is_kept_exact_too() {
    let mut existing = stored(secret(&[("a", "1"), ("foreign", "x")]));
    retaining().hold(&mut existing.metadata);
    let Plan::Replace(new) = plan(secret(&[("a", "1")]), &retaining(), Some(&existing)) else { panic!() };
    assert!(new.data == secret(&[("a", "1")]).data);
}

#[test]
fn what_an_earlier_namesake_left_behind_is_taken() {
    let mut left = stored(secret(&[("a", "1")]));
    left.metadata.owner_references = None;
    Owner { uid: "u0".into(), ..retaining() }.hold(&mut left.metadata);
    left.metadata.labels = map(&[("theirs", "x")]);
    for owner in [owner(), retaining()] {
        let Plan::Replace(new) = plan(secret(&[("a", "1")]), &owner, Some(&left)) else { panic!() };
        assert!(new.data == left.data);
        let mut expected = left.metadata.clone();
        owner.hold(&mut expected);
        assert_eq!(new.metadata, expected, "nothing but whose it is");

        let Plan::Replace(new) = plan(secret(&[("b", "2")]), &owner, Some(&left)) else { panic!() };
        assert!(new.data == secret(&[("b", "2")]).data);
        let typed = Secret { type_: Some("kubernetes.io/tls".into()), ..secret(&[]) };
        assert_eq!(refused(plan(typed, &owner, Some(&left))), Some(Reason::TargetTypeDiffers));
    }
}

#[test]
fn whose_it_is_is_told_if_it_tells() {
    let told = |metadata: &ObjectMeta| match plan(
        secret(&[]),
        &owner(),
        Some(&Secret { metadata: metadata.clone(), ..secret(&[]) }),
    ) {
        Plan::Refuse(outcome) => outcome.message,
        _ => panic!(),
    };
    let mut foreign = ObjectMeta::default();
    assert!(told(&foreign).contains("belongs to somebody else; it is left alone"));
    foreign.annotations = map(&[("meta.helm.sh/release-name", "web")]);
    assert!(told(&foreign).contains("somebody else (it is in the Helm release web); it is left alone"));
}

#[test]
fn a_default_that_yields_leaves_the_tie_and_keeps_the_values_exact() {
    for (ours, theirs) in [(owner(), retaining()), (retaining(), owner())] {
        let yielding = Owner { yields: true, ..ours };
        let mut existing = secret(&[("a", "1")]);
        existing.metadata.uid = Some("s1".into());
        theirs.hold(&mut existing.metadata);
        // The other controller writes under the same name.
        let fields = json!({"f:metadata": {"f:annotations": {format!("f:{}", names::OWNER_UID): {}}}});
        existing.metadata.managed_fields = Some(vec![ManagedFieldsEntry {
            manager: Some(FIELD_MANAGER.into()),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }]);
        assert!(matches!(plan(secret(&[("a", "1")]), &yielding, Some(&existing)), Plan::Keep(_)));
        let Plan::Replace(new) = plan(secret(&[("a", "2")]), &yielding, Some(&existing)) else { panic!() };
        assert!(new.data == secret(&[("a", "2")]).data);
        assert_eq!(new.metadata, ObjectMeta { managed_fields: None, ..existing.metadata });
    }
}

#[test]
fn what_was_left_behind_and_taken_by_helm_since_is_refused() {
    let mut left = stored(secret(&[("a", "1")]));
    left.metadata.owner_references = None;
    Owner { uid: "u0".into(), ..retaining() }.hold(&mut left.metadata);
    left.metadata.annotations.as_mut().unwrap().insert("meta.helm.sh/release-name".into(), "web".into());
    assert_eq!(refused(plan(secret(&[("a", "1")]), &owner(), Some(&left))), Some(Reason::TargetNotOwned));
    let mut asked_for = secret(&[("a", "1")]);
    asked_for.metadata.annotations = map(&[("meta.helm.sh/release-name", "web")]);
    assert!(matches!(plan(asked_for, &owner(), Some(&left)), Plan::Replace(_)));
}
