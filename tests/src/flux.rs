//! Flux beside a control plane: its four controllers, a Git server, and the objects that tell Flux what to do.
//!
//! The controllers are those of `tests/peers/flux`, run with the flags of their own Deployments but for addresses, and
//! with a short interval at which dependencies are looked at again. Feature gates stay as Flux ships them. Without a
//! kubelet and without DNS they run on this machine and reach each other on the loopback address.
//!
//! ```no_run
//! # async fn example() {
//! use privyseal_tests::ControlPlane;
//! use privyseal_tests::flux::{Flux, GitServer, Watched, git_repository, kustomization};
//! let control_plane = ControlPlane::shared();
//! let flux = Flux::start(&control_plane).await;
//! let git = GitServer::start().await;
//! let repository = git.repository("team");
//! repository.write("app/secret.yaml", "…");
//! let revision = repository.commit("a secret");
//!
//! let client = control_plane.client();
//! let source = Watched::apply(&client, "team", &git_repository("team", &repository)).await;
//! let app = Watched::apply(&client, "team", &kustomization("app", "team", "./app")).await;
//! app.wait_ready(&revision).await;
//!
//! let revision = repository.commit("the next one");
//! source.reconcile().await; // as `flux reconcile source git team` does
//! app.wait_not_ready(&revision, "SealedSecret/").await;
//! # }
//! ```

mod git;
mod receiver;
mod watched;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use kube::Client;
use kube::api::DynamicObject;
use kube::core::GroupVersionKind;
use kube::discovery::pinned_kind;
use serde_json::{Value, json};

pub use git::{GitServer, Repository, Revision};
pub use receiver::Receiver;
pub use watched::{Seen, Watched, git_repository, helm_release, kustomization};

use crate::control_plane::ControlPlane;
use crate::controller::http;
use crate::eventually::{PATIENCE, eventually};
use crate::process::{self, Process};
use crate::{objects, ports, scratch, tools};

/// Where Flux's own things would be.
pub const NAMESPACE: &str = "flux-system";

const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How many lines of a log a failed test shows.
const TAIL: usize = 30;

/// One of Flux's controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Fetches from Git and keeps what it fetched.
    Source,
    /// Builds and applies.
    Kustomize,
    /// Installs charts.
    Helm,
    /// Passes on what the others report.
    Notification,
}

impl Part {
    const ALL: [Self; 4] = [Self::Source, Self::Kustomize, Self::Helm, Self::Notification];

    /// Its name, which is its program's too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source-controller",
            Self::Kustomize => "kustomize-controller",
            Self::Helm => "helm-controller",
            Self::Notification => "notification-controller",
        }
    }
}

/// The four controllers.
#[derive(Debug)]
pub struct Flux {
    parts: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    part: Part,
    command: Command,
    process: Process,
    log: PathBuf,
    health_port: u16,
}

impl Flux {
    /// Installs their CustomResourceDefinitions, starts all four and waits until they are ready.
    pub async fn start(control_plane: &ControlPlane) -> Self {
        Self::start_with(control_plane, &[]).await
    }

    /// As [`start`](Self::start), with more flags.
    pub async fn start_with(control_plane: &ControlPlane, flags: &[(Part, &str)]) -> Self {
        let client = control_plane.client();
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        objects::apply(&client, None, &namespace).await;
        let definitions = definitions();
        let applied = definitions.iter().map(async |yaml| {
            for definition in objects::apply_yaml(&client, None, yaml).await {
                wait_until_served(&client, &definition).await;
            }
        });
        futures::future::join_all(applied).await;

        let events_port = ports::free();
        let parts = Part::ALL
            .into_iter()
            .map(|part| {
                let more = flags.iter().filter(|(of, _)| *of == part).map(|(_, flag)| *flag);
                launch(control_plane, part, events_port, more)
            })
            .collect();
        let mut flux = Self { parts };
        for part in Part::ALL {
            flux.wait_until_ready(part).await;
        }
        flux
    }

    /// Asks one of them to end with SIGTERM and waits for that.
    pub fn stop(&mut self, part: Part) {
        self.part(part).process.stop(STOP_LIMIT);
    }

    /// Ends one of them with SIGKILL.
    pub fn kill(&mut self, part: Part) {
        self.part(part).process.kill();
    }

    /// Starts one of them again as it was, and waits until it is ready.
    pub async fn start_again(&mut self, part: Part) {
        let running = self.part(part);
        assert!(running.process.ended().is_some(), "{} runs", part.name());
        running.process = Process::start(part.name(), &running.command, &running.log);
        self.wait_until_ready(part).await;
    }

    /// All that one of them has written.
    pub fn logs(&self, part: Part) -> String {
        let running = self.parts.iter().find(|running| running.part == part);
        running.expect("there is one of each").process.log()
    }

    /// For a test that fails: the last that one of them wrote about something.
    pub fn show(&self, part: Part, about: &str) {
        let log = self.logs(part);
        let mut lines: Vec<&str> = log.lines().rev().filter(|line| line.contains(about)).take(TAIL).collect();
        lines.reverse();
        process::show(&format!("---- {}, about {about}:\n{}", part.name(), lines.join("\n")));
    }

    async fn wait_until_ready(&mut self, part: Part) {
        let running = self.part(part);
        let deadline = Instant::now() + READY_LIMIT;
        let mut last = "no answer".to_owned();
        while Instant::now() < deadline {
            if let Some(status) = running.process.ended() {
                panic!("{} ended: {status}\n{}", part.name(), running.process.tail());
            }
            match http::get(running.health_port, "/readyz").await {
                Ok(answer) if answer.status == 200 => return,
                Ok(answer) => last = format!("{}: {}", answer.status, answer.text().trim()),
                Err(error) => last = error,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} is not ready after {READY_LIMIT:?}: {last}\n{}", part.name(), running.process.tail());
    }

    fn part(&mut self, part: Part) -> &mut Running {
        self.parts.iter_mut().find(|running| running.part == part).expect("there is one of each")
    }
}

fn launch<'a>(
    control_plane: &ControlPlane,
    part: Part,
    events_port: u16,
    more: impl Iterator<Item = &'a str>,
) -> Running {
    let home = scratch::folder(part.name());
    let health_port = ports::free();
    let mut command = process::hermetic(&tools::flux(part.name()), &home);
    // What it unpacks in between goes with the rest.
    command.env("TMPDIR", &home).env("KUBECONFIG", control_plane.kubeconfig());
    command.env("RUNTIME_NAMESPACE", NAMESPACE);
    command.args(["--watch-all-namespaces", "--log-level=info", "--metrics-addr=0"]);
    command.arg(format!("--health-addr=127.0.0.1:{health_port}"));
    if part == Part::Notification {
        command.arg(format!("--events-addr=127.0.0.1:{events_port}"));
        command.arg(format!("--receiverAddr=127.0.0.1:{}", ports::free()));
    } else {
        command.arg(format!("--events-addr=http://127.0.0.1:{events_port}/"));
        // 30 s as Flux ships it: what waits for another Kustomization looks again so often.
        command.arg("--requeue-dependency=1s");
    }
    if part == Part::Source {
        let address = format!("127.0.0.1:{}", ports::free());
        let storage = home.join("artifacts");
        std::fs::create_dir(&storage).unwrap_or_else(|error| panic!("{}: {error}", storage.display()));
        command.arg(format!("--storage-path={}", storage.display()));
        command.args([format!("--storage-addr={address}"), format!("--storage-adv-addr={address}")]);
    }
    command.args(more);
    let log = home.join("log");
    let process = Process::start(part.name(), &command, &log);
    Running { part, command, process, log, health_port }
}

/// A controller ends if it asks for a kind that the API server does not know yet.
async fn wait_until_served(client: &Client, definition: &DynamicObject) {
    let spec = &definition.data["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, kind) = (text(&spec["group"]), text(&spec["names"]["kind"]));
    let versions = spec["versions"].as_array().cloned().unwrap_or_default();
    for version in versions.iter().filter(|version| version["served"] == json!(true)) {
        let kind = GroupVersionKind::gvk(&group, &text(&version["name"]), &kind);
        eventually(PATIENCE, async || pinned_kind(client, &kind).await).await;
    }
}

/// The CustomResourceDefinitions of the controllers, out of their modules.
fn definitions() -> Vec<String> {
    let mut go = Command::new("go");
    go.args(["list", "-m", "-f", "{{.Dir}}"]);
    go.args(Part::ALL.map(|part| format!("github.com/fluxcd/{}", part.name())));
    go.current_dir(tools::repository().join("tests/peers/flux"));
    let output = go.output().unwrap_or_else(|error| panic!("{go:?}: {error}"));
    let folders = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    // A module that was not downloaded has no folder, and so an empty line.
    let there = output.status.success() && folders.lines().all(|line| !line.is_empty());
    assert!(there, "the modules of tests/peers/flux are not there\nrun: cargo xtask test\n{errors}");
    folders.lines().flat_map(|folder| yaml_files(&PathBuf::from(folder).join("config/crd/bases"))).collect()
}

fn yaml_files(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut texts = Vec::new();
    for path in paths {
        let text = path.and_then(std::fs::read_to_string);
        texts.push(text.unwrap_or_else(|error| panic!("{}: {error}", folder.display())));
    }
    assert!(!texts.is_empty(), "{} is empty", folder.display());
    texts
}
