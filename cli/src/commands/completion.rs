//! `privyseal completion`

use crate::commands::Cli;
use crate::error::CommandError;
use crate::output::to_stdout;
use clap::CommandFactory as _;
use clap_complete::Shell;

/// Write a completion script for a shell to stdout
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  source <(privyseal completion bash)
  privyseal completion zsh > \"${fpath[1]}/_privyseal\"
  privyseal completion fish > ~/.config/fish/completions/privyseal.fish")]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    to_stdout(&script)
}
