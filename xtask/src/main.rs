//! `cargo xtask`: everything that one does with this repository beyond `cargo build`.
//!
//! A thin shell around cargo, go, helm and the programs of this workspace. It depends on none of the product's
//! crates, so that it is built in seconds, and it runs where the product does not build: it has to be able to say
//! why. What needs the product's types (the CRD) is printed by a small program of theirs, which it runs.
//!
//! ```text
//! workspace  where everything is      go_tools       the programs that come from Go modules
//! process    run a program            node_tools     the peer that comes from npm
//! progress   long work, visibly       prerequisites  what has to be installed
//!                                     test, fuzz, up, demo, generate, image, krew   one file per subcommand
//! ```
//!
//! Data goes to stdout: the table of stages, the tale of the demo, the output of tests. Progress goes to stderr.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a task runner is for")]

mod demo;
mod fuzz;
mod generate;
mod go_tools;
mod image;
mod krew;
mod node_tools;
mod prerequisites;
mod process;
mod progress;
mod test;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Build, test, show and package Privyseal
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Test(test::Args),
    Fuzz(fuzz::Args),
    Demo(demo::Args),
    Up(up::Args),
    Generate(generate::Args),
    Image(image::Args),
    Krew(krew::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = Workspace::locate().and_then(|workspace| match args.task {
        Task::Test(args) => test::run(&workspace, &args),
        Task::Fuzz(args) => fuzz::run(&workspace, &args),
        Task::Demo(args) => demo::run(&workspace, &args),
        Task::Up(args) => up::run(&workspace, &args),
        Task::Generate(args) => generate::run(&workspace, &args),
        Task::Image(args) => image::run(&workspace, &args),
        Task::Krew(args) => krew::run(&workspace, &args),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
