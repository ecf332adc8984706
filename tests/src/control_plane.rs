//! A real control plane: `control-plane up` as a process beside the tests.
//!
//! A start takes some seconds, so the tests of a binary share one ([`ControlPlane::shared`]) and keep apart by
//! namespace. What stops, kills or restarts it needs `&mut`, which nobody has of the shared one.

use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::eventually::{PATIENCE, eventually};
use crate::kubeconfig::{self, Server};
use crate::process::{self, Process};
use crate::{objects, scratch, tools};

/// The program itself gives up after 120 s.
const START_LIMIT: Duration = Duration::from_secs(150);
/// The program itself bounds its stop to 5 s.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A ServiceAccount with all rights, for administrators who need a token.
const ADMIN: (&str, &str) = ("kube-system", "harness-admin");

/// A running control plane with a data folder of its own.
#[derive(Debug)]
pub struct ControlPlane {
    home: PathBuf,
    flags: Vec<String>,
    process: Option<Process>,
    kubeconfig: PathBuf,
}

impl ControlPlane {
    /// Starts one and waits until it is ready.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with flags of `control-plane up`; they hold for later starts too.
    pub fn start_with(flags: &[&str]) -> Self {
        let home = scratch::folder("control-plane");
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut control_plane = Self { home, flags, process: None, kubeconfig: PathBuf::new() };
        control_plane.resume();
        control_plane
    }

    /// One that somebody else started and ends: an administrator's kubeconfig, and nothing of its data or its log.
    pub fn running(kubeconfig: &Path) -> Self {
        let home = scratch::folder("control-plane");
        Self { home, flags: Vec::new(), process: None, kubeconfig: kubeconfig.to_path_buf() }
    }

    /// The one that all tests of this binary share, started by the first that asks.
    pub fn shared() -> Shared {
        static SHARED: LazyLock<Result<ControlPlane, String>> = LazyLock::new(|| {
            std::panic::catch_unwind(ControlPlane::start).map_err(|panic| {
                panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "it did not start".to_owned())
            })
        });
        match &*SHARED {
            Ok(control_plane) => Shared(control_plane),
            Err(reason) => panic!("the shared control plane: {reason}"),
        }
    }

    /// Stops it in order; its data stays.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let status = process.stop(STOP_LIMIT);
            assert!(status.success(), "control-plane: {status}\n{}", process.tail());
        }
    }

    /// Ends it with SIGKILL; its data stays as it is.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill`](Self::kill): the same cluster on the same port.
    pub fn resume(&mut self) {
        assert!(self.process.is_none(), "control-plane runs already");
        let (process, kubeconfig) = start(&self.home, &self.flags);
        self.process = Some(process);
        self.kubeconfig = kubeconfig;
    }

    /// Stops and starts it.
    pub fn restart(&mut self) {
        self.stop();
        self.resume();
    }

    /// The administrator's kubeconfig, which holds a client certificate.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// An administrator's client. Like every client of the harness it does not retry, and it belongs to the runtime
    /// of the test that asks.
    pub fn client(&self) -> Client {
        kubeconfig::client(&self.kubeconfig)
    }

    /// A client that is a ServiceAccount.
    pub async fn client_as(&self, namespace: &str, service_account: &str) -> Client {
        kubeconfig::client(&self.kubeconfig_for(namespace, service_account).await)
    }

    /// A kubeconfig that is a ServiceAccount, with a token from the TokenRequest API.
    pub async fn kubeconfig_for(&self, namespace: &str, service_account: &str) -> PathBuf {
        let token = self.token(namespace, service_account).await;
        let path = scratch::folder(service_account).join("kubeconfig");
        self.server().write_kubeconfig(&path, namespace, &token);
        path
    }

    /// A kubeconfig with all rights and a token, which passes through the fault proxy.
    pub async fn admin_kubeconfig_with_token(&self) -> PathBuf {
        let (namespace, name) = ADMIN;
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"namespace": namespace, "name": name},
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
        });
        let client = self.client();
        objects::apply(&client, None, &account).await;
        objects::apply(&client, None, &binding).await;
        let path = self.kubeconfig_for(namespace, name).await;
        // The authorizer sees the binding a little later.
        let admin: Api<Namespace> = Api::all(kubeconfig::client(&path));
        eventually(PATIENCE, async || admin.get("default").await.map(drop)).await;
        path
    }

    /// A token of a ServiceAccount. It waits for the account: the chart or a controller may be about to make it.
    pub async fn token(&self, namespace: &str, service_account: &str) -> String {
        self.token_for(namespace, service_account, &[], Duration::from_secs(6 * 3600)).await
    }

    /// As [`token`](Self::token), for these audiences (none stands for the API server) and so long, which is at least
    /// 10 minutes.
    pub async fn token_for(
        &self,
        namespace: &str,
        service_account: &str,
        audiences: &[&str],
        lifetime: Duration,
    ) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audiences.iter().map(|&audience| audience.to_owned()).collect(),
                expiration_seconds: Some(i64::try_from(lifetime.as_secs()).expect("a lifetime")),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = eventually(PATIENCE, async || {
            accounts.create_token_request(service_account, &PostParams::default(), &request).await
        })
        .await;
        answer.status.expect("an answered TokenRequest has a status").token
    }

    /// Makes a namespace that no other test of this control plane has, named `PREFIX-NUMBER`.
    pub async fn namespace(&self, prefix: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("{prefix}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": name}})).expect("a Namespace");
        let created = Api::all(self.client())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap_or_else(|error| panic!("namespace {name}: {error}"));
        created.name_any()
    }

    /// Runs the kubectl of the same version as administrator.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        self.kubectl_with_input(args, "")
    }

    /// As [`kubectl`](Self::kubectl), with text on its stdin.
    pub fn kubectl_with_input(&self, args: &[&str], input: &str) -> Output {
        use std::io::Write as _;
        let mut command = process::hermetic(&tools::control_plane(), &self.home);
        command.arg("kubectl").args(args).env("KUBECONFIG", &self.kubeconfig);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("kubectl: {error}"));
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_owned();
        // One that ends without reading all of it says why on stderr.
        let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("kubectl: {error}"));
        writer.join().expect("writing does not panic");
        output
    }

    /// As [`kubectl_with_input`](Self::kubectl_with_input) where only success will do: its stdout.
    pub fn kubectl_ok(&self, args: &[&str], input: &str) -> String {
        let output = self.kubectl_with_input(args, input);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {args:?}: {}\n{errors}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Where it keeps everything.
    pub fn data_dir(&self) -> PathBuf {
        data_dir(&self.home)
    }

    /// What etcd, the API server and the controllers logged.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(component_log(&self.home)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn server(&self) -> Server {
        Server::of(&self.kubeconfig)
    }

    fn show_log_on_panic(&self) {
        if thread::panicking() {
            process::show(&process::tail("control plane", &component_log(&self.home)));
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.show_log_on_panic();
        // Its data is not needed any more, so there is nothing to stop in order.
        self.kill();
        // Sooner than at the end of the process: it is large.
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// The shared control plane; when the test that holds it panics, the end of its log is shown.
#[derive(Debug)]
pub struct Shared(&'static ControlPlane);

impl Deref for Shared {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.show_log_on_panic();
    }
}

fn data_dir(home: &Path) -> PathBuf {
    home.join("data")
}

fn component_log(home: &Path) -> PathBuf {
    data_dir(home).join("control-plane.log")
}

/// Starts the program and reads the path of the kubeconfig from the line that says that it is ready.
fn start(home: &Path, flags: &[String]) -> (Process, PathBuf) {
    let began = Instant::now();
    let log = home.join("stderr.log");
    let mut command: Command = process::hermetic(&tools::control_plane(), home);
    command.args(["up", "--stop-on-stdin-eof", "--data-dir"]).arg(data_dir(home)).args(flags);
    // The pipe is its leash: no end of ours, no control plane.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(process::append_to(&log));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = child.stdout.take().expect("a pipe");
    let mut process = Process::adopt("control-plane", child, &log);

    let (found, ready) = mpsc::channel();
    thread::spawn(move || {
        // Read to the end, so that the program never writes into a pipe that nobody reads.
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(path) = line.strip_prefix("ready ") {
                let _ = found.send(PathBuf::from(path));
            }
        }
    });
    // The sender is gone when stdout ends before it said so.
    match ready.recv_timeout(START_LIMIT) {
        Ok(kubeconfig) => (process, kubeconfig),
        Err(_) => {
            let ended = process.wait(Duration::from_secs(1));
            panic!(
                "control-plane is not ready after {:.1?} ({})\n{}\n{}",
                began.elapsed(),
                ended.map_or_else(|| "it runs".to_owned(), |status| status.to_string()),
                process.tail(),
                process::tail("its parts", &component_log(home)),
            )
        }
    }
}
