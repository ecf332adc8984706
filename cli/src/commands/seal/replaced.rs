//! What a file loses that is written anew: `seal` knows nothing of the values that it held.

use super::name_of;
use crate::error::Shown;
use crate::speech;
use privyseal_manifest::{Document, SealedSecret, read};
use std::path::Path;

/// Says which items, and which whole SealedSecrets, stand in the file and not in what takes its place. A file that is
/// none, or holds something else, is nobody's to complain about.
pub(super) fn tell(file: &Path, sealed: &[&SealedSecret]) {
    // A pipe would be waited for, and a device holds nothing.
    if !std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file()) {
        return;
    }
    let Ok(bytes) = std::fs::read(file) else { return };
    let name = file.to_string_lossy();
    let Ok(documents) = read(&bytes, &name) else { return };
    for old in documents.into_iter().filter_map(|document| Document::into_sealed_secret(document).ok()) {
        if let Some(lost) = lost(&old, sealed) {
            speech::warning(format_args!("{}: {lost}", Shown(&name)));
        }
    }
}

fn lost(old: &SealedSecret, sealed: &[&SealedSecret]) -> Option<String> {
    let is_same = |new: &&&SealedSecret| {
        (&new.metadata.namespace, &new.metadata.name) == (&old.metadata.namespace, &old.metadata.name)
    };
    let Some(new) = sealed.iter().find(is_same) else {
        return Some(format!("SealedSecret {} is not in it any more", name_of(old)));
    };
    let is_lost = |item: &&String| !new.spec.encrypted_data.contains_key(*item);
    let items: Vec<_> =
        old.spec.encrypted_data.keys().filter(is_lost).map(|item| Shown(item).to_string()).collect();
    (!items.is_empty()).then(|| {
        format!(
            "items that are not in {} any more: {}; `privyseal set` changes one and keeps the others",
            name_of(old),
            items.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_manifest::SealedSecretSpec;

    fn object(name: &str, items: &[&str]) -> SealedSecret {
        let encrypted_data = items.iter().map(|item| ((*item).to_owned(), "x".to_owned())).collect();
        SealedSecret::new(name, SealedSecretSpec { encrypted_data, ..SealedSecretSpec::default() })
    }

    #[test]
    fn what_goes_is_told_and_nothing_else() {
        let old = object("db", &["user", "password"]);
        assert_eq!(lost(&old, &[&object("db", &["password", "user", "more"])]), None);
        let told = lost(&old, &[&object("db", &["user"])]).unwrap();
        assert!(told.starts_with("items that are not in db any more: password;"), "{told}");
        assert_eq!(
            lost(&old, &[&object("other", &["user"])]).unwrap(),
            "SealedSecret db is not in it any more"
        );
    }
}
