//! A short line before work that is dear: so many at a time, so many waiting, and nobody for long.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who works and who waits. Nothing in it knows one client from another.
#[derive(Clone)]
pub(super) struct Line {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    patience: Duration,
}

/// One's turn; the next one's when it is dropped.
pub(super) struct Turn {
    _turn: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Line {
    /// For so many at a time and so many waiting, each for so long at most.
    pub(super) fn new(at_work: usize, waiting: usize, patience: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new(at_work + waiting)),
            turns: Arc::new(Semaphore::new(at_work)),
            patience,
        }
    }

    /// Waits for a turn; none if the line is full, or does not move.
    pub(super) async fn turn(&self) -> Option<Turn> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let turn = tokio::time::timeout(self.patience, self.turns.clone().acquire_owned()).await;
        Some(Turn { _turn: turn.ok()?.ok()?, _place: place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn a_full_line_turns_away_and_one_that_moves_does_not() {
        let line = Line::new(1, 2, PATIENCE);
        let first = line.turn().await.unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let line = line.clone();
                tokio::spawn(async move { line.turn().await.is_some() })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(line.turn().await.is_none(), "three are there");
        drop(first);
        for one in waiting {
            assert!(one.await.unwrap());
        }
        assert!(line.turn().await.is_some(), "and gone again");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_who_goes_away_makes_room() {
        let line = Line::new(1, 1, PATIENCE);
        let _busy = line.turn().await.unwrap();
        assert!(line.turn().await.is_none(), "patience is at its end");
        let gone = tokio::time::timeout(Duration::from_secs(1), line.turn()).await;
        assert!(gone.is_err());
        let started = tokio::time::Instant::now();
        assert!(line.turn().await.is_none());
        assert_eq!(started.elapsed(), PATIENCE, "there was room to wait");
    }
}
