//! What runs while the story is told: a control plane, and the controller beside it.
//!
//! There is no kubelet, so the controller runs as a process, with the token and the rights of the ServiceAccount that
//! the chart made. Both end with the story, also when that ends early.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::programs;
use super::story::Story;
use super::vault::Vault;
use crate::generate::NAMESPACE;
use crate::go_tools;
use crate::workspace::Workspace;

/// A control plane of our own.
pub(super) struct ControlPlane {
    child: Child,
    /// Kept open: a program that writes into a closed pipe dies of it.
    _stdout: BufReader<ChildStdout>,
    pub(super) kubeconfig: PathBuf,
}

impl ControlPlane {
    /// Starts one and waits until it says that it is ready. What it says on stderr meanwhile is ours.
    pub(super) fn start(workspace: &Workspace, data: &Path) -> Result<Self> {
        let mut child = Command::new(go_tools::program(workspace, "control-plane"))
            // It stops when its stdin ends, and so also when we are killed.
            .args(["up", "--stop-on-stdin-eof", "--data-dir"])
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the control plane")?;
        let mut stdout = BufReader::new(child.stdout.take().context("its stdout is piped")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        match line.trim_end().strip_prefix("ready ") {
            Some(path) => Ok(Self { child, _stdout: stdout, kubeconfig: PathBuf::from(path) }),
            None => bail!("the control plane did not start: {}", child.wait()?),
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        end(&mut self.child);
    }
}

/// Our controller.
pub(super) struct Controller {
    child: Child,
    log: PathBuf,
}

impl Controller {
    /// Starts it as the ServiceAccount of the chart's Deployment, with what that says of the vault if there is one.
    pub(super) fn start(workspace: &Workspace, story: &Story, vault: Option<&Vault>) -> Result<Self> {
        let deployments = json_of(story, &format!("kubectl -n {NAMESPACE} get deployments -o json"))?;
        let deployment = &deployments["items"][0];
        let kubeconfig = story.backstage().join("controller.kubeconfig");
        fs::write(&kubeconfig, service_account_kubeconfig(story, deployment)?)?;
        let log = story.backstage().join("controller.log");
        let output = File::create(&log)?;
        // setpriv: the process ends when we do, however that comes about.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM"])
            .arg(programs(workspace).join("privyseal-controller"))
            .args(["--listen-addr", "127.0.0.1:0", "--listen-metrics-addr", "127.0.0.1:0"])
            .env("KUBECONFIG", &kubeconfig)
            .env("POD_NAMESPACE", NAMESPACE)
            .env("POD_NAME", "demo")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        if let Some(vault) = vault {
            vault.configure(story, deployment, &mut command)?;
        }
        let child = command.spawn().context("cannot start the controller")?;
        Ok(Self { child, log })
    }

    /// Fails, with the end of its log, if it has ended by itself.
    pub(super) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the controller has ended: {status}\n{}", self.last_words());
        }
        Ok(())
    }

    /// The end of its log.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // std can only kill; this asks. The process itself is still ours, so the number is no one else's.
        let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        end(&mut self.child);
    }
}

/// The API server of the story's kubeconfig, with a token of the ServiceAccount.
fn service_account_kubeconfig(story: &Story, deployment: &Value) -> Result<String> {
    let account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
        .as_str()
        .context("the chart's Deployment names no ServiceAccount")?;
    let token =
        story.backstage_run(&format!("kubectl -n {NAMESPACE} create token {account} --duration 2h"))?;
    let mut config = json_of(story, "kubectl config view --raw --flatten --minify -o json")?;
    config["users"] = json!([{ "name": "controller", "user": { "token": token.trim() } }]);
    config["contexts"] = json!([{
        "name": "controller",
        "context": { "cluster": config["clusters"][0]["name"], "user": "controller", "namespace": NAMESPACE },
    }]);
    config["current-context"] = json!("controller");
    Ok(config.to_string())
}

fn json_of(story: &Story, command: &str) -> Result<Value> {
    serde_json::from_str(&story.backstage_run(command)?)
        .with_context(|| format!("no JSON came from: {command}"))
}

/// Waits for a process that was asked to end; kills one that does not.
pub(super) fn end(child: &mut Child) {
    let began = Instant::now();
    while began.elapsed() < GRACE {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
}

const GRACE: Duration = Duration::from_secs(10);
const LAST_LINES: usize = 20;
