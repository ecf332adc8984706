//! One pass over one SealedSecret: look, open, plan, write, tell.
//!
//! ```text
//!   in sync? ──yes──▶ nothing          (marker and metadata; no request, no private operation)
//!      no
//!   GET SealedSecret ──open──▶ Opened ──into_secret──▶ wanted ──policy──▶ plan ──▶ create | replace | keep | refuse
//!                    │    ▲                                                            └──▶ Outcome ──▶ status, event
//!                    ▼    │
//!          Key Vault, for what it alone opens       (a call, or the cache; meanwhile the object waits outside)
//! ```

use crate::api::{self, bounded};
use crate::hsm::{self, FileKeys, Hsm};
use crate::index::SharedIndex;
use crate::keystore::Held;
use crate::marker::{Input, MarkerKey, SecretVersion};
use crate::metrics::{Metrics, SecretWrite};
use crate::outcome::{Class, Outcome, Proof, Reason, shown};
use crate::ownership::{self, Owner, Standing};
use crate::plan::{FIELD_MANAGER, Plan, plan};
use crate::policy::Policy;
use crate::queue::{Key, Next};
use crate::tell::{Stop, Teller};
use crate::{failure, refresh, status};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DeserializeGuard, DynamicObject};
use kube::{Api, Client};
use privyseal_custody::{ApiError, SecretApi};
use privyseal_envelope::{Fingerprint, KeyId};
use privyseal_keys::Keyring;
use privyseal_manifest::names::{self, DeletionPolicy};
use privyseal_manifest::{MAX_DATA_BYTES, SealedSecret, SealedSecretStatus, Secret};
use privyseal_seal::{DEFAULT_ATTEMPTS, OpenError, Opened, open};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// Everything a pass needs.
pub(crate) struct Reconciler {
    /// The API server.
    pub client: Client,
    /// What is known.
    pub index: SharedIndex,
    /// The opening keys.
    pub keys: watch::Receiver<Held>,
    /// The opening key that never leaves its Key Vault, if there is one.
    pub hsm: Option<Arc<Hsm>>,
    /// Makes markers.
    pub marker_key: MarkerKey,
    /// What templates may ask for.
    pub policy: Policy,
    /// What becomes of the Secrets of objects that do not say it.
    pub deletion_policy: DeletionPolicy,
    /// Writes statuses and events.
    pub teller: Teller,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// As many private operations at once as there are cores.
    pub crypto: Arc<Semaphore>,
}

/// There is no Secret to be made now.
enum NotWanted {
    /// It cannot be made.
    Failed(Outcome),
    /// A Key Vault is waited for.
    Awaited(Outcome),
}

impl Reconciler {
    /// One pass. Says what the queue shall do.
    pub(crate) async fn pass(&self, key: &Key) -> Next {
        let held = self.keys.borrow().clone();
        self.index.lock().begin(key);
        if self.index.lock().is_in_sync(key, &self.marker_key, |id| self.holds(&held, id)) {
            self.metrics.passes_in_sync.inc();
            self.forget_file_keys(key);
            return Next::Wait;
        }
        let started = std::time::Instant::now();
        let next = match self.visit(key, &held).await {
            Ok(Next::Wait) if self.index.lock().is_overtaken(key) => Next::Again,
            Ok(next) => next,
            Err(Stop::Silent) => {
                self.forget_file_keys(key);
                Next::Wait
            }
            // Its file keys are held for the next pass.
            Err(Stop::Conflict) => Next::Again,
            Err(Stop::Later) => Next::Retry,
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
        let (metadata, before, mut outcome) = match object {
            Ok(object) if object.metadata.deletion_timestamp.is_some() => return Err(Stop::Silent),
            Ok(object) => {
                let (metadata, before) = (object.metadata.clone(), object.status.clone());
                let outcome = self.outcome(key, object, held).await?;
                if self.is_anothers(key, &before, metadata.generation, &outcome) {
                    self.step_back(key, &metadata);
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
        let not_held = match outcome.proof {
            Some(_) => None,
            None => self.hold_as_it_is(key, &metadata, before.as_ref()).await?,
        };
        if let Some(not_held) = &not_held {
            outcome.message = format!("{}; {not_held}", outcome.message);
        }
        let handled = refresh::requested(&metadata);
        let next = self.teller.tell(key, &metadata, before.as_ref(), &outcome, handled).await?;
        Ok(if not_held.is_none() { next } else { Next::Retry })
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
        let owner = match self.owner(&object.metadata, object.status.as_ref()) {
            Ok(owner) => owner,
            Err(outcome) => return Ok(outcome),
        };
        if held.keyring.is_empty() {
            return Ok(failure::of_waiting(&held.waiting).unwrap_or_else(|| {
                Outcome::failed(Reason::NoKeys, "the controller has no opening key yet")
            }));
        }
        let input = Input::of(object.metadata.annotations.as_ref(), &object.spec, self.deletion_policy);
        let ring = self.hsm.as_ref().map_or_else(|| held.fingerprint(), |hsm| hsm.ring(held));
        let is_asked_for = refresh::open_request(&object.metadata, object.status.as_ref())
            .is_some_and(|request| !self.index.lock().has_handled(key, request));
        if !is_asked_for && let Some(outcome) = self.index.lock().remembered_failure(key, &input, ring) {
            return Ok(outcome);
        }
        let object = Arc::new(object);
        let (secret, opened_with) = match self.wanted(key, &object, held).await? {
            Ok(wanted) => wanted,
            // Nothing of that is for ever: it comes back when there is more to say.
            Err(NotWanted::Awaited(outcome)) => return Ok(outcome),
            Err(NotWanted::Failed(outcome)) => {
                self.forget_file_keys(key);
                // One that waits for a key is tried again when the keys change, like one that is stalled.
                if outcome.reason.class() == Class::Stalled || outcome.reason == Reason::KeyVaultUnavailable {
                    self.index.lock().remember_failure(key, input, ring, &outcome);
                }
                return Ok(outcome);
            }
        };
        let items = secret.data.len();
        let written = match self.write(key, secret, &owner).await? {
            Ok(written) => written,
            Err(outcome) => return Ok(outcome),
        };
        self.forget_file_keys(key);
        let version = SecretVersion::of(&written);
        let marker = self.marker_key.mark(&owner.uid, &input, &version, &opened_with);
        let proof = Proof { marker, opened_with };
        self.index.lock().prove(key, &owner, &written, proof.clone());
        let plural = if items == 1 { "item" } else { "items" };
        let tied = owner.yielding_to(&written);
        if tied != owner {
            self.yielded(key);
        }
        let stays = match tied.deletion_policy {
            DeletionPolicy::Delete => "",
            DeletionPolicy::Retain => "; the Secret stays when this SealedSecret goes",
        };
        Ok(Outcome {
            reason: Reason::Unsealed,
            message: format!("{items} {plural} unsealed{stays}"),
            proof: Some(proof),
        })
    }

    fn owner(&self, object: &ObjectMeta, status: Option<&SealedSecretStatus>) -> Result<Owner, Outcome> {
        let annotations = object.annotations.as_ref();
        let deletion_policy = ownership::deletion_policy(annotations, self.deletion_policy).map_err(|error| {
            let value = annotations.and_then(|all| all.get(names::DELETION_POLICY)).map_or("", String::as_str);
            Outcome::failed(
                Reason::InvalidObject,
                format!(
                    "metadata.annotations: {} is \"{}\", {error}: set it to one of these two, or take it off; the Secret \
                     stays as it is",
                    names::DELETION_POLICY,
                    shown(value),
                ),
            )
        })?;
        Ok(Owner {
            name: object.name.clone().unwrap_or_default(),
            uid: object.uid.clone().unwrap_or_default(),
            deletion_policy,
            yields: annotations.is_none_or(|all| !all.contains_key(names::DELETION_POLICY))
                && self.is_marked_by_another(status),
        })
    }

    /// Sees to it that the Secret of an object that cannot be opened now is deleted or stays with it, as it asks for:
    /// whoever lost a key may want to keep what there is. The values stay as they are. Says why that could not be done.
    async fn hold_as_it_is(
        &self,
        key: &Key,
        object: &ObjectMeta,
        status: Option<&SealedSecretStatus>,
    ) -> Result<Option<String>, Stop> {
        let Ok(owner) = self.owner(object, status) else { return Ok(None) };
        if !self.index.lock().is_tied_otherwise(key, &owner) {
            return Ok(None);
        }
        if owner.yields {
            self.yielded(key);
            return Ok(None);
        }
        let secrets = SecretApi::new(self.client.clone(), &key.namespace);
        let mut secret = match bounded(secrets.get(&key.name)).await {
            Ok(Some(secret)) => secret,
            Ok(None) => return Ok(None),
            Err(error) => return not_held(key, &error),
        };
        if owner.standing(&secret.metadata, &ObjectMeta::default()) != Standing::Ours {
            return Ok(None);
        }
        let before = secret.metadata.clone();
        owner.hold(&mut secret.metadata);
        if secret.metadata == before {
            return Ok(None);
        }
        self.check_retie(key, &owner, &before)?;
        secret.metadata.managed_fields = None;
        self.check_leading()?;
        match bounded(secrets.replace(&secret, FIELD_MANAGER)).await {
            Ok(metadata) => {
                self.metrics.secret_written(SecretWrite::Replace);
                self.index.lock().wrote_secret(key, &metadata);
                Ok(None)
            }
            Err(error) => not_held(key, &error),
        }
    }

    /// Whether it may be changed now what becomes of a Secret that is the owner's.
    fn check_retie(&self, key: &Key, owner: &Owner, secret: &ObjectMeta) -> Result<(), Stop> {
        let tie = ownership::tie(secret).filter(|tie| tie.uid == owner.uid);
        if tie.is_none_or(|tie| tie.on_deletion == owner.deletion_policy)
            || self.index.lock().may_retie(key, Instant::now())
        {
            return Ok(());
        }
        tracing::warn!(
            %key,
            "somebody changes back each time what becomes of the Secret when its SealedSecret goes; it is set right later"
        );
        Err(Stop::Later)
    }

    /// The Secret that the object asks for, checked.
    async fn wanted(
        &self,
        key: &Key,
        object: &Arc<SealedSecret>,
        held: &Held,
    ) -> Result<Result<(Secret, Vec<KeyId>), NotWanted>, Stop> {
        let opened = match self.opened(key, object, held).await? {
            Ok(opened) => opened,
            Err(not_wanted) => return Ok(Err(not_wanted)),
        };
        Ok(self.checked(opened, object).map_err(NotWanted::Failed))
    }

    /// Opens with the keyring, and where that does not do with what the Key Vault unwraps: by the same path both times.
    async fn opened(
        &self,
        key: &Key,
        object: &Arc<SealedSecret>,
        held: &Held,
    ) -> Result<Result<Opened, NotWanted>, Stop> {
        let mut opened = self.open(object.clone(), held.keyring.clone()).await?;
        if let (Some(hsm), Err(error)) = (&self.hsm, &opened) {
            match hsm.file_keys(key, hsm::sought(object, error)).await {
                FileKeys::None => {}
                FileKeys::There(file_keys) => {
                    let keyring = Keyring::clone(&held.keyring).with_unwrapped(file_keys);
                    opened = self.open(object.clone(), Arc::new(keyring)).await?;
                }
                FileKeys::Awaited(outcome) => return Ok(Err(NotWanted::Awaited(outcome))),
                FileKeys::Refused(outcome) => return Ok(Err(NotWanted::Failed(outcome))),
            }
        }
        Ok(opened.map_err(|error| {
            let outcome = failure::of_open(&error, &object.metadata);
            let waited_for = failure::of_waiting(&held.waiting);
            NotWanted::Failed(match outcome.reason.may_lack_a_key() {
                true => waited_for.unwrap_or(outcome),
                false => outcome,
            })
        }))
    }

    fn checked(&self, opened: Opened, object: &SealedSecret) -> Result<(Secret, Vec<KeyId>), Outcome> {
        let mut opened_with: Vec<KeyId> = opened.keys().iter().map(Fingerprint::key_id).collect();
        opened_with.sort_unstable();
        let secret = match opened.into_secret(object) {
            Ok(secret) => secret,
            Err(error) => return Err(failure::of_template(error)),
        };
        if let Err(message) = self.policy.check(&secret) {
            return Err(Outcome::failed(Reason::Refused, message));
        }
        if secret.data_len() > MAX_DATA_BYTES {
            return Err(Outcome::failed(
                Reason::TargetInvalid,
                format!("the values are larger together than the {MAX_DATA_BYTES} bytes that a Secret holds"),
            ));
        }
        Ok((secret, opened_with))
    }

    /// Opens off the async threads, as many at once as there are cores.
    async fn open(
        &self,
        object: Arc<SealedSecret>,
        keyring: Arc<Keyring>,
    ) -> Result<Result<Opened, OpenError>, Stop> {
        let permit = self.crypto.clone().acquire_owned().await.map_err(|_| Stop::Silent)?;
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

    /// Makes the Secret right, and gives its metadata as the API server answered it. The first write is a create: only
    /// if the API server knows a Secret of that name is it read and judged.
    async fn write(
        &self,
        key: &Key,
        secret: Secret,
        owner: &Owner,
    ) -> Result<Result<ObjectMeta, Outcome>, Stop> {
        let secrets = SecretApi::new(self.client.clone(), &key.namespace);
        let known = self.index.lock().has_secret(key);
        if !known {
            let Plan::Create(new) = plan(secret.clone(), owner, None) else { return Err(Stop::Silent) };
            self.check_leading()?;
            match bounded(secrets.create(&new, FIELD_MANAGER)).await {
                Ok(metadata) => {
                    self.metrics.secret_written(SecretWrite::Create);
                    return Ok(Ok(metadata));
                }
                Err(error) if failure::is_already_exists(&error) => {}
                Err(error) => return self.failed(&error),
            }
        }
        let existing = match bounded(secrets.get(&key.name)).await {
            Ok(existing) => existing,
            Err(error) => return self.failed(&error),
        };
        let (written, write) = match plan(secret, owner, existing.as_ref()) {
            Plan::Keep(metadata) => return Ok(Ok(*metadata)),
            Plan::Refuse(outcome) => return Ok(Err(outcome)),
            // It went away since the watch told of it.
            Plan::Create(new) => {
                self.check_leading()?;
                (bounded(secrets.create(&new, FIELD_MANAGER)).await, SecretWrite::Create)
            }
            Plan::Replace(new) => {
                if let Some(existing) = &existing {
                    self.check_retie(key, &owner.yielding_to(&existing.metadata), &existing.metadata)?;
                }
                self.check_leading()?;
                (bounded(secrets.replace(&new, FIELD_MANAGER)).await, SecretWrite::Replace)
            }
        };
        match written {
            Ok(metadata) => {
                self.metrics.secret_written(write);
                Ok(Ok(metadata))
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed<T>(&self, error: &ApiError) -> Result<Result<T, Outcome>, Stop> {
        if failure::is_conflict(error) {
            return Err(Stop::Conflict);
        }
        Ok(Err(failure::of_secret_write(error)))
    }

    fn holds(&self, held: &Held, key: KeyId) -> bool {
        held.holds(key) || self.hsm.as_ref().is_some_and(|hsm| hsm.holds(key))
    }

    fn forget_file_keys(&self, key: &Key) {
        if let Some(hsm) = &self.hsm {
            hsm.done(key);
        }
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
            && before.as_ref().is_some_and(|status| status::is_synced(status, generation))
            && self.is_marked_by_another(before.as_ref())
    }

    fn is_marked_by_another(&self, status: Option<&SealedSecretStatus>) -> bool {
        let marker = status.and_then(|status| status.marker.as_deref());
        marker.is_some_and(|marker| self.marker_key.is_of_another_controller(marker))
    }

    /// Notes that another default than ours holds.
    fn yielded(&self, key: &Key) {
        self.metrics.foreign_objects.inc();
        tracing::warn!(
            %key,
            "another controller opened this SealedSecret too, and has another default deletion policy than we: the Secret \
             stays as it is; two controllers watch the same namespaces, or the other one is gone, and our default holds \
             once somebody asks that the object be looked at anew"
        );
    }

    fn step_back(&self, key: &Key, object: &ObjectMeta) {
        self.metrics.foreign_objects.inc();
        // Whoever opens it answers it.
        if let Some(request) = refresh::requested(object) {
            self.index.lock().handled(key, object.uid.as_deref(), request);
        }
        tracing::warn!(
            %key,
            "another controller opened this SealedSecret and we cannot: two controllers watch the same namespaces"
        );
    }
}

fn not_held(key: &Key, error: &ApiError) -> Result<Option<String>, Stop> {
    if failure::is_conflict(error) {
        return Err(Stop::Conflict);
    }
    let error = api::brief_secret(error);
    tracing::warn!(%key, %error, "what becomes of the Secret could not be changed");
    Ok(Some(format!(
        "what becomes of the Secret when this SealedSecret goes could not be changed ({error}), and is tried again"
    )))
}
