//! Where a stream is cut: at lines that begin with `---`, as YAML and every tool do.

use std::ops::Range;

/// The parts of a stream. Together they are all of it.
pub(super) struct Parts<'t> {
    text: &'t str,
    start: usize,
}

impl<'t> Parts<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, start: 0 }
    }
}

impl Iterator for Parts<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let rest = &self.text[self.start..];
        if rest.is_empty() {
            return None;
        }
        // Directives stand before their separator: `%YAML 1.2`, then `---`.
        let mut directives = !is_separator(rest);
        let mut has_directive = false;
        let mut end = 0;
        for line in rest.split_inclusive('\n') {
            if end > 0 && is_separator(line) && !(directives && has_directive) {
                break;
            }
            directives &= line.starts_with(['%', '#', '\u{feff}']) || line.trim().is_empty();
            has_directive |= line.starts_with('%');
            end += line.len();
        }
        let range = self.start..self.start + end;
        self.start = range.end;
        Some(range)
    }
}

/// Whether a line, or a text by its first line, begins a document.
pub(super) fn is_separator(line: &str) -> bool {
    let line = line.strip_prefix('\u{feff}').unwrap_or(line);
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Whether nothing but comments, blanks and separators is in it.
pub(super) fn is_empty(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim_start_matches('\u{feff}');
        let line = if is_separator(line) { &line[3..] } else { line };
        line.trim_start().is_empty() || line.trim_start().starts_with('#')
    })
}

/// How its lines end.
pub(super) fn line_break(text: &str) -> &'static str {
    match text.find('\n') {
        Some(newline) if text[..newline].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// Whether some reader could find a Secret in a text that we cannot read: the word stands there, or what could spell it.
pub(super) fn may_hold_secret(text: &str) -> bool {
    // In double quotes a word can be spelled by number, or broken over lines; and in base64 by a tag.
    let spelled = ["\\x", "\\u", "\\U", "\\\n", "\\\r", "binary", "%TAG"];
    // And a tag by number, or cut in two by `%TAG`.
    let mut tags = text.split('!').skip(1).map(|tag| tag.split_ascii_whitespace().next().unwrap_or_default());
    let is_word = |after: &str| !after.strip_prefix("List").unwrap_or(after).starts_with(is_of_word);
    spelled.iter().any(|text_of| text.contains(text_of))
        || tags.any(|tag| tag.contains('%'))
        || text
            .match_indices("Secret")
            .any(|(at, word)| !text[..at].ends_with(is_of_word) && is_word(&text[at + word.len()..]))
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
