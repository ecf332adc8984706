//! The bytes of one sealed value, and the primitive key types.
//!
//! ```text
//!   plaintext + sealing key + binding ──classic::seal──▶ SealedValue ──to_base64──▶ text in Git
//!   plaintext ◀──classic::open── SealedValue + opening key + binding ◀──from_base64── text
//!
//!   plaintext + recipients + binding + item ──age::seal──▶ SealedValue
//!   plaintext ◀──File::open── file key + binding + item ◀──File::unwrap── identity + SealedValue
//! ```
//!
//! This crate is meant to be audited in one sitting. It knows no Kubernetes object, no clock, no file, no network
//! and no log; randomness comes from aws-lc-rs and age. What it does know of Kubernetes is the grammar of the three names
//! that a sealed value can be bound to ([`Namespace`], [`Name`], [`Item`]).
//!
//! It refuses to say *why* an RSA decryption failed: wrong key, wrong binding and changed bytes are one error,
//! [`OpenError::DoesNotOpen`]. An age file authenticates what it is bound to, and so [`age::OpenError`] says more. The crate never prints, formats or serialises a [`Plaintext`] or an opening key.
//!
//! ```
//! use privyseal_envelope::{Binding, Name, Namespace, SealedValue, classic, rsa};
//!
//! let key = rsa::OpeningKey::generate(rsa::KeySize::Rsa2048)?;
//! let binding = Binding::Strict { namespace: Namespace::parse("team-a")?, name: Name::parse("db")? };
//!
//! let text = classic::seal(b"hunter2", key.sealing_key(), &binding)?.to_base64();
//! let plaintext = classic::open(&SealedValue::from_base64(&text)?, &key, &binding)?;
//! assert_eq!(plaintext.expose(), b"hunter2");
//!
//! use privyseal_envelope::{Item, age};
//!
//! let (identity, item) = (age::Identity::generate_hybrid()?, Item::parse("password")?);
//! let recipients = age::Recipients::new([identity.recipient()])?;
//!
//! let value = age::seal(b"hunter2", &recipients, &binding, &item)?;
//! let file = age::File::parse(&value)?;
//! let unwrapped = file.unwrap(&identity)?.expect("it is the recipient");
//! assert_eq!(file.open(&unwrapped.file_key, &binding, &item)?.plaintext.expose(), b"hunter2");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod age;
mod base64_text;
mod binding;
pub mod classic;
mod error;
mod fingerprint;
pub mod key_wrap;
mod plaintext;
pub mod rsa;
mod sealed_value;

pub use binding::{Binding, Item, Name, Namespace, Scope};
pub use error::{DecodeError, KeyError, NameError, OpenError, SealError};
pub use fingerprint::{Fingerprint, KeyId};
pub use plaintext::Plaintext;
pub use sealed_value::{Format, SealedValue, UnknownFormat};
