//! The doubles of Key Vault and Entra, held against the official SDK and the service's documentation: were they to let
//! anything pass, so would the tests that use them.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod access;
mod assertions;
mod client;
mod deletion;
mod keys;
mod logs;
mod secrets;
mod service_accounts;
mod troubles;
