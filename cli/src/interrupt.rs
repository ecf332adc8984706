//! SIGINT, SIGTERM and SIGHUP: the one place that listens for them.
//!
//! Without [`watch`] they end the process, as they would any. After it they are noted, and the command looks at
//! [`check`] or [`requested`] where it can stop and leave nothing half done. A second one does not wait for that.
//! Whatever must not stay behind is taken away by [`before_exit`], also when no destructor runs.

use crate::error::CommandError;
use crate::speech;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, Once, PoisonError};

/// What asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Signal {
    /// The terminal went away.
    Hangup = 1,
    /// Ctrl-C.
    Interrupt = 2,
    /// `kill`, a CI that gives up, a shutdown.
    Terminate = 15,
}

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Manner {
    /// It is noted; a second one ends the process.
    Note,
    /// As before, but SIGINT is nothing to us: it goes to a program that has the terminal.
    LeaveInterrupt,
    /// It ends the process: for what waits on a person or the network.
    Exit,
}

static NOTED: AtomicU8 = AtomicU8::new(0);
static MANNER: AtomicU8 = AtomicU8::new(Manner::Note as u8);
static BEFORE_EXIT: Mutex<Option<fn()>> = Mutex::new(None);

/// From now on signals are noted. Where they cannot be listened for they end the process, as if this had not been asked.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(error) = listen() {
            speech::warning(format_args!("signals cannot be caught: {}", crate::input::reason(&error)));
        }
    });
}

/// The signal that was noted, if there was one.
pub(crate) fn requested() -> Option<Signal> {
    Signal::from_number(NOTED.load(Ordering::SeqCst))
}

/// Fails if a signal was noted.
pub(crate) fn check() -> Result<(), CommandError> {
    requested().map_or(Ok(()), |signal| Err(CommandError::interrupted(signal)))
}

/// Does something during which signals are treated in another manner.
pub(crate) fn treated<T>(manner: Manner, act: impl FnOnce() -> T) -> T {
    /// Puts the manner back, also where the act panics.
    struct Reset(u8);
    impl Drop for Reset {
        fn drop(&mut self) {
            MANNER.store(self.0, Ordering::SeqCst);
        }
    }
    let _reset = Reset(MANNER.swap(manner as u8, Ordering::SeqCst));
    act()
}

/// What is done before a signal ends the process. It must not wait for anything.
pub(crate) fn before_exit(act: fn()) {
    *BEFORE_EXIT.lock().unwrap_or_else(PoisonError::into_inner) = Some(act);
}

fn received(signal: Signal) {
    let manner = MANNER.load(Ordering::SeqCst);
    if manner == Manner::LeaveInterrupt as u8 && signal == Signal::Interrupt {
        return;
    }
    let earlier = NOTED.swap(signal as u8, Ordering::SeqCst);
    if earlier != 0 || manner == Manner::Exit as u8 {
        exit(signal);
    }
}

#[allow(clippy::exit, reason = "the main thread may be waiting for what never comes")]
fn exit(signal: Signal) -> ! {
    if let Some(act) = *BEFORE_EXIT.lock().unwrap_or_else(PoisonError::into_inner) {
        act();
    }
    speech::error(&CommandError::interrupted(signal));
    std::process::exit(i32::from(signal.exit_status()))
}

/// Registers for the signals before it returns, and waits for them in a thread of their own.
#[cfg(unix)]
fn listen() -> std::io::Result<()> {
    use std::future::poll_fn;
    use std::task::Poll;
    use tokio::signal::unix::{SignalKind, signal};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut streams = {
        let _context = runtime.enter();
        [
            (Signal::Hangup, signal(SignalKind::hangup())?),
            (Signal::Interrupt, signal(SignalKind::interrupt())?),
            (Signal::Terminate, signal(SignalKind::terminate())?),
        ]
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        loop {
            let next = poll_fn(|context| {
                for (signal, stream) in &mut streams {
                    if let Poll::Ready(Some(())) = stream.poll_recv(context) {
                        return Poll::Ready(*signal);
                    }
                }
                Poll::Pending
            });
            received(runtime.block_on(next));
        }
    })?;
    Ok(())
}

/// Ctrl-C is the one that all systems have.
#[cfg(not(unix))]
fn listen() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            received(Signal::Interrupt);
        }
    })?;
    Ok(())
}

impl Signal {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Hangup, Self::Interrupt, Self::Terminate].into_iter().find(|signal| *signal as u8 == number)
    }

    /// As a shell tells that a signal ended a program.
    pub(crate) fn exit_status(self) -> u8 {
        128 + self as u8
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}
