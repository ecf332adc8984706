//! Issues of an Azure DevOps pipeline: commands on stdout, one a line. Pipelines know errors and warnings only, so a note
//! is a line of the log.

use super::told;
use crate::error::Shown;
use privyseal_repo::lint::{Report, Severity};
use std::fmt::Write as _;

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        let place = finding.spot.as_ref().map(|spot| (spot.line, spot.column));
        let path = Shown(&finding.path).to_string();
        let kind = match finding.code.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => {
                let (line, column) = place.unwrap_or((1, 1));
                let text = format!("{path}:{line}:{column}: note {}: {}", finding.code, told(finding));
                let _ = writeln!(out, "{}", plain(&text));
                continue;
            }
        };
        let _ = write!(out, "##vso[task.logissue type={kind};sourcepath={};", property(&path));
        if let Some((line, column)) = place {
            let _ = write!(out, "linenumber={line};columnnumber={column};");
        }
        let _ = writeln!(out, "code={}]{}", finding.code, data(&told(finding)));
    }
    out
}

fn data(text: &str) -> String {
    plain(text).replace('%', "%AZP25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(']', "%5D").replace(';', "%3B")
}

/// The agent looks for commands anywhere in a line, so there is one at most.
fn plain(text: &str) -> String {
    text.replace("##vso[", "# #vso[").replace("##[", "# #[")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_command_early_or_begins_another() {
        assert_eq!(property("a;b]c%d\n"), "a%3Bb%5Dc%AZP25d%0A");
        assert_eq!(data("a]; 50%"), "a]; 50%AZP25");
        assert_eq!(plain("##vso[task.setvariable variable=x]y"), "# #vso[task.setvariable variable=x]y");
    }
}
