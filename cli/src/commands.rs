//! The command line: one file per subcommand.

mod completion;
mod diff;
mod edit;
mod init;
mod inspect;
mod keys;
mod lint;
mod reseal;
mod seal;
mod set;
mod unseal;
mod unset;

use crate::error::CommandError;
use clap::{Parser, Subcommand, ValueEnum};
use privyseal_manifest::Encoding;

/// Seals Kubernetes Secrets so that they can be committed to Git.
///
/// A sealed Secret can be opened by the controller in the cluster and by nobody else. Sealing needs no cluster and no
/// right to read anything: the cluster's certificate is enough.
#[derive(Parser)]
#[command(name = "privyseal", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  privyseal keys fetch --context prod > prod.pem
  privyseal seal --cert prod.pem secret.yaml > sealed.yaml
  privyseal inspect sealed.yaml

Exit status: 0 done; 1 it failed, or something does not open; 2 wrong usage or unreadable input;
3 the cluster cannot be reached.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Seal(seal::Args),
    Set(set::Args),
    Unset(unset::Args),
    Edit(edit::Args),
    Diff(diff::Args),
    Unseal(unseal::Args),
    Inspect(inspect::Args),
    Lint(lint::Args),
    Reseal(reseal::Args),
    Keys(keys::Args),
    Init(init::Args),
    Completion(completion::Args),
}

impl Cli {
    /// Does what was asked.
    pub(crate) fn run(&self) -> Result<(), CommandError> {
        match &self.command {
            Command::Seal(args) => seal::run(args),
            Command::Set(args) => set::run(args),
            Command::Unset(args) => unset::run(args),
            Command::Edit(args) => edit::run(args),
            Command::Diff(args) => diff::run(args),
            Command::Unseal(args) => unseal::run(args),
            Command::Inspect(args) => inspect::run(args),
            Command::Lint(args) => lint::run(args),
            Command::Reseal(args) => reseal::run(args),
            Command::Keys(args) => keys::run(args),
            Command::Init(args) => init::run(args),
            Command::Completion(args) => completion::run(args),
        }
    }
}

/// How manifests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ManifestFormat {
    Yaml,
    Json,
}

impl From<Encoding> for ManifestFormat {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Yaml => Self::Yaml,
            Encoding::Json => Self::Json,
        }
    }
}
