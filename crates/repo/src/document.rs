//! Reading a YAML document of ours: errors with a place, and a version that is looked at first.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// A document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// Line and column, from 1, where they are known.
    pub at: Option<(u64, u64)>,
    /// What is wrong. It may repeat text of the document: escape it before showing it.
    pub problem: String,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "{line}:{column}: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

impl std::error::Error for DocumentError {}

impl DocumentError {
    pub(crate) fn new(at: serde_saphyr::Location, problem: impl Into<String>) -> Self {
        let at = (at != serde_saphyr::Location::UNKNOWN).then(|| (at.line(), at.column()));
        Self { at, problem: problem.into() }
    }
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

/// Reads a document of version 1. A later version may have fields that this release does not know, and says so.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, DocumentError> {
    match serde_saphyr::from_str::<VersionOnly>(text) {
        Ok(VersionOnly { version: 1 }) | Err(_) => {}
        Ok(VersionOnly { version }) => {
            return Err(DocumentError {
                at: None,
                problem: format!("version {version} is not known to this release; it knows version 1"),
            });
        }
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        let location = error.location().unwrap_or(serde_saphyr::Location::UNKNOWN);
        let text = error.to_string();
        // The place is told once, in front, as everywhere.
        let problem = text.lines().next().unwrap_or_default();
        let problem = problem.split_once(" at line ").map_or(problem, |(problem, _)| problem);
        DocumentError::new(location, problem)
    })
}
