use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, Time};
use serde_json::json;

fn owner(deletion_policy: DeletionPolicy) -> Owner {
    Owner { name: "db".into(), uid: "u1".into(), deletion_policy, yields: false }
}

fn map(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
    Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

fn reference(api_version: &str, kind: &str, name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: api_version.into(),
        kind: kind.into(),
        name: name.into(),
        uid: uid.into(),
        ..OwnerReference::default()
    }
}

fn sealed_secret(name: &str, uid: &str) -> OwnerReference {
    reference("bitnami.com/v1alpha1", "SealedSecret", name, uid)
}

fn deployment() -> OwnerReference {
    OwnerReference { controller: Some(true), ..reference("apps/v1", "Deployment", "web", "d1") }
}

fn secret(references: &[OwnerReference], annotated: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        owner_references: Some(references.to_vec()).filter(|all| !all.is_empty()),
        annotations: annotated.and_then(|uid| map(&[(names::OWNER_UID, uid)])),
        ..ObjectMeta::default()
    }
}

#[test]
fn a_uid_makes_it_ours_and_nothing_else_does() {
    let standing = |references: &[OwnerReference], annotated: Option<&str>| {
        let standing = DeletionPolicy::ALL
            .map(|it| owner(it).standing(&secret(references, annotated), &ObjectMeta::default()));
        let [delete, retain] = standing;
        assert_eq!(delete, retain, "whose it is does not hang on what becomes of it");
        delete
    };
    for ours in [
        standing(&[sealed_secret("db", "u1")], None),
        standing(&[sealed_secret("db", "u1"), deployment()], None),
        standing(&[sealed_secret("db", "u1")], Some("u0")),
        standing(&[], Some("u1")),
        standing(&[deployment()], Some("u1")),
    ] {
        assert_eq!(ours, Standing::Ours);
    }
    assert_eq!(standing(&[], Some("u0")), Standing::LeftBehind);
    for collected in [
        standing(&[sealed_secret("db", "u0")], None),
        standing(&[sealed_secret("db", "u0")], Some("u0")),
        // Kubernetes deletes it whatever an annotation says.
        standing(&[sealed_secret("db", "u0")], Some("u1")),
    ] {
        assert_eq!(collected, Standing::BeingCollected);
    }
    for others in [
        standing(&[], None),
        standing(&[], Some("")),
        standing(&[sealed_secret("other", "u2")], None),
        standing(&[sealed_secret("other", "u2")], Some("u0")),
        standing(&[deployment()], Some("u0")),
        standing(&[reference("example.com/v1", "SealedSecret", "db", "u0")], None),
        // Kubernetes looks for an owner by all that a reference says.
        standing(&[reference("apps/v1", "Deployment", "db", "u1")], None),
    ] {
        assert!(matches!(others, Standing::Others(_)), "{others:?}");
    }

    let going = ObjectMeta {
        deletion_timestamp: Some(Time("2026-01-01T00:00:00Z".parse().unwrap())),
        ..secret(&[], Some("u0"))
    };
    assert_eq!(
        owner(DeletionPolicy::Retain).standing(&going, &ObjectMeta::default()),
        Standing::BeingCollected
    );
}

#[test]
fn each_policy_has_its_tie_and_never_the_others() {
    use DeletionPolicy::{Delete, Retain};
    for before in [secret(&[], None), secret(&[], Some("u0")), secret(&[], Some("u1"))] {
        let mut held = before.clone();
        owner(Delete).hold(&mut held);
        assert_eq!(tie(&held), Some(Tie { uid: "u1", on_deletion: Delete }));
        assert_eq!(held.owner_references.as_ref().unwrap()[0].controller, Some(true));
        assert_eq!(held.annotations, None);
        let mut again = held.clone();
        owner(Delete).hold(&mut again);
        assert_eq!(again, held);

        owner(Retain).hold(&mut held);
        assert_eq!(tie(&held), Some(Tie { uid: "u1", on_deletion: Retain }));
        assert_eq!(held, secret(&[], Some("u1")));
        let mut again = held.clone();
        owner(Retain).hold(&mut again);
        assert_eq!(again, held);
        assert_eq!(owner(Delete).standing(&held, &ObjectMeta::default()), Standing::Ours);
    }
}

#[test]
fn references_to_others_and_their_annotations_stay() {
    use DeletionPolicy::{Delete, Retain};
    let mut held = secret(&[deployment(), sealed_secret("db", "u1")], None);
    held.annotations = map(&[("note", "x")]);
    owner(Retain).hold(&mut held);
    assert_eq!(held.owner_references, Some(vec![deployment()]));
    assert_eq!(held.annotations, map(&[("note", "x"), (names::OWNER_UID, "u1")]));
    owner(Delete).hold(&mut held);
    // The API server takes one controller.
    assert_eq!(held.owner_references, Some(vec![deployment(), sealed_secret("db", "u1")]));
    assert_eq!(held.annotations, map(&[("note", "x")]));
}

#[test]
fn a_reference_that_the_peer_made_is_kept_as_it_is() {
    let theirs = OwnerReference {
        controller: Some(true),
        block_owner_deletion: Some(true),
        ..sealed_secret("db", "u1")
    };
    let mut held = secret(std::slice::from_ref(&theirs), None);
    owner(DeletionPolicy::Delete).hold(&mut held);
    assert_eq!(held.owner_references, Some(vec![theirs]));
}

#[test]
fn an_objects_own_word_wins_over_the_default() {
    for default in DeletionPolicy::ALL {
        assert_eq!(deletion_policy(None, default), Ok(default));
        assert_eq!(deletion_policy(map(&[("note", "x")]).as_ref(), default), Ok(default));
        for own in DeletionPolicy::ALL {
            let annotations = map(&[(names::DELETION_POLICY, own.as_str())]);
            assert_eq!(deletion_policy(annotations.as_ref(), default), Ok(own));
        }
        assert!(deletion_policy(map(&[(names::DELETION_POLICY, "retain")]).as_ref(), default).is_err());
    }
}

fn written_by(manager: &str, field: &str, time: &str) -> ManagedFieldsEntry {
    ManagedFieldsEntry {
        manager: Some(manager.into()),
        fields_v1: Some(FieldsV1(json!({field: {}}))),
        time: Some(Time(time.parse().unwrap())),
        ..ManagedFieldsEntry::default()
    }
}

#[test]
fn whose_it_seems_to_be_is_told_and_no_namespace_is() {
    let told = |metadata: &ObjectMeta| match owner(DeletionPolicy::Delete)
        .standing(metadata, &ObjectMeta::default())
    {
        Standing::Others(holder) => holder.unwrap_or_default(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&secret(&[], None)), "");
    let written = ObjectMeta {
        managed_fields: Some(vec![
            written_by("kubectl-create", "f:data", "2026-01-01T00:00:00Z"),
            written_by("argocd-controller", "f:data", "2026-01-02T00:00:00Z"),
            written_by("labeller\u{1b}", "f:metadata", "2026-01-03T00:00:00Z"),
        ]),
        ..ObjectMeta::default()
    };
    assert_eq!(told(&written), "argocd-controller wrote it");
    let mut once_ours = written.clone();
    once_ours.managed_fields = Some(vec![written_by(FIELD_MANAGER, "f:data", "2026-01-01T00:00:00Z")]);
    assert!(told(&once_ours).contains("somebody took off"));

    let mut of_helm = written;
    of_helm.labels = map(&[("app.kubernetes.io/managed-by", "Helm")]);
    assert_eq!(told(&of_helm), "it is in a Helm release");
    of_helm.annotations =
        map(&[("meta.helm.sh/release-name", "web"), ("meta.helm.sh/release-namespace", "team-b")]);
    assert_eq!(told(&of_helm), "it is in the Helm release web");
    of_helm.owner_references = Some(vec![reference("v1", "Namespace", "team-b", "n1"), deployment()]);
    assert_eq!(told(&of_helm), "its owner reference names another object, of kind Deployment");
    of_helm.owner_references = Some(vec![reference("v1", "Namespace", "team-b", "n1")]);
    assert_eq!(told(&of_helm), "its owner reference names another object, of kind Namespace");
}

#[test]
fn what_a_tool_took_after_it_was_left_behind_is_the_tools() {
    let retained = |field: &str, name: &str, value: &str| {
        let mut left = secret(&[], Some("u0"));
        match field {
            "f:labels" => left.labels = map(&[(name, value)]),
            _ => left.annotations = map(&[(names::OWNER_UID, "u0"), (name, value)]),
        }
        left
    };
    let standing =
        |left: &ObjectMeta, desired: &ObjectMeta| owner(DeletionPolicy::Delete).standing(left, desired);
    let nothing = ObjectMeta::default();
    for (field, name, value, told) in [
        ("f:annotations", "meta.helm.sh/release-name", "web", "it is in the Helm release web"),
        ("f:labels", "app.kubernetes.io/managed-by", "Helm", "it is in a Helm release"),
        ("f:labels", "kustomize.toolkit.fluxcd.io/name", "apps", "it is in the Flux Kustomization apps"),
        ("f:labels", "helm.toolkit.fluxcd.io/name", "web", "it is in the Flux HelmRelease web"),
        (
            "f:annotations",
            "argocd.argoproj.io/tracking-id",
            "web:/Secret:team-b/db",
            "it is in an Argo CD application",
        ),
        (
            "f:annotations",
            "kubectl.kubernetes.io/last-applied-configuration",
            "{\"data\":{\"a\":\"cw==\"}}",
            "somebody applied it with kubectl",
        ),
    ] {
        let left = retained(field, name, value);
        assert_eq!(standing(&left, &nothing), Standing::Others(Some(told.to_owned())));
        // It is ours all the same as long as it says so.
        let mut ours = left.clone();
        ours.annotations.get_or_insert_default().insert(names::OWNER_UID.to_owned(), "u1".to_owned());
        assert_eq!(standing(&ours, &nothing), Standing::Ours, "{name}");

        // The template asks for it, or an earlier one did.
        let desired = |value: &str| match field {
            "f:labels" => ObjectMeta { labels: map(&[(name, value)]), ..ObjectMeta::default() },
            _ => ObjectMeta { annotations: map(&[(name, value)]), ..ObjectMeta::default() },
        };
        assert_eq!(standing(&left, &desired(value)), Standing::LeftBehind, "{name}");
        assert!(matches!(standing(&left, &desired("another")), Standing::Others(_)), "{name}");
        let mut once_asked_for = left.clone();
        let wrote = |manager: &str| ManagedFieldsEntry {
            fields_v1: Some(FieldsV1(json!({"f:metadata": {field: {format!("f:{name}"): {}}}}))),
            ..written_by(manager, "f:data", "2026-01-01T00:00:00Z")
        };
        once_asked_for.managed_fields = Some(vec![wrote(FIELD_MANAGER)]);
        assert_eq!(standing(&once_asked_for, &nothing), Standing::LeftBehind, "{name}");
        once_asked_for.managed_fields = Some(vec![wrote("helm")]);
        assert!(matches!(standing(&once_asked_for, &nothing), Standing::Others(_)), "{name}");
    }
    // Nobody's marks.
    for (name, value) in
        [("app.kubernetes.io/managed-by", "privyseal"), ("app.kubernetes.io/instance", "web")]
    {
        assert_eq!(standing(&retained("f:labels", name, value), &nothing), Standing::LeftBehind, "{name}");
    }
}

#[test]
fn a_default_yields_to_the_tie_that_is_there_and_to_no_other() {
    use DeletionPolicy::{Delete, Retain};
    for (ours, theirs) in [(Delete, Retain), (Retain, Delete)] {
        let yielding = Owner { yields: true, ..owner(ours) };
        let mut held = secret(&[], None);
        owner(theirs).hold(&mut held);
        assert_eq!(yielding.yielding_to(&held).deletion_policy, theirs);
        assert_eq!(owner(ours).yielding_to(&held), owner(ours), "an object's own word");
        assert_eq!(yielding.yielding_to(&secret(&[], None)), yielding, "a new one");
        assert_eq!(yielding.yielding_to(&secret(&[], Some("u0"))), yielding, "one that was left behind");
    }
}
