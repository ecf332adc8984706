//! The proxy itself: forwards, and asks [`State`] what to spoil.
//!
//! HTTP/1.1 on both sides. Upgrades (exec, attach, port-forward) are not passed on.

use std::sync::Arc;

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::ConfigExt as _;
use kube::config::AuthInfo;

use crate::tls_server::{Answer, Body, BoxError, Dropped};

use super::call;
use super::fault::Action;
use super::rules::State;
use super::spoil;

/// The proxy for an API server.
pub(super) fn proxy(upstream: Config, state: Arc<State>) -> impl Answer {
    Proxy { upstream: Upstream::new(upstream), state }
}

struct Proxy<C> {
    upstream: Upstream<C>,
    state: Arc<State>,
}

impl<C: Connect + Clone + Send + Sync + 'static> Answer for Proxy<C> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
        let (ticket, action) = self.state.arrived(&request);
        let response = match action {
            None => self.upstream.forward(request).await?,
            Some(Action::Status { code, reason, retry_after }) => spoil::status(code, &reason, retry_after),
            Some(Action::Drop) => return Err(Dropped),
            Some(Action::DropAfter) => {
                let is_watch = call::is_watch(request.method(), request.uri().query());
                let response = self.upstream.forward(request).await?;
                // It is applied when its answer is complete; that of a watch never is.
                if !is_watch {
                    let _ = response.into_body().collect().await;
                }
                return Err(Dropped);
            }
            Some(Action::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                self.upstream.forward(request).await?
            }
            Some(Action::EndWatch { after, ending }) => {
                let response = self.upstream.forward(request).await?;
                if response.status().is_success() {
                    response.map(|body| spoil::watch(body, after, ending))
                } else {
                    response
                }
            }
        };
        self.state.answered(ticket, response.status().as_u16());
        Ok(response)
    }
}

/// The API server.
struct Upstream<C> {
    client: Client<C, Incoming>,
    authority: Authority,
}

impl Upstream<()> {
    /// Knows the server by the config's CA. The config's own credentials are left out: with a client certificate
    /// every request would be the administrator's, whatever token it carries.
    fn new(mut config: Config) -> Upstream<impl Connect + Clone + Send + Sync + 'static> {
        config.auth_info = AuthInfo::default();
        let connector = config.rustls_https_connector().expect("a connector to the API server");
        let authority = config.cluster_url.authority().expect("a kubeconfig's server has one").clone();
        Upstream { client: Client::builder(TokioExecutor::new()).build(connector), authority }
    }
}

impl<C: Connect + Clone + Send + Sync + 'static> Upstream<C> {
    /// Passes a request on. An API server that is not there looks to the client as it would without the proxy, but
    /// for the TLS connection that it did get: closed without an answer.
    async fn forward(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
        let mut parts = request.uri().clone().into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Dropped)?;
        request.headers_mut().remove(HOST);
        request.headers_mut().remove(CONNECTION);
        let mut response = self.client.request(request).await.map_err(|_| Dropped)?;
        // hyper frames each side by itself.
        response.headers_mut().remove(CONNECTION);
        response.headers_mut().remove(TRANSFER_ENCODING);
        Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
    }
}
