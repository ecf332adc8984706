//! Who waits for which file keys: plain state, without waiting or calling. `now` is a parameter.

use super::budget::Budget;
use super::cache::{Cache, StanzaId};
use super::lines::Lines;
use super::versions::{Version, Versions};
use super::{Answer, Owner, Seen, Settings};
use crate::custody::{Failure, FailureKind, back_off};
use crate::key_vault::VersionId;
use privyseal_envelope::age::{FileKey, VaultStanza};
use privyseal_envelope::{Fingerprint, KeyId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Calls under way at once.
const AT_ONCE: usize = 32;
/// How many stanzas of one object may be tried.
const MOST_STANZAS: usize = 2048;
/// How many stanzas are remembered that the vault did not open.
const MOST_REFUSED: usize = 10_000;
const REFUSED_FOR: Duration = Duration::from_secs(3600);
/// File keys that nobody came for, or whose object goes on failing, are held for so long.
const HELD_FOR: Duration = Duration::from_secs(600);
/// A vault that answers within this time is worth waiting for in place.
pub(super) const QUICK: Duration = Duration::from_millis(250);
/// Who asks for more at once does not wait in place.
const FEW: usize = 8;
/// A stanza that failed so often has others go first.
const STUBBORN: u32 = 3;
/// So many failures in a row are told; one alone heals before anybody has read of it.
const TOLD: u32 = 2;

/// What is to be called.
pub(super) struct Call {
    pub(super) id: StanzaId,
    pub(super) version: VersionId,
    pub(super) wrapped: Vec<u8>,
    pub(super) owners: Vec<Owner>,
}

/// What to do next.
pub(super) enum Step {
    Call(Call),
    /// Nothing before that time, or before something happens.
    Rest(Option<Instant>),
}

/// What others are to be told, when nothing is locked any more.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) again: BTreeSet<Owner>,
    pub(super) all_again: bool,
    pub(super) seen: Vec<Seen>,
    pub(super) warning: Option<String>,
}

pub(super) struct State {
    settings: Settings,
    pub(super) versions: Versions,
    /// Why the versions are not known.
    poll_failure: Option<Failure>,
    cache: Cache<FileKey>,
    refused: Cache<Failure>,
    jobs: HashMap<StanzaId, Job>,
    orders: HashMap<Owner, Order>,
    lines: Lines,
    later: BTreeMap<(Instant, u64), StanzaId>,
    sequence: u64,
    budget: Budget,
    under_way: usize,
    trouble: Trouble,
    /// Whether the latest answer took its time.
    slow: bool,
}

/// A stanza that is to be unwrapped, once for all who want it.
struct Job {
    stanza: VaultStanza,
    version: VersionId,
    /// In whose line it stands.
    namespace: String,
    owners: BTreeSet<Owner>,
    place: Place,
    failures: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Line,
    Later(Instant, u64),
    Called,
}

/// What one object asked for.
struct Order {
    since: Instant,
    /// A stanza for each value.
    wanted: Vec<StanzaId>,
    /// What is there of it.
    there: HashMap<StanzaId, FileKey>,
    /// Since when all is there.
    ready: Option<Instant>,
}

impl Order {
    fn lacks(&self) -> usize {
        self.wanted.iter().filter(|id| !self.there.contains_key(id)).count()
    }

    /// Whether all is there, and was not before.
    fn check_ready(&mut self, now: Instant, effects: &mut Effects) -> bool {
        let is_news = self.ready.is_none() && self.lacks() == 0;
        if is_news {
            self.ready = Some(now);
            effects.seen.push(Seen::Waited(now - self.since));
        }
        is_news
    }
}

/// That the vault fails.
#[derive(Default)]
struct Trouble {
    in_a_row: u32,
    since: Option<Instant>,
    until: Option<Instant>,
    latest: Option<Failure>,
}

impl Trouble {
    fn told(&self) -> Option<&Failure> {
        self.latest.as_ref().filter(|_| self.in_a_row >= TOLD)
    }
}

impl State {
    pub(super) fn new(settings: Settings, versions: Versions) -> Self {
        Self {
            settings,
            versions,
            poll_failure: None,
            cache: Cache::new(settings.cache, settings.cache_ttl),
            refused: Cache::new(MOST_REFUSED, REFUSED_FOR),
            jobs: HashMap::new(),
            orders: HashMap::new(),
            lines: Lines::default(),
            later: BTreeMap::new(),
            sequence: 0,
            budget: Budget::default(),
            under_way: 0,
            trouble: Trouble::default(),
            slow: false,
        }
    }

    /// Whether the versions are known, or why they are not.
    pub(super) fn has_asked(&self) -> bool {
        self.versions.are_known() || self.poll_failure.is_some()
    }

    /// An object wants file keys: for each value one of its stanzas. What it wanted before is forgotten.
    pub(super) fn ask(
        &mut self,
        owner: &Owner,
        values: &[Vec<VaultStanza>],
        now: Instant,
        effects: &mut Effects,
    ) -> Answer {
        if values.iter().map(Vec::len).sum::<usize>() > MOST_STANZAS {
            self.done(owner);
            return Answer::TooMany;
        }
        if !self.versions.are_known() {
            return Answer::Waiting { values: values.len(), trouble: self.poll_failure.clone() };
        }
        let mut chosen = Vec::with_capacity(values.len());
        let mut refused = Vec::new();
        for (at, stanzas) in values.iter().enumerate() {
            match self.choose(stanzas, now) {
                Ok(choice) => chosen.push(choice),
                Err(failure) => refused.push((at, failure)),
            }
        }
        // One value that does not open fails the object: the others need not be paid for.
        if !refused.is_empty() {
            self.done(owner);
            return Answer::Refused(refused);
        }
        let trouble = self.trouble.told().cloned();
        let order = self.order(owner, &chosen, now, effects);
        match order.lacks() {
            0 => Answer::Ready(
                chosen
                    .into_iter()
                    .filter_map(|(id, stanza, _)| Some((stanza.clone(), order.there.get(&id)?.clone())))
                    .collect(),
            ),
            values => Answer::Waiting { values, trouble },
        }
    }

    /// The first stanza of a value that may open it.
    fn choose<'s>(
        &mut self,
        stanzas: &'s [VaultStanza],
        now: Instant,
    ) -> Result<(StanzaId, &'s VaultStanza, VersionId), Failure> {
        let mut why: Option<Failure> = None;
        for stanza in stanzas {
            let id = StanzaId::of(stanza);
            let failure = match self.versions.opening(&stanza.key) {
                Ok((_, bytes)) if bytes != stanza.wrapped.len() => not_wrapped_for(&stanza.key),
                Ok((version, _)) => match self.refused.get(id, now) {
                    None => return Ok((id, stanza, version.clone())),
                    Some(failure) => failure.clone(),
                },
                Err(failure) => failure,
            };
            // Of a version that may come back more is to be hoped than of a stanza that is none.
            if why.as_ref().is_none_or(|why| why.kind() == FailureKind::Damaged) {
                why = Some(failure);
            }
        }
        Err(why.unwrap_or_else(|| {
            Failure::new(FailureKind::Damaged, "the value is sealed to no key of the Key Vault")
        }))
    }

    fn order(
        &mut self,
        owner: &Owner,
        chosen: &[(StanzaId, &VaultStanza, VersionId)],
        now: Instant,
        effects: &mut Effects,
    ) -> &Order {
        let wanted: Vec<StanzaId> = chosen.iter().map(|(id, ..)| *id).collect();
        let mut order = match self.orders.remove(owner) {
            Some(order) => order,
            None => Order { since: now, wanted: Vec::new(), there: HashMap::new(), ready: None },
        };
        let before: BTreeSet<StanzaId> = order.wanted.drain(..).collect();
        let after: BTreeSet<StanzaId> = wanted.iter().copied().collect();
        self.leave(owner, before.difference(&after).copied());
        order.there.retain(|id, _| after.contains(id));
        if after != before {
            order.since = now;
            order.ready = None;
        }
        for (id, stanza, version) in chosen {
            if order.there.contains_key(id) {
                continue;
            }
            if let Some(file_key) = self.cache.get(*id, now) {
                order.there.insert(*id, file_key.clone());
                effects.seen.push(Seen::InCache);
                continue;
            }
            if before.contains(id) && self.jobs.contains_key(id) {
                continue;
            }
            effects.seen.push(Seen::NotInCache);
            match self.jobs.get_mut(id) {
                Some(job) => _ = job.owners.insert(owner.clone()),
                None => {
                    let job = Job {
                        stanza: (*stanza).clone(),
                        version: version.clone(),
                        namespace: owner.namespace.clone(),
                        owners: BTreeSet::from([owner.clone()]),
                        place: Place::Line,
                        failures: 0,
                    };
                    self.lines.push(&owner.namespace, *id);
                    self.jobs.insert(*id, job);
                }
            }
        }
        order.wanted = wanted;
        order.check_ready(now, effects);
        effects.seen.push(Seen::Waiting(self.jobs.len()));
        self.orders.entry(owner.clone()).or_insert(order)
    }

    /// An object needs nothing any more.
    pub(super) fn done(&mut self, owner: &Owner) {
        if let Some(order) = self.orders.remove(owner) {
            self.leave(owner, order.wanted);
        }
    }

    /// One wants these stanzas no longer. What nobody wants, and is not called yet, is not called.
    fn leave(&mut self, owner: &Owner, ids: impl IntoIterator<Item = StanzaId>) {
        let mut unwanted = Vec::new();
        for id in ids {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.owners.remove(owner);
                if job.owners.is_empty() && job.place != Place::Called {
                    unwanted.push(id);
                }
            }
        }
        self.drop_jobs(unwanted);
    }

    fn drop_jobs(&mut self, ids: Vec<StanzaId>) {
        let mut lines = BTreeMap::<String, BTreeSet<StanzaId>>::new();
        for id in ids {
            let Some(job) = self.jobs.remove(&id) else { continue };
            match job.place {
                Place::Line => _ = lines.entry(job.namespace).or_default().insert(id),
                Place::Later(at, sequence) => _ = self.later.remove(&(at, sequence)),
                Place::Called => {}
            }
        }
        lines.iter().for_each(|(namespace, ids)| self.lines.remove(namespace, ids));
    }

    /// Whether what an object waits for will be there in a moment, as far as can be known.
    pub(super) fn is_quick(&mut self, values: usize, now: Instant) -> bool {
        !self.slow
            && self.trouble.in_a_row == 0
            && values <= FEW
            && self.lines.len() + self.under_way <= FEW
            // Those under way have taken theirs.
            && self.budget.left(now) >= self.lines.len()
    }

    /// What to do now.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        self.release_due(now);
        if let Some(until) = self.trouble.until.filter(|until| *until > now) {
            return Step::Rest(Some(until));
        }
        // After a failure one call tries how it is.
        let at_once = if self.trouble.in_a_row == 0 { AT_ONCE } else { 1 };
        if self.under_way >= at_once || self.lines.len() == 0 {
            return Step::Rest(self.later.keys().next().map(|(at, _)| *at));
        }
        if let Err(next) = self.budget.take(now) {
            return Step::Rest(next);
        }
        while let Some(id) = self.lines.pop() {
            // An answer may have come after the job was given up and begun anew.
            let Some(job) = self.jobs.get_mut(&id).filter(|job| job.place == Place::Line) else { continue };
            job.place = Place::Called;
            self.under_way += 1;
            return Step::Call(Call {
                id,
                version: job.version.clone(),
                wrapped: job.stanza.wrapped.clone(),
                owners: job.owners.iter().cloned().collect(),
            });
        }
        self.budget.give_back();
        Step::Rest(self.later.keys().next().map(|(at, _)| *at))
    }

    fn release_due(&mut self, now: Instant) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            let id = entry.remove();
            if let Some(job) = self.jobs.get_mut(&id) {
                job.place = Place::Line;
                self.lines.push(&job.namespace, id);
            }
        }
    }

    /// A call was not made: all who wanted it are gone, unless others came meanwhile.
    pub(super) fn not_called(&mut self, call: &Call) {
        self.under_way -= 1;
        self.budget.give_back();
        if let Some(job) = self.jobs.get_mut(&call.id) {
            job.place = Place::Line;
            self.lines.push_front(&job.namespace, call.id);
        }
        call.owners.iter().for_each(|owner| self.done(owner));
    }

    /// A call ended.
    pub(super) fn called(
        &mut self,
        id: StanzaId,
        result: Result<Zeroizing<Vec<u8>>, Failure>,
        began: Instant,
        now: Instant,
    ) -> Effects {
        let mut effects = Effects::default();
        self.under_way -= 1;
        self.slow = now - began > QUICK;
        let Some(job) = self.jobs.get(&id) else { return effects };
        let key = job.stanza.key;
        let result = result.and_then(|bytes| {
            // Somebody wrapped other bytes for the key.
            FileKey::from_bytes(&bytes).ok_or_else(|| not_wrapped_for(&key))
        });
        match result {
            Ok(file_key) => {
                self.answered(&mut effects);
                self.cache.insert(id, file_key.clone(), now);
                self.deliver(id, &file_key, now, &mut effects);
            }
            Err(failure) => match failure.kind() {
                FailureKind::Damaged => {
                    self.answered(&mut effects);
                    self.refused.insert(id, not_wrapped_for(&key), now);
                    effects.again.extend(self.jobs.remove(&id).into_iter().flat_map(|job| job.owners));
                }
                _ if is_of_the_version(&failure) => {
                    self.answered(&mut effects);
                    self.versions.set_obstacle(&key, &failure);
                    self.cache.clear();
                    self.give_up(&key, &mut effects);
                    effects.all_again = true;
                }
                _ => self.failed(id, failure, began, now, &mut effects),
            },
        }
        effects.seen.push(Seen::Waiting(self.jobs.len()));
        effects
    }

    /// The vault answers, whatever it says.
    fn answered(&mut self, effects: &mut Effects) {
        if self.trouble.told().is_some() {
            self.tell_who_waits(effects);
        }
        self.trouble = Trouble::default();
    }

    fn deliver(&mut self, id: StanzaId, file_key: &FileKey, now: Instant, effects: &mut Effects) {
        let Some(job) = self.jobs.remove(&id) else { return };
        for owner in job.owners {
            let Some(order) = self.orders.get_mut(&owner) else { continue };
            order.there.insert(id, file_key.clone());
            if order.check_ready(now, effects) {
                effects.again.insert(owner);
            }
        }
    }

    /// What waits for a version that does not open is not called.
    fn give_up(&mut self, key: &Fingerprint, effects: &mut Effects) {
        let of_key = |(id, job): (&StanzaId, &Job)| (job.stanza.key == *key).then_some(*id);
        let ids: Vec<_> = self.jobs.iter().filter_map(of_key).collect();
        effects.again.extend(ids.iter().flat_map(|id| self.jobs[id].owners.iter().cloned()));
        self.drop_jobs(ids);
    }

    /// The vault did not answer the question, and may do so later.
    fn failed(
        &mut self,
        id: StanzaId,
        failure: Failure,
        began: Instant,
        now: Instant,
        effects: &mut Effects,
    ) {
        let told_before = self.trouble.told().cloned();
        // Calls that were under way together fail together: that is one failure.
        if self.trouble.since.is_none_or(|since| began >= since) {
            self.trouble.in_a_row += 1;
            self.trouble.since = Some(now);
            let until = now + failure.wait().unwrap_or_else(|| back_off(self.trouble.in_a_row));
            self.trouble.until = Some(self.trouble.until.map_or(until, |before| before.max(until)));
        }
        // The first words for one kind of trouble stay: others would be news to everybody who waits.
        if self.trouble.latest.as_ref().is_none_or(|latest| latest.kind() != failure.kind()) {
            self.trouble.latest = Some(failure);
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.failures += 1;
            if job.owners.is_empty() {
                self.jobs.remove(&id);
            } else if job.failures < STUBBORN {
                job.place = Place::Line;
                self.lines.push_front(&job.namespace, id);
            } else {
                self.sequence += 1;
                let at = (now + back_off(job.failures), self.sequence);
                job.place = Place::Later(at.0, at.1);
                self.later.insert(at, id);
            }
        }
        if self.trouble.told() != told_before.as_ref() {
            self.tell_who_waits(effects);
        }
    }

    fn tell_who_waits(&self, effects: &mut Effects) {
        let waiting = self.orders.iter().filter(|(_, order)| order.lacks() > 0);
        effects.again.extend(waiting.map(|(owner, _)| owner.clone()));
    }

    /// The vault says what versions there are, or not.
    pub(super) fn polled(&mut self, versions: Result<Vec<Version>, Failure>) -> Effects {
        let mut effects = Effects::default();
        let before = self.versions.opening_keys();
        let is_news = match versions {
            Ok(list) => {
                self.poll_failure = None;
                self.versions.set(list)
            }
            Err(failure) if failure.kind() == FailureKind::NotFound => {
                self.poll_failure = None;
                self.versions.set_absent(failure)
            }
            Err(failure) => {
                if self.poll_failure.as_ref() != Some(&failure) {
                    effects.warning =
                        Some(format!("the versions of the HSM key cannot be looked at: {failure}"));
                    // Those that wait for the versions to be known say why.
                    effects.all_again = !self.versions.are_known();
                    self.poll_failure = Some(failure);
                }
                return effects;
            }
        };
        if is_news {
            effects.all_again = true;
            self.refused.clear();
            let after = self.versions.opening_keys();
            // Whoever disables a version means at once.
            if !before.is_subset(&after) {
                self.cache.clear();
            }
            before.difference(&after).for_each(|key| self.give_up(key, &mut effects));
            effects.warning = self.set_budget(&mut effects.seen);
        }
        effects.seen.push(Seen::Versions(self.versions.opening_keys().len()));
        effects
    }

    /// Says what there is to warn of.
    fn set_budget(&mut self, seen: &mut Vec<Seen>) -> Option<String> {
        let half = self.versions.half_of_limit()?;
        let budget = self.settings.budget.unwrap_or(half);
        self.budget.set(budget.min(half));
        seen.push(Seen::Budget(budget.min(half)));
        (budget > half).then(|| {
            format!(
                "--hsm-budget {budget} is more than half of what the vault allows with this key: {half} calls in 10 seconds \
                 are made at most"
            )
        })
    }

    pub(super) fn holds(&self, key: KeyId) -> bool {
        self.versions.hold(key)
    }

    /// Drops what is past its time.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.cache.sweep(now);
        self.refused.sweep(now);
        // One that still waits is called back; one that has its file keys and does not come has lost its object.
        let is_left = |order: &Order| order.ready.is_some_and(|ready| ready + HELD_FOR < now);
        let left: Vec<_> =
            self.orders.iter().filter(|(_, order)| is_left(order)).map(|(owner, _)| owner.clone()).collect();
        left.iter().for_each(|owner| self.done(owner));
    }
}

/// Whether that version alone does not open; the others may.
fn is_of_the_version(failure: &Failure) -> bool {
    matches!(failure.kind(), FailureKind::Disabled | FailureKind::NotFound)
        || failure.code() == Some(super::FORBIDDEN_OPERATION)
}

/// Its words for a stanza that is none.
fn not_wrapped_for(key: &Fingerprint) -> Failure {
    Failure::new(
        FailureKind::Damaged,
        format!("the Key Vault's key with the fingerprint {key} does not unwrap what says that it is for it"),
    )
}
