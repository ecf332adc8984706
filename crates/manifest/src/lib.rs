//! tmp
#![allow(missing_docs)]
pub mod names;
pub mod sealed_secret;
pub mod emit;
