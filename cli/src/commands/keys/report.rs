//! `privyseal keys report`

use super::evidence::{Evidence, gather};
use super::history;
use crate::cluster::ClusterKey;
use crate::commands::ReportFormat;
use crate::error::{CommandError, Shown};
use crate::key_files::KeyFileOptions;
use crate::key_source::ClusterOptions;
use crate::output::to_stdout;
use crate::speech;
use privyseal_envelope::KeyId;
use privyseal_repo::report::{Knowledge, Report};
use serde_json::json;
use std::path::PathBuf;

/// Say which keys are still needed, in the cluster and in Git
///
/// Joins what the controller has opened with which key with the Git trees that are given. A value is `opened` with a key
/// if the controller says so, in the status of the object or when it is asked about the value in Git, or if a key of
/// --key opens it. What nobody is known to have opened is `unknown`, and counts as needing every key; what a hint says of
/// it is a claim.
///
/// With --compromised the whole history of the trees is searched for values that were ever sealed with a key that leaked.
/// A value of the age format names the key by the id of a recipient, so all that the key goes by is looked for: as the
/// cluster says it, if --context or --for names one, as keys of --key say it, and as key files in the history do.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal keys report . --context prod
  privyseal keys report ~/fleet --for prod -o json
  privyseal keys report . --compromised 0123456789abcdef --context prod")]
pub(super) struct Args {
    /// Git trees: files and folders
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// List the values that this key opened, ever, in all of the trees' history: they have to be changed at their source.
    /// An id or fingerprint of the key or of one of its recipients; with --context or --for also its Secret
    #[arg(long, value_name = "KEY", requires = "paths")]
    compromised: Option<String>,

    /// How to write the report
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: ReportFormat,

    #[command(flatten)]
    keys: KeyFileOptions,

    #[command(flatten)]
    cluster: ClusterOptions,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    if let Some(key) = &args.compromised {
        let sources = history::Sources { keys: &args.keys, cluster: &args.cluster };
        return history::run(&args.paths, key, sources, args.output);
    }
    let evidence = Evidence::read(&args.paths, &args.keys, &args.cluster)?;
    let (keys, report) = args.cluster.session(async |session| {
        let keys = session.keys().await?;
        let report = gather(session, evidence, &keys).await?;
        Ok((keys, report))
    })?;
    match args.output {
        ReportFormat::Text => to_stdout(text(&keys, &report).as_bytes())?,
        ReportFormat::Json => to_stdout(as_json(&keys, &report)?.as_bytes())?,
    }
    if args.paths.is_empty() {
        speech::warning("no Git tree is given: what is committed and not applied is not in the report");
    }
    Ok(())
}

fn text(keys: &[ClusterKey], report: &Report) -> String {
    let mut counts = report.by_key();
    let mut text = format!("{:16}  {:12}  {:>8}  {:>8}\n", "KEY", "STATE", "OPENED", "CLAIMED");
    for key in keys {
        let count = counts.remove(&key.key_id()).unwrap_or_default();
        text += &format!("{}  {:12}  {:>8}  {:>8}\n", key.key_id(), key.state, count.opened, count.claimed);
    }
    for (key, count) in counts {
        text += &format!("{key}  {:12}  {:>8}  {:>8}\n", "not here", count.opened, count.claimed);
    }
    let unknown: Vec<_> = report.unknown().collect();
    text += &format!("\n{} values, {} of them unknown\n", report.values.len(), unknown.len());
    for value in unknown {
        let (place, object, item) = (Shown(&value.place), Shown(&value.object), Shown(&value.item));
        let Knowledge::Unknown { why } = &value.knowledge else { continue };
        let claimed: Vec<_> = value.claimed.iter().map(KeyId::to_string).collect();
        let claimed = match claimed.is_empty() {
            true => String::new(),
            false => format!("; claims key {}", claimed.join(", ")),
        };
        text += &format!("{place}: {object}: {item}: {why}{claimed}\n");
    }
    for place in &report.unreadable {
        text += &format!("{}\n", Shown(place));
    }
    text
}

fn as_json(keys: &[ClusterKey], report: &Report) -> Result<String, CommandError> {
    let counts = report.by_key();
    let keys: Vec<_> = keys
        .iter()
        .map(|key| {
            let count = counts.get(&key.key_id()).copied().unwrap_or_default();
            json!({
                "keyId": key.key_id().to_string(), "fingerprint": key.fingerprint().to_string(),
                "recipientKeyIds": key.recipient_ids().map(|id| id.to_string()).collect::<Vec<_>>(),
                "state": key.state, "opened": count.opened, "claimed": count.claimed,
            })
        })
        .collect();
    let all = json!({"keys": keys, "values": report.values, "unreadable": report.unreadable});
    Ok(serde_json::to_string_pretty(&all).map_err(CommandError::failed)? + "\n")
}
