//! Kubeconfigs, read and written.
//!
//! Those that the harness writes hold a bearer token and never a client certificate: a token passes through the fault
//! proxy, and is what a pod has.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::Kubeconfig;
use kube::{Client, Config};
use serde_json::json;

/// Where an API server is and how to know it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// `https://HOST:PORT`
    pub(crate) url: String,
    pub(crate) ca_pem: String,
}

impl Server {
    /// The server of a kubeconfig's current context.
    pub(crate) fn of(kubeconfig: &Path) -> Self {
        let config = read(kubeconfig);
        let cluster = config
            .clusters
            .first()
            .and_then(|named| named.cluster.clone())
            .unwrap_or_else(|| panic!("{}: no cluster", kubeconfig.display()));
        let url = cluster.server.unwrap_or_else(|| panic!("{}: no server", kubeconfig.display()));
        let ca = cluster
            .certificate_authority_data
            .unwrap_or_else(|| panic!("{}: no certificate-authority-data", kubeconfig.display()));
        let ca_pem = STANDARD
            .decode(ca)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_else(|| panic!("{}: certificate-authority-data is no PEM", kubeconfig.display()));
        Self { url, ca_pem }
    }

    /// Host and port, as a pod finds them in its environment.
    pub(crate) fn host_and_port(&self) -> (String, String) {
        let uri: http::Uri = self.url.parse().unwrap_or_else(|error| panic!("{}: {error}", self.url));
        let host = uri.host().unwrap_or_else(|| panic!("{}: no host", self.url)).to_owned();
        let port = uri.port_u16().unwrap_or(443).to_string();
        (host, port)
    }

    /// Writes a kubeconfig for the holder of `token`, which only the owner of the file can read.
    pub(crate) fn write_kubeconfig(&self, path: &Path, namespace: &str, token: &str) {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {
                "server": self.url,
                "certificate-authority-data": STANDARD.encode(&self.ca_pem),
            }}],
            "users": [{"name": "it", "user": {"token": token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": namespace}}],
            "current-context": "it",
        });
        write_private(path, config.to_string().as_bytes());
    }
}

/// Namespace and token of a kubeconfig that [`Server::write_kubeconfig`] wrote.
pub(crate) fn account(kubeconfig: &Path) -> (String, String) {
    let text = std::fs::read(kubeconfig).unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()));
    let config: serde_json::Value = serde_json::from_slice(&text)
        .unwrap_or_else(|_| panic!("{}: not a kubeconfig with a token of ours", kubeconfig.display()));
    let part = |pointer: &str| {
        config
            .pointer(pointer)
            .and_then(|value| value.as_str())
            .unwrap_or_else(|| panic!("{}: no {pointer}", kubeconfig.display()))
            .to_owned()
    };
    (part("/contexts/0/context/namespace"), part("/users/0/user/token"))
}

/// A client that never retries by itself: what the server answered is what a test wants to see.
///
/// It belongs to the runtime of the test that calls this.
pub(crate) fn client(kubeconfig: &Path) -> Client {
    Client::try_from(config(kubeconfig)).unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()))
}

/// As [`client`], for those who add to it.
pub(crate) fn config(kubeconfig: &Path) -> Config {
    let mut config = Config::try_from(read(kubeconfig))
        .unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()));
    config.default_retry = false;
    config
}

pub(crate) fn write_private(path: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let written = std::fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn read(kubeconfig: &Path) -> Kubeconfig {
    Kubeconfig::read_from(kubeconfig).unwrap_or_else(|error| panic!("{}: {error}", kubeconfig.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let server = Server { url: "https://127.0.0.1:6443".to_owned(), ca_pem: "PEM".to_owned() };
        server.write_kubeconfig(&path, "there", "secret");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

        let read = Server::of(&path);
        assert_eq!((read.url.as_str(), read.ca_pem.as_str()), ("https://127.0.0.1:6443", "PEM"));
        assert_eq!(read.host_and_port(), ("127.0.0.1".to_owned(), "6443".to_owned()));
        assert_eq!(account(&path), ("there".to_owned(), "secret".to_owned()));
    }
}
