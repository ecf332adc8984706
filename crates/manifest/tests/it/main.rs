//! The crate as its callers see it: documents in, documents out, and what no error may say.

#![allow(clippy::unwrap_used)]

mod canary;
mod documents;
mod edit_oracles;
mod edit_properties;
mod edit_refusals;
mod edits;
mod emission;
mod properties;
mod schema;
mod typing;
