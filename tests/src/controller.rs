//! A controller as a process beside the tests, with the rights that the chart gives it.
//!
//! There is no kubelet, so what a Deployment would start is started here: the same flags, the ServiceAccount's token
//! and nothing else. Ours reads a kubeconfig or, like the peer's (which can do nothing else), the files of a pod.
//!
//! A [`Release`] is what the chart installs; several replicas are several controllers of one release. Unless its flags
//! say otherwise a controller looks after *all* namespaces: a test that starts one on the shared control plane meets
//! the others', so families that start several give each test a [`ControlPlane`](crate::ControlPlane) of its own.

pub mod http;
mod in_cluster;
pub mod metrics;
mod release;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use http::Answer;
pub use in_cluster::Account;
pub use metrics::Metrics;
pub use release::{Chart, Release, ReleaseOptions};

use crate::fault_proxy::FaultProxy;
use crate::image::Image;
use crate::kubeconfig::Server;
use crate::process::{self, Process};
use crate::{ports, scratch, tools};

/// From start to ready: keys of 2048 bits are made in well under a second, but the machine may be busy.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// A pod gets 30 s.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Which controller.
#[derive(Clone, Debug, Default)]
pub enum Program {
    /// `privyseal-controller`, ready when `/readyz` says so.
    #[default]
    Privyseal,
    /// The peer's, ready when `/healthz` answers; it knows no other sign, and no other configuration than a pod's.
    Peer,
    /// Ours from another place.
    At(PathBuf),
    /// Ours out of its image, with nothing of this machine but the kernel; always configured as a pod.
    Image(Image),
}

/// How a controller is started.
#[derive(Clone, Debug, Default)]
pub struct ControllerOptions {
    program: Program,
    args: Vec<String>,
    env: Vec<(String, String)>,
    without_env: Vec<String>,
    in_cluster: bool,
    through: Option<Server>,
    pod_name: Option<String>,
    reachable: bool,
}

impl ControllerOptions {
    /// Another controller than ours.
    pub fn program(mut self, program: Program) -> Self {
        self.program = program;
        self
    }

    /// One more flag, after those of the chart. Keys have 2048 bits unless one says something else.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// One more environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without an environment variable that the chart or the harness gives.
    pub fn without_env(mut self, name: &str) -> Self {
        self.without_env.push(name.to_owned());
        self
    }

    /// Configured by the files of a pod instead of a kubeconfig.
    pub fn in_cluster(mut self) -> Self {
        self.in_cluster = true;
        self
    }

    /// Reaches the API server through this proxy only.
    pub fn through(mut self, proxy: &FaultProxy) -> Self {
        self.through = Some(proxy.server().clone());
        self
    }

    /// Its name, by which replicas tell each other apart; one is made up otherwise.
    pub fn pod_name(mut self, name: &str) -> Self {
        self.pod_name = Some(name.to_owned());
        self
    }

    /// Listens on all addresses, so that the API server can reach it as it reaches a pod; see
    /// [`Release::lead_to`].
    pub fn reachable(mut self) -> Self {
        self.reachable = true;
        self
    }

    fn is_peer(&self) -> bool {
        matches!(self.program, Program::Peer)
    }
}

/// A controller that was started.
#[derive(Debug)]
pub struct Controller {
    pod_name: String,
    command: Command,
    process: Process,
    log: PathBuf,
    port: u16,
    metrics_port: u16,
    ready_path: &'static str,
}

impl Controller {
    /// Starts one and waits until it is ready.
    pub async fn start(release: &Release<'_>, options: ControllerOptions) -> Self {
        let mut controller = Self::launch(release, options).await;
        controller.wait_until_ready().await;
        controller
    }

    /// Starts one and does not wait.
    pub async fn launch(release: &Release<'_>, options: ControllerOptions) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let pod_name = options.pod_name.clone().unwrap_or_else(|| format!("{}-{number}", release.name()));
        let home = scratch::folder(&pod_name);
        let (port, metrics_port) = (ports::free(), ports::free());
        let account = Account {
            server: options.through.clone().unwrap_or_else(|| release.server()),
            namespace: release.namespace().to_owned(),
            token: release.token().await,
        };
        let mut command = match &options.program {
            Program::Privyseal => {
                configured(&tools::privyseal_controller(), &account, &home, options.in_cluster)
            }
            Program::Peer => account.command(&tools::peer_controller(), &home),
            Program::At(path) => configured(path, &account, &home, options.in_cluster),
            Program::Image(image) => account.command_in(image, &home),
        };
        command.args(flags(release, &options, port, metrics_port));
        command.env("POD_NAMESPACE", release.namespace()).env("POD_NAME", &pod_name);
        command.envs(release.env().iter().map(|(name, value)| (name, value)));
        command.envs(options.env.iter().map(|(name, value)| (name, value)));
        options.without_env.iter().for_each(|name| _ = command.env_remove(name));

        let log = home.join("log");
        let ready_path = if options.is_peer() { "/healthz" } else { "/readyz" };
        let process = Process::start(&pod_name, &command, &log);
        Self { pod_name, command, process, log, port, metrics_port, ready_path }
    }

    /// Waits until it is ready. One that ends instead fails the test with its log.
    pub async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + READY_LIMIT;
        let mut last = "no answer".to_owned();
        while Instant::now() < deadline {
            if let Some(status) = self.process.ended() {
                panic!("{} ended: {status}\n{}", self.pod_name, self.process.tail());
            }
            match http::get(self.port, self.ready_path).await {
                Ok(answer) if answer.status == 200 => return,
                Ok(answer) => last = format!("{}: {}", answer.status, answer.text().trim()),
                Err(error) => last = error,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} is not ready after {READY_LIMIT:?}: {last}\n{}", self.pod_name, self.process.tail());
    }

    /// Asks it to end with SIGTERM and waits for that.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.stop(STOP_LIMIT)
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Starts it again as it was, on the same ports and with the same log, and waits until it is ready.
    pub async fn start_again(&mut self) {
        assert!(self.process.ended().is_some(), "{} runs", self.pod_name);
        self.process = Process::start(&self.pod_name, &self.command, &self.log);
        self.wait_until_ready().await;
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its name, as in a Lease.
    pub fn pod_name(&self) -> &str {
        &self.pod_name
    }

    /// All that it has written to stdout and stderr.
    pub fn logs(&self) -> String {
        self.process.log()
    }

    /// Asks its port for certificate and health.
    pub async fn http(&self, path: &str) -> Answer {
        self.request(::http::Method::GET, path, Vec::new()).await
    }

    /// As [`http`](Self::http), with any method and body.
    pub async fn request(&self, method: ::http::Method, path: &str, body: Vec<u8>) -> Answer {
        http::request(method, self.port, path, body)
            .await
            .unwrap_or_else(|error| panic!("{}: {path}: {error}\n{}", self.pod_name, self.process.tail()))
    }

    /// Its metrics.
    pub async fn metrics(&self) -> Metrics {
        let answer = http::get(self.metrics_port, "/metrics").await;
        let answer = answer.unwrap_or_else(|error| panic!("{}: metrics: {error}", self.pod_name));
        assert_eq!(answer.status, 200, "{}: metrics: {}", self.pod_name, answer.text());
        Metrics::parse(&answer.text())
    }

    /// The port for certificate and health on the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port for metrics.
    pub fn metrics_port(&self) -> u16 {
        self.metrics_port
    }
}

/// The program with what tells it where the API server is and who it is.
fn configured(program: &Path, account: &Account, home: &Path, in_cluster: bool) -> Command {
    if in_cluster {
        return account.command(program, home);
    }
    let kubeconfig = home.join("kubeconfig");
    account.server.write_kubeconfig(&kubeconfig, &account.namespace, &account.token);
    let mut command = process::hermetic(program, home);
    command.env("KUBECONFIG", kubeconfig);
    command
}

/// The chart's flags but for addresses, then ours, then the test's.
fn flags(release: &Release<'_>, options: &ControllerOptions, port: u16, metrics_port: u16) -> Vec<String> {
    let mut flags = without_addresses(&release.args());
    let address = if options.reachable { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    flags.push(format!("--listen-addr={address}:{port}"));
    flags.push(format!("--listen-metrics-addr={address}:{metrics_port}"));
    let says_size = |flag: &String| flag.starts_with("--key-size");
    if !flags.iter().chain(&options.args).any(says_size) {
        flags.push("--key-size=2048".to_owned());
    }
    flags.extend(options.args.iter().cloned());
    flags
}

/// Drops the flags for addresses, with their values where these are arguments of their own.
fn without_addresses(args: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if !arg.starts_with("--listen-") {
            kept.push(arg.clone());
        } else if !arg.contains('=') {
            args.next();
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_chart_are_left_out() {
        let args =
            ["--a", "--listen-addr", ":8080", "--listen-metrics-addr=:8081", "--b=c"].map(str::to_owned);
        assert_eq!(without_addresses(&args), ["--a", "--b=c"]);
    }
}
