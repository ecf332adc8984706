//! The command line: one file per subcommand.

mod completion;
mod diff;
mod doctor;
mod edit;
mod init;
mod inspect;
mod keys;
mod lint;
mod plugin;
mod reference;
mod reseal;
mod seal;
mod set;
mod unseal;
mod unset;
mod verify;

use crate::error::CommandError;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use privyseal_manifest::Encoding;
use std::ffi::OsString;
use std::path::Path;

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
3 the cluster, or a Key Vault, cannot be reached.")]
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
    Verify(verify::Args),
    Reseal(reseal::Args),
    Keys(keys::Args),
    Init(init::Args),
    Plugin(plugin::Args),
    Doctor(doctor::Args),
    Completion(completion::Args),
    #[command(hide = true)]
    Reference(reference::Args),
}

impl Cli {
    /// Reads the command line. As a plugin of kubectl, help and errors call it as people do.
    pub(crate) fn parse_arguments(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, clap::Error> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        let mut command = Self::command();
        if is_kubectl_plugin(arguments.first()) {
            command = command.bin_name("kubectl privyseal");
        }
        let matches = command.try_get_matches_from_mut(arguments)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }

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
            Command::Verify(args) => verify::run(args),
            Command::Reseal(args) => reseal::run(args),
            Command::Keys(args) => keys::run(args),
            Command::Init(args) => init::run(args),
            Command::Plugin(args) => plugin::run(args),
            Command::Doctor(args) => doctor::run(args),
            Command::Completion(args) => completion::run(args),
            Command::Reference(args) => reference::run(args),
        }
    }
}

/// kubectl runs `kubectl-NAME` for `kubectl NAME`.
fn is_kubectl_plugin(program: Option<&OsString>) -> bool {
    program.and_then(|program| Path::new(program).file_stem()).is_some_and(|stem| stem == "kubectl-privyseal")
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    Text,
    Json,
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
