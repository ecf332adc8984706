//! Two Kustomizations with one SealedSecret.

use super::super::Place;
use super::{Change, version, without_wait};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::flux::Watched;
use privyseal_tests::objects::{sealed_secrets, wait_for_condition};

/// Which Kustomization applied it last.
async fn owner(place: &Place) -> String {
    let labels = place.sealed_secret("db").await.metadata.labels.unwrap();
    labels["kustomize.toolkit.fluxcd.io/name"].clone()
}

/// Waits until SealedSecret and Secret are gone.
async fn wait_until_gone(place: &Place, name: &str) {
    let (secrets, sealed) = (place.secrets(), sealed_secrets(&place.client, &place.namespace));
    eventually(PATIENCE, async || {
        let left = (sealed.get_opt(name).await.unwrap(), secrets.get_opt(name).await.unwrap());
        let left = (left.0.is_some(), left.1.is_some());
        if left == (false, false) { Ok(()) } else { Err(left) }
    })
    .await;
}

async fn two(place: &Place) -> [Watched; 2] {
    place.source.reconcile().await;
    let mut apps = Vec::new();
    for name in ["one", "two"] {
        let app = place.watched(&without_wait(name, "team", name)).await;
        app.wait_ready(None).await;
        apps.push(app);
    }
    apps.try_into().unwrap()
}

#[tokio::test]
async fn two_kustomizations_with_the_same_seal_disturb_nobody_until_the_last_to_apply_it_goes() {
    let place = Place::new("same").await;
    let sealed = place.sealed("db", "first");
    for name in ["one", "two"] {
        place.repository.write(&format!("{name}/db.yaml"), &sealed);
    }
    place.repository.commit("one seal, twice");
    let apps = two(&place).await;
    place.password("db", "first").await;
    wait_for_condition(&place.client, &place.namespace, "db", "Ready", "True").await;
    let before = (place.secret("db").await, place.sealed_secret("db").await);

    for _ in 0..2 {
        for (app, name) in apps.iter().zip(["one", "two"]) {
            app.reconciled().await;
            assert_eq!(owner(&place).await, name, "the label says who applied it last");
        }
    }
    let after = (place.secret("db").await, place.sealed_secret("db").await);
    assert_eq!(version(&after.0), version(&before.0));
    assert_eq!(after.1.metadata.generation, before.1.metadata.generation);
    assert_eq!(after.1.data, before.1.data);

    // The one that applied it last takes it along; the other one's pruning passes over it.
    let [one, two] = apps;
    one.delete().await;
    assert_eq!(version(&place.secret("db").await), version(&before.0));
    let uid = place.sealed_secret("db").await.metadata.uid;
    assert_eq!(uid, before.1.metadata.uid);
    let one = place.watched(&without_wait("one", "team", "one")).await;
    one.wait_ready(None).await;
    assert_eq!(owner(&place).await, "one");
    one.delete().await;
    wait_until_gone(&place, "db").await;
    // Which the other one does not notice by itself; when it looks, it brings it back.
    let green = two.get().await;
    assert!(green.data["status"]["conditions"].to_string().contains("Applied revision"), "{:?}", green.data);
    two.reconciled().await;
    place.password("db", "first").await;
}

#[tokio::test]
async fn of_two_kustomizations_with_other_seals_the_last_one_wins() {
    let place = Place::new("fight").await;
    for name in ["one", "two"] {
        place.repository.write(&format!("{name}/db.yaml"), &place.sealed("db", name));
    }
    place.repository.commit("two seals of one name");
    let apps = two(&place).await;
    place.password("db", "two").await;
    let uid = place.secret("db").await.metadata.uid.unwrap();
    let moment = place.moment().await;
    let mut expected = Vec::new();
    for _ in 0..3 {
        for (app, name) in apps.iter().zip(["one", "two"]) {
            let ready = app.reconciled().await.ready;
            assert_eq!(ready.status, "True", "neither knows of the other: {}", ready.message);
            let told = wait_for_condition(&place.client, &place.namespace, "db", "Ready", "True").await;
            assert_eq!(told.reason, "Unsealed");
            assert!(place.has_password("db", name).await, "what is told of a generation is true of it");
            expected.push(Change::Written { uid: uid.clone(), password: name.to_owned() });
        }
    }
    assert_eq!(place.changes("db", &moment).await, expected);

    // At once: whoever was last has its way, and nothing is wedged.
    for _ in 0..3 {
        futures::future::join_all(apps.iter().map(Watched::reconciled)).await;
        wait_for_condition(&place.client, &place.namespace, "db", "Ready", "True").await;
        assert!(place.has_password("db", &owner(&place).await).await);
    }
    assert_eq!(place.secret("db").await.metadata.uid.as_ref(), Some(&uid));
}

#[tokio::test]
async fn a_retained_secret_is_there_all_the_time_while_its_sealed_secret_moves_to_another_kustomization() {
    let place = Place::new("move").await;
    let names = ["kept", "lost"];
    let seals = [place.retained("kept", "first"), place.sealed("lost", "first")];
    let write = |folder: &str| {
        for (name, seal) in names.iter().zip(&seals) {
            place.repository.write(&format!("{folder}/{name}.yaml"), seal);
        }
    };
    write("one");
    for folder in ["one", "two"] {
        place.repository.write(&format!("{folder}/{folder}.yaml"), &place.sealed(folder, "first"));
    }
    place.repository.commit("in the first");
    let [one, two] = two(&place).await;
    let all_are_ready = async || {
        for name in names {
            wait_for_condition(&place.client, &place.namespace, name, "Ready", "True").await;
        }
    };
    all_are_ready().await;
    let uid = place.secret("kept").await.metadata.uid.unwrap();
    let moment = place.moment().await;

    // Which of the two comes first is chance. This way round is the bad one: what is pruned was not yet applied anew.
    two.suspend(true).await;
    for name in names {
        place.repository.remove(&format!("one/{name}.yaml"));
    }
    write("two");
    let revision = place.repository.commit("in the second");
    place.source.reconcile().await;
    one.wait_ready(&revision).await;
    wait_until_gone(&place, "lost").await;
    two.suspend(false).await;
    two.wait_ready(&revision).await;
    all_are_ready().await;
    let taken_over = Change::Written { uid, password: "first".to_owned() };
    assert_eq!(place.changes("kept", &moment).await, [taken_over]);
    let changes = place.changes("lost", &moment).await;
    assert!(matches!(&changes[..], [Change::Deleted, Change::Written { .. }]), "{changes:?}");
}
