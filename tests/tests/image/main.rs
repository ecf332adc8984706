//! The controller's image: what is in it, and that this is enough. `cargo xtask test` writes it, without a container
//! engine; here it is unpacked and run as an engine would.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod contents;
mod pod;
