//! The one thing that sealing asks a cluster: which certificate to seal with.
//!
//! First the signed list in the ConfigMap that our controller publishes; where there is none, the `/v1/cert.pem` that
//! the peer's controller serves, through the API server's proxy and without any signature.

use crate::certificate::certificate_from_pem;
use crate::error::{CommandError, Shown};
use crate::network::{innermost, install_crypto_provider, run_async};
use crate::speech;
use k8s_openapi::api::core::v1::Service;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config};
use privyseal_custody::published;
use privyseal_envelope::{Name, Namespace};
use privyseal_keys::{Certificate, Published, PublishedKeys, PublisherPublicKey};
use privyseal_repo::Evidence;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The Service of the peer's controller, and of ours where it takes its place.
const DEFAULT_CONTROLLER_NAME: &str = "sealed-secrets-controller";
const DEFAULT_NAMESPACE: &str = "privyseal";
const PEER_NAMESPACE: &str = "kube-system";

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

    /// The controller's Service, for a controller that publishes no signed list of keys
    /// [default: sealed-secrets-controller]
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

/// What a cluster gave. Whether it may be sealed to is for trust and for its dates to say.
pub(crate) enum Answer {
    /// The list that our controller publishes, its signature checked against the publisher that it names.
    Published {
        /// The API server.
        server: String,
        /// The ConfigMap, for messages.
        place: String,
        /// The list.
        list: PublishedKeys,
        /// Who signed it.
        publisher: PublisherPublicKey,
        /// The list as it was published.
        texts: Published,
    },
    /// The certificate that the peer's controller serves.
    Served {
        /// The API server.
        server: String,
        /// `NAMESPACE/NAME` of the Service.
        service: String,
        /// The certificate.
        certificate: Box<Certificate>,
    },
}

impl Answer {
    /// The API server.
    pub(crate) fn server(&self) -> &str {
        let (Self::Published { server, .. } | Self::Served { server, .. }) = self;
        server
    }

    /// What speaks for it.
    pub(crate) fn evidence(&self) -> Evidence {
        match self {
            Self::Published { list, publisher, .. } => {
                Evidence::Publisher { fingerprint: publisher.fingerprint(), serial: list.serial }
            }
            Self::Served { certificate, .. } => {
                Evidence::Certificate { fingerprint: certificate.fingerprint() }
            }
        }
    }
}

/// Asks the cluster for its sealing keys.
pub(crate) fn ask(connection: &Connection) -> Result<Answer, CommandError> {
    install_crypto_provider();
    let kubeconfig = read_kubeconfig(connection)?;
    run_async(async {
        match tokio::time::timeout(TOTAL_TIMEOUT, ask_server(connection, kubeconfig)).await {
            Ok(result) => result,
            Err(_) => Err(CommandError::unreachable(format!(
                "context {}: no answer within {} seconds",
                Shown(&connection.context),
                TOTAL_TIMEOUT.as_secs()
            ))),
        }
    })?
}

async fn ask_server(connection: &Connection, kubeconfig: Kubeconfig) -> Result<Answer, CommandError> {
    let options =
        KubeConfigOptions { context: Some(connection.context.clone()), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| kubeconfig_error(connection, &error))?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(ANSWER_TIMEOUT);
    config.write_timeout = Some(ANSWER_TIMEOUT);
    config.default_retry = false;
    let server = config.cluster_url.to_string();
    let failed = |what: &str, error| request_error(&server, what, &error);
    let client = Client::try_from(config).map_err(|error| failed("connecting", error))?;

    let namespace = connection.controller_namespace.as_ref().map_or(DEFAULT_NAMESPACE, Namespace::as_str);
    let place = format!("the ConfigMap {namespace}/{}", published::CONFIG_MAP);
    let config_map = match published::fetch(client.clone(), namespace).await {
        // Where nothing is installed nobody has the right to read it, which the API server says before it looks.
        Err(kube::Error::Api(status)) if status.code == 403 => None,
        result => result.map_err(|error| failed(&place, error))?,
    };
    let Some(config_map) = config_map else {
        speech::note(format_args!("{place} is not there: asking the controller's Service instead"));
        return ask_service(connection, &client, server).await;
    };
    let checked = published::texts(&config_map)
        .and_then(|texts| PublishedKeys::verify(&texts).map(|(list, publisher)| (list, publisher, texts)));
    let (list, publisher, texts) =
        checked.map_err(|error| CommandError::failed(format!("{}: {place}: {error}", Shown(&server))))?;
    Ok(Answer::Published { server, place, list, publisher, texts })
}

/// As `kubeseal` does: the Service's first port, by name, through the API server.
async fn ask_service(
    connection: &Connection,
    client: &Client,
    server: String,
) -> Result<Answer, CommandError> {
    let namespace = connection.controller_namespace.as_ref().map_or(PEER_NAMESPACE, Namespace::as_str);
    let name = connection.controller_name.as_ref().map_or(DEFAULT_CONTROLLER_NAME, Name::as_str);
    let service = format!("{namespace}/{name}");
    let what = format!("the Service {service}");
    let hint = "name the controller with --controller-namespace and --controller-name";
    let failed = |error| request_error(&server, &what, &error).hint(hint);
    let found = Api::<Service>::namespaced(client.clone(), namespace).get(name).await.map_err(failed)?;
    let port = found.spec.and_then(|spec| spec.ports?.into_iter().next()?.name).unwrap_or_default();
    let path = format!("/api/v1/namespaces/{namespace}/services/http:{name}:{port}/proxy/v1/cert.pem");
    let request =
        http::Request::get(path).body(Vec::new()).map_err(|error| failed(kube::Error::HttpError(error)))?;
    let pem = client.request_text(request).await.map_err(failed)?;
    let certificate = Box::new(certificate_from_pem(&what, pem.as_bytes())?);
    Ok(Answer::Served { server, service, certificate })
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
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Credential plugins included: some of them wait for a person.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);
