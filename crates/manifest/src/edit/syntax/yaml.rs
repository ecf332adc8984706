//! Spans of YAML, from granit-parser's events.

use super::{Entry, Node, Shape, Style, Syntax};
use crate::error::Limit;
use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use zeroize::Zeroizing;

pub(super) fn parse(text: &str, wanted: &BTreeSet<usize>) -> Option<Syntax> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: Limit::DEPTH,
        block_nesting_limit: Limit::DEPTH,
    };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder { parser, aliased: HashSet::new() };
    let mut roots = BTreeMap::new();
    let mut number = 0;
    loop {
        match builder.next()? {
            (Event::StreamEnd, _) => return Some(Syntax { roots, aliased: builder.aliased }),
            (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
            (event, span) => {
                let root = builder.node(event, span)?;
                // As `read` counts: all that it lets pass are mappings and empty documents.
                if matches!(root.shape, Shape::Mapping { .. }) {
                    number += 1;
                    if wanted.contains(&number) {
                        roots.insert(number, root);
                    }
                }
            }
        }
    }
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    aliased: HashSet<usize>,
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        self.parser.next_event()?.ok()
    }

    fn node(&mut self, event: Event<'t>, span: Span) -> Option<Node> {
        let tagged = span.tag_start().is_some();
        let bytes = span.byte_range()?;
        let mut end = bytes.end;
        let (anchor, shape) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let text = Zeroizing::new(text.into_owned());
                (anchor, Shape::Scalar { style: self::style(style), text })
            }
            Event::SequenceStart(style, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, span) => break end = span.byte_range()?.end,
                        (event, span) => items.push(self.node(event, span)?),
                    }
                }
                (anchor, Shape::List { flow: style == StructureStyle::Flow, items })
            }
            Event::MappingStart(style, anchor, _) => {
                let mut entries = Vec::new();
                loop {
                    match self.next()? {
                        (Event::MappingEnd, span) => break end = span.byte_range()?.end,
                        (event, span) => {
                            let key = self.node(event, span)?;
                            let (event, span) = self.next()?;
                            entries.push(Entry { key, value: self.node(event, span)? });
                        }
                    }
                }
                (anchor, Shape::Mapping { flow: style == StructureStyle::Flow, entries })
            }
            Event::Alias(id) => {
                self.aliased.insert(id);
                (0, Shape::Alias)
            }
            _ => return None,
        };
        Some(Node { start: bytes.start, end, anchor: (anchor != 0).then_some(anchor), tagged, shape })
    }
}

fn style(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    }
}
