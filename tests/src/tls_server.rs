//! An HTTPS server on a thread and a runtime of its own: a test may block, or pause its clock, while it works.
//!
//! What it answers is the affair of an [`Answer`]; what this knows is how to be reached, and how not to be. HTTP/1.1,
//! which is what kube and the Azure SDK speak and what Go's client falls back to.

mod identity;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// hyper closes the connection without an answer when the service fails.
#[derive(Debug)]
pub(crate) struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped by the test's server")
    }
}

impl std::error::Error for Dropped {}

/// What a server says.
pub(crate) trait Answer: Send + Sync + 'static {
    /// The answer to a request, or none.
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Dropped>> + Send;
}

/// A body that is known as a whole.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).map_err(|error: Infallible| match error {}).boxed_unsync()
}

/// A running server. Its thread ends when it is dropped.
#[derive(Debug)]
pub(crate) struct TlsServer {
    name: &'static str,
    address: SocketAddr,
    ca_pem: String,
    commands: Option<UnboundedSender<Command>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the test's thread asks of the server's.
#[derive(Debug)]
struct Command {
    change: Change,
    done: mpsc::Sender<()>,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    /// Whether it can be reached.
    Outage(bool),
    /// Whether its certificate is of a CA that nobody knows.
    Untrusted(bool),
}

/// The certificates that it may show.
struct Identities {
    known: TlsAcceptor,
    unknown: TlsAcceptor,
}

impl TlsServer {
    /// Starts it on a free port of the loopback address. `make` runs in the server's runtime.
    pub(crate) fn start<A: Answer>(name: &'static str, make: impl FnOnce() -> A + Send + 'static) -> Self {
        let (known, ca_pem) = identity::identity(Ipv4Addr::LOCALHOST, name);
        let (unknown, _) = identity::identity(Ipv4Addr::LOCALHOST, "unknown");
        let identities = Identities { known, unknown };
        let (commands, received) = unbounded_channel();
        let (started, address) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(make, &identities, received, &started))
            .expect("a thread");
        let address = address.recv().unwrap_or_else(|_| panic!("the {name} starts"));
        Self { name, address, ca_pem, commands: Some(commands), thread: Some(thread) }
    }

    /// `https://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The CA that its clients must trust.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Cuts all connections and refuses new ones, until it is called with `false`. It has happened on return.
    pub(crate) fn outage(&self, down: bool) {
        self.change(Change::Outage(down));
    }

    /// Cuts all connections and shows new ones a certificate of an unknown CA, until it is called with `false`. It has
    /// happened on return.
    pub(crate) fn untrusted(&self, untrusted: bool) {
        self.change(Change::Untrusted(untrusted));
    }

    fn change(&self, change: Change) {
        let (done, happened) = mpsc::channel();
        let commands = self.commands.as_ref().expect("it runs");
        commands.send(Command { change, done }).unwrap_or_else(|_| panic!("the {} runs", self.name));
        happened.recv().unwrap_or_else(|_| panic!("the {} answers", self.name));
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        // The thread ends when nobody can command it any more.
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the {} panicked", self.name);
        }
    }
}

/// Runs the server until `commands` ends, and says through `started` where it listens.
fn run<A: Answer>(
    make: impl FnOnce() -> A,
    identities: &Identities,
    commands: UnboundedReceiver<Command>,
    started: &mpsc::Sender<SocketAddr>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let answer = Arc::new(make());
        // Bound and never listening: it keeps the port ours, also while connections to it are refused.
        let reservation = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = reservation.local_addr().expect("a bound socket has an address");
        let listener = listen(address);
        started.send(address).expect("the starter waits");
        serve(address, listener, identities, &answer, commands).await;
    });
}

async fn serve<A: Answer>(
    address: SocketAddr,
    listener: TcpListener,
    identities: &Identities,
    answer: &Arc<A>,
    mut commands: UnboundedReceiver<Command>,
) {
    let mut listener = Some(listener);
    let mut identity = &identities.known;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            command = commands.recv() => {
                let Some(Command { change, done }) = command else { return };
                match change {
                    Change::Outage(true) => {
                        listener = None;
                        connections.shutdown().await;
                    }
                    Change::Outage(false) if listener.is_none() => listener = Some(listen(address)),
                    Change::Outage(false) => {}
                    Change::Untrusted(untrusted) => {
                        identity = if untrusted { &identities.unknown } else { &identities.known };
                        connections.shutdown().await;
                    }
                }
                // Who asked may be gone.
                let _ = done.send(());
            },
            accepted = accept(listener.as_ref()) => {
                connections.spawn(connection(accepted, identity.clone(), Arc::clone(answer)));
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

async fn connection<A: Answer>(stream: tokio::net::TcpStream, identity: TlsAcceptor, answer: Arc<A>) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = identity.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let answer = Arc::clone(&answer);
        async move { answer.answer(request).await }
    });
    // An error is a client that went away, or the way in which a fault ends the connection.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
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
