//! age identities from files, for those who open backups.

use crate::error::{CommandError, Shown};
use crate::input::Source;
use privyseal_envelope::age::{Identity, identities};
use std::path::PathBuf;

/// Reads all identities.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Vec<Identity>, CommandError> {
    let mut all = Vec::new();
    for path in paths {
        let source = Source::from_argument(path);
        let name = source.name();
        let bytes = source.read_at_most(MAX_BYTES)?;
        if are_encrypted(&bytes) {
            return Err(encrypted(&name, "--identity"));
        }
        let failed = |error: &dyn std::fmt::Display| {
            CommandError::input(format!("{}: {error}", Shown(&name)))
                .hint("--identity takes a file of age identities, as `age-keygen` writes it")
        };
        let text = str::from_utf8(&bytes).map_err(|_| failed(&"not UTF-8"))?;
        all.extend(identities(text).map_err(|error| failed(&error))?);
    }
    Ok(all)
}

/// Whether a file is one that age encrypted, such as identities with a passphrase.
pub(crate) fn are_encrypted(bytes: &[u8]) -> bool {
    bytes.starts_with(b"age-encryption.org/") || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

/// The error about such a file; `option` is where it was given.
pub(crate) fn encrypted(name: &str, option: &str) -> CommandError {
    CommandError::input(format!("{}: the identities are encrypted", Shown(name)))
        .hint(format!("pipe what `age --decrypt FILE` prints into `{option} -`"))
}

/// More than any identity file.
const MAX_BYTES: usize = 1 << 20;
