//! The opening keys in memory: loaded at start, and again whenever a key Secret appears, changes or goes.
//!
//! Every replica holds them. A key that cannot be read is left out and told; the others go on.

use crate::api;
use crate::metrics::Metrics;
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use privyseal_custody::cluster::{ClusterCustody, CustodyError, LeftOut};
use privyseal_envelope::KeyId;
use privyseal_keys::{Certificate, Keyring};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What is held at one moment.
#[derive(Clone, Default)]
pub(crate) struct Held {
    /// The keyring.
    pub keyring: Arc<Keyring>,
    /// The key ids in it.
    key_ids: Arc<BTreeSet<KeyId>>,
    /// Secrets that say they are keys and are none.
    pub left_out: Arc<Vec<LeftOut>>,
    /// Whether the key Secrets were read at all.
    pub loaded: bool,
}

impl Held {
    fn new(keyring: Keyring, left_out: Vec<LeftOut>) -> Self {
        let key_ids = keyring.entries().iter().map(|entry| entry.fingerprint().key_id()).collect();
        Self {
            keyring: Arc::new(keyring),
            key_ids: Arc::new(key_ids),
            left_out: Arc::new(left_out),
            loaded: true,
        }
    }

    /// Whether a key is in the ring.
    pub(crate) fn holds(&self, key: KeyId) -> bool {
        self.key_ids.contains(&key)
    }

    /// The certificate that seals now.
    pub(crate) fn sealing(&self) -> Option<&Certificate> {
        self.keyring.sealing_at(Timestamp::now())
    }
}

/// Loads keys, and tells everybody.
pub(crate) struct KeyStore {
    client: Client,
    namespace: String,
    custody: ClusterCustody,
    metrics: Arc<Metrics>,
    held: watch::Sender<Held>,
}

impl KeyStore {
    /// For one namespace.
    pub(crate) fn new(client: Client, namespace: &str, prefix: &str, metrics: Arc<Metrics>) -> Self {
        let custody = ClusterCustody::new(client.clone(), namespace, prefix);
        Self { client, namespace: namespace.to_owned(), custody, metrics, held: watch::Sender::default() }
    }

    /// Follows the keys.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }

    /// Where keys live.
    pub(crate) fn custody(&self) -> &ClusterCustody {
        &self.custody
    }

    /// Reads the key Secrets now. The keys held stay as they were if that fails.
    pub(crate) async fn reload(&self) -> Result<Held, CustodyError> {
        let loaded = match tokio::time::timeout(RELOAD_TIMEOUT, self.custody.load()).await {
            Ok(loaded) => loaded?,
            Err(_) => {
                let silent = kube::Error::Service("the API server does not answer".into());
                return Err(CustodyError::Api(silent.into()));
            }
        };
        let held = Held::new(Keyring::new(loaded.entries), loaded.left_out);
        let before = self.held.borrow().clone();
        if *before.left_out != *held.left_out {
            for LeftOut { name, reason } in held.left_out.iter() {
                tracing::error!(secret = %crate::outcome::shown(name), reason, "a key Secret is not usable and left out");
            }
        }
        self.metrics.keys_left_out.set(i64::try_from(held.left_out.len()).unwrap_or(i64::MAX));
        self.metrics.keys_held.set(i64::try_from(held.keyring.entries().len()).unwrap_or(i64::MAX));
        let since = held.sealing().map_or(0, |certificate| certificate.not_before().as_second());
        self.metrics.sealing_key_since.set(since);
        let same_keys = before.keyring.fingerprint() == held.keyring.fingerprint();
        if !before.loaded || !same_keys {
            tracing::info!(keys = held.keyring.entries().len(), "keys loaded");
        }
        if !before.loaded
            || !same_keys
            || !same_certificates(&before, &held)
            || before.left_out != held.left_out
        {
            self.held.send_replace(held.clone());
        }
        Ok(held)
    }

    /// Runs for ever: watches the metadata of key Secrets and loads them again on each change.
    pub(crate) async fn run(&self) {
        let api = Api::<PartialObjectMeta<Secret>>::namespaced(self.client.clone(), &self.namespace);
        let config = watcher::Config::default().labels(&ClusterCustody::selector());
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        let mut stale = false;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    // A list that has only begun says nothing yet.
                    Some(Ok(watcher::Event::Init | watcher::Event::InitApply(_))) => continue,
                    Some(Ok(_)) => stale = true,
                    Some(Err(error)) => {
                        tracing::warn!(error = %watch_error(&error), "the watch of key Secrets was interrupted");
                    }
                    None => return,
                },
                // Several changes at once are one reload; a failed one is tried again.
                () = tokio::time::sleep(SETTLE), if stale => match self.reload().await {
                    Ok(_) => stale = false,
                    Err(error) => tracing::warn!(error = %custody_error(&error), "cannot read the key Secrets"),
                },
            }
        }
    }
}

/// A key may come back with another certificate.
fn same_certificates(a: &Held, b: &Held) -> bool {
    let certificates = |held: &Held| {
        held.keyring.entries().iter().map(|entry| entry.certificate().cloned()).collect::<Vec<_>>()
    };
    certificates(a) == certificates(b)
}

/// An error of custody in our words.
pub(crate) fn custody_error(error: &CustodyError) -> String {
    match error {
        CustodyError::Api(error) => api::brief_secret(error),
        other => other.to_string(),
    }
}

/// An error of a watch in our words.
pub(crate) fn watch_error(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => api::brief(error),
        watcher::Error::WatchError(status) => format!("the API server answered {}", status.code),
        watcher::Error::NoResourceVersion => "the API server's answer has no resourceVersion".to_owned(),
    }
}

const RELOAD_TIMEOUT: Duration = Duration::from_secs(20);
const SETTLE: Duration = Duration::from_millis(200);
