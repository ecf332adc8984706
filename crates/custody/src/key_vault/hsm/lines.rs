//! Who is next: namespaces take turns, and within one the first to come.

use super::cache::StanzaId;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// Stanzas that wait for a call. Each is in at most once, as its owner sees to.
#[derive(Default)]
pub(super) struct Lines {
    turns: VecDeque<String>,
    waiting: HashMap<String, VecDeque<StanzaId>>,
    len: usize,
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// At the end of its namespace's line.
    pub(super) fn push(&mut self, namespace: &str, id: StanzaId) {
        self.line(namespace).push_back(id);
    }

    /// Back where it was: it had its turn and nothing came of it.
    pub(super) fn push_front(&mut self, namespace: &str, id: StanzaId) {
        self.line(namespace).push_front(id);
    }

    pub(super) fn pop(&mut self) -> Option<StanzaId> {
        let namespace = self.turns.pop_front()?;
        let line = self.waiting.get_mut(&namespace)?;
        let id = line.pop_front()?;
        self.len -= 1;
        if line.is_empty() {
            self.waiting.remove(&namespace);
        } else {
            self.turns.push_back(namespace);
        }
        Some(id)
    }

    /// All of them at once: one by one it would take the square of the time.
    pub(super) fn remove(&mut self, namespace: &str, ids: &BTreeSet<StanzaId>) {
        let Some(line) = self.waiting.get_mut(namespace) else { return };
        let before = line.len();
        line.retain(|one| !ids.contains(one));
        self.len -= before - line.len();
        if line.is_empty() {
            self.waiting.remove(namespace);
            self.turns.retain(|one| one != namespace);
        }
    }

    fn line(&mut self, namespace: &str) -> &mut VecDeque<StanzaId> {
        self.len += 1;
        if !self.waiting.contains_key(namespace) {
            self.turns.push_back(namespace.to_owned());
        }
        self.waiting.entry(namespace.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_take_turns_and_what_is_removed_leaves_no_trace() {
        let mut lines = Lines::default();
        let id = |byte| StanzaId::for_tests(byte);
        for byte in 0..4 {
            lines.push("big", id(byte));
        }
        lines.push("small", id(10));
        lines.remove("big", &[id(1), id(99)].into());
        lines.remove("small", &[id(99)].into());
        assert_eq!(lines.len(), 4);
        let first = lines.pop();
        assert_eq!(first, Some(id(0)));
        lines.push_front("big", id(0));
        let all: Vec<_> = std::iter::from_fn(|| lines.pop()).collect();
        assert_eq!(all, [10, 0, 2, 3].map(id));
        lines.push("big", id(5));
        lines.remove("big", &[id(5)].into());
        assert_eq!((lines.pop(), lines.len(), lines.turns.len()), (None, 0, 0));
    }
}
