//! What is said to people: on stderr, in lines that begin with `error:`, `hint:`, `warning:` or `note:`.
//!
//! stdout belongs to data. Colours go when stderr is no terminal or `NO_COLOR` is set. If stderr is gone, nobody
//! listens, and nothing fails for it.

use crate::error::{CommandError, ErrorKind};
use clap::builder::styling::{AnsiColor, Effects, Style};
use std::fmt::Display;
use std::io::Write as _;

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
    if error.kind() == ErrorKind::BrokenPipe {
        return;
    }
    for (message, hints) in error.reports() {
        say(ERROR, "error", message);
        for hint in hints {
            say(HINT, "hint", hint);
        }
    }
}

fn say(style: Style, word: &str, text: impl Display) {
    let mut stderr = anstream::stderr().lock();
    let _ = writeln!(stderr, "{style}{word}:{style:#} {text}");
}

const ERROR: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
const WARNING: Style = AnsiColor::Yellow.on_default().effects(Effects::BOLD);
const HINT: Style = AnsiColor::Cyan.on_default().effects(Effects::BOLD);
const NOTE: Style = AnsiColor::Green.on_default().effects(Effects::BOLD);
