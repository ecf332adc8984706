//! The one thing that sealing asks a cluster: which certificate to seal with.
//!
//! First the signed list in the ConfigMap that our controller publishes; where there is none, the `/v1/cert.pem` that
//! the peer's controller serves, through the API server's proxy and without any signature.

use super::{ANSWER_TIMEOUT, Connection, Session};
use crate::certificate::certificate_from_pem;
use crate::error::{CommandError, Shown};
use crate::speech;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use privyseal_custody::published;
use privyseal_envelope::{Name, Namespace};
use privyseal_keys::{Certificate, Published, PublishedKeys, PublisherPublicKey};
use privyseal_repo::Evidence;
use std::time::Duration;

/// The Service of the peer's controller, and of ours where it takes its place.
const DEFAULT_CONTROLLER_NAME: &str = "sealed-secrets-controller";
const PEER_NAMESPACE: &str = "kube-system";

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
    connection.session_within(ANSWER_TIMEOUT, async |session| {
        match tokio::time::timeout(TOTAL_TIMEOUT, session.answer()).await {
            Ok(result) => result,
            Err(_) => Err(CommandError::unreachable(format!(
                "context {}: no answer within {} seconds",
                Shown(&connection.context),
                TOTAL_TIMEOUT.as_secs()
            ))),
        }
    })
}

impl Session {
    pub(super) async fn answer(&self) -> Result<Answer, CommandError> {
        let namespace = self.namespace();
        let place = format!("the ConfigMap {namespace}/{}", published::CONFIG_MAP);
        let config_map = match published::fetch(self.client.clone(), namespace).await {
            // Where nothing is installed nobody has the right to read it, which the API server says before it looks.
            Err(kube::Error::Api(status)) if status.code == 403 => None,
            result => result.map_err(|error| self.error(&place, &error))?,
        };
        let Some(config_map) = config_map else {
            speech::note(format_args!("{place} is not there: asking the controller's Service instead"));
            return self.ask_service().await;
        };
        let checked = published::texts(&config_map).and_then(|texts| {
            PublishedKeys::verify(&texts).map(|(list, publisher)| (list, publisher, texts))
        });
        let (list, publisher, texts) = checked
            .map_err(|error| CommandError::failed(format!("{}: {place}: {error}", Shown(&self.server))))?;
        Ok(Answer::Published { server: self.server.clone(), place, list, publisher, texts })
    }

    /// As `kubeseal` does: the Service's first port, by name, through the API server.
    async fn ask_service(&self) -> Result<Answer, CommandError> {
        let (connection, client) = (&self.connection, &self.client);
        let namespace = connection.controller_namespace.as_ref().map_or(PEER_NAMESPACE, Namespace::as_str);
        let name = connection.controller_name.as_ref().map_or(DEFAULT_CONTROLLER_NAME, Name::as_str);
        let service = format!("{namespace}/{name}");
        let what = format!("the Service {service}");
        let hint = "name the controller with --controller-namespace and --controller-name";
        let failed = |error| self.error(&what, &error).hint(hint);
        let found = Api::<Service>::namespaced(client.clone(), namespace).get(name).await.map_err(failed)?;
        let port = found.spec.and_then(|spec| spec.ports?.into_iter().next()?.name).unwrap_or_default();
        let path = format!("/api/v1/namespaces/{namespace}/services/http:{name}:{port}/proxy/v1/cert.pem");
        let request = http::Request::get(path)
            .body(Vec::new())
            .map_err(|error| failed(kube::Error::HttpError(error)))?;
        let pem = client.request_text(request).await.map_err(failed)?;
        let certificate = Box::new(certificate_from_pem(&what, pem.as_bytes())?);
        Ok(Answer::Served { server: self.server.clone(), service, certificate })
    }
}

/// Credential plugins included: some of them wait for a person.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);
