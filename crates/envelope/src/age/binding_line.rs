//! The first line of a payload: what the value is bound to.
//!
//! ```text
//! privyseal.dev/v1 scope=strict namespace=NS name=NAME key=ITEM
//! privyseal.dev/v1 scope=namespace-wide namespace=NS key=ITEM
//! privyseal.dev/v1 scope=cluster-wide key=ITEM
//! ```
//!
//! The opener writes the line that it expects and compares it whole. It reads one only to say what a value was sealed
//! for, and only a complete one: the first bytes of a file that we did not make may be somebody's plaintext.

use crate::{Binding, Item, Name, Namespace, Scope};
use std::fmt;

const VERSION: &str = "privyseal.dev/v1";

/// No complete line is longer: the names are at most 63, 253 and 253 bytes.
const MAX_LINE_BYTES: usize = 1024;

/// A binding and an item: what one value is sealed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingLine {
    /// Scope, and the names that it fixes.
    pub binding: Binding,
    /// The item of the Secret.
    pub item: Item,
}

impl BindingLine {
    /// Reads the line with which a payload begins, up to its line feed.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let end = payload.iter().take(MAX_LINE_BYTES + 1).position(|&byte| byte == b'\n')?;
        Self::parse(std::str::from_utf8(&payload[..end]).ok()?)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(VERSION)?.strip_prefix(' ')?.split(' ');
        let mut field = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let scope = field("scope")?.parse().ok()?;
        let binding = match scope {
            Scope::Strict => Binding::Strict {
                namespace: Namespace::parse(field("namespace")?).ok()?,
                name: Name::parse(field("name")?).ok()?,
            },
            Scope::NamespaceWide => {
                Binding::NamespaceWide { namespace: Namespace::parse(field("namespace")?).ok()? }
            }
            Scope::ClusterWide => Binding::ClusterWide,
        };
        let item = Item::parse(field("key")?).ok()?;
        let this = Self { binding, item };
        // One text for one line: nothing may follow.
        (this.to_string() == line).then_some(this)
    }
}

impl fmt::Display for BindingLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { binding, item } = self;
        write!(f, "{VERSION} scope={}", binding.scope())?;
        match binding {
            Binding::Strict { namespace, name } => write!(f, " namespace={namespace} name={name}")?,
            Binding::NamespaceWide { namespace } => write!(f, " namespace={namespace}")?,
            Binding::ClusterWide => {}
        }
        write!(f, " key={item}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(namespace: &str, name: &str) -> Binding {
        Binding::Strict { namespace: Namespace::parse(namespace).unwrap(), name: Name::parse(name).unwrap() }
    }

    #[test]
    fn every_scope_has_its_line() {
        let wide = Binding::NamespaceWide { namespace: Namespace::parse("team-a").unwrap() };
        for (binding, text) in [
            (strict("team-a", "db"), "privyseal.dev/v1 scope=strict namespace=team-a name=db key=password"),
            (wide, "privyseal.dev/v1 scope=namespace-wide namespace=team-a key=password"),
            (Binding::ClusterWide, "privyseal.dev/v1 scope=cluster-wide key=password"),
        ] {
            let line = BindingLine { binding, item: Item::parse("password").unwrap() };
            assert_eq!(line.to_string(), text);
            assert_eq!(BindingLine::read(format!("{text}\nvalue").as_bytes()), Some(line));
            assert_eq!(BindingLine::read(text.as_bytes()), None, "without its line feed");
        }
    }

    #[test]
    fn the_longest_line_is_read_and_a_longer_one_is_not_looked_at() {
        let line = BindingLine {
            binding: strict(&"n".repeat(63), &"o".repeat(253)),
            item: Item::parse("i".repeat(253)).unwrap(),
        };
        assert_eq!(BindingLine::read(format!("{line}\n").as_bytes()), Some(line));
        assert_eq!(BindingLine::read(&[b'x'; 4096]), None);
    }

    #[test]
    fn a_line_that_is_not_complete_is_none() {
        let good = "privyseal.dev/v1 scope=strict namespace=team-a name=db key=password";
        for bad in [
            "",
            "hunter2",
            "privyseal.dev/v1",
            "privyseal.dev/v2 scope=cluster-wide key=a",
            "privyseal.dev/v1 scope=cluster-wide",
            "privyseal.dev/v1 scope=cluster-wide key=a ",
            "privyseal.dev/v1 scope=cluster-wide key=a more",
            "privyseal.dev/v1  scope=cluster-wide key=a",
            "privyseal.dev/v1 scope=cluster-wide namespace=a key=a",
            "privyseal.dev/v1 scope=strict name=db namespace=team-a key=a",
            "privyseal.dev/v1 scope=strict namespace=Team name=db key=a",
            "privyseal.dev/v1 scope=cluster-wide key=..",
            "privyseal.dev/v1 scope=cluster-wide key=\u{1b}[31m",
            &format!("{good}\r"),
            &format!(" {good}"),
        ] {
            assert_eq!(BindingLine::read(format!("{bad}\nvalue").as_bytes()), None, "{bad:?}");
        }
    }
}
