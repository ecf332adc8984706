//! Escrowed backups: the archive of one new key as a ConfigMap, stored before that key is used.
//!
//! It holds nothing that an archive in a file would not: what is secret is encrypted to people's age keys. So a
//! ConfigMap will do, and whoever fetches it needs no right to read Secrets.

use crate::backup::{Archive, KeyState};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::Fingerprint;
use privyseal_envelope::age::{Recipient, Recipients};
use privyseal_keys::PublisherPublicKey;
use std::collections::{BTreeMap, BTreeSet};

/// Names of such ConfigMaps begin with it; the key id follows.
pub const NAME_PREFIX: &str = "privyseal-escrow-";
/// Label of such ConfigMaps, by which they are found.
pub const LABEL: &str = "privyseal.dev/escrow";
/// The value of [`LABEL`].
pub const BACKUP: &str = "backup";
const ITEM: &str = "key.backup";

/// The name of the ConfigMap for a key.
pub fn name(key: Fingerprint) -> String {
    format!("{NAME_PREFIX}{}", key.key_id())
}

/// The label selector that finds them all.
pub fn selector() -> String {
    format!("{LABEL}={BACKUP}")
}

/// The ConfigMap for a key, with the text of its archive.
pub fn to_config_map(key: Fingerprint, namespace: &str, archive: String) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name(key)),
            namespace: Some(namespace.to_owned()),
            labels: Some(BTreeMap::from([(LABEL.to_owned(), BACKUP.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(ITEM.to_owned(), archive)])),
        ..ConfigMap::default()
    }
}

/// The text of the archive, unchecked.
pub fn text(config_map: &ConfigMap) -> Option<&str> {
    config_map.data.as_ref()?.get(ITEM).map(String::as_str)
}

/// Whether this is a backup of that key, and of no other, which this publisher signed for these recipients. `key` is all that
/// the key goes by: the fingerprint that names it, and those of the recipients of its identities.
///
/// Nobody here can decrypt it. That it holds the key is what the publisher signed, digest of the encrypted part included.
pub fn holds(
    archive: &str,
    key: &[Fingerprint],
    publisher: &PublisherPublicKey,
    recipients: &Recipients,
) -> bool {
    let Ok(archive) = Archive::verify(archive.as_bytes()) else { return false };
    let contents = archive.contents();
    let wanted: BTreeSet<String> = recipients.iter().map(Recipient::to_string).collect();
    let [record] = contents.keys.as_slice() else { return false };
    archive.publisher() == *publisher
        && key.split_first() == Some((&record.fingerprint, record.recipients.as_slice()))
        && record.state == KeyState::Active
        && contents.recipients.iter().cloned().collect::<BTreeSet<_>>() == wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{Backup, BackupRecipients};
    use crate::key_secret;
    use crate::publisher_secret::publisher_secret;
    use jiff::{SignedDuration, Timestamp};
    use privyseal_envelope::age::Identity;
    use privyseal_envelope::rsa::KeySize;
    use privyseal_keys::{KeyPair, PublisherKey};
    use privyseal_manifest::{Secret, names};

    fn key() -> (Secret, Vec<Fingerprint>) {
        let hour = SignedDuration::from_hours(1);
        let pair = KeyPair::generate(KeySize::Rsa2048, "", Timestamp::UNIX_EPOCH, hour).ok().unwrap();
        let secret = key_secret::to_secret(&pair, "key", Some("privyseal")).unwrap();
        (secret, pair.public_half().fingerprints().collect())
    }

    #[test]
    fn only_a_backup_of_this_key_by_this_publisher_for_these_people_counts() {
        let [ours, stranger] = [0, 1].map(|_| PublisherKey::generate().ok().unwrap());
        let [a, b] = [0, 1].map(|_| Identity::generate_hybrid().unwrap().recipient());
        let ((first, all), (second, other)) = (key(), key());
        let (fingerprint, other) = (all[0], other[0]);
        let archive = |publisher: &PublisherKey, keys: &[&Secret], recipients: &[Recipient]| {
            let recipients = Recipients::new(recipients.iter().cloned()).unwrap();
            let recipients = BackupRecipients::new(recipients, false);
            let keys = keys.iter().map(|key| (*key).clone()).collect();
            let backup = Backup::new(publisher_secret(publisher, "privyseal"), keys).ok().unwrap();
            backup.seal("", "privyseal", &recipients, Timestamp::UNIX_EPOCH).unwrap()
        };
        let both = [a.clone(), b.clone()];
        let mut pending = first.clone();
        pending
            .metadata
            .labels
            .as_mut()
            .unwrap()
            .insert(names::SEALED_SECRETS_KEY.into(), names::KEY_PENDING.into());
        let good = archive(&ours, &[&first], &both);
        let reversed = Recipients::new([b, a]).unwrap();
        let holds_all = |text: &str, key: &[Fingerprint]| holds(text, key, &ours.public_key(), &reversed);
        let holds = |text: &str| holds_all(text, &all);
        assert!(holds(&good));
        // The same key with other identities, or without any.
        assert!(!holds_all(&good, &[fingerprint, other, all[2]]) && !holds_all(&good, &all[..1]));
        let mut bare = first.clone();
        for (item, secret) in [("tls.crt", "age1"), ("tls.key", "AGE-SECRET-KEY-")] {
            let text = String::from_utf8(first.data[item].expose().to_vec()).unwrap();
            let text = &text[..text.find(secret).unwrap()];
            let item = privyseal_envelope::Item::parse(item).unwrap();
            bare.data.insert(item, privyseal_envelope::Plaintext::from(text.as_bytes()));
        }
        let bare = archive(&ours, &[&bare], &both);
        assert!(!holds(&bare) && holds_all(&bare, &all[..1]));
        for (bad, why) in [
            (archive(&stranger, &[&first], &both), "a stranger signed it"),
            (archive(&ours, &[&second], &both), "another key"),
            (archive(&ours, &[&first, &second], &both), "more than it"),
            (archive(&ours, &[&pending], &both), "it would come back as pending"),
            (archive(&ours, &[&first], &both[..1]), "one of them could not open it"),
            (good.replacen("backup", "backuq", 1).replacen("MII", "MIJ", 1) + "x", "changed"),
            (good[..good.len() / 2].to_owned(), "truncated"),
            (String::new(), "nothing"),
        ] {
            assert!(!holds(&bad), "{why}");
        }
        let map = to_config_map(fingerprint, "privyseal", good.clone());
        assert_eq!(text(&map), Some(good.as_str()));
        assert_eq!(map.metadata.name.unwrap(), format!("privyseal-escrow-{}", fingerprint.key_id()));
        assert_ne!(name(fingerprint), name(other));
    }
}
