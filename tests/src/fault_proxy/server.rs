//! The proxy itself: accepts, forwards, and asks [`State`] what to spoil.
//!
//! HTTP/1.1 on both sides, which is what kube speaks and what Go's client falls back to. Upgrades (exec, attach,
//! port-forward) are not passed on.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::Config;
use kube::client::ConfigExt as _;
use kube::config::AuthInfo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::call;
use super::fault::Action;
use super::rules::State;
use super::spoil;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// What the test's thread asks of the proxy's.
pub(super) enum Command {
    Outage { down: bool, done: mpsc::Sender<()> },
}

/// Runs the proxy until `commands` ends, and says through `started` where it listens.
pub(super) fn run(
    upstream: Config,
    identity: TlsAcceptor,
    state: Arc<State>,
    commands: UnboundedReceiver<Command>,
    started: &mpsc::Sender<SocketAddr>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let proxy = Arc::new(Proxy { upstream: Upstream::new(upstream), state });
        // Bound and never listening: it keeps the port ours, also while connections to it are refused.
        let reservation = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = reservation.local_addr().expect("a bound socket has an address");
        let listener = listen(address);
        started.send(address).expect("the starter waits");
        serve(address, listener, &identity, &proxy, commands).await;
    });
}

async fn serve<C: Connect + Clone + Send + Sync + 'static>(
    address: SocketAddr,
    listener: TcpListener,
    identity: &TlsAcceptor,
    proxy: &Arc<Proxy<C>>,
    mut commands: UnboundedReceiver<Command>,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Outage { down, done }) => {
                    if down {
                        listener = None;
                        connections.shutdown().await;
                    } else if listener.is_none() {
                        listener = Some(listen(address));
                    }
                    // Who asked may be gone.
                    let _ = done.send(());
                }
            },
            accepted = accept(listener.as_ref()) => {
                connections.spawn(connection(accepted, identity.clone(), Arc::clone(proxy)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> tokio::net::TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
        // Out of file descriptors, or the client is gone already.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn connection<C: Connect + Clone + Send + Sync + 'static>(
    stream: tokio::net::TcpStream,
    identity: TlsAcceptor,
    proxy: Arc<Proxy<C>>,
) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = identity.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let proxy = Arc::clone(&proxy);
        async move { proxy.answer(request).await }
    });
    // An error is a client that went away, or the way in which a fault ends the connection.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

struct Proxy<C> {
    upstream: Upstream<C>,
    state: Arc<State>,
}

/// hyper closes the connection without an answer when the service fails.
#[derive(Debug)]
pub(super) struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped by the fault proxy")
    }
}

impl std::error::Error for Dropped {}

impl<C: Connect + Clone + Send + Sync + 'static> Proxy<C> {
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

/// A body that is known as a whole.
pub(super) fn whole(bytes: Vec<u8>) -> Body {
    http_body_util::Full::new(Bytes::from(bytes)).map_err(|error: Infallible| match error {}).boxed_unsync()
}

fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).and_then(|()| socket.set_reuseport(true)).expect("socket options");
    socket.bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    socket
}

fn listen(address: SocketAddr) -> TcpListener {
    socket(address).listen(1024).unwrap_or_else(|error| panic!("{address}: {error}"))
}
