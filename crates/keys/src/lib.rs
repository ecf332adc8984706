//! Keys as they are written, named, ordered and renewed.
//!
//! ```text
//!   tls.crt ──Certificate──▶ SealingKey          who may be sealed to, and until when
//!   tls.key ──private_key──▶ OpeningKey ┐
//!                        Certificate ───┴▶ KeyPair ──▶ Keyring (newest first) ──▶ candidates for one value
//!                                                        └──▶ PublishedKeys, signed by the PublisherKey
//! ```
//!
//! This crate knows no Kubernetes object, clock, file or network: `now` is a parameter, and PEM comes in as bytes.
//! Private halves have no `Debug`, `Display` or `Serialize`.

mod certificate;
mod key_pair;
mod keyring;
pub mod private_key;
mod published;
mod publisher;
pub mod renewal;

pub use certificate::{CLOCK_SKEW, Certificate, CertificateError, NotUsable};
pub use key_pair::{KeyPair, KeyPairError};
pub use keyring::{Keyring, KeyringEntry};
pub use private_key::PrivateKeyError;
pub use published::{Published, PublishedError, PublishedKey, PublishedKeys};
pub use publisher::{PublisherError, PublisherKey, PublisherPublicKey};
