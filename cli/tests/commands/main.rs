//! Runs the binary. Every run that fails is held against two promises: nothing on stdout, and no plaintext on stderr.

#![allow(
    clippy::unwrap_used,
    reason = "a test panics to fail; clippy sees tests only in functions marked so"
)]

mod age;
mod backup;
mod bad_input;
mod cluster;
mod diff;
mod doctor;
mod edit;
mod files;
mod golden;
mod harness;
mod history;
mod inspect;
mod keys;
mod life;
mod lint;
mod plugin;
mod reference;
mod reseal;
mod seal;
mod set;
mod trust;
mod unseal;
mod url;
mod values;
mod verify;
