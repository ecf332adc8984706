//! What a check found, and how findings are told.

use crate::error::{CommandError, ErrorKind};
use crate::output::to_stdout;
use clap::ValueEnum;
use serde::Serialize;
use std::fmt::Write as _;

/// One check. The names are part of the interface, and `docs/cli.md` has a row for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Check {
    Configuration,
    GitIgnore,
    TrustFile,
    TrustPin,
    KeyFile,
    KeyFileAge,
    KeyFileKey,
    ApiServer,
    Clock,
    Rights,
    Service,
    Deployment,
    Lease,
    OtherController,
    Definition,
    PublishedList,
    Publisher,
    SealingKey,
    ForeignSealingKey,
    CompromisedKeys,
    RetiredKeys,
    KeyCustody,
    OnceInClear,
    PublisherCustody,
    PublisherMove,
    Unsynced,
    AzureVault,
    AzureToken,
    AzureTenant,
    AzureClock,
    AzureKey,
    AzureKeyDates,
    AzureKeyOperations,
    AzureUnwrap,
    AzureSecretList,
    AzureSecretGet,
    AzureSecretSet,
    AzureRecovery,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Skipped,
    /// It works, and will cost somebody something.
    Warning,
    /// It does not work, or somebody may be attacking.
    Problem,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) check: Check,
    pub(super) level: Level,
    /// Safe for a terminal.
    pub(super) what: String,
    /// How to make it right, or to be able to look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cure: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: Check, what: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, what: what.into(), cure: None }
    }

    pub(super) fn skipped(check: Check, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, level: Level::Skipped, what: what.into(), cure: Some(cure.into()) }
    }

    pub(super) fn warning(check: Check, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, what: what.into(), cure: Some(cure.into()) }
    }

    pub(super) fn problem(check: Check, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, level: Level::Problem, what: what.into(), cure: Some(cure.into()) }
    }

    /// A right is missing: that is no fault of the cluster.
    pub(super) fn denied(check: Check, right: &str) -> Self {
        Self::skipped(
            check,
            format!("not looked at: you may not {right}"),
            "ask for the right, or somebody who has it",
        )
    }

    /// What another part of the program failed with.
    pub(super) fn of_error(check: Check, error: &CommandError) -> Self {
        let reports = error.reports();
        let what = reports.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>().join("; ");
        let cures = reports.iter().flat_map(|(_, hints)| hints).copied().collect::<Vec<_>>();
        let cure = (!cures.is_empty()).then(|| cures.join("; "));
        Self { check, level: Level::Problem, what, cure }
    }

    fn line(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Skipped => "skipped",
            Level::Warning => "warning",
            Level::Problem => "problem",
        };
        let mut line = format!("{level:8} {:20} {}", self.check.name(), self.what);
        if let Some(cure) = &self.cure {
            let _ = write!(line, " -> {cure}");
        }
        // One line for each, whatever a message from elsewhere holds.
        line.replace('\n', " ")
    }
}

impl Check {
    pub(super) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// All findings, in the order in which they were made.
#[derive(Default, Serialize)]
pub(super) struct Report {
    findings: Vec<Finding>,
    /// What could not be asked, or not to the end.
    #[serde(skip)]
    unreachable: Option<&'static str>,
}

impl Report {
    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// The cluster could not be asked, or not to the end.
    pub(super) fn fail(&mut self, check: Check, error: &CommandError) {
        if error.kind() == ErrorKind::Unreachable {
            self.unreachable = Some("the cluster");
        }
        self.findings.push(Finding::of_error(check, error));
    }

    /// The vault, or who gives its tokens, could not be asked.
    pub(super) fn vault_is_unreachable(&mut self) {
        self.unreachable = Some("the vault");
    }

    pub(super) fn findings_mut(&mut self) -> &mut [Finding] {
        &mut self.findings
    }

    pub(super) fn write_text(&self) -> Result<(), CommandError> {
        let text: String = self.findings.iter().map(|finding| finding.line() + "\n").collect();
        to_stdout(text.as_bytes())
    }

    pub(super) fn write_json(&self) -> Result<(), CommandError> {
        let text = serde_json::to_string_pretty(self).map_err(CommandError::failed)?;
        to_stdout((text + "\n").as_bytes())
    }

    /// Warnings are no failure.
    pub(super) fn verdict(&self) -> Result<(), CommandError> {
        let count = |level| self.findings.iter().filter(|finding| finding.level == level).count();
        let said = match (count(Level::Problem), count(Level::Warning)) {
            (0, _) => return Ok(()),
            (problems, 0) => format!("{problems} problems"),
            (problems, warnings) => format!("{problems} problems, {warnings} warnings"),
        };
        Err(match self.unreachable {
            Some(who) => CommandError::unreachable(format!("{who} cannot be reached; {said}")),
            None => CommandError::failed(said),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_do_not_fail_problems_do_and_an_unreachable_cluster_is_told_apart() {
        let mut report = Report::default();
        report.add(Finding::warning(Check::Clock, "late", "wait"));
        report.add(Finding::denied(Check::Lease, "get leases"));
        assert!(report.verdict().is_ok());
        report.add(Finding::problem(Check::Service, "gone", "install it"));
        assert_eq!(report.verdict().unwrap_err().kind(), ErrorKind::Failed);
        report.fail(Check::ApiServer, &CommandError::unreachable("closed"));
        assert_eq!(report.verdict().unwrap_err().kind(), ErrorKind::Unreachable);
    }

    #[test]
    fn a_finding_is_one_line() {
        let finding = Finding::problem(Check::GitIgnore, "a\nb", "c\nd");
        assert_eq!(finding.line(), "problem  git-ignore           a b -> c d");
    }

    #[test]
    fn every_check_has_a_row_in_the_documentation() {
        let docs = include_str!("../../../../docs/cli.md");
        for check in Check::value_variants() {
            assert!(docs.contains(&format!("\n| `{}` |", check.name())), "{}", check.name());
        }
    }
}
