//! What we know of the cluster without asking: plain state, changed by watch events and by our own writes.
//!
//! Sealed values are dropped before anything gets here: of a SealedSecret its identity, the digest of what it asks
//! for and the gist of its status stay; of a Secret, only metadata of those that a SealedSecret owns.

use crate::marker::{Input, MarkerKey, SecretVersion};
use crate::outcome::{Outcome, Proof};
use crate::ownership::{self, Owner, Tie};
use crate::queue::Key;
use crate::{refresh, status};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::{Fingerprint, KeyId};
use privyseal_manifest::SealedSecret;
use privyseal_manifest::names::DeletionPolicy;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

mod answer;

use answer::Answer;

/// A SealedSecret as the watch told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its uid.
    pub uid: String,
    /// Digest of what it asks for; none if it cannot be decoded.
    pub input: Option<Input>,
    generation: Option<i64>,
    resource_version: String,
    synced: bool,
    /// What its status claims of the last sync.
    claim: Option<Proof>,
    /// Who asks that it be looked at, as far as its status says nothing of that.
    request: Option<Box<str>>,
    deleting: bool,
}

impl Seen {
    /// Of a decoded object, where `default` is the deletion policy of those that have none of their own.
    pub(crate) fn of(object: &SealedSecret, default: DeletionPolicy) -> Self {
        let metadata = &object.metadata;
        let status = object.status.as_ref();
        Self {
            input: Some(Input::of(metadata.annotations.as_ref(), &object.spec, default)),
            synced: status.is_some_and(|status| status::is_synced(status, metadata.generation)),
            claim: status.and_then(|status| {
                Some(Proof {
                    marker: status.marker.clone()?,
                    opened_with: status.opened_with.iter().filter_map(|id| id.parse().ok()).collect(),
                })
            }),
            request: refresh::open_request(metadata, status).map(Into::into),
            ..Self::of_invalid(metadata)
        }
    }

    /// Of an object that does not decode.
    pub(crate) fn of_invalid(metadata: &ObjectMeta) -> Self {
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            input: None,
            generation: metadata.generation,
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            synced: false,
            claim: None,
            request: refresh::requested(metadata).map(Into::into),
            deleting: metadata.deletion_timestamp.is_some(),
        }
    }
}

#[derive(Default)]
struct Entry {
    seen: Option<Seen>,
    /// The last sync of this process: valid before the watch has told us of our own status.
    proven: Option<Proof>,
    /// Our own last status write, until the watch tells of the object again.
    status: Answer<Written>,
    /// Our own last look at the Secret, until the watch tells of that again.
    secret: Answer<OwnedSecret>,
    failed: Option<Failed>,
    retied: Option<Retied>,
    /// The last request that this process handled. A status may not repeat it: an older definition drops the field.
    handled: Option<Box<str>>,
}

impl Entry {
    fn is_asked_for(&self) -> bool {
        let request = self.seen.as_ref().and_then(|seen| seen.request.as_ref());
        request.is_some() && request != self.handled.as_ref()
    }
}

/// A status write of ours.
#[derive(Debug)]
pub(crate) struct Written {
    /// What the write gave.
    pub resource_version: String,
    /// Whether it said `Synced=True`.
    pub synced: bool,
    /// Whether it held a marker.
    pub marked: bool,
}

/// A pass that failed for good: not repeated with the same input and the same keys.
///
/// It is remembered of the object, not of each value: who changes one value of an object has its other, broken ones
/// tried again. To remember digests of broken values would save an honest user some milliseconds for each edit, one
/// private operation for each key, and hold back nobody else: a changed bit makes another value. What one change may
/// cost is bounded by the attempts that an object has, whatever is remembered.
#[derive(Clone)]
struct Failed {
    input: Input,
    keyring: Fingerprint,
    outcome: Outcome,
}

/// How often the tie of a Secret that was ours was changed for one and the same input.
#[derive(Clone, Copy)]
struct Retied {
    input: Option<Input>,
    times: u32,
    at: Instant,
}

const FREE_TIES: u32 = 3;
const LONGEST_TIE: Duration = Duration::from_secs(300);

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Index {
    objects: HashMap<Key, Entry>,
    secrets: HashMap<Key, OwnedSecret>,
    marker_dropped: bool,
}

#[derive(Debug)]
struct OwnedSecret {
    version: SecretVersion,
    owner_uid: String,
    on_deletion: DeletionPolicy,
}

impl OwnedSecret {
    fn of(metadata: &ObjectMeta) -> Option<Self> {
        let Tie { uid, on_deletion } = ownership::tie(metadata)?;
        Some(Self { version: SecretVersion::of(metadata), owner_uid: uid.to_owned(), on_deletion })
    }
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// SealedSecrets.
    pub objects: usize,
    /// Those that say `Synced=True`.
    pub synced: usize,
    /// Secrets that are deleted with their SealedSecret.
    pub collected: usize,
    /// Secrets that stay.
    pub retained: usize,
}

impl Index {
    /// Notes a SealedSecret. Says whether there is something to do.
    pub(crate) fn apply_object(&mut self, key: &Key, seen: Seen) -> bool {
        let entry = self.objects.entry(key.clone()).or_default();
        let written = entry.status.told();
        let is_echo = written.as_ref().map(|written| written.resource_version == seen.resource_version);
        if is_echo == Some(true) && written.is_some_and(|written| written.marked) {
            self.marker_dropped = seen.claim.is_none();
        }
        let same_object = entry.seen.as_ref().is_some_and(|before| before.uid == seen.uid);
        if !same_object {
            *entry = Entry::default();
        }
        let unchanged = entry.seen.as_ref().is_some_and(|before| {
            (before.input, before.generation, before.synced, &before.claim)
                == (seen.input, seen.generation, seen.synced, &seen.claim)
        });
        // Our own status may have taken the place of one that nobody could decode: then there is an input now.
        let same_input = entry.seen.as_ref().is_some_and(|before| before.input == seen.input);
        let deleting = seen.deleting;
        entry.seen = Some(seen);
        let is_old = same_object
            && match is_echo {
                Some(is_echo) => is_echo && same_input,
                None => unchanged,
            };
        !deleting && (!is_old || entry.is_asked_for())
    }

    /// Forgets a SealedSecret.
    pub(crate) fn delete_object(&mut self, key: &Key) {
        self.objects.remove(key);
    }

    /// Notes a Secret's metadata. Says whether a SealedSecret of that name has something to do.
    pub(crate) fn apply_secret(&mut self, key: &Key, metadata: &ObjectMeta) -> bool {
        let version = SecretVersion::of(metadata);
        let entry = self.objects.get_mut(key);
        let has_object = entry.is_some();
        let answered = entry.and_then(|entry| entry.secret.told());
        let newest = answered.as_ref().or_else(|| self.secrets.get(key));
        let known = newest.is_some_and(|secret| secret.version == version);
        match OwnedSecret::of(metadata) {
            Some(secret) => self.secrets.insert(key.clone(), secret),
            None => self.secrets.remove(key),
        };
        !known && has_object
    }

    /// Forgets a Secret. Says whether a SealedSecret of that name has something to do.
    pub(crate) fn delete_secret(&mut self, key: &Key) -> bool {
        self.secrets.remove(key);
        let entry = self.objects.get_mut(key);
        entry.map(|entry| entry.secret.told()).is_some()
    }

    /// Keeps only the objects that a fresh list named.
    pub(crate) fn retain_objects(&mut self, listed: &HashSet<Key>) {
        self.objects.retain(|key, _| listed.contains(key));
    }

    /// Keeps only the Secrets that a fresh list named; gives the SealedSecrets whose Secret is gone.
    pub(crate) fn retain_secrets(&mut self, listed: &HashSet<Key>) -> Vec<Key> {
        let gone: HashSet<Key> = self.secrets.keys().filter(|key| !listed.contains(*key)).cloned().collect();
        self.secrets.retain(|key, _| listed.contains(key));
        let unlisted = self.objects.iter_mut().filter(|(key, _)| !listed.contains(*key));
        // Also those of which nothing but our own write told.
        let gone = unlisted.filter_map(|(key, entry)| {
            (entry.secret.told().is_some() || gone.contains(key)).then(|| key.clone())
        });
        gone.collect()
    }

    /// All objects.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.objects.keys()
    }

    /// How many there are.
    pub(crate) fn counts(&self) -> Counts {
        let synced =
            self.objects.values().filter(|e| e.seen.as_ref().is_some_and(|seen| seen.synced)).count();
        let secrets = self.secrets.values();
        let retained = secrets.filter(|secret| secret.on_deletion == DeletionPolicy::Retain).count();
        let collected = self.secrets.len() - retained;
        Counts { objects: self.objects.len(), synced, collected, retained }
    }

    /// Whether the API server dropped the marker of our last status write: an older CRD does not know the field. All works
    /// without it, but a restart opens everything again.
    pub(crate) fn marker_dropped(&self) -> bool {
        self.marker_dropped
    }

    /// Whether there is a SealedSecret of that name.
    pub(crate) fn has_object(&self, key: &Key) -> bool {
        self.objects.contains_key(key)
    }

    /// Whether an owned Secret of that name is known.
    pub(crate) fn has_secret(&self, key: &Key) -> bool {
        self.secret(key).is_some()
    }

    /// The Secret by the newest that we know.
    fn secret(&self, key: &Key) -> Option<&OwnedSecret> {
        let answered = self.objects.get(key).and_then(|entry| entry.secret.newest());
        answered.or_else(|| self.secrets.get(key))
    }

    /// Notes that a pass begins.
    pub(crate) fn begin(&mut self, key: &Key) {
        if let Some(entry) = self.objects.get_mut(key) {
            entry.secret.begin();
            entry.status.begin();
        }
    }

    /// Whether the watch told something while the pass wrote, so that it has to be made again.
    pub(crate) fn is_overtaken(&self, key: &Key) -> bool {
        let entry = self.objects.get(key);
        entry.is_some_and(|entry| entry.secret.is_overtaken() || entry.status.is_overtaken())
    }

    /// Whether the Secret's tie may be changed now, as far as it was not changed back again and again while the object
    /// asks for the same: who fights about it with us is not answered each time.
    pub(crate) fn may_retie(&mut self, key: &Key, now: Instant) -> bool {
        let Some(entry) = self.objects.get_mut(key) else { return true };
        let input = entry.seen.as_ref().and_then(|seen| seen.input);
        let before = entry.retied.filter(|it| it.input == input && now - it.at < 2 * LONGEST_TIE);
        let times = before.map_or(0, |it| it.times);
        let pause = times
            .checked_sub(FREE_TIES)
            .map_or(Duration::ZERO, |more| LONGEST_TIE.min(Duration::from_secs(1 << more.min(16))));
        if before.is_some_and(|it| now - it.at < pause) {
            return false;
        }
        entry.retied = Some(Retied { input, times: times.saturating_add(1), at: now });
        true
    }

    /// Whether the Secret is the owner's, and tied to it in another way than it asks for.
    pub(crate) fn is_tied_otherwise(&self, key: &Key, owner: &Owner) -> bool {
        self.secret(key).is_some_and(|secret| {
            secret.owner_uid == owner.uid && secret.on_deletion != owner.deletion_policy
        })
    }

    /// Whether all is as it was when we last made the Secret: no private operation is needed to know it.
    pub(crate) fn is_in_sync(
        &self,
        key: &Key,
        marker_key: &MarkerKey,
        holds: impl Fn(KeyId) -> bool,
    ) -> bool {
        let Some(entry) = self.objects.get(key) else { return true };
        let (Some(seen), Some(secret)) = (&entry.seen, self.secret(key)) else { return false };
        let Some(input) = &seen.input else { return false };
        let synced = entry.status.newest().map_or(seen.synced, |written| written.synced);
        if secret.owner_uid != seen.uid || !synced || entry.is_asked_for() {
            return false;
        }
        let proofs = [&entry.proven, &seen.claim];
        proofs.into_iter().flatten().any(|proof| {
            proof.opened_with.iter().all(|id| holds(*id))
                && marker_key.verify(&proof.marker, &seen.uid, input, &secret.version, &proof.opened_with)
        })
    }

    /// The failure to repeat without trying, if neither input nor keys have changed since.
    pub(crate) fn remembered_failure(
        &self,
        key: &Key,
        input: &Input,
        keyring: Fingerprint,
    ) -> Option<Outcome> {
        let failed = self.objects.get(key)?.failed.as_ref()?;
        (failed.input == *input && failed.keyring == keyring).then(|| failed.outcome.clone())
    }

    /// Remembers that opening failed for good.
    pub(crate) fn remember_failure(
        &mut self,
        key: &Key,
        input: Input,
        keyring: Fingerprint,
        outcome: &Outcome,
    ) {
        if let Some(entry) = self.objects.get_mut(key) {
            entry.proven = None;
            entry.failed = Some(Failed { input, keyring, outcome: outcome.clone() });
        }
    }

    /// Notes that we found or made the Secret right, as the API server answered.
    pub(crate) fn prove(&mut self, key: &Key, owner: &Owner, secret: &ObjectMeta, proof: Proof) {
        let Some(entry) = self.objects.get_mut(key) else { return };
        if entry.seen.as_ref().is_none_or(|seen| seen.uid != owner.uid) {
            return;
        }
        entry.failed = None;
        entry.proven = Some(proof);
        self.wrote_secret(key, secret);
    }

    /// Notes what the API server answered of the Secret.
    pub(crate) fn wrote_secret(&mut self, key: &Key, secret: &ObjectMeta) {
        let (Some(entry), Some(secret)) = (self.objects.get_mut(key), OwnedSecret::of(secret)) else {
            return;
        };
        let is_echoed = self.secrets.get(key).is_some_and(|told| told.version == secret.version);
        entry.secret.note(secret, is_echoed);
    }

    /// Whether this process has handled that request already.
    pub(crate) fn has_handled(&self, key: &Key, request: &str) -> bool {
        self.objects.get(key).and_then(|entry| entry.handled.as_deref()) == Some(request)
    }

    /// Notes that a request of that object was handled, and the status says so as far as its definition lets it.
    pub(crate) fn handled(&mut self, key: &Key, uid: Option<&str>, request: &str) {
        let Some(entry) = self.objects.get_mut(key) else { return };
        if entry.seen.as_ref().is_some_and(|seen| Some(seen.uid.as_str()) == uid) {
            entry.handled = Some(request.into());
        }
    }

    /// Notes a status write of ours.
    pub(crate) fn wrote_status(&mut self, key: &Key, written: Written) {
        let Some(entry) = self.objects.get_mut(key) else { return };
        let echo = entry.seen.as_ref().filter(|seen| seen.resource_version == written.resource_version);
        if let Some(echo) = echo
            && written.marked
        {
            self.marker_dropped = echo.claim.is_none();
        }
        entry.status.note(written, echo.is_some());
    }
}

/// The index, shared between watches and passes. No lock is held across an await.
#[derive(Clone, Default)]
pub(crate) struct SharedIndex(Arc<Mutex<Index>>);

impl SharedIndex {
    /// The index, locked.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Index> {
        // No code that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
