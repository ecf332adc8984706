//! Waiting for what happens in its own time.
//!
//! Tests poll for an outcome under a generous deadline and never sleep a guessed time: a slow machine makes them
//! slow, not red. When the deadline passes, the message says what was seen last.

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// Enough for everything that a control plane does by itself, on a machine that is busy with a build.
pub const PATIENCE: Duration = Duration::from_secs(60);

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Calls `check` until it returns `Ok` and gives that back.
///
/// `Err` holds what was seen instead; the last one is in the message when `limit` has passed, with the caller's
/// place. A check that itself hangs is cut off at the deadline.
///
/// ```
/// # async fn count() -> usize { 3 }
/// # async fn example() {
/// use privyseal_tests::eventually::{PATIENCE, eventually};
/// eventually(PATIENCE, async || match count().await {
///     3 => Ok(()),
///     other => Err(format!("{other} of 3")),
/// })
/// .await;
/// # }
/// ```
#[track_caller]
pub fn eventually<T, E, F>(limit: Duration, mut check: F) -> impl Future<Output = T>
where
    E: Debug,
    F: AsyncFnMut() -> Result<T, E>,
{
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + limit;
        let mut pause = FIRST_PAUSE;
        let mut last: Option<E> = None;
        let mut hung = false;
        while Instant::now() < deadline {
            match timeout_at(deadline, check()).await {
                Ok(Ok(value)) => return value,
                Ok(Err(seen)) => last = Some(seen),
                Err(_) => hung = true,
            }
            sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        let last = last.map_or_else(|| "nothing".to_owned(), |seen| format!("{seen:?}"));
        let hung = if hung { "; the last check did not return" } else { "" };
        panic!("not within {limit:?} (waited for at {caller}); last seen: {last}{hung}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message of a wait that is too short.
    async fn failure(check: impl AsyncFnMut() -> Result<(), String>) -> String {
        use futures::FutureExt as _;
        let wait = std::panic::AssertUnwindSafe(eventually(Duration::from_secs(5), check));
        let panic = wait.catch_unwind().await.unwrap_err();
        *panic.downcast::<String>().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_returns_what_the_check_found() {
        let mut left = 10;
        let began = Instant::now();
        let found = eventually(PATIENCE, async || {
            left -= 1;
            if left == 0 { Ok("found") } else { Err(left) }
        })
        .await;
        assert_eq!(found, "found");
        assert!(began.elapsed() < PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn it_says_what_it_saw_last_and_where_it_was_called() {
        let mut seen = 0;
        let message = failure(async || {
            seen += 1;
            Err(format!("sight {seen}"))
        })
        .await;
        assert!(message.contains(&format!("sight {seen}")) && seen > 5, "{message}");
        assert!(message.contains("not within 5s") && message.contains("eventually.rs:"), "{message}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_ends_at_the_deadline() {
        let mut first = true;
        let message = failure(async || {
            if !std::mem::take(&mut first) {
                std::future::pending::<()>().await;
            }
            Err("before it hung".to_owned())
        })
        .await;
        assert!(message.contains("before it hung") && message.contains("did not return"), "{message}");
    }
}
