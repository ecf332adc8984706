//! A copy of `examples/gitops`, and somebody who does with it what its README says.

use crate::{ControlPlane, objects, tools};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Adds to the commands that ask what was compared with somebody who knows: a test has no terminal to say yes on.
const PRIVYSEAL: &str = r#"#!/bin/sh
case "$1 $2" in
    seal*|"keys fetch") exec PROGRAM "$@" $(cat "$HOME/compared") ;;
    *) exec PROGRAM "$@" ;;
esac
"#;

/// Where the example lies.
pub fn original() -> PathBuf {
    tools::repository().join("examples/gitops")
}

/// The blocks of shell below a heading of a page, such as `### 1. Names`.
pub fn blocks(page: &str, heading: &str) -> Vec<String> {
    let below = page.split_once(&format!("\n{heading}\n"));
    let (_, below) = below.unwrap_or_else(|| panic!("the page has no {heading:?}"));
    let depth = |line: &str| line.bytes().take_while(|byte| *byte == b'#').count();
    let is_heading = |line: &str| line.starts_with("#") && line.trim_start_matches('#').starts_with(' ');
    // A comment in a script looks like a heading of the first level, which only the title is.
    let ends = |line: &str| is_heading(line) && (2..=depth(heading)).contains(&depth(line));
    let section: Vec<_> = below.lines().take_while(|line| !ends(line)).collect();
    let section = section.join("\n") + "\n";
    let blocks: Vec<_> = section
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect();
    assert!(!blocks.is_empty(), "no commands below {heading:?}");
    blocks
}

/// The copy, a home and a kubeconfig.
#[derive(Debug)]
pub struct Example {
    folder: TempDir,
    root: PathBuf,
}

impl Example {
    /// Copies it, as a repository of its own, with a context for each cluster.
    pub fn copy(clusters: &[(&str, &ControlPlane)]) -> Self {
        let folder = temporary();
        let root = folder.path().join("fleet");
        make(&root.join(".git"));
        Self::copied(folder, root, clusters)
    }

    /// As [`copy`](Self::copy), into a work tree that is there.
    pub fn copy_into(root: &Path, clusters: &[(&str, &ControlPlane)]) -> Self {
        Self::copied(temporary(), root.to_path_buf(), clusters)
    }

    fn copied(folder: TempDir, root: PathBuf, clusters: &[(&str, &ControlPlane)]) -> Self {
        copy(&original(), &root);
        let this = Self { folder, root };
        this.write_beside("home/compared", "");
        this.program("privyseal", &PRIVYSEAL.replace("PROGRAM", &tools::privyseal().to_string_lossy()));
        let kubectl = tools::control_plane();
        this.program("kubectl", &format!("#!/bin/sh\nexec {} kubectl \"$@\"\n", kubectl.display()));
        this.write_beside("home/kubeconfig", &kubeconfig(clusters));
        this
    }

    /// The root of the copy.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What a file of it says.
    pub fn read(&self, name: &str) -> String {
        let path = self.root.join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Writes a file of it.
    pub fn write(&self, name: &str, text: &str) {
        write(&self.root.join(name), text);
    }

    /// Replaces what must be there exactly once.
    pub fn replace(&self, name: &str, old: &str, new: &str) {
        let text = self.read(name);
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {name}:\n{text}");
        self.write(name, &text.replace(old, new));
    }

    /// Does what the README says for somebody with one cluster only.
    pub fn without_production(&self) {
        for path in files(&self.root) {
            let name = path.strip_prefix(&self.root).unwrap_or(&path).with_extension("");
            if name.iter().any(|part| part == "production") {
                fs::remove_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
        }
        let cluster = "  production:\n    keys: keys/production.keys\n    context: production\n";
        let rule = "  - path: secrets/production/**\n    for: [production, break-glass]\n";
        for (old, new) in
            [(cluster, ""), (rule, ""), ("[staging, production, break-glass]", "[staging, break-glass]")]
        {
            self.replace(".privyseal.yaml", old, new);
        }
        // "Leave it out of the steps below": of the README too, whose steps are done.
        let fetch = "privyseal keys fetch --for production --published --out-file keys/production.keys\n";
        self.replace("README.md", fetch, "");
        self.replace("README.md", "for cluster in staging production; do\n", "for cluster in staging; do\n");
    }

    /// From now on this fingerprint is trusted when it is asked for.
    pub fn compared(&self, fingerprint: &str) {
        let path = self.folder.path().join("home/compared");
        let before = fs::read_to_string(&path).unwrap_or_default();
        self.write_beside("home/compared", &format!("{before}--yes-trust {fingerprint} "));
    }

    /// Runs a script in the root of the copy.
    pub fn sh(&self, script: &str) -> Output {
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", script]).current_dir(&self.root).env_clear();
        shell.env("PATH", format!("{}:/usr/bin:/bin", self.folder.path().join("bin").display()));
        shell.env("HOME", self.folder.path().join("home"));
        shell.env("KUBECONFIG", self.folder.path().join("home/kubeconfig"));
        shell.output().unwrap_or_else(|error| panic!("sh: {error}"))
    }

    /// As [`sh`](Self::sh), for what must succeed. Gives what it wrote to stdout.
    pub fn does(&self, script: &str) -> String {
        let output = self.sh(script);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{}\n{errors}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Does what the README says below a heading, and gives what was said on stderr.
    pub fn step(&self, heading: &str) -> String {
        let mut said = String::new();
        for block in blocks(&self.read("README.md"), heading) {
            let output = self.sh(&block);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{block}\n{}\n{errors}", output.status);
            said.push_str(&errors);
        }
        said
    }

    fn program(&self, name: &str, script: &str) {
        self.write_beside(&format!("bin/{name}"), script);
        let path = self.folder.path().join("bin").join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    fn write_beside(&self, name: &str, text: &str) {
        write(&self.folder.path().join(name), text);
    }
}

/// The first fingerprint in what a program said.
pub fn fingerprint(said: &str) -> &str {
    let at = said.find("SHA256:").unwrap_or_else(|| panic!("no fingerprint in {said:?}"));
    let rest = &said[at..];
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, ':' | '+' | '/');
    rest.split(|letter| !is_part(letter)).next().unwrap_or(rest)
}

/// All files of a folder, but for Git's own.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        match path.is_dir() {
            true if path.ends_with(".git") => {}
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let name = file.strip_prefix(from).unwrap_or(&file);
        let target = to.join(name);
        target.parent().into_iter().for_each(make);
        fs::copy(&file, &target).unwrap_or_else(|error| panic!("{}: {error}", target.display()));
    }
}

fn temporary() -> TempDir {
    tempfile::tempdir().unwrap_or_else(|error| panic!("a temporary folder: {error}"))
}

fn write(path: &Path, text: &str) {
    path.parent().into_iter().for_each(make);
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn make(folder: &Path) {
    fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
}

fn kubeconfig(clusters: &[(&str, &ControlPlane)]) -> String {
    let parts = clusters.iter().map(|(name, control_plane)| {
        let path = control_plane.kubeconfig();
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let config = objects::documents(&text).remove(0);
        (
            json!({"name": name, "cluster": config["clusters"][0]["cluster"]}),
            json!({"name": name, "user": config["users"][0]["user"]}),
            json!({"name": name, "context": {"cluster": name, "user": name}}),
        )
    });
    let (clusters, (users, contexts)): (Vec<_>, (Vec<_>, Vec<_>)) =
        parts.map(|(a, b, c)| (a, (b, c))).unzip();
    json!({"apiVersion": "v1", "kind": "Config", "clusters": clusters, "users": users, "contexts": contexts})
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_at_the_next_heading_of_its_level() {
        let page = "\n## A\n```sh\none\n```\n### B\n```sh\ntwo\n```\n## C\n```sh\nthree\n```\n";
        assert_eq!(blocks(page, "## A"), ["one\n", "two\n"]);
        assert_eq!(blocks(page, "### B"), ["two\n"], "the headings above it end it too");
    }

    #[test]
    fn a_fingerprint_is_found_in_a_sentence() {
        assert_eq!(fingerprint("key SHA256:ab+/C1, of"), "SHA256:ab+/C1");
    }
}
