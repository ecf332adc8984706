//! What has to be installed: all of it is checked before anything is built, and each lack comes with its cure.
//!
//! A missing tool that shows itself twenty minutes into a build, as somebody else's error message, is worse than
//! no check at all.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::go_tools::GO_TOOLS;
use crate::workspace::Workspace;
use crate::{node_tools, process};

/// Something that a task needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// The toolchain that rust-toolchain.toml names.
    Rust,
    /// rustfmt and clippy.
    RustComponents,
    /// A C compiler, for AWS-LC and as linker.
    C,
    /// A C++ compiler and its library, for libFuzzer.
    Cpp,
    Git,
    /// Go, as new as the newest `go` line of our modules.
    Go,
    /// Node, as new as the npm packages of a peer want it, and npm.
    Node,
    /// ldd of a glibc that needs no plug-ins to resolve names.
    Ldd,
    /// Network and mount namespaces, as a user where one is not root.
    Namespaces,
    /// setpriv, by which a program that we start ends with us.
    Setpriv,
    /// script, a terminal for those tests that are asked something.
    Script,
}

/// Checks everything and says what was found; the error names all that is missing, not only the first.
pub(crate) fn check(workspace: &Workspace, needs: &[Need]) -> Result<Vec<String>> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for need in needs {
        match look(workspace, *need) {
            Ok(what) => found.push(what),
            Err(lack) => missing.push(format!("- {lack:#}\n  cure: {}", cure(*need))),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    bail!("this machine lacks {} of what is needed:\n{}", missing.len(), missing.join("\n"));
}

fn look(workspace: &Workspace, need: Need) -> Result<String> {
    match need {
        Need::Rust => {
            let wanted = rust_toolchain(workspace)?;
            let text = says(workspace.command("rustc").arg("--version"))?;
            let version = text.split(' ').nth(1).unwrap_or_default();
            at_least("rustc", version, &wanted, "rust-toolchain.toml")
        }
        Need::RustComponents => {
            says(&mut workspace.cargo(&["fmt", "--version"]))?;
            says(&mut workspace.cargo(&["clippy", "--version"]))
        }
        Need::C => says(Command::new("cc").arg("--version")),
        Need::Cpp => says(Command::new("c++").arg("--version")),
        Need::Git => says(Command::new("git").arg("--version")),
        Need::Go => {
            // Without `local` a go that is too old would fetch a newer one and then report that.
            let text = says(Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local"))?;
            at_least(
                "go",
                text.trim_start_matches("go"),
                &go_version(workspace)?,
                "the go.mod files below tests/",
            )
        }
        Need::Node => {
            let text = says(Command::new("node").arg("--version"))?;
            let wanted = node_tools::node_version(workspace)?;
            let node = at_least("node", text.trim_start_matches('v'), &wanted, node_tools::MODULE)?;
            Ok(format!("{node}, npm {}", says(Command::new("npm").arg("--version"))?))
        }
        Need::Ldd => {
            let text = says(Command::new("ldd").arg("--version"))?;
            let version = text.rsplit(' ').next().unwrap_or_default();
            at_least("glibc", version, GLIBC, "`cargo xtask image`")
        }
        Need::Namespaces => namespaces(),
        Need::Setpriv => says(Command::new("setpriv").arg("--version")),
        Need::Script => says(Command::new("script").arg("--version")),
    }
}

fn cure(need: Need) -> &'static str {
    match need {
        Need::Rust => "install rustup (https://rustup.rs); it obeys rust-toolchain.toml by itself",
        Need::RustComponents => "rustup component add rustfmt clippy",
        Need::C => "install gcc or clang as `cc` (Debian: apt-get install gcc libc6-dev)",
        Need::Cpp => "install g++ or clang++ as `c++` (Debian: apt-get install g++)",
        Need::Git => "install git (Debian: apt-get install git)",
        Need::Go => "install Go (https://go.dev/dl); with --quick the tests do without it",
        Need::Node => {
            "install Node with npm (https://nodejs.org; Debian 13: apt-get install nodejs npm); with --quick the \
             tests do without it"
        }
        Need::Ldd => {
            "build the image on Linux with a glibc of 2021 or later (Debian: apt-get install libc-bin)"
        }
        Need::Namespaces => {
            "install unshare and ip (Debian: apt-get install util-linux iproute2); where the kernel forbids \
             namespaces to users, allow them (sysctl kernel.unprivileged_userns_clone=1, or \
             kernel.apparmor_restrict_unprivileged_userns=0) or run as root"
        }
        Need::Setpriv => "install setpriv (Debian: apt-get install util-linux)",
        Need::Script => "install script of util-linux (Debian: apt-get install bsdutils)",
    }
}

/// The first line of what a command prints.
fn says(command: &mut Command) -> Result<String> {
    Ok(process::output(command)?.lines().next().unwrap_or_default().to_owned())
}

fn namespaces() -> Result<String> {
    says(Command::new("ip").arg("-V"))?;
    says(Command::new("unshare").arg("--version"))?;
    let tried = |user: &[&str]| {
        says(Command::new("unshare").args(user).args(["--net", "--mount", "ip", "link", "set", "lo", "up"]))
    };
    if tried(&[]).is_ok() {
        return Ok("network and mount namespaces as root".to_owned());
    }
    tried(&["--user", "--map-root-user"]).context("no network and mount namespaces")?;
    Ok("network and mount namespaces as a user".to_owned())
}

fn at_least(tool: &str, found: &str, wanted: &str, who: &str) -> Result<String> {
    if numbers(found) < numbers(wanted) {
        bail!("{tool} is {found:?}, but {wanted} or newer is needed ({who})");
    }
    Ok(format!("{tool} {found}"))
}

/// `1.26.4-rc1` as `[1, 26, 4]`; what is no number ends it.
fn numbers(version: &str) -> Vec<u64> {
    let mut numbers = Vec::new();
    for part in version.split('.') {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        let Ok(number) = digits.parse() else { break };
        numbers.push(number);
        if digits.len() != part.len() {
            break;
        }
    }
    numbers
}

fn rust_toolchain(workspace: &Workspace) -> Result<String> {
    let file = workspace.root().join("rust-toolchain.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .with_context(|| format!("{} names no channel", file.display()))
}

/// The newest `go` line of all our modules.
fn go_version(workspace: &Workspace) -> Result<String> {
    let mut newest = String::new();
    for tool in GO_TOOLS {
        let file = workspace.root().join(tool.module).join("go.mod");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let version = text
            .lines()
            .find_map(|line| line.strip_prefix("go "))
            .with_context(|| format!("{} has no go line", file.display()))?;
        if numbers(version) > numbers(&newest) {
            version.trim().clone_into(&mut newest);
        }
    }
    Ok(newest)
}

/// From here on name resolution is inside libc and needs no plug-in libraries.
const GLIBC: &str = "2.34";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(numbers("1.26.10") > numbers("1.26.9"));
        assert!(numbers("1.26") < numbers("1.26.4"));
        assert_eq!(numbers("1.27rc1"), [1, 27]);
        assert_eq!(numbers("1.97.0-nightly"), [1, 97, 0]);
        assert_eq!(numbers("garbage"), [0_u64; 0]);
    }

    #[test]
    fn too_old_names_both_versions() {
        assert_eq!(at_least("go", "1.26.8", "1.26.4", "go.mod").unwrap(), "go 1.26.8");
        let lack = at_least("go", "1.25", "1.26.4", "go.mod").unwrap_err().to_string();
        assert_eq!(lack, "go is \"1.25\", but 1.26.4 or newer is needed (go.mod)");
    }
}
