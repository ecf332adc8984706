//! The only way from splices to a text: what comes out is read, and is what went in, changed as asked.

use super::changes::{Change, Changes};
use super::splice::Splices;
use super::walk::goes_when_empty;
use super::{Pass, Targets};
use crate::document::{Document, Entry, Key, Kind, Node, read};
use crate::error::{DocumentError, Encoding, Obstacle, Position, Problem};
use std::collections::HashSet;
use zeroize::Zeroizing;

/// An input with all edits applied. It may hold plaintext beside the SealedSecrets, so it has no `Debug` and is wiped.
pub struct Edited {
    text: Zeroizing<String>,
    source_name: String,
    documents: Vec<Document>,
}

impl Edited {
    /// The text of the whole file.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn unchanged(text: &str, source_name: &str, documents: Vec<Document>) -> Self {
        let text = Zeroizing::new(text.to_owned());
        Self { text, source_name: source_name.to_owned(), documents }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn source_name(&self) -> &str {
        &self.source_name
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.documents.first().map_or(Encoding::Yaml, Document::encoding)
    }

    /// Applies splices, if they do what the changes of a pass say and nothing else.
    pub(super) fn splice(
        mut self,
        splices: Splices,
        pass: Pass,
        targets: &Targets,
    ) -> Result<Self, DocumentError> {
        let new = splices.apply(&self.text);
        let read_again = new.as_ref().and_then(|text| read(text.as_bytes(), &self.source_name).ok());
        for document in &mut self.documents {
            if let Some(changes) = targets.get(&document.id()) {
                change(document.root_mut(), changes, pass);
            }
        }
        let differs = match &read_again {
            None => targets.keys().next().copied(),
            Some(documents) => self.first_difference(documents),
        };
        match (new, read_again, differs) {
            (Some(text), Some(documents), None) => Ok(Self { text, documents, ..self }),
            (_, _, id) => {
                let id = id.or_else(|| targets.keys().next().copied()).unwrap_or_default();
                let document = self.documents.iter().find(|document| document.id() == id);
                let at = document.map_or(Position::START, Document::position);
                Err(id.error(&self.source_name, at, None, Problem::NotEditable(Obstacle::Guard)))
            }
        }
    }

    fn first_difference(&self, documents: &[Document]) -> Option<crate::document::DocumentId> {
        let pairs = self.documents.iter().zip(documents);
        let mut different = pairs.filter(|(old, new)| {
            old.id() != new.id() || old.encoding() != new.encoding() || !old.root().same(new.root())
        });
        let first = different.next().map(|(old, _)| old.id());
        let longer = self.documents.get(documents.len()).or_else(|| documents.get(self.documents.len()));
        first.or_else(|| longer.map(Document::id))
    }
}

/// The same changes on the tree that was read.
fn change(node: &mut Node, changes: &Changes, pass: Pass) {
    if pass == Pass::Set && matches!(node.kind, Kind::Null) {
        node.kind = Kind::Mapping(Vec::new());
    }
    let at = node.at;
    let Kind::Mapping(entries) = &mut node.kind else { return };
    match pass {
        Pass::Remove => entries.retain_mut(|entry| match changes.get(&entry.key.text) {
            Some(Change::Remove) => false,
            Some(Change::Within(within)) => {
                let before = len(&entry.value);
                change(&mut entry.value, within, pass);
                !(before > 0 && len(&entry.value) == 0 && goes_when_empty(&entry.key.text))
            }
            _ => true,
        }),
        Pass::Set => {
            let present: HashSet<String> = entries.iter().map(|entry| (*entry.key.text).clone()).collect();
            for entry in entries.iter_mut() {
                if let Some(wanted) = changes.get(&entry.key.text) {
                    set(&mut entry.value, wanted);
                }
            }
            for (name, wanted) in changes.of(pass).filter(|(name, _)| !present.contains(*name)) {
                let key = Key { at, text: Zeroizing::new(name.to_owned()), not_text: None };
                let mut value = Node { at, kind: Kind::Null };
                set(&mut value, wanted);
                entries.push(Entry { key, value });
            }
        }
    }
}

fn set(value: &mut Node, wanted: &Change) {
    match wanted {
        Change::Set(text) => value.kind = Kind::Text(Zeroizing::new(text.clone())),
        Change::Within(within) if within.has(Pass::Set) => change(value, within, Pass::Set),
        _ => {}
    }
}

fn len(node: &Node) -> usize {
    match &node.kind {
        Kind::Mapping(entries) => entries.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::Edit;
    use std::ops::Range;

    const TEXT: &str = "kind: A\nx: y\n---\nkind: B\nmetadata:\n  labels:\n    a: one\n    b: two\n";

    /// What comes of one splice that claims to set the label `a` of the second document, or to remove it.
    fn splice(range: Range<usize>, text: &str, pass: Pass) -> Result<String, Problem> {
        let documents = read(TEXT.as_bytes(), "x").expect("valid");
        let path = ["metadata", "labels", "a"];
        let edit = Edit::of(documents[1].id());
        let edit = if pass == Pass::Set { edit.set(&path, "new") } else { edit.remove(&path) };
        let mut targets = Targets::new();
        for (path, change) in &edit.steps {
            targets.entry(edit.document).or_default().add(path, change);
        }
        let mut splices = Splices::default();
        splices.replace(range, text.to_owned());
        let edited = Edited::unchanged(TEXT, "x", documents).splice(splices, pass, &targets);
        edited.map(|edited| edited.as_str().to_owned()).map_err(|error| error.problem().clone())
    }

    fn at(text: &str) -> Range<usize> {
        let start = TEXT.find(text).expect("part of the text");
        start..start + text.len()
    }

    #[test]
    fn what_was_asked_for_passes() {
        assert_eq!(splice(at("one"), "new", Pass::Set), Ok(TEXT.replace("one", "new")));
        assert_eq!(splice(at("one"), "'new' # c", Pass::Set), Ok(TEXT.replace("one", "'new' # c")));
        assert_eq!(splice(at("    a: one\n"), "", Pass::Remove), Ok(TEXT.replace("    a: one\n", "")));
    }

    #[test]
    fn whatever_else_is_refused() {
        for (range, text, pass) in [
            (at("one"), "old", Pass::Set),
            (at("two"), "new", Pass::Set),
            (at("one"), "new\n    c: d", Pass::Set),
            (at("one\n    b: two"), "new", Pass::Set),
            (at("one"), "[new]", Pass::Set),
            (at("one"), "\"new", Pass::Set),
            (at("y"), "z", Pass::Set),
            (at("B"), "C", Pass::Set),
            (at("---\n"), "", Pass::Set),
            (at("---\n"), "---\nkind: C\n---\n", Pass::Set),
            (at("    b: two\n"), "", Pass::Remove),
            (at("    a: one\n    b: two\n"), "", Pass::Remove),
            (at("    a: one\n"), "    a: null\n", Pass::Remove),
        ] {
            let refused = Err(Problem::NotEditable(Obstacle::Guard));
            assert_eq!(splice(range.clone(), text, pass), refused, "{range:?} {text:?}");
        }
    }
}
