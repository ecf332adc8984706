//! A look into a document of any kind, with places: for checks of whole repositories, which are about fields that no
//! type of ours has, or about a field's place rather than its value.

use super::field::written_path;
use super::{Document, Entry, Kind, Node};
use crate::error::Position;

/// A scalar or collection of a document. It may be plaintext, so it has no `Debug`, and what it shows is borrowed.
#[derive(Clone, Copy)]
pub struct View<'a>(&'a Node);

/// A key of a mapping and what it holds.
#[derive(Clone, Copy)]
pub struct FieldView<'a> {
    /// The key.
    pub key: &'a str,
    /// The place of the key. Where it came by an alias or a merge key, that is where it is written.
    pub at: Position,
    /// Its value.
    pub value: View<'a>,
}

impl Document {
    /// The whole document.
    pub fn view(&self) -> View<'_> {
        View(self.root())
    }

    /// A field's path as it is written in messages, such as `items[2].metadata.name`. Keys that are no ordinary names
    /// are left out: in a broken document they may be plaintext.
    pub fn field_path(&self, keys: &[&str]) -> String {
        written_path(self.item(), &keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>())
    }
}

impl<'a> View<'a> {
    /// Its place.
    pub fn at(self) -> Position {
        self.0.at
    }

    /// The text, if it is one.
    pub fn text(self) -> Option<&'a str> {
        self.0.text()
    }

    /// Whether it is null.
    pub fn is_null(self) -> bool {
        matches!(self.0.kind, Kind::Null)
    }

    /// Whether it is the boolean `true`; the text `"true"` is not.
    pub fn is_true(self) -> bool {
        matches!(self.0.kind, Kind::Boolean(true))
    }

    /// Whether it is a mapping.
    pub fn is_mapping(self) -> bool {
        matches!(self.0.kind, Kind::Mapping(_))
    }

    /// The entries, if it is a mapping. Keys that Kubernetes would rename are left out.
    pub fn fields(self) -> impl Iterator<Item = FieldView<'a>> {
        let entries: &'a [Entry] = match &self.0.kind {
            Kind::Mapping(entries) => entries,
            _ => &[],
        };
        entries.iter().filter(|entry| entry.key.not_text.is_none()).map(|entry| FieldView {
            key: &entry.key.text,
            at: entry.key.at,
            value: View(&entry.value),
        })
    }

    /// The items, if it is a list.
    pub fn items(self) -> impl Iterator<Item = View<'a>> {
        let items: &'a [Node] = match &self.0.kind {
            Kind::List(items) => items,
            _ => &[],
        };
        items.iter().map(View)
    }

    /// What a path of keys leads to.
    pub fn field(self, path: &[&str]) -> Option<FieldView<'a>> {
        let (&key, rest) = path.split_first()?;
        let field = self.fields().find(|field| field.key == key)?;
        if rest.is_empty() { Some(field) } else { field.value.field(rest) }
    }

    /// The text that a path of keys leads to.
    pub fn text_at(self, path: &[&str]) -> Option<&'a str> {
        self.field(path)?.value.text()
    }
}
