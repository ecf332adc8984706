//! `keys restore --check`: whether a backup would open what a tree holds.

use super::plan::is_active;
use crate::error::{CommandError, Shown};
use crate::output::to_stdout;
use crate::sealed_tree::SealedTree;
use privyseal_custody::backup::Backup;
use privyseal_keys::Keyring;
use privyseal_manifest::SealedSecret;
use privyseal_seal::{DEFAULT_ATTEMPTS, OpenError, open};
use rayon::prelude::*;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Opens everything below the paths, and says what does not open. Plaintext is dropped as soon as it is there.
pub(super) fn run(paths: &[PathBuf], backup: Backup, only_active: bool) -> Result<(), CommandError> {
    let active: Vec<_> = backup.keys().iter().map(is_active).collect();
    let entries = backup.into_entries().zip(active).filter(|(_, active)| *active || !only_active);
    let keyring = Keyring::new(entries.map(|(entry, _)| entry).collect());

    let tree = SealedTree::read(paths);
    let mut errors = tree.unreadable;
    let sealed: Vec<_> =
        tree.files.into_iter().flat_map(|file| file.objects).map(|(_, sealed)| sealed).collect();
    // In order, whichever is done first.
    let verdicts: Vec<_> = sealed.par_iter().map(|sealed| why_not(&sealed.object, &keyring)).collect();

    let mut report = String::new();
    for (sealed, verdict) in sealed.iter().zip(&verdicts) {
        let object = sealed.message(object_name(&sealed.object));
        let _ = match verdict {
            None => writeln!(report, "opens: {object}"),
            Some(why) => writeln!(report, "does not open: {object}: {why}"),
        };
    }
    to_stdout(report.as_bytes())?;

    let closed = verdicts.iter().flatten().count();
    if closed > 0 {
        let all = verdicts.len();
        errors.insert(
            0,
            CommandError::failed(format!(
                "{closed} of {all} SealedSecrets do not open with the keys of the backup"
            ))
            .hint("a newer backup, or one of the cluster that they were sealed for, may hold the key"),
        );
    } else if verdicts.is_empty() && errors.is_empty() {
        errors.push(CommandError::input("there is no SealedSecret below the paths given: nothing is proved"));
    }
    CommandError::all(errors)
}

/// Why it does not open, if it does not.
fn why_not(sealed: &SealedSecret, keyring: &Keyring) -> Option<String> {
    match open(sealed, keyring, DEFAULT_ATTEMPTS).err()? {
        OpenError::Items { failures, .. } => {
            let items: Vec<_> = failures.iter().map(|failure| Shown(&failure.item).to_string()).collect();
            Some(format!("items {}", items.join(", ")))
        }
        error => Some(Shown(&error.to_string()).to_string()),
    }
}

fn object_name(sealed: &SealedSecret) -> String {
    let namespace = sealed.metadata.namespace.as_deref().unwrap_or("(no namespace)");
    let name = sealed.metadata.name.as_deref().unwrap_or("(no name)");
    format!("{}/{}", Shown(namespace), Shown(name))
}
