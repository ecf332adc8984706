//! What Flux, Argo CD and kubectl make of every status that the controller can write: `tests/vectors/status`.
//!
//! What they must make of it is a rule, in `expected.rs`, and no list. What they do make of it is asked of their own
//! code, and the table in docs/gitops.md is written from the answers.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod argo_cd;
mod cases;
mod expected;
mod flux;
mod kubectl;
mod readers;
mod table;
