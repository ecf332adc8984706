//! YAML into trees: anchors, aliases and merge keys resolved within a budget.

use super::node::{Entry, Key, Kind, Node, duplicate};
use super::scalar;
use super::{Failure, Roots};
use crate::error::{Encoding, Found, Limit, Position, Problem};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, StrInput, Tag};
use std::collections::{BTreeMap, HashSet};
use zeroize::Zeroizing;

/// The trees of all documents that are not empty.
pub(super) fn parse(text: &str) -> Result<Roots, Failure> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: Limit::DEPTH,
        block_nesting_limit: Limit::DEPTH,
    };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder { parser, anchors: BTreeMap::new(), nodes: 0, alias_nodes: 0, alias_bytes: 0, depth: 0 };
    let mut roots = Vec::new();
    let fail = |(at, problem), roots: &Roots| Failure { at, document: Some(roots.len() + 1), problem };
    loop {
        match builder.next().map_err(|error| fail(error, &roots))? {
            (Event::DocumentStart(..), _) => builder.anchors.clear(),
            (Event::StreamEnd, _) => return Ok(roots),
            (Event::StreamStart | Event::DocumentEnd, _) => {}
            (event, at) => {
                let root = builder.node(event, at).map_err(|error| fail(error, &roots))?;
                if !matches!(root.kind, Kind::Null) {
                    roots.push(root);
                }
            }
        }
    }
}

type Error = (Position, Problem);

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    alias_nodes: usize,
    alias_bytes: usize,
    depth: usize,
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Position), Error> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                Ok((event, Position { line: span.start.line(), column: span.start.col() + 1 }))
            }
            Some(Err(error)) => {
                let mark = error.marker();
                Err((Position { line: mark.line(), column: mark.col() + 1 }, problem(error.kind())))
            }
            None => Ok((Event::StreamEnd, Position::START)),
        }
    }

    fn node(&mut self, event: Event<'t>, at: Position) -> Result<Node, Error> {
        self.nodes += 1;
        if self.nodes > Limit::NODES {
            return Err((at, Problem::Limit(Limit::Nodes)));
        }
        let (anchor, kind) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text = Zeroizing::new(text.into_owned());
                (anchor, typed_scalar(text, style == ScalarStyle::Plain, tag.as_deref()))
            }
            Event::SequenceStart(_, anchor, tag) => {
                let items = self.nested(at, Self::list)?;
                (anchor, if collection_tag(tag.as_deref(), "seq") { Kind::List(items) } else { Kind::Tagged })
            }
            Event::MappingStart(_, anchor, tag) => {
                let entries = self.nested(at, |builder| builder.mapping(at))?;
                (anchor, if collection_tag(tag.as_deref(), "map") { Kind::Mapping(entries) } else { Kind::Tagged })
            }
            Event::Alias(id) => return self.alias(id, at),
            _ => return Err((at, syntax("a node was expected"))),
        };
        let node = Node { at, kind };
        if anchor != 0 {
            self.spend_on_alias(&node, at, 0)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn nested<T>(&mut self, at: Position, inner: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth += 1;
        if self.depth > Limit::DEPTH {
            return Err((at, Problem::Limit(Limit::Depth)));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn list(&mut self) -> Result<Vec<Node>, Error> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, at) => items.push(self.node(event, at)?),
            }
        }
    }

    fn mapping(&mut self, at: Position) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (key_event, key_at) = self.next()?;
            if matches!(key_event, Event::MappingEnd) {
                break;
            }
            let is_merge = matches!(&key_event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.key(key_event, key_at)?;
            let (event, value_at) = self.next()?;
            let value = self.node(event, value_at)?;
            if is_merge {
                merged.push(value);
            } else {
                entries.push(Entry { key, value });
            }
        }
        if let Some((first, second)) = duplicate(&entries) {
            return Err((second, Problem::DuplicateKey { first }));
        }
        if !merged.is_empty() {
            merge(&mut entries, merged).ok_or((at, syntax("`<<` takes a mapping, or a list of mappings")))?;
        }
        Ok(entries)
    }

    fn key(&mut self, event: Event<'t>, at: Position) -> Result<Key, Error> {
        let spelled = match &event {
            Event::Scalar(text, ..) => Some(Zeroizing::new(text.clone().into_owned())),
            _ => None,
        };
        let node = self.node(event, at)?;
        match (node.kind, spelled) {
            (Kind::Text(text), _) => Ok(Key { at, text, not_text: None }),
            (Kind::Tagged, Some(text)) => Ok(Key { at, text, not_text: Some(Found::Text) }),
            (kind, Some(text)) => {
                let not_text = if scalar::same_key(&text, &kind) { None } else { Node { at, kind }.found() };
                Ok(Key { at, text, not_text })
            }
            _ => Err((at, syntax("a key must be text"))),
        }
    }

    fn alias(&mut self, id: usize, at: Position) -> Result<Node, Error> {
        let Some(target) = self.anchors.remove(&id) else {
            return Err((at, syntax("an alias that refers to itself, or to nothing")));
        };
        self.spend_on_alias(&target, at, self.depth)?;
        let node = Node { at, kind: target.kind.clone() };
        self.anchors.insert(id, target);
        Ok(node)
    }

    /// Counts what a copy costs before it is made.
    fn spend_on_alias(&mut self, node: &Node, at: Position, depth: usize) -> Result<(), Error> {
        self.alias_nodes += 1;
        let spend = |builder: &mut Self, child: &Node| builder.spend_on_alias(child, at, depth + 1);
        match &node.kind {
            Kind::Text(text) => self.alias_bytes += text.len(),
            Kind::List(items) => items.iter().try_for_each(|item| spend(self, item))?,
            Kind::Mapping(entries) => entries.iter().try_for_each(|entry| {
                self.alias_bytes += entry.key.text.len();
                spend(self, &entry.value)
            })?,
            _ => {}
        }
        if self.alias_nodes > Limit::ALIAS_NODES || self.alias_bytes > Limit::ALIAS_BYTES {
            return Err((at, Problem::Limit(Limit::Aliases)));
        }
        if depth > Limit::DEPTH {
            return Err((at, Problem::Limit(Limit::Depth)));
        }
        Ok(())
    }
}

/// Adds the entries of merged mappings: an explicit key wins, then an earlier mapping.
fn merge(entries: &mut Vec<Entry>, merged: Vec<Node>) -> Option<()> {
    let mut present: HashSet<String> = entries.iter().map(|entry| (*entry.key.text).clone()).collect();
    for node in merged {
        let mappings = match node.kind {
            Kind::List(items) => items,
            kind => vec![Node { at: node.at, kind }],
        };
        for mapping in mappings {
            let Kind::Mapping(more) = mapping.kind else { return None };
            entries.extend(more.into_iter().filter(|entry| present.insert((*entry.key.text).clone())));
        }
    }
    Some(())
}

fn typed_scalar(text: Zeroizing<String>, plain: bool, tag: Option<&Tag>) -> Kind {
    let Some(tag) = tag else {
        return if plain { scalar::resolve(&text) } else { Kind::Text(text) };
    };
    if is_non_specific(tag) {
        return Kind::Text(text);
    }
    let resolved = match tag.core_suffix() {
        Some("str") => return Kind::Text(text),
        Some("null" | "bool" | "int" | "float") => scalar::resolve(&text),
        _ => return Kind::Tagged,
    };
    match (tag.core_suffix(), &resolved) {
        (Some("null"), Kind::Null) | (Some("bool"), Kind::Boolean(_)) | (Some("float"), Kind::Number(_)) => resolved,
        (Some("int"), Kind::Number(number)) if !number.is_f64() => resolved,
        _ => Kind::Tagged,
    }
}

fn collection_tag(tag: Option<&Tag>, core: &str) -> bool {
    tag.is_none_or(|tag| is_non_specific(tag) || tag.core_suffix() == Some(core))
}

/// A lone `!`: text if scalar, whatever it looks like.
fn is_non_specific(tag: &Tag) -> bool {
    tag.handle().is_empty() && tag.suffix() == "!" || tag.handle() == "!" && tag.suffix().is_empty()
}

fn syntax(reason: &str) -> Problem {
    Problem::Syntax { encoding: Encoding::Yaml, reason: reason.to_owned() }
}

/// The parser's texts are fixed, but for those that name a character of the input.
fn problem(kind: &ErrorKind) -> Problem {
    match kind {
        ErrorKind::RecursionLimitExceeded => Problem::Limit(Limit::Depth),
        ErrorKind::UnexpectedCharacter { .. } => syntax("a character that may not stand here"),
        ErrorKind::Custom(_) | ErrorKind::InputDecoding { .. } | ErrorKind::InputIo { .. } => syntax("unreadable"),
        fixed => syntax(&fixed.to_string()),
    }
}
