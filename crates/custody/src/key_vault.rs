//! Azure Key Vault: the two custodies that keep private halves with it.

pub mod secret;
pub mod wrapped;
