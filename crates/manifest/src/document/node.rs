//! The tree that YAML and JSON are read into: untyped, each node with its place, scalars wiped when dropped.

use crate::error::{Found, Position};
use serde_json::{Number, Value};
use zeroize::Zeroizing;

/// A scalar or collection and where it starts.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) kind: Kind,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Null,
    Boolean(bool),
    Number(Number),
    Text(Zeroizing<String>),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
    /// Carries a YAML tag that Kubernetes does not know. An error as soon as anyone asks for the value, so that a
    /// file of something else (a Helm chart, a CI pipeline) can still be looked at.
    Tagged,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Node,
}

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) at: Position,
    pub(crate) text: Zeroizing<String>,
    /// Set when YAML reads the key as something other than text, and Kubernetes would give it another name
    /// (`on` becomes `true`, `010` becomes `8`).
    pub(crate) not_text: Option<Found>,
}

impl Node {
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn found(&self) -> Option<Found> {
        self.kind.found()
    }

    /// The value of a key, if this is a mapping that has it.
    pub(crate) fn child(&self, name: &str) -> Option<&Node> {
        let Kind::Mapping(entries) = &self.kind else { return None };
        entries.iter().find(|entry| entry.key.is(name)).map(|entry| &entry.value)
    }

    /// Whether two trees say the same, in whatever order and wherever they stand.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Null, Kind::Null) | (Kind::Tagged, Kind::Tagged) => true,
            (Kind::Boolean(a), Kind::Boolean(b)) => a == b,
            (Kind::Number(a), Kind::Number(b)) => a == b,
            (Kind::Text(a), Kind::Text(b)) => a == b,
            (Kind::List(a), Kind::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Kind::Mapping(a), Kind::Mapping(b)) => {
                a.len() == b.len()
                    && by_key(a).into_iter().zip(by_key(b)).all(|(a, b)| {
                        (&a.key.text, a.key.not_text) == (&b.key.text, b.key.not_text)
                            && a.value.same(&b.value)
                    })
            }
            _ => false,
        }
    }

    /// Moves it down: a part of a text was read, and so many lines stand above it.
    pub(crate) fn shift(&mut self, lines: usize) {
        self.at.line += lines;
        match &mut self.kind {
            Kind::List(items) => items.iter_mut().for_each(|item| item.shift(lines)),
            Kind::Mapping(entries) => {
                for entry in entries {
                    entry.key.at.line += lines;
                    entry.value.shift(lines);
                }
            }
            _ => {}
        }
    }

    /// For the fields that hold no plaintext. None if a tag is in the way; nulls within collections stay.
    pub(crate) fn to_json(&self) -> Option<Value> {
        Some(match &self.kind {
            Kind::Null => Value::Null,
            Kind::Boolean(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::Text(text) => Value::String((**text).clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_json).collect::<Option<_>>()?),
            Kind::Mapping(entries) => {
                let pairs = entries.iter().map(|Entry { key, value }| {
                    let name = key.not_text.is_none().then(|| (*key.text).clone())?;
                    Some((name, value.to_json()?))
                });
                Value::Object(pairs.collect::<Option<_>>()?)
            }
            Kind::Tagged => return None,
        })
    }
}

impl Kind {
    pub(crate) fn found(&self) -> Option<Found> {
        Some(match self {
            Kind::Null => Found::Null,
            Kind::Boolean(_) => Found::Boolean,
            Kind::Number(_) => Found::Number,
            Kind::Text(_) => Found::Text,
            Kind::List(_) => Found::List,
            Kind::Mapping(_) => Found::Mapping,
            Kind::Tagged => return None,
        })
    }
}

impl Key {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.not_text.is_none() && *self.text == name
    }
}

fn by_key(entries: &[Entry]) -> Vec<&Entry> {
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort_by(|a, b| a.key.text.cmp(&b.key.text));
    entries
}

/// The places of two equal keys, if there are any.
pub(crate) fn duplicate(entries: &[Entry]) -> Option<(Position, Position)> {
    let mut keys: Vec<&Key> = entries.iter().map(|entry| &entry.key).collect();
    keys.sort_by(|a, b| a.text.cmp(&b.text).then(a.at.cmp(&b.at)));
    let pair = keys.windows(2).find(|pair| pair[0].text == pair[1].text)?;
    Some((pair[0].at, pair[1].at))
}
