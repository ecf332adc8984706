//! Down the syntax tree along the changes, to splices. What cannot be edited safely is refused on the way.

use super::block::{self, Indent};
use super::changes::{Change, Changes};
use super::flow::Flow;
use super::refusal::Refusal;
use super::scalar::{self, Place};
use super::splice::Splices;
use super::syntax::{Entry, Lines, Node, Shape, Style, Syntax};
use super::{Edited, Pass, Targets};
use crate::document::{Kind, key_not_text, resolve};
use crate::error::{DocumentError, Encoding, Obstacle, Problem, TEXT};
use std::collections::{HashMap, HashSet};

/// Does one pass over all documents.
pub(super) fn pass(edited: Edited, pass: Pass, targets: &Targets) -> Result<Edited, DocumentError> {
    let wanted = targets.keys().map(|id| id.document).collect();
    let encoding = edited.encoding();
    let text = edited.text();
    let syntax = Syntax::parse(text, encoding, &wanted);
    let mut splices = Splices::default();
    for (id, changes) in targets {
        let refused = |refusal: Refusal| refusal.error(*id, text, edited.source_name());
        let unlocated = || refused(Refusal::at(0, Obstacle::Layout));
        let syntax = syntax.as_ref().ok_or_else(unlocated)?;
        let root = syntax.roots.get(&id.document).ok_or_else(unlocated)?;
        let mut walk = Walk {
            lines: Lines(text),
            json: encoding == Encoding::Json,
            aliased: &syntax.aliased,
            pass,
            splices: &mut splices,
        };
        let object = match id.item {
            None => Ok(root),
            Some(item) => walk.item(root, item),
        };
        object.and_then(|object| walk.mapping(object, changes, Around::NOTHING)).map_err(refused)?;
    }
    edited.splice(splices, pass, targets)
}

struct Walk<'a> {
    lines: Lines<'a>,
    json: bool,
    aliased: &'a HashSet<usize>,
    pass: Pass,
    splices: &'a mut Splices,
}

/// What a mapping stands in.
#[derive(Clone, Copy)]
struct Around<'w, 'a> {
    /// The entry whose value it is.
    entry: Option<&'a Entry>,
    indent: Option<Indent>,
    flow: Option<&'w Flow<'a>>,
}

impl Around<'_, '_> {
    const NOTHING: Self = Self { entry: None, indent: None, flow: None };
}

/// Whether a mapping is there after a pass.
#[derive(PartialEq, Eq)]
enum After {
    Kept,
    /// It would be empty, and goes with its key.
    Dropped,
}

/// What a mapping's style needs to add or remove entries.
enum Layout<'a> {
    Block(Option<Indent>),
    Flow(Flow<'a>),
}

impl<'a> Walk<'a> {
    /// An item of the list that a `List` is.
    fn item(&self, list: &'a Node, item: usize) -> Result<&'a Node, Refusal> {
        self.check(list)?;
        let entries = list.entries().unwrap_or_default();
        let items = entries.iter().find(|entry| entry.name() == "items").map(|entry| &entry.value);
        let items = items.ok_or_else(|| Refusal::of(list, Obstacle::Layout))?;
        self.check_node(items)?;
        match &items.shape {
            Shape::List { items: nodes, .. } => {
                nodes.get(item).ok_or_else(|| Refusal::of(items, Obstacle::Layout))
            }
            _ => Err(Refusal::of(items, Obstacle::Layout)),
        }
    }

    fn mapping(
        &mut self,
        node: &'a Node,
        changes: &Changes,
        around: Around<'_, 'a>,
    ) -> Result<After, Refusal> {
        self.check(node)?;
        let Shape::Mapping { flow, entries } = &node.shape else {
            return Err(Refusal::wrong_type(node, "a mapping"));
        };
        let layout = if *flow {
            Layout::Flow(Flow::of(self.lines, node, self.json, around.flow)?)
        } else {
            Layout::Block(Indent::of(self.lines, entries, around.indent)?)
        };
        let by_name: HashMap<&str, usize> =
            entries.iter().enumerate().map(|(index, entry)| (entry.name(), index)).collect();
        let (mut missing, mut removed) = (Vec::new(), Vec::new());
        for (name, change) in changes.of(self.pass) {
            let Some(&index) = by_name.get(name) else {
                missing.push((name, change));
                continue;
            };
            let after =
                self.entry(&entries[index], change, &layout).map_err(|refusal| refusal.within(name))?;
            if after == After::Dropped {
                removed.push(index);
            }
        }
        if self.pass == Pass::Set {
            self.insert(entries, &missing, &layout, around)?;
            return Ok(After::Kept);
        }
        removed.sort_unstable();
        self.remove(entries, &removed, &layout, around)
    }

    fn entry(&mut self, entry: &'a Entry, change: &Change, layout: &Layout<'a>) -> Result<After, Refusal> {
        let value = &entry.value;
        text_key(entry)?;
        match change {
            Change::Remove if value.holds_anchor_of(self.aliased) => {
                return Err(Refusal::of(value, Obstacle::SharedAnchor));
            }
            Change::Remove => return Ok(After::Dropped),
            Change::Set(text) => self.set(entry, text, layout)?,
            Change::Within(changes) => {
                self.check_node(value)?;
                let empty = match &value.shape {
                    Shape::Mapping { entries, .. } => entries.is_empty(),
                    Shape::Scalar { style: Style::Plain, text } => matches!(resolve(text), Kind::Null),
                    _ => false,
                };
                if !empty {
                    let (indent, flow) = match layout {
                        Layout::Block(indent) => (*indent, None),
                        Layout::Flow(flow) => (None, Some(flow)),
                    };
                    return self.mapping(value, changes, Around { entry: Some(entry), indent, flow });
                }
                if self.pass == Pass::Set {
                    self.fill(entry, changes, layout)?;
                }
            }
        }
        Ok(After::Kept)
    }

    fn set(&mut self, entry: &Entry, text: &str, layout: &Layout<'a>) -> Result<(), Refusal> {
        self.check_node(&entry.value)?;
        let Shape::Scalar { style, text: old } = &entry.value.shape else {
            return Err(Refusal::wrong_type(&entry.value, TEXT));
        };
        let is_text = *style != Style::Plain || matches!(resolve(old), Kind::Text(_));
        if is_text && **old == text {
            return Ok(());
        }
        let place = match layout {
            _ if self.json => Place::Json,
            Layout::Block(_) => Place::Block,
            Layout::Flow(_) => Place::Flow,
        };
        scalar::replace(self.lines, entry, *style, text, place, self.splices)
    }

    fn fill(&mut self, entry: &Entry, changes: &Changes, layout: &Layout<'a>) -> Result<(), Refusal> {
        let new: Vec<_> = changes.of(Pass::Set).collect();
        match layout {
            Layout::Block(Some(indent)) => block::fill(self.lines, entry, *indent, &new, self.splices),
            Layout::Block(None) => Err(Refusal::of(&entry.value, Obstacle::Layout)),
            Layout::Flow(flow) => flow.fill(entry, &new, self.splices),
        }
    }

    fn insert(
        &mut self,
        entries: &'a [Entry],
        missing: &[(&str, &Change)],
        layout: &Layout<'a>,
        around: Around<'_, 'a>,
    ) -> Result<(), Refusal> {
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = entries.iter().map(Entry::name).collect();
        let is_sorted = names.is_sorted();
        let place = |name: &str| {
            if is_sorted { names.partition_point(|present| *present < name) } else { names.len() }
        };
        let new: Vec<_> = missing.iter().map(|&(name, change)| (place(name), name, change)).collect();
        match layout {
            Layout::Block(Some(indent)) => {
                block::insert(self.lines, entries, around.entry, *indent, &new, self.splices)
            }
            Layout::Flow(flow) if !entries.is_empty() => {
                flow.insert(&new, self.splices);
                Ok(())
            }
            // An object without a field would not be a SealedSecret.
            _ => Err(Refusal::at(0, Obstacle::Layout)),
        }
    }

    fn remove(
        &mut self,
        entries: &'a [Entry],
        removed: &[usize],
        layout: &Layout<'a>,
        around: Around<'_, 'a>,
    ) -> Result<After, Refusal> {
        let emptied = removed.len() == entries.len();
        if removed.is_empty() {
            return Ok(After::Kept);
        }
        if emptied && around.entry.is_some_and(|entry| goes_when_empty(entry.name())) {
            return Ok(After::Dropped);
        }
        match (layout, around.entry) {
            (Layout::Flow(flow), _) => flow.remove(removed, self.splices)?,
            (Layout::Block(_), Some(entry)) if emptied => {
                block::empty(self.lines, entry, entries, self.splices)?;
            }
            (Layout::Block(_), _) => {
                removed
                    .iter()
                    .try_for_each(|&index| block::remove(self.lines, &entries[index], self.splices))?;
            }
        }
        Ok(After::Kept)
    }

    /// Refuses a mapping of which not every key is what it looks like.
    fn check(&self, node: &Node) -> Result<(), Refusal> {
        self.check_node(node)?;
        node.entries().unwrap_or_default().iter().try_for_each(|entry| self.check_key(entry))
    }

    fn check_node(&self, node: &Node) -> Result<(), Refusal> {
        if matches!(node.shape, Shape::Alias) {
            return Err(Refusal::of(node, Obstacle::Alias));
        }
        if node.tagged {
            return Err(Refusal::of(node, Obstacle::Tag));
        }
        if node.anchor.is_some_and(|anchor| self.aliased.contains(&anchor)) {
            return Err(Refusal::of(node, Obstacle::SharedAnchor));
        }
        Ok(())
    }

    fn check_key(&self, entry: &Entry) -> Result<(), Refusal> {
        let key = &entry.key;
        let before = self.lines.0[..key.start].trim_end_matches([' ', '\t']);
        // On the same line; at the end of the line above it belongs to a value.
        let explicit = before.ends_with('?');
        match &key.shape {
            Shape::Scalar { style: Style::Plain, text } if **text == "<<" => {
                Err(Refusal::of(key, Obstacle::MergeKey))
            }
            Shape::Scalar { style, .. } if *style != Style::Block && !key.has_properties() && !explicit => {
                Ok(())
            }
            _ => Err(Refusal::of(key, Obstacle::Key)),
        }
    }
}

/// Maps that may as well not be there.
pub(super) fn goes_when_empty(name: &str) -> bool {
    matches!(name, "annotations" | "labels")
}

/// A key that Kubernetes reads as it is spelled: `on` would be `true`.
fn text_key(entry: &Entry) -> Result<(), Refusal> {
    match key_not_text(entry.name(), entry.key_style() == Style::Plain) {
        None => Ok(()),
        Some(found) => Err(Refusal::new(entry.key.start, Problem::KeyNotText { found })),
    }
}
