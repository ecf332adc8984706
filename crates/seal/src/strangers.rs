//! Stanzas of an age value whose kind we do not know: an SSH key's, a plugin's.

use privyseal_envelope::SealedValue;
use privyseal_envelope::age::File;
use std::collections::BTreeSet;
use std::fmt;

/// The tags of a value's stanzas of kinds that we do not know, in their order. Whoever they are for may open the value, and
/// nothing is known of them: neither whose they are, nor whether a quantum computer opens them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strangers(Vec<String>);

impl Strangers {
    /// Those of a value. A classic value has none, nor has one whose header cannot be read.
    pub fn of(value: &SealedValue) -> Self {
        File::parse(value).map(|file| Self::in_file(&file)).unwrap_or_default()
    }

    pub(crate) fn in_file(file: &File<'_>) -> Self {
        file.strangers().map(str::to_owned).collect()
    }

    /// One for each stanza. Any printable ASCII: whoever sealed chose it.
    pub fn tags(&self) -> &[String] {
        &self.0
    }

    /// Whether all stanzas are of kinds that we know.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<String> for Strangers {
    fn from_iter<T: IntoIterator<Item = String>>(tags: T) -> Self {
        Self(tags.into_iter().collect())
    }
}

/// How many kinds are named to people.
const KINDS_SHOWN: usize = 5;
/// How many characters of a tag: it may be as long as the header.
const CHARACTERS_SHOWN: usize = 40;

/// "2 of a kind that Privyseal does not know: ssh-ed25519". Each kind once, and not more than a line of them.
impl fmt::Display for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: BTreeSet<&str> = self.0.iter().map(String::as_str).collect();
        write!(f, "{} of a kind that Privyseal does not know: ", self.0.len())?;
        for (index, tag) in kinds.iter().take(KINDS_SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            match tag.char_indices().nth(CHARACTERS_SHOWN) {
                Some((end, _)) => write!(f, "{separator}{}…", tag[..end].escape_debug())?,
                None => write!(f, "{separator}{}", tag.escape_debug())?,
            }
        }
        if kinds.len() > KINDS_SHOWN { f.write_str(", …") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_each_kind_once_and_not_too_much() {
        let shown =
            |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Strangers>().to_string();
        let one = shown(&["ssh-ed25519"]);
        assert_eq!(one, "1 of a kind that Privyseal does not know: ssh-ed25519");
        assert_eq!(shown(&["b", "a", "b"]), "3 of a kind that Privyseal does not know: a, b");
        assert!(shown(&["x\u{1b}[31m"]).ends_with(": x\\u{1b}[31m"));
        let long = "x".repeat(60_000);
        assert!(shown(&[&long]).ends_with(&format!(": {}…", "x".repeat(40))));
        assert!(shown(&["a", "b", "c", "d", "e", "f"]).ends_with(": a, b, c, d, e, …"));
    }
}
