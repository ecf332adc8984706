//! Placeholder of branch h1: replaced at the merge.

mod hybrid;

pub use hybrid::{HybridIdentity, HybridKeyError, HybridRecipient};
