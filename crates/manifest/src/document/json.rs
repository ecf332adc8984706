//! JSON into trees. Strict (RFC 8259), and no more: YAML is for what is almost JSON.

use super::node::{Entry, Key, Kind, Node, duplicate};
use super::{Failure, Roots};
use crate::error::{Encoding, Limit, Position, Problem};
use serde_json::Number;
use zeroize::Zeroizing;

/// Why a text is not JSON.
pub(super) enum NotJson {
    /// Something other than an object stands between the documents: perhaps YAML.
    Between,
    /// An object is broken.
    Within(Failure),
}

/// The trees of one or more objects, one after the other, with white space or `---` between them; of so many nodes at
/// most.
pub(super) fn parse(text: &str, max_nodes: usize) -> Result<Roots, NotJson> {
    let mut reader =
        Reader { text, offset: 0, counted: 0, place: Position::START, max_nodes, nodes: 0, depth: 0 };
    let mut roots = Vec::new();
    loop {
        reader.skip_blanks();
        if !roots.is_empty() && reader.rest().starts_with("---") {
            reader.offset += 3;
            reader.skip_blanks();
        }
        match reader.peek() {
            None => return Ok(roots),
            Some(b'{') => {}
            Some(_) => return Err(NotJson::Between),
        }
        let root = reader.value().map_err(|problem| {
            NotJson::Within(Failure { at: reader.position(), document: Some(roots.len() + 1), problem })
        })?;
        roots.push(root);
    }
}

struct Reader<'t> {
    text: &'t str,
    offset: usize,
    counted: usize,
    place: Position,
    max_nodes: usize,
    nodes: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.offset..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn skip_blanks(&mut self) {
        self.offset += self.rest().bytes().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    /// Line and column of the offset, counted on from the last call, so that all calls together read the text once.
    fn position(&mut self) -> Position {
        for c in self.text[self.counted..self.offset].chars() {
            if c == '\n' {
                self.place = Position { line: self.place.line + 1, column: 1 };
            } else {
                self.place.column += 1;
            }
        }
        self.counted = self.offset;
        self.place
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.offset += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str, reason: &str) -> Result<(), Problem> {
        self.skip_blanks();
        if self.take(token) { Ok(()) } else { Err(syntax(reason)) }
    }

    fn value(&mut self) -> Result<Node, Problem> {
        self.skip_blanks();
        let at = self.position();
        self.nodes += 1;
        if self.nodes > self.max_nodes {
            return Err(Problem::Limit(Limit::Nodes));
        }
        let kind = match self.peek() {
            Some(b'{') => Kind::Mapping(self.nested(Self::object)?),
            Some(b'[') => Kind::List(self.nested(Self::array)?),
            Some(b'"') => Kind::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Kind::Number(self.number()?),
            _ if self.take("true") => Kind::Boolean(true),
            _ if self.take("false") => Kind::Boolean(false),
            _ if self.take("null") => Kind::Null,
            _ => return Err(syntax("a value was expected")),
        };
        Ok(Node { at, kind })
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Problem>) -> Result<T, Problem> {
        self.depth += 1;
        if self.depth > Limit::DEPTH {
            return Err(Problem::Limit(Limit::Depth));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn array(&mut self) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        self.offset += 1;
        self.skip_blanks();
        if self.take("]") {
            return Ok(items);
        }
        loop {
            items.push(self.value()?);
            self.skip_blanks();
            if self.take("]") {
                return Ok(items);
            }
            self.expect(",", "`,` or `]` was expected")?;
        }
    }

    fn object(&mut self) -> Result<Vec<Entry>, Problem> {
        let mut entries = Vec::new();
        self.offset += 1;
        self.skip_blanks();
        if self.take("}") {
            return Ok(entries);
        }
        loop {
            self.skip_blanks();
            let at = self.position();
            if self.peek() != Some(b'"') {
                return Err(syntax("a key in double quotes was expected"));
            }
            let key = Key { at, text: self.string()?, not_text: None };
            self.expect(":", "`:` was expected")?;
            let value = self.value()?;
            entries.push(Entry { key, value });
            self.skip_blanks();
            if self.take("}") {
                break;
            }
            self.expect(",", "`,` or `}` was expected")?;
        }
        match duplicate(&entries) {
            Some((first, second)) => {
                self.report_at(second);
                Err(Problem::DuplicateKey { first })
            }
            None => Ok(entries),
        }
    }

    /// Makes [`Self::position`] answer with a place already passed.
    fn report_at(&mut self, place: Position) {
        self.counted = self.offset;
        self.place = place;
    }

    fn number(&mut self) -> Result<Number, Problem> {
        let len = self
            .rest()
            .bytes()
            .take_while(|b| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
            .count();
        // serde_json's grammar of a number is JSON's.
        let number = serde_json::from_str(&self.rest()[..len]).map_err(|_| syntax("not a number"))?;
        self.offset += len;
        Ok(number)
    }

    fn string(&mut self) -> Result<Zeroizing<String>, Problem> {
        self.offset += 1;
        // The decoded text is never longer than the written one, so the buffer does not move and leave a copy.
        let mut text = Zeroizing::new(String::with_capacity(self.written_len()));
        loop {
            let plain = self.rest().bytes().take_while(|b| !matches!(b, b'"' | b'\\' | 0..=0x1f)).count();
            text.push_str(&self.rest()[..plain]);
            self.offset += plain;
            match self.peek() {
                Some(b'"') => {
                    self.offset += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(syntax("a control character in a string")),
                None => return Err(syntax("a string without an end")),
            }
        }
    }

    /// Bytes up to the closing quote.
    fn written_len(&self) -> usize {
        let bytes = self.rest().as_bytes();
        let mut len = 0;
        while let Some(byte) = bytes.get(len).filter(|byte| **byte != b'"') {
            len += if *byte == b'\\' { 2 } else { 1 };
        }
        len.min(bytes.len())
    }

    fn escape(&mut self) -> Result<char, Problem> {
        let letter = self.text.as_bytes().get(self.offset + 1).copied();
        let simple = match letter {
            Some(b'u') => return self.unicode_escape(),
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(other @ (b'"' | b'\\' | b'/')) => char::from(other),
            _ => return Err(syntax("an unknown escape in a string")),
        };
        self.offset += 2;
        Ok(simple)
    }

    /// `\uXXXX`, or a surrogate pair. Go replaces half a pair by U+FFFD, which would change a value in silence.
    fn unicode_escape(&mut self) -> Result<char, Problem> {
        let high = self.hex_unit()?;
        let code = if (0xd800..0xdc00).contains(&high) {
            let low = self.hex_unit()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(syntax("half a surrogate pair in a string"));
            }
            0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| syntax("half a surrogate pair in a string"))
    }

    fn hex_unit(&mut self) -> Result<u32, Problem> {
        let digits = self.rest().strip_prefix("\\u").and_then(|rest| rest.get(..4));
        let unit = digits
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| syntax("an unknown escape in a string"))?;
        self.offset += 6;
        Ok(unit)
    }
}

fn syntax(reason: &str) -> Problem {
    Problem::Syntax { encoding: Encoding::Json, reason: reason.to_owned() }
}
