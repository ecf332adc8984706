//! A proxy before the API server that spoils what it is told to.
//!
//! A real API server answers 409, 410, 429 and 500, cuts watches and loses answers, but never when a test wants it
//! to. The proxy passes everything through, bearer tokens and long watches included, and spoils the requests that a
//! [`Fault`] names. It also keeps a log of all requests, by which tests count what a controller asks.
//!
//! It runs on a thread and a runtime of its own: a test may block, or pause its clock, while it works.
//!
//! ```no_run
//! # async fn example() {
//! use privyseal_tests::{Action, ControlPlane, Fault, FaultProxy, Requests};
//! let control_plane = ControlPlane::shared();
//! let proxy = FaultProxy::start(control_plane.kubeconfig());
//! let kubeconfig = proxy.kubeconfig_for(&control_plane, "some-namespace", "some-account").await;
//! let conflict = proxy.inject(Fault::new(Requests::call("create secrets"), Action::status(409)).next(2));
//! // … run what should survive it …
//! assert_eq!(conflict.hits(), 2);
//! assert_eq!(proxy.count("create secrets"), 3);
//! # }
//! ```

mod call;
mod fault;
mod rules;
mod server;
mod spoil;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use kube::Client;

use crate::control_plane::ControlPlane;
use crate::kubeconfig::{self, Server};
use crate::scratch;
use crate::tls_server::TlsServer;

pub use fault::{Action, After, Ending, Fault, Requests};
pub use rules::Injected;

use rules::State;

/// A running proxy.
#[derive(Debug)]
pub struct FaultProxy {
    state: Arc<State>,
    /// Where clients reach it, and the CA that they must trust.
    server: Server,
    listening: TlsServer,
}

/// A request that reached the proxy.
#[derive(Clone, Debug)]
pub struct Request {
    /// When, counted from the start of the proxy.
    pub at: Duration,
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// Its query, as it was sent.
    pub query: Option<String>,
    /// Who the client says it is.
    pub user_agent: Option<String>,
    /// What it asks for, as `patch sealedsecrets.bitnami.com/status`: see [`Requests::call`].
    pub call: String,
    /// The status that the client got; `None` when it got none, or not yet.
    pub status: Option<u16>,
    /// Whether a fault was applied to it.
    pub spoiled: bool,
}

impl FaultProxy {
    /// Starts a proxy for the API server of `upstream_kubeconfig`, whose credentials it does not use: every client
    /// is to the API server who its token says it is.
    pub fn start(upstream_kubeconfig: &Path) -> Self {
        let upstream = kubeconfig::config(upstream_kubeconfig);
        let state = Arc::new(State::default());
        let listening = TlsServer::start("fault proxy", {
            let state = Arc::clone(&state);
            move || server::proxy(upstream, state)
        });
        let server = Server { url: listening.url(), ca_pem: listening.ca_pem().to_owned() };
        Self { state, server, listening }
    }

    /// From now on spoils the requests that the fault names. Of several faults that fit a request, the one that was
    /// injected first applies.
    pub fn inject(&self, fault: Fault) -> Injected {
        self.state.inject(fault)
    }

    /// Takes all faults back; an [`outage`](Self::outage) goes on.
    pub fn clear(&self) {
        self.state.clear();
    }

    /// Cuts all connections and refuses new ones, until it is called with `false`. It has happened on return.
    pub fn outage(&self, down: bool) {
        self.listening.outage(down);
    }

    /// All requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.state.forget_requests();
    }

    /// How many requests of each kind there were: `list secrets` to 1, for example.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in self.requests() {
            *counts.entry(request.call).or_default() += 1;
        }
        counts
    }

    /// How many requests of one kind there were.
    pub fn count(&self, call: &str) -> usize {
        self.counts().get(call).copied().unwrap_or_default()
    }

    /// A kubeconfig that leads a ServiceAccount through the proxy.
    pub async fn kubeconfig_for(
        &self,
        control_plane: &ControlPlane,
        namespace: &str,
        service_account: &str,
    ) -> PathBuf {
        let token = control_plane.token(namespace, service_account).await;
        self.write_kubeconfig(namespace, &token)
    }

    /// A kubeconfig that leads the same account through the proxy; only for those that hold a token.
    pub fn kubeconfig_through(&self, token_kubeconfig: &Path) -> PathBuf {
        let (namespace, token) = kubeconfig::account(token_kubeconfig);
        self.write_kubeconfig(&namespace, &token)
    }

    /// A client with all rights whose requests pass through the proxy.
    pub async fn admin_client(&self, control_plane: &ControlPlane) -> Client {
        kubeconfig::client(&self.kubeconfig_through(&control_plane.admin_kubeconfig_with_token().await))
    }

    /// Where it is, for those who write another kind of configuration.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    fn write_kubeconfig(&self, namespace: &str, token: &str) -> PathBuf {
        let path = scratch::folder("through-proxy").join("kubeconfig");
        self.server.write_kubeconfig(&path, namespace, token);
        path
    }
}
