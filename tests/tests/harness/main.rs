//! The harness's own tests: were it to pass everything, every other family would too.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod control_plane;
mod controller;
mod fault_proxy;
mod forgotten_files;
mod objects;
