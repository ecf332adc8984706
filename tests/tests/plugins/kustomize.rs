//! Folders for the real Kustomize.

use privyseal_tests::{objects, tools};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A folder of its own with kustomizations.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, and the folders that it lies in.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// What `kustomize build` makes of it, or says.
    pub(crate) fn build(&self, arguments: &[&str]) -> Result<Vec<Value>, String> {
        self.build_in("", arguments)
    }

    /// The same of a folder within.
    pub(crate) fn build_in(&self, folder: &str, arguments: &[&str]) -> Result<Vec<Value>, String> {
        let output = Command::new(tools::kustomize())
            .env_clear()
            .env("HOME", "/proc")
            .env("PATH", tools::privyseal().parent().unwrap())
            .arg("build")
            .args(arguments)
            .arg(self.path().join(folder))
            .output()
            .unwrap();
        if output.status.success() {
            Ok(objects::documents(str::from_utf8(&output.stdout).unwrap()))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

/// An object as a document. JSON is YAML.
pub(crate) fn write(object: &Value) -> String {
    format!("{object}\n")
}
