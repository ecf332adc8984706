//! Where the private halves of keys are kept: one small interface for the cluster and for every vault.
//!
//! A key is a Secret of the controller's namespace in every custody: its label, its annotations and its public half
//! are there. Only the private half differs: it is there too, or a [`Reference`] stands for it.
//!
//! ```text
//!   private half ──Custody::keep──▶ Half ──▶ key Secret ──▶ Half ──Custody::fetch──▶ private half
//! ```
//!
//! Another vault is one more file with an implementation of [`Custody`], and one more [`Reference`].

mod failure;
mod reference;

pub use failure::{Failure, FailureKind, back_off};
pub use reference::{Envelope, Reference, VaultSecret};

use crate::MakerMark;
use async_trait::async_trait;
use privyseal_envelope::{Fingerprint, Plaintext};
use privyseal_keys::{PublicHalf, PublisherPublicKey};
use std::fmt;

/// The name of a custody, as in flags and in what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// In key Secrets, in the clear for whoever may read them.
    Cluster,
    /// In secrets of an Azure Key Vault.
    KeyVaultSecret,
    /// In key Secrets, as ciphertext under a key of an Azure Key Vault.
    KeyVaultWrapped,
}

impl Kind {
    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::KeyVaultSecret => "key-vault-secret",
            Self::KeyVaultWrapped => "key-vault-wrapped",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a private half belongs to. A custody binds what it keeps to it, and gives it back for nothing else.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The name of the Secret.
    pub secret: String,
    /// The public half.
    pub public: Public,
    /// Who made the key, if that is known.
    pub mark: Option<MakerMark>,
}

/// The public half of a key.
#[derive(Clone, Debug)]
pub enum Public {
    /// Of a key that seals and opens.
    Sealing(PublicHalf),
    /// Of the publisher key.
    Publisher(PublisherPublicKey),
}

impl Public {
    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Sealing(public) => public.fingerprint(),
            Self::Publisher(publisher) => publisher.fingerprint(),
        }
    }
}

/// What stands in a key Secret for a private half.
pub enum Half {
    /// The private half itself, as a text: PEM, and the age identities beside it.
    Clear(Plaintext),
    /// Where it is.
    Kept(Reference),
}

impl Half {
    /// Which custody it is of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Clear(_) => Kind::Cluster,
            Self::Kept(reference) => reference.kind(),
        }
    }
}

/// Which keys are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Keys that seal and open.
    Sealing,
    /// The publisher key.
    Publisher,
}

/// A key that a vault holds and no key Secret tells of.
pub struct Found {
    /// Where it is.
    pub reference: Reference,
    /// What it consists of: a private key as PEM, and perhaps its certificate and age identities.
    pub pem: Plaintext,
    /// What the vault says of its maker: a claim, to be checked.
    pub mark: Option<MakerMark>,
}

/// Keeps private halves. Implementations bound their calls in time and number, and call nobody whom a [`Reference`]
/// names and the configuration does not.
#[async_trait]
pub trait Custody: Send + Sync {
    /// Which one it is.
    fn kind(&self) -> Kind;

    /// Keeps a private half (the text of it), reads it back, and gives what is to stand for it in its Secret.
    async fn keep(&self, subject: &Subject, private: &[u8]) -> Result<Half, Failure>;

    /// The private half (the text of it) that a reference stands for. The caller holds it against the public half.
    async fn fetch(&self, subject: &Subject, reference: &Reference) -> Result<Plaintext, Failure>;

    /// Whether what stands for a private half is as [`Custody::keep`] would make it today. If not, it is kept anew.
    async fn is_current(&self, reference: &Reference) -> Result<bool, Failure>;

    /// Keys of that purpose that are there and none of `known`, newest first. What is no key is told once and not given.
    async fn found(&self, purpose: Purpose, known: &[Reference]) -> Result<Vec<Found>, Failure>;
}
