//! The peer that is an npm package: installed beside the programs of the Go modules, outside of the checkout.
//!
//! npm is run only when the lock file is another one than that of the last installation: it asks the registry even
//! if all that it needs is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// Its folder in the checkout.
pub(crate) const MODULE: &str = "tests/peers/age-encryption";
/// Its folder below [`Workspace::tools`].
const INSTALLED: &str = "age-encryption";
const PACKAGE: &str = "package.json";
const LOCK: &str = "package-lock.json";
const PROGRAM: &str = "peer.mjs";
/// The lock file of the installation that is complete. Not npm's own `node_modules/.package-lock.json`, which
/// leaves out half of it.
const DONE: &str = "installed-lock.json";

/// Installs it, if that was not done yet; says what it did.
pub(crate) fn install(workspace: &Workspace) -> Result<&'static str> {
    let from = workspace.root().join(MODULE);
    let into = workspace.tools().join(INSTALLED);
    fs::create_dir_all(&into).with_context(|| format!("cannot make {}", into.display()))?;
    for name in [PACKAGE, LOCK, PROGRAM] {
        let copied = fs::copy(from.join(name), into.join(name));
        copied.with_context(|| format!("cannot copy {MODULE}/{name} to {}", into.display()))?;
    }
    let wanted = read(&into.join(LOCK))?;
    let done = into.join(DONE);
    if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok("installed before");
    }
    // An installation that is cut off must not pass for a complete one.
    if done.exists() {
        fs::remove_file(&done).with_context(|| format!("cannot remove {}", done.display()))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(&into).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    npm.env("npm_config_update_notifier", "false");
    let said = process::output(&mut npm).context("age-encryption was not installed")?;
    print!("{said}");
    fs::write(&done, wanted).with_context(|| format!("cannot write {}", done.display()))?;
    Ok("installed")
}

/// The oldest Node that all of its packages work with, as its `engines` says: `20.19.0`.
pub(crate) fn node_version(workspace: &Workspace) -> Result<String> {
    let file = manifest(workspace);
    let package: serde_json::Value = serde_json::from_str(&read(&file)?).context(PACKAGE)?;
    let engine = package["engines"]["node"].as_str().unwrap_or_default();
    match engine.strip_prefix(">=") {
        Some(version) => Ok(version.to_owned()),
        None => bail!("{}: engines.node is {engine:?}, but has to be >=VERSION", file.display()),
    }
}

fn manifest(workspace: &Workspace) -> PathBuf {
    workspace.root().join(MODULE).join(PACKAGE)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_lock_file_names_no_registry_and_holds_a_digest_of_each_package() {
        let lock = json(include_str!("../../tests/peers/age-encryption/package-lock.json"));
        let packages = lock["packages"].as_object().unwrap();
        let installed: Vec<_> = packages.iter().filter(|(place, _)| !place.is_empty()).collect();
        assert!(installed.len() >= 6, "{} packages", installed.len());
        for (place, package) in installed {
            assert!(package.get("resolved").is_none(), "{place}");
            assert!(package["integrity"].as_str().unwrap_or_default().starts_with("sha512-"), "{place}");
            // They would not be run: see `install`.
            assert!(package.get("hasInstallScript").is_none(), "{place}");
        }
    }

    #[test]
    fn the_package_is_pinned_to_one_version() {
        let package = json(include_str!("../../tests/peers/age-encryption/package.json"));
        let lock = json(include_str!("../../tests/peers/age-encryption/package-lock.json"));
        let pinned = &package["dependencies"]["age-encryption"];
        assert!(pinned.as_str().unwrap().starts_with(|first: char| first.is_ascii_digit()), "{pinned}");
        assert_eq!(&lock["packages"]["node_modules/age-encryption"]["version"], pinned);
    }
}
