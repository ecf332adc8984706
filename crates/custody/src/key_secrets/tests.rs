use super::*;
use crate::Unreadable;
use std::collections::BTreeMap;

static_assertions::assert_not_impl_any!(StoredKey: std::fmt::Debug, std::fmt::Display);

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use privyseal_envelope::rsa::KeySize;

fn secret(name: &str, label: &str, compromised: bool) -> (Secret, Fingerprint) {
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    let pair = KeyPair::generate(KeySize::Rsa2048, "", now, SignedDuration::from_hours(1)).ok().unwrap();
    let mut secret = key_secret::to_secret(&pair, "", None).unwrap();
    secret.metadata.name = Some(name.to_owned());
    secret.metadata.labels = Some(BTreeMap::from([(names::SEALED_SECRETS_KEY.into(), label.into())]));
    let mark = (key_secret::COMPROMISED.to_owned(), "2026-11-24T12:00:00Z".to_owned());
    secret.metadata.annotations = compromised.then(|| BTreeMap::from([mark]));
    (secret, pair.fingerprint())
}

/// As [`KeySecrets::load`] does without a vault.
fn load(secrets: Vec<Result<Secret, Unreadable>>) -> Loaded {
    let (mut loaded, wanted) = Loaded::of(secrets);
    for wanted in wanted {
        let Half::Clear(private) = &wanted.look.half else { panic!("there is no vault") };
        let opened = key_secret::entry_of(&wanted.look.subject, private).map_err(NotOpened::Unusable);
        loaded.add(wanted, opened);
    }
    loaded
}

#[test]
fn a_compromised_key_opens_while_it_is_active_and_is_known_when_it_is_retired() {
    let [good, leaked] = [("good", false), ("leaked", true)].map(|(name, c)| secret(name, "active", c));
    let [old, gone] = [("old", false), ("gone", true)].map(|(name, c)| secret(name, "retired", c));
    let goes_by = |secret: &Secret| key_secret::from_secret(secret).unwrap().fingerprints().to_vec();
    let compromised: BTreeSet<_> = [&leaked.0, &gone.0].into_iter().flat_map(goes_by).collect();
    assert_eq!(compromised.len(), 6, "a certificate and two recipients each");
    let all = [good, leaked, old, gone];
    let loaded = load(all.into_iter().map(|(secret, _)| Ok(secret)).collect());
    let held: Vec<_> = loaded.entries.iter().map(KeyringEntry::source).collect();
    assert_eq!(held, ["good", "leaked"]);
    assert_eq!(loaded.compromised, compromised);
    assert_eq!(loaded.left_out, []);
}

#[test]
fn a_pending_key_neither_opens_nor_seals_and_is_backed_up_as_it_will_be() {
    let (pending, fingerprint) = secret("new", names::KEY_PENDING, false);
    let loaded = load(vec![Ok(pending.clone())]);
    assert!(loaded.entries.is_empty() && loaded.left_out.is_empty());
    let key = StoredKey::of(pending).ok().unwrap();
    let publisher = PublisherKey::generate().ok().unwrap();
    assert!(!key.is_made_by(&publisher.public_key()), "it has no mark");
    let backup = key.to_backup(&publisher, "privyseal", Timestamp::UNIX_EPOCH).ok().unwrap();
    assert!(key_secret::was_in_clear(&backup.keys()[0].secret().metadata), "it lies in the cluster");
    let record = backup.keys()[0].record();
    assert_eq!((record.fingerprint, record.state), (fingerprint, crate::backup::KeyState::Active));
}

#[test]
fn a_successor_is_asked_for_by_a_mark_on_a_key_that_is_used() {
    let marked = |name, label| {
        let (mut secret, fingerprint) = secret(name, label, false);
        let mark = (key_secret::ROTATE.to_owned(), String::new());
        secret.metadata.annotations = Some(BTreeMap::from([mark]));
        (secret, fingerprint)
    };
    let (asked, retired, other) =
        (marked("asked", "active"), marked("retired", "retired"), secret("other", "active", false));
    let wanted = BTreeSet::from([asked.1]);
    let loaded = load(vec![Ok(asked.0), Ok(retired.0), Ok(other.0)]);
    assert_eq!(loaded.rotation_asked, wanted);
    assert_eq!(loaded.compromised, BTreeSet::new());
}

#[test]
fn nobody_revokes_a_key_that_they_do_not_hold() {
    let (mut no_key, _) = secret("no-key", "retired", true);
    no_key.data.remove("tls.key");
    let (mut planted, _) = secret("planted", "active", true);
    planted.metadata.owner_references = Some(vec![OwnerReference {
        api_version: names::SEALED_SECRET_API_VERSION.into(),
        kind: names::SEALED_SECRET_KIND.into(),
        ..OwnerReference::default()
    }]);
    // A whole key of somebody's own that shows our recipients as its own.
    let (ours, _) = secret("ours", "active", false);
    let (mut theirs, _) = secret("theirs", "retired", true);
    let text = |secret: &Secret| String::from_utf8(secret.data["tls.crt"].expose().to_vec()).unwrap();
    let (their_text, our_text) = (text(&theirs), text(&ours));
    let mixed = their_text[..their_text.find("age1pq1").unwrap()].to_owned()
        + &our_text[our_text.find("age1pq1").unwrap()..];
    theirs
        .data
        .insert(privyseal_envelope::Item::parse("tls.crt").unwrap(), Plaintext::from(mixed.as_bytes()));
    let loaded = load(vec![Ok(no_key), Ok(planted), Ok(theirs)]);
    assert_eq!(loaded.compromised, BTreeSet::new());
    assert_eq!(
        loaded.left_out.iter().map(|left| left.name.as_str()).collect::<Vec<_>>(),
        ["no-key", "planted", "theirs"]
    );
}
