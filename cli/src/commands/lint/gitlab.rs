//! A Code Quality report of GitLab: a list, whose fields GitLab's page on Code Quality names.

use super::told;
use privyseal_repo::lint::{Finding, Report, Severity};
use serde::Serialize;

pub(super) fn render(report: &Report) -> serde_json::Result<String> {
    let issues: Vec<Issue<'_>> = report.findings.iter().map(Issue::new).collect();
    Ok(serde_json::to_string_pretty(&issues)? + "\n")
}

#[derive(Serialize)]
struct Issue<'a> {
    description: String,
    check_name: &'static str,
    /// One for each finding, and the same as long as it is the same.
    fingerprint: String,
    severity: &'static str,
    location: Location<'a>,
}

#[derive(Serialize)]
struct Location<'a> {
    path: &'a str,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: usize,
}

impl<'a> Issue<'a> {
    fn new(finding: &'a Finding) -> Self {
        let code = finding.code;
        Self {
            description: format!("{code}: {}", told(finding)),
            check_name: code.id(),
            fingerprint: finding.fingerprint(),
            severity: match code.severity() {
                Severity::Error => "critical",
                Severity::Warning => "major",
                Severity::Note => "info",
            },
            location: Location {
                path: &finding.path,
                lines: Lines { begin: finding.spot.as_ref().map_or(1, |spot| spot.line) },
            },
        }
    }
}
