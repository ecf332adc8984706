//! `privyseal`: seals Kubernetes Secrets so that they can be committed to Git.
//!
//! ```text
//!   command line ──clap──▶ commands::X::Args ──commands::X::run──▶ Result<(), CommandError> ──▶ exit status
//!        input: files, stdin ──▶ manifest ──▶ seal ──▶ manifest ──▶ output: stdout, files
//!        key_source: --cert, --for, --context, rules ──▶ SealingKey
//!        key_files: --key, key_vault: --key-vault ──▶ Keyring
//! ```
//!
//! This is the thin shell around the crates: it alone reads the clock, files, the terminal and the network. One file
//! per subcommand, its arguments beside its function; the doc comments of the arguments are the help. stdout holds
//! data and nothing else; `speech` says the rest on stderr. No logger is installed, so that no library can print.

mod arguments;
mod certificate;
mod cluster;
mod commands;
mod config_file;
mod documents;
mod download;
mod error;
mod git;
mod identities;
mod input;
mod interrupt;
mod key_files;
mod key_source;
mod key_vault;
mod network;
mod object_size;
mod output;
mod plaintext_file;
mod progress;
mod sealed_file;
mod sealed_tree;
mod sealer;
mod speech;
mod tree;
mod trust_file;
mod values;

use clap::error::ErrorKind as ClapErrorKind;
use std::process::ExitCode;

fn main() -> ExitCode {
    forbid_core_dumps();
    let result = match commands::Cli::parse_arguments(std::env::args_os()) {
        Ok(cli) => cli.run(),
        Err(error) => return answer(&error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            speech::error(&error);
            error.kind().exit_code()
        }
    }
}

/// A core file would hold the values and the keys at hand. A program that runs from here, such as an editor, gets the
/// same limit. Where it cannot be set, the caller's own limit is lower already.
fn forbid_core_dumps() {
    #[cfg(unix)]
    {
        let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    }
}

/// What clap has to say: help and version on stdout, everything else on stderr with status 2.
fn answer(error: &clap::Error) -> ExitCode {
    // If nobody reads it, there is nobody to tell.
    let _ = error.print();
    match error.kind() {
        ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}
