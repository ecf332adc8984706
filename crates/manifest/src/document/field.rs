//! A node on its way to a type: it knows the path that led to it, so that whatever is wrong can be said in place.

use super::Origin;
use super::node::{Entry, Key, Kind, Node};
use crate::error::{DocumentError, Found, Problem, TEXT};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// A node, the path to it, and the document it stands in.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    origin: &'a Origin,
    parent: Option<&'a Field<'a>>,
    step: Step<'a>,
    node: &'a Node,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    /// A field of a schema, by its fixed name.
    Known(&'static str),
    /// A key of a map.
    Key(&'a str),
    Index(usize),
}

impl<'a> Field<'a> {
    pub(super) fn root(origin: &'a Origin, node: &'a Node) -> Self {
        Self { origin, parent: None, step: Step::Root, node }
    }

    fn child<'c>(&'c self, step: Step<'c>, node: &'c Node) -> Field<'c> {
        Field { origin: self.origin, parent: Some(self), step, node }
    }

    pub(super) fn error(&self, problem: Problem) -> DocumentError {
        self.origin.error(self.node.at, Some(self.path()), problem)
    }

    /// That a field of this one is not there.
    pub(super) fn missing(&self, name: &'static str) -> DocumentError {
        self.child(Step::Known(name), self.node).error(Problem::Missing)
    }

    fn wrong_type(&self, expected: &'static str) -> DocumentError {
        self.error(match self.node.found() {
            Some(found) => Problem::WrongType { expected, found },
            None => Problem::UnsupportedTag,
        })
    }

    fn bad_key(&self, key: &Key, problem: Problem) -> DocumentError {
        self.origin.error(key.at, Some(self.path()), problem)
    }

    /// Checks that this is a mapping.
    pub(super) fn mapping(&self) -> Result<(), DocumentError> {
        if matches!(self.node.kind, Kind::Mapping(_)) { Ok(()) } else { Err(self.wrong_type("a mapping")) }
    }

    fn entries(&self) -> Result<&'a [Entry], DocumentError> {
        let Kind::Mapping(entries) = &self.node.kind else { return Err(self.wrong_type("a mapping")) };
        match entries.iter().find_map(|entry| Some((&entry.key, entry.key.not_text?))) {
            Some((key, found)) => Err(self.bad_key(key, Problem::KeyNotText { found })),
            None => Ok(entries),
        }
    }

    /// Checks that this is a mapping with no field but the known ones.
    pub(super) fn closed(&self, known: &[&'static str]) -> Result<(), DocumentError> {
        self.check_names(known, |suggestion| Some(Problem::UnknownField { suggestion }))
    }

    /// Checks that this is a mapping, and that no field is a misspelling of a known one.
    pub(super) fn open(&self, known: &[&'static str]) -> Result<(), DocumentError> {
        self.check_names(known, |suggestion| {
            suggestion.map(|name| Problem::UnknownField { suggestion: Some(name) })
        })
    }

    fn check_names(
        &self,
        known: &[&'static str],
        judge: impl Fn(Option<&'static str>) -> Option<Problem>,
    ) -> Result<(), DocumentError> {
        for Entry { key, .. } in self.entries()? {
            if known.contains(&key.text.as_str()) {
                continue;
            }
            if let Some(problem) = judge(similar(&key.text, known)) {
                return Err(self.bad_key(key, problem));
            }
        }
        Ok(())
    }

    /// A field of this one; null is none.
    pub(super) fn get<'c>(&'c self, name: &'static str) -> Option<Field<'c>> {
        let node = self.node.child(name)?;
        (!matches!(node.kind, Kind::Null)).then(|| self.child(Step::Known(name), node))
    }

    /// The entries of a map.
    pub(super) fn each<'c>(&'c self) -> Result<impl Iterator<Item = (&'c str, Field<'c>)>, DocumentError> {
        let entries: &'c [Entry] = self.entries()?;
        Ok(entries
            .iter()
            .map(|Entry { key, value }| (key.text.as_str(), self.child(Step::Key(&key.text), value))))
    }

    pub(super) fn text(&self) -> Result<&'a str, DocumentError> {
        self.node.text().ok_or_else(|| self.wrong_type(TEXT))
    }

    /// Text as the value of a map of text, where Kubernetes takes null for empty.
    pub(super) fn text_or_null(&self) -> Result<&'a str, DocumentError> {
        if matches!(self.node.kind, Kind::Null) { Ok("") } else { self.text() }
    }

    pub(super) fn boolean(&self) -> Result<bool, DocumentError> {
        match self.node.kind {
            Kind::Boolean(value) => Ok(value),
            _ => Err(self.wrong_type("a boolean")),
        }
    }

    pub(super) fn text_map(&self) -> Result<BTreeMap<String, String>, DocumentError> {
        self.each()?.map(|(key, value)| Ok((key.to_owned(), value.text_or_null()?.to_owned()))).collect()
    }

    /// As [`Self::text_map`], where null means something.
    pub(super) fn optional_text_map(&self) -> Result<BTreeMap<String, Option<String>>, DocumentError> {
        let optional = |value: Field<'_>| match value.node.kind {
            Kind::Null => Ok(None),
            _ => value.text().map(|text| Some(text.to_owned())),
        };
        self.each()?.map(|(key, value)| Ok((key.to_owned(), optional(value)?))).collect()
    }

    pub(super) fn text_list(&self) -> Result<Vec<String>, DocumentError> {
        let Kind::List(items) = &self.node.kind else { return Err(self.wrong_type("a list")) };
        let texts = items.iter().enumerate();
        texts
            .map(|(index, item)| Ok(self.child(Step::Index(index), item).text_or_null()?.to_owned()))
            .collect()
    }

    pub(super) fn json(&self) -> Result<Value, DocumentError> {
        self.node.to_json().ok_or_else(|| self.error(Problem::UnsupportedTag))
    }

    /// What a type of Kubernetes or ours makes of it. Its own errors may quote values, so they are dropped.
    ///
    /// What could not be read again once it is written is refused: of times, jiff reads years that Kubernetes does not
    /// have (`-000001-01-01T00:00:00Z`), and would write them in another way.
    pub(super) fn typed<T>(&self, expected: &'static str) -> Result<T, DocumentError>
    where
        T: DeserializeOwned + Serialize,
    {
        let read = |json: Value| serde_json::from_value::<T>(json).ok();
        let reads_back = |value: &T| serde_json::to_value(value).ok().and_then(read).is_some();
        read(self.json()?).filter(reads_back).ok_or_else(|| {
            self.error(Problem::WrongType { expected, found: self.node.found().unwrap_or(Found::Null) })
        })
    }

    /// As Kubernetes writes paths: `metadata.labels[app.kubernetes.io/name]`. Stops before a key that is no ordinary
    /// name: in a broken document it may be plaintext.
    fn path(&self) -> String {
        let mut path = match (self.parent, self.origin.item) {
            (Some(parent), _) => parent.path(),
            (None, Some(item)) => return format!("items[{item}]"),
            (None, None) => return String::new(),
        };
        match self.step {
            Step::Root => {}
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Known(name) => dotted(&mut path, name),
            Step::Key(key) => push_key(&mut path, key),
        }
        path
    }
}

/// A path of keys, written the same.
pub(super) fn written_path(item: Option<usize>, keys: &[String]) -> String {
    let mut path = item.map(|item| format!("items[{item}]")).unwrap_or_default();
    keys.iter().for_each(|key| push_key(&mut path, key));
    path
}

fn push_key(path: &mut String, key: &str) {
    if is_ordinary(key) && key.contains(['.', '/']) {
        path.push_str(&format!("[{key}]"));
    } else if is_ordinary(key) {
        dotted(path, key);
    }
}

fn dotted(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// The characters and length that a label's or annotation's name may have.
fn is_ordinary(key: &str) -> bool {
    (1..=317).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
}

/// The known name that was perhaps meant: the same but for case, or one edit away.
fn similar(text: &str, known: &[&'static str]) -> Option<&'static str> {
    let same = known.iter().find(|name| name.eq_ignore_ascii_case(text));
    same.or_else(|| known.iter().find(|name| name.len() > 3 && one_edit(name.as_bytes(), text.as_bytes())))
        .copied()
}

/// Whether two words differ by one character inserted, left out or replaced, or by two neighbours swapped.
fn one_edit(a: &[u8], b: &[u8]) -> bool {
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[head..], &b[head..]);
    match (a, b) {
        ([], [_]) | ([_], []) => true,
        ([x, a_tail @ ..], [y, b_tail @ ..]) => {
            a_tail == b_tail
                || a == b_tail
                || a_tail == b
                || matches!((a_tail, b_tail), ([p, a_rest @ ..], [q, b_rest @ ..]) if p == y && q == x && a_rest == b_rest)
        }
        _ => false,
    }
}
