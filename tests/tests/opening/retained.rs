//! Deletion policies: what a Secret says of its SealedSecret, what becomes of it when that goes, and who finds it again.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, sealed_secrets, secret_data, wait_for_condition, wait_for_secret};
use privyseal_tests::world::Place;
use serde_json::{Value, json};

const POLICY: &str = "privyseal.dev/deletion-policy";
const OWNER_UID: &str = "privyseal.dev/owner-uid";

/// A SealedSecret with one item and a deletion policy of its own.
fn seal(place: &Place, name: &str, value: &str, policy: Option<&str>) -> Value {
    let mut sealed = place.world.sealer.seal(&place.namespace, name, &[("a", value)], &[]);
    if let Some(policy) = policy {
        sealed["metadata"]["annotations"][POLICY] = json!(policy);
    }
    sealed
}

fn secrets(place: &Place) -> Api<Secret> {
    Api::namespaced(place.client.clone(), &place.namespace)
}

async fn apply(place: &Place, sealed: &Value) -> DynamicObject {
    objects::apply(&place.client, None, sealed).await
}

async fn ready(place: &Place, name: &str) -> objects::Condition {
    wait_for_condition(&place.client, &place.namespace, name, "Ready", "True").await
}

/// The uids in a Secret's owner references and in its annotation.
fn tie(secret: &Secret) -> (Vec<String>, Option<String>) {
    let owners = secret.metadata.owner_references.iter().flatten().map(|owner| owner.uid.clone());
    let annotation = secret.metadata.annotations.as_ref().and_then(|all| all.get(OWNER_UID)).cloned();
    (owners.collect(), annotation)
}

/// Waits until a Secret says that it stays, or that it does not, when the SealedSecret of this uid goes.
async fn wait_for_tie(place: &Place, name: &str, uid: &str, retained: bool) -> Secret {
    let wanted = match retained {
        true => (Vec::new(), Some(uid.to_owned())),
        false => (vec![uid.to_owned()], None),
    };
    eventually(PATIENCE, async || {
        let secret = secrets(place).get(name).await.map_err(|error| error.to_string())?;
        if tie(&secret) == wanted { Ok(secret) } else { Err(format!("{:?}", tie(&secret))) }
    })
    .await
}

/// Deletes a SealedSecret, and waits until Kubernetes has collected what belongs to one that was deleted later.
async fn delete_and_let_collect(place: &Place, name: &str) {
    let api = sealed_secrets(&place.client, &place.namespace);
    api.delete(name, &Default::default()).await.unwrap();
    let witness = format!("{name}-witness");
    apply(place, &seal(place, &witness, "w", Some("Delete"))).await;
    ready(place, &witness).await;
    api.delete(&witness, &Default::default()).await.unwrap();
    eventually(PATIENCE, async || match secret_data(&place.client, &place.namespace, &witness).await {
        None => Ok(()),
        Some(_) => Err("the witness is still there"),
    })
    .await;
}

/// All of a Secret but what says whose it is and what counts its writes.
fn rest(secret: &Secret) -> Value {
    let mut rest = serde_json::to_value(secret).unwrap();
    let metadata = rest["metadata"].as_object_mut().unwrap();
    for field in ["resourceVersion", "managedFields", "ownerReferences"] {
        metadata.remove(field);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(OWNER_UID);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    rest
}

#[tokio::test]
async fn a_retained_secret_outlives_its_sealed_secret_and_the_next_one_takes_it_over() {
    let place = Place::new("retained").await;
    let sealed = seal(&place, "db", "1", Some("Retain"));
    let first = apply(&place, &sealed).await.metadata.uid.unwrap();
    let told = ready(&place, "db").await;
    assert!(told.message.contains("the Secret stays"), "{}", told.message);
    wait_for_tie(&place, "db", &first, true).await;

    // It is kept exact and made again, as any other.
    let patch = Patch::Merge(json!({"data": {"a": "eA==", "foreign": "eA=="}}));
    secrets(&place).patch("db", &PatchParams::default(), &patch).await.unwrap();
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
    secrets(&place).delete("db", &Default::default()).await.unwrap();
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
    ready(&place, "db").await;

    let before = wait_for_tie(&place, "db", &first, true).await;
    delete_and_let_collect(&place, "db").await;
    assert_eq!(secrets(&place).get("db").await.unwrap(), before, "nobody touched it");

    let second = apply(&place, &sealed).await.metadata.uid.unwrap();
    assert_ne!(first, second);
    let after = wait_for_tie(&place, "db", &second, true).await;
    assert_eq!(rest(&after), rest(&before));
    ready(&place, "db").await;

    // One with another policy and another value takes it over as well.
    delete_and_let_collect(&place, "db").await;
    let third = apply(&place, &seal(&place, "db", "3", Some("Delete"))).await.metadata.uid.unwrap();
    let collected = wait_for_tie(&place, "db", &third, false).await;
    assert_eq!(collected.metadata.uid, before.metadata.uid, "there was no moment without it");
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"3")]).await;
    delete_and_let_collect(&place, "db").await;
    assert_eq!(secret_data(&place.client, &place.namespace, "db").await, None);
}

#[tokio::test]
async fn a_change_of_policy_is_one_write_also_where_nothing_else_may_change() {
    let place = Place::new("policies").await;
    let immutable = json!({
        "apiVersion": "v1", "kind": "Secret", "immutable": true,
        "metadata": {"name": "fixed", "namespace": place.namespace}, "stringData": {"a": "1"},
    });
    apply(&place, &seal(&place, "db", "1", None)).await;
    apply(&place, &place.world.sealer.seal_secret(&immutable, &[])).await;
    let api = sealed_secrets(&place.client, &place.namespace);
    for name in ["db", "fixed"] {
        ready(&place, name).await;
        let uid = api.get(name).await.unwrap().metadata.uid.unwrap();
        let before = wait_for_tie(&place, name, &uid, false).await;
        for (policy, retained) in [("Retain", true), ("Delete", false), ("Retain", true)] {
            let patch = Patch::Merge(json!({"metadata": {"annotations": {POLICY: policy}}}));
            api.patch(name, &PatchParams::default(), &patch).await.unwrap();
            let after = wait_for_tie(&place, name, &uid, retained).await;
            assert_eq!(rest(&after), rest(&before), "{policy}");
        }
        // Taken off: the controller's default.
        let patch = Patch::Merge(json!({"metadata": {"annotations": {POLICY: null}}}));
        api.patch(name, &PatchParams::default(), &patch).await.unwrap();
        wait_for_tie(&place, name, &uid, false).await;
        ready(&place, name).await;
    }
}

#[tokio::test]
async fn another_word_is_told_and_the_secret_keeps_what_it_has() {
    let place = Place::new("words").await;
    let stalled = async |name: &str| {
        let told = wait_for_condition(&place.client, &place.namespace, name, "Stalled", "True").await;
        assert_eq!(told.reason, "InvalidObject");
        told.message
    };
    apply(&place, &seal(&place, "new", "1", Some("retain"))).await;
    let told = stalled("new").await;
    assert!(told.contains(POLICY) && told.contains("\"retain\"") && told.contains("Retain"), "{told}");
    assert_eq!(secret_data(&place.client, &place.namespace, "new").await, None);

    apply(&place, &seal(&place, "old", "1", Some("Retain"))).await;
    ready(&place, "old").await;
    let before = secrets(&place).get("old").await.unwrap();
    apply(&place, &seal(&place, "old", "2", Some("Orphan\u{1b}"))).await;
    let told = stalled("old").await;
    assert!(told.contains("Orphan\\u{1b}"), "{told:?}");
    assert_eq!(secrets(&place).get("old").await.unwrap(), before);

    for (name, value) in [("new", "1"), ("old", "2")] {
        apply(&place, &seal(&place, name, value, Some("Retain"))).await;
        wait_for_secret(&place.client, &place.namespace, name, &[("a", value.as_bytes())]).await;
        ready(&place, name).await;
    }
}

/// The commands of docs/deletion.md.
#[tokio::test]
async fn the_page_on_deletion_says_how_to_wait_and_how_to_keep_a_secret_for_oneself() {
    let place = Place::new("page").await;
    let kubectl = |args: &[&str]| {
        place.control_plane.kubectl_ok(&[&["--namespace", place.namespace.as_str()][..], args].concat(), "")
    };
    apply(&place, &seal(&place, "db", "1", None)).await;
    ready(&place, "db").await;
    kubectl(&["annotate", "sealedsecret", "db", "privyseal.dev/deletion-policy=Retain"]);
    let uid = kubectl(&["get", "sealedsecret", "db", "--output", "jsonpath={.metadata.uid}"]);
    let says = format!("--for=jsonpath={{.metadata.annotations.privyseal\\.dev/owner-uid}}={uid}");
    kubectl(&["wait", "secret/db", &says, "--timeout=60s"]);
    kubectl(&["delete", "sealedsecret", "db"]);
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;

    kubectl(&["annotate", "secret", "db", "privyseal.dev/owner-uid-"]);
    apply(&place, &seal(&place, "db", "2", Some("Retain"))).await;
    let told = wait_for_condition(&place.client, &place.namespace, "db", "Stalled", "True").await;
    assert_eq!(told.reason, "TargetNotOwned");
    assert!(told.message.contains("somebody took off"), "{}", told.message);
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
}

/// Whoever lost a key may want to keep what there is.
#[tokio::test]
async fn a_secret_whose_values_do_not_open_follows_its_policy_all_the_same() {
    let place = Place::new("lost").await;
    apply(&place, &seal(&place, "db", "1", None)).await;
    ready(&place, "db").await;
    let before = secrets(&place).get("db").await.unwrap();
    let mut lost = seal(&place, "db", "1", Some("Retain"));
    lost["spec"]["encryptedData"]["a"] =
        seal(&place, "other", "1", None)["spec"]["encryptedData"]["a"].clone();
    let uid = apply(&place, &lost).await.metadata.uid.unwrap();
    let after = wait_for_tie(&place, "db", &uid, true).await;
    assert_eq!(rest(&after), rest(&before));
    let told = wait_for_condition(&place.client, &place.namespace, "db", "Stalled", "True").await;
    assert_eq!(told.reason, "NotOpened");
    delete_and_let_collect(&place, "db").await;
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
}

/// An admission policy may stand in the way: then the status says so, and it is tried until it works.
#[tokio::test]
async fn what_cannot_be_said_of_the_secret_is_told_until_it_can() {
    let place = Place::new("forbidden").await;
    apply(&place, &seal(&place, "db", "1", None)).await;
    ready(&place, "db").await;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": place.namespace},
        "spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["secrets"]},
            ]},
            "validations": [{"expression": "false", "message": "no", "reason": "Forbidden"}],
        },
    });
    let mut binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": place.namespace},
        "spec": {"policyName": place.namespace, "validationActions": ["Deny"], "matchResources": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.namespace}},
        }},
    });
    apply(&place, &policy).await;
    apply(&place, &binding).await;
    eventually(PATIENCE, async || {
        let params = PatchParams { dry_run: true, ..PatchParams::default() };
        let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
        match secrets(&place).patch("db", &params, &patch).await {
            Err(_) => Ok(()),
            Ok(_) => Err("the policy does not hold yet"),
        }
    })
    .await;
    let mut lost = seal(&place, "db", "1", Some("Retain"));
    lost["spec"]["encryptedData"]["a"] =
        seal(&place, "other", "1", None)["spec"]["encryptedData"]["a"].clone();
    let uid = apply(&place, &lost).await.metadata.uid.unwrap();
    let told = async |part: &str, is_there: bool| {
        eventually(PATIENCE, async || {
            let told = wait_for_condition(&place.client, &place.namespace, "db", "Stalled", "True").await;
            if told.message.contains(part) == is_there { Ok(()) } else { Err(told.message) }
        })
        .await;
    };
    told("could not be changed (the API server answered 403 Forbidden)", true).await;

    binding["spec"]["validationActions"] = json!(["Audit"]);
    apply(&place, &binding).await;
    wait_for_tie(&place, "db", &uid, true).await;
    told("could not be changed", false).await;
}

#[tokio::test]
async fn what_somebody_else_holds_is_not_taken_over_whatever_it_says() {
    let place = Place::new("held").await;
    let holder = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "holder"}});
    let holder = objects::apply(&place.client, Some(&place.namespace), &holder).await.metadata.uid.unwrap();
    let make = async |name: &str, references: Value, annotations: Value| {
        let metadata = json!({"name": name, "ownerReferences": references, "annotations": annotations});
        let secret = json!({"metadata": metadata, "stringData": {"theirs": "x"}});
        secrets(&place).create(&Default::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    };
    let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "holder", "uid": holder}]);
    make("held", reference, json!({OWNER_UID: "an-earlier-one"})).await;
    make("unsaid", json!([]), json!({OWNER_UID: ""})).await;
    make("left", json!([]), json!({OWNER_UID: "an-earlier-one"})).await;
    for name in ["held", "unsaid", "left"] {
        apply(&place, &seal(&place, name, "1", None)).await;
    }
    wait_for_secret(&place.client, &place.namespace, "left", &[("a", b"1")]).await;
    for (name, part) in [("held", "of kind ConfigMap"), ("unsaid", "wrote it")] {
        let told = wait_for_condition(&place.client, &place.namespace, name, "Stalled", "True").await;
        assert_eq!(told.reason, "TargetNotOwned");
        assert!(told.message.contains(part), "{}", told.message);
        wait_for_secret(&place.client, &place.namespace, name, &[("theirs", b"x")]).await;
    }

    // What a tool took after it had been left behind is the tool's.
    make("adopted", json!([]), json!({OWNER_UID: "an-earlier-one", "meta.helm.sh/release-name": "web"}))
        .await;
    apply(&place, &seal(&place, "adopted", "1", None)).await;
    let told = wait_for_condition(&place.client, &place.namespace, "adopted", "Stalled", "True").await;
    assert_eq!(told.reason, "TargetNotOwned");
    assert!(told.message.contains("Helm release web"), "{}", told.message);
    wait_for_secret(&place.client, &place.namespace, "adopted", &[("theirs", b"x")]).await;

    // No template can make a Secret look as if it had been left behind.
    let mut forged = seal(&place, "forged", "1", None);
    forged["spec"]["template"]["metadata"]["annotations"] = json!({OWNER_UID: "u"});
    apply(&place, &forged).await;
    let told = wait_for_condition(&place.client, &place.namespace, "forged", "Stalled", "True").await;
    assert_eq!(told.reason, "Refused");
    assert!(told.message.contains(OWNER_UID), "{}", told.message);
}
