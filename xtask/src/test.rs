//! `cargo xtask test`: every check there is, as stages in a fixed order, with a table at the end.
//!
//! Cheap checks come first, and what a later stage needs is made by an earlier one or, when one stage is run alone,
//! by itself. Nothing is skipped in silence: the table has a row for each stage, also for one that was left out or
//! not reached.

mod stage;
mod table;
mod tally;
mod targets;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::test::stage::{Run, Stage};
use crate::test::table::{Outcome, Row};
use crate::workspace::Workspace;

/// Run every check, or the named stages of it
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out what needs Go or Node; the table says what that was
    #[arg(long)]
    quick: bool,
    /// Go on after a failure, to see all of them
    #[arg(long)]
    keep_going: bool,
    /// Run only these stages
    #[arg(value_enum, value_name = "STAGE")]
    stages: Vec<Stage>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if let Some(stage) = args.stages.iter().find(|stage| args.quick && stage.needs_go_or_node()) {
        bail!("--quick leaves out {}, which was asked for by name", stage.name());
    }
    let all = Stage::value_variants();
    let mut run = Run::new(workspace, args.quick, args.keep_going);
    let mut rows: Vec<Row> = Vec::new();
    let mut stopped = false;
    for (index, stage) in all.iter().enumerate() {
        let not_named = !args.stages.is_empty() && !args.stages.contains(stage);
        let (took, outcome) = if not_named {
            (Duration::ZERO, Outcome::NotNamed)
        } else if args.quick && stage.needs_go_or_node() {
            (Duration::ZERO, Outcome::Quick)
        } else if stopped {
            (Duration::ZERO, Outcome::NotReached)
        } else {
            eprintln!("\n=== {} ({} of {})", stage.name(), index + 1, all.len());
            let began = Instant::now();
            let outcome = match stage.run(&mut run) {
                Ok(note) => Outcome::Passed(note),
                Err(error) => {
                    eprintln!("\nerror: {}: {error:#}", stage.name());
                    Outcome::Failed(error.to_string())
                }
            };
            (began.elapsed(), outcome)
        };
        stopped |= matches!(outcome, Outcome::Failed(_)) && !args.keep_going;
        rows.push(Row { stage: stage.name(), took, outcome });
    }
    println!("\n{}", table::render(&rows));
    if !run.tally().ran_nothing() {
        println!("{}", run.tally());
    }
    let failed: Vec<_> = rows.iter().filter(|row| row.failed()).map(|row| row.stage).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}
