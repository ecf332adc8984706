//! An HTTP proxy for `CONNECT`, as companies put before the internet: it passes bytes on and notes where to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::call_log::locked;

/// A running proxy. Its thread ends when it is dropped.
#[derive(Debug)]
pub struct ConnectProxy {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<String>>>,
    _stop: oneshot::Sender<()>,
}

impl ConnectProxy {
    /// Starts one.
    pub fn start() -> Self {
        let (started, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let targets = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&targets);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
                started.send(listener.local_addr().expect("an address")).expect("somebody waits");
                tokio::select! {
                    () = serve(listener, noted) => {}
                    _ = stopped => {}
                }
            });
        };
        thread::Builder::new().name("connect-proxy".to_owned()).spawn(run).expect("a thread");
        Self { address: address.recv().expect("it listens"), targets, _stop: stop }
    }

    /// Its address, for `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it led, as `HOST:PORT`, in order.
    pub fn targets(&self) -> Vec<String> {
        locked(&self.targets).clone()
    }
}

async fn serve(listener: TcpListener, targets: Arc<Mutex<Vec<String>>>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let targets = Arc::clone(&targets);
        tokio::spawn(async move { lead(client, &targets).await });
    }
}

/// One connection. What is no `CONNECT`, or leads nowhere, is closed.
async fn lead(client: TcpStream, targets: &Mutex<Vec<String>>) -> Option<()> {
    let mut client = BufReader::new(client);
    let mut request = String::new();
    client.read_line(&mut request).await.ok()?;
    let target = request.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    let mut header = String::new();
    while client.read_line(&mut header).await.ok()? > 2 {
        header.clear();
    }
    locked(targets).push(target.clone());
    let mut server = TcpStream::connect(&target).await.ok()?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}
