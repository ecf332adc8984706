//! `privyseal keys fetch`

use super::describe;
use crate::error::CommandError;
use crate::key_source::KeyOptions;
use crate::output::{Content, Destination};
use crate::speech;
use jiff::Timestamp;
use privyseal_envelope::age::Kind;
use privyseal_keys::PublicHalf;
use privyseal_repo::KeyFile;
use std::path::PathBuf;

/// Fetch the certificate to seal with
///
/// Writes the certificate as PEM to stdout, below it the cluster's age recipients, one per line, and on stderr which
/// cluster it is from, who signed for it, its fingerprints and its dates. Compare the fingerprint once with someone who
/// knows the cluster; from then on, the file is all that sealing needs.
///
/// Asks for the signed list of keys that the controller publishes. Where there is none, as with the controller of
/// sealed-secrets, it asks the controller's Service, and says that nobody signed the answer.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal keys fetch --context prod > prod.pem
  privyseal keys fetch --context prod --controller-namespace kube-system --out-file prod.pem
  privyseal keys fetch --for prod-eu --published --out-file .privyseal/prod-eu.keys
  privyseal keys fetch --cert https://keys.example.com/prod.pem --out-file prod.pem")]
pub(super) struct Args {
    /// Write the signed list of all sealing keys instead, as a file that a repository can hold: `keys` of a cluster in
    /// the configuration
    #[arg(long)]
    published: bool,

    /// Write the age recipient alone that values are sealed to, as `age -R` reads it: the post-quantum one, if there is one
    #[arg(long, conflicts_with = "published")]
    recipients: bool,

    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out_file: Option<PathBuf>,

    #[command(flatten)]
    key: KeyOptions,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let now = Timestamp::now();
    let origin = args.key.choose(args.out_file.as_deref())?;
    let found = args.key.finder(now).find_live(&origin)?;
    found.check(now)?;
    found.provenance.announce_as("keys of");
    let certificate = found.certificate.as_ref().ok_or_else(|| {
        CommandError::input(format!(
            "{}: a recipient of the configuration, which is there already",
            found.provenance
        ))
    })?;
    speech::note(describe(certificate));
    for recipient in &found.recipients {
        speech::note(format_args!("{} recipient {}", recipient.kind(), recipient.fingerprint()));
    }
    let text = match (&found.published, args.published) {
        (Some(published), true) => KeyFile(published.clone()).to_text(),
        (None, true) => {
            return Err(CommandError::failed(format!(
                "{}: it publishes no signed list of keys",
                found.provenance
            ))
            .hint("without --published you get the certificate, which a repository can hold too"));
        }
        (_, false) if args.recipients => {
            // Beside a post-quantum one, age takes no other.
            let recipient = found.recipient(Kind::Hybrid).or(found.recipients.first());
            let recipient = recipient.ok_or_else(|| found.without_recipients())?;
            format!("{recipient}\n")
        }
        (_, false) => {
            PublicHalf { certificate: certificate.clone(), recipients: found.recipients.clone() }.to_text()
        }
    };
    Destination::from_option(args.out_file.as_deref()).write(text.as_bytes(), Content::Public)
}
