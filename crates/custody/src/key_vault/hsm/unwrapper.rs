//! What waits and calls: the one task that asks the vault, for however many objects.

use super::state::{Effects, QUICK, State, Step};
use super::versions::Versions;
use super::{Answer, Calls, Objects, Owner, Settings};
use crate::custody::back_off;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use privyseal_envelope::KeyId;
use privyseal_envelope::age::VaultStanza;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Who waits in place waits no longer than this.
const PATIENCE: Duration = QUICK.saturating_mul(2);
/// How often file keys are looked for that are past their time.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// Unwraps file keys with the HSM key of a vault. See the [module](super).
pub struct Unwrapper {
    calls: Box<dyn Calls>,
    objects: Arc<dyn Objects>,
    state: Mutex<State>,
    /// There may be something to call.
    work: Notify,
    /// Something came of a call or a poll.
    progress: watch::Sender<()>,
}

impl Unwrapper {
    pub(super) fn new(
        calls: Box<dyn Calls>,
        objects: Arc<dyn Objects>,
        settings: Settings,
        versions: Versions,
    ) -> Self {
        let state = Mutex::new(State::new(settings, versions));
        Self { calls, objects, state, work: Notify::new(), progress: watch::Sender::new(()) }
    }

    /// File keys for the values of an object: for each value any one of its stanzas. Says at once what is there; if the vault
    /// is idle and answers quickly, it waits for that, half a second at most.
    ///
    /// Whoever is told to wait is called back ([`Objects::again`]). What is there is held for the object until it is
    /// [done](Unwrapper::done).
    pub async fn ask(&self, owner: &Owner, values: &[Vec<VaultStanza>]) -> Answer {
        let mut progress = self.progress.subscribe();
        let answer = self.look(owner, values);
        let Answer::Waiting { values: lacking, trouble: None } = answer else { return answer };
        if !self.lock().is_quick(lacking, Instant::now()) {
            return answer;
        }
        let arrived = async {
            while progress.changed().await.is_ok() {
                match self.look(owner, values) {
                    Answer::Waiting { trouble: None, .. } => {}
                    answer => return answer,
                }
            }
            self.look(owner, values)
        };
        tokio::time::timeout(PATIENCE, arrived).await.unwrap_or(answer)
    }

    #[cfg(test)]
    pub(super) fn ask_now(&self, owner: &Owner, values: &[Vec<VaultStanza>]) -> Answer {
        self.look(owner, values)
    }

    fn look(&self, owner: &Owner, values: &[Vec<VaultStanza>]) -> Answer {
        let mut effects = Effects::default();
        let answer = self.lock().ask(owner, values, Instant::now(), &mut effects);
        self.perform(effects);
        self.work.notify_one();
        answer
    }

    /// The object needs no file keys any more: it is open, or never will be, or is gone.
    pub fn done(&self, owner: &Owner) {
        self.lock().done(owner);
    }

    /// Whether a key id may be of a version of the key: what is not known to be gone counts as there.
    pub fn holds(&self, key: KeyId) -> bool {
        self.lock().holds(key)
    }

    /// A text that changes whenever a value may open that did not before.
    pub fn name(&self) -> String {
        self.lock().versions.name()
    }

    /// Waits until the vault has said which versions there are, or has failed to.
    pub async fn asked(&self) {
        let mut progress = self.progress.subscribe();
        while !self.lock().has_asked() {
            if progress.changed().await.is_err() {
                return;
            }
        }
    }

    /// Runs for ever: looks at the versions at these intervals, and makes the calls.
    pub async fn run(&self, poll_interval: Duration) {
        tokio::join!(self.poll(poll_interval), self.call_all(), self.sweep());
    }

    async fn poll(&self, interval: Duration) {
        let mut failures = 0;
        loop {
            let versions = self.calls.versions().await;
            let wait = match &versions {
                Ok(_) => {
                    failures = 0;
                    interval
                }
                Err(failure) => {
                    failures += 1;
                    let wait = if failure.kind().heals() { back_off(failures) } else { interval };
                    failure.wait().unwrap_or(wait).min(interval)
                }
            };
            let effects = self.lock().polled(versions);
            self.perform(effects);
            self.work.notify_one();
            tokio::time::sleep(wait).await;
        }
    }

    async fn call_all(&self) {
        let mut calls = FuturesUnordered::new();
        loop {
            let step = self.lock().step(Instant::now());
            let until = match step {
                Step::Call(call) => {
                    calls.push(self.call(call));
                    continue;
                }
                Step::Rest(until) => until,
            };
            let due = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(()) = calls.next() => {}
                () = self.work.notified() => {}
                () = due => {}
            }
        }
    }

    async fn call(&self, call: super::state::Call) {
        // Asked when nothing is locked: whoever answers has locks of its own.
        if !call.owners.iter().any(|owner| self.objects.is_there(owner)) {
            self.lock().not_called(&call);
            return;
        }
        let began = Instant::now();
        let result = self.calls.unwrap(&call.version, &call.wrapped).await;
        let effects = self.lock().called(call.id, result, began, Instant::now());
        self.perform(effects);
    }

    async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            self.lock().sweep(Instant::now());
        }
    }

    /// When nothing is locked.
    fn perform(&self, effects: Effects) {
        effects.seen.into_iter().for_each(|seen| self.objects.saw(seen));
        if let Some(warning) = effects.warning {
            self.objects.warn(&warning);
        }
        let has_news = effects.all_again || !effects.again.is_empty();
        effects.again.iter().for_each(|owner| self.objects.again(owner));
        if effects.all_again {
            self.objects.all_again();
        }
        if has_news {
            self.progress.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
