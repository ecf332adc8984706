//! Documents of the inputs, each with its place for errors.

use crate::error::{CommandError, Shown};
use crate::input::Source;
use privyseal_manifest::{Document, DocumentError, Encoding};
use std::fmt::{self, Display};

/// One input, read and split.
pub(crate) struct Input {
    /// Where it came from.
    pub(crate) source: Source,
    /// Its documents; at least one.
    pub(crate) documents: Vec<Document>,
}

impl Input {
    /// Reads an input. One without any document is an error.
    pub(crate) fn read(source: Source) -> Result<Self, CommandError> {
        let documents = privyseal_manifest::read(&source.read()?, &source.name())?;
        if documents.is_empty() {
            return Err(CommandError::input(format!(
                "{}: there is no document in it",
                Shown(&source.name())
            )));
        }
        Ok(Self { source, documents })
    }

    /// Reads all inputs; what is wrong with any of them is told together.
    pub(crate) fn read_all(sources: Vec<Source>) -> Result<Vec<Self>, CommandError> {
        collect(sources.into_iter().map(Self::read))
    }

    /// How its first document is written.
    pub(crate) fn encoding(&self) -> Encoding {
        self.documents.first().map_or(Encoding::Yaml, Document::encoding)
    }
}

/// An object and where it stands.
pub(crate) struct Located<T> {
    /// Its place; none for what was made from the command line.
    pub(crate) place: Option<Place>,
    /// The object.
    pub(crate) object: T,
}

/// Where a document stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The input.
    pub(crate) source: String,
    /// The line of its first key.
    pub(crate) line: usize,
    /// Which document, from 1.
    pub(crate) document: usize,
    /// Which item of a `List`, from 0.
    pub(crate) item: Option<usize>,
    /// What it is called, where the place alone says little.
    pub(crate) object: Option<String>,
}

impl Place {
    pub(crate) fn of(document: &Document) -> Self {
        Self {
            source: document.source_name().to_owned(),
            line: document.line(),
            document: document.number(),
            item: document.item(),
            object: None,
        }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: document {}", Shown(&self.source), self.line, self.document)?;
        if let Some(item) = self.item {
            write!(f, ": items[{item}]")?;
        }
        match &self.object {
            Some(object) => write!(f, ": {}", Shown(object)),
            None => Ok(()),
        }
    }
}

impl<T> Located<T> {
    /// The document as an object of the kind wanted.
    pub(crate) fn from_document(
        document: Document,
        into_object: fn(Document) -> Result<T, DocumentError>,
    ) -> Result<Self, DocumentError> {
        let place = Some(Place::of(&document));
        Ok(Self { place, object: into_object(document)? })
    }
}

impl<T> Located<T> {
    /// A message about the object that says where it stands.
    pub(crate) fn message(&self, what: impl Display) -> String {
        match &self.place {
            Some(place) => format!("{place}: {what}"),
            None => what.to_string(),
        }
    }
}

/// All results, or all errors.
pub(crate) fn collect<T>(
    results: impl Iterator<Item = Result<T, CommandError>>,
) -> Result<Vec<T>, CommandError> {
    let mut errors = Vec::new();
    let good = results.filter_map(|result| result.map_err(|error| errors.push(error)).ok()).collect();
    CommandError::all(errors).map(|()| good)
}
