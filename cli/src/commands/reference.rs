//! `privyseal reference`: the whole command line as a page or as man pages. Hidden: it is for whoever packages.

mod markdown;

use super::Cli;
use crate::error::CommandError;
use crate::input::reason;
use crate::output::{Content, Destination, to_stdout};
use clap::{CommandFactory as _, ValueEnum};
use std::fs;
use std::path::PathBuf;

/// Write the reference of all commands
#[derive(clap::Args)]
pub(super) struct Args {
    /// One page of Markdown, or a man page for each command
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Format,

    /// The folder for the files, which is made if need be. The Markdown page goes to stdout without it
    #[arg(long, value_name = "DIR", required_if_eq("format", "man"))]
    out_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Markdown,
    Man,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| CommandError::failed(format!("the reference: {}", reason(&error)));
    if let Some(folder) = &args.out_dir {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match (args.format, &args.out_dir) {
        (Format::Markdown, None) => to_stdout(markdown::page(Cli::command()).as_bytes()),
        (Format::Markdown, Some(folder)) => Destination::File(folder.join("cli.md"))
            .write(markdown::page(Cli::command()).as_bytes(), Content::Public),
        (Format::Man, Some(folder)) => clap_mangen::generate_to(Cli::command(), folder).map_err(failed),
        (Format::Man, None) => Err(CommandError::input("--out-dir: man pages need a folder")),
    }
}
