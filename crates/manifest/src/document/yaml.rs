//! YAML into trees: anchors, aliases and merge keys resolved within a budget.

use super::node::{Entry, Key, Kind, Node, duplicate};
use super::scalar;
use super::{Failure, Roots};
use crate::error::{Encoding, Limit, Position, Problem};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, StrInput, Tag};
use std::collections::{BTreeMap, HashMap};
use zeroize::Zeroizing;

/// The trees of all documents that are not empty, of so many nodes at most.
pub(super) fn parse(text: &str, max_nodes: usize) -> Result<Roots, Failure> {
    if let Some(offset) = text.find(OTHER_BREAKS) {
        let problem = syntax("a raw U+0085, U+2028 or U+2029; write it as \\N, \\L or \\P in double quotes");
        return Err(Failure { at: Position::after(&text[..offset]), document: None, problem });
    }
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: Limit::DEPTH,
        block_nesting_limit: Limit::DEPTH,
    };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder {
        parser,
        anchors: BTreeMap::new(),
        max_nodes,
        nodes: 0,
        alias_nodes: 0,
        alias_bytes: 0,
        depth: 0,
    };
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

/// Line breaks in YAML 1.1, which `kubectl` reads, and not in 1.2: a comment for one is a field for the other.
const OTHER_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: BTreeMap<usize, Node>,
    max_nodes: usize,
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
        if self.nodes > self.max_nodes {
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
                let entries = self.nested(at, Self::mapping)?;
                (
                    anchor,
                    if collection_tag(tag.as_deref(), "map") { Kind::Mapping(entries) } else { Kind::Tagged },
                )
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

    fn nested<T>(
        &mut self,
        at: Position,
        inner: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
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

    fn mapping(&mut self) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let mut merge_key: Option<(Position, Node)> = None;
        loop {
            let (key_event, key_at) = self.next()?;
            if matches!(key_event, Event::MappingEnd) {
                break;
            }
            let is_merge =
                matches!(&key_event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.key(key_event, key_at)?;
            let (event, value_at) = self.next()?;
            let value = self.node(event, value_at)?;
            if !is_merge {
                entries.push(Entry { key, value });
            } else if let Some((first, _)) = merge_key.replace((key_at, value)) {
                return Err((key_at, Problem::DuplicateKey { first }));
            }
        }
        if let Some((first, second)) = duplicate(&entries) {
            return Err((second, Problem::DuplicateKey { first }));
        }
        if let Some((merge_at, merged)) = merge_key {
            merge(&mut entries, merge_at, merged)?;
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
            (kind, Some(text)) if !matches!(kind, Kind::Tagged) => {
                let same = scalar::same_key(&text, &kind);
                Ok(Key { at, text, not_text: Node { at, kind }.found().filter(|_| !same) })
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
///
/// An explicit key that stands before `<<` wins by the specification and loses in `kubectl`, so it is refused.
fn merge(entries: &mut Vec<Entry>, merge_at: Position, merged: Node) -> Result<(), Error> {
    let mut present: HashMap<String, Position> =
        entries.iter().map(|Entry { key, .. }| ((*key.text).clone(), key.at)).collect();
    let explicit = present.clone();
    let mappings = match merged.kind {
        Kind::List(items) => items,
        kind => vec![Node { at: merged.at, kind }],
    };
    for mapping in mappings {
        let Kind::Mapping(more) = mapping.kind else {
            return Err((mapping.at, syntax("`<<` takes a mapping, or a list of mappings")));
        };
        for entry in more {
            let text = (*entry.key.text).clone();
            match explicit.get(&text) {
                Some(&first) if first < merge_at => return Err((merge_at, Problem::DuplicateKey { first })),
                _ => {}
            }
            if present.insert(text, entry.key.at).is_none() {
                entries.push(entry);
            }
        }
    }
    Ok(())
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
        (Some("null"), Kind::Null) | (Some("bool"), Kind::Boolean(_)) | (Some("float"), Kind::Number(_)) => {
            resolved
        }
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
        ErrorKind::Custom(_) | ErrorKind::InputDecoding { .. } | ErrorKind::InputIo { .. } => {
            syntax("unreadable")
        }
        fixed => syntax(&fixed.to_string()),
    }
}
