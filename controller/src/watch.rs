//! The two watches that feed the index: SealedSecrets whole, but dropped at once for their digest; Secrets as metadata.
//!
//! Lists come in small pages, so that memory does not follow the largest list. The Secrets' watch begins when the
//! first list of SealedSecrets is complete: before that nobody could say which Secrets matter.

use crate::api;
use crate::index::{Seen, SharedIndex};
use crate::queue::{Key, Priority, Queue};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PartialObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Config, DefaultBackoff, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource as _};
use privyseal_manifest::SealedSecret;
use privyseal_manifest::names::DeletionPolicy;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Feeds the index and the queue.
pub(crate) struct Watches {
    /// The API server.
    pub client: Client,
    /// What is known.
    pub index: SharedIndex,
    /// What is to be done.
    pub queue: Arc<Queue>,
    /// What becomes of the Secrets of objects that do not say it.
    pub deletion_policy: DeletionPolicy,
}

impl Watches {
    /// Runs for ever; calls `listed` after the first complete list.
    pub(crate) async fn sealed_secrets(&self, listed: impl Fn()) {
        let api = Api::<DeserializeGuard<SealedSecret>>::all(self.client.clone());
        let config = Config::default().page_size(SEALED_SECRETS_PAGE);
        let mut events = std::pin::pin!(watcher(api, config).backoff(Pauses::default()));
        let mut fresh = HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => fresh.clear(),
                Ok(Event::InitApply(object)) => {
                    let key = key_of(object.meta());
                    self.object(&key, object, Priority::Resync);
                    fresh.insert(key);
                }
                Ok(Event::InitDone) => {
                    self.index.lock().retain_objects(&fresh);
                    fresh = HashSet::new();
                    listed();
                }
                Ok(Event::Apply(object)) => {
                    let key = key_of(object.meta());
                    self.object(&key, object, Priority::Change);
                }
                Ok(Event::Delete(object)) => {
                    let key = key_of(object.meta());
                    self.index.lock().delete_object(&key);
                    self.queue.forget(&key);
                }
                Err(error) => {
                    if is_not_defined(&error) {
                        tracing::warn!(
                            "there is no CustomResourceDefinition sealedsecrets.bitnami.com; it is looked for again"
                        );
                    } else {
                        tracing::warn!(error = %watch_error(&error), "the watch of SealedSecrets was interrupted");
                    }
                }
            }
        }
    }

    /// Runs for ever; calls `listed` after the first complete list.
    pub(crate) async fn secrets(&self, listed: impl Fn()) {
        let api = Api::<PartialObjectMeta<Secret>>::all(self.client.clone());
        let config = Config::default().page_size(SECRETS_PAGE);
        let mut events = std::pin::pin!(watcher(api, config).backoff(Pauses::default()));
        let mut fresh = HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => fresh.clear(),
                Ok(Event::InitApply(secret)) => {
                    let key = key_of(&secret.metadata);
                    self.secret(&key, &secret.metadata, Priority::Resync);
                    if self.index.lock().has_secret(&key) {
                        fresh.insert(key);
                    }
                }
                Ok(Event::InitDone) => {
                    let gone = self.index.lock().retain_secrets(&fresh);
                    fresh = HashSet::new();
                    gone.into_iter().for_each(|key| self.queue.add(key, Priority::Change));
                    listed();
                }
                Ok(Event::Apply(secret)) => {
                    self.secret(&key_of(&secret.metadata), &secret.metadata, Priority::Change);
                }
                Ok(Event::Delete(secret)) => {
                    let key = key_of(&secret.metadata);
                    if self.index.lock().delete_secret(&key) {
                        self.queue.add(key, Priority::Change);
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %watch_error(&error), "the watch of Secrets was interrupted");
                }
            }
        }
    }

    fn object(&self, key: &Key, object: DeserializeGuard<SealedSecret>, priority: Priority) {
        let seen = match object.0 {
            Ok(object) => Seen::of(&object, self.deletion_policy),
            Err(invalid) => Seen::of_invalid(&invalid.metadata),
        };
        if self.index.lock().apply_object(key, seen) {
            self.queue.add(key.clone(), priority);
        }
    }

    fn secret(&self, key: &Key, metadata: &ObjectMeta, priority: Priority) {
        if self.index.lock().apply_secret(key, metadata) {
            self.queue.add(key.clone(), priority);
        }
    }
}

/// That something changed which is looked at anew each time: whoever changed it, and however.
pub(crate) fn changes<K: Send>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    what: &'static str,
) -> impl Stream<Item = ()> + Send {
    events.filter_map(move |event| {
        std::future::ready(match event {
            Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone) => Some(()),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(error = %watch_error(&error), "the watch of the {what} was interrupted");
                None
            }
        })
    })
}

fn key_of(metadata: &ObjectMeta) -> Key {
    Key {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

/// Whether the API server does not know the kind that is watched.
fn is_not_defined(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}

/// Pauses after errors: as others make them, but none so long that somebody waits for a definition that is back.
#[derive(Default)]
struct Pauses(DefaultBackoff);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(LONGEST_PAUSE))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0.reset();
    }
}

const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const SEALED_SECRETS_PAGE: u32 = 50;
const SECRETS_PAGE: u32 = 500;

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
