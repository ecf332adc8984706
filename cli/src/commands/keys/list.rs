//! `privyseal keys list`

use crate::cluster::{ClusterKey, KeySecret, KeyState};
use crate::commands::ReportFormat;
use crate::error::{CommandError, Shown};
use crate::key_source::ClusterOptions;
use crate::output::to_stdout;
use privyseal_custody::custody::Kind;
use privyseal_envelope::age::Recipient;
use serde_json::json;

/// List the keys of a cluster, and what each does
///
/// Newest first: the one that seals, those that open only, those that leaked, those that are retired. CUSTODY says where
/// the private half is; of what a Key Vault keeps now, it is told if it once lay in the cluster in the clear. AGE says which
/// age recipients belong to the key: without any, it opens classic values only. It takes the
/// right to read the Secrets of the controller's namespace; without it the published keys are shown. No private key is
/// kept or shown, and no vault is asked.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  privyseal keys list --context prod")]
pub(super) struct Args {
    /// How to write the list
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: ReportFormat,

    #[command(flatten)]
    cluster: ClusterOptions,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let keys = args.cluster.session(async |session| session.keys().await)?;
    let text = match args.output {
        ReportFormat::Text => table(&keys),
        ReportFormat::Json => {
            let keys: Vec<_> = keys.iter().map(as_json).collect();
            let text =
                serde_json::to_string_pretty(&json!({ "keys": keys })).map_err(CommandError::failed)?;
            text + "\n"
        }
    };
    to_stdout(text.as_bytes())
}

fn table(keys: &[ClusterKey]) -> String {
    let mut text = format!(
        "{:16}  {:12}  {:20}  {:20}  {:17}  {:13}  SECRET\n",
        "KEY", "STATE", "FROM", "UNTIL", "CUSTODY", "AGE"
    );
    for key in keys {
        let secret = key.secret.as_ref();
        let custody = secret.map_or("-", |secret| secret.custody.map_or("unknown", Kind::as_str));
        let notes = [
            (
                secret.is_some_and(|secret| secret.compromised) && key.state == KeyState::Retired,
                "compromised",
            ),
            (secret.is_some_and(KeySecret::once_lay_in_clear), "was in the clear"),
        ];
        let notes: Vec<_> = notes.into_iter().filter(|(holds, _)| *holds).map(|(_, note)| note).collect();
        let age: Vec<_> = key.recipients.iter().map(|recipient| recipient.kind().as_str()).collect();
        let age = if age.is_empty() { "-".to_owned() } else { age.join(",") };
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        text += &format!(
            "{}  {:12}  {:20}  {:20}  {custody:17}  {age:13}  {}{notes}\n",
            key.key_id(),
            key.state,
            key.certificate.not_before().to_string(),
            key.certificate.not_after().to_string(),
            Shown(secret.map_or("-", |secret| &secret.name))
        );
    }
    text
}

fn as_json(key: &ClusterKey) -> serde_json::Value {
    json!({
        "keyId": key.key_id().to_string(),
        "fingerprint": key.fingerprint().to_string(),
        "recipients": key.recipients.iter().map(of_recipient).collect::<Vec<_>>(),
        "state": key.state,
        "compromised": key.secret.as_ref().is_some_and(|secret| secret.compromised),
        "custody": key.secret.as_ref().and_then(|secret| secret.custody).map(Kind::as_str),
        "wasInClear": key.secret.as_ref().is_some_and(KeySecret::once_lay_in_clear),
        "secret": key.secret.as_ref().map(|secret| &secret.name),
        "notBefore": key.certificate.not_before().to_string(),
        "notAfter": key.certificate.not_after().to_string(),
    })
}

fn of_recipient(recipient: &Recipient) -> serde_json::Value {
    let fingerprint = recipient.fingerprint();
    json!({
        "kind": recipient.kind().as_str(),
        "keyId": fingerprint.key_id().to_string(),
        "fingerprint": fingerprint.to_string(),
    })
}
