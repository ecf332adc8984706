//! Who is told: a webhook that keeps what notification-controller sends it.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A webhook on the loopback address; it answers as long as the runtime of the test runs.
#[derive(Debug)]
pub struct Receiver {
    url: String,
    received: Arc<Mutex<Vec<Value>>>,
    _server: JoinSet<()>,
}

impl Receiver {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("a webhook: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("a webhook: {error}"));
        let received = Arc::default();
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&received)));
        Self { url: format!("http://{address}/"), received, _server: server }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it was sent so far.
    pub fn received(&self) -> Vec<Value> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, received: Arc<Mutex<Vec<Value>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let received = Arc::clone(&received);
        let answer = service_fn(move |request: http::Request<Incoming>| {
            let received = Arc::clone(&received);
            async move {
                let body = request.into_body().collect().await.map(|body| body.to_bytes());
                let event = body.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
                let status = if event.is_some() { 200 } else { 400 };
                received.lock().unwrap_or_else(PoisonError::into_inner).extend(event);
                let mut response = Response::new(Full::new(Bytes::new()));
                *response.status_mut() = status.try_into().expect("a status");
                Ok::<_, Infallible>(response)
            }
        });
        connections.spawn(async move {
            // A client that goes away is no failure of ours.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}
