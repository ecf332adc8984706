//! The published list of a cluster's sealing keys as one file, which a repository can hold.
//!
//! JSON, `{"version":1,"list":"…","signature":"…","publisher":"…"}`: the three texts that the cluster publishes. It
//! bears no `kind` and is best named without `.yaml` or `.json`, so that Flux and Argo CD do not take it for a manifest.

use privyseal_keys::{Published, PublishedError, PublishedKeys, PublisherPublicKey};
use serde::{Deserialize, Serialize};

/// A published list in a file, its signature not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile(pub Published);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFileText {
    version: u64,
    publisher: String,
    signature: String,
    list: String,
}

impl KeyFile {
    /// Reads the file and checks the signature against the publisher that it names. Whether that publisher may be
    /// believed is for [`crate::Trust`] to decide.
    ///
    /// # Errors
    /// If it is not such a file, or the signature does not fit.
    pub fn verify(text: &[u8]) -> Result<(PublishedKeys, PublisherPublicKey), KeyFileError> {
        let text: KeyFileText = serde_json::from_slice(text).map_err(|_| KeyFileError::Malformed)?;
        if text.version != 1 {
            return Err(KeyFileError::Version { version: text.version });
        }
        let KeyFileText { version: _, list, signature, publisher } = text;
        PublishedKeys::verify(&Published { list, signature, publisher }).map_err(KeyFileError::Published)
    }

    /// The text of the file: one field a line, so that a change shows what it changes.
    pub fn to_text(&self) -> String {
        let Published { list, signature, publisher } = self.0.clone();
        let text = KeyFileText { version: 1, list, signature, publisher };
        serde_json::to_string_pretty(&text).expect("strings and numbers are JSON") + "\n"
    }
}

/// A file is not a published list that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Another file.
    #[error("not a file of published keys")]
    Malformed,
    /// Written by a later release.
    #[error("version {version} is not known to this release; it knows version 1")]
    Version {
        /// What it says.
        version: u64,
    },
    /// The list or its signature.
    #[error("{0}")]
    Published(#[source] PublishedError),
}
