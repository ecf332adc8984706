//! What tools render: many documents, of which the Secrets are replaced by SealedSecrets, and every other byte stays.
//!
//! ```text
//!   bytes ──parts: at `---`──▶ [Part] ──read──▶ [Document]s, lists by their items ──caller──▶ SealedSecret per DocumentId
//!                                └── whole | list ──guard──▶ the same bytes but for those documents
//! ```
//!
//! A chart or a kustomization is not ours: it may hold documents that are no objects, or that `kubectl` reads and we do not
//! (the same key twice). Such a part passes as it is, unless it may hold a Secret: then the whole stream is refused, since
//! what nobody could read nobody has sealed.
//!
//! Of a document that is replaced, the separator and a `# Source:` line stay. Its other comments go: they may quote values,
//! and a value that is commented out is one all the same. Of a list of which an item is replaced only the comments within
//! other items stay.
//!
//! ```
//! use privyseal_manifest::{SealedSecret, SealedSecretSpec, stream::Stream};
//!
//! let rendered = b"---\n# Source: app/secret.yaml\nkind: Secret # x\napiVersion: v1\n---\nkind:   Other\n";
//! let stream = Stream::read(rendered, "stdin")?;
//! let secret = stream.secrets().next().expect("it is there");
//! let sealed = SealedSecret::new("db", SealedSecretSpec::default());
//! let text = stream.replace(&[(secret.id(), sealed)].into(), &[])?;
//! assert!(text.starts_with("---\n# Source: app/secret.yaml\napiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\n"));
//! assert!(text.ends_with("---\nkind:   Other\n"));
//! # Ok::<(), privyseal_manifest::DocumentError>(())
//! ```

mod list;
mod marks;
mod objects;
mod part;
#[cfg(test)]
mod tests;

use crate::document::{Document, DocumentId, Entry, Failure, Key, Kind, Node, decode, parse};
use crate::emit;
use crate::error::{DocumentError, Encoding, Limit, Obstacle, Position, Problem};
use crate::names::{SECRET_API_VERSION, SECRET_KIND};
use crate::sealed_secret::SealedSecret;
use part::{Parts, line_break, may_hold_secret};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A stream of documents, read. It may hold plaintext: it has no `Debug`, and is wiped.
pub struct Stream {
    text: Zeroizing<String>,
    source_name: Arc<str>,
    parts: Vec<Part>,
}

/// What stands between two separators.
struct Part {
    range: Range<usize>,
    /// Lines above it.
    lines: usize,
    /// Which document of the stream its first one is.
    number: usize,
    documents: Vec<Document>,
    list: Option<List>,
}

/// A list whose items are the documents of its part.
struct List {
    root: Node,
    encoding: Encoding,
    /// Its kind says what its items are.
    typed: bool,
}

/// What stands in place of documents.
pub type Replacements = BTreeMap<DocumentId, SealedSecret>;

impl Stream {
    /// Reads a stream. Items of a `List`, `SecretList` or kustomize's `ResourceList` are documents. `source` names the
    /// stream in errors.
    pub fn read(bytes: &[u8], source: &str) -> Result<Self, DocumentError> {
        let source_name: Arc<str> = source.into();
        let text = Zeroizing::new(decode(bytes, source)?.to_owned());
        let mut parts = Vec::new();
        let (mut number, mut lines) = (1, 0);
        for range in Parts::of(&text) {
            let part = Part::read(&text[range.clone()], range.clone(), lines, number, &source_name)?;
            number += part.count(&text[range.clone()]);
            lines += text[range].matches('\n').count();
            parts.push(part);
        }
        Ok(Self { text, source_name, parts })
    }

    /// All documents that could be read, those in lists too.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.parts.iter().flat_map(|part| &part.documents)
    }

    /// Those that Kubernetes takes for Secrets of its core API, or would if they said of which version they are.
    pub fn secrets(&self) -> impl Iterator<Item = &Document> {
        self.documents().filter(|document| objects::is_secret(document.root()))
    }

    /// The list that this is, and nothing else.
    fn only_list(&self) -> Option<(&Part, &List)> {
        let mut parts = self.parts.iter().filter(|part| !part.documents.is_empty() || part.list.is_some());
        match (parts.next(), parts.next()) {
            (Some(part), None) => part.list.as_ref().map(|list| (part, list)),
            _ => None,
        }
    }

    /// The kind and API version, if this is one list.
    pub fn list_kind(&self) -> Option<(&str, &str)> {
        let (_, List { root, .. }) = self.only_list()?;
        Some((root.child("kind")?.text()?, root.child("apiVersion").and_then(Node::text).unwrap_or_default()))
    }

    /// What stands in a field beside the items, if this is one list.
    pub fn beside_items(&self, field: &str) -> Option<Document> {
        let (part, List { root, encoding, .. }) = self.only_list()?;
        let value = root.child(field).filter(|value| !matches!(value.kind, Kind::Null))?;
        let id = DocumentId { document: part.number, item: None };
        Some(Document::new(&self.source_name, id, *encoding, value.clone()))
    }

    /// The stream with other objects in place of some documents, and with some more at the end of the list that it is.
    pub fn replace(
        &self,
        replacements: &Replacements,
        added: &[SealedSecret],
    ) -> Result<Zeroizing<String>, DocumentError> {
        let nowhere = |id: DocumentId| {
            let problem = Problem::NotEditable(Obstacle::NoSuchDocument);
            Err(id.error(&self.source_name, Position::START, None, problem))
        };
        let known: BTreeSet<_> = self.documents().map(Document::id).collect();
        if let Some(id) = replacements.keys().find(|id| !known.contains(id)) {
            return nowhere(*id);
        }
        let extended = self.only_list().map(|(part, _)| part.range.start);
        if extended.is_none() && !added.is_empty() {
            return nowhere(DocumentId::default());
        }
        let mut pieces = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let text = &self.text[part.range.clone()];
            let added = if extended == Some(part.range.start) { added } else { &[] };
            pieces.push(part.replace(text, &self.source_name, replacements, added)?);
        }
        // Never moved, so that it leaves no copy.
        let mut out = Zeroizing::new(String::with_capacity(pieces.iter().map(|piece| piece.len()).sum()));
        for piece in &pieces {
            out.push_str(piece);
        }
        Ok(out)
    }
}

impl Part {
    fn read(
        text: &str,
        range: Range<usize>,
        lines: usize,
        number: usize,
        source_name: &Arc<str>,
    ) -> Result<Self, DocumentError> {
        let mut part = Self { range, lines, number, documents: Vec::new(), list: None };
        let failed = |mut failure: Failure| {
            failure.at.line += lines;
            if let Problem::DuplicateKey { first } = &mut failure.problem {
                first.line += lines;
            }
            failure.document = Some(number);
            failure.of(source_name)
        };
        let (encoding, roots) = match parse(text, Limit::NODES) {
            Ok(read) => read,
            Err(failure) if may_hold_secret(text) => return Err(failed(failure)),
            Err(_) => return Ok(part),
        };
        for (index, mut root) in roots.into_iter().enumerate() {
            let id = DocumentId { document: number + index, item: None };
            root.shift(lines);
            if !matches!(root.kind, Kind::Mapping(_)) {
                if may_hold_secret(text) {
                    let problem = root.found().map_or(Problem::UnsupportedTag, |found| Problem::WrongType {
                        expected: "a mapping",
                        found,
                    });
                    return Err(id.error(source_name, root.at, None, problem));
                }
                continue;
            }
            if let Some((at, field, problem)) = objects::hidden(&root, may_hold_secret(text)) {
                return Err(id.error(source_name, at, Some(&[field.to_owned()]), problem));
            }
            match List::of(&root) {
                Some((items, typed)) => {
                    for (item, root) in items.into_iter().enumerate() {
                        let id = DocumentId { item: Some(item), ..id };
                        part.documents.push(Document::new(source_name, id, encoding, root));
                    }
                    part.list = Some(List { root, encoding, typed });
                }
                None => part.documents.push(Document::new(source_name, id, encoding, root)),
            }
        }
        let may_hold_secret = may_hold_secret(text);
        for document in &part.documents {
            if may_hold_secret {
                document.check_kind_is_told()?;
            }
            if objects::hold_secret(document.root()) {
                let obstacle = match document.item() {
                    Some(_) => Obstacle::NestedList,
                    None => Obstacle::OtherList,
                };
                return Err(part.refused(document.id(), source_name, obstacle));
            }
        }
        Ok(part)
    }

    /// How many documents it counts for.
    fn count(&self, text: &str) -> usize {
        match self.documents.last() {
            Some(last) => last.number() + 1 - self.number,
            None => usize::from(self.list.is_some() || !part::is_empty(text)),
        }
    }

    fn replace(
        &self,
        text: &str,
        source_name: &Arc<str>,
        replacements: &Replacements,
        added: &[SealedSecret],
    ) -> Result<Zeroizing<String>, DocumentError> {
        let of_this = self.documents.iter().map(Document::id);
        let replaced: BTreeMap<_, _> = of_this.filter_map(|id| Some((id, replacements.get(&id)?))).collect();
        if replaced.is_empty() && added.is_empty() {
            return Ok(Zeroizing::new(text.to_owned()));
        }
        let first =
            replaced.keys().next().copied().unwrap_or(DocumentId { document: self.number, item: None });
        let refused = |obstacle| self.refused(first, source_name, obstacle);
        let new = match (&self.list, replaced.values().next()) {
            (Some(list), _) if self.is_one_document() => {
                if list.typed && !replaced.is_empty() {
                    return Err(refused(Obstacle::TypedList));
                }
                let items = replaced.iter().filter_map(|(id, sealed)| Some((id.item()?, *sealed))).collect();
                list::replace(text, list.encoding, &items, added).map_err(refused)?
            }
            (None, Some(sealed)) if self.documents.len() == 1 => self.whole(text, &self.documents[0], sealed),
            _ => return Err(refused(Obstacle::NoSeparator)),
        };
        if self.says_what_it_said(&new, source_name, &replaced, added) {
            Ok(new)
        } else {
            Err(refused(Obstacle::Guard))
        }
    }

    fn is_one_document(&self) -> bool {
        self.documents.iter().all(|document| document.number() == self.number && document.item().is_some())
    }

    /// The text of a part whose only document is replaced.
    fn whole(&self, text: &str, document: &Document, sealed: &SealedSecret) -> Zeroizing<String> {
        let line_break = line_break(text);
        let mut out = String::new();
        let unmarked = match text.strip_prefix('\u{feff}') {
            Some(rest) => {
                out.push('\u{feff}');
                rest
            }
            None => text,
        };
        if part::is_separator(unmarked) {
            out.push_str("---\n");
        }
        let head = document.line() - 1 - self.lines;
        let lines = Zeroizing::new(unmarked.replace("\r\n", "\n"));
        for line in lines.split(['\r', '\n']).take(head).filter(|line| line.starts_with("# Source: ")) {
            out.push_str(line);
            out.push('\n');
        }
        match document.encoding() {
            Encoding::Json => out.push_str(&emit::to_json(sealed)),
            Encoding::Yaml => out.push_str(&emit::to_yaml(sealed)),
        }
        Zeroizing::new(if line_break == "\n" { out } else { out.replace('\n', line_break) })
    }

    /// What comes out is read, and holds what it held, but for what was replaced.
    fn says_what_it_said(
        &self,
        new: &str,
        source_name: &Arc<str>,
        replaced: &BTreeMap<DocumentId, &SealedSecret>,
        added: &[SealedSecret],
    ) -> bool {
        let Ok((encoding, roots)) = parse(new, Limit::NODES) else { return false };
        let [root] = roots.as_slice() else { return false };
        let is = |node: &Node, sealed: &SealedSecret| {
            let id = DocumentId { document: 1, item: None };
            let document = Document::new(source_name, id, encoding, node.clone());
            document.to_sealed_secret().is_ok_and(|read| read == *sealed)
        };
        let Some(List { root: old, .. }) = &self.list else {
            return replaced.values().all(|sealed| is(root, sealed));
        };
        let Some((items, _)) = List::of(root) else { return false };
        let (kept, more) = items.split_at(self.documents.len().min(items.len()));
        kept.len() == self.documents.len()
            && self.documents.iter().zip(kept).all(|(document, node)| match replaced.get(&document.id()) {
                Some(sealed) => is(node, sealed),
                None => document.root().same(node),
            })
            && more.len() == added.len()
            && more.iter().zip(added).all(|(node, sealed)| is(node, sealed))
            && without_items(old).same(&without_items(root))
    }

    fn refused(&self, id: DocumentId, source_name: &Arc<str>, obstacle: Obstacle) -> DocumentError {
        let document = self.documents.iter().find(|document| document.id() == id);
        let at = document.map_or(Position { line: self.lines + 1, column: 1 }, Document::position);
        id.error(source_name, at, Some(&[]), Problem::NotEditable(obstacle))
    }
}

impl List {
    /// The items of a list, each with kind and API version, and whether the list's own kind gives them.
    fn of(root: &Node) -> Option<(Vec<Node>, bool)> {
        let text = |name| root.child(name).and_then(Node::text);
        let typed = match (text("kind")?, text("apiVersion").unwrap_or_default()) {
            ("List", _) => false,
            ("SecretList", _) => true,
            ("ResourceList", version) if version.starts_with("config.kubernetes.io/") => false,
            _ => return None,
        };
        let mut items = match root.child("items").map(|items| &items.kind) {
            None | Some(Kind::Null) => Vec::new(),
            Some(Kind::List(items)) => items.clone(),
            Some(_) => return None,
        };
        if typed {
            for item in &mut items {
                set_if_untold(item, "kind", SECRET_KIND);
                set_if_untold(item, "apiVersion", SECRET_API_VERSION);
            }
        }
        Some((items, typed))
    }
}

fn without_items(root: &Node) -> Node {
    let mut rest = root.clone();
    if let Kind::Mapping(entries) = &mut rest.kind {
        entries.retain(|entry| !entry.key.is("items"));
    }
    rest
}

/// The items of a typed list need not say what they are.
fn set_if_untold(item: &mut Node, name: &str, value: &str) {
    let at = item.at;
    let text = |text: &str| Zeroizing::new(text.to_owned());
    if objects::is_untold(item.child(name))
        && let Kind::Mapping(entries) = &mut item.kind
    {
        entries.retain(|entry| !entry.key.is(name));
        let key = Key { at, text: text(name), not_text: None };
        entries.push(Entry { key, value: Node { at, kind: Kind::Text(text(value)) } });
    }
}
