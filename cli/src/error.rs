//! What a command fails with: a kind that fixes the exit status, what happened, and what to do about it.
//!
//! | status | when |
//! |---|---|
//! | 0 | done |
//! | 1 | it failed, or found something, or does not open |
//! | 2 | usage, or input that cannot be read |
//! | 3 | cluster not reachable |
//! | 129, 130, 143 | ended by SIGHUP, SIGINT or SIGTERM, where these are caught |
//! | 141 | whoever read stdout went away: as if SIGPIPE had ended us, and as quietly |
//!
//! No message holds a value. Texts that come from outside (file names, item names) go through [`Shown`].

use crate::interrupt::Signal;
use privyseal_manifest::DocumentError;
use std::fmt::{self, Display};
use std::process::ExitCode;

/// Why a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// It failed, or does not open.
    Failed,
    /// Usage, or input that cannot be read.
    Input,
    /// The cluster cannot be reached.
    Unreachable,
    /// The reader of stdout went away.
    BrokenPipe,
    /// Nothing failed: what was compared differs, and stdout says how.
    Different,
    /// A signal asked it to end.
    Interrupted(Signal),
}

impl ErrorKind {
    /// The one place where a kind becomes an exit status.
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed | Self::Different => 1,
            Self::Input => 2,
            Self::Unreachable => 3,
            // 128 + SIGPIPE. Rust ignores the signal at start, so that a lost connection is an error and not a death.
            Self::BrokenPipe => 141,
            Self::Interrupted(signal) => signal.exit_status(),
        })
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_quiet(self) -> bool {
        matches!(self, Self::BrokenPipe | Self::Different)
    }
}

/// A command failed.
#[derive(Debug)]
pub(crate) struct CommandError {
    kind: ErrorKind,
    source: Box<dyn std::error::Error + Send + Sync>,
    hints: Vec<String>,
    /// Found in the same run.
    more: Vec<CommandError>,
}

impl CommandError {
    fn new(kind: ErrorKind, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind, source: source.into(), hints: Vec::new(), more: Vec::new() }
    }

    /// Exit status 1.
    pub(crate) fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Failed, source)
    }

    /// Exit status 2.
    pub(crate) fn input(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Input, source)
    }

    /// Exit status 3.
    pub(crate) fn unreachable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Unreachable, source)
    }

    /// Ends quietly.
    pub(crate) fn broken_pipe() -> Self {
        Self::new(ErrorKind::BrokenPipe, "the reader of stdout went away")
    }

    /// Exit status 1, quietly.
    pub(crate) fn different() -> Self {
        Self::new(ErrorKind::Different, "there are differences")
    }

    /// Ends as a signal asked.
    pub(crate) fn interrupted(signal: Signal) -> Self {
        Self::new(ErrorKind::Interrupted(signal), format!("ended by {signal}"))
    }

    /// The same, of a kind that the command prefers.
    pub(crate) fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Joins what was found in one run; the first one's kind is the exit status.
    pub(crate) fn all(errors: Vec<Self>) -> Result<(), Self> {
        let mut errors = errors.into_iter();
        let Some(mut first) = errors.next() else { return Ok(()) };
        first.more.extend(errors);
        Err(first)
    }

    /// What fixes the exit status.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Every report: this error and those found beside it, each with its hints. A hint that several share comes once,
    /// after the last of them. An error that many files share, such as that no key is given, comes once.
    pub(crate) fn reports(&self) -> Vec<(String, Vec<&str>)> {
        let mut flat = Vec::new();
        self.flatten(&mut flat);
        let mut reports: Vec<(String, Vec<&str>)> = Vec::new();
        let mut told = std::collections::BTreeSet::new();
        for error in flat.into_iter().rev() {
            let text = error.source.to_string();
            let hints: Vec<_> =
                error.hints.iter().map(String::as_str).filter(|hint| told.insert(*hint)).collect();
            match reports.iter_mut().find(|(known, _)| *known == text) {
                Some((_, known)) => known.extend(hints),
                None => reports.push((text, hints)),
            }
        }
        reports.reverse();
        reports
    }

    fn flatten<'a>(&'a self, out: &mut Vec<&'a Self>) {
        out.push(self);
        for error in &self.more {
            error.flatten(out);
        }
    }
}

/// A document that cannot be read.
impl From<DocumentError> for CommandError {
    fn from(error: DocumentError) -> Self {
        let hint = error.hint();
        let this = Self::input(error);
        match hint {
            Some(hint) => this.hint(hint),
            None => this,
        }
    }
}

/// Text from outside, made safe for a terminal: control characters, and those that reorder or hide text, are escaped.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match is_unsafe(character) {
            true => write!(f, "{}", character.escape_unicode()),
            false => write!(f, "{character}"),
        })
    }
}

/// Control characters, line and paragraph separators, and the invisible ones that change the direction of text.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_are_shown_and_not_sent() {
        let shown = |text| Shown(text).to_string();
        assert_eq!(shown("a\x1b]0;x\x07b"), "a\\u{1b}]0;x\\u{7}b");
        assert_eq!(shown("gnp\u{202e}.exe"), "gnp\\u{202e}.exe");
        assert_eq!(shown("Grüße/日本 'x' \\y"), "Grüße/日本 'x' \\y");
    }

    #[test]
    fn a_shared_hint_comes_once_and_the_first_kind_decides() {
        let errors =
            vec![CommandError::failed("a").hint("same"), CommandError::input("b").hint("same").hint("other")];
        let joined = CommandError::all(errors).unwrap_err();
        assert_eq!(joined.kind(), ErrorKind::Failed);
        assert_eq!(joined.reports(), [("a".to_owned(), vec![]), ("b".to_owned(), vec!["same", "other"])]);
        assert!(CommandError::all(Vec::new()).is_ok());
    }

    #[test]
    fn an_error_that_many_files_share_comes_once() {
        let errors = ["no key", "x.yaml: bad", "no key"].map(|text| CommandError::input(text).hint("cure"));
        let joined = CommandError::all(errors.into()).unwrap_err();
        assert_eq!(
            joined.reports(),
            [("x.yaml: bad".to_owned(), vec![]), ("no key".to_owned(), vec!["cure"])]
        );
    }
}
