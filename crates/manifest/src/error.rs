//! What can be wrong with a document, and where.
//!
//! A document may hold plaintext in any scalar, so no error holds one: a place, a field, what was wanted and what
//! kind of thing stood there instead. Field names are shown where they are part of a schema or name an entry of a
//! map (`data`, `annotations`, ...) by an ordinary name; of anything else line and column tell.

use privyseal_envelope::{DecodeError, NameError};
use std::fmt;
use thiserror::Error;

/// A place in the input; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column in characters.
    pub column: usize,
}

impl Position {
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    /// The place after a text.
    pub(crate) fn after(text: &str) -> Self {
        let line_start = text.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: text.matches('\n').count() + 1, column: text[line_start..].chars().count() + 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A document cannot be read, or is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct DocumentError(pub(crate) Box<Details>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Details {
    pub(crate) source_name: String,
    pub(crate) at: Position,
    pub(crate) document: Option<usize>,
    pub(crate) item: Option<usize>,
    pub(crate) field: Option<String>,
    pub(crate) problem: Problem,
}

impl DocumentError {
    /// The name of the input, as the caller gave it.
    pub fn source_name(&self) -> &str {
        &self.0.source_name
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        self.0.at
    }

    /// Which document of the input, from 1; none where the input as a whole cannot be read.
    pub fn document(&self) -> Option<usize> {
        self.0.document
    }

    /// Which item of a `List`, from 0.
    pub fn item(&self) -> Option<usize> {
        self.0.item
    }

    /// Which field, such as `stringData.password` or `items[2].metadata.name`.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    pub(crate) fn with_problem(self, problem: Problem) -> Self {
        Self(Box::new(Details { problem, ..*self.0 }))
    }

    /// What to do about it, where that can be said.
    pub fn hint(&self) -> Option<String> {
        self.0.problem.hint()
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { source_name, at, document, field, problem, .. } = &*self.0;
        write!(f, "{}:{at}: ", source_name.escape_debug())?;
        if let Some(document) = document {
            write!(f, "document {document}: ")?;
        }
        if let Some(field) = field {
            write!(f, "{field}: ")?;
        }
        problem.fmt(f)
    }
}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The input is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The input begins with the byte order mark of UTF-16.
    #[error("this is UTF-16, and only UTF-8 is read")]
    Utf16,
    /// Not YAML, or not JSON. The reason is a fixed text.
    #[error("not valid {encoding}: {reason}")]
    Syntax {
        /// What it was read as.
        encoding: Encoding,
        /// A fixed text, without anything of the input.
        reason: String,
    },
    /// A mapping has the same key twice.
    #[error("this key is a duplicate of the one at {first}")]
    DuplicateKey {
        /// Where the key stands first.
        first: Position,
    },
    /// A bound that protects against hostile input.
    #[error("{0}")]
    Limit(Limit),
    /// A scalar or collection is not of the type that the field takes.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What the field takes.
        expected: &'static str,
        /// What stands there.
        found: Found,
    },
    /// An unquoted key that YAML does not read as text, or that Kubernetes would rename.
    #[error("expected text as a key, found {found}")]
    KeyNotText {
        /// What stands there.
        found: Found,
    },
    /// A YAML tag with no meaning for Kubernetes, such as `!vault` or `!!binary`.
    #[error("a YAML tag that Kubernetes does not know")]
    UnsupportedTag,
    /// A field that must be there is not.
    #[error("missing")]
    Missing,
    /// Another kind or API version than was asked for.
    #[error("expected {expected}, found {found}")]
    WrongKind {
        /// What was asked for.
        expected: &'static str,
        /// What it is, when that is an ordinary name.
        found: String,
    },
    /// A field that the schema does not know; its value would be lost.
    #[error("unknown field")]
    UnknownField {
        /// The field that was perhaps meant.
        suggestion: Option<&'static str>,
    },
    /// A value of `data` that is not standard base64; offsets are bytes from the start of the value.
    #[error("{0}")]
    Base64(DecodeError),
    /// A name, namespace or item name that Kubernetes refuses.
    #[error("{0}")]
    Name(NameError),
    /// The values of one Secret are larger than Kubernetes takes.
    #[error("{bytes} bytes of values; a Secret takes at most {max}", max = crate::secret::MAX_DATA_BYTES)]
    TooMuchData {
        /// Bytes of all values, decoded.
        bytes: usize,
    },
    /// An edit would touch more than it was asked to.
    #[error("not edited in place: {0}")]
    NotEditable(Obstacle),
}

/// Why [`edit::apply`](crate::edit::apply) leaves a file alone, or [`Stream::replace`](crate::stream::Stream::replace) a
/// document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// `*name` stands there or above.
    #[error("an alias stands here for what is written elsewhere")]
    Alias,
    /// `&name` stands there, above or within, and `*name` elsewhere.
    #[error("an alias elsewhere stands for what is written here")]
    SharedAnchor,
    /// `<<`.
    #[error("a merge key adds fields that are written elsewhere")]
    MergeKey,
    /// `!name`.
    #[error("a YAML tag stands here")]
    Tag,
    /// `? key`, or a key with an anchor, an alias or a tag.
    #[error("a key that is more than one word or quoted text")]
    Key,
    /// A CR without LF.
    #[error("a carriage return without a line feed, which only some readers take for the end of a line")]
    LoneCarriageReturn,
    /// `{{` of a template, where YAML has something else.
    #[error("a template that is not YAML before it is rendered")]
    Template,
    /// Valid, and nothing that we know to change.
    #[error("an unusual layout")]
    Layout,
    /// `...`, or one JSON object after the other.
    #[error("more than one document without `---` between them")]
    NoSeparator,
    /// `SecretList`.
    #[error("a list that may hold nothing but Secrets")]
    TypedList,
    /// A `List` that is an item.
    #[error("a list within a list")]
    NestedList,
    /// `items` of a `ConfigMapList` or of anything else: `kubectl`, Flux and Argo CD take each for an object.
    #[error("a Secret among the items of what is no `List` by its kind")]
    OtherList,
    /// Not in this input.
    #[error("no such document")]
    NoSuchDocument,
    /// Two changes of one field.
    #[error("two changes that contradict each other")]
    Contradiction,
    /// The result would not be the old document with the change.
    #[error("something else in the file would change its meaning")]
    Guard,
}

impl Obstacle {
    fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::Alias | Self::SharedAnchor | Self::MergeKey => "write the fields out where they are used",
            Self::Tag => "remove the tag",
            Self::Key => "write the key as `key: value`",
            Self::LoneCarriageReturn => "save the file with LF or CRLF as line ends",
            Self::Template => "edit a SealedSecret that stands in a file of its own, without `{{`",
            Self::Layout | Self::Guard => {
                "write this part in the usual way: one entry per line, indented by spaces"
            }
            Self::NoSeparator => "put a line `---` between documents",
            Self::TypedList | Self::NestedList | Self::OtherList => {
                "write the objects as documents of their own, or as items of one `List`"
            }
            Self::NoSuchDocument | Self::Contradiction => return None,
        })
    }
}

impl Problem {
    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NotUtf8 | Self::Utf16 => {
                "save the file as UTF-8; other bytes belong under `data`, as base64"
            }
            Self::DuplicateKey { .. } => "remove one of the two",
            Self::WrongType { expected: TEXT, found: Found::Boolean | Found::Number } => {
                "put the value in quotes: unquoted, YAML reads it as something other than text"
            }
            Self::KeyNotText { .. } => {
                "put the key in quotes: unquoted, YAML reads it as something other than text"
            }
            Self::UnsupportedTag => "write the value itself; base64 of binary values belongs under `data`",
            Self::NotEditable(obstacle) => return obstacle.hint().map(str::to_owned),
            Self::UnknownField { suggestion: Some(name) } => return Some(format!("did you mean `{name}`?")),
            Self::Base64(_) => "`data` holds base64; plain text belongs under `stringData`",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// What a field that takes text expects.
pub(crate) const TEXT: &str = "text";

/// What kind of thing stands in a place; never the thing itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Found {
    Null,
    Boolean,
    Number,
    Text,
    List,
    Mapping,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List => "a list",
            Self::Mapping => "a mapping",
        })
    }
}

/// The bounds on what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limit::INPUT_BYTES`].
    Input,
    /// [`Limit::NODES`].
    Nodes,
    /// [`Limit::DEPTH`].
    Depth,
    /// [`Limit::ALIAS_NODES`] and [`Limit::ALIAS_BYTES`].
    Aliases,
}

impl Limit {
    /// Bytes of one input.
    pub const INPUT_BYTES: usize = 64 << 20;
    /// Scalars and collections of one input.
    pub const NODES: usize = 1_000_000;
    /// Collections within collections.
    pub const DEPTH: usize = 100;
    /// Scalars and collections that aliases of one input stand for.
    pub const ALIAS_NODES: usize = 10_000;
    /// Bytes of scalars that aliases of one input stand for.
    pub const ALIAS_BYTES: usize = 4 << 20;
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => write!(f, "more than {} bytes", Self::INPUT_BYTES),
            Self::Nodes => write!(f, "more than {} scalars and collections", Self::NODES),
            Self::Depth => write!(f, "more than {} collections within one another", Self::DEPTH),
            Self::Aliases => write!(
                f,
                "aliases stand for more than {} scalars and collections, or {} bytes",
                Self::ALIAS_NODES,
                Self::ALIAS_BYTES
            ),
        }
    }
}

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// YAML, flow style included.
    Yaml,
    /// JSON, strictly.
    Json,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yaml => "YAML",
            Self::Json => "JSON",
        })
    }
}
