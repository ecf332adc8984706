//! The age format: one sealed value as an age v1 file (docs/format.md, section 2; C2SP age specification).
//!
//! ```text
//!   binding line LF value ──seal──▶ header: one stanza for each recipient, MAC │ payload
//!                                     │                                            │
//!        File::parse ◀────────────────┘          Identity or FileKey ──▶ File::open┘──▶ Plaintext
//! ```
//!
//! Each recipient's stanza wraps the same 16-byte file key, so that any one of them opens the value, and stock `age`
//! does too. What the value is bound to is the first line of the payload, and so authenticated with it.
//!
//! Recipients and values come from a repository: they are attackers' input. No plugin is ever run, passphrases are
//! refused, and headers are bounded in size and number before anything is computed.

mod binding_line;
mod error;
mod file;
mod header;
pub mod hybrid;
mod identity;
mod recipient;
mod vault;

pub use binding_line::BindingLine;
pub use error::{NotARecipient, NotAnIdentity, OpenError, RecipientsError, RewrapError};
pub use file::{File, FileKey, Opened, RecipientStanza, Rewrap, Unwrapped, decrypt, encrypt, seal};
pub use header::{MAX_HEADER_BYTES, MAX_RECIPIENT_STANZAS};
pub use identity::{Identity, identities};
pub use recipient::{Kind, Recipient, Recipients};
pub use vault::VaultStanza;
