//! Custody `cluster`: opening keys in Secrets of the controller's own namespace.

use crate::backup::{Backup, BackupError};
use crate::key_secret::{self, NotAKey};
use crate::{ApiError, MADE_BY, MakerMark, SecretApi, Unreadable};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use privyseal_envelope::{Fingerprint, Item, KeyError, Plaintext};
use privyseal_keys::{Certificate, KeyPair, KeyringEntry, PublisherError, PublisherKey, PublisherPublicKey};
use privyseal_manifest::{Secret, names};
use std::collections::{BTreeMap, BTreeSet};

/// The Secret that keeps the publisher key.
pub const PUBLISHER_SECRET: &str = "privyseal-publisher-key";
const PUBLISHER_ITEM: &str = "publisher.key";
const FIELD_MANAGER: &str = "privyseal-custody";

/// Key Secrets of one namespace.
#[derive(Clone)]
pub struct ClusterCustody {
    secrets: SecretApi,
    namespace: String,
    prefix: String,
}

/// What a look at the key Secrets gave.
#[derive(Default)]
pub struct Loaded {
    /// Usable keys.
    pub entries: Vec<KeyringEntry>,
    /// The marks of their maker that are there: claims, to be checked against a publisher key and a certificate.
    pub maker_marks: Vec<MakerMark>,
    /// Keys that are marked as compromised, retired ones too.
    pub compromised: BTreeSet<Fingerprint>,
    /// Usable keys whose successor is asked for.
    pub rotation_asked: BTreeSet<Fingerprint>,
    /// Secrets that say they are keys and are none.
    pub left_out: Vec<LeftOut>,
}

/// A Secret that says it is a key, and why it is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why, without a byte of it.
    pub reason: String,
}

impl ClusterCustody {
    /// For the namespace that holds the keys; new ones get names with this prefix.
    pub fn new(client: Client, namespace: &str, prefix: &str) -> Self {
        Self {
            secrets: SecretApi::new(client, namespace),
            namespace: namespace.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    /// The label selector of keys, usable or retired.
    pub fn selector() -> &'static str {
        names::SEALED_SECRETS_KEY
    }

    /// Reads all keys. A bad one is left out and told; the others are used.
    pub async fn load(&self) -> Result<Loaded, CustodyError> {
        Ok(Loaded::of(self.secrets.list(Self::selector()).await?))
    }

    /// Stores a new key and the mark of its maker; gives the name that the API server chose.
    pub async fn create(&self, pair: &KeyPair, mark: &MakerMark) -> Result<String, CustodyError> {
        Ok(self.create_labelled(pair, mark, names::KEY_ACTIVE).await?.0)
    }

    /// Stores a new key and the mark of its maker, not to be used yet.
    pub async fn create_pending(&self, pair: &KeyPair, mark: &MakerMark) -> Result<PendingKey, CustodyError> {
        let (_, secret) = self.create_labelled(pair, mark, names::KEY_PENDING).await?;
        // What was encoded a moment ago decodes.
        PendingKey::of(secret).map_err(|reason| CustodyError::Pending { reason: reason.to_string() })
    }

    async fn create_labelled(
        &self,
        pair: &KeyPair,
        mark: &MakerMark,
        label: &str,
    ) -> Result<(String, Secret), CustodyError> {
        let mut secret = key_secret::to_secret(pair, &self.prefix, Some(&self.namespace))?;
        key_secret::set_label(&mut secret.metadata, label);
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.insert(MADE_BY.to_owned(), mark.as_str().to_owned());
        secret.metadata = self.secrets.create(&secret, FIELD_MANAGER).await?;
        Ok((secret.metadata.name.clone().unwrap_or_default(), secret))
    }

    /// Keys that are not used yet, whoever made them. What is no key is left out.
    pub async fn pending(&self) -> Result<Vec<PendingKey>, CustodyError> {
        let selector = format!("{}={}", names::SEALED_SECRETS_KEY, names::KEY_PENDING);
        let secrets = self.secrets.list(&selector).await?;
        Ok(secrets.into_iter().flatten().filter_map(|secret| PendingKey::of(secret).ok()).collect())
    }

    /// Puts a key into use, if its Secret is still the one that was read.
    pub async fn activate(&self, key: &PendingKey) -> Result<(), CustodyError> {
        self.secrets.replace(&key.activated(), FIELD_MANAGER).await?;
        Ok(())
    }

    /// The publisher key, if there is one.
    pub async fn publisher(&self) -> Result<Option<PublisherKey>, CustodyError> {
        let Some(secret) = self.secrets.get(PUBLISHER_SECRET).await? else { return Ok(None) };
        publisher_of(&secret).map(Some)
    }

    /// Stores a new publisher key; fails if there is one already.
    pub async fn create_publisher(&self, key: &PublisherKey) -> Result<(), CustodyError> {
        self.secrets.create(&publisher_secret(key, &self.namespace), FIELD_MANAGER).await?;
        Ok(())
    }
}

/// The Secret that keeps a publisher key.
pub fn publisher_secret(key: &PublisherKey, namespace: &str) -> Secret {
    let item = Item::parse(PUBLISHER_ITEM).expect("a constant that is an item name");
    Secret {
        metadata: ObjectMeta {
            name: Some(PUBLISHER_SECRET.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        immutable: Some(true),
        data: BTreeMap::from([(item, Plaintext::from(key.to_pem().as_bytes()))]),
    }
}

/// The publisher key in a Secret, which no SealedSecret made.
pub fn publisher_of(secret: &Secret) -> Result<PublisherKey, CustodyError> {
    let unusable = |reason: String| CustodyError::Publisher { reason };
    if key_secret::is_made_by_sealed_secret(&secret.metadata) {
        return Err(unusable(NotAKey::MadeBySealedSecret.to_string()));
    }
    let pem = secret.data.get(PUBLISHER_ITEM);
    let pem = pem.ok_or_else(|| unusable(NotAKey::ItemMissing { item: PUBLISHER_ITEM }.to_string()))?;
    PublisherKey::from_pem(pem.expose()).map_err(|error: PublisherError| unusable(error.to_string()))
}

/// A key that is made and not used yet. No `Debug`, `Display` or `Serialize`.
pub struct PendingKey {
    secret: Secret,
    entry: KeyringEntry,
}

impl PendingKey {
    /// The key in a Secret, whatever its label says.
    pub fn of(secret: Secret) -> Result<Self, NotAKey> {
        Ok(Self { entry: key_secret::from_secret(&secret)?, secret })
    }

    /// The fingerprint of its public half.
    pub fn fingerprint(&self) -> Fingerprint {
        self.entry.fingerprint()
    }

    /// The name of its Secret.
    pub fn name(&self) -> &str {
        self.secret.metadata.name.as_deref().unwrap_or_default()
    }

    /// When it was made.
    pub fn not_before(&self) -> Option<Timestamp> {
        self.entry.certificate().map(Certificate::not_before)
    }

    /// Whether the holder of that publisher key made it.
    pub fn is_made_by(&self, publisher: &PublisherPublicKey) -> bool {
        let mark = MakerMark::of(&self.secret.metadata);
        mark.zip(self.entry.certificate())
            .is_some_and(|(mark, certificate)| mark.proves(publisher, certificate))
    }

    /// A backup of this key alone, as it will be once it is in use.
    pub fn to_backup(&self, publisher: &PublisherKey, namespace: &str) -> Result<Backup, BackupError> {
        Backup::new(publisher_secret(publisher, namespace), vec![self.activated()])
    }

    fn activated(&self) -> Secret {
        let mut secret = self.secret.clone();
        key_secret::set_label(&mut secret.metadata, names::KEY_ACTIVE);
        secret.metadata.managed_fields = None;
        secret
    }
}

impl Loaded {
    fn of(secrets: Vec<Result<Secret, Unreadable>>) -> Self {
        let mut loaded = Self::default();
        for secret in secrets {
            match secret {
                Ok(secret) => loaded.add(&secret),
                Err(unreadable) => loaded.left_out.push(unreadable.into()),
            }
        }
        loaded
    }

    /// A retired key is looked at only if it is marked as compromised. It has to be a whole key like any other: were a
    /// certificate enough, whoever may create a Secret could have every key revoked.
    fn add(&mut self, secret: &Secret) {
        let (is_active, is_compromised) =
            (key_secret::is_active(&secret.metadata), key_secret::is_compromised(&secret.metadata));
        if !is_active && !is_compromised {
            return;
        }
        let entry = match key_secret::from_secret(secret) {
            Ok(entry) => entry,
            Err(reason) => {
                let name = secret.metadata.name.clone().unwrap_or_default();
                return self.left_out.push(LeftOut { name, reason: reason.to_string() });
            }
        };
        if is_compromised {
            self.compromised.insert(entry.fingerprint());
        }
        if is_active {
            if key_secret::is_rotation_asked(&secret.metadata) {
                self.rotation_asked.insert(entry.fingerprint());
            }
            self.maker_marks.extend(MakerMark::of(&secret.metadata));
            self.entries.push(entry);
        }
    }
}

impl From<Unreadable> for LeftOut {
    fn from(Unreadable { name, error }: Unreadable) -> Self {
        Self { name, reason: error.to_string() }
    }
}

/// Keys cannot be read or stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CustodyError {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A key cannot be encoded.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key that was just made does not read back.
    #[error("the new key does not read back: {reason}")]
    Pending {
        /// What is wrong with it.
        reason: String,
    },
    /// The Secret with the publisher key is damaged.
    #[error("the Secret {PUBLISHER_SECRET} holds no usable publisher key: {reason}")]
    Publisher {
        /// What is wrong with it.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(PendingKey: std::fmt::Debug, std::fmt::Display);

    use jiff::SignedDuration;
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

    #[test]
    fn a_compromised_key_opens_while_it_is_active_and_is_known_when_it_is_retired() {
        let [good, leaked] = [("good", false), ("leaked", true)].map(|(name, c)| secret(name, "active", c));
        let [old, gone] = [("old", false), ("gone", true)].map(|(name, c)| secret(name, "retired", c));
        let (compromised, all) = ([leaked.1, gone.1], [good, leaked, old, gone]);
        let loaded = Loaded::of(all.into_iter().map(|(secret, _)| Ok(secret)).collect());
        let held: Vec<_> = loaded.entries.iter().map(KeyringEntry::source).collect();
        assert_eq!(held, ["good", "leaked"]);
        assert_eq!(loaded.compromised, BTreeSet::from(compromised));
        assert_eq!(loaded.left_out, []);
    }

    #[test]
    fn a_pending_key_neither_opens_nor_seals_and_is_backed_up_as_it_will_be() {
        let (pending, fingerprint) = secret("new", names::KEY_PENDING, false);
        let loaded = Loaded::of(vec![Ok(pending.clone())]);
        assert!(loaded.entries.is_empty() && loaded.left_out.is_empty());
        let key = PendingKey::of(pending).ok().unwrap();
        let publisher = PublisherKey::generate().ok().unwrap();
        assert!(!key.is_made_by(&publisher.public_key()), "it has no mark");
        let backup = key.to_backup(&publisher, "privyseal").ok().unwrap();
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
        let loaded = Loaded::of(vec![Ok(asked.0), Ok(retired.0), Ok(other.0)]);
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
        let loaded = Loaded::of(vec![Ok(no_key), Ok(planted)]);
        assert_eq!(loaded.compromised, BTreeSet::new());
        assert_eq!(
            loaded.left_out.iter().map(|left| left.name.as_str()).collect::<Vec<_>>(),
            ["no-key", "planted"]
        );
    }
}
