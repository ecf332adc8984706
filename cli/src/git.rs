//! `git`, where it knows what files alone do not tell: what it tracks, and what it ever tracked.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A command in a folder, with nothing that the repository's configuration could start.
pub(crate) fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["--no-pager", "--no-optional-locks", "-c", "core.fsmonitor=false"]);
    git
}

/// Files below a folder that are tracked although a `.gitignore` names them; none where there is no `git` that could say.
pub(crate) fn tracked_but_ignored(folder: &Path) -> Vec<PathBuf> {
    let mut command = git(folder);
    command.args(["ls-files", "-z", "--cached", "--ignored", "--exclude-per-directory=.gitignore"]);
    let Ok(output) = command.output() else { return Vec::new() };
    if !output.status.success() {
        return Vec::new();
    }
    let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.filter_map(|name| str::from_utf8(name).ok()).map(|name| folder.join(name)).collect()
}
