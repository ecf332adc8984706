//! The programs that are built from Go modules: the control plane and the real peers.
//!
//! Each module stands alone (its README says why) and is built by the plain `go build` that its README gives.
//! Adding a peer is one more row in [`GO_TOOLS`].

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::process::{self, Lines};
use crate::progress::{Job, Status};
use crate::workspace::Workspace;

/// One Go module and what comes out of it.
pub(crate) struct GoTool {
    /// What we call it.
    pub(crate) name: &'static str,
    /// Its folder in the checkout.
    pub(crate) module: &'static str,
    /// What is built there: the package itself, or the `tool` lines of its go.mod.
    package: &'static str,
    /// The programs that come out. Several have the names that Go gives them; one alone gets the name that stands
    /// here, so that two versions of a peer can lie side by side.
    programs: &'static [&'static str],
    /// Variables that upstream's release build sets.
    variables: &'static [(&'static str, Value)],
}

/// What a variable is set to.
enum Value {
    Text(&'static str),
    /// The pinned version of a module, as `v0.38.4`.
    Version(&'static str),
    /// The second number of the pinned version of a module: `37` of `v0.37.2`.
    Minor(&'static str),
}

/// All of them, the longest build first.
pub(crate) const GO_TOOLS: &[GoTool] = &[
    GoTool {
        name: "flux",
        module: "tests/peers/flux",
        package: "tool",
        programs: &[
            "source-controller",
            "kustomize-controller",
            "helm-controller",
            "notification-controller",
            "git-server",
            "kstatus",
        ],
        variables: &[],
    },
    GoTool {
        name: "control-plane",
        module: "tests/control-plane",
        package: ".",
        programs: &["control-plane"],
        variables: &[],
    },
    GoTool {
        name: "sealed-secrets",
        module: "tests/peers/sealed-secrets",
        package: "tool",
        programs: &["kubeseal", "controller"],
        variables: &[("main.VERSION", Value::Version("github.com/bitnami/sealed-secrets"))],
    },
    GoTool {
        name: "argo-cd",
        module: "tests/peers/argo-cd",
        package: "tool",
        programs: &["argo-health"],
        variables: &[],
    },
    GoTool {
        name: "age",
        module: "tests/peers/age",
        package: "tool",
        programs: &["age", "age-keygen", "hpke-oracle"],
        variables: &[],
    },
    GoTool {
        name: "helm4",
        module: "tests/peers/helm4",
        package: "tool",
        programs: &["helm4"],
        variables: &[("helm.sh/helm/v4/internal/version.version", Value::Version("helm.sh/helm/v4"))],
    },
    GoTool {
        name: "helm",
        module: "tests/peers/helm",
        package: "tool",
        programs: &["helm"],
        variables: &[
            ("helm.sh/helm/v3/internal/version.version", Value::Version("helm.sh/helm/v3")),
            ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor", Value::Text("1")),
            ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor", Value::Minor("k8s.io/client-go")),
            ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor", Value::Text("1")),
            ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor", Value::Minor("k8s.io/client-go")),
        ],
    },
    GoTool {
        name: "kustomize",
        module: "tests/peers/kustomize",
        package: "tool",
        programs: &["kustomize"],
        variables: &[],
    },
];

/// Builds the named ones into [`Workspace::tools`] and shows the progress. Go's own cache makes this quick when
/// nothing changed.
pub(crate) fn build(workspace: &Workspace, names: &[&str]) -> Result<()> {
    let tools: Vec<&'static GoTool> = names.iter().map(|name| find(name)).collect::<Result<_>>()?;
    let workspace = workspace.clone();
    Job::start(move |status| tools.iter().try_for_each(|tool| build_one(&workspace, tool, status))).wait()
}

/// Builds every one of them.
pub(crate) fn build_all(workspace: &Workspace) -> Result<()> {
    build(workspace, &GO_TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>())
}

/// Builds one of them, for a caller who shows the progress.
pub(crate) fn build_one(workspace: &Workspace, tool: &GoTool, status: &Status) -> Result<()> {
    status.at(format!("{}: looking for what is to be built", tool.name));
    let folder = workspace.tools();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let flags = linker_flags(workspace, tool)?;
    let into = match tool.programs {
        [program] => folder.join(program).display().to_string(),
        _ => format!("{}/", folder.display()),
    };
    let mut command = workspace
        .go(tool.module, &["build", "-v", "-trimpath", "-ldflags", &flags, "-o", &into, tool.package]);

    // With -v, go names each package as it compiles it; anything else that it says is about a failure.
    let (mut packages, mut downloads, mut said) = (0, 0, Vec::new());
    process::run_lines(&mut command, Lines::Stderr, |line| {
        if line.starts_with("go: downloading ") {
            downloads += 1;
            status.at(format!("{}: {downloads} modules downloaded", tool.name));
        } else if is_package(line) {
            packages += 1;
            status.at(format!("{}: {packages} packages compiled, now {line}", tool.name));
        } else {
            said.push(line.to_owned());
        }
    })
    .with_context(|| format!("{} was not built:\n{}", tool.name, said.join("\n")))?;
    for program in tool.programs {
        let path = folder.join(program);
        if !path.is_file() {
            bail!("`go build` of {} made no {}", tool.module, path.display());
        }
    }
    Ok(())
}

/// The one of this name.
pub(crate) fn find(name: &str) -> Result<&'static GoTool> {
    GO_TOOLS.iter().find(|tool| tool.name == name).with_context(|| format!("there is no Go tool {name}"))
}

/// Where a program is, once it is built.
pub(crate) fn program(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.tools().join(name)
}

fn is_package(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#') && !line.contains(char::is_whitespace) && !line.contains(':')
}

fn linker_flags(workspace: &Workspace, tool: &GoTool) -> Result<String> {
    let mut flags = "-s -w".to_owned();
    for (variable, value) in tool.variables {
        let text = match value {
            Value::Text(text) => (*text).to_owned(),
            Value::Version(module) => pinned(workspace, tool, module)?,
            Value::Minor(module) => minor(&pinned(workspace, tool, module)?)?.to_owned(),
        };
        flags.push_str(&format!(" -X {variable}={text}"));
    }
    Ok(flags)
}

fn pinned(workspace: &Workspace, tool: &GoTool, module: &str) -> Result<String> {
    let mut command = workspace.go(tool.module, &["list", "-m", "-f", "{{.Version}}", module]);
    Ok(process::output(&mut command)?.trim().to_owned())
}

fn minor(version: &str) -> Result<&str> {
    version.split('.').nth(1).with_context(|| format!("{version} has no second number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_go_are_told_apart() {
        assert!(is_package("k8s.io/kubernetes/pkg/kubelet/types"));
        assert!(is_package("github.com/go-openapi/swag"));
        assert!(!is_package("# k8s.io/kubernetes/pkg/kubelet/types"));
        assert!(!is_package("./main.go:7:2: undefined: x"));
        assert!(!is_package("go: downloading k8s.io/api v0.37.2"));
        assert!(!is_package(""));
    }

    #[test]
    fn the_minor_number_is_the_second() {
        assert_eq!(minor("v0.37.2").unwrap(), "37");
        assert!(minor("v1").is_err());
    }
}
