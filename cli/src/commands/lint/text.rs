//! For people: a line that editors can follow, the key in its line, and what to do.

use crate::error::Shown;
use privyseal_repo::lint::{Finding, Report, Snippet};
use std::fmt::Write as _;

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    for (index, finding) in report.findings.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        write(&mut out, finding);
    }
    out
}

fn write(out: &mut String, finding: &Finding) {
    let Finding { code, path, spot, message, cure, field, document, fix, .. } = finding;
    let place = spot.as_ref().map_or_else(String::new, |spot| format!(":{}:{}", spot.line, spot.column));
    let _ = writeln!(out, "{}{place}: {} {code}: {}", Shown(path), code.severity(), Shown(message));
    let width = spot.as_ref().map_or(1, |spot| spot.line.to_string().len());
    if let Some(spot) = spot
        && let Some(Snippet { text, indent }) = &spot.snippet
    {
        let _ = writeln!(out, "{:width$} |", "");
        let _ = writeln!(out, "{} | {}", spot.line, Shown(text));
        let _ = writeln!(out, "{:width$} | {:indent$}{}", "", "", "^".repeat(spot.width));
    }
    let mut tell = |word: &str, text: &str| {
        let _ = writeln!(out, "{:width$} = {word}: {}", "", Shown(text));
    };
    if let (Some(field), Some(document)) = (field, document) {
        tell("field", &format!("{field}, in document {document}"));
    }
    if let Some(cure) = cure {
        tell("help", cure);
    }
    if fix.is_some() {
        tell("fix", "`privyseal lint --fix` does it");
    }
}
