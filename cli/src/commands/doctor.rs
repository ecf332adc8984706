//! `privyseal doctor`
//!
//! ```text
//!   configuration, trust, key_files               offline ──┐
//!   access, controllers, definition, published,             ├──▶ findings ──▶ one line each, status
//!   keys, custody, objects             one cluster, asked ──┤
//!   azure                          a Key Vault, and alone ──┘
//! ```
//!
//! One file for each group of checks. In each the fetching and the judging are apart: what is judged is a value, so that
//! it is tested without a cluster. What may not be looked at is skipped and says which right is missing.

mod access;
mod azure;
mod configuration;
mod controllers;
mod custody;
mod definition;
mod finding;
mod key_files;
mod keys;
mod objects;
mod published;
mod seen;
mod trust;

use super::ReportFormat;
use crate::cluster::{Connection, Session};
use crate::error::CommandError;
use crate::key_source::ClusterOptions;
use clap::Subcommand;
use finding::{Check, Finding, Report};
use jiff::Timestamp;
use privyseal_repo::{CONFIG_FILE, Subject, Trust};
use std::path::PathBuf;

/// Look for what is wrong, and say how to cure it
///
/// Looks at the configuration, the trust file and the key files; and, with --context or --for, at the cluster: whether it
/// answers, what you may do there, its controller, its keys, and the SealedSecrets that are not synced. It changes
/// nothing.
///
/// Each check is one line: how it stands, its name, what was found, and after an arrow how to cure it. A check that takes
/// a right that you do not have is skipped, and says which.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  privyseal doctor
  privyseal doctor --context prod
  privyseal doctor --for prod clusters/prod -o json | jq '.findings[] | select(.level == \"problem\")'
  privyseal doctor azure --key-vault https://NAME.vault.azure.net

Exit status: 0 if there is no problem, warnings or not; 1 if there is one; 3 if the cluster cannot be reached."
)]
pub(super) struct Args {
    #[command(subcommand)]
    other: Option<Other>,

    /// A folder or file of the repository to look at [default: the folder in which the command runs]
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,

    /// The form of the report
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: ReportFormat,

    #[command(flatten)]
    cluster: ClusterOptions,
}

/// What is looked at instead.
#[derive(Subcommand)]
enum Other {
    Azure(Box<azure::Args>),
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    if let Some(Other::Azure(args)) = &args.other {
        return azure::run(args);
    }
    let now = Timestamp::now();
    let mut report = Report::default();
    let file = args.path.as_ref().map(|path| match path.is_dir() {
        true => path.join(CONFIG_FILE),
        false => path.clone(),
    });
    let found = args.cluster.configuration(file.as_deref());
    report.add(configuration::judge(&found));
    let configuration = found.ok().flatten();
    let opened = args.cluster.trust().open();
    report.extend(configuration.iter().map(configuration::git_ignores));
    report.extend(trust::examine(&opened, configuration.as_ref()));
    let pins = opened.as_ref().ok().map(|trust| trust.pins());
    if let Some(configuration) = &configuration {
        report.extend(key_files::examine(configuration, pins, now));
    }
    match args.cluster.asked(file.as_deref()) {
        Ok(Some((subject, connection))) => cluster(&mut report, &subject, &connection, pins),
        Ok(None) => report.add(Finding::skipped(
            Check::ApiServer,
            "no cluster was looked at",
            "name one with --context CONTEXT, or with --for CLUSTER of the configuration",
        )),
        Err(error) => report.fail(Check::ApiServer, &error),
    }
    match args.output {
        ReportFormat::Text => report.write_text()?,
        ReportFormat::Json => report.write_json()?,
    }
    report.verdict()
}

fn cluster(report: &mut Report, subject: &Subject, connection: &Connection, pins: Option<&Trust>) {
    let asked = connection.session(async |session| ask(session, subject, pins).await);
    match asked {
        Ok(findings) => report.extend(findings),
        Err(error) => report.fail(Check::ApiServer, &error),
    }
}

/// An error means that nothing else could be asked.
async fn ask(
    session: &Session,
    subject: &Subject,
    pins: Option<&Trust>,
) -> Result<Vec<Finding>, CommandError> {
    let (reached, answered) = access::reach(session).await?;
    let now = answered.server_now();
    let controller = session.find_controller().await;
    let (rights, may_list_secrets) = access::rights(session, controller.as_ref().ok()).await;
    let mut findings = vec![reached, answered.judge()];
    findings.extend(rights);
    findings.extend(controllers::examine(session, &controller, now).await);
    findings.push(definition::examine(session).await);
    findings.extend(published::examine(session, subject, pins, now).await);
    findings.extend(keys::examine(session, may_list_secrets).await);
    findings.extend(objects::examine(session).await);
    Ok(findings)
}
