//! Spans of JSON. `read` has checked the text, so this only has to find its way.

use super::{Entry, Node, Shape, Style, Syntax};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use zeroize::Zeroizing;

pub(super) fn parse(text: &str, wanted: &BTreeSet<usize>) -> Option<Syntax> {
    let mut reader = Reader { text, offset: 0 };
    let mut roots = BTreeMap::new();
    for number in 1.. {
        reader.skip("\u{feff}- \t\r\n");
        if reader.peek().is_none() {
            break;
        }
        let root = reader.value()?;
        if wanted.contains(&number) {
            roots.insert(number, root);
        }
    }
    Some(Syntax { roots, aliased: HashSet::new() })
}

struct Reader<'t> {
    text: &'t str,
    offset: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn skip(&mut self, set: &str) {
        let rest = &self.text[self.offset..];
        self.offset += rest.len() - rest.trim_start_matches(|c| set.contains(c)).len();
    }

    /// The next character that is neither white space nor a comma.
    fn peek_inside(&mut self) -> Option<u8> {
        self.skip(" \t\r\n,");
        self.peek()
    }

    fn value(&mut self) -> Option<Node> {
        self.skip(" \t\r\n");
        let start = self.offset;
        let shape = match self.peek()? {
            b'{' => Shape::Mapping { flow: true, entries: self.entries()? },
            b'[' => Shape::List { flow: true, items: self.items()? },
            b'"' => Shape::Scalar { style: Style::Double, text: self.string()? },
            _ => Shape::Scalar { style: Style::Plain, text: self.literal()? },
        };
        Some(Node { start, end: self.offset, anchor: None, tagged: false, shape })
    }

    fn entries(&mut self) -> Option<Vec<Entry>> {
        self.offset += 1;
        let mut entries = Vec::new();
        while self.peek_inside()? != b'}' {
            let key = self.value()?;
            self.skip(" \t\r\n:");
            entries.push(Entry { key, value: self.value()? });
        }
        self.offset += 1;
        Some(entries)
    }

    fn items(&mut self) -> Option<Vec<Node>> {
        self.offset += 1;
        let mut items = Vec::new();
        while self.peek_inside()? != b']' {
            items.push(self.value()?);
        }
        self.offset += 1;
        Some(items)
    }

    fn string(&mut self) -> Option<Zeroizing<String>> {
        let bytes = &self.text.as_bytes()[self.offset..];
        let mut len = 1;
        while *bytes.get(len)? != b'"' {
            len += if bytes[len] == b'\\' { 2 } else { 1 };
        }
        let written = self.text.get(self.offset..=self.offset + len)?;
        self.offset += len + 1;
        serde_json::from_str(written).ok().map(Zeroizing::new)
    }

    fn literal(&mut self) -> Option<Zeroizing<String>> {
        let rest = &self.text[self.offset..];
        let len = rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).filter(|&len| len > 0)?;
        self.offset += len;
        Some(Zeroizing::new(rest[..len].to_owned()))
    }
}
