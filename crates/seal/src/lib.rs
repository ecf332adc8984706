//! The verbs: seal, unseal, inspect. Joins the formats, the keys and the manifests.
//!
//! ```text
//!   Secret ──seal──▶ SealedSecret ◀──seal_item── one value
//!                    SealedSecret ──open──▶ Opened ──into_secret──▶ Secret
//!                         └──inspect──▶ who can open it, and what it is bound to
//! ```
//!
//! [`open()`] is the one path that unseals: the controller and the command line both take it. What it is bound to
//! comes from the object's own metadata ([`binding_of`]) and from nowhere else. It renders no template and looks at
//! no cluster. Pure: no clock (`now` decides before, when a key is chosen), no file, no network, no log.

mod binding;
pub mod hints;
mod inspect;
mod open;
mod seal;

pub use binding::{BindingError, binding_of};
pub use inspect::{Inspection, ItemInspection, Names, Verdict, inspect};
pub use open::{DEFAULT_ATTEMPTS, IntoSecretError, ItemError, ItemFailure, OpenError, Opened, open};
pub use seal::{SealError, Sealing, seal, seal_item};
