//! A cluster that is asked: which one, by which credentials, and what its answers mean for the command.
//!
//! ```text
//!   ConnectionOptions ──▶ Connection ──session──▶ Session ─┬─ published: the sealing keys
//!                                                          ├─ key_secrets: the opening keys, for those who may
//!                                                          ├─ controller: verify and rotate, through its Service
//!                                                          └─ replicas: which key each of them serves
//! ```

mod controller;
mod key_secrets;
mod published;
mod replicas;

pub(crate) use controller::{Controller, NotFound, OpenedWith, Verdict};
pub(crate) use key_secrets::{ClusterKey, KeySecret, KeyState};
pub(crate) use published::{Answer, ask};
pub(crate) use replicas::Replicas;

use crate::error::{CommandError, Shown};
use crate::network::{innermost, install_crypto_provider, run_async};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use privyseal_envelope::{Name, Namespace};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The namespace of our controller.
const DEFAULT_NAMESPACE: &str = "privyseal";

/// Options that name a cluster and its controller.
#[derive(clap::Args)]
pub(crate) struct ConnectionOptions {
    /// Ask the cluster of this kubeconfig context. The current context is never used unless it is named here
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,

    /// The kubeconfig that has the context [default: $KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,

    /// The controller's namespace [default: privyseal; kube-system for the controller of sealed-secrets]
    #[arg(long, value_name = "NAMESPACE", requires = "context", value_parser = crate::arguments::parse_namespace)]
    controller_namespace: Option<Namespace>,

    /// The controller's Service [default: privyseal, or what our chart's labels find; sealed-secrets-controller for the
    /// controller of sealed-secrets]
    #[arg(long, value_name = "NAME", requires = "context", value_parser = crate::arguments::parse_name)]
    controller_name: Option<Name>,
}

impl ConnectionOptions {
    /// The cluster, if one is named.
    pub(crate) fn connection(&self) -> Option<Connection> {
        let Self { context, kubeconfig, controller_namespace, controller_name } = self;
        Some(Connection {
            context: context.clone()?,
            kubeconfig: kubeconfig.clone(),
            controller_namespace: controller_namespace.clone(),
            controller_name: controller_name.clone(),
        })
    }

    /// The kubeconfig, if not the usual one.
    pub(crate) fn kubeconfig(&self) -> Option<&Path> {
        self.kubeconfig.as_deref()
    }
}

/// Which cluster, and where its controller is.
#[derive(Clone, PartialEq)]
pub(crate) struct Connection {
    /// A context of the kubeconfig.
    pub(crate) context: String,
    /// The kubeconfig, if not the usual one.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The controller's namespace, if not the usual one.
    pub(crate) controller_namespace: Option<Namespace>,
    /// The controller's Service, if not the usual one.
    pub(crate) controller_name: Option<Name>,
}

/// A connection that stands.
pub(crate) struct Session {
    /// Repeats nothing by itself.
    pub(crate) client: Client,
    /// The API server.
    pub(crate) server: String,
    /// What was asked for.
    connection: Connection,
}

impl Connection {
    /// Connects, and runs to the end what talks to the cluster. Each request is bounded in time, the whole is not.
    pub(crate) fn session<T>(
        &self,
        work: impl AsyncFnOnce(&Session) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        self.session_within(WORK_TIMEOUT, work)
    }

    /// As [`Connection::session`], with another bound on each request.
    fn session_within<T>(
        &self,
        timeout: Duration,
        work: impl AsyncFnOnce(&Session) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        install_crypto_provider();
        let kubeconfig = read_kubeconfig(self)?;
        run_async(async { work(&Session::connect(self, kubeconfig, timeout).await?).await })?
    }
}

impl Session {
    async fn connect(
        connection: &Connection,
        kubeconfig: Kubeconfig,
        timeout: Duration,
    ) -> Result<Self, CommandError> {
        let options =
            KubeConfigOptions { context: Some(connection.context.clone()), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| kubeconfig_error(connection, &error))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(timeout);
        config.write_timeout = Some(timeout);
        config.default_retry = false;
        let server = config.cluster_url.to_string();
        let client =
            Client::try_from(config).map_err(|error| request_error(&server, "connecting", &error))?;
        Ok(Self { client, server, connection: connection.clone() })
    }

    /// The controller's namespace.
    pub(crate) fn namespace(&self) -> &str {
        self.connection.controller_namespace.as_ref().map_or(DEFAULT_NAMESPACE, Namespace::as_str)
    }

    /// The context of the kubeconfig.
    pub(crate) fn context(&self) -> &str {
        &self.connection.context
    }

    /// What a failed request for `what` means.
    pub(crate) fn error(&self, what: &str, error: &kube::Error) -> CommandError {
        request_error(&self.server, what, error)
    }
}

fn read_kubeconfig(connection: &Connection) -> Result<Kubeconfig, CommandError> {
    let kubeconfig = match &connection.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    kubeconfig.map_err(|error| kubeconfig_error(connection, &error))
}

/// In our own words: kube's texts may hold lines of the kubeconfig, and so a token.
fn kubeconfig_error(connection: &Connection, error: &KubeconfigError) -> CommandError {
    let shown = |path: &PathBuf| Shown(&path.to_string_lossy()).to_string();
    let context = Shown(&connection.context).to_string();
    let message = match error {
        KubeconfigError::ReadConfig(error, path) => {
            format!("{}: {}", shown(path), crate::input::reason(error))
        }
        KubeconfigError::FindPath => "there is no kubeconfig".to_owned(),
        KubeconfigError::Parse(_) => {
            "the kubeconfig is not valid YAML, or holds something unexpected".to_owned()
        }
        KubeconfigError::LoadContext(_) | KubeconfigError::CurrentContextNotSet => {
            format!("the kubeconfig has no context {context}")
        }
        KubeconfigError::LoadClusterOfContext(_) | KubeconfigError::MissingClusterUrl => {
            format!("the kubeconfig's context {context} names no cluster that it describes")
        }
        _ => format!("the kubeconfig's context {context} has a certificate, key or URL that cannot be read"),
    };
    CommandError::input(message)
        .hint("`kubectl config get-contexts` lists the contexts; --kubeconfig names another file")
}

/// Whether the cluster answered decides the exit status. Never kube's own text: it may hold what a credential plugin
/// printed.
fn request_error(server: &str, what: &str, error: &kube::Error) -> CommandError {
    let place = format!("{}: {}", Shown(server), Shown(what));
    match error {
        kube::Error::Api(status) => {
            let message =
                format!("{place}: the API server answered {} {}", status.code, Shown(&status.message));
            match status.code {
                401 => CommandError::failed(message).hint("log in to the cluster again"),
                429 | 500.. => CommandError::unreachable(message),
                _ => CommandError::failed(message),
            }
        }
        kube::Error::Auth(_) => no_credentials(&place),
        kube::Error::Service(error) if holds_auth_error(error.as_ref()) => no_credentials(&place),
        kube::Error::Service(error) => {
            CommandError::unreachable(format!("{place}: {}", Shown(&innermost(error.as_ref()))))
        }
        kube::Error::HyperError(error) => {
            CommandError::unreachable(format!("{place}: {}", Shown(&innermost(error))))
        }
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
            CommandError::failed(format!("{place}: the answer is not what an API server gives"))
        }
        _ => CommandError::failed(format!("{place}: the request cannot be made")),
    }
}

fn no_credentials(place: &str) -> CommandError {
    CommandError::failed(format!("{place}: no credentials for the cluster"))
        .hint("try `kubectl --context CONTEXT version`: it takes the same credentials")
}

fn holds_auth_error(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.is::<kube::client::AuthError>())
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the first question, which tells whether there is anybody.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A controller lets a request wait for 20 s before it refuses it, and then has work to do.
const WORK_TIMEOUT: Duration = Duration::from_secs(60);
