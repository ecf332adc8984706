//! The verbs against each other, and against what must not open.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

use jiff::SignedDuration;
use privyseal_envelope::rsa::KeySize;
use privyseal_envelope::{Binding, Item, Name, Namespace, Plaintext, Scope};
use privyseal_keys::{KeyPair, Keyring, KeyringEntry};
use privyseal_manifest::Secret;
use privyseal_manifest::names;
use privyseal_manifest::sealed_secret::SealedSecret;
use privyseal_seal::{
    BindingError, IntoSecretError, ItemFailure, OpenError, SealError, SealTo, Sealing, Verdict, binding_of,
    inspect, open, seal,
};
use std::collections::BTreeMap;

fn keyring(names: &[&str]) -> Keyring {
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    let entry = |name: &&str| {
        let pair = KeyPair::generate(KeySize::Rsa2048, "", now, SignedDuration::from_hours(1)).ok().unwrap();
        KeyringEntry::from_pair(*name, pair)
    };
    Keyring::new(names.iter().map(entry).collect())
}

fn secret(scope: Scope) -> Secret {
    let mut secret = Secret { type_: Some("Opaque".into()), ..Secret::default() };
    secret.metadata.name = Some("db".into());
    secret.metadata.namespace = Some("team-a".into());
    secret.metadata.labels = Some(BTreeMap::from([("app".into(), "db".into())]));
    let mut annotations = BTreeMap::from([("note".to_owned(), "kept".to_owned())]);
    annotations.extend(names::LAST_APPLIED.map(|name| (name.to_owned(), "hunter2".to_owned())));
    names::set_scope(&mut annotations, scope);
    secret.metadata.annotations = Some(annotations);
    for (item, value) in [("password", "hunter2"), ("empty", "")] {
        secret.data.insert(Item::parse(item).unwrap(), Plaintext::from(value.as_bytes()));
    }
    secret
}

fn sealed(keyring: &Keyring, scope: Scope) -> SealedSecret {
    let key = keyring.entries()[0].certificate().unwrap().sealing_key();
    seal(&secret(scope), &Sealing { to: SealTo::Classic(key), scope: None, allow_empty: false }).unwrap()
}

fn value(opened: &privyseal_seal::Opened, item: &str) -> Vec<u8> {
    opened.values[item].expose().to_vec()
}

/// A Secret was copied out of a cluster where a tool had applied it.
#[test]
fn marks_of_a_tool_that_applied_the_secret_are_not_sealed() {
    let keyring = keyring(&["k"]);
    let key = keyring.entries()[0].certificate().unwrap().sealing_key();
    let mut secret = secret(Scope::Strict);
    let both = [("argocd.argoproj.io/tracking-id", "x"), ("meta.helm.sh/release-name", "x"), ("team", "x")];
    let map = || both.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    secret.metadata.labels = Some(map());
    secret.metadata.annotations = Some(map());
    let marks = ["argocd.argoproj.io/tracking-id", "meta.helm.sh/release-name"];
    assert_eq!(privyseal_seal::tracking(&secret.metadata), [marks, marks].concat());
    let how = Sealing { to: SealTo::Classic(key), scope: None, allow_empty: false };
    let sealed = seal(&secret, &how).unwrap();
    let template = sealed.spec.template.unwrap().metadata.unwrap();
    assert_eq!(template.labels.keys().collect::<Vec<_>>(), ["team"]);
    assert_eq!(template.annotations.keys().collect::<Vec<_>>(), ["team"]);
}

/// A Secret that a controller keeps is taken from the cluster, changed and sealed again.
#[test]
fn what_a_controller_noted_is_not_sealed_and_a_deletion_policy_is_the_objects() {
    let keyring = keyring(&["k"]);
    let key = keyring.entries()[0].certificate().unwrap().sealing_key();
    let mut secret = secret(Scope::Strict);
    let annotations = secret.metadata.annotations.as_mut().unwrap();
    annotations.insert(names::OWNER_UID.to_owned(), "u1".to_owned());
    annotations.insert(names::DELETION_POLICY.to_owned(), "Retain".to_owned());
    let how = Sealing { to: SealTo::Classic(key), scope: None, allow_empty: false };
    let sealed = seal(&secret, &how).unwrap();
    let template = sealed.spec.template.unwrap().metadata.unwrap().annotations;
    assert_eq!(template.keys().collect::<Vec<_>>(), ["note"]);
    assert_eq!(sealed.metadata.annotations.unwrap()[names::DELETION_POLICY], "Retain");
}

#[test]
fn what_is_sealed_opens_in_every_scope() {
    let keyring = keyring(&["k"]);
    for scope in Scope::ALL {
        let sealed = sealed(&keyring, scope);
        assert_eq!(names::scope_of(sealed.metadata.annotations.as_ref().unwrap()), scope);
        let opened = open(&sealed, &keyring, 10).ok().unwrap();
        assert_eq!(value(&opened, "password"), b"hunter2");
        assert_eq!(opened.private_operations, 2);
        let secret = opened.into_secret(&sealed).ok().unwrap();
        assert_eq!(secret.type_.as_deref(), Some("Opaque"));
        assert_eq!(secret.metadata.labels.unwrap()["app"], "db");
        assert_eq!(secret.metadata.annotations.unwrap()["note"], "kept");
    }
}

#[test]
fn nothing_of_the_plaintext_is_left_in_the_object() {
    let text = serde_json::to_string(&sealed(&keyring(&["k"]), Scope::Strict)).unwrap();
    assert!(!text.contains("hunter2") && text.contains("kept"));
    for name in names::LAST_APPLIED {
        assert!(!text.contains(name), "{name}");
    }
}

#[test]
fn a_flag_narrows_and_widens_both_places() {
    let keyring = keyring(&["k"]);
    let key = keyring.entries()[0].certificate().unwrap().sealing_key();
    for from in Scope::ALL {
        for to in Scope::ALL {
            let how = Sealing { to: SealTo::Classic(key), scope: Some(to), allow_empty: false };
            let sealed = seal(&secret(from), &how).unwrap();
            assert_eq!(names::scope_of(sealed.metadata.annotations.as_ref().unwrap()), to);
            let template = sealed.spec.template.as_ref().unwrap().metadata.as_ref().unwrap();
            assert_eq!(names::scope_of(&template.annotations), to);
            assert!(open(&sealed, &keyring, 10).is_ok());
        }
    }
}

#[test]
fn the_template_never_decides_the_scope() {
    let keyring = keyring(&["k"]);
    let mut sealed = sealed(&keyring, Scope::Strict);
    let template = sealed.spec.template.as_mut().unwrap().metadata.as_mut().unwrap();
    names::set_scope(&mut template.annotations, Scope::ClusterWide);
    assert!(open(&sealed, &keyring, 10).is_ok());
    let annotations = sealed.metadata.annotations.as_ref();
    assert!(matches!(binding_of(annotations, Some("a"), Some("b")), Ok(Binding::Strict { .. })));
}

#[test]
fn elsewhere_it_does_not_open() {
    let keyring = keyring(&["k"]);
    let mut moved = sealed(&keyring, Scope::Strict);
    moved.metadata.name = Some("other".into());
    let Err(OpenError::Items { failures, private_operations }) = open(&moved, &keyring, 10) else { panic!() };
    assert_eq!(private_operations, 2);
    assert!(failures.iter().all(|f| f.failure == ItemFailure::NoKeyOpens { tried: 1 }));
    // The other annotation does not help: widening is not opening.
    names::set_scope(moved.metadata.annotations.as_mut().unwrap(), Scope::ClusterWide);
    assert!(open(&moved, &keyring, 10).is_err());
}

#[test]
fn a_hint_saves_the_wrong_keys_and_a_lying_one_costs_one_attempt() {
    let ring = keyring(&["a", "b", "c"]);
    let oldest = ring.entries()[2].certificate().unwrap().sealing_key();
    let how = Sealing { to: SealTo::Classic(oldest), scope: None, allow_empty: false };
    let mut sealed = seal(&secret(Scope::Strict), &how).unwrap();
    assert_eq!(open(&sealed, &ring, 10).ok().unwrap().private_operations, 2);

    let annotations = sealed.metadata.annotations.as_mut().unwrap();
    let honest = annotations[names::SEALED_WITH].clone();
    let other = ring.entries()[0].fingerprint().key_id().to_string();
    let lying = honest.replace(&oldest.fingerprint().key_id().to_string(), &other);
    annotations.insert(names::SEALED_WITH.into(), lying);
    // First item: the lie, then b, then c. Second: the lie again, then newest first.
    let cost = open(&sealed, &ring, 10).ok().unwrap().private_operations;
    assert_eq!(cost, 6);

    sealed.metadata.annotations.as_mut().unwrap().remove(names::SEALED_WITH);
    // Without a hint the key of the item before comes first.
    assert_eq!(open(&sealed, &ring, 10).ok().unwrap().private_operations, 4);
}

#[test]
fn attempts_are_bounded() {
    let ring = keyring(&["a", "b", "c"]);
    let stranger = keyring(&["s"]);
    let foreign = sealed(&stranger, Scope::Strict);
    let Err(OpenError::Items { failures, private_operations }) = open(&foreign, &ring, 4) else { panic!() };
    assert_eq!(private_operations, 4);
    assert_eq!(failures[0].failure, ItemFailure::NoKeyOpens { tried: 3 });
    assert_eq!(failures[1].failure, ItemFailure::AttemptsSpent);
}

#[test]
fn what_cannot_be_sealed_says_why() {
    let keyring = keyring(&["k"]);
    let key = keyring.entries()[0].certificate().unwrap().sealing_key();
    let how = |scope| Sealing { to: SealTo::Classic(key), scope, allow_empty: false };
    let error = |change: fn(&mut Secret), scope| {
        let mut secret = secret(Scope::Strict);
        change(&mut secret);
        seal(&secret, &how(scope)).unwrap_err()
    };
    assert_eq!(error(|s| s.metadata.name = None, None), SealError::Binding(BindingError::NoName));
    assert_eq!(
        error(|s| s.metadata.namespace = None, None),
        SealError::Binding(BindingError::NoNamespace { scope: Scope::Strict })
    );
    assert_eq!(error(|s| s.data.clear(), None), SealError::Empty);
    assert_eq!(
        error(|s| s.metadata.name = None, Some(Scope::ClusterWide)),
        SealError::Binding(BindingError::NoName)
    );
    let large = |s: &mut Secret| {
        s.data.insert(Item::parse("large").unwrap(), Plaintext::new(vec![0; 1 << 20]));
    };
    assert!(matches!(error(large, None), SealError::TooLarge { .. }));
}

#[test]
fn malformed_items_fail_by_themselves() {
    let keyring = keyring(&["k"]);
    let mut object = sealed(&keyring, Scope::Strict);
    for (item, text) in [("a/b", "AAAA"), ("text", "no base64!"), ("age", "YWdlLWVuY3J5cHRpb24ub3JnL3YxCg==")]
    {
        object.spec.encrypted_data.insert(item.into(), text.into());
    }
    let Err(OpenError::Items { failures, .. }) = open(&object, &keyring, 10) else { panic!() };
    let failed: Vec<_> = failures.iter().map(|f| f.item.as_str()).collect();
    assert_eq!(failed, ["a/b", "age", "text"]);
}

#[test]
fn templates_and_legacy_blobs_are_refused_for_now() {
    let keyring = keyring(&["k"]);
    let mut object = sealed(&keyring, Scope::Strict);
    object.spec.template.as_mut().unwrap().data.insert("a".into(), Some("{{ .password }}".into()));
    let opened = open(&object, &keyring, 10).ok().unwrap();
    assert_eq!(opened.into_secret(&object).err(), Some(IntoSecretError::TemplateUnsupported));
    object.spec.data = Some(String::new());
    assert!(matches!(open(&object, &keyring, 10).err(), Some(OpenError::LegacyData)));
}

#[test]
fn inspect_tells_wrong_names_from_wrong_keys() {
    let ring = keyring(&["k"]);
    let fingerprint = ring.entries()[0].fingerprint();
    let object = sealed(&ring, Scope::Strict);

    let offline = inspect(&object, None, &[]);
    assert!(offline.items.iter().all(|i| i.claimed == [fingerprint.key_id()] && i.verdict.is_none()));
    assert!(offline.items.iter().all(|i| i.rsa_bits == Some(2048)));

    let verdict = |object: &SealedSecret, ring: &Keyring, names: &[privyseal_seal::Names]| {
        inspect(object, Some(ring), names).items[0].verdict.clone().unwrap()
    };
    assert_eq!(verdict(&object, &ring, &[]), Verdict::Opens { key: fingerprint });
    assert_eq!(verdict(&object, &keyring(&["s"]), &[]), Verdict::DoesNotOpen);

    let strict = |name| Binding::Strict {
        namespace: Namespace::parse("team-a").unwrap(),
        name: Name::parse(name).unwrap(),
    };
    let mut renamed = object.clone();
    renamed.metadata.name = Some("renamed".into());
    let found = Verdict::OpensUnder { key: fingerprint, binding: strict("db"), item: None };
    assert_eq!(verdict(&renamed, &ring, &[]), found, "the template still has the old name");
    renamed.spec.template = None;
    assert_eq!(verdict(&renamed, &ring, &[]), Verdict::DoesNotOpen);
    assert_eq!(verdict(&renamed, &ring, &[(Some("team-a".into()), Some("db".into()))]), found);

    let mut widened = object;
    names::set_scope(widened.metadata.annotations.as_mut().unwrap(), Scope::ClusterWide);
    assert_eq!(verdict(&widened, &ring, &[]), found);
}
