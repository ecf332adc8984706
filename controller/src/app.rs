//! Wiring: what runs on every replica, what runs while we lead, and how it all stops.

use crate::announce::announce;
use crate::config::Config;
use crate::duties::Duties;
use crate::escrow::Escrow;
use crate::events::Events;
use crate::failure;
use crate::hsm::Hsm;
use crate::http::{self, Served};
use crate::index::SharedIndex;
use crate::keystore::{Held, KeyStore};
use crate::leader::{Elector, Leadership};
use crate::marker::MarkerKey;
use crate::metrics::Metrics;
use crate::publish::Publisher;
use crate::queue::{Priority, Queue};
use crate::reconcile::Reconciler;
use crate::tell::Teller;
use crate::vault::Vaults;
use crate::watch::Watches;
use jiff::Timestamp;
use kube::Client;
use privyseal_custody::custody::Failure;
use privyseal_custody::key_vault::KeyVault;
use privyseal_custody::key_vault::hsm::Seen;
use privyseal_keys::PublisherKey;
use privyseal_manifest::names::DeletionPolicy;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Runs until `stop` is done, then ends what is in work and gives the Lease up.
pub(crate) async fn run(
    client: Client,
    config: Config,
    vaults: Vaults,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()>,
) -> Result<(), AppError> {
    let replica = Arc::new(Replica::new(client, config, vaults, metrics));
    let listeners =
        (bind(replica.config.listen_addr).await?, bind(replica.config.listen_metrics_addr).await?);
    let (mut elector, leadership) =
        Elector::new(replica.client.clone(), &replica.config.namespace, &replica.config.identity);
    let (stopping, stopped) = watch::channel(false);
    let (closing, closed) = watch::channel(false);

    let (mut tasks, mut servers) = (JoinSet::new(), JoinSet::new());
    replica.serve(&mut servers, listeners, &closed);
    replica.follow(&mut tasks);
    let mut lead = tokio::spawn(replica.clone().lead(leadership, stopped));

    let result = tokio::select! {
        () = stop => Ok(()),
        () = elector.run() => Ok(()),
        ended = &mut lead => Err(AppError::TaskEnded { panicked: ended.is_err() }),
        ended = tasks.join_next() => Err(AppError::TaskEnded { panicked: ended.is_some_and(|task| task.is_err()) }),
        ended = servers.join_next() => Err(AppError::TaskEnded { panicked: ended.is_some_and(|task| task.is_err()) }),
    };
    tracing::info!("stopping");
    stopping.send_replace(true);
    // The Lease is kept while work ends: nobody else writes at the same time.
    let drained = async {
        if lead.is_finished() {
            return;
        }
        tokio::select! {
            _ = &mut lead => {}
            () = elector.run() => {}
        }
    };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("not all work ended in time; what is unfinished is done by the next leader");
    }
    let _ = tokio::time::timeout(DRAIN, elector.release()).await;
    // Health and metrics are answered to the end.
    closing.send_replace(true);
    servers.join_all().await;
    result
}

/// What every replica holds.
struct Replica {
    client: Client,
    config: Config,
    metrics: Arc<Metrics>,
    store: Arc<KeyStore>,
    key_vault: Option<KeyVault>,
    index: SharedIndex,
    queue: Arc<Queue>,
    synced: Arc<AtomicBool>,
    events: Events,
}

impl Replica {
    fn new(client: Client, config: Config, vaults: Vaults, metrics: Arc<Metrics>) -> Self {
        let Vaults { custodies, key_vault } = vaults;
        let (namespace, prefix) = (&config.namespace, &config.keys.prefix);
        let store = KeyStore::new(client.clone(), namespace, prefix, custodies, metrics.clone());
        Self {
            events: Events::new(client.clone(), &config.namespace, &config.identity),
            client,
            config,
            metrics,
            store: Arc::new(store),
            key_vault,
            index: SharedIndex::default(),
            queue: Arc::default(),
            synced: Arc::default(),
        }
    }

    fn serve(
        &self,
        servers: &mut JoinSet<()>,
        (public, metrics): (TcpListener, TcpListener),
        closed: &watch::Receiver<bool>,
    ) {
        let served = Served {
            keys: self.store.subscribe(),
            synced: self.synced.clone(),
            metrics: self.metrics.clone(),
        };
        for (listener, router) in
            [(public, http::public(served)), (metrics, http::metrics(self.metrics.clone()))]
        {
            servers.spawn(http::serve(listener, router, http::Limits::default(), closed.clone()));
        }
    }

    /// What runs on every replica, leader or not, so that a new leader knows everything already.
    fn follow(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        let store = self.store.clone();
        tasks.spawn(async move { store.run().await });

        let (sealed_secrets_listed, mut listed) = watch::channel(false);
        let this = self.clone();
        tasks.spawn(async move {
            this.watches().sealed_secrets(|| _ = sealed_secrets_listed.send_replace(true)).await;
        });
        let this = self.clone();
        tasks.spawn(async move {
            let _ = listed.wait_for(|listed| *listed).await;
            this.watches().secrets(|| this.synced.store(true, Ordering::Release)).await;
        });

        let this = self.clone();
        let mut keys = self.store.subscribe();
        tasks.spawn(async move {
            while keys.changed().await.is_ok() {
                this.enqueue_all();
            }
        });
        let this = self.clone();
        tasks.spawn(async move { this.measure().await });
    }

    /// Leads whenever the Lease is ours.
    async fn lead(self: Arc<Self>, mut leadership: Leadership, mut stopped: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = leadership.acquired() => {}
                _ = stopped.wait_for(|stop| *stop) => return,
            }
            self.metrics.leading.set(1);
            let mut lost = leadership.clone();
            tokio::select! {
                () = lost.lost() => {}
                () = self.term(&leadership, stopped.clone()) => {}
            }
            self.metrics.leading.set(0);
            self.metrics.sealing_key_foreign.set(0);
            self.metrics.escrow_pending.set(0);
            self.metrics.hsm(Seen::Waiting(0));
        }
    }

    /// One term of leading. Ends when we are to stop and nothing is in work any more.
    async fn term(&self, leadership: &Leadership, mut stopped: watch::Receiver<bool>) {
        let duties = Duties {
            keys: self.config.keys.clone(),
            store: self.store.clone(),
            leadership: leadership.clone(),
            escrow: Escrow::new(
                self.client.clone(),
                &self.config.namespace,
                self.config.keys.escrow_recipients.clone(),
            ),
            publisher: Publisher::new(self.client.clone(), &self.config.namespace),
            events: self.events.clone(),
            metrics: self.metrics.clone(),
            now: Timestamp::now,
        };
        let (telling, told) = watch::channel(None);
        let publisher_key = tokio::select! {
            key = duties.publisher_key(&telling) => key,
            () = self.announce(told, leadership) => return,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        // A vault that gave the publisher key will give the others: they need not wait for their next turn.
        self.store.ask_again().await;
        // Dropping the sets at the end of a term aborts what still runs.
        let (mut workers, mut asking) = (JoinSet::new(), JoinSet::new());
        let hsm = self.hsm();
        if let Some(hsm) = hsm.clone() {
            asking.spawn(async move { hsm.run().await });
        }
        let starting = async {
            tokio::select! {
                () = self.knows_enough(hsm.as_deref()) => {}
                _ = stopped.wait_for(|stop| *stop) => return,
            }
            self.enqueue_all();
            self.start_workers(&mut workers, hsm.as_ref(), &publisher_key, leadership, &stopped);
            workers.join_all().await;
        };
        tokio::select! {
            () = starting => {}
            () = duties.run(&publisher_key) => {}
        }
    }

    /// Tells objects why they wait, as long as a vault does not give the publisher key.
    async fn announce(&self, mut failures: watch::Receiver<Option<Failure>>, leadership: &Leadership) {
        let teller = self.teller(leadership);
        while !self.synced.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        loop {
            let failure = failures.borrow_and_update().clone();
            let announcing = async {
                let Some(failure) = failure else { return std::future::pending().await };
                let outcome = failure::of_vault(&failure, "the controller's own key is not to be had");
                self.enqueue_all();
                announce(&teller, &self.queue, &outcome, self.config.workers).await;
            };
            tokio::select! {
                () = announcing => {}
                changed = failures.changed() => if changed.is_err() { return },
            }
        }
    }

    /// What asks the Key Vault for file keys, for one term.
    fn hsm(&self) -> Option<Arc<Hsm>> {
        let (vault, poll_interval) = (self.key_vault.as_ref()?, self.store.poll_interval()?);
        let (index, queue) = (self.index.clone(), self.queue.clone());
        Hsm::new(vault, poll_interval, index, queue, self.metrics.clone()).map(Arc::new)
    }

    fn teller(&self, leadership: &Leadership) -> Teller {
        Teller {
            client: self.client.clone(),
            index: self.index.clone(),
            leadership: leadership.clone(),
            events: self.events.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// Waits for what a pass needs to be cheap: all objects, the keys, and which the Key Vault has. A cluster that gets no key at all is not
    /// waited for for ever: its objects have to say so.
    async fn knows_enough(&self, hsm: Option<&Hsm>) {
        while !self.synced.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut keys = self.store.subscribe();
        // The sender is ours, so this does not fail.
        let _ = keys.wait_for(|held| held.loaded).await;
        let has_any = |held: &Held| !held.keyring.is_empty() || !held.waiting.is_empty();
        let _ = tokio::time::timeout(FIRST_KEY, keys.wait_for(has_any)).await;
        if let Some(hsm) = hsm {
            hsm.ready().await;
        }
    }

    fn start_workers(
        &self,
        workers: &mut JoinSet<()>,
        hsm: Option<&Arc<Hsm>>,
        publisher_key: &PublisherKey,
        leadership: &Leadership,
        stopped: &watch::Receiver<bool>,
    ) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let reconciler = Arc::new(Reconciler {
            client: self.client.clone(),
            index: self.index.clone(),
            keys: self.store.subscribe(),
            hsm: hsm.cloned(),
            marker_key: MarkerKey::of(publisher_key),
            policy: self.config.policy.clone(),
            deletion_policy: self.config.deletion_policy,
            teller: self.teller(leadership),
            metrics: self.metrics.clone(),
            crypto: Arc::new(Semaphore::new(cores)),
        });
        for _ in 0..self.config.workers {
            let (reconciler, queue, mut stopped) = (reconciler.clone(), self.queue.clone(), stopped.clone());
            workers.spawn(async move {
                loop {
                    let work = tokio::select! {
                        biased;
                        _ = stopped.wait_for(|stop| *stop) => return,
                        work = queue.take() => work,
                    };
                    let next = reconciler.pass(work.key()).await;
                    work.end(next);
                }
            });
        }
    }

    fn enqueue_all(&self) {
        let keys: Vec<_> = self.index.lock().keys().cloned().collect();
        keys.into_iter().for_each(|key| self.queue.add(key, Priority::Resync));
    }

    fn watches(&self) -> Watches {
        Watches {
            client: self.client.clone(),
            index: self.index.clone(),
            queue: self.queue.clone(),
            deletion_policy: self.config.deletion_policy,
        }
    }

    async fn measure(&self) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let mut dropped_before = false;
        loop {
            let (counts, dropped) = {
                let index = self.index.lock();
                (index.counts(), index.marker_dropped())
            };
            if dropped && !dropped_before {
                tracing::warn!(
                    "the CustomResourceDefinition of SealedSecrets is an older one and drops status.marker: all works, \
                     but each start opens everything again; apply the one of this release"
                );
            }
            dropped_before = dropped;
            self.metrics.marker_dropped.set(i64::from(dropped));
            self.metrics.objects.set(gauge(counts.objects));
            self.metrics.objects_synced.set(gauge(counts.synced));
            self.metrics.secrets_on_deletion(DeletionPolicy::Delete, gauge(counts.collected));
            self.metrics.secrets_on_deletion(DeletionPolicy::Retain, gauge(counts.retained));
            self.metrics.queue.set(gauge(self.queue.len()));
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    // Where the kernel has no IPv6, all addresses are those of IPv4.
    let bound = match TcpListener::bind(address).await {
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|source| AppError::Listen { address, source })
}

/// The controller cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AppError {
    /// A port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Something that runs for ever ended.
    #[error("a task that runs for ever ended (panicked: {panicked})")]
    TaskEnded {
        /// Whether by a panic.
        panicked: bool,
    },
}

const DRAIN: Duration = Duration::from_secs(10);
/// Time for the first key of a new cluster to be made.
const FIRST_KEY: Duration = Duration::from_secs(20);
