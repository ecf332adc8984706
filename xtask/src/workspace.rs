//! Where everything is: the checkout, cargo's target folder and what xtask keeps in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::process;

/// How cargo builds our programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Profile {
    /// As for the tests: quick to build
    Dev,
    /// As shipped
    Release,
}

impl Profile {
    /// The name that cargo knows it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// The checkout and its target folder, both as absolute paths.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Asks cargo, at run time: with a target folder shared by several checkouts, what was compiled in may be
    /// another one's path.
    pub(crate) fn locate() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map(|folder| PathBuf::from(folder).join("Cargo.toml"))
            .context("CARGO_MANIFEST_DIR is not set: start this as `cargo xtask …`")?;
        let mut command = Command::new(cargo_program());
        command.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(&manifest);
        let metadata: serde_json::Value =
            serde_json::from_str(&process::output(&mut command)?).context("cannot read `cargo metadata`")?;
        let path = |field: &str| {
            metadata[field]
                .as_str()
                .map(PathBuf::from)
                .with_context(|| format!("`cargo metadata` gives no {field}"))
        };
        let workspace = Self { root: path("workspace_root")?, target: path("target_directory")? };
        workspace.claim_target()?;
        Ok(workspace)
    }

    /// Makes the target folder this checkout's. Cargo goes by the age of files: in a target folder that is shared,
    /// what a newer checkout built would pass for the build of an older one, and its tests with it. So what was
    /// built of our own crates goes when the checkout changes; dependencies stay.
    fn claim_target(&self) -> Result<()> {
        let owner = self.target.join("checkout");
        let root = self.root.display().to_string();
        match fs::read_to_string(&owner) {
            Ok(last) if last == root => return Ok(()),
            Ok(last) => {
                eprintln!("The target folder was last used by {last}: our own crates are built anew.");
                for profile in [Profile::Dev, Profile::Release] {
                    let args = ["clean", "--quiet", "--workspace", "--profile", profile.name()];
                    process::run(&mut self.cargo(&args))?;
                }
            }
            Err(_) => {}
        }
        fs::create_dir_all(&self.target)
            .and_then(|()| fs::write(&owner, root))
            .with_context(|| format!("cannot write {}", owner.display()))
    }

    /// The checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target folder.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Where the programs built from Go modules go: the same place in every run.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Where cargo puts our programs.
    pub(crate) fn programs(&self, profile: Profile) -> PathBuf {
        self.target.join(profile.folder())
    }

    /// A program to be run in the checkout.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// Cargo, the one that runs us, in the checkout.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = self.command(cargo_program());
        command.args(args);
        command
    }

    /// Go, in a module folder of the checkout. Each module stands alone, whatever go.work there is above. Without
    /// C, as upstream's releases. Builds and tests add `-trimpath`, all of them: what is compiled with another
    /// set of flags is compiled anew, for the control plane some ten minutes of it.
    pub(crate) fn go(&self, module: &str, args: &[&str]) -> Command {
        let mut command = Command::new("go");
        command.current_dir(self.root.join(module)).env("CGO_ENABLED", "0").env("GOWORK", "off").args(args);
        command
    }
}

fn cargo_program() -> std::ffi::OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
