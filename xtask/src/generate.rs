//! `cargo xtask generate`: the files that are made from other files, and the check that they were.
//!
//! The CRD and the schema of the configuration come from the Rust types, the reference of the command line from its
//! definitions, the plain manifest from the chart. They are committed, because people install from them and read them;
//! the check makes sure that nobody edits them or forgets to make them again.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::prerequisites::{self, Need};
use crate::workspace::{Profile, Workspace};
use crate::{go_tools, process};

/// Make the generated files again: the CRD, the schema of .privyseal.yaml, the reference of the command line and
/// deploy/install.yaml
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if a file is not as it would be made
    #[arg(long)]
    check: bool,
    /// Leave out what needs helm, and so Go
    #[arg(long)]
    quick: bool,
}

/// A file that is made from others.
struct Generated {
    /// Where it is, in the checkout.
    path: &'static str,
    needs_helm: bool,
    make: fn(&Workspace) -> Result<String>,
}

/// In the order in which they are made: the chart holds the CRD.
const GENERATED: &[Generated] = &[
    Generated { path: "charts/privyseal/crds/sealedsecrets.yaml", needs_helm: false, make: crd },
    Generated { path: "docs/privyseal.schema.json", needs_helm: false, make: config_schema },
    Generated { path: "docs/reference/cli.md", needs_helm: false, make: cli_reference },
    Generated { path: "deploy/install.yaml", needs_helm: true, make: install },
];

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if !args.quick {
        prerequisites::check(workspace, &[Need::Go])?;
        go_tools::build(workspace, &["helm"])?;
    }
    let left_out = if args.check { check(workspace, args.quick)? } else { write(workspace, args.quick)? };
    for path in left_out {
        eprintln!("{path}: left out by --quick, it needs helm");
    }
    Ok(())
}

/// Fails if a file is not as it would be made, and shows where. Gives the paths that were left out, which are
/// those that need helm if `quick`; else helm has to be built.
pub(crate) fn check(workspace: &Workspace, quick: bool) -> Result<Vec<&'static str>> {
    let mut drifted = Vec::new();
    let left_out = each(quick, |file| {
        let made = (file.make)(workspace).with_context(|| format!("cannot make {}", file.path))?;
        let there = fs::read_to_string(workspace.root().join(file.path)).unwrap_or_default();
        if made != there {
            println!("--- {}\n+++ as it would be made\n{}", file.path, difference(&there, &made));
            drifted.push(file.path);
        }
        Ok(())
    })?;
    if !drifted.is_empty() {
        bail!("not as generated: {}; run `cargo xtask generate` and commit the result", drifted.join(", "));
    }
    Ok(left_out)
}

fn write(workspace: &Workspace, quick: bool) -> Result<Vec<&'static str>> {
    each(quick, |file| {
        let made = (file.make)(workspace).with_context(|| format!("cannot make {}", file.path))?;
        let path = workspace.root().join(file.path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        let unchanged = fs::read_to_string(&path).is_ok_and(|there| there == made);
        if !unchanged {
            fs::write(&path, made).with_context(|| format!("cannot write {}", path.display()))?;
        }
        println!("{} {}", if unchanged { "unchanged" } else { "written  " }, file.path);
        Ok(())
    })
}

/// Does it for each file; gives the paths of those that were left out.
fn each(quick: bool, mut one: impl FnMut(&Generated) -> Result<()>) -> Result<Vec<&'static str>> {
    let mut left_out = Vec::new();
    for file in GENERATED {
        if quick && file.needs_helm {
            left_out.push(file.path);
        } else {
            one(file)?;
        }
    }
    Ok(left_out)
}

fn crd(workspace: &Workspace) -> Result<String> {
    let yaml = example(workspace, "crd")?;
    Ok(format!("{}{yaml}", header("the types of the crate privyseal-manifest")))
}

fn config_schema(workspace: &Workspace) -> Result<String> {
    example(workspace, "schema")
}

/// Man pages are made the same way when a release is packaged: `privyseal reference --format man --out-dir DIR`.
fn cli_reference(workspace: &Workspace) -> Result<String> {
    build(workspace)?;
    let program = workspace.programs(Profile::Dev).join("privyseal");
    process::output(workspace.command(program).args(["reference", "--format", "markdown"]))
}

/// What an example of a crate prints.
fn example(workspace: &Workspace, name: &str) -> Result<String> {
    build(workspace)?;
    let program = workspace.programs(Profile::Dev).join("examples").join(name);
    process::output(&mut workspace.command(program))
}

/// All examples and programs of the workspace are built: one package alone would give its dependencies other features,
/// and compile them once more.
fn build(workspace: &Workspace) -> Result<()> {
    process::run(&mut workspace.cargo(&[
        "build",
        "--quiet",
        "--workspace",
        "--bins",
        "--examples",
        "--locked",
    ]))
}

fn install(workspace: &Workspace) -> Result<String> {
    let mut command = workspace.command(go_tools::program(workspace, "helm"));
    command.args(["template", RELEASE, CHART, "--namespace", NAMESPACE, "--include-crds"]);
    let rendered = process::output(&mut command)?;
    // Helm makes a namespace only when it installs. Plain manifests need one to be in.
    Ok(format!(
        "{}---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
         pod-security.kubernetes.io/enforce: restricted\n{rendered}",
        header("the chart in charts/privyseal with its default values")
    ))
}

fn header(source: &str) -> String {
    format!("# Generated by `cargo xtask generate` from {source}. Do not edit.\n")
}

/// The lines between the first and the last that differ, as a unified diff would show them, cut short.
fn difference(there: &str, made: &str) -> String {
    let (there, made): (Vec<&str>, Vec<&str>) = (there.lines().collect(), made.lines().collect());
    let same = there.iter().zip(&made).take_while(|(a, b)| a == b).count();
    let (there, made) = (&there[same..], &made[same..]);
    let tail = there.iter().rev().zip(made.iter().rev()).take_while(|(a, b)| a == b).count();
    let marked = |mark: char, lines: &[&str]| -> Vec<String> {
        let shown = lines.iter().take(SHOWN_LINES).map(|line| format!("{mark}{line}"));
        let more = lines.len().saturating_sub(SHOWN_LINES);
        shown.chain((more > 0).then(|| format!("{mark} … {more} more lines"))).collect()
    };
    let mut lines = vec![format!("@@ line {} @@", same + 1)];
    lines.extend(marked('-', &there[..there.len() - tail]));
    lines.extend(marked('+', &made[..made.len() - tail]));
    lines.join("\n")
}

/// The chart, seen from the root of the checkout.
pub(crate) const CHART: &str = "charts/privyseal";
/// The name of the Helm release in the plain manifest and in the demo.
pub(crate) const RELEASE: &str = "privyseal";
/// Its namespace: one of its own, since whoever may create pods in it holds its keys.
pub(crate) const NAMESPACE: &str = "privyseal";
const SHOWN_LINES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_changed_and_where() {
        let there = "a\nb\nc\nd\n";
        assert_eq!(difference(there, "a\nB\nB\nc\nd\n"), "@@ line 2 @@\n-b\n+B\n+B");
        assert_eq!(difference(there, "a\nb\nd\n"), "@@ line 3 @@\n-c");
        assert_eq!(difference("", "a\n"), "@@ line 1 @@\n+a");
        // Lines that repeat must not be counted twice, from both ends.
        assert_eq!(difference("x\nx\n", "x\nx\nx\n"), "@@ line 3 @@\n+x");
    }

    #[test]
    fn a_long_difference_is_cut_short() {
        let made: String = (0..30).map(|n| format!("{n}\n")).collect();
        assert!(difference("", &made).ends_with("+19\n+ … 10 more lines"));
    }
}
