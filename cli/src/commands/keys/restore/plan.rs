//! What a restore does, decided before anything is done.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_custody::backup::{BackupKey, KeyState};
use privyseal_custody::custody::Public;
use privyseal_custody::key_secret::Look;
use privyseal_custody::{MADE_BY, MakerMark, key_secret};
use privyseal_envelope::Fingerprint;
use privyseal_keys::{PublisherKey, PublisherPublicKey};
use privyseal_manifest::Secret;
use std::collections::BTreeSet;

/// What is to be done with each key, and with the publisher key.
pub(super) struct Plan {
    /// In the order of the keys.
    pub(super) keys: Vec<Placement>,
    pub(super) publisher: PublisherStep,
    /// Key Secrets that are there and made by the publisher that is replaced, with a mark of the one that comes back.
    pub(super) marked_anew: Vec<Secret>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// The key is there, its age identities too, whatever its Secret is called and whatever its state is.
    There { secret: String },
    /// Under its own name.
    Create,
    /// Under a name that the API server makes, since its own is taken.
    CreateRenamed,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum PublisherStep {
    /// It is the same.
    Keep,
    /// There is none.
    Create,
    /// There is another one; none if it cannot be read, or its vault does not give it.
    Replace { there: Option<Fingerprint> },
}

impl Plan {
    /// `there` are the keys of the cluster that open, or may: of one that a vault keeps its certificate is believed.
    /// `taken` are names that any Secret has. `publisher` is whose Secret is there, and what is known of it.
    pub(super) fn new(
        restored: &PublisherKey,
        wanted: &[&BackupKey],
        there: &[Secret],
        taken: &[&str],
        publisher: Option<Option<PublisherPublicKey>>,
    ) -> Self {
        let looks: Vec<_> = there.iter().filter_map(|secret| Look::at(secret).ok()).collect();
        let holds = |look: &&Look, key: &BackupKey| match &look.subject.public {
            Public::Sealing(half) => {
                let parts: BTreeSet<_> = half.fingerprints().collect();
                key.entry().fingerprints().iter().all(|part| parts.contains(part))
            }
            Public::Publisher(_) => false,
        };
        let place = |key: &&BackupKey| match looks.iter().find(|look| holds(look, key)) {
            Some(look) => Placement::There { secret: look.subject.secret.clone() },
            None if taken.contains(&key.name()) => Placement::CreateRenamed,
            None => Placement::Create,
        };
        let step = match &publisher {
            None => PublisherStep::Create,
            Some(Some(key)) if *key == restored.public_key() => PublisherStep::Keep,
            Some(key) => PublisherStep::Replace { there: key.map(|key| key.fingerprint()) },
        };
        let replaced = publisher.flatten().filter(|_| matches!(step, PublisherStep::Replace { .. }));
        let anew = |replaced: PublisherPublicKey| {
            there.iter().filter_map(move |secret| marked_anew(secret, &replaced, restored)).collect()
        };
        Self {
            keys: wanted.iter().map(place).collect(),
            publisher: step,
            marked_anew: replaced.map(anew).unwrap_or_default(),
        }
    }
}

impl Placement {
    /// The Secret to create, with its private half. `named` gives it a name where the API server would make one.
    pub(super) fn secret(&self, key: &BackupKey, namespace: &str, named: bool) -> Secret {
        let mut secret = key.secret().clone();
        secret.metadata.namespace = Some(namespace.to_owned());
        if *self == Self::CreateRenamed {
            let prefix = key_secret::DEFAULT_PREFIX;
            secret.metadata.name = named.then(|| format!("{prefix}{}", key.entry().fingerprint().key_id()));
            secret.metadata.generate_name = (!named).then(|| prefix.to_owned());
        }
        secret
    }
}

pub(super) fn is_active(key: &BackupKey) -> bool {
    key.record().state == KeyState::Active
}

/// A key whose mark proves that the replaced publisher's leader made it. Of any other key nothing is said anew.
fn marked_anew(secret: &Secret, replaced: &PublisherPublicKey, restored: &PublisherKey) -> Option<Secret> {
    let look = Look::at(secret).ok()?;
    let Public::Sealing(key) = &look.subject.public else { return None };
    MakerMark::of(&secret.metadata).filter(|mark| mark.proves(replaced, key))?;
    let mut secret = secret.clone();
    let mark = MakerMark::make(restored, key);
    let ObjectMeta { annotations, managed_fields, .. } = &mut secret.metadata;
    annotations.get_or_insert_default().insert(MADE_BY.to_owned(), mark.as_str().to_owned());
    *managed_fields = None;
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{SignedDuration, Timestamp};
    use privyseal_custody::backup::Backup;
    use privyseal_custody::key_secrets::publisher_secret;
    use privyseal_envelope::rsa::KeySize;
    use privyseal_envelope::{Item, Plaintext};
    use privyseal_keys::KeyPair;
    use privyseal_manifest::names;
    use std::collections::BTreeMap;

    fn key(name: &str, label: &str, maker: Option<&PublisherKey>) -> Secret {
        let day = SignedDuration::from_hours(24);
        let pair = KeyPair::generate(KeySize::Rsa2048, "", Timestamp::UNIX_EPOCH, day).ok().unwrap();
        let mut secret = key_secret::to_secret(&pair, "", Some("old")).unwrap();
        secret.metadata.generate_name = None;
        secret.metadata.name = Some(name.to_owned());
        let labels = secret.metadata.labels.as_mut().unwrap();
        labels.insert(names::SEALED_SECRETS_KEY.to_owned(), label.to_owned());
        let mark = maker.map(|maker| MakerMark::make(maker, &pair.public_half()).as_str().to_owned());
        secret.metadata.annotations = mark.map(|mark| BTreeMap::from([(MADE_BY.to_owned(), mark)]));
        secret
    }

    fn publisher() -> PublisherKey {
        PublisherKey::generate().ok().unwrap()
    }

    #[test]
    fn what_is_there_is_left_and_a_name_that_is_taken_gives_way() {
        let ours = publisher();
        let [a, b, c] =
            [("a", "active"), ("b", "retired"), ("c", "active")].map(|(name, l)| key(name, l, None));
        let backup = Backup::new(publisher_secret(&ours, "old"), vec![a.clone(), b, c]).ok().unwrap();
        let wanted: Vec<_> = backup.keys().iter().collect();
        let mut renamed = a;
        renamed.metadata.name = Some("other".to_owned());
        // `b` is another key there, and `c` a Secret that is no key at all.
        let there = [renamed, key("b", "active", None)];
        let plan = Plan::new(&ours, &wanted, &there, &["b", "c"], None);
        let by_name: BTreeMap<_, _> = wanted.iter().map(|key| key.name()).zip(&plan.keys).collect();
        assert_eq!(by_name["a"], &Placement::There { secret: "other".to_owned() });
        assert_eq!(by_name["b"], &Placement::CreateRenamed);
        assert_eq!(by_name["c"], &Placement::CreateRenamed);
        assert_eq!(plan.publisher, PublisherStep::Create);

        let plan = Plan::new(&ours, &wanted, &[], &[], None);
        assert_eq!(plan.keys, [Placement::Create, Placement::Create, Placement::Create]);
        let retired = wanted.iter().find(|key| !is_active(key)).unwrap();
        let made = Placement::Create.secret(retired, "new", false);
        assert_eq!(made.metadata.namespace.as_deref(), Some("new"));
        assert_eq!(made.metadata.name.as_deref(), Some("b"));
        assert!(!key_secret::is_active(&made.metadata), "retired stays retired");
        let made = Placement::CreateRenamed.secret(retired, "new", false);
        assert_eq!(
            (made.metadata.name, made.metadata.generate_name.as_deref()),
            (None, Some("sealed-secrets-key"))
        );
        // A vault binds what it keeps to a name: there has to be one before.
        let made = Placement::CreateRenamed.secret(retired, "new", true);
        let name = format!("sealed-secrets-key{}", retired.entry().fingerprint().key_id());
        assert_eq!((made.metadata.name, made.metadata.generate_name), (Some(name), None));
    }

    /// The cluster's leader may have given the same RSA key others, or none yet; values are sealed to those of the backup.
    #[test]
    fn a_key_without_the_identities_of_the_backup_is_not_there() {
        let ours = publisher();
        let whole = key("a", "active", None);
        let backup = Backup::new(publisher_secret(&ours, "old"), vec![whole.clone()]).ok().unwrap();
        let wanted: Vec<_> = backup.keys().iter().collect();
        let mut bare = whole.clone();
        for item in ["tls.crt", "tls.key"] {
            let text = String::from_utf8(whole.data[item].expose().to_vec()).unwrap();
            let pem: String = text
                .lines()
                .filter(|line| !line.to_lowercase().starts_with("age"))
                .map(|line| format!("{line}\n"))
                .collect();
            bare.data.insert(Item::parse(item).unwrap(), Plaintext::new(pem.into_bytes()));
        }
        assert!(key_secret::from_secret(&bare).is_ok_and(|entry| entry.identities().is_empty()));
        assert_eq!(Plan::new(&ours, &wanted, &[bare], &["a"], None).keys, [Placement::CreateRenamed]);
        let there = Placement::There { secret: "a".to_owned() };
        assert_eq!(Plan::new(&ours, &wanted, &[whole], &["a"], None).keys, [there]);
    }

    #[test]
    fn a_publisher_that_differs_is_replaced_and_its_own_keys_alone_are_marked_anew() {
        let (ours, theirs, stranger) = (publisher(), publisher(), publisher());
        let backup =
            Backup::new(publisher_secret(&ours, "old"), vec![key("a", "active", Some(&ours))]).ok().unwrap();
        let wanted: Vec<_> = backup.keys().iter().collect();
        let made = [
            key("made", "active", Some(&theirs)),
            key("planted", "active", None),
            key("odd", "active", Some(&stranger)),
        ];
        let plan = Plan::new(&ours, &wanted, &made, &[], Some(Some(theirs.public_key())));
        let there = Some(theirs.public_key().fingerprint());
        assert_eq!(plan.publisher, PublisherStep::Replace { there });
        let [anew] = plan.marked_anew.as_slice() else { panic!("one of them") };
        assert_eq!(anew.metadata.name.as_deref(), Some("made"));
        let key = key_secret::from_secret(anew).ok().unwrap().public_half().unwrap();
        assert!(MakerMark::of(&anew.metadata).unwrap().proves(&ours.public_key(), &key));

        let plan = Plan::new(&ours, &wanted, &made, &[], Some(Some(ours.public_key())));
        assert_eq!(plan.publisher, PublisherStep::Keep);
        assert!(plan.marked_anew.is_empty());

        let plan = Plan::new(&ours, &wanted, &made, &[], Some(None));
        assert_eq!(plan.publisher, PublisherStep::Replace { there: None });
        assert!(plan.marked_anew.is_empty());
    }
}
