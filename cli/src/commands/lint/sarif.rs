//! SARIF 2.1.0, as far as code scanning reads it.

use privyseal_repo::lint::{Code, Finding, Report};
use serde::Serialize;

pub(super) fn render(report: &Report) -> serde_json::Result<String> {
    let log = Log {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "privyseal",
                    version: env!("CARGO_PKG_VERSION"),
                    information_uri: HELP,
                    rules: Code::ALL.iter().map(|code| Rule::new(*code)).collect(),
                },
            },
            column_kind: "unicodeCodePoints",
            results: report.findings.iter().map(Outcome::new).collect(),
        }],
    };
    Ok(serde_json::to_string_pretty(&log)? + "\n")
}

/// Where docs/lint.md is published.
const HELP: &str = "https://privyseal.dev/docs/lint";

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool,
    column_kind: &'static str,
    results: Vec<Outcome<'a>>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    version: &'static str,
    information_uri: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    short_description: Message<'static>,
    help_uri: String,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: OwnedMessage,
    locations: [Location<'a>; 1],
    partial_fingerprints: Fingerprints,
}

#[derive(Serialize)]
struct OwnedMessage {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    physical_location: PhysicalLocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    logical_locations: Option<[LogicalLocation<'a>; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
}

#[derive(Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
    start_column: usize,
    end_column: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation<'a> {
    fully_qualified_name: &'a str,
}

#[derive(Serialize)]
struct Fingerprints {
    #[serde(rename = "privysealFinding/v1")]
    finding: String,
}

impl Rule {
    fn new(code: Code) -> Self {
        Self {
            id: code.id(),
            short_description: Message { text: code.title() },
            help_uri: format!("{HELP}#{}", code.id().to_ascii_lowercase()),
            default_configuration: Configuration { level: code.severity().as_str() },
        }
    }
}

impl<'a> Outcome<'a> {
    fn new(finding: &'a Finding) -> Self {
        let code = finding.code;
        let region = finding.spot.as_ref().map(|spot| Region {
            start_line: spot.line,
            start_column: spot.column,
            end_column: spot.column + spot.width,
        });
        let field = finding.field.as_deref();
        Self {
            rule_id: code.id(),
            rule_index: Code::ALL.iter().position(|known| *known == code).unwrap_or(0),
            level: code.severity().as_str(),
            message: OwnedMessage { text: super::told(finding) },
            locations: [Location {
                physical_location: PhysicalLocation {
                    artifact_location: ArtifactLocation { uri: uri(&finding.path) },
                    region,
                },
                logical_locations: field.map(|field| [LogicalLocation { fully_qualified_name: field }]),
            }],
            partial_fingerprints: Fingerprints { finding: finding.fingerprint() },
        }
    }
}

/// A relative reference by RFC 3986; an absolute path becomes a file URI.
fn uri(path: &str) -> String {
    let mut out = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_uri_references() {
        for (path, expected) in [
            ("a/b-c.yaml", "a/b-c.yaml"),
            ("a b/%c:d.yaml", "a%20b/%25c%3Ad.yaml"),
            ("ü.yaml", "%C3%BC.yaml"),
            ("/etc/x.yaml", "file:///etc/x.yaml"),
            ("../x#y?z", "../x%23y%3Fz"),
        ] {
            assert_eq!(uri(path), expected);
        }
    }
}
