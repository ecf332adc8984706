//! Secret and SealedSecret as types, and documents in and out.
//!
//! ```text
//!   bytes of a file ──read──▶ [Document] ──into_secret──────────▶ Secret ──────────▶ to_yaml, to_json (wiped)
//!                                        └─into_sealed_secret──▶ SealedSecret ────▶ emit::to_yaml, to_json
//!                                                                     └──────────▶ sealed_secret::crd
//!   bytes of a file, [Edit] ──edit::apply──▶ the same bytes but for what the edits name
//!   bytes of a stream ──Stream::read──▶ [&Document], SealedSecrets in place of some ──Stream::replace──▶ the same bytes else
//! ```
//!
//! - [`read`]: YAML streams, JSON, `List`s; what a scalar is, is decided as `kubectl` decides it.
//! - [`Secret`] is plaintext: it has no `Debug`, `Display` or `Serialize`, and what it writes is wiped.
//! - [`SealedSecret`] is the custom resource, and [`sealed_secret::crd`] its definition.
//! - [`edit`]: changes of SealedSecrets in the text they stand in; every other byte stays, or nothing is changed.
//! - [`stream`]: what tools render, Secrets among much else: those are replaced, and every other byte stays.
//! - [`names`]: annotations and labels, and the scope that they spell.
//!
//! It refuses to seal or open anything, to know a key, a clock, a file or the network, to put a scalar of a document
//! into an error, and to pass over a field in silence that it would lose.
//!
//! ```
//! use privyseal_manifest::{emit, names, read, SealedSecret, SealedSecretSpec};
//!
//! let yaml = b"apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: hunter2}\n";
//! let mut documents = read(yaml, "db.yaml")?;
//! let secret = documents.remove(0).into_secret()?;
//! assert_eq!(secret.data["password"].expose(), b"hunter2");
//!
//! let mut sealed = SealedSecret::new("db", SealedSecretSpec::default());
//! sealed.spec.encrypted_data.insert("password".into(), "AgB0b3A=".into());
//! assert!(emit::to_yaml(&sealed).ends_with("spec:\n  encryptedData:\n    password: AgB0b3A=\n"));
//! assert_eq!(names::scope_of(&Default::default()), privyseal_envelope::Scope::Strict);
//!
//! let error = read(b"kind: Secret\nkind: Secret\n", "db.yaml").err().unwrap();
//! assert_eq!(error.to_string(), "db.yaml:2:1: document 1: this key is a duplicate of the one at 1:1");
//! # Ok::<(), privyseal_manifest::DocumentError>(())
//! ```

mod document;
pub mod edit;
pub mod emit;
mod error;
pub mod names;
pub mod sealed_secret;
mod secret;
pub mod stream;
mod wiping;

pub use document::{Document, DocumentId, FieldView, View, read, read_at_most};
pub use error::{DocumentError, Encoding, Found, Limit, Obstacle, Position, Problem};
pub use sealed_secret::{
    Condition, SealedSecret, SealedSecretSpec, SealedSecretStatus, SecretTemplate, TemplateMetadata,
};
pub use secret::{MAX_DATA_BYTES, Secret};
