//! The recorded statuses.

use privyseal_tests::tools;
use serde_json::Value;
use std::collections::BTreeSet;

/// What an object is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// The API server has it, and nobody has looked at it.
    New,
    Status(Class),
    /// The spec is another than the one that the status speaks of.
    Changed(Class),
    Deleted(Class),
}

/// The classes of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Done,
    Stalled,
    Retried,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) reason: Option<String>,
    pub(crate) object: Value,
}

impl Case {
    fn of(recorded: &Value) -> Self {
        let text = |field: &str| recorded[field].as_str();
        let state = match (text("state").unwrap(), text("before")) {
            ("new", None) => State::New,
            ("changed", Some(before)) => State::Changed(Class::of(before)),
            ("deleted", Some(before)) => State::Deleted(Class::of(before)),
            (class, None) => State::Status(Class::of(class)),
            other => panic!("{other:?}"),
        };
        Self {
            name: text("name").unwrap().to_owned(),
            state,
            reason: text("reason").map(str::to_owned),
            object: recorded["object"].clone(),
        }
    }

    /// What the controller says in it.
    pub(crate) fn message(&self) -> Option<&str> {
        self.object.pointer("/status/conditions/0/message")?.as_str()
    }

    pub(crate) fn has_status(&self) -> bool {
        self.object["status"].is_object()
    }

    pub(crate) fn generation(&self) -> i64 {
        self.object["metadata"]["generation"].as_i64().unwrap()
    }
}

impl Class {
    fn of(text: &str) -> Self {
        match text {
            "done" => Self::Done,
            "stalled" => Self::Stalled,
            "retried" => Self::Retried,
            other => panic!("{other}"),
        }
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let path = tools::repository().join("tests/vectors/status/cases.json");
    let recorded: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    recorded.iter().map(Case::of).collect()
}

/// The reasons of a class, in the order of docs/status.md.
pub(crate) fn reasons(class: Class) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for case in all().into_iter().filter(|case| case.state == State::Status(class)) {
        let reason = case.reason.unwrap();
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons
}

#[test]
fn every_reason_that_the_page_has_is_recorded() {
    let page = std::fs::read_to_string(tools::repository().join("docs/status.md")).unwrap();
    for (class, word) in [(Class::Done, "done"), (Class::Stalled, "stalled"), (Class::Retried, "retried")] {
        let told: BTreeSet<String> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once(&format!("` | {word} | ")))
            .map(|(reason, _)| reason.to_owned())
            .collect();
        assert_eq!(reasons(class).into_iter().collect::<BTreeSet<_>>(), told, "{word}");
    }
    assert!(all().iter().any(|case| case.state == State::New && !case.has_status()));
}
