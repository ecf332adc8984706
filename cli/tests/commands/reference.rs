//! What is generated from the definitions: the reference, man pages and completion scripts; and the name that the
//! program goes by under kubectl.

use crate::harness::{Scene, has};
use std::process::Command;

/// Every command with its whole name, from the reference.
fn commands(scene: &Scene) -> Vec<String> {
    let page = scene.run("reference --format markdown").succeeds().stdout;
    let headings = page.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`'));
    let commands: Vec<_> = headings.map(str::to_owned).collect();
    assert!(commands.len() > 10, "{commands:?}");
    commands
}

#[test]
fn the_committed_reference_is_that_of_this_program() {
    let page = Scene::new().run("reference --format markdown").succeeds().stdout;
    assert!(
        page == include_str!("../../../docs/reference/cli.md"),
        "docs/reference/cli.md is not as generated: run `cargo xtask generate --quick`"
    );
}

#[test]
fn each_command_has_a_man_page() {
    let scene = Scene::new();
    scene.run("reference --format man --out-dir man/man1").succeeds();
    let commands = commands(&scene);
    for command in &commands {
        let page = scene.read(&format!("man/man1/{}.1", command.replace(' ', "-")));
        has(&page, &[".TH ", ".SH SYNOPSIS"]);
    }
    assert_eq!(std::fs::read_dir(scene.path("man/man1")).unwrap().count(), commands.len());
    has(&scene.run("reference --format man").fails(2), &["--out-dir"]);
    assert!(!scene.run("--help").succeeds().stdout.contains("reference"), "it is hidden");
}

#[test]
fn each_shells_script_completes_every_command() {
    let scene = Scene::new();
    let commands = commands(&scene);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = scene.run(&format!("completion {shell}")).succeeds().stdout;
        for command in &commands {
            let last = command.rsplit(' ').next().unwrap();
            assert!(script.contains(last), "{shell}: {command}");
        }
        for option in ["--controller-namespace", "--only-key", "--yes-trust"] {
            let name = option.trim_start_matches('-');
            assert!(script.contains(name), "{shell}: {option}");
        }
    }
    // A shell takes it.
    let syntax = "\"$PRIVYSEAL\" completion bash > it.bash && bash -n it.bash && source it.bash && complete -p privyseal";
    has(&scene.shell(syntax).succeeds().stdout, &["privyseal"]);
}

#[test]
fn as_a_plugin_of_kubectl_it_calls_itself_as_people_do() {
    let scene = Scene::new();
    let plugin = scene.path("kubectl-privyseal");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_privyseal"), &plugin).unwrap();
    let said = |arguments: &[&str]| {
        let output = Command::new(&plugin).args(arguments).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    has(&said(&["--help"]), &["Usage: kubectl privyseal <COMMAND>"]);
    has(&said(&["seal", "--help"]), &["Usage: kubectl privyseal seal [OPTIONS]"]);
    has(&said(&["keys", "retire"]), &["Usage: kubectl privyseal keys retire "]);
    has(&scene.run("seal --help").succeeds().stdout, &["Usage: privyseal seal [OPTIONS]"]);
}
