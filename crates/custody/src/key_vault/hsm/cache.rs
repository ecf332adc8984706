//! What is remembered of stanzas: bounded in number, the longest unused goes first, and each for a time.

use privyseal_envelope::age::VaultStanza;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// SHA-256 over the key and the wrapped bytes: the name of a stanza, without its half a kilobyte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StanzaId([u8; 32]);

impl StanzaId {
    pub(super) fn of(stanza: &VaultStanza) -> Self {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        // All fingerprints have the same length: no two stanzas have the same bytes.
        context.update(stanza.key.to_string().as_bytes());
        context.update(&stanza.wrapped);
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        Self(id)
    }

    #[cfg(test)]
    pub(super) fn for_tests(byte: u8) -> Self {
        Self([byte; 32])
    }
}

/// See the module's documentation. What is dropped is wiped if it is of a type that does so.
pub(super) struct Cache<V> {
    capacity: usize,
    ttl: Duration,
    entries: HashMap<StanzaId, Entry<V>>,
    /// By when they were used last.
    used: BTreeMap<u64, StanzaId>,
    uses: u64,
}

struct Entry<V> {
    value: V,
    until: Instant,
    used: u64,
}

impl<V> Cache<V> {
    /// For at most so many, and for so long each. For none it keeps nothing.
    pub(super) fn new(capacity: usize, ttl: Duration) -> Self {
        Self { capacity, ttl, entries: HashMap::new(), used: BTreeMap::new(), uses: 0 }
    }

    pub(super) fn insert(&mut self, id: StanzaId, value: V, now: Instant) {
        self.remove(id);
        if self.capacity == 0 {
            return;
        }
        if self.entries.len() >= self.capacity
            && let Some((_, longest_unused)) = self.used.pop_first()
        {
            self.entries.remove(&longest_unused);
        }
        self.uses += 1;
        self.used.insert(self.uses, id);
        self.entries.insert(id, Entry { value, until: now + self.ttl, used: self.uses });
    }

    pub(super) fn get(&mut self, id: StanzaId, now: Instant) -> Option<&V> {
        if self.entries.get(&id)?.until <= now {
            self.remove(id);
            return None;
        }
        let entry = self.entries.get_mut(&id)?;
        self.used.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.used.insert(entry.used, id);
        Some(&entry.value)
    }

    /// Drops what is past its time, used or not.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.until > now);
        self.used.retain(|_, id| self.entries.contains_key(id));
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.used.clear();
    }

    fn remove(&mut self, id: StanzaId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.used.remove(&entry.used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(Cache<privyseal_envelope::age::FileKey>: std::fmt::Debug);

    const TTL: Duration = Duration::from_secs(60);

    fn id(byte: u8) -> StanzaId {
        StanzaId::for_tests(byte)
    }

    #[test]
    fn the_longest_unused_goes_first_and_there_are_never_more() {
        let mut cache = Cache::new(3, TTL);
        let now = Instant::now();
        for byte in 0..3 {
            cache.insert(id(byte), byte, now);
        }
        assert_eq!(cache.get(id(0), now), Some(&0));
        cache.insert(id(2), 22, now);
        cache.insert(id(3), 3, now);
        let kept = [0, 1, 2, 3].map(|byte| cache.get(id(byte), now).copied());
        assert_eq!(kept, [Some(0), None, Some(22), Some(3)]);
        for byte in 0..=255 {
            cache.insert(id(byte), byte, now);
            assert!(cache.entries.len() <= 3 && cache.used.len() == cache.entries.len());
        }
    }

    #[test]
    fn use_does_not_lengthen_the_time_and_a_sweep_drops_what_nobody_asks_for() {
        let mut cache = Cache::new(3, TTL);
        let now = Instant::now();
        cache.insert(id(0), 0, now);
        assert!(cache.get(id(0), now + TTL / 2).is_some());
        assert!(cache.get(id(0), now + TTL).is_none());
        cache.insert(id(1), 1, now);
        cache.insert(id(2), 2, now + TTL / 2);
        cache.sweep(now + TTL);
        assert_eq!((cache.entries.len(), cache.used.len()), (1, 1));
        cache.clear();
        assert!(cache.get(id(2), now).is_none() && cache.used.is_empty());
    }

    #[test]
    fn without_capacity_nothing_is_kept() {
        let mut cache = Cache::new(0, TTL);
        let now = Instant::now();
        cache.insert(id(0), 0, now);
        assert!(cache.get(id(0), now).is_none() && cache.used.is_empty());
    }

    #[test]
    fn a_stanza_is_named_by_all_that_is_in_it() {
        use privyseal_envelope::Fingerprint;
        let stanza = |key: &[u8], wrapped: &[u8]| {
            StanzaId::of(&VaultStanza { key: Fingerprint::of(key), wrapped: wrapped.to_vec() })
        };
        assert_eq!(stanza(b"a", b"1"), stanza(b"a", b"1"));
        assert_ne!(stanza(b"a", b"1"), stanza(b"a", b"2"));
        assert_ne!(stanza(b"a", b"1"), stanza(b"b", b"1"));
    }
}
