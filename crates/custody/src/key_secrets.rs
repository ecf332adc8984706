//! The keys of one namespace: key Secrets, and what a vault keeps of them.
//!
//! ```text
//!   key Secrets ──Look::at──▶ public halves ──Memory, Custody::fetch──▶ Loaded { entries, waiting, left_out, … }
//!   KeyPair ──Custody::keep──▶ Half ──▶ key Secret                      create, adopt, settle
//! ```
//!
//! All that is known of a key but its private half is in its Secret, whatever the custody: so a key is created with one
//! write, moved from one custody to another with one write, and whoever is lost in between leaves the one or the other.

mod memory;
mod one_by_one;
mod publisher_secret;

pub use publisher_secret::{
    MOVING_SECRET, PUBLISHER_SECRET, publisher_kept_by, publisher_of, publisher_public_of, publisher_secret,
};

use crate::backup::{Backup, BackupError};
use crate::custody::{Custody, Failure, FailureKind, Found, Half, Kind, Public, Purpose, Reference, Subject};
use crate::key_secret::{self, Look, NotAKey};
use crate::{ApiError, InCluster, MADE_BY, MakerMark, SecretApi, Unreadable};
use jiff::Timestamp;
use kube::Client;
use memory::{Memory, Place};
use privyseal_envelope::rsa::OpeningKey;
use privyseal_envelope::{Fingerprint, KeyError, Plaintext};
use privyseal_keys::{
    Certificate, KeyPair, KeyPairError, KeyringEntry, PublisherKey, PublisherPublicKey, private_key,
};
use privyseal_manifest::{Secret, names};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

const FIELD_MANAGER: &str = "privyseal-custody";

/// The custodies that a process was started with.
#[derive(Clone)]
pub struct Custodies {
    keeping: Arc<dyn Custody>,
    vaults: Vec<Arc<dyn Custody>>,
    poll_interval: Duration,
}

impl Custodies {
    /// The cluster alone.
    pub fn cluster() -> Self {
        Self { keeping: Arc::new(InCluster), vaults: Vec::new(), poll_interval: Duration::MAX }
    }

    /// New private halves go to `keeping`; what any of `vaults` keeps is still read. A vault is asked again for what it
    /// did not give, and looked at for what is new, after `poll_interval`.
    pub fn new(keeping: Kind, vaults: Vec<Arc<dyn Custody>>, poll_interval: Duration) -> Self {
        let keeping = vaults.iter().find(|vault| vault.kind() == keeping).cloned();
        Self { keeping: keeping.unwrap_or_else(|| Arc::new(InCluster)), vaults, poll_interval }
    }

    /// Where new private halves go.
    pub fn keeping(&self) -> Kind {
        self.keeping.kind()
    }

    /// How often a vault is looked at; none without a vault.
    pub fn poll_interval(&self) -> Option<Duration> {
        (!self.vaults.is_empty()).then_some(self.poll_interval)
    }

    async fn fetch(&self, subject: &Subject, reference: &Reference) -> Result<Plaintext, Failure> {
        let vault = self.vaults.iter().find(|vault| vault.kind() == reference.kind());
        vault.unwrap_or(&self.keeping).fetch(subject, reference).await
    }
}

/// Keys of one namespace.
#[derive(Clone)]
pub struct KeySecrets {
    secrets: SecretApi,
    namespace: String,
    prefix: String,
    custodies: Custodies,
    /// One look at a time, so that no key is asked for twice.
    keys: Arc<Mutex<Memory<KeyringEntry>>>,
    publishers: Arc<Mutex<Memory<Arc<PublisherKey>>>>,
}

/// What a look at the keys gave.
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
    /// Usable keys whose private half lies in the cluster in the clear, or once did.
    pub in_clear: BTreeSet<Fingerprint>,
    /// Keys that a vault does not give now.
    pub waiting: Vec<Waiting>,
    /// When to look again for those.
    pub again: Option<Instant>,
    /// Secrets that say they are keys and are none.
    pub left_out: Vec<LeftOut>,
}

/// A key that its vault does not give now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The name of its Secret.
    pub secret: String,
    /// Its certificate: a claim, as long as nobody has seen the private half.
    pub certificate: Certificate,
    /// Why.
    pub failure: Failure,
}

/// A Secret that says it is a key, and why it is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why, without a byte of it.
    pub reason: String,
}

/// A key whose private half is not where it should be.
pub struct Unsettled {
    secret: Secret,
    look: Look,
}

/// A key that was found in a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The name of its new Secret.
    pub secret: String,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

impl Unsettled {
    /// The name of its Secret.
    pub fn name(&self) -> &str {
        &self.look.subject.secret
    }
}

impl KeySecrets {
    /// For the namespace that holds the keys; new ones get names with this prefix.
    pub fn new(client: Client, namespace: &str, prefix: &str, custodies: Custodies) -> Self {
        Self {
            secrets: SecretApi::new(client, namespace),
            namespace: namespace.to_owned(),
            prefix: prefix.to_owned(),
            keys: Arc::new(Mutex::new(Memory::new(custodies.poll_interval))),
            publishers: Arc::new(Mutex::new(Memory::new(custodies.poll_interval))),
            custodies,
        }
    }

    /// The label selector of keys, usable or retired.
    pub fn selector() -> &'static str {
        names::SEALED_SECRETS_KEY
    }

    /// Where private halves are kept.
    pub fn custodies(&self) -> &Custodies {
        &self.custodies
    }

    /// Reads all keys. A bad one is left out and told; the others are used. What a vault gave once it is not asked for
    /// again as long as its Secret is there.
    pub async fn load(&self) -> Result<Loaded, CustodyError> {
        let secrets = self.secrets.list(Self::selector()).await?;
        let mut memory = self.keys.lock().await;
        memory.begin();
        let (mut loaded, looks) = Loaded::of(secrets);
        let mut places = BTreeSet::new();
        for look in looks {
            let opened = match &look.look.half {
                Half::Clear(private) => {
                    key_secret::entry_of(&look.look.subject, private).map_err(NotOpened::Unusable)
                }
                Half::Kept(reference) => {
                    places.insert(place(&look.look.subject, reference));
                    self.open(&mut memory, &look.look.subject, reference).await
                }
            };
            loaded.add(look, opened);
        }
        memory.keep_only(|place| places.contains(place));
        loaded.again = memory.again();
        Ok(loaded)
    }

    /// Has the next look ask vaults for what they did not give, whatever the wait.
    pub async fn ask_again(&self) {
        self.keys.lock().await.forget_failures();
    }

    /// The key that a reference stands for: remembered, or from its vault.
    async fn open(
        &self,
        memory: &mut Memory<KeyringEntry>,
        subject: &Subject,
        reference: &Reference,
    ) -> Result<KeyringEntry, NotOpened> {
        let place = place(subject, reference);
        if let Some(remembered) = memory.recall(&place) {
            return remembered.map_err(NotOpened::Waiting);
        }
        let fetched = self.custodies.fetch(subject, reference).await;
        let opened = fetched.and_then(|private| {
            key_secret::entry_of(subject, &private).map_err(|reason| {
                Failure::new(FailureKind::Damaged, format!("what its vault keeps: {reason}"))
            })
        });
        match opened {
            Ok(entry) => {
                memory.hold(place, entry.clone());
                Ok(entry)
            }
            Err(failure) => {
                memory.fail(place, failure.clone());
                Err(NotOpened::Waiting(failure))
            }
        }
    }

    /// Stores a new key and the mark of its maker; gives the name of its Secret.
    pub async fn create(&self, pair: KeyPair, mark: MakerMark) -> Result<String, CustodyError> {
        Ok(self.create_labelled(pair, mark, names::KEY_ACTIVE).await?.name().to_owned())
    }

    /// Stores a new key and the mark of its maker, not to be used yet.
    pub async fn create_pending(&self, pair: KeyPair, mark: MakerMark) -> Result<PendingKey, CustodyError> {
        self.create_labelled(pair, mark, names::KEY_PENDING).await
    }

    async fn create_labelled(
        &self,
        pair: KeyPair,
        mark: MakerMark,
        label: &str,
    ) -> Result<PendingKey, CustodyError> {
        let subject = Subject {
            secret: self.name_for(pair.fingerprint()),
            public: Public::Sealing(pair.certificate().clone()),
            mark: Some(mark),
        };
        let entry = KeyringEntry::from_pair(&subject.secret, pair);
        let secret = self.keep(&subject, &entry, label).await?;
        Ok(PendingKey { secret, entry })
    }

    /// Gives the private half to the custody, then makes the Secret: one that is there has its private half.
    async fn keep(
        &self,
        subject: &Subject,
        entry: &KeyringEntry,
        label: &str,
    ) -> Result<Secret, CustodyError> {
        let private = private_key::to_pkcs1_pem(entry.opening_key())?;
        let kept = self.custodies.keeping.keep(subject, private.as_bytes()).await;
        let half = kept.map_err(|failure| CustodyError::Vault { secret: subject.secret.clone(), failure })?;
        self.create_secret(subject, entry, half, label).await
    }

    async fn create_secret(
        &self,
        subject: &Subject,
        entry: &KeyringEntry,
        half: Half,
        label: &str,
    ) -> Result<Secret, CustodyError> {
        let kept = match &half {
            Half::Kept(reference) => Some(place(subject, reference)),
            Half::Clear(_) => None,
        };
        let certificate = entry.certificate().ok_or(KeyError::Rejected)?;
        let mut secret = key_secret::secret_of(certificate, half, &self.prefix, Some(&self.namespace));
        secret.metadata.generate_name = None;
        secret.metadata.name = Some(subject.secret.clone());
        key_secret::set_label(&mut secret.metadata, label);
        if let Some(mark) = &subject.mark {
            let annotations = secret.metadata.annotations.get_or_insert_default();
            annotations.insert(MADE_BY.to_owned(), mark.as_str().to_owned());
        }
        secret.metadata = self.secrets.create(&secret, FIELD_MANAGER).await?;
        if let Some(place) = kept {
            self.keys.lock().await.hold(place, entry.clone());
        }
        Ok(secret)
    }

    /// The name of the Secret for a key. It follows from the key, so that one key gets one Secret.
    fn name_for(&self, key: Fingerprint) -> String {
        let key_id = key.key_id().to_string();
        format!("{}{}", self.prefix, &key_id[..NAME_DIGITS])
    }

    /// Keys that are not used yet, whoever made them. What is no key is left out; one that its vault does not give is an
    /// error, since another one must not be made in its place.
    pub async fn pending(&self) -> Result<Vec<PendingKey>, CustodyError> {
        let selector = format!("{}={}", names::SEALED_SECRETS_KEY, names::KEY_PENDING);
        let mut pending = Vec::new();
        for secret in self.secrets.list(&selector).await?.into_iter().flatten() {
            let Ok(look) = Look::at(&secret) else { continue };
            match self.opened(&look).await {
                Ok(entry) => pending.push(PendingKey { secret, entry }),
                Err(NotOpened::Unusable(_)) => {}
                Err(NotOpened::Waiting(failure)) => {
                    return Err(CustodyError::Vault { secret: look.subject.secret, failure });
                }
            }
        }
        Ok(pending)
    }

    async fn opened(&self, look: &Look) -> Result<KeyringEntry, NotOpened> {
        match &look.half {
            Half::Clear(private) => key_secret::entry_of(&look.subject, private).map_err(NotOpened::Unusable),
            Half::Kept(reference) => {
                let mut memory = self.keys.lock().await;
                memory.begin();
                self.open(&mut memory, &look.subject, reference).await
            }
        }
    }

    /// Puts a key into use, if its Secret is still the one that was read.
    pub async fn activate(&self, key: &PendingKey) -> Result<(), CustodyError> {
        self.secrets.replace(&key.activated(), FIELD_MANAGER).await?;
        Ok(())
    }

    /// A Secret with its private half in the clear, as a backup holds it.
    ///
    /// # Errors
    /// If it is no key, or its vault does not give the private half.
    pub async fn in_clear(&self, secret: &Secret) -> Result<Secret, CustodyError> {
        let name = || secret.metadata.name.clone().unwrap_or_default();
        let unusable = |reason: NotAKey| CustodyError::NotAKey { secret: name(), reason };
        let look = Look::at(secret).map_err(unusable)?;
        match self.opened(&look).await {
            Ok(entry) => Ok(in_clear(secret, &entry)?),
            Err(NotOpened::Unusable(reason)) => Err(CustodyError::NotAKey { secret: name(), reason }),
            Err(NotOpened::Waiting(failure)) => Err(CustodyError::Vault { secret: name(), failure }),
        }
    }

    /// Keys, in use or not, whose private half is not where it should be: with another custody than the one that this
    /// process was started with, or under an older key of the vault.
    pub async fn unsettled(&self) -> Result<Vec<Unsettled>, CustodyError> {
        let mut unsettled = Vec::new();
        for secret in self.secrets.list(Self::selector()).await?.into_iter().flatten() {
            let Ok(look) = Look::at(&secret) else { continue };
            if !self.is_settled(&look.subject.secret, &look.half).await? {
                unsettled.push(Unsettled { secret, look });
            }
        }
        Ok(unsettled)
    }

    async fn is_settled(&self, secret: &str, half: &Half) -> Result<bool, CustodyError> {
        let keeping = self.custodies.keeping();
        match half {
            Half::Clear(_) => Ok(keeping == Kind::Cluster),
            Half::Kept(reference) if reference.kind() != keeping => Ok(false),
            Half::Kept(reference) => {
                let current = self.custodies.keeping.is_current(reference).await;
                current.map_err(|failure| CustodyError::Vault { secret: secret.to_owned(), failure })
            }
        }
    }

    /// Keeps a private half where it should be, with one write: whoever is lost before it left all as it was. Its Secret
    /// says from then on if the private half was there in the clear.
    pub async fn settle(&self, key: Unsettled, now: Timestamp) -> Result<(), CustodyError> {
        let Unsettled { mut secret, look } = key;
        let name = look.subject.secret.clone();
        let entry = self.opened(&look).await.map_err(|error| match error {
            NotOpened::Unusable(reason) => CustodyError::NotAKey { secret: name.clone(), reason },
            NotOpened::Waiting(failure) => CustodyError::Vault { secret: name.clone(), failure },
        })?;
        let private = private_key::to_pkcs1_pem(entry.opening_key())?;
        let kept = self.custodies.keeping.keep(&look.subject, private.as_bytes()).await;
        let half = kept.map_err(|failure| CustodyError::Vault { secret: name, failure })?;
        let place = match &half {
            Half::Kept(reference) => Some(place(&look.subject, reference)),
            Half::Clear(_) => None,
        };
        key_secret::put_half(&mut secret.data, key_secret::PRIVATE_KEY_ITEM, half);
        let annotations = secret.metadata.annotations.get_or_insert_default();
        // They repeat the values.
        annotations.remove(names::KUBECTL_LAST_APPLIED);
        annotations.remove(names::KUBECFG_LAST_APPLIED);
        if matches!(look.half, Half::Clear(_)) {
            let since = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
            annotations.entry(key_secret::WAS_IN_CLEAR.to_owned()).or_insert(since);
        }
        secret.metadata.managed_fields = None;
        self.secrets.replace(&secret, FIELD_MANAGER).await?;
        if let Some(place) = place {
            self.keys.lock().await.hold(place, entry);
        }
        Ok(())
    }

    /// Makes Secrets of keys that the vault holds and no Secret tells of: keys that people brought, keys whose maker was
    /// lost before it made the Secret, keys of a cluster that was lost. `certify` makes the certificate of one that has
    /// none. What is no key is told by the vault's custody and left there.
    pub async fn adopt(
        &self,
        certify: impl Fn(&OpeningKey) -> Option<Certificate>,
    ) -> Result<Vec<Adopted>, CustodyError> {
        if self.custodies.poll_interval().is_none() {
            return Ok(Vec::new());
        }
        let secrets = self.secrets.list(Self::selector()).await?;
        let looks: Vec<_> =
            secrets.into_iter().flatten().filter_map(|secret| Look::at(&secret).ok()).collect();
        let known: Vec<_> = looks
            .iter()
            .filter_map(|look| match &look.half {
                Half::Kept(reference) => Some(reference.clone()),
                Half::Clear(_) => None,
            })
            .collect();
        let found = self.custodies.keeping.found(Purpose::Sealing, &known).await;
        let found = found.map_err(|failure| CustodyError::Vault { secret: String::new(), failure })?;
        let mut held: BTreeSet<_> = looks.iter().map(|look| look.subject.public.fingerprint()).collect();
        let mut adopted = Vec::new();
        for Found { reference, pem, mark } in found {
            let Ok(opening_key) = private_key::first_from_pem(pem.expose()) else { continue };
            let fingerprint = opening_key.fingerprint();
            let certificate = match Certificate::from_pem(pem.expose()) {
                Ok(certificate) if certificate.fingerprint() == fingerprint => Some(certificate),
                _ => certify(&opening_key),
            };
            let Some(certificate) = certificate else { continue };
            if !held.insert(fingerprint) {
                continue;
            }
            let secret = self.name_for(fingerprint);
            let subject =
                Subject { secret: secret.clone(), public: Public::Sealing(certificate.clone()), mark };
            let private = private_key::to_pkcs1_pem(&opening_key)?;
            let pair = KeyPair::from_pem(certificate.to_pem().as_bytes(), private.as_bytes());
            let pair = pair.map_err(|error: KeyPairError| CustodyError::NotAKey {
                secret: secret.clone(),
                reason: error.into(),
            })?;
            let entry = KeyringEntry::from_pair(&secret, pair);
            self.create_secret(&subject, &entry, Half::Kept(reference), names::KEY_ACTIVE).await?;
            adopted.push(Adopted { secret, fingerprint });
        }
        Ok(adopted)
    }
}

fn place(subject: &Subject, reference: &Reference) -> Place {
    Place {
        secret: subject.secret.clone(),
        reference: reference.clone(),
        fingerprint: subject.public.fingerprint(),
    }
}

/// The same Secret with its private half in the clear.
fn in_clear(secret: &Secret, entry: &KeyringEntry) -> Result<Secret, KeyError> {
    let private = private_key::to_pkcs1_pem(entry.opening_key())?;
    let mut secret = secret.clone();
    let half = Half::Clear(Plaintext::from(private.as_bytes()));
    key_secret::put_half(&mut secret.data, key_secret::PRIVATE_KEY_ITEM, half);
    Ok(secret)
}

/// A key that is made and not used yet. No `Debug`, `Display` or `Serialize`.
pub struct PendingKey {
    secret: Secret,
    entry: KeyringEntry,
}

impl PendingKey {
    /// The key in a Secret that holds its private half, whatever its label says.
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
        let secret = in_clear(&self.activated(), &self.entry).map_err(|error| BackupError::NotAKey {
            secret: self.name().to_owned(),
            reason: error.to_string(),
        })?;
        Backup::new(publisher_secret(publisher, namespace), vec![secret])
    }

    fn activated(&self) -> Secret {
        let mut secret = self.secret.clone();
        key_secret::set_label(&mut secret.metadata, names::KEY_ACTIVE);
        secret.metadata.managed_fields = None;
        secret
    }
}

/// A key Secret that is to be opened, and what its metadata say.
struct Wanted {
    look: Look,
    is_active: bool,
    is_compromised: bool,
    is_rotation_asked: bool,
    was_in_clear: bool,
}

/// Why a key is not opened.
enum NotOpened {
    Unusable(NotAKey),
    Waiting(Failure),
}

impl Loaded {
    /// Sorts Secrets into those that are none and those to open, newest first: the key that seals comes before all others.
    ///
    /// A retired key is looked at only if it is marked as compromised. It has to be a whole key like any other: were a
    /// certificate enough, whoever may create a Secret could have every key revoked.
    fn of(secrets: Vec<Result<Secret, Unreadable>>) -> (Self, Vec<Wanted>) {
        let (mut loaded, mut wanted) = (Self::default(), Vec::new());
        for secret in secrets {
            let secret = match secret {
                Ok(secret) => secret,
                Err(unreadable) => {
                    loaded.left_out.push(unreadable.into());
                    continue;
                }
            };
            let metadata = &secret.metadata;
            let (is_active, is_compromised) =
                (key_secret::is_active(metadata), key_secret::is_compromised(metadata));
            if !is_active && !is_compromised {
                continue;
            }
            match Look::at(&secret) {
                Ok(look) => wanted.push(Wanted {
                    look,
                    is_active,
                    is_compromised,
                    is_rotation_asked: key_secret::is_rotation_asked(metadata),
                    was_in_clear: key_secret::was_in_clear(metadata),
                }),
                Err(reason) => loaded.leave_out(metadata.name.clone().unwrap_or_default(), &reason),
            }
        }
        wanted.sort_by_key(|wanted| Reverse(wanted.look.certificate().map(Certificate::not_before)));
        (loaded, wanted)
    }

    fn add(&mut self, wanted: Wanted, opened: Result<KeyringEntry, NotOpened>) {
        let Wanted { look: Look { subject, half }, .. } = wanted;
        let entry = match opened {
            Ok(entry) => entry,
            Err(NotOpened::Unusable(reason)) => return self.leave_out(subject.secret, &reason),
            Err(NotOpened::Waiting(failure)) => {
                if failure.kind() == FailureKind::Damaged {
                    return self.leave_out(subject.secret, &NotAKey::Reference(failure));
                }
                // One that is retired is missed by nobody.
                if let (true, Public::Sealing(certificate)) = (wanted.is_active, subject.public) {
                    self.waiting.push(Waiting { secret: subject.secret, certificate, failure });
                }
                return;
            }
        };
        let fingerprint = entry.fingerprint();
        if wanted.is_compromised {
            self.compromised.insert(fingerprint);
        }
        if wanted.is_active {
            if wanted.is_rotation_asked {
                self.rotation_asked.insert(fingerprint);
            }
            if wanted.was_in_clear || matches!(half, Half::Clear(_)) {
                self.in_clear.insert(fingerprint);
            }
            self.maker_marks.extend(subject.mark);
            self.entries.push(entry);
        }
    }

    fn leave_out(&mut self, name: String, reason: &NotAKey) {
        self.left_out.push(LeftOut { name, reason: reason.to_string() });
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
    /// A Secret that is no key.
    #[error("the Secret {secret} is no key: {reason}")]
    NotAKey {
        /// Its name.
        secret: String,
        /// What is wrong with it.
        reason: NotAKey,
    },
    /// The Secret with the publisher key is damaged.
    #[error("the Secret {PUBLISHER_SECRET} holds no usable publisher key: {reason}")]
    Publisher {
        /// What is wrong with it.
        reason: String,
    },
    /// A vault does not give or take a private half.
    #[error("{failure}")]
    Vault {
        /// The Secret of the key; empty if it is about the vault as a whole.
        secret: String,
        /// Why.
        failure: Failure,
    },
}

/// Of a key id in the name of a Secret; names that the API server makes have five.
const NAME_DIGITS: usize = 8;

#[cfg(test)]
mod tests;
