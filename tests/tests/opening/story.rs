//! The plain path.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, sealed_secrets, wait_for_condition, wait_for_secret};
use privyseal_tests::world::Place;
use serde_json::json;

#[tokio::test]
async fn a_sealed_secret_becomes_a_secret_and_says_so() {
    let place = Place::new("story").await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth",
        "metadata": {
            "name": "db", "namespace": place.namespace,
            "labels": {"app": "db"}, "annotations": {"note": "kept"},
        },
        "data": {"password": "aHVudGVyMg=="}, "stringData": {"username": "admin", "empty": ""},
    });
    let sealed = place.world.sealer.seal_secret(&secret, &[]);
    objects::apply(&place.client, None, &sealed).await;

    let expected: [(&str, &[u8]); 3] = [("password", b"hunter2"), ("username", b"admin"), ("empty", b"")];
    wait_for_secret(&place.client, &place.namespace, "db", &expected).await;
    let ready = wait_for_condition(&place.client, &place.namespace, "db", "Ready", "True").await;
    assert_eq!(ready.reason, "Unsealed");

    let object = sealed_secrets(&place.client, &place.namespace).get("db").await.unwrap();
    let conditions = objects::conditions(&object);
    let kinds: Vec<_> = conditions.iter().map(|c| (c.kind.as_str(), c.status.as_str())).collect();
    assert_eq!(kinds, [("Synced", "True"), ("Ready", "True")], "kstatus wants the others to be absent");

    let api: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    let made = api.get("db").await.unwrap();
    let owner = &made.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.controller), ("SealedSecret", Some(true)));
    assert_eq!(Some(&owner.uid), object.metadata.uid.as_ref());
    assert_eq!(made.type_.as_deref(), Some("kubernetes.io/basic-auth"));
    assert_eq!(made.metadata.labels.unwrap()["app"], "db");
    assert_eq!(made.metadata.annotations.unwrap()["note"], "kept");
    // We write the status and nothing else of the SealedSecret.
    assert_eq!(object.metadata.labels, None);
}

#[tokio::test]
async fn every_scope_opens_where_it_may_and_nowhere_else() {
    let place = Place::new("scopes").await;
    let elsewhere = place.control_plane.namespace("elsewhere").await;
    for (scope, renamed, moved) in
        [("strict", "False", "False"), ("namespace-wide", "True", "False"), ("cluster-wide", "True", "True")]
    {
        let sealed = place.world.sealer.seal(&place.namespace, scope, &[("a", "1")], &["--scope", scope]);
        objects::apply(&place.client, None, &sealed).await;
        wait_for_condition(&place.client, &place.namespace, scope, "Synced", "True").await;

        let mut other_name = sealed.clone();
        other_name["metadata"]["name"] = json!(format!("{scope}-renamed"));
        objects::apply(&place.client, None, &other_name).await;
        wait_for_condition(&place.client, &place.namespace, &format!("{scope}-renamed"), "Synced", renamed)
            .await;

        let mut other_namespace = sealed;
        other_namespace["metadata"]["namespace"] = json!(elsewhere);
        objects::apply(&place.client, None, &other_namespace).await;
        let told = wait_for_condition(&place.client, &elsewhere, scope, "Synced", moved).await;
        // A controller names another namespace to nobody.
        assert!(!told.message.contains(&place.namespace), "{}", told.message);
    }
}

#[tokio::test]
async fn a_change_is_followed_and_events_come_on_change_only() {
    let place = Place::new("change").await;
    let seal = |value: &str| place.world.sealer.seal(&place.namespace, "db", &[("a", value)], &[]);
    let first = seal("1");
    objects::apply(&place.client, None, &first).await;
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
    objects::apply(&place.client, None, &seal("2")).await;
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"2")]).await;
    wait_for_condition(&place.client, &place.namespace, "db", "Synced", "True").await;

    // A label says nothing about the Secret: no pass, no event.
    let mut labelled = seal("2");
    labelled["spec"] = objects::sealed_secrets(&place.client, &place.namespace).get("db").await.unwrap().data
        ["spec"]
        .clone();
    labelled["metadata"]["labels"] = json!({"touched": "yes"});
    objects::apply(&place.client, None, &labelled).await;
    objects::apply(
        &place.client,
        None,
        &place.world.sealer.seal(&place.namespace, "last", &[("a", "1")], &[]),
    )
    .await;
    wait_for_condition(&place.client, &place.namespace, "last", "Synced", "True").await;

    let events: Api<Event> = Api::namespaced(place.client.clone(), &place.namespace);
    eventually(PATIENCE, async || {
        let list = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let mut about: Vec<_> = list
            .items
            .iter()
            .filter(|event| event.regarding.as_ref().and_then(|r| r.name.as_deref()) == Some("db"))
            .map(|event| {
                let times = event.series.as_ref().map_or(1, |series| series.count);
                (event.reason.clone().unwrap_or_default(), event.type_.clone().unwrap_or_default(), times)
            })
            .collect();
        about.sort();
        // One for each generation, whether the recorder wrote them apart or as a series.
        let count: i32 = about.iter().map(|(_, _, times)| times).sum();
        match about.iter().all(|(reason, type_, _)| reason == "Unsealed" && type_ == "Normal") && count == 2 {
            true => Ok(()),
            false => Err(format!("{about:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn when_the_sealed_secret_goes_its_secret_goes() {
    let place = Place::new("gone").await;
    objects::apply(&place.client, None, &place.world.sealer.seal(&place.namespace, "db", &[("a", "1")], &[]))
        .await;
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"1")]).await;
    sealed_secrets(&place.client, &place.namespace).delete("db", &Default::default()).await.unwrap();
    eventually(PATIENCE, async || match objects::secret_data(&place.client, &place.namespace, "db").await {
        None => Ok(()),
        Some(_) => Err("it is still there"),
    })
    .await;
    // And a new one of the same name is not in the way of itself.
    objects::apply(&place.client, None, &place.world.sealer.seal(&place.namespace, "db", &[("a", "2")], &[]))
        .await;
    wait_for_secret(&place.client, &place.namespace, "db", &[("a", b"2")]).await;
}
