//! Private halves that a vault gave, held as long as the Secret that refers to them is there: one call each, however
//! often keys are loaded.
//!
//! What failed is remembered too. It is asked for again after a wait that grows, or the one that the vault asks for;
//! what only somebody's doing can heal, at the next poll.

use crate::custody::{Failure, Reference, back_off};
use privyseal_envelope::Fingerprint;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// What is known of the private halves of one kind of key.
pub(super) struct Memory<T> {
    slots: BTreeMap<Place, Slot<T>>,
    poll_interval: Duration,
    /// A failure of the vault as a whole, for the rest of one look.
    down: Option<Failure>,
}

/// A private half is that of one Secret, one reference and one public half: if any of them changes, it is asked for anew.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) secret: String,
    pub(super) reference: Reference,
    pub(super) fingerprint: Fingerprint,
}

enum Slot<T> {
    Held(T),
    Failed { failure: Failure, failures: u32, again: Instant },
}

impl<T: Clone> Memory<T> {
    pub(super) fn new(poll_interval: Duration) -> Self {
        Self { slots: BTreeMap::new(), poll_interval, down: None }
    }

    /// Begins one look at all Secrets: the vault is asked again, also if it was down in the last one.
    pub(super) fn begin(&mut self) {
        self.down = None;
    }

    /// What is remembered: the key, or a failure that is not to be tried again yet. None if the vault is to be asked.
    pub(super) fn recall(&self, place: &Place) -> Option<Result<T, Failure>> {
        match (self.slots.get(place), &self.down) {
            (Some(Slot::Held(key)), _) => Some(Ok(key.clone())),
            (Some(Slot::Failed { failure, again, .. }), _) if *again > Instant::now() => {
                Some(Err(failure.clone()))
            }
            (_, Some(down)) => Some(Err(down.clone())),
            _ => None,
        }
    }

    /// Remembers what the vault gave.
    pub(super) fn hold(&mut self, place: Place, key: T) {
        self.slots.insert(place, Slot::Held(key));
    }

    /// Remembers that the vault did not give it.
    pub(super) fn fail(&mut self, place: Place, failure: Failure) {
        let before = match self.slots.get(&place) {
            Some(Slot::Failed { failures, .. }) => *failures,
            _ => 0,
        };
        if failure.kind().is_of_the_vault() {
            self.down = Some(failure.clone());
        }
        let wait = match failure.wait() {
            _ if !failure.kind().heals() => self.poll_interval,
            Some(wait) => wait,
            None => back_off(before.saturating_add(1)),
        };
        let now = Instant::now();
        let again = now.checked_add(wait).unwrap_or(now + LONGEST);
        self.slots.insert(place, Slot::Failed { failure, failures: before.saturating_add(1), again });
    }

    /// Forgets what failed, and when to ask again.
    pub(super) fn forget_failures(&mut self) {
        self.slots.retain(|_, slot| matches!(slot, Slot::Held(_)));
    }

    /// Forgets, and so wipes, what no Secret refers to any more.
    pub(super) fn keep_only(&mut self, mut wanted: impl FnMut(&Place) -> bool) {
        self.slots.retain(|place, _| wanted(place));
    }

    /// When the next failure is to be tried again.
    pub(super) fn again(&self) -> Option<Instant> {
        let waits = self.slots.values().filter_map(|slot| match slot {
            Slot::Held(_) => None,
            Slot::Failed { again, .. } => Some(*again),
        });
        waits.min()
    }
}

/// For a wait that no clock can hold.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::{FailureKind, VaultSecret};

    fn place(secret: &str, version: &str) -> Place {
        let id = format!("https://v.vault.azure.net/secrets/keys/{version}");
        Place {
            secret: secret.to_owned(),
            reference: Reference::KeyVaultSecret(VaultSecret { version: 1, secret: id }),
            fingerprint: Fingerprint::of(secret.as_bytes()),
        }
    }

    fn failure(kind: FailureKind) -> Failure {
        Failure::new(kind, kind.as_str())
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_tried_again_after_waits_that_grow_and_end() {
        let mut memory = Memory::<u8>::new(Duration::from_secs(300));
        let place = place("a", "1");
        let mut waits = Vec::new();
        for _ in 0..8 {
            memory.begin();
            assert!(memory.recall(&place).is_none());
            memory.fail(place.clone(), failure(FailureKind::Unavailable));
            assert!(memory.recall(&place).is_some());
            let wait = memory.again().unwrap() - Instant::now();
            waits.push(wait.as_secs());
            tokio::time::advance(wait).await;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        memory.hold(place.clone(), 7);
        assert!(matches!(memory.recall(&place), Some(Ok(7))));
        assert_eq!(memory.again(), None);
        memory.keep_only(|_| false);
        memory.begin();
        assert!(memory.recall(&place).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_vaults_own_wait_counts_and_what_does_not_heal_waits_for_the_poll() {
        let mut memory = Memory::<u8>::new(Duration::from_secs(300));
        let asked = failure(FailureKind::Throttled).retry_after(Duration::from_secs(17));
        memory.fail(place("a", "1"), asked);
        assert_eq!(memory.again(), Some(Instant::now() + Duration::from_secs(17)));
        memory.keep_only(|_| false);
        memory.fail(place("a", "1"), failure(FailureKind::Disabled));
        assert_eq!(memory.again(), Some(Instant::now() + Duration::from_secs(300)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_no_clock_holds_is_a_long_one() {
        let mut memory = Memory::<u8>::new(Duration::MAX);
        memory.fail(place("a", "1"), failure(FailureKind::Unconfigured));
        assert!(memory.again().unwrap() > Instant::now() + Duration::from_secs(3600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_vault_that_is_down_is_asked_once_in_one_look_and_a_disabled_version_hides_no_other() {
        let mut memory = Memory::<u8>::new(Duration::from_secs(300));
        memory.fail(place("a", "1"), failure(FailureKind::Disabled));
        assert!(memory.recall(&place("b", "2")).is_none());
        memory.fail(place("b", "2"), failure(FailureKind::Throttled));
        assert!(matches!(memory.recall(&place("c", "3")), Some(Err(_))));
        memory.begin();
        assert!(memory.recall(&place("c", "3")).is_none());
        // Another version, or another Secret, is another matter.
        memory.hold(place("d", "4"), 1);
        assert!(memory.recall(&place("d", "5")).is_none() && memory.recall(&place("e", "4")).is_none());
    }
}
