//! The teller: narration, commands that are shown and run, and claims that are checked.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::io::IsTerminal;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::programs;
use crate::go_tools;
use crate::workspace::Workspace;

/// A story under way, with a folder of its own that goes with it. It touches nobody's configuration: programs come
/// from the front of its search path, and there is a kubeconfig only once one was given.
pub(super) struct Story {
    folder: TempDir,
    search_path: OsString,
    kubeconfig: PathBuf,
    chapters: Cell<u32>,
    terminal: bool,
}

impl Story {
    pub(super) fn new(workspace: &Workspace) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("privyseal-demo-").tempdir()?;
        let programs_of_the_story = folder.path().join("bin");
        fs::create_dir(&programs_of_the_story)?;
        for (name, program) in [
            ("privyseal", programs(workspace).join("privyseal")),
            ("helm", go_tools::program(workspace, "helm")),
        ] {
            symlink(program, programs_of_the_story.join(name))?;
        }
        let kubectl = programs_of_the_story.join("kubectl");
        let control_plane = go_tools::program(workspace, "control-plane");
        fs::write(&kubectl, format!("#!/bin/sh\nexec '{}' kubectl \"$@\"\n", control_plane.display()))?;
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755))?;

        let inherited = env::var_os("PATH").unwrap_or_default();
        let search_path =
            env::join_paths(std::iter::once(programs_of_the_story).chain(env::split_paths(&inherited)))?;
        fs::create_dir(folder.path().join("work"))?;
        Ok(Self {
            folder,
            search_path,
            kubeconfig: PathBuf::from("/dev/null"),
            chapters: Cell::new(0),
            terminal: std::io::stdout().is_terminal(),
        })
    }

    /// A folder beside the one where the commands run, for what is not part of the story.
    pub(super) fn backstage(&self) -> &Path {
        self.folder.path()
    }

    /// From here on the commands talk to this cluster.
    pub(super) fn use_kubeconfig(&mut self, file: &Path) {
        file.clone_into(&mut self.kubeconfig);
    }

    /// Begins a chapter.
    pub(super) fn chapter(&self, title: &str) {
        self.chapters.set(self.chapters.get() + 1);
        println!("\n{}\n", self.bold(&format!("── {}. {title} ──", self.chapters.get())));
    }

    /// Narrates.
    pub(super) fn say(&self, text: &str) {
        println!("{}\n", wrapped(text));
    }

    /// Writes a file of the story and shows it.
    pub(super) fn file(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.work().join(name), text).with_context(|| format!("cannot write {name}"))?;
        println!("{}", self.bold(&format!("[{name}]")));
        show(text);
        println!();
        Ok(())
    }

    /// Shows a command, runs it, shows what it says; gives its stdout. The demo ends if it fails.
    pub(super) fn run(&self, command: &str) -> Result<String> {
        let output = self.shown(command)?;
        ensure!(output.status.success(), "the demo expected this to work ({}): {command}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Shows a command that must be refused with this exit status.
    pub(super) fn refused(&self, command: &str, status: i32) -> Result<()> {
        let output = self.shown(command)?;
        ensure!(
            output.status.code() == Some(status),
            "the demo expected exit status {status}, not {}: {command}",
            output.status
        );
        println!("{}\n", self.bold(&format!("(refused, exit status {status})")));
        Ok(())
    }

    /// Shows a command and repeats it until what it writes on stdout is as wished; then shows that.
    pub(super) fn until(&self, command: &str, wished: impl Fn(&str) -> bool) -> Result<String> {
        self.prompt(command);
        let began = Instant::now();
        loop {
            let output = self.quietly(command)?;
            let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() && wished(&stdout) {
                show_output(&output);
                return Ok(stdout);
            }
            if began.elapsed() > PATIENCE {
                show_output(&output);
                bail!("the demo waited {} s in vain for this: {command}", PATIENCE.as_secs());
            }
            thread::sleep(AGAIN);
        }
    }

    /// Runs a command behind the scene; the demo ends if it fails.
    pub(super) fn backstage_run(&self, command: &str) -> Result<String> {
        let output = self.quietly(command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command}: {}\n{}", output.status, said.trim_end());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Repeats a command behind the scene until what it writes on stdout is as wished.
    pub(super) fn backstage_until(&self, command: &str, wished: impl Fn(&str) -> bool) -> Result<()> {
        let began = Instant::now();
        loop {
            let output = self.quietly(command)?;
            if output.status.success() && wished(&String::from_utf8_lossy(&output.stdout)) {
                return Ok(());
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "the demo waited {} s in vain for this: {command}\n{}",
                PATIENCE.as_secs(),
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
            thread::sleep(AGAIN);
        }
    }

    /// Ends the demo if a claim does not hold.
    pub(super) fn claim(&self, claim: &str, holds: bool) -> Result<()> {
        ensure!(holds, "the demo claims: {claim}; this does not hold");
        self.conclude(claim);
        Ok(())
    }

    /// Says what has just been shown to be so.
    pub(super) fn conclude(&self, claim: &str) {
        println!("{}\n", self.bold(&format!("✓ {claim}")));
    }

    fn shown(&self, command: &str) -> Result<Output> {
        self.prompt(command);
        let output = self.quietly(command)?;
        show_output(&output);
        Ok(output)
    }

    fn quietly(&self, command: &str) -> Result<Output> {
        Command::new("sh")
            .args(["-c", command])
            .current_dir(self.work())
            .env("PATH", &self.search_path)
            .env("KUBECONFIG", &self.kubeconfig)
            // The demo's clusters are not the user's.
            .env("PRIVYSEAL_TRUST", self.folder.path().join("trust.yaml"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .stdin(Stdio::null())
            .output()
            .context("cannot start `sh`")
    }

    fn prompt(&self, command: &str) {
        println!("{}", self.bold(&format!("$ {command}")));
    }

    /// The folder where the commands run.
    pub(super) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn bold(&self, text: &str) -> String {
        if self.terminal && env::var_os("NO_COLOR").is_none() {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn show_output(output: &Output) {
    show(&String::from_utf8_lossy(&output.stdout));
    show(&String::from_utf8_lossy(&output.stderr));
    println!();
}

/// Indented, with what nobody reads cut short.
fn show(text: &str) {
    for line in text.lines() {
        println!("  {}", shortened(line));
    }
}

/// A word that long is base64. Spaces stay as they are.
fn shortened(line: &str) -> String {
    let short = |word: &str| match word.char_indices().nth(SHORT_WORD) {
        Some((end, _)) if word.chars().count() > LONG_WORD => format!("{}…", &word[..end]),
        _ => word.to_owned(),
    };
    line.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    let mut width = 0;
    for word in text.split_whitespace() {
        let chars = word.chars().count();
        if width > 0 && width + 1 + chars > NARRATION {
            lines.push(String::new());
            width = 0;
        }
        if let Some(line) = lines.last_mut() {
            if width > 0 {
                line.push(' ');
                width += 1;
            }
            line.push_str(word);
            width += chars;
        }
    }
    lines.join("\n")
}

const NARRATION: usize = 78;
/// More than a fingerprint has, and the id of a version in a vault on this machine.
const LONG_WORD: usize = 96;
const SHORT_WORD: usize = 48;
/// How long something in the cluster may take. All of it takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narration_is_wrapped_between_words() {
        let text = "word ".repeat(40);
        let wrapped = wrapped(&text);
        assert!(wrapped.lines().all(|line| line.len() <= NARRATION && !line.ends_with(' ')));
        assert_eq!(wrapped.split_whitespace().count(), 40);
    }

    #[test]
    fn base64_is_cut_and_prose_is_not() {
        let prose = "  hint: what a person reads stays whole, however long the line ".repeat(4);
        assert_eq!(shortened(&prose), prose);
        let value = format!("    password: {}", "A".repeat(500));
        assert_eq!(shortened(&value), format!("    password: {}…", "A".repeat(SHORT_WORD)));
    }
}
