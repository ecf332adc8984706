//! HTTP/1.1 with bounds on what a connection may cost: time for a request's head, bytes of it, the life of a
//! connection, and how many there are at once.
//!
//! When there are too many, the oldest makes room. An honest request is over in milliseconds, so the oldest is one
//! that waits; were the newest refused instead, some hundred idle connections would keep the kubelet's probes out.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// What connections may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From a connection, or the answer before, to the end of a request's head.
    pub head: Duration,
    /// Bytes of a request's head, and of what is read ahead.
    pub head_bytes: usize,
    /// After this a connection ends, with the answer in work.
    pub life: Duration,
    /// For that answer, when the connection is to end.
    pub last_answer: Duration,
    /// Connections at once.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            head_bytes: 16 * 1024,
            life: Duration::from_secs(60),
            last_answer: Duration::from_secs(2),
            connections: 256,
        }
    }
}

/// Serves until told to close; then no connection is accepted any more, and requests in work are answered.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    mut closed: watch::Receiver<bool>,
) {
    let mut connections = Connections::default();
    loop {
        let accepted = tokio::select! {
            _ = closed.wait_for(|closed| *closed) => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.running.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.make_room(limits.connections);
                connections.add(converse(stream, router.clone(), limits, closed.clone()));
            }
            // No file descriptor is left, or the client went away meanwhile.
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    while connections.running.join_next().await.is_some() {}
}

#[derive(Default)]
struct Connections {
    running: JoinSet<()>,
    /// Oldest first; those that ended are taken out when room is needed.
    by_age: VecDeque<AbortHandle>,
}

impl Connections {
    fn make_room(&mut self, limit: usize) {
        if self.by_age.len() >= limit {
            self.by_age.retain(|connection| !connection.is_finished());
        }
        while self.by_age.len() >= limit {
            let Some(oldest) = self.by_age.pop_front() else { return };
            oldest.abort();
        }
    }

    fn add(&mut self, conversation: impl Future<Output = ()> + Send + 'static) {
        self.by_age.push_back(self.running.spawn(conversation));
    }
}

/// One connection, from its first byte to its end.
async fn converse(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    limits: Limits,
    mut closed: watch::Receiver<bool>,
) {
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(limits.head_bytes)
            .serve_connection(TokioIo::new(io), TowerToHyperService::new(router))
    );
    // What a client did wrong is its own affair: errors are not told.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = closed.wait_for(|closed| *closed) => {}
        () = tokio::time::sleep(limits.life) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(limits.last_answer, connection).await;
}

const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const HALF: &[u8] = b"GET / HTTP/1.1\r\nHo";

    fn router() -> Router {
        let slow = async || tokio::time::sleep(Duration::from_secs(1)).await;
        Router::new().route("/", get(async || "ok\n")).route("/slow", get(slow))
    }

    /// A conversation over memory, so that the paused clock moves only when both ends wait.
    fn client(closed: watch::Receiver<bool>) -> DuplexStream {
        let (client, server) = duplex(64 * 1024);
        tokio::spawn(converse(server, router(), Limits::default(), closed));
        client
    }

    async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        String::from_utf8(all).unwrap()
    }

    async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
        let mut all = String::new();
        while !all.ends_with("\r\n\r\nok\n") {
            all.push(char::from(stream.read_u8().await.unwrap()));
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_is_not_waited_for() {
        let (_closing, closed) = watch::channel(false);
        for sent in [b"".as_slice(), HALF] {
            let started = Instant::now();
            let mut client = client(closed.clone());
            client.write_all(sent).await.unwrap();
            assert_eq!(read_to_end(&mut client).await, "");
            assert!(started.elapsed() <= Limits::default().head + Duration::from_millis(10));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_buys_no_time() {
        let (_closing, closed) = watch::channel(false);
        let mut client = client(closed);
        let started = Instant::now();
        let mut bytes = REQUEST.iter().cycle();
        while client.write_u8(*bytes.next().unwrap()).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert!(started.elapsed() < Limits::default().head * 2, "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_serves_several_requests_and_not_for_ever() {
        let (_closing, closed) = watch::channel(false);
        let mut client = client(closed);
        let started = Instant::now();
        let mut answers = 0;
        while started.elapsed() < Limits::default().life * 2 {
            if client.write_all(REQUEST).await.is_err() {
                break;
            }
            answers += 1;
            assert!(read_answer(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        assert_eq!(answers, 9, "one every 7 seconds of {:?}", Limits::default().life);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_work_is_answered_when_the_server_closes() {
        let (closing, closed) = watch::channel(false);
        let mut client = client(closed);
        client.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        closing.send_replace(true);
        let answer = read_to_end(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn the_oldest_makes_room_and_closing_ends_all() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let hour = Duration::from_secs(3600);
        let limits = Limits { head: hour, life: hour, connections: 2, ..Limits::default() };
        let (closing, closed) = watch::channel(false);
        let server = tokio::spawn(serve(listener, router(), limits, closed));

        let mut slow = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(HALF).await.unwrap();
            slow.push(stream);
        }
        let mut honest = TcpStream::connect(address).await.unwrap();
        honest.write_all(REQUEST).await.unwrap();
        read_answer(&mut honest).await;
        let dropped = tokio::time::timeout(Duration::from_secs(20), read_to_end(&mut slow[0])).await;
        assert_eq!(dropped.as_deref(), Ok(""), "for the third");

        let mut rest = slow.remove(1);
        rest.write_all(&REQUEST[HALF.len()..]).await.unwrap();
        read_answer(&mut rest).await;

        closing.send_replace(true);
        server.await.unwrap();
        assert_eq!(read_to_end(&mut honest).await, "");
        assert!(TcpStream::connect(address).await.is_err());
    }
}
