//! Ranges of a text, and what stands there instead.

use super::syntax::Lines;
use std::ops::Range;
use zeroize::Zeroizing;

#[derive(Default)]
pub(crate) struct Splices(Vec<Splice>);

struct Splice {
    range: Range<usize>,
    text: String,
    /// Takes whole lines.
    lines: bool,
}

impl Splices {
    pub(crate) fn replace(&mut self, range: Range<usize>, text: String) {
        self.0.push(Splice { range, text, lines: false });
    }

    /// Of several at one place the first stays first.
    pub(crate) fn insert(&mut self, offset: usize, text: String) {
        self.replace(offset..offset, text);
    }

    /// Ranges that are removed may overlap.
    pub(crate) fn delete(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.replace(range, String::new());
        }
    }

    pub(crate) fn delete_lines(&mut self, range: Range<usize>) {
        self.0.push(Splice { range, text: String::new(), lines: true });
    }

    /// The new text. None if two splices contradict each other.
    pub(crate) fn apply(self, text: &str) -> Option<Zeroizing<String>> {
        let splices = self.in_order(text)?;
        let len = text.len() + splices.iter().map(|splice| splice.text.len()).sum::<usize>();
        // Never moved, so that it leaves no copy: the file may hold plaintext beside.
        let mut new = Zeroizing::new(String::with_capacity(len));
        let mut kept = 0;
        for Splice { range, text: instead, .. } in &splices {
            new.push_str(text.get(kept..range.start)?);
            new.push_str(instead);
            kept = range.end;
        }
        new.push_str(text.get(kept..)?);
        Some(new)
    }

    fn in_order(self, text: &str) -> Option<Vec<Splice>> {
        let mut splices = self.0;
        splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
        let mut merged: Vec<Splice> = Vec::with_capacity(splices.len());
        for splice in splices {
            match merged.last_mut() {
                Some(last) if splice.range.start < last.range.end => {
                    if !(last.text.is_empty() && splice.text.is_empty()) {
                        return None;
                    }
                    last.range.end = last.range.end.max(splice.range.end);
                }
                Some(last) if last.lines && splice.lines && splice.range.start == last.range.end => {
                    last.range.end = splice.range.end;
                }
                _ => merged.push(splice),
            }
        }
        // A last line without a break takes the one before it along, so that the file still ends without one.
        if let Some(last) = merged.last_mut()
            && last.lines
            && last.range.end == text.len()
            && !text.ends_with('\n')
            && last.range.start > 0
        {
            last.range.start = Lines(text).end(Lines(text).start(last.range.start - 1));
        }
        Some(merged)
    }
}
