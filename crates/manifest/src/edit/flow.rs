//! Entries of mappings in flow style, and of JSON: commas, on one line or on many.

use super::Pass;
use super::changes::Change;
use super::refusal::Refusal;
use super::scalar::{self, Place};
use super::splice::Splices;
use super::syntax::{Entry, Lines, Node, Style};
use crate::error::Obstacle;
use std::ops::Range;

/// A mapping and what stands between its entries: gap `n` is the one before entry `n`.
pub(super) struct Flow<'a> {
    lines: Lines<'a>,
    node: &'a Node,
    entries: &'a [Entry],
    gaps: Vec<Gap>,
    layout: Layout<'a>,
    place: Place,
}

/// Between two entries, or between an entry and a brace.
struct Gap {
    range: Range<usize>,
    comma: Option<usize>,
    /// Where the line ends after the comma, or after the entry if there is no comma.
    line_end: Option<usize>,
    /// Where the last line break begins.
    last_break: Option<usize>,
    comment: bool,
}

/// How the neighbours are written.
#[derive(Clone)]
struct Layout<'a> {
    line_break: &'a str,
    /// Before an entry that has a line of its own.
    indentation: Option<&'a str>,
    /// What a level adds to it.
    step: &'a str,
    comma: &'a str,
    colon: &'a str,
    key: Style,
}

impl<'a> Flow<'a> {
    /// `parent` is the mapping that this one stands in, if that is in flow style too.
    pub(super) fn of(
        lines: Lines<'a>,
        node: &'a Node,
        json: bool,
        parent: Option<&Flow<'a>>,
    ) -> Result<Self, Refusal> {
        let entries = node.entries().unwrap_or_default();
        let gaps = gaps(lines.0, node, entries)?;
        let layout = Layout::of(lines, node, entries, &gaps, parent);
        Ok(Self { lines, node, entries, gaps, layout, place: if json { Place::Json } else { Place::Flow } })
    }

    /// Adds entries, each before the entry with that number.
    pub(super) fn insert(&self, new: &[(usize, &str, &Change)], splices: &mut Splices) {
        let count = self.entries.len();
        let end = &self.gaps[count];
        // What was the last entry needs a comma; a comment may stand between it and the end of its line.
        if new.iter().any(|new| new.0 == count) && self.on_own_line(end).is_some() && end.comma.is_none() {
            splices.insert(end.range.start, ",".to_owned());
        }
        for (index, &(before, name, change)) in new.iter().enumerate() {
            let gap = &self.gaps[before];
            let mut entry = String::new();
            self.layout.entry(&mut entry, name, change, self.place, 0);
            if let Some((line_end, indentation)) = self.on_own_line(gap) {
                let last = before == count && new.get(index + 1).is_none() && gap.comma.is_none();
                let comma = if last { "" } else { "," };
                splices.insert(line_end, format!("{}{indentation}{entry}{comma}", self.layout.line_break));
            } else if before > 0 {
                splices.insert(gap.range.start, format!("{}{entry}", self.layout.comma));
            } else {
                splices.insert(gap.range.end, format!("{entry}{}", self.layout.comma));
            }
        }
    }

    /// Where a line of its own would begin in a gap, and with what, if the entries have lines of their own.
    fn on_own_line(&self, gap: &Gap) -> Option<(usize, &'a str)> {
        gap.line_end.zip(self.layout.indentation)
    }

    /// A mapping in place of `{}` or null.
    pub(super) fn fill(
        &self,
        entry: &Entry,
        new: &[(&str, &Change)],
        splices: &mut Splices,
    ) -> Result<(), Refusal> {
        let value = &entry.value;
        let written = &self.lines.0[value.start..value.end];
        if value.has_properties() || written.is_empty() || written.contains('#') {
            return Err(Refusal::of(value, Obstacle::Layout));
        }
        let mut text = String::new();
        self.layout.mapping(&mut text, new.iter().copied(), self.place, 0);
        splices.replace(value.start..value.end, text);
        Ok(())
    }

    /// Removes entries, by their numbers in order. An emptied mapping is `{}`, and what comments it has.
    pub(super) fn remove(&self, removed: &[usize], splices: &mut Splices) -> Result<(), Refusal> {
        if removed.len() == self.entries.len() && !self.gaps.iter().any(|gap| gap.comment) {
            splices.replace(self.node.start..self.node.end, "{}".to_owned());
            return Ok(());
        }
        let runs = removed.chunk_by(|a, b| a + 1 == *b);
        runs.into_iter().try_for_each(|run| self.remove_run(run[0], run[run.len() - 1], splices))
    }

    /// Removes entries that follow one another.
    fn remove_run(&self, first: usize, last: usize, splices: &mut Splices) -> Result<(), Refusal> {
        let closes = last + 1 == self.entries.len();
        let mut start = first;
        for end in first..=last {
            let right = &self.gaps[end + 1];
            if end < last && right.last_break.is_none() {
                continue;
            }
            let left = &self.gaps[start];
            let characters = if end + 1 < self.entries.len() {
                self.entries[start].key.start..self.entries[end + 1].key.start
            } else {
                start.checked_sub(1).map_or(self.entries[start].key.start, |kept| self.entries[kept].end())
                    ..self.entries[end].end()
            };
            match (left.last_break, right.line_end) {
                (Some(from), Some(to)) => splices.delete(from..to),
                _ if self.lines.0[characters.clone()].contains('#') => {
                    return Err(Refusal::of(&self.entries[start].key, Obstacle::Layout));
                }
                _ => splices.delete(characters),
            }
            start = end + 1;
        }
        // JSON has no comma after the last entry.
        if let (true, None, Some(comma)) = (closes, self.gaps[last + 1].comma, self.gaps[first].comma) {
            splices.delete(comma..comma + 1);
        }
        Ok(())
    }
}

impl Entry {
    fn end(&self) -> usize {
        self.key.end.max(self.value.end)
    }
}

fn gaps(text: &str, node: &Node, entries: &[Entry]) -> Result<Vec<Gap>, Refusal> {
    let ends = std::iter::once(node.start + 1).chain(entries.iter().map(Entry::end));
    let starts = entries.iter().map(|entry| entry.key.start).chain([node.end - 1]);
    ends.zip(starts)
        .map(|(from, to)| gap(text, from..to).ok_or_else(|| Refusal::at(from, Obstacle::Layout)))
        .collect()
}

fn gap(text: &str, range: Range<usize>) -> Option<Gap> {
    let mut gap = Gap { range: range.clone(), comma: None, line_end: None, last_break: None, comment: false };
    let mut in_comment = false;
    for (index, byte) in text.get(range.clone())?.bytes().enumerate() {
        let offset = range.start + index;
        match byte {
            b'\n' => {
                let line_end = if index > 0 && text[..offset].ends_with('\r') { offset - 1 } else { offset };
                gap.line_end = gap.line_end.or(Some(line_end));
                gap.last_break = Some(line_end);
                in_comment = false;
            }
            _ if in_comment => {}
            b'#' => (in_comment, gap.comment) = (true, true),
            b' ' | b'\t' | b'\r' => {}
            // A comma that begins a line is a layout of its own.
            b',' if gap.comma.is_none() && gap.line_end.is_none() => gap.comma = Some(offset),
            _ => return None,
        }
    }
    Some(gap)
}

impl<'a> Layout<'a> {
    fn of(lines: Lines<'a>, node: &Node, entries: &[Entry], gaps: &[Gap], parent: Option<&Flow<'a>>) -> Self {
        let text = lines.0;
        let Some(first) = entries.first() else {
            return parent.map_or(Self::SPACED, |parent| parent.layout.clone());
        };
        let own_line = entries.iter().zip(gaps).find_map(|(entry, gap)| {
            let last_break = gap.last_break?;
            let line_break = if text[last_break..].starts_with('\r') { "\r\n" } else { "\n" };
            Some((line_break, &text[last_break + line_break.len()..entry.key.start]))
        });
        let colon = Some(&text[first.key.end..first.value.start])
            .filter(|colon| colon.trim_matches([' ', '\t']) == ":")
            .unwrap_or(": ");
        // Only where both sides are quoted may a colon stand alone.
        let key = first.key_style();
        let colon = if key == Style::Plain && colon.ends_with(':') { ": " } else { colon };
        let comma = match gaps.get(1).filter(|_| entries.len() > 1) {
            Some(gap) if gap.line_end.is_none() && !gap.comment => &text[gap.range.clone()],
            _ if colon.ends_with(':') => ",",
            _ => ", ",
        };
        let indentation = own_line.map(|(_, indentation)| indentation);
        let outer = parent.and_then(|parent| parent.layout.indentation).or_else(|| {
            let line = &text[indentation.map_or(node.start, |_| lines.start(node.start))..node.start];
            Some(&line[..line.len() - line.trim_start_matches([' ', '\t']).len()])
        });
        let step = indentation.and_then(|own| own.strip_prefix(outer?)).filter(|step| !step.is_empty());
        Self {
            line_break: own_line.map_or("\n", |(line_break, _)| line_break),
            indentation,
            step: step.unwrap_or("  "),
            comma,
            colon,
            key,
        }
    }

    const SPACED: Self =
        Self { line_break: "\n", indentation: None, step: "  ", comma: ", ", colon: ": ", key: Style::Plain };

    fn entry(&self, out: &mut String, name: &str, change: &Change, place: Place, level: usize) {
        out.push_str(&scalar::key(name, self.key, place));
        out.push_str(self.colon);
        match change {
            Change::Set(text) => out.push_str(&scalar::value(text, None, place)),
            Change::Within(changes) => self.mapping(out, changes.of(Pass::Set), place, level),
            Change::Remove => {}
        }
    }

    fn mapping<'c>(
        &self,
        out: &mut String,
        entries: impl Iterator<Item = (&'c str, &'c Change)>,
        place: Place,
        level: usize,
    ) {
        let line = |out: &mut String, level| {
            if let Some(indentation) = self.indentation {
                out.push_str(self.line_break);
                out.push_str(indentation);
                out.push_str(&self.step.repeat(level));
            }
        };
        let comma = if self.indentation.is_some() { "," } else { self.comma };
        out.push('{');
        for (index, (name, change)) in entries.enumerate() {
            if index > 0 {
                out.push_str(comma);
            }
            line(out, level + 1);
            self.entry(out, name, change, place, level + 1);
        }
        line(out, level);
        out.push('}');
    }
}
