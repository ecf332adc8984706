//! Telling what came of a pass: status and event, if they say something new.

use crate::api;
use crate::events::Events;
use crate::index::{SharedIndex, Written};
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::outcome::{Class, Outcome, Reason};
use crate::queue::{Key, Next};
use crate::status;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, Resource as _};
use privyseal_manifest::{SealedSecret, SealedSecretStatus};
use std::sync::Arc;

/// Writes statuses and events, as long as we lead.
#[derive(Clone)]
pub(crate) struct Teller {
    /// The API server.
    pub client: Client,
    /// What is known.
    pub index: SharedIndex,
    /// Whether we may write.
    pub leadership: Leadership,
    /// For what changed.
    pub events: Events,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// Why a pass ends without an outcome.
pub(crate) enum Stop {
    /// The object is gone, or we may not write: nothing to say.
    Silent,
    /// Somebody else wrote at the same moment.
    Conflict,
    /// It is to be done later.
    Later,
}

impl Teller {
    pub(crate) fn check_leading(&self) -> Result<(), Stop> {
        if self.leadership.is_held() { Ok(()) } else { Err(Stop::Silent) }
    }

    /// Writes status and event, if they say something new. Says what the queue shall do. `handled` is the request that the
    /// pass answers.
    pub(crate) async fn tell(
        &self,
        key: &Key,
        object: &ObjectMeta,
        before: Option<&SealedSecretStatus>,
        outcome: &Outcome,
        handled: Option<&str>,
    ) -> Result<Next, Stop> {
        let next = match outcome.reason.class() {
            Class::Done | Class::Stalled => Next::Wait,
            // Whoever asks the vault asks it again, and brings back what waits for its answer.
            Class::Retry
                if matches!(outcome.reason, Reason::KeyVaultUnavailable | Reason::KeyVaultQueued) =>
            {
                Next::Wait
            }
            Class::Retry => Next::Retry,
        };
        let status = status::next(before, outcome, object.generation, handled, Timestamp::now());
        let Some(status) = status else {
            self.handled(key, object, handled);
            return Ok(next);
        };
        self.check_leading()?;
        match api::write_status(&self.client, object, &status).await {
            Ok(written) => {
                self.metrics.status_writes.inc();
                let written = Written {
                    resource_version: written.resource_version.unwrap_or_default(),
                    synced: outcome.reason.class() == Class::Done,
                    marked: status.marker.is_some(),
                };
                self.index.lock().wrote_status(key, written);
                self.handled(key, object, handled);
            }
            Err(kube::Error::Api(error)) if error.code == 409 => return Err(Stop::Conflict),
            Err(kube::Error::Api(error)) if error.code == 404 => return Err(Stop::Silent),
            Err(error) => {
                tracing::warn!(%key, error = %api::brief(&error), "cannot write the status");
                return Ok(Next::Retry);
            }
        }
        if status::is_news(before, &status) {
            tracing::info!(%key, reason = outcome.reason.as_str(), "{}", outcome.message);
            self.events.state_changed(&reference(object), outcome).await;
        }
        Ok(next)
    }

    fn handled(&self, key: &Key, object: &ObjectMeta, handled: Option<&str>) {
        if let Some(request) = handled {
            self.index.lock().handled(key, object.uid.as_deref(), request);
        }
    }
}

fn reference(object: &ObjectMeta) -> k8s_openapi::api::core::v1::ObjectReference {
    let mut sealed = SealedSecret::new("", privyseal_manifest::SealedSecretSpec::default());
    sealed.metadata = object.clone();
    sealed.object_ref(&())
}
