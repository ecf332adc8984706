//! `privyseal keys …`

mod fetch;
mod generate;

use crate::error::CommandError;
use clap::Subcommand;
use privyseal_keys::Certificate;

/// Make sealing keys, and fetch those of a cluster
#[derive(clap::Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Fetch(fetch::Args),
    Generate(generate::Args),
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    match &args.command {
        Command::Fetch(args) => fetch::run(args),
        Command::Generate(args) => generate::run(args),
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
