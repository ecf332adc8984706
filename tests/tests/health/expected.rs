//! The rule: what each reader has to make of each state.

use crate::cases::{Case, Class, State};

/// Whom one may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Flux with `wait: true`, and all that use kstatus.
    Kstatus,
    /// Flux with the expressions that it documents for SealedSecrets.
    Expressions,
    /// The check that Argo CD has built in.
    ArgoCd,
    /// The one that it had before.
    ArgoCdBefore,
    /// The one of `deploy/argocd`.
    ArgoCdOurs,
}

impl Reader {
    pub(crate) const ALL: [Self; 5] =
        [Self::Kstatus, Self::Expressions, Self::ArgoCd, Self::ArgoCdBefore, Self::ArgoCdOurs];
}

/// A verdict, and whether the reader tells what the controller says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) word: &'static str,
    pub(crate) tells: bool,
}

pub(crate) fn expected(reader: Reader, case: &Case) -> Verdict {
    let (word, tells) = match reader {
        Reader::Kstatus => kstatus(case),
        Reader::Expressions => (expressions(case), false),
        Reader::ArgoCd | Reader::ArgoCdBefore | Reader::ArgoCdOurs => argo_cd(reader, case.state),
    };
    Verdict { word, tells }
}

/// Whether a `kubectl wait` for this ends well, by its name in [`WAITS`](crate::kubectl::WAITS).
pub(crate) fn is_met(case: &Case, what: &str) -> bool {
    match what {
        "Ready" | "Synced" => case.state == State::Status(Class::Done),
        "Stalled" => case.state == State::Status(Class::Stalled),
        // A path into the status knows nothing of generations, as a condition does.
        "jsonpath" => matches!(
            case.state,
            State::Status(Class::Done) | State::Changed(Class::Done) | State::Deleted(Class::Done)
        ),
        other => panic!("{other}"),
    }
}

fn kstatus(case: &Case) -> (&'static str, bool) {
    match case.state {
        // Nothing is known against it. That is why our definition has a default.
        State::New if !case.has_status() => ("Current", false),
        State::New | State::Changed(_) => ("InProgress", false),
        // What it says then is its own, as for every object that is well.
        State::Status(Class::Done) => ("Current", false),
        State::Status(Class::Stalled) => ("Failed", true),
        State::Status(Class::Retried) => ("InProgress", true),
        State::Deleted(_) => ("Terminating", false),
    }
}

fn expressions(case: &Case) -> &'static str {
    match case.state {
        // They fail where there is no status.
        State::New if !case.has_status() => "Unknown",
        // A deletion is a change to them.
        State::New | State::Changed(_) | State::Deleted(_) => "InProgress",
        State::Status(class) => match class {
            Class::Done => "Current",
            Class::Stalled => "Failed",
            Class::Retried => "InProgress",
        },
    }
}

fn argo_cd(reader: Reader, state: State) -> (&'static str, bool) {
    match state {
        State::New | State::Deleted(_) => ("Progressing", false),
        State::Changed(_) if reader != Reader::ArgoCdBefore => ("Progressing", false),
        State::Status(class) | State::Changed(class) => match class {
            Class::Done => ("Healthy", true),
            Class::Stalled => ("Degraded", true),
            // Those of Argo CD have a sentence of their own for it.
            Class::Retried => ("Progressing", reader == Reader::ArgoCdOurs),
        },
    }
}
