use super::*;
use crate::outcome::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use privyseal_manifest::names::REQUESTED_AT;
use privyseal_manifest::{Condition, SealedSecretSpec, SealedSecretStatus};
use std::collections::BTreeMap;

fn key() -> Key {
    Key { namespace: "team-a".into(), name: "db".into() }
}

fn marker_key() -> MarkerKey {
    MarkerKey::new(&[1; 32], key_id())
}

fn object(resource_version: &str) -> SealedSecret {
    let mut object = SealedSecret::new("db", SealedSecretSpec::default());
    object.spec.encrypted_data.insert("a".into(), "AAAA".into());
    object.metadata.uid = Some("u1".into());
    object.metadata.generation = Some(1);
    object.metadata.resource_version = Some(resource_version.into());
    object
}

fn seen(object: &SealedSecret) -> Seen {
    Seen::of(object, DeletionPolicy::Delete)
}

fn input_of(annotations: Option<&BTreeMap<String, String>>, spec: &SealedSecretSpec) -> Input {
    Input::of(annotations, spec, DeletionPolicy::Delete)
}

fn owner() -> Owner {
    Owner { name: "db".into(), uid: "u1".into(), deletion_policy: DeletionPolicy::Delete, yields: false }
}

fn key_id() -> KeyId {
    Fingerprint::of(b"k").key_id()
}

fn version(resource_version: &str) -> SecretVersion {
    SecretVersion { uid: "s1".into(), resource_version: resource_version.into() }
}

fn secret(resource_version: &str) -> ObjectMeta {
    ObjectMeta {
        uid: Some("s1".into()),
        resource_version: Some(resource_version.into()),
        owner_references: Some(vec![OwnerReference {
            api_version: "bitnami.com/v1alpha1".into(),
            kind: "SealedSecret".into(),
            uid: "u1".into(),
            ..OwnerReference::default()
        }]),
        ..ObjectMeta::default()
    }
}

fn written(resource_version: &str, synced: bool) -> Written {
    Written { resource_version: resource_version.into(), synced, marked: synced }
}

fn proof(object: &SealedSecret, secret: &SecretVersion) -> Proof {
    let input = input_of(object.metadata.annotations.as_ref(), &object.spec);
    let opened_with = vec![key_id()];
    Proof { marker: marker_key().mark("u1", &input, secret, &opened_with), opened_with }
}

fn with_status(mut object: SealedSecret, proof: &Proof) -> SealedSecret {
    let condition = Condition {
        type_: "Synced".into(),
        status: "True".into(),
        last_update_time: None,
        last_transition_time: None,
        reason: None,
        message: None,
    };
    object.status = Some(SealedSecretStatus {
        observed_generation: object.metadata.generation,
        conditions: vec![condition],
        marker: Some(proof.marker.clone()),
        opened_with: proof.opened_with.iter().map(ToString::to_string).collect(),
        last_handled_reconcile_at: None,
    });
    object
}

/// One object, and a pass over it that has begun.
fn in_work() -> Index {
    let mut index = Index::default();
    index.apply_object(&key(), seen(&object("1")));
    index.begin(&key());
    index
}

fn in_sync(index: &Index) -> bool {
    index.is_in_sync(&key(), &marker_key(), |_| true)
}

#[test]
fn a_restart_believes_a_true_marker_and_nothing_else() {
    let proof = proof(&object("1"), &version("7"));
    let mut index = Index::default();
    assert!(index.apply_object(&key(), seen(&with_status(object("2"), &proof))));
    assert!(!in_sync(&index), "the Secret is not known yet");
    index.apply_secret(&key(), &secret("7"));
    assert!(in_sync(&index));
    assert!(!index.is_in_sync(&key(), &marker_key(), |_| false), "the key was retired");
    assert!(
        !index.is_in_sync(&key(), &MarkerKey::new(&[2; 32], key_id()), |_| true),
        "another controller's marker"
    );

    index.apply_secret(&key(), &secret("8"));
    assert!(!in_sync(&index), "somebody changed the Secret");
    index.apply_secret(&key(), &secret("7"));
    let mut changed = with_status(object("3"), &proof);
    changed.spec.encrypted_data.insert("b".into(), "AAAA".into());
    index.apply_object(&key(), seen(&changed));
    assert!(!in_sync(&index), "the SealedSecret changed");
}

#[test]
fn a_status_that_does_not_say_synced_is_never_in_sync() {
    let proof = proof(&object("1"), &version("7"));
    let mut index = Index::default();
    let mut lying = with_status(object("2"), &proof);
    lying.status.as_mut().unwrap().conditions[0].status = "False".into();
    index.apply_object(&key(), seen(&lying));
    index.apply_secret(&key(), &secret("7"));
    assert!(!in_sync(&index));
}

#[test]
fn our_own_writes_echo_without_work() {
    let proof = proof(&object("1"), &version("7"));
    let mut index = Index::default();
    assert!(index.apply_object(&key(), seen(&object("1"))));
    assert!(!index.apply_object(&key(), seen(&object("1"))), "the same once more");

    index.begin(&key());
    index.prove(&key(), &owner(), &secret("7"), proof.clone());
    index.wrote_status(&key(), written("2", true));
    assert!(in_sync(&index), "before the watch tells");
    assert!(!index.apply_secret(&key(), &secret("7")), "the echo of our Secret");
    assert!(!index.apply_object(&key(), seen(&with_status(object("2"), &proof))), "the echo of our status");
    assert!(in_sync(&index));

    assert!(index.apply_secret(&key(), &secret("8")), "drift");
    assert!(index.delete_secret(&key()), "deletion");
}

#[test]
fn what_the_watch_told_of_a_secret_is_not_hidden_by_the_answer_to_an_earlier_write() {
    let proof = proof(&object("1"), &version("7"));
    let synced = |index: &mut Index| {
        index.wrote_status(&key(), written("2", true));
        index.apply_object(&key(), seen(&with_status(object("2"), &proof)));
    };
    // Somebody wrote right after us, and the watch told of both, or of the second alone, before our write was answered.
    for told in [&["7", "8"][..], &["8"]] {
        let mut index = in_work();
        told.iter().for_each(|version| assert!(index.apply_secret(&key(), &secret(version))));
        index.prove(&key(), &owner(), &secret("7"), proof.clone());
        synced(&mut index);
        assert!(!in_sync(&index) && index.is_overtaken(&key()), "{told:?}");
        index.wrote_secret(&key(), &secret("7"));
        assert!(!in_sync(&index), "nor by what holds it as it is");
        index.begin(&key());
        assert!(!in_sync(&index) && !index.is_overtaken(&key()));
    }
    // Somebody deleted it, or made it nobody's.
    let mut index = in_work();
    index.apply_secret(&key(), &secret("7"));
    assert!(index.delete_secret(&key()));
    index.prove(&key(), &owner(), &secret("7"), proof.clone());
    synced(&mut index);
    assert!(!in_sync(&index) && index.is_overtaken(&key()) && !index.has_secret(&key()));

    let mut index = in_work();
    assert!(index.apply_secret(&key(), &ObjectMeta { owner_references: None, ..secret("8") }));
    index.prove(&key(), &owner(), &secret("7"), proof.clone());
    synced(&mut index);
    assert!(!in_sync(&index) && index.is_overtaken(&key()));

    // It went while the watch was cut.
    let mut index = in_work();
    assert_eq!(index.retain_secrets(&HashSet::new()), []);
    index.prove(&key(), &owner(), &secret("7"), proof.clone());
    synced(&mut index);
    assert!(!in_sync(&index) && index.is_overtaken(&key()), "it may have gone before the list or after");
    let mut index = in_work();
    index.prove(&key(), &owner(), &secret("7"), proof.clone());
    synced(&mut index);
    assert!(in_sync(&index));
    assert_eq!(index.retain_secrets(&HashSet::new()), [key()]);
    assert!(!in_sync(&index));

    // The echo alone hides nothing, and asks for nothing.
    let mut index = in_work();
    index.apply_secret(&key(), &secret("7"));
    index.prove(&key(), &owner(), &secret("7"), proof.clone());
    synced(&mut index);
    assert!(in_sync(&index) && !index.is_overtaken(&key()));
}

#[test]
fn what_the_watch_told_of_a_status_is_not_hidden_by_the_answer_to_an_earlier_write() {
    let proof = proof(&object("1"), &version("7"));
    let denied = |resource_version: &str| {
        let mut object = with_status(object(resource_version), &proof);
        object.status.as_mut().unwrap().conditions[0].status = "False".into();
        seen(&object)
    };
    let proven = || {
        let mut index = in_work();
        index.prove(&key(), &owner(), &secret("7"), proof.clone());
        assert!(!index.apply_secret(&key(), &secret("7")));
        index
    };
    let mut index = proven();
    index.apply_object(&key(), seen(&with_status(object("2"), &proof)));
    assert!(index.apply_object(&key(), denied("3")));
    index.wrote_status(&key(), written("2", true));
    assert!(!in_sync(&index) && index.is_overtaken(&key()));

    // Taken off again, where a cut watch told of neither write: as it was before us.
    let mut index = proven();
    assert!(!index.apply_object(&key(), seen(&object("3"))));
    index.wrote_status(&key(), written("2", true));
    assert!(!in_sync(&index) && index.is_overtaken(&key()));
    let mut index = proven();
    index.wrote_status(&key(), written("2", true));
    assert!(in_sync(&index) && !index.is_overtaken(&key()));
    assert!(index.apply_object(&key(), seen(&object("3"))));
    assert!(!in_sync(&index));

    // What we wrote last counts, not what the watch told before.
    let mut index = Index::default();
    index.apply_object(&key(), seen(&with_status(object("2"), &proof)));
    index.apply_secret(&key(), &secret("7"));
    assert!(in_sync(&index));
    index.begin(&key());
    index.wrote_status(&key(), written("3", false));
    assert!(!in_sync(&index));
}

#[test]
fn an_object_that_our_status_made_decodable_is_looked_at() {
    let mut index = Index::default();
    assert!(index.apply_object(&key(), Seen::of_invalid(&object("1").metadata)));
    index.begin(&key());
    index.wrote_status(&key(), written("2", false));
    assert!(index.apply_object(&key(), seen(&object("2"))), "the echo of our status, and an input at last");
}

#[test]
fn a_marker_that_the_api_server_drops_is_noticed() {
    let proof = proof(&object("1"), &version("7"));
    let unmarked = |resource_version| {
        let mut object = with_status(object(resource_version), &proof);
        object.status.as_mut().unwrap().marker = None;
        seen(&object)
    };
    let mut index = Index::default();
    index.apply_object(&key(), unmarked("1"));
    assert!(!index.marker_dropped(), "nobody wrote one");
    index.begin(&key());

    index.wrote_status(&key(), written("2", true));
    index.apply_object(&key(), unmarked("2"));
    assert!(index.marker_dropped());
    index.begin(&key());
    index.wrote_status(&key(), written("3", true));
    index.apply_object(&key(), seen(&with_status(object("3"), &proof)));
    assert!(!index.marker_dropped(), "a newer definition came");

    // The watch may be faster than the answer to the write.
    index.apply_object(&key(), unmarked("4"));
    index.wrote_status(&key(), written("4", true));
    assert!(index.marker_dropped());
    index.apply_object(&key(), seen(&with_status(object("5"), &proof)));
    index.wrote_status(&key(), written("5", true));
    assert!(!index.marker_dropped());
}

#[test]
fn a_failure_ends_what_was_proven() {
    let proof = proof(&object("1"), &version("7"));
    let mut index = in_work();
    index.prove(&key(), &owner(), &secret("7"), proof);
    index.wrote_status(&key(), written("2", true));
    assert!(in_sync(&index));
    let input = input_of(None, &object("1").spec);
    index.remember_failure(&key(), input, Fingerprint::of(b"ring"), &Outcome::failed(Reason::NotOpened, "m"));
    // The echo of this write is lost in a watch that is cut.
    index.wrote_status(&key(), written("3", false));
    assert!(!in_sync(&index), "the status says False, so a pass has to set it right");
}

#[test]
fn somebody_elses_status_is_looked_at() {
    let proof = proof(&object("1"), &version("7"));
    let mut index = Index::default();
    index.apply_object(&key(), seen(&object("1")));
    assert!(index.apply_object(&key(), seen(&with_status(object("2"), &proof))));
}

#[test]
fn a_new_object_of_the_same_name_inherits_nothing() {
    let mut index = Index::default();
    index.apply_object(&key(), seen(&object("1")));
    let input = input_of(None, &object("1").spec);
    let keyring = Fingerprint::of(b"ring");
    let outcome = Outcome::failed(Reason::NotOpened, "m");
    index.remember_failure(&key(), input, keyring, &outcome);
    assert_eq!(index.remembered_failure(&key(), &input, keyring), Some(outcome));
    assert_eq!(index.remembered_failure(&key(), &input, Fingerprint::of(b"other")), None);

    let mut recreated = object("5");
    recreated.metadata.uid = Some("u2".into());
    assert!(index.apply_object(&key(), seen(&recreated)));
    assert_eq!(index.remembered_failure(&key(), &input, keyring), None);
}

#[test]
fn foreign_secrets_are_not_kept_but_noticed() {
    let mut index = Index::default();
    let foreign = ObjectMeta { owner_references: None, ..secret("1") };
    assert!(!index.apply_secret(&key(), &foreign), "nobody asks for it");
    assert!(!index.has_secret(&key()));
    index.apply_object(&key(), seen(&object("1")));
    assert!(index.apply_secret(&key(), &foreign), "it may have stopped being in the way");
    assert!(!index.has_secret(&key()));
}

#[test]
fn a_fresh_list_forgets_what_it_does_not_name() {
    let mut index = Index::default();
    index.apply_object(&key(), seen(&object("1")));
    index.apply_secret(&key(), &secret("1"));
    assert_eq!(index.retain_secrets(&HashSet::new()), [key()]);
    index.retain_objects(&HashSet::new());
    assert_eq!(index.counts(), Counts::default());
}

fn asked(mut object: SealedSecret, request: &str) -> SealedSecret {
    object.metadata.annotations = Some(BTreeMap::from([(REQUESTED_AT.to_owned(), request.to_owned())]));
    object
}

fn answered(mut object: SealedSecret, request: &str) -> SealedSecret {
    object.status.as_mut().unwrap().last_handled_reconcile_at = Some(request.to_owned());
    object
}

#[test]
fn who_asks_for_a_pass_gets_one_although_all_is_in_sync() {
    let proof = proof(&object("1"), &version("7"));
    let synced = |version: &str| with_status(object(version), &proof);
    let mut index = Index::default();
    index.apply_object(&key(), seen(&synced("2")));
    index.apply_secret(&key(), &secret("7"));
    assert!(in_sync(&index));

    assert!(index.apply_object(&key(), seen(&asked(synced("3"), "a"))));
    assert!(!in_sync(&index));
    assert!(!index.has_handled(&key(), "a"));
    index.handled(&key(), Some("u1"), "a");
    assert!(in_sync(&index), "once, also if the status cannot say so");
    assert!(!index.apply_object(&key(), seen(&asked(synced("3"), "a"))), "told once more");
    assert!(!index.apply_object(&key(), seen(&answered(asked(synced("4"), "a"), "a"))));
    assert!(in_sync(&index));

    assert!(index.apply_object(&key(), seen(&answered(asked(synced("5"), "b"), "a"))), "another value");
    assert!(!in_sync(&index));
    index.handled(&key(), Some("u0"), "b");
    assert!(!in_sync(&index), "it was another object's");
}

#[test]
fn a_restart_handles_nothing_again_that_the_status_repeats() {
    let proof = proof(&object("1"), &version("7"));
    let synced = with_status(object("2"), &proof);
    let mut index = Index::default();
    index.apply_object(&key(), seen(&answered(asked(synced.clone(), "a"), "a")));
    index.apply_secret(&key(), &secret("7"));
    assert!(in_sync(&index));

    let mut index = Index::default();
    index.apply_object(&key(), seen(&asked(synced, "a")));
    index.apply_secret(&key(), &secret("7"));
    assert!(!in_sync(&index), "it was asked while nobody was there");
}

#[test]
fn retained_secrets_are_known_like_others() {
    let retaining = Owner { deletion_policy: DeletionPolicy::Retain, ..owner() };
    let mut retained = secret("7");
    retaining.hold(&mut retained);
    assert_eq!(retained.owner_references, None);

    let mut index = Index::default();
    let input = Input::of(None, &object("1").spec, DeletionPolicy::Retain);
    let opened_with = vec![key_id()];
    let marker = marker_key().mark("u1", &input, &version("7"), &opened_with);
    let synced = with_status(object("2"), &Proof { marker, opened_with });
    index.apply_object(&key(), Seen::of(&synced, DeletionPolicy::Retain));
    index.apply_secret(&key(), &retained);
    assert!(in_sync(&index));
    assert_eq!(index.counts(), Counts { objects: 1, synced: 1, collected: 0, retained: 1 });
    assert!(index.is_tied_otherwise(&key(), &owner()) && !index.is_tied_otherwise(&key(), &retaining));
    assert!(!index.is_tied_otherwise(&key(), &Owner { uid: "u2".into(), ..owner() }), "another's");
    let mut changed = retained.clone();
    changed.resource_version = Some("8".into());
    assert!(index.apply_secret(&key(), &changed), "drift");
    assert!(index.delete_secret(&key()), "deletion");

    // Under another default, or with a word of its own, the same object asks for something else.
    index.apply_secret(&key(), &retained);
    index.apply_object(&key(), seen(&synced));
    assert!(!in_sync(&index));
}

#[test]
fn a_tie_that_is_changed_back_each_time_is_changed_again_later_and_later() {
    let mut index = Index::default();
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    assert!(index.may_retie(&key(), start), "nobody's");
    index.apply_object(&key(), seen(&object("1")));
    assert!((0..3).all(|_| index.may_retie(&key(), start)));
    assert!(!index.may_retie(&key(), start));
    assert!(index.may_retie(&key(), after(1)) && !index.may_retie(&key(), after(2)));
    assert!(index.may_retie(&key(), after(3)) && !index.may_retie(&key(), after(6)));
    assert!(index.may_retie(&key(), after(7)));
    let allowed = (0..3600).filter(|second| index.may_retie(&key(), after(8 + second))).count();
    assert!((12..20).contains(&allowed), "{allowed} in an hour");

    // An object that asks for something else, and one that was left in peace for long, are changed at once.
    let mut changed = object("2");
    changed.spec.encrypted_data.insert("b".into(), "AAAA".into());
    index.apply_object(&key(), seen(&changed));
    assert!((0..3).all(|_| index.may_retie(&key(), after(3610))));
    assert!(!index.may_retie(&key(), after(3610)));
    assert!((0..3).all(|_| index.may_retie(&key(), after(4300))));
}
