//! `cargo xtask demo`: the whole path, told as a story that runs.
//!
//! Whoever tries Privyseal for the first time should see something within the first minutes, and what they see should
//! be true: each command that is shown is the command that runs, and a claim that does not hold ends the demo. So the
//! half that needs no cluster comes first, while what the other half needs is built in the background.

mod cluster;
mod keys_in_a_vault;
mod offline;
mod online;
mod story;
mod vault;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::demo::story::Story;
use crate::go_tools;
use crate::prerequisites::{self, Need};
use crate::process::{self, Lines};
use crate::progress::{Job, Status};
use crate::workspace::{Profile, Workspace};

/// Show what Privyseal does: seal, commit, apply, open, repair, rotate, reseal, refuse
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Use the cluster of this kubeconfig's current context instead of an own control plane. What the demo makes
    /// there it removes at the end; it refuses a cluster that has SealedSecrets already
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Only the first half, which needs neither Go nor a cluster
    #[arg(long, conflicts_with = "kubeconfig")]
    offline: bool,
    /// Where private halves of keys are kept. The vault is a double of the tests' own: nobody needs Azure for this
    #[arg(long, value_enum, default_value_t)]
    custody: Custody,
}

/// Where private halves of keys are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
enum Custody {
    /// In Secrets
    #[default]
    Cluster,
    /// In a secret of a vault
    KeyVaultSecret,
    /// In Secrets, encrypted by a key of a vault
    KeyVaultWrapped,
}

impl Custody {
    /// The name in flags.
    fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::KeyVaultSecret => "key-vault-secret",
            Self::KeyVaultWrapped => "key-vault-wrapped",
        }
    }
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if args.custody != Custody::Cluster {
        ensure!(
            !args.offline,
            "--custody is about the second half, which --offline leaves out: give one of the two"
        );
        ensure!(
            args.kubeconfig.is_none(),
            "--custody takes the demo's own control plane: the vault is a double on this machine that forgets its keys \
             when the demo ends, and no cluster that lives on should have its keys there; leave --kubeconfig out"
        );
    }
    let mut needs = vec![Need::Rust, Need::C, Need::Git];
    if !args.offline {
        needs.extend([Need::Go, Need::Setpriv]);
    }
    prerequisites::check(workspace, &needs)?;
    let kubeconfig = args
        .kubeconfig
        .as_ref()
        .map(|file| file.canonicalize().with_context(|| format!("cannot read {}", file.display())))
        .transpose()?;

    eprintln!("Building privyseal, the command line …");
    process::run(&mut workspace.cargo(&["build", "--locked", "--package", "privyseal"]))?;
    if args.offline {
        return offline::tell(&Story::new(workspace)?);
    }
    let background = build_in_background(workspace, args.custody);
    let mut story = Story::new(workspace)?;
    offline::tell(&story)?;
    if !background.finished() {
        story.say(
            "The second half runs on a real Kubernetes control plane, which is still being built. The first time \
             that takes some minutes; after that it takes seconds.",
        );
        eprintln!("{}", background.line());
    }
    background.wait()?;
    online::tell(workspace, &mut story, kubeconfig.as_deref(), args.custody)
}

/// The control plane with its kubectl, helm, our controller, and the vault's double. One after the other, since each of
/// these builds keeps all cores busy; the controller first, since cargo shows nothing while it is hidden.
fn build_in_background(workspace: &Workspace, custody: Custody) -> Job<()> {
    let workspace = workspace.clone();
    Job::start(move |status| {
        build(&workspace, status, "privyseal-controller", &[])?;
        if custody != Custody::Cluster {
            build(&workspace, status, "privyseal-tests", &["--example", vault::DOUBLE])?;
        }
        for name in ["control-plane", "helm"] {
            go_tools::build_one(&workspace, go_tools::find(name)?, status)?;
        }
        status.at("all is built");
        Ok(())
    })
}

fn build(workspace: &Workspace, status: &Status, package: &str, what: &[&str]) -> Result<()> {
    status.at(format!("{package}: compiling"));
    let mut command = workspace.cargo(&[&["build", "--locked", "--package", package], what].concat());
    let (mut crates, mut said) = (0, Vec::new());
    process::run_lines(&mut command, Lines::Stderr, |line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["Compiling", name, ..] = words[..] {
            crates += 1;
            status.at(format!("{package}: {crates} crates compiled, now {name}"));
        }
        said.push(line.to_owned());
    })
    .with_context(|| format!("{package} was not built:\n{}", said.join("\n")))
}

/// Where cargo puts the programs of the demo.
fn programs(workspace: &Workspace) -> PathBuf {
    workspace.programs(Profile::Dev)
}
