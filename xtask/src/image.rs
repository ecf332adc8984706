//! `cargo xtask image`: the controller's container image, written without a container engine.
//!
//! The image holds one program, the shared libraries that it is linked to, and the few files that libc reads.
//! Nothing else: no shell, no package manager, no certificates (the API server's come with the service account).
//! The libraries are the build machine's, because a Rust program for Linux is linked to glibc. The same inputs
//! give the same digest. The Dockerfile takes its files from here too (`--rootfs`), so that there is one list.

mod oci;
mod rootfs;

use std::fs;
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::image::oci::Meta;
use crate::image::rootfs::RootFs;
use crate::prerequisites::{self, Need};
use crate::process;
use crate::workspace::{Profile, Workspace};

/// Build the controller's image as an OCI layout, without a container engine
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder for the OCI layout; an older layout in it is replaced [default: in the target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the image's files as a folder instead; it must not exist yet
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    rootfs: Option<PathBuf>,
    /// How the controller is built
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    profile: Profile,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    prerequisites::check(workspace, &[Need::Rust, Need::C, Need::Ldd])?;
    let what: &[&str] = match args.profile {
        // What is shipped has no feature that only a neighbour of it asks for.
        Profile::Release => &["--package", CONTROLLER],
        // The very program that the tests run: with less, dependencies would get other features.
        Profile::Dev => &["--workspace", "--all-targets"],
    };
    let mut build = workspace.cargo(&["build", "--locked", "--profile", args.profile.name()]);
    process::run(build.args(what))?;
    if let Some(folder) = &args.rootfs {
        RootFs::around(&program(workspace, args.profile))?.write_to(folder)?;
        println!("files: {}", folder.display());
        return Ok(());
    }
    let out = match &args.out {
        Some(folder) => path::absolute(folder).context("--out")?,
        None => workspace.target().join("image"),
    };
    write(workspace, args.profile, &out)
}

/// The image for the end-to-end tests, of the program that was built for them, where they look for it.
pub(crate) fn write_for_tests(workspace: &Workspace) -> Result<()> {
    write(workspace, Profile::Dev, &workspace.programs(Profile::Dev).join("image"))
}

/// Writes the layout around a program that was built before, and says what became of it.
fn write(workspace: &Workspace, profile: Profile, out: &Path) -> Result<()> {
    let program = program(workspace, profile);
    let image = oci::write_layout(&RootFs::around(&program)?, &meta(workspace), out)?;
    println!("image:  {} ({})", out.display(), image.reference);
    println!("digest: {}", image.digest);
    println!("size:   {} compressed", mebibytes(image.layer_size));
    println!("binary: {}", mebibytes(fs::metadata(&program)?.len()));
    Ok(())
}

fn program(workspace: &Workspace, profile: Profile) -> PathBuf {
    workspace.programs(profile).join(CONTROLLER)
}

fn meta(workspace: &Workspace) -> Meta {
    // A source tree without Git, as inside a container build, has no revision to name.
    let git = |args: &[&str]| {
        let mut command = workspace.command("git");
        command.args(args).env("TZ", "UTC");
        process::output(&mut command).ok().map(|text| text.trim().to_owned())
    };
    Meta {
        revision: git(&["rev-parse", "HEAD"]),
        created: git(&["log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd"]),
    }
}

/// As OCI names them.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no image is made on {other}: add its OCI name here once it is tested"),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The package and its program.
const CONTROLLER: &str = "privyseal-controller";
/// Where the program is in the image.
const PROGRAM: &str = "usr/local/bin/privyseal-controller";
/// The peer's manifests start `controller` from the search path; a cluster moves by swapping the image alone.
const PEERS_NAME: &str = "usr/local/bin/controller";
/// Who it runs as: the number that "nonroot" has in other images without a shell.
const USER: &str = "65532:65532";
const TITLE: &str = "Privyseal controller";
const DESCRIPTION: &str = "Turns SealedSecrets into Secrets, inside the cluster and nowhere else";
const LICENSE: &str = "Apache-2.0";

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ways to build one image must not drift apart.
    #[test]
    fn the_dockerfile_says_the_same() {
        let dockerfile = include_str!("../../Dockerfile");
        for line in [
            format!("USER {USER}"),
            format!("ENTRYPOINT [\"/{PROGRAM}\"]"),
            "ENV PATH=/usr/local/bin".to_owned(),
            "EXPOSE 8080 8081".to_owned(),
            format!("LABEL org.opencontainers.image.title=\"{TITLE}\" \\"),
            format!("      org.opencontainers.image.description=\"{DESCRIPTION}\" \\"),
            format!("      org.opencontainers.image.licenses=\"{LICENSE}\" \\"),
        ] {
            assert!(dockerfile.lines().any(|there| there == line), "the Dockerfile lacks: {line}");
        }
    }
}
