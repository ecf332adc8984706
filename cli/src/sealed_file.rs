//! A SealedSecret in a file that is to be edited in place, every other byte kept.

use crate::documents::Located;
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::output::{Content, Staged};
use privyseal_manifest::edit::{self, Edit};
use privyseal_manifest::names::SEALED_SECRET_KIND;
use privyseal_manifest::{Document, DocumentId, SealedSecret};
use std::fs;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// One SealedSecret of a file.
pub(crate) struct SealedFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    id: DocumentId,
    /// The object and its place.
    pub(crate) sealed: Located<SealedSecret>,
}

impl SealedFile {
    /// Reads the file. Where it holds several SealedSecrets, `name` says which one.
    pub(crate) fn read(path: &Path, name: Option<&str>) -> Result<Self, CommandError> {
        let source = Source::from_argument(path);
        if source == Source::Stdin {
            return Err(CommandError::input("stdin cannot be edited in place").hint("name a file"));
        }
        let bytes = source.read()?;
        let shown = Shown(&source.name()).to_string();
        let mut objects = sealed_objects(&bytes, &source.name())?;
        if objects.is_empty() {
            return Err(CommandError::input(format!("{shown}: there is no SealedSecret in it")));
        }
        let name_of = |sealed: &SealedSecret| sealed.metadata.name.clone().unwrap_or_default();
        let names: Vec<_> =
            objects.iter().map(|(_, sealed)| Shown(&name_of(&sealed.object)).to_string()).collect();
        let count = objects.len();
        objects.retain(|(_, sealed)| name.is_none_or(|name| name_of(&sealed.object) == name));
        match (objects.pop(), objects.is_empty()) {
            (Some((id, sealed)), true) => Ok(Self { path: path.to_owned(), bytes, id, sealed }),
            (None, _) => Err(CommandError::input(format!(
                "{shown}: it holds no SealedSecret {}, but {}",
                Shown(name.unwrap_or_default()),
                names.join(", ")
            ))),
            (Some(_), false) => Err(CommandError::input(format!(
                "{shown}: it holds {count} SealedSecrets: {}",
                names.join(", ")
            ))
            .hint("--name NAME says which one; two of one name cannot be told apart")),
        }
    }

    /// Writes the file with some texts of the object changed. What somebody else wrote meanwhile is not overwritten.
    pub(crate) fn write(&self, changes: impl FnOnce(Edit) -> Edit) -> Result<(), CommandError> {
        let name = self.path.to_string_lossy();
        refuse_if_changed(&self.path, &self.bytes)?;
        let edited = edit::apply(&self.bytes, &name, &[changes(Edit::of(self.id))])?;
        Staged::new(&self.path, edited.as_str().as_bytes(), Content::Public)?.commit()
    }
}

/// Somebody else's change is not overwritten. A pipe cannot be read twice, and is not overwritten either.
pub(crate) fn refuse_if_changed(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(());
    }
    match **Source::File(path.to_owned()).read()? == *bytes {
        true => Ok(()),
        false => Err(CommandError::failed(format!(
            "{}: it was changed meanwhile, and is left as it is now",
            Shown(&path.to_string_lossy())
        ))
        .hint("run the command again")),
    }
}

/// The SealedSecrets of an input, in order, and where each is to be edited.
pub(crate) fn sealed_objects(
    bytes: &[u8],
    source: &str,
) -> Result<Vec<(DocumentId, Located<SealedSecret>)>, CommandError> {
    located(privyseal_manifest::read(bytes, source)?)
}

/// The SealedSecrets among documents.
pub(crate) fn located(
    documents: Vec<Document>,
) -> Result<Vec<(DocumentId, Located<SealedSecret>)>, CommandError> {
    let sealed = documents.into_iter().filter(|document| document.kind() == Some(SEALED_SECRET_KIND));
    let located = sealed.map(|document| {
        let id = document.id();
        Ok((id, Located::from_document(document, Document::into_sealed_secret)?))
    });
    located.collect()
}
