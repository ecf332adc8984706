//! When a call may be made: a budget of calls, and the pause that a service asked for. What opens sealed values has a
//! budget of its own (`hsm/budget.rs`) and is held by the pause alone.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The budget is of calls in any span of this length, as Key Vault counts them.
const WINDOW: Duration = Duration::from_secs(10);
/// A call waits for the budget this long, and then is refused.
const PATIENCE: Duration = Duration::from_secs(3);
/// No service pauses us for longer, whatever it says.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Pauses if none is asked for: 1, 2, 4, 8 and then 16 s, as Key Vault's guidance has it.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
const DOUBLINGS: u32 = 4;

/// Lets calls through, or says how long not.
#[derive(Debug)]
pub(super) struct Gate {
    /// Calls in any [`WINDOW`]; unbounded without.
    budget: Option<usize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the latest calls were, or will be, made: never more than the budget, oldest first.
    calls: VecDeque<Instant>,
    paused_until: Option<Instant>,
    /// Answers in a row that asked for a pause without saying how long.
    throttled: u32,
}

/// Why a call is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The budget is used up. One call is there again after that time.
    Budget(Duration),
    /// The service asked for a pause, which lasts that long.
    Pause(Duration),
}

impl Gate {
    pub(super) fn new(budget: Option<u32>) -> Self {
        let budget = budget.map(|calls| usize::try_from(calls.max(1)).unwrap_or(usize::MAX));
        Self { budget, state: Mutex::default() }
    }

    /// Waits until the call may be made, if that is soon.
    pub(super) async fn enter(&self) -> Result<(), Held> {
        let at = {
            let mut state = self.state();
            state.check_pause()?;
            match self.budget {
                Some(budget) => state.reserve(budget)?,
                None => Instant::now(),
            }
        };
        tokio::time::sleep_until(at).await;
        // Another call may have been answered with a pause meanwhile.
        self.state().check_pause()
    }

    /// Whether a call may be made that has a budget of its own.
    pub(super) fn enter_unbudgeted(&self) -> Result<(), Held> {
        self.state().check_pause()
    }

    /// Calls that may be made now without waiting.
    pub(super) fn left(&self) -> Option<u32> {
        let state = self.state();
        let now = Instant::now();
        let recent = state.calls.iter().filter(|&&at| at + WINDOW > now).count();
        self.budget.map(|budget| u32::try_from(budget.saturating_sub(recent)).unwrap_or(u32::MAX))
    }

    /// The service asks for a pause. Gives its length.
    pub(super) fn throttled(&self, asked: Option<Duration>) -> Duration {
        let mut state = self.state();
        let pause = asked.unwrap_or_else(|| {
            let doublings = state.throttled.min(DOUBLINGS);
            state.throttled = doublings + 1;
            FIRST_PAUSE * 2_u32.pow(doublings)
        });
        let pause = pause.min(LONGEST_PAUSE);
        let until = Instant::now() + pause;
        // Of calls under way at once, the one that asks for the longest pause counts.
        state.paused_until = Some(state.paused_until.map_or(until, |before| before.max(until)));
        pause
    }

    /// The service answered something else.
    pub(super) fn answered(&self) {
        self.state().throttled = 0;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing panics while it is locked, and instants cannot be half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_pause(&mut self) -> Result<(), Held> {
        let left = self.paused_until.map(|until| until.saturating_duration_since(Instant::now()));
        match left {
            Some(left) if !left.is_zero() => Err(Held::Pause(left)),
            _ => {
                self.paused_until = None;
                Ok(())
            }
        }
    }

    /// A place in the budget: when the call may be made.
    fn reserve(&mut self, budget: usize) -> Result<Instant, Held> {
        let now = Instant::now();
        let at = match self.calls.front() {
            Some(&oldest) if self.calls.len() >= budget => now.max(oldest + WINDOW),
            _ => now,
        };
        let wait = at - now;
        if wait > PATIENCE {
            return Err(Held::Budget(wait));
        }
        if self.calls.len() >= budget {
            self.calls.pop_front();
        }
        self.calls.push_back(at);
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn no_span_of_ten_seconds_sees_more_calls_than_the_budget() {
        let gate = Gate::new(Some(4));
        let mut made = Vec::new();
        let mut refused = 0;
        for _ in 0..200 {
            match gate.enter().await {
                Ok(()) => made.push(Instant::now()),
                Err(held) => {
                    assert!(matches!(held, Held::Budget(wait) if wait > PATIENCE), "{held:?}");
                    refused += 1;
                    tokio::time::advance(SECOND / 3).await;
                }
            }
        }
        assert!(refused > 0 && made.len() > 8, "{refused} refused, {} made", made.len());
        // A timer wakes up to a millisecond late.
        let window = WINDOW - Duration::from_millis(1);
        for (first, fifth) in made.iter().zip(&made[4..]) {
            assert!(*fifth - *first >= window, "five calls in {:?}", *fifth - *first);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_a_little_for_the_budget_and_no_longer() {
        let gate = Gate::new(Some(2));
        assert_eq!(gate.left(), Some(2));
        gate.enter().await.unwrap();
        gate.enter().await.unwrap();
        assert_eq!(gate.left(), Some(0));
        assert_eq!(gate.enter_unbudgeted(), Ok(()));
        assert_eq!(gate.enter().await, Err(Held::Budget(WINDOW)));
        tokio::time::advance(8 * SECOND).await;
        let before = Instant::now();
        gate.enter().await.unwrap();
        assert_eq!(before.elapsed(), 2 * SECOND);
        assert_eq!(gate.left(), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_every_call_and_ends() {
        let gate = Gate::new(Some(100));
        assert_eq!(gate.throttled(Some(7 * SECOND)), 7 * SECOND);
        assert_eq!(gate.enter().await, Err(Held::Pause(7 * SECOND)));
        assert_eq!(gate.enter_unbudgeted(), Err(Held::Pause(7 * SECOND)));
        // A shorter one meanwhile does not end it.
        gate.throttled(Some(SECOND));
        tokio::time::advance(6 * SECOND).await;
        assert_eq!(gate.enter().await, Err(Held::Pause(SECOND)));
        tokio::time::advance(SECOND).await;
        assert_eq!(gate.enter().await, Ok(()));
        assert_eq!(gate.throttled(Some(Duration::from_secs(86_400))), LONGEST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_until_another_answer_comes() {
        let gate = Gate::new(None);
        let seconds: Vec<u64> = (0..6).map(|_| gate.throttled(None).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 16]);
        gate.answered();
        assert_eq!(gate.throttled(None), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_comes_while_a_call_waits_holds_it() {
        let gate = Gate::new(Some(1));
        gate.enter().await.unwrap();
        tokio::time::advance(8 * SECOND).await;
        let (waiting, ()) = tokio::join!(gate.enter(), async {
            gate.throttled(Some(60 * SECOND));
        });
        assert_eq!(waiting, Err(Held::Pause(58 * SECOND)));
    }
}
