//! The SealedSecrets of a tree, for commands that work on all of them.

use crate::documents::Located;
use crate::error::{CommandError, Shown};
use crate::sealed_file::located;
use crate::speech;
use crate::tree::{self, TreeFile};
use privyseal_manifest::names::SEALED_SECRET_KIND;
use privyseal_manifest::{Document, DocumentId, SealedSecret};
use rayon::prelude::*;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What a tree holds.
pub(crate) struct SealedTree {
    /// Files with SealedSecrets.
    pub(crate) files: Vec<SealedTreeFile>,
    /// Files that say they hold a SealedSecret, and cannot be read as such; and what cannot be read at all.
    pub(crate) unreadable: Vec<CommandError>,
    /// Files that seem to hold sealed values within something else, such as a patch or the values of a HelmRelease.
    pub(crate) hidden: Vec<String>,
}

/// A file with SealedSecrets.
pub(crate) struct SealedTreeFile {
    /// Its path.
    pub(crate) path: PathBuf,
    /// What it holds.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Its SealedSecrets, in order.
    pub(crate) objects: Vec<(DocumentId, Located<SealedSecret>)>,
    /// Whether there seem to be more sealed values in it than these.
    hides_some: bool,
}

impl SealedTree {
    /// Reads all files below the paths that may hold a SealedSecret.
    pub(crate) fn read(paths: &[PathBuf]) -> Self {
        let (files, mut unreadable) = tree::walk(paths);
        let results: Vec<_> = files.par_iter().filter_map(|file| read(file).transpose()).collect();
        let (mut files, mut hidden) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(file) => {
                    if file.hides_some {
                        hidden.push(file.path.to_string_lossy().into_owned());
                    }
                    files.extend((!file.objects.is_empty()).then_some(file));
                }
                Err(error) => unreadable.push(error),
            }
        }
        Self { files, unreadable, hidden }
    }

    /// Says which files seem to hold sealed values that this cannot reach, and what becomes of them.
    pub(crate) fn warn_of_hidden(&self, so: &str) {
        for file in &self.hidden {
            speech::warning(format_args!(
                "{}: it seems to hold sealed values within another object: {so}",
                Shown(file)
            ));
        }
    }
}

impl SealedTreeFile {
    /// Of a file that holds nothing else.
    pub(crate) fn new(
        path: PathBuf,
        bytes: Zeroizing<Vec<u8>>,
        objects: Vec<(DocumentId, Located<SealedSecret>)>,
    ) -> Self {
        Self { path, bytes, objects, hides_some: false }
    }
}

/// Nothing if there is no SealedSecret in it.
fn read(file: &TreeFile) -> Result<Option<SealedTreeFile>, CommandError> {
    if !file.may_hold_manifests() {
        return Ok(None);
    }
    let bytes = file.read()?;
    // Most files of a tree hold something else, which is nobody's business here, well-formed or not.
    if !speaks_of_sealed_secrets(&bytes) {
        return match file.named {
            true => {
                Err(CommandError::input(format!("{}: there is no SealedSecret in it", Shown(&file.name()))))
            }
            false => Ok(None),
        };
    }
    let documents =
        privyseal_manifest::read(&bytes, &file.name()).map_err(|error| explain(&bytes, error.into()))?;
    let is_other = |document: &Document| !matches!(document.kind(), Some(SEALED_SECRET_KIND | DEFINITION));
    let has_others = documents.iter().any(is_other);
    let objects = located(documents)?;
    if objects.is_empty() && file.named {
        return Err(CommandError::input(format!("{}: there is no SealedSecret in it", Shown(&file.name()))));
    }
    let hides_some = has_others && count(&bytes, b"encryptedData") > objects.len();
    Ok(Some(SealedTreeFile { path: file.path.clone(), bytes, objects, hides_some }))
}

fn explain(bytes: &[u8], error: CommandError) -> CommandError {
    match holds(bytes, b"{{") {
        true => error.hint(
            "it looks like a template; what is rendered from it can be read, the template itself cannot",
        ),
        false => error,
    }
}

/// Whether there may be a SealedSecret in it, in whatever form.
pub(crate) fn speaks_of_sealed_secrets(bytes: &[u8]) -> bool {
    holds(bytes, SEALED_SECRET_KIND.as_bytes()) && holds(bytes, b"encryptedData")
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    count(bytes, part) > 0
}

fn count(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).filter(|window| *window == part).count()
}

/// It describes SealedSecrets and holds none.
const DEFINITION: &str = "CustomResourceDefinition";
