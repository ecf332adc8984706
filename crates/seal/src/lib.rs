//! The verbs: seal, unseal, reseal, inspect. Joins the formats, the keys and the manifests.
//!
//! ```text
//!   Secret ──seal──▶ SealedSecret ◀──seal_item── one value
//!                    SealedSecret ──open──▶ Opened ──into_secret──▶ Secret
//!                         ├──reseal──▶ Resealed ──apply──▶ SealedSecret, to other keys under the same binding
//!                         └──inspect──▶ who can open it, and what it is bound to
//! ```
//!
//! [`open()`] is the one path that unseals: the controller, the command line and [`reseal()`] all take it. What it is bound to
//! comes from the object's own metadata ([`binding_of`]) and from nowhere else. It renders no template and looks at
//! no cluster. Pure: no clock (`now` decides before, when a key is chosen), no file, no network, no log.

mod binding;
mod claims;
pub mod hints;
mod inspect;
mod open;
mod reseal;
mod seal;
mod seal_to;
mod strangers;
mod tracking;

pub use binding::{BindingError, binding_of};
pub use claims::{claimed, sealed_otherwise};
pub use inspect::{Inspection, ItemInspection, Names, Verdict, inspect};
pub use open::{
    DEFAULT_ATTEMPTS, IntoSecretError, ItemError, ItemFailure, OpenError, Opened, OpenedBy, open,
};
pub use reseal::{Change, ResealError, Resealed, Value, reseal};
pub use seal::{SealError, Sealing, seal, seal_item};
pub use seal_to::SealTo;
pub use strangers::Strangers;
pub use tracking::{tracked_by, tracking};
