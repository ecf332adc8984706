//! `cargo xtask up`: a control plane to work with by hand.

use std::os::unix::process::CommandExt;
use std::path::{self, PathBuf};

use anyhow::{Context, Result};

use crate::prerequisites::{self, Need};
use crate::workspace::Workspace;
use crate::{go_tools, process};

/// Run the tests' control plane in the foreground, to work with by hand
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where it keeps its data; with the same folder it goes on where it was [default: in the target folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    prerequisites::check(workspace, &[Need::Go])?;
    go_tools::build(workspace, &["control-plane"])?;
    let program = go_tools::program(workspace, "control-plane");
    let data = match &args.data_dir {
        Some(folder) => path::absolute(folder).context("--data-dir")?,
        None => workspace.target().join("control-plane"),
    };
    eprintln!(
        "A control plane starts in {data}. Once it says \"ready\", in another terminal:\n\n  \
         export KUBECONFIG={data}/kubeconfig\n  \
         {program} kubectl get namespaces\n\n\
         Ctrl-C stops it. The data stays: the next start goes on from there. Remove the folder to begin anew.\n",
        data = data.display(),
        program = program.display(),
    );
    // In our place, so that Ctrl-C finds it alone and the shell waits until it has stopped in order.
    let mut command = workspace.command(&program);
    command.arg("up").arg("--data-dir").arg(&data);
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start `{}`", process::shown(&command)))
}
