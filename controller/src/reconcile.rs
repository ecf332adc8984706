//! One pass over one SealedSecret: look, open, plan, write, tell.
//!
//! ```text
//!   in sync? ──yes──▶ nothing          (marker and metadata; no request, no private operation)
//!      no
//!   GET SealedSecret ──open──▶ Opened ──into_secret──▶ wanted ──policy──▶ plan ──▶ create | replace | keep | refuse
//!                                                                                      └──▶ Outcome ──▶ status, event
//! ```

use crate::api::{self, bounded};
use crate::index::SharedIndex;
use crate::keystore::Held;
use crate::marker::{Input, MarkerKey, SecretVersion};
use crate::metrics::{Metrics, SecretWrite};
use crate::outcome::{Class, Outcome, Proof, Reason};
use crate::plan::{FIELD_MANAGER, Owner, Plan, plan};
use crate::policy::Policy;
use crate::queue::{Key, Next};
use crate::tell::{Stop, Teller};
use crate::{failure, status};
use kube::core::{ApiResource, DeserializeGuard, DynamicObject};
use kube::{Api, Client};
use privyseal_custody::{ApiError, SecretApi};
use privyseal_envelope::{Fingerprint, KeyId};
use privyseal_manifest::{MAX_DATA_BYTES, SealedSecret, SealedSecretStatus, Secret};
use privyseal_seal::{DEFAULT_ATTEMPTS, OpenError, Opened, open};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// Everything a pass needs.
pub(crate) struct Reconciler {
    /// The API server.
    pub client: Client,
    /// What is known.
    pub index: SharedIndex,
    /// The opening keys.
    pub keys: watch::Receiver<Held>,
    /// Makes markers.
    pub marker_key: MarkerKey,
    /// What templates may ask for.
    pub policy: Policy,
    /// Writes statuses and events.
    pub teller: Teller,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// As many private operations at once as there are cores.
    pub crypto: Arc<Semaphore>,
}

impl Reconciler {
    /// One pass. Says what the queue shall do.
    pub(crate) async fn pass(&self, key: &Key) -> Next {
        let held = self.keys.borrow().clone();
        if self.index.lock().is_in_sync(key, &self.marker_key, |id| held.holds(id)) {
            self.metrics.passes_in_sync.inc();
            return Next::Wait;
        }
        let started = std::time::Instant::now();
        let next = match self.visit(key, &held).await {
            Ok(next) => next,
            Err(Stop::Silent) => Next::Wait,
            Err(Stop::Conflict) => Next::Again,
        };
        self.metrics.pass_seconds.observe(started.elapsed().as_secs_f64());
        next
    }

    async fn visit(&self, key: &Key, held: &Held) -> Result<Next, Stop> {
        let api = Api::<DeserializeGuard<SealedSecret>>::namespaced(self.client.clone(), &key.namespace);
        let object = match bounded(api.get_opt(&key.name)).await {
            Ok(Some(DeserializeGuard(object))) => object,
            Ok(None) => return Err(Stop::Silent),
            Err(error) => {
                tracing::warn!(%key, error = %api::brief(&error), "cannot read the SealedSecret");
                return Ok(Next::Retry);
            }
        };
        let (metadata, before, outcome) = match object {
            Ok(object) if object.metadata.deletion_timestamp.is_some() => return Err(Stop::Silent),
            Ok(object) => {
                let (metadata, before) = (object.metadata.clone(), object.status.clone());
                let outcome = self.outcome(key, object, held).await?;
                if self.is_anothers(key, &before, metadata.generation, &outcome) {
                    self.step_back(key).await;
                    return Ok(Next::Wait);
                }
                (metadata, before, outcome)
            }
            // The error's text may repeat what the object holds.
            Err(invalid) => (
                invalid.metadata,
                self.status_of_invalid(key).await,
                Outcome::failed(
                    Reason::InvalidObject,
                    "the object does not decode as a SealedSecret: check its fields' types against the CRD",
                ),
            ),
        };
        self.metrics.pass(outcome.reason);
        tracing::debug!(%key, reason = outcome.reason.as_str(), "pass");
        self.teller.tell(key, &metadata, before.as_ref(), &outcome).await
    }

    /// What the status of an object says whose spec does not decode.
    async fn status_of_invalid(&self, key: &Key) -> Option<SealedSecretStatus> {
        let kind = ApiResource::erase::<SealedSecret>(&());
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &key.namespace, &kind);
        let object = bounded(api.get_opt(&key.name)).await.ok()??;
        serde_json::from_value(object.data.get("status")?.clone()).ok()
    }

    /// Everything but the telling.
    async fn outcome(&self, key: &Key, object: SealedSecret, held: &Held) -> Result<Outcome, Stop> {
        if held.keyring.is_empty() {
            return Ok(failure::of_waiting(&held.waiting).unwrap_or_else(|| {
                Outcome::failed(Reason::NoKeys, "the controller has no opening key yet")
            }));
        }
        let input = Input::of(object.metadata.annotations.as_ref(), &object.spec);
        let ring = held.fingerprint();
        if let Some(outcome) = self.index.lock().remembered_failure(key, &input, ring) {
            return Ok(outcome);
        }
        let object = Arc::new(object);
        let (secret, opened_with) = match self.wanted(&object, held).await? {
            Ok(wanted) => wanted,
            Err(outcome) => {
                // One that waits for a key is tried again when the keys change, like one that is stalled.
                if outcome.reason.class() == Class::Stalled || outcome.reason == Reason::KeyVaultUnavailable {
                    self.index.lock().remember_failure(key, input, ring, &outcome);
                }
                return Ok(outcome);
            }
        };
        let owner = Owner {
            name: object.metadata.name.clone().unwrap_or_default(),
            uid: object.metadata.uid.clone().unwrap_or_default(),
        };
        let items = secret.data.len();
        let version = match self.write(key, secret, &owner).await? {
            Ok(version) => version,
            Err(outcome) => return Ok(outcome),
        };
        let marker = self.marker_key.mark(&owner.uid, &input, &version, &opened_with);
        let proof = Proof { marker, opened_with };
        self.index.lock().prove(key, &owner.uid, version, proof.clone());
        let plural = if items == 1 { "item" } else { "items" };
        Ok(Outcome {
            reason: Reason::Unsealed,
            message: format!("{items} {plural} unsealed"),
            proof: Some(proof),
        })
    }

    /// The Secret that the object asks for, checked.
    async fn wanted(
        &self,
        object: &Arc<SealedSecret>,
        held: &Held,
    ) -> Result<Result<(Secret, Vec<KeyId>), Outcome>, Stop> {
        let opened = match self.open(object.clone(), held).await? {
            Ok(opened) => opened,
            Err(error) => {
                let outcome = failure::of_open(&error, &object.metadata);
                let waited_for = failure::of_waiting(&held.waiting);
                return Ok(Err(match outcome.reason.may_lack_a_key() {
                    true => waited_for.unwrap_or(outcome),
                    false => outcome,
                }));
            }
        };
        let mut opened_with: Vec<KeyId> = opened.keys().iter().map(Fingerprint::key_id).collect();
        opened_with.sort_unstable();
        let secret = match opened.into_secret(object) {
            Ok(secret) => secret,
            Err(error) => return Ok(Err(failure::of_template(error))),
        };
        if let Err(message) = self.policy.check(&secret) {
            return Ok(Err(Outcome::failed(Reason::Refused, message)));
        }
        if secret.data_len() > MAX_DATA_BYTES {
            return Ok(Err(Outcome::failed(
                Reason::TargetInvalid,
                format!("the values are larger together than the {MAX_DATA_BYTES} bytes that a Secret holds"),
            )));
        }
        Ok(Ok((secret, opened_with)))
    }

    /// Opens off the async threads, as many at once as there are cores.
    async fn open(&self, object: Arc<SealedSecret>, held: &Held) -> Result<Result<Opened, OpenError>, Stop> {
        let permit = self.crypto.clone().acquire_owned().await.map_err(|_| Stop::Silent)?;
        let keyring = held.keyring.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let opened = open(&object, &keyring, DEFAULT_ATTEMPTS);
            drop(permit);
            opened
        });
        let opened = opened.await.map_err(|_| Stop::Silent)?;
        self.metrics.private_operations.inc_by(match &opened {
            Ok(opened) => opened.private_operations as u64,
            Err(OpenError::Items { private_operations, .. }) => *private_operations as u64,
            Err(_) => 0,
        });
        Ok(opened)
    }

    /// Makes the Secret right. The first write is a create: only if the API server knows a Secret of that name is it
    /// read and judged.
    async fn write(
        &self,
        key: &Key,
        secret: Secret,
        owner: &Owner,
    ) -> Result<Result<SecretVersion, Outcome>, Stop> {
        let secrets = SecretApi::new(self.client.clone(), &key.namespace);
        let known = self.index.lock().has_secret(key);
        if !known {
            let Plan::Create(new) = plan(secret.clone(), owner, None) else { return Err(Stop::Silent) };
            self.check_leading()?;
            match bounded(secrets.create(&new, FIELD_MANAGER)).await {
                Ok(metadata) => {
                    self.metrics.secret_written(SecretWrite::Create);
                    return Ok(Ok(SecretVersion::of(&metadata)));
                }
                Err(error) if failure::is_already_exists(&error) => {}
                Err(error) => return self.failed(&error),
            }
        }
        let existing = match bounded(secrets.get(&key.name)).await {
            Ok(existing) => existing,
            Err(error) => return self.failed(&error),
        };
        match plan(secret, owner, existing.as_ref()) {
            Plan::Keep(version) => Ok(Ok(version)),
            Plan::Refuse(outcome) => Ok(Err(outcome)),
            // It went away since the watch told of it: the next pass creates it.
            Plan::Create(_) => {
                self.index.lock().delete_secret(key);
                Err(Stop::Conflict)
            }
            Plan::Replace(new) => {
                self.check_leading()?;
                match bounded(secrets.replace(&new, FIELD_MANAGER)).await {
                    Ok(metadata) => {
                        self.metrics.secret_written(SecretWrite::Replace);
                        Ok(Ok(SecretVersion::of(&metadata)))
                    }
                    Err(error) => self.failed(&error),
                }
            }
        }
    }

    fn failed<T>(&self, error: &ApiError) -> Result<Result<T, Outcome>, Stop> {
        if failure::is_conflict(error) {
            return Err(Stop::Conflict);
        }
        Ok(Err(failure::of_secret_write(error)))
    }

    fn check_leading(&self) -> Result<(), Stop> {
        self.teller.check_leading()
    }

    /// Whether another controller opened what we cannot open: then its word stands, as long as there is a Secret.
    fn is_anothers(
        &self,
        key: &Key,
        before: &Option<SealedSecretStatus>,
        generation: Option<i64>,
        outcome: &Outcome,
    ) -> bool {
        outcome.reason.may_lack_a_key()
            && self.index.lock().has_secret(key)
            && before.as_ref().is_some_and(|status| {
                status::is_synced(status, generation)
                    && status
                        .marker
                        .as_deref()
                        .is_some_and(|marker| self.marker_key.is_of_another_controller(marker))
            })
    }

    async fn step_back(&self, key: &Key) {
        self.metrics.foreign_objects.inc();
        tracing::warn!(
            %key,
            "another controller opened this SealedSecret and we cannot: two controllers watch the same namespaces"
        );
    }
}
