//! What is said to people: on stderr, in lines that begin with `error:`, `hint:`, `warning:` or `note:`.
//!
//! stdout belongs to data. Colours go when stderr is no terminal or `NO_COLOR` is set. If stderr is gone, nobody
//! listens, and nothing fails for it.

use crate::error::CommandError;
use clap::builder::styling::{AnsiColor, Effects, Style};
use std::fmt::Display;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};

/// Something that the person should know, and that changes nothing.
pub(crate) fn note(text: impl Display) {
    say(NOTE, "note", text);
}

/// Something that may be a mistake.
pub(crate) fn warning(text: impl Display) {
    say(WARNING, "warning", text);
}

/// Why the command failed, and what to do.
pub(crate) fn error(error: &CommandError) {
    if error.kind().is_quiet() {
        return;
    }
    for (message, hints) in error.reports() {
        say(ERROR, "error", message);
        for hint in hints {
            say(HINT, "hint", hint);
        }
    }
}

/// Asks on the terminal, whatever stdin and stdout are; nothing if there is no terminal, or nobody to see it.
pub(crate) fn confirm(question: &str) -> Option<bool> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let mut terminal = BufReader::new(terminal()?);
    {
        // Not held while the person thinks: a signal may have something to say.
        let mut stderr = anstream::stderr().lock();
        let _ = write!(stderr, "{question} [y/N] ");
        let _ = stderr.flush();
    }
    let mut answer = String::new();
    terminal.read_line(&mut answer).ok()?;
    Some(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}

#[cfg(unix)]
fn terminal() -> Option<impl Read> {
    std::fs::File::open("/dev/tty").ok()
}

#[cfg(not(unix))]
fn terminal() -> Option<impl Read> {
    std::io::stdin().is_terminal().then(std::io::stdin)
}

fn say(style: Style, word: &str, text: impl Display) {
    let mut stderr = anstream::stderr().lock();
    let _ = writeln!(stderr, "{style}{word}:{style:#} {text}");
}

const ERROR: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
const WARNING: Style = AnsiColor::Yellow.on_default().effects(Effects::BOLD);
const HINT: Style = AnsiColor::Cyan.on_default().effects(Effects::BOLD);
const NOTE: Style = AnsiColor::Green.on_default().effects(Effects::BOLD);
