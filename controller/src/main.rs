//! The cluster's half of Privyseal: watches SealedSecrets, opens them with the keys that only it holds, and keeps the
//! Secrets made of them as the SealedSecrets ask.
//!
//! Where to start reading: `app` wires everything; `reconcile` is one pass over one object, and what it decides is
//! pure: `ownership`, `plan`, `policy`, `refresh`, `failure`, `status`, `marker`; `tell` writes it. `index` is what is known without asking, fed by `watch`;
//! `queue` says what is next. `leader` elects who writes, `duties` is what the leader does beside opening, and
//! `keystore` holds the keys; `hsm` asks for what a Key Vault alone opens.

mod announce;
mod api;
mod app;
mod config;
mod duties;
mod escrow;
mod events;
mod failure;
mod hsm;
mod http;
mod index;
mod keystore;
mod leader;
mod logging;
mod marker;
mod metrics;
mod outcome;
mod ownership;
mod plan;
mod policy;
mod publish;
mod queue;
mod reconcile;
mod refresh;
mod status;
mod tell;
mod vault;
mod watch;

use clap::Parser as _;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let args = config::Args::parse();
    logging::start(args.log());
    forbid_core_dumps();
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "the controller cannot go on");
            ExitCode::FAILURE
        }
    }
}

fn start(args: config::Args) -> Result<(), String> {
    // Two providers compiled in would make rustls panic at the first connection: there is one, and it is named.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| "another TLS provider is installed".to_owned())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(async {
        let kube_config = kube::Config::infer().await.map_err(|_| NO_CLUSTER.to_owned())?;
        let (config, _) = args.into_config(&kube_config.default_namespace)?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            namespace = config.namespace,
            identity = config.identity,
            "privyseal-controller"
        );
        let client = api::client(kube_config).map_err(|error| api::brief(&error))?;
        let metrics = Arc::new(metrics::Metrics::new());
        let vaults = vault::set_up(&config.custody, &metrics).map_err(|error| error.to_string())?;
        app::run(client, config, vaults, metrics, stop_signal()).await.map_err(|error| error.to_string())
    })
}

/// SIGTERM, as the kubelet sends it, or SIGINT.
async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// A core dump would hold every key. Where the kernel refuses, the pod's own limits have to do.
fn forbid_core_dumps() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let unlimited = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    // The limit does not count where the kernel hands the core to a program; this does.
    let dumpable = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    if unlimited.is_err() || dumpable.is_err() {
        tracing::warn!("core dumps could not be forbidden");
    }
}

/// Without kube's own text: that may repeat lines of a kubeconfig, or what a credential plugin printed.
const NO_CLUSTER: &str = "no cluster to talk to: neither a pod's ServiceAccount nor a kubeconfig can be read";
