//! The chart as the real Helm renders it.

use std::io::Write as _;
use std::process::Command;

use privyseal_tests::{objects, tools};
use serde_json::Value;

/// Renders the release `here` of the namespace `there` with values as after `--set`, or gives what Helm says.
pub(crate) fn template(values: &[&str]) -> Result<Vec<Value>, String> {
    let mut helm = helm("here", "there");
    for value in values {
        // Nothing becomes a number but what is one.
        let number = value.split_once('=').is_some_and(|(_, value)| value.parse::<i64>().is_ok());
        let bool = value.ends_with("=true") || value.ends_with("=false");
        helm.args([if number || bool { "--set" } else { "--set-string" }, value]);
    }
    output(&mut helm)
}

/// Renders a release with values as in a file.
pub(crate) fn template_values(release: &str, namespace: &str, values: &Value) -> Result<Vec<Value>, String> {
    // JSON is YAML.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(values.to_string().as_bytes()).unwrap();
    output(helm(release, namespace).arg("--values").arg(file.path()))
}

/// The one object of a kind.
pub(crate) fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<_> = objects.iter().filter(|object| object["kind"] == kind).collect();
    let [object] = found[..] else { panic!("{} objects of the kind {kind}", found.len()) };
    object
}

fn helm(release: &str, namespace: &str) -> Command {
    let mut helm = Command::new(tools::helm());
    helm.env_clear().args(["template", release, "--namespace", namespace]);
    helm.arg(tools::repository().join("charts/privyseal"));
    helm
}

fn output(helm: &mut Command) -> Result<Vec<Value>, String> {
    let home = tempfile::tempdir().unwrap();
    let output = helm.env("HOME", home.path()).output().unwrap();
    if output.status.success() {
        Ok(objects::documents(std::str::from_utf8(&output.stdout).unwrap()))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
