//! What no tree of a document tells: its comments, and which alias stands for which anchor.
//!
//! Both can carry a value out of an item that is replaced: a comment quotes it, an anchor outside of the item holds it.

use crate::edit::splice::Splices;
use crate::edit::syntax::{Lines, Node, Shape};
use crate::error::{Limit, Obstacle};
use granit_parser::{Event, Parser};
use std::collections::BTreeMap;
use std::ops::Range;
use zeroize::Zeroizing;

/// Places in a text.
#[derive(Default)]
pub(super) struct Marks {
    comments: Vec<Range<usize>>,
    /// Of each anchor the node.
    anchors: BTreeMap<usize, usize>,
    /// And where aliases stand for it.
    aliases: Vec<(usize, usize)>,
}

impl Marks {
    /// Of a text in YAML that was read before. None if that is not so after all.
    pub(super) fn of(text: &str) -> Option<Self> {
        let options = granit_parser::options! {
            emit_comments: true,
            flow_nesting_limit: Limit::DEPTH,
            block_nesting_limit: Limit::DEPTH,
        };
        let mut parser = Parser::new_from_str_with_options(text, options);
        let mut marks = Self::default();
        loop {
            let (event, span) = parser.next_event()?.ok()?;
            let place = span.byte_range();
            match event {
                Event::StreamEnd => return Some(marks),
                Event::Comment(..) => {
                    marks.comments.push(place.filter(|place| text[place.clone()].starts_with('#'))?);
                }
                Event::Alias(anchor) => marks.aliases.push((anchor, place?.start)),
                Event::Scalar(_, _, anchor, _)
                | Event::SequenceStart(_, anchor, _)
                | Event::MappingStart(_, anchor, _)
                    if anchor != 0 =>
                {
                    marks.anchors.insert(anchor, place?.start);
                }
                _ => {}
            }
        }
    }

    /// Checks that a node shares nothing with what stands around it.
    pub(super) fn stands_alone(&self, node: &Node) -> Result<(), Obstacle> {
        let is_within = |at: usize| at == node.start || (node.start..node.end).contains(&at);
        for &(anchor, alias) in &self.aliases {
            let anchor = self.anchors.get(&anchor).is_some_and(|&anchor| is_within(anchor));
            match (is_within(alias), anchor) {
                (true, false) => return Err(Obstacle::Alias),
                (false, true) => return Err(Obstacle::SharedAnchor),
                _ => {}
            }
        }
        Ok(())
    }

    /// The text with no comments but the `# Source:` lines above `head` and those in the ranges to keep.
    pub(super) fn without_comments(
        &self,
        text: &str,
        head: usize,
        keep: &[Range<usize>],
    ) -> Option<Zeroizing<String>> {
        let mut splices = Splices::default();
        for comment in &self.comments {
            let line = Lines(text).start(comment.start);
            let is_source =
                comment.end <= head && line == comment.start && text[line..].starts_with("# Source: ");
            if is_source || keep.iter().any(|kept| kept.contains(&comment.start)) {
                continue;
            }
            let blank = text[line..comment.start].trim_end_matches([' ', '\t']).len();
            let is_line = blank == 0 && Lines(text).end(comment.end) == comment.end;
            splices.delete(match is_line {
                true => line..Lines(text).next(comment.end),
                false => line + blank..comment.end,
            });
        }
        splices.apply(text)
    }
}

/// Where the items of a list stand that are not replaced: each from its dash to the end of its last line.
pub(super) fn kept(
    text: &str,
    list_start: usize,
    in_flow: bool,
    items: &[Node],
    is_replaced: impl Fn(usize) -> bool,
) -> Vec<Range<usize>> {
    let mut kept = Vec::new();
    let mut above = list_start;
    for (index, item) in items.iter().enumerate() {
        let end = content_end(item).unwrap_or(item.start);
        if !is_replaced(index) {
            let start = if in_flow { item.start } else { dash(text, above, item.start) };
            let is_last = !text[Lines(text).start(end)..end].trim_ascii().is_empty();
            let rest = text[end..].split(['\r', '\n']).next().unwrap_or_default();
            let comment = is_last && rest.trim_start_matches([' ', '\t']).starts_with('#');
            kept.push(start..end + if comment { rest.len() } else { 0 });
        }
        above = end;
    }
    kept
}

/// Where the last thing of a node ends that is written. Nodes in block style end where the next one begins, below comments.
fn content_end(node: &Node) -> Option<usize> {
    match &node.shape {
        Shape::List { flow: false, items } => items.iter().filter_map(content_end).max(),
        Shape::Mapping { flow: false, entries } => {
            entries.iter().flat_map(|entry| [&entry.key, &entry.value]).filter_map(content_end).max()
        }
        _ => Some(node.end).filter(|&end| end > node.start),
    }
}

/// The dash of an item in block style. Between the item above and this one are blank lines, comments and the dash.
fn dash(text: &str, above: usize, item: usize) -> usize {
    let mut line = Lines(text).start(item);
    while line > above {
        let content = text[line..].trim_start_matches([' ', '\t']);
        if content.starts_with('-') {
            return text.len() - content.len();
        }
        line = Lines(text).start(line - 1);
    }
    item
}
