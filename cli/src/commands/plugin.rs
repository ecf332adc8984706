//! `privyseal plugin …`: sealing within other tools.
//!
//! ```text
//!   stdin ──Stream::read──▶ documents ──secrets::find──▶ Secrets, what the tool wrote on them taken off
//!                                                           │ sealed_stream: one choice of keys, as for `seal`
//!   stdout ◀──Stream::replace── SealedSecrets, what the tool wrote put on them ◀──┘
//! ```
//!
//! Whatever is no Secret passes byte for byte. If anything cannot be sealed, nothing is written.

mod function_config;
mod helm;
mod kustomize;
mod sealed_stream;
mod secrets;

use crate::error::CommandError;
use clap::Subcommand;

/// Seal within other tools: as a function of kustomize, as a post-renderer of Helm
#[derive(clap::Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Kustomize(Box<kustomize::Args>),
    Helm(Box<helm::Args>),
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    match &args.command {
        Command::Kustomize(args) => kustomize::run(args),
        Command::Helm(args) => helm::run(args),
    }
}
