use super::*;
use crate::publisher_secret::publisher_secret;
use crate::{MADE_BY, MakerMark};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use privyseal_envelope::age::Recipients;
use privyseal_envelope::rsa::KeySize;
use privyseal_keys::KeyPair;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static_assertions::assert_not_impl_any!(Backup: std::fmt::Debug, std::fmt::Display, Serialize);
static_assertions::assert_not_impl_any!(BackupKey: std::fmt::Debug, std::fmt::Display, Serialize);

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// The key Secret of a cluster, as the API server gives it.
fn key_secret(name: &str, hours: i64, label: &str, annotations: &[(&str, &str)]) -> Secret {
    let since = now() - SignedDuration::from_hours(hours);
    let pair =
        KeyPair::generate(KeySize::Rsa2048, "", since, SignedDuration::from_hours(87_600)).ok().unwrap();
    let mut secret = key_secret::to_secret(&pair, "", Some("privyseal")).unwrap();
    let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    secret.metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some("privyseal".to_owned()),
        labels: Some(BTreeMap::from([text(&(names::SEALED_SECRETS_KEY, label)), text(&("team", "a"))])),
        annotations: Some(annotations.iter().map(text).collect()),
        uid: Some("uid-of-the-old-cluster".to_owned()),
        resource_version: Some("7".to_owned()),
        owner_references: Some(vec![OwnerReference {
            kind: "Application".into(),
            ..OwnerReference::default()
        }]),
        ..ObjectMeta::default()
    };
    secret
}

struct Fixture {
    publisher: PublisherKey,
    identity: Identity,
    backup: Backup,
    text: String,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let publisher = PublisherKey::generate().ok().unwrap();
    let marks = [(MADE_BY, "v1:abc"), (names::KUBECTL_LAST_APPLIED, "{\"data\":{}}")];
    let keys = vec![
        key_secret("old", 48, "retired", &[(key_secret::COMPROMISED, "2026-11-23T00:00:00Z")]),
        key_secret("new", 24, "active", &marks),
    ];
    let backup = Backup::new(publisher_secret(&publisher, "privyseal"), keys).ok().unwrap();
    let identity = Identity::generate_hybrid().unwrap();
    let text = backup.seal("prod-eu", "privyseal", &to(&identity), now()).unwrap();
    Fixture { publisher, identity, backup, text }
});

fn to(identity: &Identity) -> BackupRecipients {
    BackupRecipients::new(Recipients::new([identity.recipient()]).unwrap(), false)
}

/// The file with one of its fields changed.
fn with_field(text: &str, field: &str, value: &str) -> Vec<u8> {
    let mut file: serde_json::Value = serde_json::from_str(text).unwrap();
    file[field] = value.into();
    file.to_string().into_bytes()
}

fn field(text: &str, field: &str) -> String {
    let file: serde_json::Value = serde_json::from_str(text).unwrap();
    file[field].as_str().unwrap().to_owned()
}

/// The file as somebody signs it who may say of the archive what they like.
fn signed_by(publisher: &PublisherKey, contents: &str, archive: &str) -> Vec<u8> {
    serde_json::to_vec(&FileText {
        version: 1,
        publisher: publisher.public_key().to_string(),
        signature: STANDARD.encode(publisher.sign(&signed_bytes(contents))),
        contents: contents.to_owned(),
        archive: archive.to_owned(),
    })
    .unwrap()
}

fn refused(text: &[u8]) -> BackupError {
    match Archive::verify(text) {
        Err(error) => error,
        Ok(_) => panic!("it was taken"),
    }
}

#[test]
fn everything_that_counts_comes_back_and_nothing_else() {
    let Fixture { publisher, identity, backup, text } = &*FIXTURE;
    let archive = Archive::verify(text.as_bytes()).unwrap();
    assert!(archive.publisher() == publisher.public_key());
    let contents = archive.contents();
    assert_eq!((contents.time, contents.cluster.as_str()), (now(), "prod-eu"));
    assert_eq!(contents.recipients, [identity.recipient().to_string()]);
    let told: Vec<_> =
        contents.keys.iter().map(|key| (key.secret.as_str(), key.state, key.compromised)).collect();
    assert_eq!(told, [("new", KeyState::Active, false), ("old", KeyState::Retired, true)], "newest first");

    let stranger = Identity::generate_hybrid().unwrap();
    let opened = archive
        .open(&[stranger, envelope::identities(&identity.to_text()).ok().unwrap().remove(0)])
        .ok()
        .unwrap();
    assert!(opened.publisher == backup.publisher);
    assert_eq!(opened.records(), contents.keys);
    let new = &opened.keys()[0];
    assert!(new.secret().data == backup.keys()[0].secret().data);
    assert_eq!(new.entry().fingerprint(), contents.keys[0].fingerprint);
    let ObjectMeta { name, namespace, labels, annotations, .. } = new.secret().metadata.clone();
    assert_eq!((name.as_deref(), namespace.as_deref()), (Some("new"), Some("privyseal")));
    assert_eq!(labels.unwrap()["team"], "a");
    assert_eq!(annotations.unwrap().into_keys().collect::<Vec<_>>(), [MADE_BY]);
    assert_eq!(MakerMark::of(&new.secret().metadata).unwrap().as_str(), "v1:abc");
    let metadata = &new.secret().metadata;
    assert!(
        metadata.uid.is_none() && metadata.resource_version.is_none() && metadata.owner_references.is_none()
    );
}

#[test]
fn no_byte_of_a_key_is_outside_of_the_encrypted_part() {
    let Fixture { backup, text, .. } = &*FIXTURE;
    let list = backup.to_list();
    assert!(str::from_utf8(&list).unwrap().contains("\"tls.key\""));
    let text = text.replace("\\n", "");
    for value in backup.keys().iter().flat_map(|key| key.secret().data.values()) {
        let value = value.to_base64();
        assert!(!text.contains(&value[..40]) && !text.contains(&value[value.len() - 40..]));
    }
    assert!(!text.contains("PRIVATE KEY") && !text.contains("tls.key"));
}

#[test]
fn one_flipped_bit_anywhere_is_refused_before_anything_is_decrypted() {
    let text = FIXTURE.text.as_bytes();
    for index in 0..text.len() {
        let mut flipped = text.to_vec();
        flipped[index] ^= 1 << (index % 8);
        assert!(Archive::verify(&flipped).is_err(), "byte {index} of {}", text.len());
    }
    // Upper case says the same in base64 of no byte: the other bit that JSON and base64 could both let pass.
    for index in (0..text.len()).filter(|index| text[*index].is_ascii_alphabetic()) {
        let mut flipped = text.to_vec();
        flipped[index] ^= 0x20;
        assert!(Archive::verify(&flipped).is_err(), "byte {index} of {}", text.len());
    }
}

#[test]
fn a_truncated_file_and_junk_are_refused() {
    let text = FIXTURE.text.trim_end().as_bytes();
    for len in (0..text.len()).step_by(97).chain([text.len() - 1]) {
        assert!(matches!(refused(&text[..len]), BackupError::Malformed), "{len}");
    }
    for junk in [vec![b'{'; 1 << 20], vec![0xff; 1 << 20], b"[".repeat(1 << 20), b"null".to_vec(), vec![]] {
        assert!(matches!(refused(&junk), BackupError::Malformed));
        assert!(!Archive::looks_like_one(&junk));
    }
    assert!(Archive::looks_like_one(text));
    let junk = "A".repeat(1 << 20);
    for part in ["publisher", "signature", "contents"] {
        assert!(
            matches!(refused(&with_field(&FIXTURE.text, part, &junk)), BackupError::Publisher(_)),
            "{part}"
        );
    }
    for armored in [junk.clone(), format!("-----BEGIN AGE ENCRYPTED FILE-----\n{junk}"), String::new()] {
        let changed = with_field(&FIXTURE.text, "archive", &armored);
        assert!(matches!(refused(&changed), BackupError::Ciphertext));
    }
}

#[test]
fn a_truncated_archive_and_that_of_another_backup_are_refused() {
    let Fixture { backup, identity, text, .. } = &*FIXTURE;
    let other = backup.seal("prod-eu", "privyseal", &to(identity), now()).unwrap();
    assert_ne!(&other, text, "two files of the same keys differ");
    let ciphertext = dearmor(&field(text, "archive")).unwrap();
    for archive in [
        field(&other, "archive"),
        armor(&ciphertext[..ciphertext.len() - 1]).unwrap(),
        armor(&[&ciphertext[..], b"x"].concat()).unwrap(),
    ] {
        assert!(matches!(refused(&with_field(text, "archive", &archive)), BackupError::Ciphertext));
    }
    let mixed = with_field(text, "contents", &field(&other, "contents"));
    assert!(matches!(refused(&mixed), BackupError::Publisher(PublisherError::Signature)));
}

#[test]
fn a_strangers_signature_names_the_stranger_or_does_not_fit() {
    let Fixture { publisher, text, .. } = &*FIXTURE;
    let stranger = PublisherKey::generate().ok().unwrap();
    let (contents, archive) = (field(text, "contents"), field(text, "archive"));
    let signed = signed_by(&stranger, &contents, &archive);
    let taken = Archive::verify(&signed).unwrap();
    assert!(taken.publisher() == stranger.public_key(), "trust sees who it is");
    let renamed =
        with_field(str::from_utf8(&signed).unwrap(), "publisher", &publisher.public_key().to_string());
    assert!(matches!(refused(&renamed), BackupError::Publisher(PublisherError::Signature)));
    // The publisher key signs other texts too: none of them may pass for a backup.
    let bare = STANDARD.encode(publisher.sign(contents.as_bytes()));
    assert!(matches!(refused(&with_field(text, "signature", &bare)), BackupError::Publisher(_)));
    // Whoever signs it again under another name cannot make the content fit: it holds the publisher key.
    assert!(matches!(taken.open(std::slice::from_ref(&FIXTURE.identity)).err(), Some(BackupError::Content)));
}

#[test]
fn what_is_in_it_must_be_what_it_says() {
    let Fixture { publisher, identity, backup, text } = &*FIXTURE;
    let archive = field(text, "archive");
    let contents = field(text, "contents");
    let mine = std::slice::from_ref(identity);
    for (from, to) in [
        ("\"retired\"", "\"active\""),
        ("\"secret\":\"new\"", "\"secret\":\"older\""),
        (",\"compromised\":true", ""),
    ] {
        let changed = contents.replacen(from, to, 1);
        assert_ne!(changed, contents);
        let opened = Archive::verify(&signed_by(publisher, &changed, &archive)).unwrap().open(mine);
        assert!(matches!(opened.err(), Some(BackupError::Content)), "{from}");
    }

    // An archive of another content under right contents: halves that differ, no publisher, not a list.
    let mut mixed = backup.keys()[0].secret().clone();
    mixed.data = backup.keys()[1].secret().data.clone();
    mixed.data.insert(
        privyseal_envelope::Item::parse("tls.crt").unwrap(),
        backup.keys()[0].secret().data["tls.crt"].clone(),
    );
    let list = |secrets: &[&Secret]| {
        let items: Vec<_> =
            secrets.iter().map(|s| String::from_utf8(s.to_json().to_vec()).unwrap()).collect();
        format!(r#"{{"apiVersion":"v1","kind":"List","items":[{}]}}"#, items.join(","))
    };
    let cases = [
        list(&[backup.publisher(), &mixed]),
        list(&[backup.keys()[0].secret(), backup.keys()[1].secret()]),
        list(&[backup.publisher(), backup.publisher()]),
        "hunter2: [".to_owned(),
        String::new(),
    ];
    for plaintext in cases {
        let ciphertext = envelope::encrypt(plaintext.as_bytes(), to(identity).all()).unwrap();
        let contents =
            Contents { digest: Fingerprint::of(&ciphertext), ..Contents::parse(&contents).unwrap() };
        let file = signed_by(publisher, &contents.to_text(), &armor(&ciphertext).unwrap());
        let error = Archive::verify(&file).unwrap().open(mine).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[test]
fn who_has_no_identity_opens_nothing() {
    let archive = Archive::verify(FIXTURE.text.as_bytes()).unwrap();
    for identities in [vec![], vec![Identity::generate_x25519(), Identity::generate_hybrid().unwrap()]] {
        let error = archive.open(&identities).err().unwrap();
        assert!(matches!(error, BackupError::NoIdentity { .. }));
        assert!(error.to_string().contains(&FIXTURE.identity.recipient().to_string()));
    }
}

#[test]
fn a_later_version_is_told_as_such() {
    let later = FIXTURE.text.replacen("\"version\": 1", "\"version\": 2, \"new\": true", 1);
    assert!(matches!(refused(later.as_bytes()), BackupError::Version { version: 2 }));
}

#[test]
fn a_secret_that_is_no_key_is_named() {
    let mut bad = key_secret("bad", 1, "active", &[]);
    bad.data.remove("tls.key");
    let publisher = publisher_secret(&FIXTURE.publisher, "privyseal");
    let error = Backup::new(publisher.clone(), vec![bad.clone()]).err().unwrap();
    assert_eq!(error.to_string(), "the Secret bad is not what it should be: it has no item tls.key");
    assert!(Backup::new(bad, vec![]).is_err());
    assert!(Backup::new(publisher, vec![]).is_ok());
}

#[test]
fn classical_recipients_get_post_quantum_keys_only_if_they_are_allowed_to() {
    let Fixture { publisher, backup, .. } = &*FIXTURE;
    let classical = Identity::generate_x25519();
    let recipients =
        |allowed| BackupRecipients::new(Recipients::new([classical.recipient()]).unwrap(), allowed);
    assert!(backup.holds_post_quantum());
    let refused = backup.seal("", "privyseal", &recipients(false), now());
    assert!(matches!(refused, Err(BackupError::Classical(_))));
    let text = backup.seal("", "privyseal", &recipients(true), now()).unwrap();
    assert!(Archive::verify(text.as_bytes()).unwrap().open(std::slice::from_ref(&classical)).is_ok());

    // Keys that a quantum computer breaks anyway, as the peer's, may go to anybody.
    let mut secret = key_secret("bare", 1, "active", &[]);
    for (item, start) in [("tls.crt", "age1"), ("tls.key", "AGE-SECRET-KEY-")] {
        let text = String::from_utf8(secret.data[item].expose().to_vec()).unwrap();
        let text = privyseal_envelope::Plaintext::from(&text.as_bytes()[..text.find(start).unwrap()]);
        secret.data.insert(privyseal_envelope::Item::parse(item).unwrap(), text);
    }
    let bare = Backup::new(publisher_secret(publisher, "privyseal"), vec![secret]).ok().unwrap();
    assert!(!bare.holds_post_quantum());
    let text = bare.seal("", "privyseal", &recipients(false), now()).unwrap();
    assert!(Archive::verify(text.as_bytes()).unwrap().contents().keys[0].recipients.is_empty());
}
