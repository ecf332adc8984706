//! Differences as text, for people and for `patch`-minded programs.

use super::compare::{Comparison, Verdict};
use crate::error::Shown;
use privyseal_envelope::Plaintext;
use similar::{ChangeTag, TextDiff};
use std::fmt::{self, Write};
use std::time::Duration;

/// Writes what differs of one object. `files` are the names of the two files, safe to be shown.
pub(super) fn write(
    out: &mut dyn Write,
    object: &str,
    files: [&str; 2],
    comparison: &Comparison,
    show_values: bool,
) -> fmt::Result {
    let items = comparison.items();
    let [clear_a, clear_b] = comparison.clear_texts();
    if items.is_empty() && clear_a == clear_b {
        return Ok(());
    }
    writeln!(out, "SealedSecret {object}")?;
    for (item, verdict) in &items {
        writeln!(out, "  {}: {}", Shown(item), verdict.as_str())?;
    }
    if clear_a != clear_b {
        write_unified(out, files.map(|file| format!("{file}: {object}")), &clear_a, &clear_b)?;
    }
    for (item, verdict) in items {
        let (a, b) = comparison.values_of(item);
        if !show_values || verdict == Verdict::SealedAnew || a.is_none() && b.is_none() {
            continue;
        }
        let heads = files.map(|file| format!("{file}: {object}: {}", Shown(item)));
        // In base64 if one is no text, so that both can be compared.
        match (text(a), text(b)) {
            (Some(a), Some(b)) => write_unified(out, heads, a, b)?,
            _ => {
                let base64 = |value: Option<&Plaintext>| value.map(Plaintext::to_base64).unwrap_or_default();
                write_unified(out, heads.map(|head| head + ": base64"), &base64(a), &base64(b))?;
            }
        }
    }
    Ok(())
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Added => "added",
            Self::Changed => "changed",
            Self::SealedAnew => "same (sealed anew)",
            Self::Unknown => "another sealed value; without a key nobody can tell whether the value changed",
        }
    }
}

/// The value as text; that of no value is empty.
fn text(value: Option<&Plaintext>) -> Option<&str> {
    value.map_or(Some(""), |value| str::from_utf8(value.expose()).ok())
}

fn write_unified(out: &mut dyn Write, heads: [String; 2], a: &str, b: &str) -> fmt::Result {
    let [lines_a, lines_b] = [a, b].map(|text| text.split_inclusive('\n').collect::<Vec<_>>());
    let mut how = TextDiff::configure();
    if lines_a.len() + lines_b.len() > MOST_LINES {
        // No time to look for what is common.
        how.timeout(Duration::ZERO);
    }
    let diff = how.diff_slices(&lines_a, &lines_b);
    let [head_a, head_b] = heads;
    write!(out, "--- {head_a}\n+++ {head_b}\n")?;
    for hunk in diff.unified_diff().iter_hunks() {
        writeln!(out, "{}", hunk.header())?;
        for change in hunk.iter_changes() {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            let line: &str = change.value();
            write!(out, "{sign}")?;
            write_line(out, line.strip_suffix('\n').unwrap_or(line))?;
            out.write_str(if line.ends_with('\n') { "\n" } else { "\n\\ No newline at end of file\n" })?;
        }
    }
    Ok(())
}

/// Values may come from anybody who can seal: what would move a terminal is escaped, tabs are not.
fn write_line(out: &mut dyn Write, line: &str) -> fmt::Result {
    for (index, part) in line.split('\t').enumerate() {
        if index > 0 {
            out.write_char('\t')?;
        }
        write!(out, "{}", Shown(part))?;
    }
    Ok(())
}

/// To compare takes time as the square of the lines, and values may come from anybody who can seal.
const MOST_LINES: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn unified(a: &str, b: &str) -> String {
        let mut out = String::new();
        write_unified(&mut out, ["a".to_owned(), "b".to_owned()], a, b).unwrap();
        out
    }

    #[test]
    fn values_are_told_line_by_line_and_cannot_move_the_terminal() {
        assert_eq!(
            unified("one\ntwo\n", "one\n2\x1b[2J\ttwo"),
            "--- a\n+++ b\n@@ -1,2 +1,2 @@\n one\n-two\n+2\\u{1b}[2J\ttwo\n\\ No newline at end of file\n"
        );
        assert_eq!(unified("", "x\n"), "--- a\n+++ b\n@@ -0,0 +1 @@\n+x\n");
        assert_eq!(unified("x\r\n", "x\n"), "--- a\n+++ b\n@@ -1 +1 @@\n-x\\u{d}\n+x\n");
    }
}
