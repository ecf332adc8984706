//! Keys as they are written, named, ordered and renewed.
//!
//! ```text
//!   tls.crt ──PublicHalf──▶ Certificate, recipients      who may be sealed to, and until when
//!   tls.key ──private_key──▶ OpeningKey, identities ┐
//!                        PublicHalf ────────────────┴▶ KeyPair ──▶ Keyring (newest first) ──▶ candidates for one value
//!                                                        └──▶ PublishedKeys, signed by the PublisherKey
//!   a file ──private_halves──▶ KeyringEntry, an RSA key with its identities or one of the two alone ──▶ Keyring
//! ```
//!
//! This crate knows no Kubernetes object, clock, file or network: `now` is a parameter, and PEM comes in as bytes.
//! Private halves have no `Debug`, `Display` or `Serialize`.

mod age_lines;
mod certificate;
mod key_pair;
mod keyring;
mod private_half;
pub mod private_key;
mod public_half;
pub mod public_key;
mod published;
mod publisher;
pub mod renewal;

pub use certificate::{CLOCK_SKEW, Certificate, CertificateError, NotUsable};
pub use key_pair::{KeyPair, KeyPairError};
pub use keyring::{Keyring, KeyringEntry};
pub use private_half::{PrivateHalfError, private_halves};
pub use private_key::PrivateKeyError;
pub use public_half::{PublicHalf, PublicHalfError};
pub use public_key::PublicKeyError;
pub use published::{Published, PublishedError, PublishedKeys};
pub use publisher::{PublisherError, PublisherKey, PublisherPublicKey};
