//! Documents in: bytes of a file to located, untyped documents, and those to Secrets and SealedSecrets.
//!
//! ```text
//!   bytes ──UTF-8──▶ text ──yaml | json──▶ trees ──List expanded──▶ [Document] ──into_secret──▶ Secret
//!                                                                       └──into_sealed_secret──▶ SealedSecret
//! ```
//!
//! Decoding is untyped first and typed after, as in Kubernetes: `yes` is a boolean before anyone asks for text.
//! YAML comes from granit-parser's events, since only they tell a quoted scalar from a plain one and give tags and
//! exact places; serde would hide all three.

mod field;
mod json;
mod node;
mod scalar;
mod typed;
mod view;
mod yaml;

use crate::error::{Details, DocumentError, Encoding, Limit, Position, Problem};
use crate::names::{SEALED_SECRET_API_VERSION, SECRET_API_VERSION};
pub(crate) use node::{Entry, Key, Kind, Node};
pub(crate) use scalar::{key_not_text, resolve};
use std::sync::Arc;
pub use view::{FieldView, View};
use zeroize::Zeroizing;

type Roots = Vec<Node>;

/// A whole input that cannot be read.
pub(crate) struct Failure {
    pub(crate) at: Position,
    pub(crate) document: Option<usize>,
    pub(crate) problem: Problem,
}

impl Failure {
    /// As an error of an input.
    pub(crate) fn of(self, source_name: &Arc<str>) -> DocumentError {
        let Self { at, document, problem } = self;
        Origin { source_name: Arc::clone(source_name), document, item: None }.error(at, None, problem)
    }
}

/// One document of an input, or one item of a `List` in it: well formed, not yet typed.
///
/// It may hold plaintext: it has no `Debug`, and its scalars are wiped when it is dropped.
pub struct Document {
    origin: Origin,
    encoding: Encoding,
    root: Node,
}

/// Which document of an input: so that it can be edited where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId {
    pub(crate) document: usize,
    pub(crate) item: Option<usize>,
}

impl DocumentId {
    /// Which document of the input, from 1.
    pub fn number(self) -> usize {
        self.document
    }

    /// Which item of a `List`, from 0.
    pub fn item(self) -> Option<usize> {
        self.item
    }

    pub(crate) fn error(
        self,
        source: &str,
        at: Position,
        path: Option<&[String]>,
        problem: Problem,
    ) -> DocumentError {
        let origin = Origin { source_name: source.into(), document: Some(self.document), item: self.item };
        origin.error(at, path.map(|path| field::written_path(self.item, path)), problem)
    }
}

/// Where a document comes from.
struct Origin {
    source_name: Arc<str>,
    document: Option<usize>,
    item: Option<usize>,
}

impl Origin {
    fn error(&self, at: Position, field: Option<String>, problem: Problem) -> DocumentError {
        DocumentError(Box::new(Details {
            source_name: self.source_name.to_string(),
            at,
            document: self.document,
            item: self.item,
            field: field.filter(|field| !field.is_empty()),
            problem,
        }))
    }
}

impl Document {
    /// One document of an input, or one item of a list in it.
    pub(crate) fn new(source_name: &Arc<str>, id: DocumentId, encoding: Encoding, root: Node) -> Self {
        let origin =
            Origin { source_name: Arc::clone(source_name), document: Some(id.document), item: id.item };
        Self { origin, encoding, root }
    }

    /// The name of the input, as given to [`read`].
    pub fn source_name(&self) -> &str {
        &self.origin.source_name
    }

    /// Which document of the input, from 1; empty ones do not count.
    pub fn number(&self) -> usize {
        self.origin.document.unwrap_or(1)
    }

    /// Which item of a `List`, from 0.
    pub fn item(&self) -> Option<usize> {
        self.origin.item
    }

    /// Which one it is among all of the input, for [`edit::Edit`](crate::edit::Edit).
    pub fn id(&self) -> DocumentId {
        DocumentId { document: self.number(), item: self.item() }
    }

    /// The place of its first key.
    pub(crate) fn position(&self) -> Position {
        self.root.at
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    pub(crate) fn root_mut(&mut self) -> &mut Node {
        &mut self.root
    }

    /// The line of its first key.
    pub fn line(&self) -> usize {
        self.root.at.line
    }

    /// How it is written.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// `apiVersion`, if there is one.
    pub fn api_version(&self) -> Option<&str> {
        self.root.child("apiVersion")?.text()
    }

    /// `kind`, if there is one.
    pub fn kind(&self) -> Option<&str> {
        self.root.child("kind")?.text()
    }
}

/// Reads all documents of an input: a YAML stream, or JSON objects one after the other.
///
/// Empty documents are left out. A `List`, `SecretList` or `SealedSecretList` is replaced by its items. `source` names
/// the input in errors.
pub fn read(bytes: &[u8], source: &str) -> Result<Vec<Document>, DocumentError> {
    read_at_most(bytes, source, Limit::NODES)
}

/// [`read`] with a lower bound on scalars and collections, for what strangers send: a tree takes up to fifty times the
/// memory of its text. The error is the same [`Limit::Nodes`], whose text names the usual bound.
pub fn read_at_most(bytes: &[u8], source: &str, nodes: usize) -> Result<Vec<Document>, DocumentError> {
    let source_name: Arc<str> = source.into();
    let text = decode(bytes, source)?;
    let (encoding, roots) = parse(text, nodes).map_err(|failure| failure.of(&source_name))?;

    let mut documents = Vec::with_capacity(roots.len());
    for (index, root) in roots.into_iter().enumerate() {
        let origin = |item| Origin { source_name: Arc::clone(&source_name), document: Some(index + 1), item };
        if !matches!(root.kind, Kind::Mapping(_)) {
            let found = root.found();
            let problem = found
                .map_or(Problem::UnsupportedTag, |found| Problem::WrongType { expected: "a mapping", found });
            return Err(origin(None).error(root.at, None, problem));
        }
        match list_items(root) {
            Ok(items) => documents.extend(items.into_iter().enumerate().map(|(item, root)| Document {
                origin: origin(Some(item)),
                encoding,
                root,
            })),
            Err(root) => documents.push(Document { origin: origin(None), encoding, root }),
        }
    }
    Ok(documents)
}

/// The text of an input, if it is one and not too large.
pub(crate) fn decode<'b>(bytes: &'b [u8], source: &str) -> Result<&'b str, DocumentError> {
    let input = Origin { source_name: source.into(), document: None, item: None };
    if bytes.len() > Limit::INPUT_BYTES {
        return Err(input.error(Position::START, None, Problem::Limit(Limit::Input)));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(input.error(Position::START, None, Problem::Utf16));
    }
    str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        input.error(Position::after(&valid), None, Problem::NotUtf8)
    })
}

pub(crate) fn parse(text: &str, nodes: usize) -> Result<(Encoding, Roots), Failure> {
    let unmarked = text.strip_prefix('\u{feff}').unwrap_or(text);
    // `{` begins JSON and YAML in flow style alike; what follows tells.
    let inside = unmarked.trim_ascii_start().strip_prefix('{').map(str::trim_ascii_start);
    if inside.is_some_and(|inside| inside.starts_with(['"', '}'])) {
        match json::parse(unmarked, nodes) {
            Ok(roots) => return Ok((Encoding::Json, roots)),
            Err(json::NotJson::Within(failure)) => return Err(failure),
            Err(json::NotJson::Between) => {}
        }
    }
    yaml::parse(text, nodes).map(|roots| (Encoding::Yaml, roots))
}

/// The items of a list, each with a kind and API version; the document itself if it is no list of ours.
fn list_items(root: Node) -> Result<Vec<Node>, Node> {
    let item_type = match root.child("kind").and_then(Node::text) {
        Some("List") => None,
        Some("SecretList") => Some(("Secret", SECRET_API_VERSION)),
        Some("SealedSecretList") => Some(("SealedSecret", SEALED_SECRET_API_VERSION)),
        _ => return Err(root),
    };
    if !matches!(root.child("items").map(|items| &items.kind), None | Some(Kind::List(_) | Kind::Null)) {
        return Err(root);
    }
    let Kind::Mapping(entries) = root.kind else { return Err(root) };
    let items = entries.into_iter().find(|entry| entry.key.is("items"));
    let Some(Kind::List(mut items)) = items.map(|entry| entry.value.kind) else { return Ok(Vec::new()) };
    if let Some((kind, api_version)) = item_type {
        for item in &mut items {
            set_if_absent(item, "kind", kind);
            set_if_absent(item, "apiVersion", api_version);
        }
    }
    Ok(items)
}

/// The items of a typed list need not say what they are.
pub(crate) fn set_if_absent(item: &mut Node, name: &str, value: &str) {
    let at = item.at;
    let text = |text: &str| Zeroizing::new(text.to_owned());
    if item.child(name).is_none()
        && let Kind::Mapping(entries) = &mut item.kind
    {
        let key = Key { at, text: text(name), not_text: None };
        entries.push(Entry { key, value: Node { at, kind: Kind::Text(text(value)) } });
    }
}
