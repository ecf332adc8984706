//! Backups: the opening keys of a cluster as one file, encrypted to people's age keys and signed by the cluster.
//!
//! ```text
//!   key Secrets, publisher Secret ──Backup::new──▶ Backup ──seal──▶ text of a file
//!   text of a file ──Archive::verify──▶ Archive (signature and ciphertext fit) ──open──▶ Backup (content fits too)
//! ```
//!
//! The file is JSON, `{"version":1,"publisher":"…","signature":"…","contents":"…","archive":"…"}`. `contents` is a JSON
//! text for everybody to read ([`Contents`]); `archive` is an armored age file that holds a `List` of Secrets. The
//! signature is Ed25519 of the publisher key over `privyseal.dev/backup/v1` + LF + `contents`, and `contents` holds the
//! digest of the age file. So whoever has no identity can still tell that a file is whole and whose it is, and nothing
//! that a stranger made or changed is ever decrypted. Whether the publisher may be believed is for trust to decide.
//!
//! What was decrypted is held against `contents` once more: the same keys, in the same states, both halves of each.
//!
//! Plaintext is in wiping types from the Secrets to the encryptor and back. One copy is out of our hands: age's writer
//! drops its last chunk without wiping it.
//!
//! Recipients are age keys of the two kinds that sealed values have; post-quantum keys go to post-quantum recipients only
//! ([`BackupRecipients`]). Plugins and SSH keys would bring code that runs
//! elsewhere, and a passphrase is guessed offline.

mod contents;
mod recipients;

pub use contents::{Contents, KeyRecord, KeyState};
pub use recipients::{BackupRecipients, ClassicalRecipients};

use crate::key_secret::{self, NotAKey};
use crate::publisher_secret::{PUBLISHER_SECRET, publisher_of};
use age::armor::{ArmoredReader, ArmoredWriter, Format};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::Fingerprint;
use privyseal_envelope::age::{self as envelope, Identity, OpenError, Recipient};
use privyseal_keys::{KeyringEntry, PublisherError, PublisherKey, PublisherPublicKey};
use privyseal_manifest::{DocumentError, Secret, names, read};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::io::{Read as _, Write as _};
use zeroize::Zeroizing;

/// Keeps a signature over contents from being one over anything else.
const DOMAIN: &[u8] = b"privyseal.dev/backup/v1\n";

/// The keys of a cluster in the clear.
pub struct Backup {
    publisher: Secret,
    publisher_key: PublisherKey,
    /// Newest first.
    keys: Vec<BackupKey>,
}

/// A key of a backup: its Secret, and what that is checked to hold.
pub struct BackupKey {
    secret: Secret,
    entry: KeyringEntry,
}

impl Backup {
    /// From Secrets as the API server gave them. What the server made of them (uid, owners, and the like) is dropped.
    ///
    /// # Errors
    /// If one of them is not what it should be.
    pub fn new(publisher: Secret, keys: Vec<Secret>) -> Result<Self, BackupError> {
        let publisher_key = publisher_of(&publisher).map_err(|error| BackupError::NotAKey {
            secret: PUBLISHER_SECRET.to_owned(),
            reason: error.to_string(),
        })?;
        let mut keys = keys.into_iter().map(BackupKey::new).collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| {
            (Reverse(key.entry.certificate().map(|c| c.not_before())), key.name().to_owned())
        });
        Ok(Self { publisher: cleaned(publisher), publisher_key, keys })
    }

    /// The keys, newest first.
    pub fn keys(&self) -> &[BackupKey] {
        &self.keys
    }

    /// The Secret with the publisher key.
    pub fn publisher(&self) -> &Secret {
        &self.publisher
    }

    /// The publisher key.
    pub fn publisher_key(&self) -> &PublisherKey {
        &self.publisher_key
    }

    /// The keys as a keyring takes them.
    pub fn into_entries(self) -> impl Iterator<Item = KeyringEntry> {
        self.keys.into_iter().map(|key| key.entry)
    }

    /// Whether it holds a key that a quantum computer does not break.
    pub fn holds_post_quantum(&self) -> bool {
        let mut identities = self.keys.iter().flat_map(|key| key.entry.identities());
        identities.any(|identity| identity.kind().is_post_quantum())
    }

    /// The text of the file. `cluster` is a name for people, `namespace` that of the Secrets.
    ///
    /// # Errors
    /// If it holds post-quantum keys and the recipients are classical and not allowed to be, or if the cryptographic
    /// library has no randomness.
    pub fn seal(
        &self,
        cluster: &str,
        namespace: &str,
        recipients: &BackupRecipients,
        now: Timestamp,
    ) -> Result<String, BackupError> {
        let recipients = match self.holds_post_quantum() {
            true => recipients.for_post_quantum()?,
            false => recipients.all(),
        };
        let ciphertext = envelope::encrypt(&self.to_list(), recipients).map_err(|_| BackupError::Encrypt)?;
        let contents = Contents {
            time: now,
            cluster: cluster.to_owned(),
            namespace: namespace.to_owned(),
            keys: self.records(),
            recipients: recipients.iter().map(Recipient::to_string).collect(),
            digest: Fingerprint::of(&ciphertext),
        };
        let contents = contents.to_text();
        let text = FileText {
            version: 1,
            publisher: self.publisher_key.public_key().to_string(),
            signature: STANDARD.encode(self.publisher_key.sign(&signed_bytes(&contents))),
            contents,
            archive: armor(&ciphertext)?,
        };
        Ok(serde_json::to_string_pretty(&text).expect("strings and numbers are JSON") + "\n")
    }

    fn records(&self) -> Vec<KeyRecord> {
        self.keys.iter().map(BackupKey::record).collect()
    }

    /// A `List`, as `kubectl apply` takes it.
    fn to_list(&self) -> Zeroizing<Vec<u8>> {
        const HEAD: &[u8] = br#"{"apiVersion":"v1","kind":"List","items":["#;
        const TAIL: &[u8] = b"]}\n";
        let secrets = std::iter::once(&self.publisher).chain(self.keys.iter().map(|key| &key.secret));
        let items: Vec<_> = secrets.map(Secret::to_json).collect();
        let len = HEAD.len() + TAIL.len() + items.iter().map(|item| item.len() + 1).sum::<usize>();
        // The whole capacity at once: growing would leave a copy behind.
        let mut list = Zeroizing::new(Vec::with_capacity(len));
        list.extend_from_slice(HEAD);
        for (index, item) in items.iter().enumerate() {
            list.extend_from_slice(if index == 0 { b"" } else { b"," });
            list.extend_from_slice(item);
        }
        list.extend_from_slice(TAIL);
        list
    }

    fn from_list(list: &[u8]) -> Result<Self, BackupError> {
        let documents = read(list, "decrypted archive")?.into_iter();
        let secrets = documents.map(|document| document.into_secret()).collect::<Result<Vec<_>, _>>()?;
        let is_publisher = |secret: &Secret| secret.metadata.name.as_deref() == Some(PUBLISHER_SECRET);
        let (publisher, keys): (Vec<_>, Vec<_>) = secrets.into_iter().partition(is_publisher);
        let [publisher] = <[Secret; 1]>::try_from(publisher).map_err(|_| BackupError::Content)?;
        Self::new(publisher, keys)
    }
}

impl BackupKey {
    fn new(secret: Secret) -> Result<Self, BackupError> {
        let entry = key_secret::from_secret(&secret).map_err(|reason: NotAKey| BackupError::NotAKey {
            secret: secret.metadata.name.clone().unwrap_or_default(),
            reason: reason.to_string(),
        })?;
        Ok(Self { secret: cleaned(secret), entry })
    }

    /// The Secret, without what the API server adds.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The key in it.
    pub fn entry(&self) -> &KeyringEntry {
        &self.entry
    }

    /// The name of the Secret.
    pub fn name(&self) -> &str {
        self.secret.metadata.name.as_deref().unwrap_or_default()
    }

    /// What the contents say of it.
    pub fn record(&self) -> KeyRecord {
        KeyRecord {
            fingerprint: self.entry.fingerprint(),
            recipients: self.entry.fingerprints()[1..].to_vec(),
            secret: self.name().to_owned(),
            state: KeyState::of(&self.secret.metadata),
            compromised: key_secret::is_compromised(&self.secret.metadata),
        }
    }
}

/// A file whose signature fits the publisher that it names, and whose encrypted part is the one that was signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    contents: Contents,
    publisher: PublisherPublicKey,
    ciphertext: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    version: u64,
    publisher: String,
    signature: String,
    contents: String,
    archive: String,
}

#[derive(Deserialize)]
struct VersionText {
    version: u64,
}

impl Archive {
    /// Whether a text wants to be such a file: what else it is, is for [`Archive::verify`] to say.
    pub fn looks_like_one(text: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Look {
            #[serde(rename = "contents")]
            _contents: serde::de::IgnoredAny,
            #[serde(rename = "archive")]
            _archive: serde::de::IgnoredAny,
        }
        text.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<Look>(text).is_ok()
    }

    /// Reads the file and checks all that can be checked without an identity.
    ///
    /// Who the publisher is, is for trust to decide: the caller compares [`Archive::publisher`].
    ///
    /// # Errors
    /// If it is no such file, or one that was changed.
    pub fn verify(text: &[u8]) -> Result<Self, BackupError> {
        // The version first: a later one may have fields that this release does not know.
        let VersionText { version } = serde_json::from_slice(text).map_err(|_| BackupError::Malformed)?;
        if version != 1 {
            return Err(BackupError::Version { version });
        }
        let text: FileText = serde_json::from_slice(text).map_err(|_| BackupError::Malformed)?;
        let publisher: PublisherPublicKey = text.publisher.parse().map_err(BackupError::Publisher)?;
        let signature = STANDARD.decode(&text.signature).map_err(|_| PublisherError::Signature);
        publisher
            .verify(&signed_bytes(&text.contents), &signature.map_err(BackupError::Publisher)?)
            .map_err(BackupError::Publisher)?;
        let contents = Contents::parse(&text.contents)?;
        let ciphertext = dearmor(&text.archive).ok_or(BackupError::Ciphertext)?;
        match Fingerprint::of(&ciphertext) == contents.digest {
            true => Ok(Self { contents, publisher, ciphertext }),
            false => Err(BackupError::Ciphertext),
        }
    }

    /// What is in it.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Who signed it.
    pub fn publisher(&self) -> PublisherPublicKey {
        self.publisher
    }

    /// Decrypts it, and holds what is in it against what it says is in it.
    ///
    /// # Errors
    /// If no identity fits, or the archive holds something else than it says.
    pub fn open(&self, identities: &[Identity]) -> Result<Backup, BackupError> {
        let list = envelope::decrypt(&self.ciphertext, identities).map_err(|error| match error {
            OpenError::NoMatch => BackupError::NoIdentity { recipients: self.contents.recipients.clone() },
            _ => BackupError::Decrypt,
        })?;
        let backup = Backup::from_list(&list)?;
        let is_what_it_says =
            backup.publisher_key.public_key() == self.publisher && backup.records() == self.contents.keys;
        if is_what_it_says { Ok(backup) } else { Err(BackupError::Content) }
    }
}

/// What people and the controller put on a Secret stays; what the API server made of it does not.
fn cleaned(secret: Secret) -> Secret {
    let ObjectMeta { name, namespace, labels, mut annotations, .. } = secret.metadata;
    // It repeats the key, and would be wrong at the next place.
    if let Some(annotations) = &mut annotations {
        for copy in names::LAST_APPLIED {
            annotations.remove(copy);
        }
    }
    let metadata = ObjectMeta { name, namespace, labels, annotations, ..ObjectMeta::default() };
    Secret { metadata, ..secret }
}

fn signed_bytes(contents: &str) -> Vec<u8> {
    [DOMAIN, contents.as_bytes()].concat()
}

fn armor(ciphertext: &[u8]) -> Result<String, BackupError> {
    let mut writer =
        ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).map_err(|_| BackupError::Encrypt)?;
    let text =
        writer.write_all(ciphertext).and_then(|()| writer.finish()).map_err(|_| BackupError::Encrypt)?;
    String::from_utf8(text).map_err(|_| BackupError::Encrypt)
}

fn dearmor(text: &str) -> Option<Vec<u8>> {
    let mut ciphertext = Vec::with_capacity(text.len());
    ArmoredReader::new(text.as_bytes()).read_to_end(&mut ciphertext).ok()?;
    Some(ciphertext)
}

/// A backup cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// Another file.
    #[error("not a backup of privyseal")]
    Malformed,
    /// Written by a later release.
    #[error("version {version} is not known to this release; it knows version 1")]
    Version {
        /// What it says.
        version: u64,
    },
    /// The publisher, or the signature.
    #[error("{0}")]
    Publisher(#[source] PublisherError),
    /// Not the age file that was signed for.
    #[error("the encrypted part is damaged, or belongs to another backup")]
    Ciphertext,
    /// The library refused.
    #[error("it cannot be encrypted")]
    Encrypt,
    /// Its keys would be less safe in it than they are.
    #[error(transparent)]
    Classical(#[from] ClassicalRecipients),
    /// It is encrypted to others.
    #[error("none of the identities opens it; it is encrypted to {}", recipients.join(", "))]
    NoIdentity {
        /// To whom it says it is encrypted.
        recipients: Vec<String>,
    },
    /// The age file does not decrypt.
    #[error("the encrypted part does not decrypt")]
    Decrypt,
    /// The signer put something else into it than the signature says.
    #[error("it holds other keys than it says")]
    Content,
    /// What was decrypted cannot be read.
    #[error("{0}")]
    Document(#[from] DocumentError),
    /// A Secret that is no key.
    #[error("the Secret {secret} is not what it should be: {reason}")]
    NotAKey {
        /// Its name.
        secret: String,
        /// Why, without a byte of it.
        reason: String,
    },
}

#[cfg(test)]
mod tests;
