//! The log of what a double was asked, shared by the test's thread and the double's.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Entries keep their number when earlier ones are forgotten.
#[derive(Debug)]
pub(crate) struct CallLog<T> {
    began: Instant,
    entries: Mutex<Entries<T>>,
}

#[derive(Debug)]
struct Entries<T> {
    forgotten: usize,
    kept: Vec<T>,
}

/// The number of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(usize);

impl<T> Default for CallLog<T> {
    fn default() -> Self {
        let entries = Mutex::new(Entries { forgotten: 0, kept: Vec::new() });
        Self { began: Instant::now(), entries }
    }
}

impl<T: Clone> CallLog<T> {
    /// Adds what `entry` makes of the time since the start.
    pub(crate) fn add(&self, entry: impl FnOnce(Duration) -> T) -> Ticket {
        let mut entries = locked(&self.entries);
        entries.kept.push(entry(self.began.elapsed()));
        Ticket(entries.forgotten + entries.kept.len() - 1)
    }

    /// Changes an entry, unless it is forgotten.
    pub(crate) fn amend(&self, Ticket(number): Ticket, change: impl FnOnce(&mut T)) {
        let mut entries = locked(&self.entries);
        if let Some(index) = number.checked_sub(entries.forgotten) {
            change(&mut entries.kept[index]);
        }
    }

    pub(crate) fn all(&self) -> Vec<T> {
        locked(&self.entries).kept.clone()
    }

    pub(crate) fn forget(&self) {
        let mut entries = locked(&self.entries);
        entries.forgotten += entries.kept.len();
        entries.kept.clear();
    }
}

/// A test that panicked while it held the lock left the data whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_amended_by_its_number_also_after_others_were_forgotten() {
        let log = CallLog::default();
        let one = log.add(|_| "one");
        log.forget();
        let two = log.add(|_| "two");
        log.amend(one, |entry| *entry = "forgotten");
        log.amend(two, |entry| *entry = "amended");
        assert_eq!(log.all(), ["amended"]);
    }
}
