//! What a repository says about sealing, and what its user trusts.
//!
//! ```text
//!   .privyseal.yaml ──Config──▶ rule for a path ──▶ cluster, format, scope      part of the repository: a request
//!                                    │
//!                                    ▼
//!   key file, or the cluster ──▶ Evidence ──Trust::judge──▶ may this key seal?  outside of it: the decision
//! ```
//!
//! The configuration is in Git, so whoever opens a pull request can change it. It therefore decides nothing about keys:
//! it names clusters, and the trust file, which lies outside the repository, holds what each cluster's keys must be.
//! A change that points a rule at an unknown cluster, or a cluster at another key, is stopped by that.
//!
//! [`lint`] checks the manifests of a repository against all that.
//!
//! This crate is pure. It finds no file and asks nobody: texts come in, decisions and texts go out.

mod config;
mod document;
mod key_file;
pub mod lint;
pub mod report;
pub mod size;
mod trust;

pub use config::{Cluster, ClusterName, Config, KeySource, LintIgnore, RecipientName, RecipientSource, Rule};
pub use document::DocumentError;
pub use key_file::{KeyFile, KeyFileError};
pub use trust::{Evidence, Judgement, Pin, Subject, Trust};

/// Name of the configuration, in the root folder of a repository or of the part of it that it is for.
pub const CONFIG_FILE: &str = ".privyseal.yaml";
