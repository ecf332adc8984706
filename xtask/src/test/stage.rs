//! What each stage does.

use std::io::Write;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::tally::Tally;
use super::targets;
use crate::generate::{self, CHART, NAMESPACE, RELEASE};
use crate::prerequisites::{self, Need};
use crate::process::{self, Lines};
use crate::workspace::{Profile, Workspace};
use crate::{fuzz, go_tools, image, node_tools};

/// The stages, in the order in which they run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Stage {
    /// Everything that has to be installed
    Prerequisites,
    /// rustfmt
    Fmt,
    /// No second cryptography or TLS library among the dependencies
    Tree,
    /// All crates and their tests
    Build,
    /// clippy, warnings denied
    Clippy,
    /// The tests that need no other program
    Unit,
    /// rustdoc, warnings denied
    Doc,
    /// Every parser against libFuzzer, a minute each
    Fuzz,
    /// The control plane and the peers, built from their Go modules
    GoTools,
    /// The peer that is an npm package
    NodeTools,
    /// Generated files are as they would be made
    Generated,
    /// helm lint and helm template
    Chart,
    /// The control plane's own tests
    GoTest,
    /// Privyseal on a real control plane, beside the peers
    E2e,
}

impl Stage {
    /// As it is typed and shown.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prerequisites => "prerequisites",
            Self::Fmt => "fmt",
            Self::Tree => "tree",
            Self::Build => "build",
            Self::Clippy => "clippy",
            Self::Unit => "unit",
            Self::Doc => "doc",
            Self::Fuzz => "fuzz",
            Self::GoTools => "go-tools",
            Self::NodeTools => "node-tools",
            Self::Generated => "generated",
            Self::Chart => "chart",
            Self::GoTest => "go-test",
            Self::E2e => "e2e",
        }
    }

    /// True if all of it needs Go or Node. `generated` needs Go for a part only.
    pub(crate) fn needs_go_or_node(self) -> bool {
        matches!(self, Self::GoTools | Self::NodeTools | Self::Chart | Self::GoTest | Self::E2e)
    }

    /// Does it; gives what the table should say beside "ok".
    pub(crate) fn run(self, run: &mut Run<'_>) -> Result<String> {
        match self {
            Self::Prerequisites => run.prerequisites(),
            Self::Fmt => run.fmt(),
            Self::Tree => run.tree(),
            Self::Build => run.cargo(&["build", "--workspace", "--all-targets", "--locked"]),
            Self::Clippy => run.clippy(),
            Self::Unit => run.unit(),
            Self::Doc => run.doc(),
            Self::Fuzz => fuzz::run_all(run.workspace),
            Self::GoTools => run.go_tools(),
            Self::NodeTools => Ok(node_tools::install(run.workspace)?.to_owned()),
            Self::Generated => run.generated(),
            Self::Chart => run.chart(),
            Self::GoTest => run.go_test(),
            Self::E2e => run.e2e(),
        }
    }
}

/// One run of the stages: what they share.
pub(crate) struct Run<'a> {
    workspace: &'a Workspace,
    quick: bool,
    keep_going: bool,
    tally: Tally,
    go_tools_built: bool,
}

impl<'a> Run<'a> {
    pub(crate) fn new(workspace: &'a Workspace, quick: bool, keep_going: bool) -> Self {
        Self { workspace, quick, keep_going, tally: Tally::default(), go_tools_built: false }
    }

    /// All tests of all stages.
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    fn cargo(&self, args: &[&str]) -> Result<String> {
        process::run(&mut self.workspace.cargo(args))?;
        Ok(String::new())
    }

    fn prerequisites(&self) -> Result<String> {
        let mut needs = vec![
            Need::Rust,
            Need::RustComponents,
            Need::C,
            Need::Cpp,
            Need::Git,
            Need::Namespaces,
            Need::Setpriv,
            Need::Script,
        ];
        if !self.quick {
            needs.extend([Need::Go, Need::Node, Need::Ldd]);
        }
        for found in prerequisites::check(self.workspace, &needs)? {
            println!("{found}");
        }
        Ok(String::new())
    }

    fn fmt(&self) -> Result<String> {
        self.cargo(&["fmt", "--all", "--check"])?;
        fuzz::fmt(self.workspace)?;
        Ok(String::new())
    }

    fn clippy(&self) -> Result<String> {
        self.cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
        fuzz::clippy(self.workspace)?;
        Ok(String::new())
    }

    fn tree(&self) -> Result<String> {
        let args =
            ["tree", "--workspace", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
        let tree = process::output(&mut self.workspace.cargo(&args))?;
        let mut unwanted: Vec<&str> = tree
            .lines()
            .filter(|line| line.split(' ').next().is_some_and(|name| UNWANTED.contains(&name)))
            .collect();
        unwanted.sort_unstable();
        unwanted.dedup();
        if let Some(first) = unwanted.first() {
            let name = first.split(' ').next().unwrap_or(first);
            bail!(
                "AWS-LC is to be the only cryptography and TLS library, but there is also: {}\n\
                 see who brings it: cargo tree --workspace --edges normal --invert {name}",
                unwanted.join(", ")
            );
        }
        Ok(String::new())
    }

    fn unit(&mut self) -> Result<String> {
        let mut args = vec!["--lib".to_owned(), "--bins".to_owned()];
        args.extend(targets::tests(self.workspace, |package| package != E2E)?);
        let units = self.cargo_test(&args, &[])?;
        let docs = self.cargo_test(&["--doc".to_owned()], &[])?;
        Ok(format!("{units}; doctests: {docs}"))
    }

    /// Always the whole workspace, narrowed by targets and never by packages: with other packages, dependencies would
    /// get other features and be compiled once more.
    fn cargo_test(&mut self, targets: &[String], more: &[&str]) -> Result<String> {
        let mut command = self.workspace.cargo(&["test", "--workspace", "--locked"]);
        if self.keep_going {
            command.arg("--no-fail-fast");
        }
        command
            .args(targets)
            .arg("--")
            .args(more)
            .env("PRIVYSEAL_TEST_TOOLS", self.workspace.tools())
            .env("PRIVYSEAL_TEST_BIN", self.workspace.programs(Profile::Dev));
        self.count(command)
    }

    /// With private items: modules are private by default, and their docs link too.
    fn doc(&self) -> Result<String> {
        let args = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
        process::run(self.workspace.cargo(&args).env("RUSTDOCFLAGS", "-D warnings"))?;
        Ok(String::new())
    }

    fn go_tools(&mut self) -> Result<String> {
        if !self.go_tools_built {
            go_tools::build_all(self.workspace)?;
            self.go_tools_built = true;
        }
        Ok(String::new())
    }

    fn generated(&mut self) -> Result<String> {
        if !self.quick {
            self.go_tools()?;
        }
        let left_out = generate::check(self.workspace, self.quick)?;
        Ok(left_out.iter().map(|path| format!("{path} left out by --quick")).collect::<Vec<_>>().join(", "))
    }

    fn chart(&mut self) -> Result<String> {
        if !self.workspace.root().join(CHART).join("Chart.yaml").is_file() {
            bail!("there is no chart in {CHART}");
        }
        self.go_tools()?;
        let helm = |args: &[&str]| {
            let mut command = self.workspace.command(go_tools::program(self.workspace, "helm"));
            command.args(args);
            command
        };
        // What comes out is looked at by the stage `generated` and by the tests of privyseal-tests.
        let values = self.values_files()?;
        for file in &values {
            process::run(&mut helm(&["lint", "--strict", CHART, "--values", file]))?;
            process::output(&mut helm(&[
                "template",
                RELEASE,
                CHART,
                "--namespace",
                NAMESPACE,
                "--include-crds",
                "--values",
                file,
            ]))?;
        }
        Ok(format!("{} files of values", values.len()))
    }

    /// The sets of values that the chart is to be tried with, in the place where Helm's own tools expect them.
    fn values_files(&self) -> Result<Vec<String>> {
        let folder = self.workspace.root().join(CHART).join("ci");
        let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path().display().to_string();
            if path.ends_with("-values.yaml") {
                files.push(path);
            }
        }
        if files.is_empty() {
            bail!("no file in {} ends with -values.yaml", folder.display());
        }
        files.sort();
        Ok(files)
    }

    fn go_test(&mut self) -> Result<String> {
        let mut gofmt = Command::new("gofmt");
        gofmt.arg("-l").args([CONTROL_PLANE, PEERS].map(|folder| self.workspace.root().join(folder)));
        let unformatted = process::output(&mut gofmt)?;
        if !unformatted.is_empty() {
            bail!("not formatted by gofmt:\n{unformatted}");
        }
        let command = self.workspace.go(CONTROL_PLANE, &["test", "-trimpath", "-count=1", "-v", "./..."]);
        self.count(command)
    }

    fn e2e(&mut self) -> Result<String> {
        self.go_tools()?;
        node_tools::install(self.workspace)?;
        self.cargo(&["build", "--workspace", "--all-targets", "--locked"])?;
        image::write_for_tests(self.workspace)?;
        let families = targets::tests(self.workspace, |package| package == E2E)?;
        self.cargo_test(&families, &["--test-threads", E2E_THREADS])
    }

    /// Runs tests, passes on what they print and counts their results.
    fn count(&mut self, mut command: Command) -> Result<String> {
        let before = self.tally;
        let mut stdout = std::io::stdout();
        let ended = process::run_lines(&mut command, Lines::Stdout, |line| {
            // A reader that has gone away must not end the tests.
            let _ = writeln!(stdout, "{line}");
            self.tally.add_line(line);
        });
        let here = self.tally.since(before);
        ended.with_context(|| here.to_string())?;
        if here.ran_nothing() {
            bail!("no test ran");
        }
        Ok(here.to_string())
    }
}

/// The package of the end-to-end tests.
const E2E: &str = "privyseal-tests";
const CONTROL_PLANE: &str = "tests/control-plane";
/// Where one of the peers' modules has a program of ours.
const PEERS: &str = "tests/peers";
/// Each may have a control plane of its own, which is busy on both cores while it starts.
const E2E_THREADS: &str = "2";
/// Libraries that would be a second source of cryptography or TLS. deny.toml has the same list.
const UNWANTED: [&str; 4] = ["ring", "openssl", "openssl-sys", "native-tls"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_typed_as_it_is_shown() {
        for stage in Stage::value_variants() {
            let typed = stage.to_possible_value().unwrap();
            assert_eq!(typed.get_name(), stage.name());
        }
    }

    #[test]
    fn deny_toml_bans_the_same() {
        let deny = include_str!("../../../deny.toml");
        for name in UNWANTED {
            assert!(deny.contains(&format!("{{ crate = \"{name}\"")), "deny.toml does not ban {name}");
        }
    }
}
