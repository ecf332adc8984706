//! Where opening keys live, and how a process comes to hold them.
//!
//! ```text
//!   key Secrets of our own namespace ──KeySecrets::load──▶ Keyring entries, what waits for a vault, what was left out
//!   KeyPair ──KeySecrets::create──▶ Custody::keep ──▶ Secret ──SecretApi::create──▶ the cluster
//!   key Secrets, publisher key ──backup::Backup::seal──▶ signed archive ──Archive::verify, open──▶ Backup
//! ```
//!
//! This is the asynchronous crate: it talks to the API server, and nothing else in the crates does. Keys come only
//! from the namespace that it is given. A Secret that a SealedSecret made is never a key, whatever its labels say:
//! otherwise whoever may create a SealedSecret could choose what everybody seals to.
//!
//! [`SecretApi`] reads and writes Secrets as types that cannot be printed. kube's own client logs the body of an
//! answer that it cannot decode; ours decodes itself, so no such body is ever in its hands.

pub mod backup;
pub mod custody;
pub mod escrow;
mod in_cluster;
pub mod key_secret;
pub mod key_secrets;
pub mod key_vault;
mod maker_mark;
pub mod published;
mod publisher_secret;
mod secret_api;

pub use in_cluster::InCluster;
pub use maker_mark::{MADE_BY, MakerMark};
pub use secret_api::{ApiError, SecretApi, Unreadable};
