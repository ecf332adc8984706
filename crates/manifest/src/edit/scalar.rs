//! One scalar: how it is written, and how a written one is replaced.

use super::refusal::Refusal;
use super::splice::Splices;
use super::syntax::{Entry, Lines, Node, Shape, Style};
use crate::emit;
use crate::error::Obstacle;
use std::collections::BTreeMap;
use std::ops::Range;

/// What a scalar stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Block,
    Flow,
    Json,
}

/// A value as the one that it replaces, or as a new one.
pub(super) fn value(text: &str, like: Option<Style>, place: Place) -> String {
    let plain = || match place {
        Place::Block => is_plain(&emit::yaml(&text), text, ""),
        Place::Flow => {
            like == Some(Style::Plain) && plain_in_flow(text) && is_plain(&emit::yaml(&text), text, "")
        }
        Place::Json => false,
    };
    written(text, like, place, plain)
}

/// A key as its neighbours.
pub(super) fn key(text: &str, like: Style, place: Place) -> String {
    let emitted = || emit::yaml(&BTreeMap::from([(text, true)]));
    let plain = || match place {
        Place::Block => is_plain(&emitted(), text, ": true"),
        Place::Flow => plain_in_flow(text) && is_plain(&emitted(), text, ": true"),
        Place::Json => false,
    };
    written(text, Some(like), place, plain)
}

fn written(text: &str, like: Option<Style>, place: Place, plain: impl Fn() -> bool) -> String {
    match like {
        _ if place == Place::Json => double_quoted(text),
        Some(Style::Single) if !text.contains(must_be_escaped) => format!("'{}'", text.replace('\'', "''")),
        Some(Style::Single | Style::Double) => double_quoted(text),
        _ if plain() => text.to_owned(),
        _ => double_quoted(text),
    }
}

/// Whether [`emit`] leaves a text as it is: it knows what YAML 1.1 and 1.2 readers mistake.
fn is_plain(emitted: &str, text: &str, after: &str) -> bool {
    emitted.strip_prefix(text).and_then(|rest| rest.strip_prefix(after)) == Some("\n")
}

/// Characters that never end a scalar in flow style.
fn plain_in_flow(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=-_.".contains(&b))
}

fn must_be_escaped(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// In JSON's quotes, which are YAML's too.
fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if must_be_escaped(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Puts a text in place of a scalar.
pub(super) fn replace(
    lines: Lines<'_>,
    entry: &Entry,
    style: Style,
    text: &str,
    place: Place,
    splices: &mut Splices,
) -> Result<(), Refusal> {
    let old = &entry.value;
    if style == Style::Block {
        let header = header(lines, entry)?;
        let (from, to) = (lines.end(header.end), block_end(lines, old));
        splices.replace(header, value(text, None, place));
        if from < to {
            splices.delete(from..to);
        }
    } else if old.start < old.end {
        splices.replace(old.start..old.end, value(text, Some(style), place));
    } else if old.has_properties() {
        return Err(Refusal::of(old, Obstacle::Layout));
    } else {
        splices.insert(colon_end(lines, entry)?, format!(" {}", value(text, None, place)));
    }
    Ok(())
}

/// After the `:` of an entry.
pub(super) fn colon_end(lines: Lines<'_>, entry: &Entry) -> Result<usize, Refusal> {
    let rest = &lines.0[entry.key.end..];
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    if rest[blanks..].starts_with(':') {
        Ok(entry.key.end + blanks + 1)
    } else {
        Err(Refusal::of(&entry.key, Obstacle::Layout))
    }
}

/// The `|` or `>` of a block scalar and what belongs to it. The parser's span begins after it.
fn header(lines: Lines<'_>, entry: &Entry) -> Result<Range<usize>, Refusal> {
    let mut offset = colon_end(lines, entry)?;
    loop {
        let rest = &lines.0[offset..];
        let token = rest.find(char::is_whitespace).unwrap_or(rest.len());
        match rest.as_bytes().first() {
            Some(b' ' | b'\t' | b'\r' | b'\n') => offset += 1,
            Some(b'#') => offset = lines.next(offset),
            Some(b'&' | b'!') => offset += token,
            Some(b'|' | b'>') => return Ok(offset..offset + token),
            _ => return Err(Refusal::of(&entry.value, Obstacle::Layout)),
        }
    }
}

/// The end of the last line of a block scalar: without the blank lines below, unless it keeps them.
pub(super) fn block_end(lines: Lines<'_>, node: &Node) -> usize {
    let end = match &node.shape {
        // Two breaks at the end are two lines kept; the span runs into the indentation of the line below.
        Shape::Scalar { text, .. } if text.ends_with("\n\n") || **text == "\n" => {
            let last = if node.end == lines.0.len() && !lines.0.ends_with('\n') {
                return node.end;
            } else {
                lines.start(node.end)
            };
            return last.checked_sub(1).map_or(node.end, |newline| lines.end(lines.start(newline)));
        }
        _ => lines.0[..node.end].trim_end_matches([' ', '\t', '\r', '\n']).len(),
    };
    lines.end(end)
}
