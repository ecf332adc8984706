//! Where the programs under test are.
//!
//! `cargo test` builds neither the Go programs nor the binaries of other packages: `cargo xtask test` does, and says
//! where in two variables. Without them the places it uses by default are tried, so that a single test can be run
//! again by hand. A program that is not there fails the test: one that skips itself would pass for ever.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The folder of the Go programs, and of what npm installed.
pub const TOOLS_VARIABLE: &str = "PRIVYSEAL_TEST_TOOLS";
/// The folder of our own programs.
pub const BIN_VARIABLE: &str = "PRIVYSEAL_TEST_BIN";

/// The program of `tests/control-plane`, which is also a `kubectl`.
pub fn control_plane() -> PathBuf {
    tool("control-plane")
}

/// The peer's command line.
pub fn kubeseal() -> PathBuf {
    tool("kubeseal")
}

/// The peer's controller; `controller` is the name that its own build gives it.
pub fn peer_controller() -> PathBuf {
    tool("controller")
}

/// Helm 3, which renders charts.
pub fn helm() -> PathBuf {
    tool("helm")
}

/// Helm 4.
pub fn helm4() -> PathBuf {
    tool("helm4")
}

/// Kustomize.
pub fn kustomize() -> PathBuf {
    tool("kustomize")
}

/// age in Go.
pub fn age() -> PathBuf {
    tool("age")
}

/// What makes age's keys, in Go.
pub fn age_keygen() -> PathBuf {
    tool("age-keygen")
}

/// What tells how Go's HPKE answers, in JSON lines: `tests/peers/age/hpke-oracle`.
pub fn hpke_oracle() -> PathBuf {
    tool("hpke-oracle")
}

/// age in JavaScript, for `node`, in JSON lines: `tests/peers/age-encryption/peer.mjs`.
pub fn age_encryption() -> PathBuf {
    tool("age-encryption/peer.mjs")
}

/// Argo CD's checks and its interpreter of Lua, in JSON lines: `tests/peers/argo-cd/argo-health`.
pub fn argo_health() -> PathBuf {
    tool("argo-health")
}

/// What Flux says of an object, in JSON lines: `tests/peers/flux/kstatus`.
pub fn kstatus() -> PathBuf {
    tool("kstatus")
}

/// A program of `tests/peers/flux`: a controller, or the Git server.
pub fn flux(name: &str) -> PathBuf {
    tool(name)
}

/// Our command line.
pub fn privyseal() -> PathBuf {
    binary("privyseal")
}

/// Our controller.
pub fn privyseal_controller() -> PathBuf {
    binary("privyseal-controller")
}

/// The image of the controller, as an OCI layout of the same program as [`privyseal_controller`].
pub fn image() -> PathBuf {
    let marker = binary_or("image/oci-layout", |reason| {
        format!("{reason}\nor, for the image alone: cargo xtask image --profile dev --out TARGET/debug/image")
    });
    marker.parent().map(Path::to_path_buf).unwrap_or(marker)
}

/// The root of the repository, for charts and examples.
///
/// Cargo says at run time where the package lies. What it said when this was compiled may be another checkout: those
/// that share a target folder share what is compiled in it.
pub fn repository() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = package.parent().map(Path::to_path_buf);
        let is_root = |root: &PathBuf| root.join("tests/peers").is_dir();
        root.filter(is_root).unwrap_or_else(|| {
            panic!("{} does not lie in the repository\nrun: cargo xtask test", package.display())
        })
    });
    &ROOT
}

fn tool(name: &str) -> PathBuf {
    let fallback = profile_folder().and_then(|debug| debug.parent().map(|target| target.join("tools")));
    locate(name, TOOLS_VARIABLE, env::var_os(TOOLS_VARIABLE).map(PathBuf::from), fallback)
        .unwrap_or_else(|reason| panic!("{reason}"))
}

fn binary(name: &str) -> PathBuf {
    binary_or(name, |reason| reason)
}

fn binary_or(name: &str, say: impl FnOnce(String) -> String) -> PathBuf {
    locate(name, BIN_VARIABLE, env::var_os(BIN_VARIABLE).map(PathBuf::from), profile_folder())
        .unwrap_or_else(|reason| panic!("{}", say(reason)))
}

/// `TARGET/debug`, seen from a test binary in `TARGET/debug/deps`.
fn profile_folder() -> Option<PathBuf> {
    let exe = env::current_exe().ok()?;
    let deps = exe.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "deps"))?;
    deps.parent().map(Path::to_path_buf)
}

fn locate(
    name: &str,
    variable: &str,
    told: Option<PathBuf>,
    fallback: Option<PathBuf>,
) -> Result<PathBuf, String> {
    let source = if told.is_some() { format!("{variable} is set") } else { format!("{variable} is not set") };
    let Some(folder) = told.or(fallback) else {
        return Err(format!("{name}: {source} and the target folder is unknown\nrun: cargo xtask test"));
    };
    let path = folder.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{name}: no such file as {} ({source})\nrun: cargo xtask test", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_over_the_target_folder() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for folder in &folders {
            std::fs::write(folder.path().join("helm"), "").unwrap();
        }
        let [told, fallback] = folders.each_ref().map(|folder| Some(folder.path().to_path_buf()));
        let found = locate("helm", TOOLS_VARIABLE, told, fallback.clone()).unwrap();
        assert_eq!(found, folders[0].path().join("helm"));
        let found = locate("helm", TOOLS_VARIABLE, None, fallback).unwrap();
        assert_eq!(found, folders[1].path().join("helm"));
    }

    #[test]
    fn a_missing_program_says_what_to_run() {
        let empty = tempfile::tempdir().unwrap();
        for (told, fallback) in [(Some(empty.path().to_path_buf()), None), (None, None)] {
            let reason = locate("helm", TOOLS_VARIABLE, told, fallback).unwrap_err();
            assert!(reason.starts_with("helm: ") && reason.ends_with("run: cargo xtask test"), "{reason}");
        }
        // Nor does a variable that is set fall back to what happens to be built.
        std::fs::write(empty.path().join("helm"), "").unwrap();
        let elsewhere = empty.path().join("elsewhere");
        assert!(locate("helm", TOOLS_VARIABLE, Some(elsewhere), Some(empty.path().to_path_buf())).is_err());
    }

    #[test]
    fn the_repository_is_the_one_that_cargo_runs_in() {
        // Set by `cargo test`; a binary that is started by hand can only know where it was compiled.
        if let Some(package) = env::var_os("CARGO_MANIFEST_DIR") {
            assert_eq!(Some(repository()), Path::new(&package).parent());
        }
        assert!(repository().join("Cargo.toml").is_file());
    }

    #[test]
    fn a_test_binary_knows_its_target_folder() {
        let folder = profile_folder().unwrap();
        assert!(folder.join("deps").is_dir(), "{}", folder.display());
    }
}
