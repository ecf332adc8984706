//! `privyseal keys …`

mod archive_file;
mod backup;
mod fetch;
mod generate;
mod key_secrets;
mod restore;

use crate::error::CommandError;
use clap::Subcommand;
use privyseal_keys::Certificate;

/// Make sealing keys, fetch those of a cluster, back up and restore opening keys
#[derive(clap::Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Backup(Box<backup::Args>),
    Fetch(fetch::Args),
    Generate(generate::Args),
    Restore(Box<restore::Args>),
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    match &args.command {
        Command::Backup(args) => backup::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Restore(args) => restore::run(args),
    }
}

/// A key as people compare it.
fn describe(certificate: &Certificate) -> String {
    format!(
        "key {} (id {}), RSA {}, valid {} to {}",
        certificate.fingerprint(),
        certificate.fingerprint().key_id(),
        certificate.sealing_key().bits(),
        certificate.not_before(),
        certificate.not_after()
    )
}
