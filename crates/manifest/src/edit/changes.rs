//! The changes of one document, merged into a tree of field names.

use super::Pass;
use std::collections::BTreeMap;

/// What happens to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Set(String),
    Remove,
    /// Something within it.
    Within(Changes),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes(BTreeMap<String, Change>);

impl Changes {
    /// Adds the change of one path. False if it contradicts another, or the path is empty.
    pub(super) fn add(&mut self, path: &[String], change: &Change) -> bool {
        match path {
            [] => false,
            [name] => match self.0.get(name) {
                Some(present) => present == change,
                None => {
                    self.0.insert(name.clone(), change.clone());
                    true
                }
            },
            [name, rest @ ..] => {
                let within = || Change::Within(Self::default());
                match self.0.entry(name.clone()).or_insert_with(within) {
                    Change::Within(changes) => changes.add(rest, change),
                    _ => false,
                }
            }
        }
    }

    /// Whether there is anything to do in a pass.
    pub(super) fn has(&self, pass: Pass) -> bool {
        self.0.values().any(|change| change.has(pass))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Change> {
        self.0.get(name)
    }

    /// Those of a pass, by name.
    pub(super) fn of(&self, pass: Pass) -> impl Iterator<Item = (&str, &Change)> {
        self.0
            .iter()
            .filter(move |(_, change)| change.has(pass))
            .map(|(name, change)| (name.as_str(), change))
    }
}

impl Change {
    pub(super) fn has(&self, pass: Pass) -> bool {
        match self {
            Self::Set(_) => pass == Pass::Set,
            Self::Remove => pass == Pass::Remove,
            Self::Within(changes) => changes.has(pass),
        }
    }
}
