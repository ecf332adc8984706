//! What people copy: examples/gitops as a whole, and the commands of the pages about it.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod commands;
mod links;
mod newcomer;
mod pipelines;
mod rendered;
mod repository;

use privyseal_tests::sealing::privyseal_command;
use privyseal_tests::{objects, tools};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What `kustomize build` makes of a folder.
fn build(folder: &Path) -> Vec<Value> {
    let output = Command::new(tools::kustomize()).env_clear().arg("build").arg(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{}: {said}", folder.display());
    objects::documents(str::from_utf8(&output.stdout).unwrap())
}

/// The objects of a file.
fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    objects::documents(&text)
}

/// Our command line in a folder, with a trust file or with none.
fn privyseal(folder: &Path, trust: Option<&Path>) -> Command {
    let mut command = privyseal_command();
    command.current_dir(folder);
    if let Some(trust) = trust {
        command.env("PRIVYSEAL_TRUST", trust);
    }
    command
}

/// The one object of that kind and name.
fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    let found: Vec<_> = objects.iter().filter(is_it).collect();
    let [object] = found[..] else { panic!("{} objects {kind}/{name}", found.len()) };
    object
}
