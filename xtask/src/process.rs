//! Running other programs, with errors that name the command.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs to the end, on our own stdin, stdout and stderr.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs to the end and gives what it wrote on stdout; what it wrote on stderr becomes part of the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}\n{}", shown(command), output.status, said.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote no UTF-8", shown(command)))
}

/// Which of its two outputs is read line by line; the other one stays ours.
#[derive(Clone, Copy)]
pub(crate) enum Lines {
    Stdout,
    Stderr,
}

/// Runs to the end and gives each line of one output as it comes.
pub(crate) fn run_lines(command: &mut Command, which: Lines, mut each: impl FnMut(&str)) -> Result<()> {
    match which {
        Lines::Stdout => command.stdout(Stdio::piped()),
        Lines::Stderr => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().with_context(|| cannot_start(command))?;
    let mut read_all = |pipe: &mut dyn BufRead| -> Result<()> {
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line)? > 0 {
            each(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
            line.clear();
        }
        Ok(())
    };
    match which {
        Lines::Stdout => child.stdout.take().map(|pipe| read_all(&mut BufReader::new(pipe))),
        Lines::Stderr => child.stderr.take().map(|pipe| read_all(&mut BufReader::new(pipe))),
    }
    .context("the output is piped")??;
    let status = child.wait()?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| {
        let arg = arg.to_string_lossy();
        if arg.contains(char::is_whitespace) { format!("'{arg}'") } else { arg.into_owned() }
    });
    std::iter::once(name).chain(args).collect::<Vec<_>>().join(" ")
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", command.get_program().to_string_lossy())
}
