//! Which test binaries the workspace has.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;

use crate::process;
use crate::workspace::Workspace;

/// `--test NAME` for every integration test of the packages that are wanted.
pub(crate) fn tests(workspace: &Workspace, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let args = ["metadata", "--no-deps", "--format-version", "1", "--locked"];
    let metadata = process::output(&mut workspace.cargo(&args))?;
    select(&serde_json::from_str(&metadata).context("cargo metadata")?, wanted)
}

fn select(metadata: &Value, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let list = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
    let mut all = BTreeSet::new();
    let mut args = Vec::new();
    for package in list(metadata, "packages") {
        let package_name = package["name"].as_str().unwrap_or_default();
        for target in list(&package, "targets") {
            if !list(&target, "kind").iter().any(|kind| kind == "test") {
                continue;
            }
            let name = target["name"].as_str().unwrap_or_default().to_owned();
            if !all.insert(name.clone()) {
                bail!("two packages have a test called {name}: cargo could not tell them apart");
            }
            if wanted(package_name) {
                args.extend(["--test".to_owned(), name]);
            }
        }
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(names: [&str; 2]) -> Value {
        let package = |package: &str, test: &str| json!({"name": package, "targets": [{"name": package, "kind": ["lib"]}, {"name": test, "kind": ["test"]}]});
        json!({"packages": [package("a", names[0]), package("b", names[1])]})
    }

    #[test]
    fn tests_are_chosen_by_their_package() {
        let chosen = select(&metadata(["x", "y"]), |package| package == "b").unwrap();
        assert_eq!(chosen, ["--test", "y"]);
    }

    #[test]
    fn two_tests_of_one_name_are_refused() {
        assert!(select(&metadata(["x", "x"]), |_| true).is_err());
    }
}
