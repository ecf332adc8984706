//! Long work on a thread of its own that says what it is at.
//!
//! Nobody should have to wonder whether a build of several minutes hangs. On a terminal one line is kept up to
//! date; in a log a line comes now and then.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// What a job is at, shared between its thread and whoever waits.
#[derive(Clone, Default)]
pub(crate) struct Status(Arc<Mutex<String>>);

impl Status {
    /// Says what the job is at now.
    pub(crate) fn at(&self, text: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Work under way.
pub(crate) struct Job<T> {
    began: Instant,
    status: Status,
    thread: JoinHandle<Result<T>>,
}

impl<T: Send + 'static> Job<T> {
    /// Starts the work; nothing is shown until somebody waits for it.
    pub(crate) fn start(work: impl FnOnce(&Status) -> Result<T> + Send + 'static) -> Self {
        let status = Status::default();
        let shared = status.clone();
        Self { began: Instant::now(), status, thread: thread::spawn(move || work(&shared)) }
    }

    /// What it is at, as one line.
    pub(crate) fn line(&self) -> String {
        format!("{} ({} s)", self.status.text(), self.began.elapsed().as_secs())
    }

    /// True when there is nothing to wait for.
    pub(crate) fn finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end and shows what it is at meanwhile.
    pub(crate) fn wait(self) -> Result<T> {
        let mut stderr = std::io::stderr();
        let terminal = stderr.is_terminal();
        let mut next = Instant::now() + PATIENCE;
        while !self.finished() {
            thread::sleep(LOOK);
            if terminal {
                // A line that wraps could not be wiped again.
                let line: String = self.line().chars().take(TERMINAL_WIDTH).collect();
                let _ = write!(stderr, "\r\x1b[2K{line}");
            } else if Instant::now() >= next {
                let _ = writeln!(stderr, "{}", self.line());
                next = Instant::now() + EVERY;
            }
        }
        if terminal {
            let _ = write!(stderr, "\r\x1b[2K");
        }
        self.thread.join().map_err(|_| anyhow!("a worker thread panicked"))?
    }
}

/// How often the job is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// What is over by then is not worth a line in a log.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a line comes in a log.
const EVERY: Duration = Duration::from_secs(15);
/// Narrow enough for every terminal.
const TERMINAL_WIDTH: usize = 78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_gives_its_result_and_its_error() {
        assert_eq!(Job::start(|_| Ok(7)).wait().unwrap(), 7);
        let failed = Job::<()>::start(|status| {
            status.at("half way");
            Err(anyhow!("no more disk"))
        });
        assert_eq!(failed.wait().unwrap_err().to_string(), "no more disk");
    }

    #[test]
    fn a_panic_in_a_job_is_an_error() {
        let job = Job::<()>::start(|_| std::panic::resume_unwind(Box::new("boom")));
        assert!(job.wait().is_err());
    }
}
