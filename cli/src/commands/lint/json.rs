//! For programs. Fields are added, and never change their meaning.

use privyseal_repo::lint::{Finding, Report};
use serde::Serialize;

pub(super) fn render(report: &Report) -> serde_json::Result<String> {
    let Report { findings, files, sealed, templates, ignored } = report;
    let text = ReportText {
        version: 1,
        files: *files,
        sealed_secrets: *sealed,
        templates: *templates,
        ignored: *ignored,
        findings: findings.iter().map(FindingText::new).collect(),
    };
    Ok(serde_json::to_string_pretty(&text)? + "\n")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportText<'a> {
    version: u32,
    files: usize,
    sealed_secrets: usize,
    templates: usize,
    ignored: usize,
    findings: Vec<FindingText<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingText<'a> {
    code: &'static str,
    severity: &'static str,
    title: &'static str,
    file: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    document: Option<usize>,
    list_item: Option<usize>,
    field: Option<&'a str>,
    message: &'a str,
    cure: Option<&'a str>,
    /// What `--fix` would do.
    fix: Option<&'a str>,
    fingerprint: String,
}

impl<'a> FindingText<'a> {
    fn new(finding: &'a Finding) -> Self {
        let Finding { code, path, document, item, field, spot, message, cure, fix } = finding;
        Self {
            code: code.id(),
            severity: code.severity().as_str(),
            title: code.title(),
            file: path,
            line: spot.as_ref().map(|spot| spot.line),
            column: spot.as_ref().map(|spot| spot.column),
            document: *document,
            list_item: *item,
            field: field.as_deref(),
            message,
            cure: cure.as_deref(),
            fix: fix.as_ref().map(|fix| fix.what.as_str()),
            fingerprint: finding.fingerprint(),
        }
    }
}
