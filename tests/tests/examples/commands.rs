//! Commands that pages and pipelines tell people to run: a real shell takes them apart, and the real programs say whether
//! they know such a command with such options.

use super::pipelines;
use privyseal_tests::{example, tools};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Asks the program for help on what it is given: it complains of what it does not know before it gets there.
const CHECKED: &str = r#"#!/bin/sh
echo "NAME $*" >> "$FOLDER/called"
PROGRAM "$@" --help > /dev/null 2> "$FOLDER/said" || { echo "NAME $*"; /bin/cat "$FOLDER/said"; } >> "$FOLDER/refused"
"#;

/// Others are called and do nothing.
const OTHERS: [&str; 13] = [
    "argocd",
    "az",
    "base64",
    "cargo",
    "cp",
    "date",
    "flux",
    "git",
    "grep",
    "head",
    "pre-commit",
    "sed",
    "test",
];

/// A shell that can do nothing but check.
struct Shell(TempDir);

impl Shell {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        fs::create_dir(this.0.path().join("bin")).unwrap();
        let kubectl = format!("{} kubectl", tools::control_plane().display());
        for (name, program) in [("privyseal", tools::privyseal().display().to_string()), ("kubectl", kubectl)]
        {
            let folder = this.0.path().display().to_string();
            this.program(
                name,
                &CHECKED.replace("NAME", name).replace("PROGRAM", &program).replace("$FOLDER", &folder),
            );
        }
        OTHERS.iter().for_each(|name| this.program(name, "#!/bin/sh\n"));
        this
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.0.path().join("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The calls of programs that are checked.
    fn calls(&self, script: &str) -> Vec<String> {
        self.check(script).unwrap_or_else(|complaint| panic!("{complaint}\nin\n{script}"))
    }

    /// As [`calls`](Self::calls). What a program refuses, or is no shell, is the error.
    fn check(&self, script: &str) -> Result<Vec<String>, String> {
        let read = |name: &str| fs::read_to_string(self.0.path().join(name)).unwrap_or_default();
        let before = read("called").lines().count();
        let work = tempfile::tempdir_in(self.0.path()).unwrap();
        let mut shell = Command::new("/bin/bash");
        shell.args(["-c", script]).current_dir(work.path()).env_clear();
        shell.env("PATH", self.0.path().join("bin")).env("HOME", work.path());
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // Variables of pipelines look like commands to a shell.
        let is_variable =
            |line: &str| ["Pipeline.", "Agent.", "privysealVersion"].iter().any(|name| line.contains(name));
        let is_wrong = |line: &&str| {
            line.contains("syntax error") || (line.contains("command not found") && !is_variable(line))
        };
        match (said.lines().find(is_wrong), read("refused")) {
            (None, refused) if refused.is_empty() => {
                Ok(read("called").lines().skip(before).map(str::to_owned).collect())
            }
            (Some(line), _) => Err(line.to_owned()),
            (None, refused) => Err(refused),
        }
    }
}

/// The blocks of shell of a page, and what stands between backticks and begins like a command.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, part) in page.split("```").enumerate() {
        if number % 2 == 1 {
            found.extend(part.strip_prefix("sh\n").map(str::to_owned));
            continue;
        }
        let spans = part.split('`').skip(1).step_by(2);
        let is_command = |span: &&str| {
            ["privyseal ", "kubectl "].iter().any(|start| span.starts_with(start)) && !span.contains('…')
        };
        found.extend(spans.filter(is_command).map(str::to_owned));
    }
    found
}

fn of_page(shell: &Shell, path: &Path) -> Vec<String> {
    let page = fs::read_to_string(path).unwrap();
    commands(&page).iter().flat_map(|command| shell.calls(command)).collect()
}

#[test]
fn what_the_pages_say_is_what_the_programs_know() {
    let shell = Shell::new();
    let calls = of_page(&shell, &tools::repository().join("docs/gitops.md"));
    for needed in [
        "keys fetch",
        "keys rotate",
        "reseal secrets",
        "keys report .",
        "keys retire",
        "seal --out-file",
        "lint",
    ] {
        let needed = format!("privyseal {needed}");
        assert!(calls.iter().any(|call| call.starts_with(&needed)), "{needed}: {calls:#?}");
    }
    assert!(calls.iter().filter(|call| call.starts_with("kubectl ")).count() >= 8, "{calls:#?}");
    let calls = of_page(&shell, &example::original().join("README.md"));
    assert!(calls.iter().filter(|call| call.starts_with("privyseal ")).count() >= 12, "{calls:#?}");
}

#[test]
fn what_the_pipelines_and_the_hook_call_is_what_the_program_knows() {
    let shell = Shell::new();
    for (name, scripts) in pipelines::scripts() {
        let calls: Vec<_> = scripts.iter().flat_map(|script| shell.calls(script)).collect();
        let ours: Vec<_> = calls.iter().filter(|call| call.starts_with("privyseal lint")).collect();
        assert_eq!(ours.len(), calls.len(), "{name}: {calls:?}");
        assert_eq!(ours.len(), 2, "{name}: {calls:?}");
    }
}

#[test]
fn what_no_program_knows_is_refused() {
    for (script, complaint) in [
        ("privyseal seal --no-such-option", "unexpected argument"),
        ("privyseal keys fetched", "unrecognized subcommand"),
        ("echo | privyseal lint --format yellow", "invalid value"),
        ("for x in a b; do kubectl wait --for=condition=Ready --no-such pod/x; done", "unknown flag"),
        ("somebody --else", "command not found"),
        ("if true; then privyseal lint", "syntax error"),
    ] {
        let said = Shell::new().check(script).unwrap_err();
        assert!(said.contains(complaint), "{script}: {said}");
    }
    let shell = Shell::new();
    let calls = shell.calls("for x in a b; do privyseal seal --out-file $x.yaml <<END\nkind: $x\nEND\ndone");
    assert_eq!(calls, ["privyseal seal --out-file a.yaml", "privyseal seal --out-file b.yaml"]);
}
