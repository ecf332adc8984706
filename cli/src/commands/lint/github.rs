//! Annotations of a GitHub workflow: commands on stdout, one a line.

use super::told;
use crate::error::Shown;
use privyseal_repo::lint::{Report, Severity};
use std::fmt::Write as _;

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        let command = match finding.code.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let _ = write!(out, "::{command} file={}", property(&Shown(&finding.path).to_string()));
        if let Some(spot) = &finding.spot {
            let _ =
                write!(out, ",line={},col={},endColumn={}", spot.line, spot.column, spot.column + spot.width);
        }
        let title = property(&format!("{}: {}", finding.code, finding.code.title()));
        let _ = writeln!(out, ",title={title}::{}", data(&told(finding)));
    }
    out
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_command_or_a_property_early() {
        assert_eq!(property("a%b:c,d\r\n::error::x"), "a%25b%3Ac%2Cd%0D%0A%3A%3Aerror%3A%3Ax");
        assert_eq!(data("a: b, c\n50%"), "a: b, c%0A50%25");
    }
}
