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
        if is_encrypted(&bytes) {
            return Err(CommandError::input(format!("{}: the identities are encrypted", Shown(&name)))
                .hint("pipe what `age --decrypt FILE` prints into `--identity -`"));
        }
        let failed = |error: &dyn std::fmt::Display| {
            CommandError::input(format!("{}: {error}", Shown(&name)))
                .hint("--identity takes a file of X25519 identities, as `age-keygen` writes it")
        };
        let text = str::from_utf8(&bytes).map_err(|_| failed(&"not UTF-8"))?;
        all.extend(identities(text).map_err(|error| failed(&error))?);
    }
    Ok(all)
}

fn is_encrypted(bytes: &[u8]) -> bool {
    bytes.starts_with(b"age-encryption.org/") || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

/// More than any identity file.
const MAX_BYTES: usize = 1 << 20;
