//! Items of a list, each replaced in its place.
//!
//! First all comments go but those within items that stay: they may quote values. Then of a list in block style whole lines
//! are replaced, from an item's dash to the next one's; of a list in flow style, JSON among them, an item is replaced by JSON
//! on one line.

use super::marks::{self, Marks};
use super::part::line_break;
use crate::edit::splice::Splices;
use crate::edit::syntax::{Entry, Lines, Node, Shape, Syntax};
use crate::emit;
use crate::error::{Encoding, Obstacle};
use crate::sealed_secret::SealedSecret;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The text of a part that is one list.
pub(super) fn replace(
    text: &str,
    encoding: Encoding,
    items: &BTreeMap<usize, &SealedSecret>,
    added: &[SealedSecret],
) -> Result<Zeroizing<String>, Obstacle> {
    if items.is_empty() || encoding == Encoding::Json {
        return spliced(text, encoding, items, added);
    }
    let root = root(text, encoding)?;
    let list = items_of(&root).ok_or(Obstacle::Layout)?;
    let Shape::List { flow, items: nodes } = &list.value.shape else { return Err(Obstacle::Layout) };
    let marks = Marks::of(text).ok_or(Obstacle::Layout)?;
    for item in items.keys() {
        marks.stands_alone(nodes.get(*item).ok_or(Obstacle::Layout)?)?;
    }
    let kept = marks::kept(text, list.key.end, *flow, nodes, |index| items.contains_key(&index));
    let bare = marks.without_comments(text, root.start, &kept).ok_or(Obstacle::Layout)?;
    spliced(&bare, encoding, items, added)
}

fn root(text: &str, encoding: Encoding) -> Result<Node, Obstacle> {
    let syntax = Syntax::parse(text, encoding, &[1].into());
    syntax.and_then(|mut syntax| syntax.roots.remove(&1)).ok_or(Obstacle::Layout)
}

fn items_of(root: &Node) -> Option<&Entry> {
    root.entries()?.iter().find(|entry| entry.name() == "items")
}

fn spliced(
    text: &str,
    encoding: Encoding,
    items: &BTreeMap<usize, &SealedSecret>,
    added: &[SealedSecret],
) -> Result<Zeroizing<String>, Obstacle> {
    let root = root(text, encoding)?;
    let Shape::Mapping { flow: in_flow, entries } = &root.shape else { return Err(Obstacle::Layout) };
    let mut splices = Splices::default();
    match items_of(&root).map(|entry| (entry, &entry.value.shape)) {
        None if *in_flow => return Err(Obstacle::Layout),
        None => append_list(text, root.start, added, &mut splices)?,
        Some((entry, Shape::List { flow: true, items: nodes })) => {
            for (item, sealed) in items {
                let node = nodes.get(*item).ok_or(Obstacle::Layout)?;
                splices.replace(node.start..node.end, in_one_line(sealed));
            }
            if *in_flow || !nodes.is_empty() {
                extend_flow(text, &entry.value, nodes.is_empty(), added, &mut splices)?;
            } else if !added.is_empty() {
                let indent = column(text, entry.key.start)?;
                let body: String = added
                    .iter()
                    .map(|sealed| line_break(text).to_owned() + &item(text, sealed, indent))
                    .collect();
                let after_key = text[..entry.value.start].trim_end_matches(' ').len();
                splices.replace(after_key..entry.value.end, body);
            }
        }
        Some((entry, Shape::List { flow: false, items: nodes })) => {
            let after =
                entries.iter().map(|other| other.key.start).filter(|&start| start > entry.value.start).min();
            let end = after.map_or(text.len(), |start| Lines(text).start(start));
            replace_block(text, nodes, end, items, added, &mut splices)?;
        }
        Some(_) => return Err(Obstacle::Layout),
    }
    splices.apply(text).ok_or(Obstacle::Layout)
}

fn replace_block(
    text: &str,
    nodes: &[Node],
    end: usize,
    items: &BTreeMap<usize, &SealedSecret>,
    added: &[SealedSecret],
    splices: &mut Splices,
) -> Result<(), Obstacle> {
    // Of each item the line with its dash, and the dash's column.
    let dash = |node: &Node| {
        let dash = text[..node.start].trim_end_matches([' ', '\t', '\r', '\n']).len().checked_sub(1);
        let dash = dash.filter(|&at| text.as_bytes().get(at) == Some(&b'-')).ok_or(Obstacle::Layout)?;
        Ok((Lines(text).start(dash), column(text, dash)?))
    };
    for (&index, sealed) in items {
        let (line, column) = dash(nodes.get(index).ok_or(Obstacle::Layout)?)?;
        let next = nodes.get(index + 1).map_or(Ok(end), |next| dash(next).map(|(line, _)| line))?;
        splices.replace(line..next, item(text, sealed, column) + line_break(text));
    }
    if !added.is_empty() {
        let (_, column) = dash(nodes.last().ok_or(Obstacle::Layout)?)?;
        let mut more = String::new();
        if !text[..end].ends_with('\n') && !items.contains_key(&(nodes.len() - 1)) {
            more.push_str(line_break(text));
        }
        for sealed in added {
            more.push_str(&item(text, sealed, column));
            more.push_str(line_break(text));
        }
        splices.insert(end, more);
    }
    Ok(())
}

/// Adds to a list in flow style, before its bracket.
fn extend_flow(
    text: &str,
    list: &Node,
    is_empty: bool,
    added: &[SealedSecret],
    splices: &mut Splices,
) -> Result<(), Obstacle> {
    if added.is_empty() {
        return Ok(());
    }
    let bracket = list.end.checked_sub(1).filter(|&at| text.as_bytes().get(at) == Some(&b']'));
    let bracket = bracket.ok_or(Obstacle::Layout)?;
    let more: Vec<_> = added.iter().map(in_one_line).collect();
    let before = if is_empty || text[..bracket].trim_end().ends_with(',') { "" } else { "," };
    splices.insert(bracket, format!("{before}{}", more.join(",")));
    Ok(())
}

/// Adds `items` to a list that has none.
fn append_list(
    text: &str,
    root: usize,
    added: &[SealedSecret],
    splices: &mut Splices,
) -> Result<(), Obstacle> {
    let indent = column(text, root)?;
    let line_break = line_break(text);
    let mut more = String::new();
    if !text.ends_with('\n') {
        more.push_str(line_break);
    }
    more.push_str(&format!("{}items:{line_break}", " ".repeat(indent)));
    for sealed in added {
        more.push_str(&item(text, sealed, indent));
        more.push_str(line_break);
    }
    splices.insert(text.len(), more);
    Ok(())
}

/// An item in block style, without the last line break.
fn item(text: &str, sealed: &SealedSecret, column: usize) -> String {
    let indent = " ".repeat(column);
    let yaml = emit::to_yaml(sealed);
    let lines: Vec<_> = yaml.lines().collect();
    format!("{indent}- {}", lines.join(&format!("{}{indent}  ", line_break(text))))
}

fn in_one_line(sealed: &SealedSecret) -> String {
    serde_json::to_string(sealed).expect("our types are representable")
}

/// How many blanks stand before it, if nothing else does.
fn column(text: &str, at: usize) -> Result<usize, Obstacle> {
    let before = &text[Lines(text).start(at)..at];
    if before.bytes().all(|byte| byte == b' ') { Ok(before.len()) } else { Err(Obstacle::Layout) }
}
