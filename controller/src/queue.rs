//! The work queue: which object is next.
//!
//! Guarantees:
//! - An object is in work at most once; what happens to it meanwhile is remembered and done after.
//! - What changed comes before what a new key or a start brought up; within both, namespaces take turns, so that one
//!   with ten thousand objects does not starve the others.
//! - What may heal is tried again for ever: after 1 s, then twice as long each time up to 5 minutes, each wait spread
//!   by up to a half, so that objects that failed together do not come back together.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// How soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// Looked at again because we started, or because keys changed.
    Resync,
    /// It, or its Secret, changed.
    Change,
}

/// How a pass over an object ended, as far as the queue is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing until it changes.
    Wait,
    /// Again, later each time.
    Retry,
    /// Again, at once the first time: somebody else wrote at the same moment.
    Again,
}

/// An object in work. When it is dropped without a word, as a task that is aborted does, it is put in line again.
pub(crate) struct InWork {
    queue: Arc<Queue>,
    key: Key,
    next: Next,
}

impl InWork {
    /// Which object.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// Ends the pass.
    pub(crate) fn end(mut self, next: Next) {
        self.next = next;
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.queue.done(self.key.clone(), self.next);
    }
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    change: Lane,
    resync: Lane,
    /// Objects in a lane, and in which.
    waiting: HashMap<Key, Priority>,
    working: HashSet<Key>,
    /// Objects in work that must be looked at once more.
    again: HashMap<Key, Priority>,
    delayed: BTreeMap<(Instant, u64), Key>,
    delayed_at: HashMap<Key, (Instant, u64)>,
    failures: HashMap<Key, u32>,
    sequence: u64,
}

#[derive(Default)]
struct Lane {
    turns: VecDeque<String>,
    names: HashMap<String, VecDeque<String>>,
}

impl Queue {
    /// Puts an object in line. One that waits already keeps its place, or moves to the more urgent line.
    pub(crate) fn add(&self, key: Key, priority: Priority) {
        self.lock().add(key, priority);
        self.changed.notify_one();
    }

    /// Forgets an object that is gone.
    pub(crate) fn forget(&self, key: &Key) {
        let mut state = self.lock();
        state.failures.remove(key);
        state.undelay(key);
    }

    /// The next object; waits until there is one.
    pub(crate) async fn take(self: &Arc<Self>) -> InWork {
        let key = self.next().await;
        InWork { queue: self.clone(), key, next: Next::Again }
    }

    async fn next(&self) -> Key {
        loop {
            let changed = self.changed.notified();
            let (key, more, due) = {
                let mut state = self.lock();
                state.release_due(Instant::now());
                let key = state.pop();
                (key, !state.waiting.is_empty(), state.delayed.keys().next().map(|(at, _)| *at))
            };
            if let Some(key) = key {
                if more {
                    // One call wakes one worker: pass it on.
                    self.changed.notify_one();
                }
                return key;
            }
            match due {
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => changed.await,
            }
        }
    }

    fn done(&self, key: Key, next: Next) {
        let mut state = self.lock();
        state.working.remove(&key);
        let again = state.again.remove(&key);
        match next {
            Next::Wait => {
                state.failures.remove(&key);
            }
            Next::Again if !state.failures.contains_key(&key) => {
                state.failures.insert(key.clone(), 0);
                state.add(key.clone(), Priority::Change);
            }
            // What conflicts each time is not a race: somebody refuses it.
            Next::Again if again.is_none() => state.delay(key.clone()),
            Next::Again => {}
            Next::Retry if again.is_none() => state.delay(key.clone()),
            Next::Retry => {}
        }
        if let Some(priority) = again {
            state.add(key, priority);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Objects that wait, the delayed ones included.
    pub(crate) fn len(&self) -> usize {
        let state = self.lock();
        state.waiting.len() + state.delayed.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, key: Key, priority: Priority) {
        if self.working.contains(&key) {
            let entry = self.again.entry(key).or_insert(priority);
            *entry = priority.max(*entry);
            return;
        }
        self.undelay(&key);
        match self.waiting.entry(key.clone()) {
            Entry::Occupied(mut entry) if *entry.get() < priority => {
                entry.insert(priority);
                self.lane(Priority::Resync).remove(&key);
            }
            Entry::Occupied(_) => return,
            Entry::Vacant(entry) => {
                entry.insert(priority);
            }
        }
        self.lane(priority).push(key);
    }

    fn pop(&mut self) -> Option<Key> {
        let key = self.change.pop().or_else(|| self.resync.pop())?;
        self.waiting.remove(&key);
        self.working.insert(key.clone());
        Some(key)
    }

    fn lane(&mut self, priority: Priority) -> &mut Lane {
        match priority {
            Priority::Change => &mut self.change,
            Priority::Resync => &mut self.resync,
        }
    }

    fn delay(&mut self, key: Key) {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let wait = backoff(*failures);
        *failures = failures.saturating_add(1);
        self.sequence += 1;
        let at = (Instant::now() + wait, self.sequence);
        self.delayed.insert(at, key.clone());
        self.delayed_at.insert(key, at);
    }

    fn undelay(&mut self, key: &Key) {
        if let Some(at) = self.delayed_at.remove(key) {
            self.delayed.remove(&at);
        }
    }

    fn release_due(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let key = entry.remove();
            self.delayed_at.remove(&key);
            self.add(key, Priority::Change);
        }
    }
}

impl Lane {
    fn push(&mut self, key: Key) {
        let names = self.names.entry(key.namespace.clone()).or_default();
        if names.is_empty() {
            self.turns.push_back(key.namespace);
        }
        names.push_back(key.name);
    }

    fn pop(&mut self) -> Option<Key> {
        let namespace = self.turns.pop_front()?;
        let names = self.names.get_mut(&namespace)?;
        let name = names.pop_front()?;
        if names.is_empty() {
            self.names.remove(&namespace);
        } else {
            self.turns.push_back(namespace.clone());
        }
        Some(Key { namespace, name })
    }

    fn remove(&mut self, key: &Key) {
        let Some(names) = self.names.get_mut(&key.namespace) else { return };
        names.retain(|name| *name != key.name);
        if names.is_empty() {
            self.names.remove(&key.namespace);
            self.turns.retain(|namespace| *namespace != key.namespace);
        }
    }
}

fn backoff(failures: u32) -> Duration {
    let wait = FIRST_RETRY.saturating_mul(1 << failures.min(16)).min(LAST_RETRY);
    wait.mul_f64(0.5 + 0.5 * random_unit())
}

/// Between 0 and 1; if there is no randomness, 1.
fn random_unit() -> f64 {
    let mut bytes = [u8::MAX; 4];
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: &str, name: &str) -> Key {
        Key { namespace: namespace.into(), name: name.into() }
    }

    async fn take(queue: &Queue, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            let key = queue.next().await;
            all.push(key.to_string());
            queue.done(key, Next::Wait);
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn namespaces_take_turns_and_changes_come_first() {
        let queue = Queue::default();
        for name in ["1", "2", "3"] {
            queue.add(key("big", name), Priority::Resync);
        }
        queue.add(key("small", "1"), Priority::Resync);
        queue.add(key("late", "1"), Priority::Change);
        queue.add(key("big", "3"), Priority::Change);
        assert_eq!(take(&queue, 5).await, ["late/1", "big/3", "big/1", "small/1", "big/2"]);
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_during_work_is_done_after_and_never_at_the_same_time() {
        let queue = Queue::default();
        queue.add(key("a", "1"), Priority::Change);
        let first = queue.next().await;
        queue.add(key("a", "1"), Priority::Resync);
        let soon = Duration::from_secs(1);
        assert!(tokio::time::timeout(soon, queue.next()).await.is_err(), "it is in work");
        queue.done(first, Next::Wait);
        assert_eq!(take(&queue, 1).await, ["a/1"]);
        assert!(tokio::time::timeout(soon, queue.next()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn retries_wait_longer_each_time_and_go_on_for_ever() {
        let queue = Queue::default();
        queue.add(key("a", "1"), Priority::Change);
        let mut waits = Vec::new();
        for _ in 0..40 {
            let before = Instant::now();
            let key = queue.next().await;
            waits.push(before.elapsed());
            queue.done(key, Next::Retry);
        }
        assert!(waits[0] < FIRST_RETRY / 10);
        assert!(waits[1] >= FIRST_RETRY / 2 && waits[1] <= FIRST_RETRY * 2);
        assert!(waits[39] >= LAST_RETRY / 2 && waits[39] <= LAST_RETRY * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_cuts_a_retry_short_and_success_forgets_failures() {
        let queue = Queue::default();
        queue.add(key("a", "1"), Priority::Change);
        for _ in 0..10 {
            let key = queue.next().await;
            queue.done(key, Next::Retry);
        }
        let before = Instant::now();
        queue.add(key("a", "1"), Priority::Change);
        let taken = queue.next().await;
        assert!(before.elapsed() < FIRST_RETRY / 10);
        queue.done(taken, Next::Wait);
        assert_eq!(queue.len(), 0);
        assert!(queue.lock().failures.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_tried_again_at_once() {
        let queue = Queue::default();
        queue.add(key("a", "1"), Priority::Change);
        let first = queue.next().await;
        queue.done(first, Next::Again);
        let before = Instant::now();
        assert_eq!(take(&queue, 1).await, ["a/1"]);
        assert!(before.elapsed() < FIRST_RETRY / 10);
    }

    #[tokio::test(start_paused = true)]
    async fn what_conflicts_every_time_waits_like_any_failure() {
        let queue = Queue::default();
        queue.add(key("a", "1"), Priority::Change);
        let before = Instant::now();
        for _ in 0..5 {
            let key = queue.next().await;
            queue.done(key, Next::Again);
        }
        assert!(before.elapsed() >= FIRST_RETRY * 2, "{:?}", before.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_dropped_is_not_lost() {
        let queue = Arc::new(Queue::default());
        queue.add(key("a", "1"), Priority::Resync);
        drop(queue.take().await);
        let work = queue.take().await;
        assert_eq!(work.key(), &key("a", "1"));
        work.end(Next::Wait);
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test]
    async fn many_workers_share_the_work() {
        let queue = std::sync::Arc::new(Queue::default());
        let done = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for _ in 0..4 {
            let (queue, done) = (queue.clone(), done.clone());
            tokio::spawn(async move {
                loop {
                    let key = queue.next().await;
                    tokio::task::yield_now().await;
                    queue.done(key, Next::Wait);
                    done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
        for n in 0..1000 {
            queue.add(key("a", &n.to_string()), Priority::Resync);
        }
        let all = async {
            while done.load(std::sync::atomic::Ordering::Relaxed) < 1000 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("the queue lost work");
    }
}
