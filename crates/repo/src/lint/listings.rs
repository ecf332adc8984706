//! SealedSecrets that lie beside a kustomization which does not list them: nobody applies them, unless by hand.

use super::code::Code;
use super::file::CheckedFile;
use super::finding::Finding;
use super::kustomize::{Kustomization, NamespaceGiver, folder_of, lies_in};
use std::collections::{BTreeMap, BTreeSet};

/// What all kustomizations of a tree name.
pub(super) struct Listings<'a> {
    by_folder: BTreeMap<&'a str, (&'a CheckedFile, &'a Kustomization)>,
    mentions: BTreeSet<&'a str>,
    /// Folders of which something lists what is not known.
    open: Vec<&'a str>,
}

impl<'a> Listings<'a> {
    pub(super) fn new(files: &'a [CheckedFile]) -> Self {
        let all = files.iter().filter_map(|file| Some((file, file.kustomization.as_ref()?)));
        let by_folder: BTreeMap<_, _> = all.map(|both| (folder_of(&both.0.within), both)).collect();
        let each = || by_folder.values().map(|(_, kustomization)| *kustomization);
        let mentions = each().flat_map(|kustomization| &kustomization.mentions).map(String::as_str).collect();
        let patterns = each().flat_map(|kustomization| &kustomization.patterns).map(String::as_str);
        // Argo CD takes all files of a folder without a kustomization, and of those below it.
        let givers = files.iter().flat_map(|file| &file.givers).map(|giver: &NamespaceGiver| &*giver.folder);
        let argo = files.iter().flat_map(|file| &file.argo).map(|applier| &*applier.folder);
        let plain = givers.chain(argo).filter(|folder| !by_folder.contains_key(folder));
        let open = patterns.chain(plain).collect();
        Self { by_folder, mentions, open }
    }

    /// One finding for a file, since it is the file that is not listed.
    pub(super) fn check(&self, file: &CheckedFile, out: &mut Vec<Finding>) {
        let Some(sealed) = file.sealed.first() else { return };
        let Some((beside, kustomization)) = self.by_folder.get(folder_of(&file.within)) else { return };
        let is_open =
            kustomization.brings_more || self.open.iter().any(|folder| lies_in(&file.within, folder));
        if is_open || beside.within == file.within || self.is_mentioned(&file.within) {
            return;
        }
        let message =
            format!("{} does not list this file, and nothing else does: it is not applied", beside.path);
        out.push(
            sealed
                .at_name
                .finding(Code::Unlisted, message)
                .cure("name the file under `resources`, or remove it"),
        );
    }

    /// Whether something names the file, or a folder that it lies in and that has no kustomization of its own.
    fn is_mentioned(&self, file: &str) -> bool {
        let mut folder = file;
        while !folder.is_empty() {
            if self.mentions.contains(folder) && !self.by_folder.contains_key(folder) {
                return true;
            }
            folder = folder_of(folder);
        }
        false
    }
}
