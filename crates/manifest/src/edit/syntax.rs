//! Where everything stands: a tree of byte spans, of YAML or JSON.

mod json;
mod yaml;

use crate::error::Encoding;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use zeroize::Zeroizing;

/// The documents that are to be edited, by their number.
pub(crate) struct Syntax {
    pub(crate) roots: BTreeMap<usize, Node>,
    /// Anchors that an alias refers to.
    pub(crate) aliased: HashSet<usize>,
}

pub(crate) struct Node {
    /// The content: without anchor and tag. Of a block scalar, without its header, and with the next line's
    /// indentation.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) anchor: Option<usize>,
    pub(crate) tagged: bool,
    pub(crate) shape: Shape,
}

pub(crate) enum Shape {
    Scalar { style: Style, text: Zeroizing<String> },
    Alias,
    List { flow: bool, items: Vec<Node> },
    Mapping { flow: bool, entries: Vec<Entry> },
}

pub(crate) struct Entry {
    pub(crate) key: Node,
    pub(crate) value: Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Single,
    Double,
    Block,
}

impl Syntax {
    /// Of a text that was read before. None if that is not so after all.
    pub(crate) fn parse(text: &str, encoding: Encoding, wanted: &BTreeSet<usize>) -> Option<Self> {
        match encoding {
            Encoding::Yaml => yaml::parse(text, wanted),
            Encoding::Json => json::parse(text, wanted),
        }
    }
}

impl Node {
    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match &self.shape {
            Shape::Mapping { entries, .. } => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn has_properties(&self) -> bool {
        self.tagged || self.anchor.is_some()
    }

    /// Whether anything within, or itself, has an anchor of this set.
    pub(crate) fn holds_anchor_of(&self, aliased: &HashSet<usize>) -> bool {
        self.anchor.is_some_and(|anchor| aliased.contains(&anchor))
            || match &self.shape {
                Shape::List { items, .. } => items.iter().any(|item| item.holds_anchor_of(aliased)),
                Shape::Mapping { entries, .. } => entries
                    .iter()
                    .any(|entry| entry.key.holds_anchor_of(aliased) || entry.value.holds_anchor_of(aliased)),
                _ => false,
            }
    }
}

impl Entry {
    /// The key as it is spelled.
    pub(crate) fn name(&self) -> &str {
        match &self.key.shape {
            Shape::Scalar { text, .. } => text,
            _ => "",
        }
    }

    pub(crate) fn key_style(&self) -> Style {
        match self.key.shape {
            Shape::Scalar { style, .. } => style,
            _ => Style::Plain,
        }
    }
}

/// The lines of a text.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'t>(pub(crate) &'t str);

impl<'t> Lines<'t> {
    pub(crate) fn start(self, offset: usize) -> usize {
        self.0[..offset].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// Before the break.
    pub(crate) fn end(self, offset: usize) -> usize {
        let end = self.0[offset..].find('\n').map_or(self.0.len(), |newline| offset + newline);
        if self.0.as_bytes().get(end) == Some(&b'\n') && end > offset && self.0[..end].ends_with('\r') {
            end - 1
        } else {
            end
        }
    }

    /// After the break.
    pub(crate) fn next(self, offset: usize) -> usize {
        self.0[offset..].find('\n').map_or(self.0.len(), |newline| offset + newline + 1)
    }

    /// What ends the line, or the one before if it is the last.
    pub(crate) fn line_break(self, offset: usize) -> &'t str {
        let newline = self.0[offset..].find('\n').map(|newline| offset + newline);
        match newline.or_else(|| self.0[..offset].rfind('\n')) {
            Some(newline) if self.0[..newline].ends_with('\r') => "\r\n",
            _ => "\n",
        }
    }
}
