//! Privyseal within Kustomize and Helm, with the real programs.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod helm;
mod kustomize;
mod kustomize_function;
mod name_references;
