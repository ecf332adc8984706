//! Entries of mappings in block style: whole lines.

use super::Pass;
use super::changes::Change;
use super::refusal::Refusal;
use super::scalar::{self, Place, block_end, colon_end};
use super::splice::Splices;
use super::syntax::{Entry, Lines, Node, Shape, Style};
use crate::error::Obstacle;

/// Spaces that a level is indented by, where the document does not tell.
const STEP: usize = 2;

/// Columns before the keys of a mapping, and how many more its children have.
#[derive(Clone, Copy)]
pub(super) struct Indent {
    own: usize,
    step: usize,
}

impl Indent {
    /// Of a mapping that has entries, within another one or not.
    pub(super) fn of(
        lines: Lines<'_>,
        entries: &[Entry],
        parent: Option<Self>,
    ) -> Result<Option<Self>, Refusal> {
        let Some(first) = entries.first() else { return Ok(None) };
        let own = column(lines, first)?;
        let child = entries.iter().find_map(|entry| match &entry.value.shape {
            Shape::Mapping { flow: false, entries } => entries.first(),
            _ => None,
        });
        // A child that cannot be measured is refused where it matters.
        let step = match (child, parent) {
            (Some(child), _) => column(lines, child).unwrap_or(own + STEP).saturating_sub(own),
            (None, Some(parent)) => own.saturating_sub(parent.own),
            (None, None) => STEP,
        };
        Ok(Some(Self { own, step: step.max(1) }))
    }

    fn child(self) -> Self {
        Self { own: self.own + self.step, ..self }
    }
}

/// Before the key of an entry; there stand only spaces and the dashes of a list.
fn column(lines: Lines<'_>, entry: &Entry) -> Result<usize, Refusal> {
    let before = lines.0[lines.start(entry.key.start)..entry.key.start].trim_start_matches('\u{feff}');
    let indentation = before.bytes().all(|b| matches!(b, b' ' | b'-'));
    if indentation { Ok(before.len()) } else { Err(Refusal::of(&entry.key, Obstacle::Layout)) }
}

/// Adds entries, each before the entry with that number. `below` is the entry whose value this mapping is.
pub(super) fn insert(
    lines: Lines<'_>,
    entries: &[Entry],
    below: Option<&Entry>,
    indent: Indent,
    new: &[(usize, &str, &Change)],
    splices: &mut Splices,
) -> Result<(), Refusal> {
    for &(before, name, change) in new {
        let (offset, like) = match (before.checked_sub(1), below) {
            (Some(previous), _) => (last_line_end(lines, &entries[previous])?, &entries[previous]),
            // The comments above the first entry stay above it.
            (None, Some(below)) => (line_end(lines, colon_end(lines, below)?, &below.key)?, &entries[0]),
            (None, None) => {
                let last = entries.len() - 1;
                (last_line_end(lines, &entries[last])?, &entries[last])
            }
        };
        let mut text = String::new();
        write(&mut text, name, change, like.key_style(), indent, lines.line_break(offset));
        splices.insert(offset, text);
    }
    Ok(())
}

/// Entries of a mapping that has none yet: it is `{}`, null or nothing.
pub(super) fn fill(
    lines: Lines<'_>,
    entry: &Entry,
    indent: Indent,
    new: &[(&str, &Change)],
    splices: &mut Splices,
) -> Result<(), Refusal> {
    let colon = colon_end(lines, entry)?;
    let value = &entry.value;
    let layout = || Refusal::of(value, Obstacle::Layout);
    if value.has_properties() {
        return Err(layout());
    }
    let mut end = colon;
    if value.start < value.end {
        end = value.end;
        let written = lines.0.get(colon..end).ok_or_else(layout)?;
        if written.contains(['\n', '#']) {
            return Err(layout());
        }
        splices.delete(colon..end);
    }
    let offset = line_end(lines, end, value)?;
    let mut text = String::new();
    for (name, change) in new {
        write(&mut text, name, change, entry.key_style(), indent.child(), lines.line_break(offset));
    }
    splices.insert(offset, text);
    Ok(())
}

/// One entry as lines, each after its break: so it can follow a line that has none.
fn write(out: &mut String, name: &str, change: &Change, like: Style, indent: Indent, line_break: &str) {
    out.push_str(line_break);
    out.push_str(&" ".repeat(indent.own));
    out.push_str(&scalar::key(name, like, Place::Block));
    out.push(':');
    match change {
        Change::Set(text) => {
            out.push(' ');
            out.push_str(&scalar::value(text, None, Place::Block));
        }
        Change::Within(changes) => {
            for (name, change) in changes.of(Pass::Set) {
                write(out, name, change, like, indent.child(), line_break);
            }
        }
        Change::Remove => {}
    }
}

/// Removes the lines of an entry.
pub(super) fn remove(lines: Lines<'_>, entry: &Entry, splices: &mut Splices) -> Result<(), Refusal> {
    let start = lines.start(entry.key.start);
    if !lines.0[start..entry.key.start].bytes().all(|b| b == b' ') {
        return Err(Refusal::of(&entry.key, Obstacle::Layout));
    }
    splices.delete_lines(start..lines.next(last_line_end(lines, entry)?));
    Ok(())
}

/// Removes all entries of the mapping that is the value of `entry`.
pub(super) fn empty(
    lines: Lines<'_>,
    entry: &Entry,
    entries: &[Entry],
    splices: &mut Splices,
) -> Result<(), Refusal> {
    if entry.value.has_properties() {
        return Err(Refusal::of(&entry.value, Obstacle::Layout));
    }
    splices.insert(colon_end(lines, entry)?, " {}".to_owned());
    entries.iter().try_for_each(|entry| remove(lines, entry, splices))
}

/// The end of the last line of an entry, before the break.
fn last_line_end(lines: Lines<'_>, entry: &Entry) -> Result<usize, Refusal> {
    let mut end = colon_end(lines, entry)?;
    let mut node = &entry.value;
    loop {
        match &node.shape {
            Shape::Mapping { flow: false, entries } if !entries.is_empty() => {
                let last = &entries[entries.len() - 1];
                end = last.key.end;
                node = &last.value;
            }
            Shape::List { flow: false, items } if !items.is_empty() => {
                node = &items[items.len() - 1];
            }
            Shape::Scalar { style: Style::Block, .. } => {
                return Ok(block_end(lines, node).max(lines.end(end)));
            }
            _ => return line_end(lines, end.max(node.end), node),
        }
    }
}

/// The end of a line on which nothing but a comment follows, or the anchor of what is below.
fn line_end(lines: Lines<'_>, offset: usize, node: &Node) -> Result<usize, Refusal> {
    let end = lines.end(offset);
    let rest = lines.0[offset..end].trim_start_matches([' ', '\t']);
    if rest.is_empty() || rest.starts_with(['#', '&']) {
        Ok(end)
    } else {
        Err(Refusal::of(node, Obstacle::Layout))
    }
}
