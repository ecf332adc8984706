//! SealedSecrets become Secrets, and their status says the truth. One controller serves all tests of this family.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod age;
mod beside_others;
mod drift;
mod interop;
mod published;
mod refusals;
mod retained;
mod story;
