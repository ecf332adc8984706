//! How many calls the HSM key gets: at most half of what the vault allows with it.
//!
//! <https://learn.microsoft.com/azure/key-vault/general/service-limits>, and for Managed HSM
//! <https://learn.microsoft.com/azure/key-vault/managed-hsm/scaling-guidance>.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Key Vault counts in spans of this length.
const WINDOW: Duration = Duration::from_secs(10);

/// Half of the private operations that a vault allows in 10 seconds with such a key. With software keys it allows twice as
/// many as with those in hardware. A Managed HSM throttles nobody and does so many for each partition, of which one is
/// counted on.
pub(super) fn half_of_limit(bits: usize, hardware: bool, managed_hsm: bool) -> u32 {
    let limit = match (managed_hsm, hardware, bits) {
        (true, _, ..=2048) => 11_000,
        (true, _, ..=3072) => 3_600,
        (true, ..) => 1_600,
        (false, true, ..=2048) => 2_000,
        (false, true, ..=3072) => 500,
        (false, true, _) => 250,
        (false, false, ..=2048) => 4_000,
        (false, false, ..=3072) => 1_000,
        (false, false, _) => 500,
    };
    limit / 2
}

/// Calls in any 10 seconds. As long as it is not known how many, there are none.
#[derive(Default)]
pub(super) struct Budget {
    calls: usize,
    /// The latest, the oldest first.
    made: VecDeque<Instant>,
}

impl Budget {
    pub(super) fn set(&mut self, calls: u32) {
        self.calls = usize::try_from(calls).unwrap_or(usize::MAX);
    }

    /// How many may be made now.
    pub(super) fn left(&mut self, now: Instant) -> usize {
        while self.made.front().is_some_and(|at| *at + WINDOW <= now) {
            self.made.pop_front();
        }
        self.calls.saturating_sub(self.made.len())
    }

    /// Makes one.
    ///
    /// # Errors
    /// When the next may be made, if none may be made now.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Option<Instant>> {
        if self.left(now) == 0 {
            // After a cut of the budget, several have to pass first.
            let over = self.made.len().saturating_sub(self.calls);
            return Err(self.made.get(over).map(|at| *at + WINDOW));
        }
        self.made.push_back(now);
        Ok(())
    }

    /// The latest was not made after all.
    pub(super) fn give_back(&mut self) {
        self.made.pop_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn at_most_half_of_what_is_documented() {
        for (bits, hardware, software, managed) in
            [(2048, 1000, 2000, 5500), (3072, 250, 500, 1800), (4096, 125, 250, 800), (8192, 125, 250, 800)]
        {
            assert_eq!(half_of_limit(bits, true, false), hardware);
            assert_eq!(half_of_limit(bits, false, false), software);
            assert_eq!(half_of_limit(bits, true, true), managed);
        }
    }

    #[test]
    fn no_span_of_ten_seconds_sees_more_and_none_is_wasted() {
        let mut budget = Budget::default();
        let start = Instant::now();
        assert_eq!(budget.take(start), Err(None));
        budget.set(3);
        let (mut now, mut made) = (start, Vec::new());
        while made.len() < 30 {
            match budget.take(now) {
                Ok(()) => made.push(now),
                Err(next) => now = next.unwrap(),
            }
            now += SECOND / 7;
        }
        assert!(made.iter().zip(&made[3..]).all(|(first, fourth)| *fourth - *first >= WINDOW));
        assert!(now - start < 10 * WINDOW, "{:?}", now - start);
    }

    #[test]
    fn what_is_cut_holds_at_once_and_what_was_not_made_does_not_count() {
        let mut budget = Budget::default();
        let now = Instant::now();
        budget.set(4);
        for second in 0..4 {
            budget.take(now + second * SECOND).unwrap();
        }
        budget.set(2);
        assert_eq!(budget.take(now + 4 * SECOND), Err(Some(now + 2 * SECOND + WINDOW)));
        budget.give_back();
        assert_eq!(budget.left(now + 11 * SECOND), 1);
    }
}
