//! The text that is edited: a Secret manifest of the items, and back.
//!
//! ```text
//!   items ──write──▶ text ──editor──▶ text ──read──▶ items ──Changes──▶ what is to be sealed and dropped
//! ```
//!
//! Editors add a final newline, cut blanks at the ends of lines and change line ends, often unasked. A value that nobody
//! touched must come back byte for byte all the same, or it would be sealed anew in its changed form. So a value is a
//! block scalar only if none of this could change it; else it stands in quotes, where blanks and line ends are escaped.

use crate::documents::Located;
use crate::error::{CommandError, Shown, is_unsafe};
use crate::output::wiped_text;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::{Item, Plaintext};
use privyseal_manifest::{SealedSecret, Secret, names};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use zeroize::Zeroizing;

/// Items and their values.
pub(super) type Items = BTreeMap<Item, Plaintext>;

/// What an edit asks for.
pub(super) struct Changes {
    /// Values that are new or other than before.
    pub(super) set: Vec<(Item, Plaintext)>,
    /// Items that are gone.
    pub(super) removed: Vec<Item>,
}

impl Changes {
    /// From what there was to what is wanted.
    pub(super) fn between(old: &Items, wanted: Items) -> Self {
        let removed = old.keys().filter(|item| !wanted.contains_key(*item)).cloned().collect();
        let set = wanted.into_iter().filter(|(item, value)| old.get(item) != Some(value)).collect();
        Self { set, removed }
    }

    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }
}

/// The text for a person to edit.
pub(super) fn write(sealed: &Located<SealedSecret>, items: &Items) -> Zeroizing<String> {
    wiped_text(|out| {
        write_head(out, sealed)?;
        out.write_str("apiVersion: v1\nkind: Secret\n")?;
        let texts =
            || items.iter().filter_map(|(item, value)| Some((item, str::from_utf8(value.expose()).ok()?)));
        let binaries = || items.iter().filter(|(_, value)| str::from_utf8(value.expose()).is_err());
        if texts().next().is_some() || items.is_empty() {
            out.write_str(if items.is_empty() { "stringData: {}\n" } else { "stringData:\n" })?;
            for (item, text) in texts() {
                write_key(out, item)?;
                write_text(out, text)?;
            }
        }
        if binaries().next().is_some() {
            out.write_str("data:\n")?;
            for (item, value) in binaries() {
                write_key(out, item)?;
                writeln!(out, "{}", value.to_base64().as_str())?;
            }
        }
        Ok(())
    })
}

/// What the text asks for, or why it cannot be had. Errors hold places and no values.
pub(super) fn read(text: &[u8], sealed: &SealedSecret) -> Result<Items, CommandError> {
    let mut documents = privyseal_manifest::read(text, TEXT)?;
    let document = match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => document,
        (None, _) => {
            return Err(CommandError::input(format!("{TEXT}: there is no document in it"))
                .hint("to drop all items, leave `stringData: {}`"));
        }
        (Some(_), false) => return Err(CommandError::input(format!("{TEXT}: it holds several documents"))),
    };
    let secret = document.into_secret()?;
    refuse_other_changes(&secret, sealed)?;
    Ok(secret.data)
}

/// The name of the text in errors.
const TEXT: &str = "the edited text";

fn write_head(out: &mut dyn Write, sealed: &Located<SealedSecret>) -> fmt::Result {
    let SealedSecret { metadata, spec, .. } = &sealed.object;
    let namespace = metadata.namespace.as_deref().map(|text| format!("{}/", Shown(text))).unwrap_or_default();
    let scope = names::scope_of(metadata.annotations.as_ref().unwrap_or(&BTreeMap::new()));
    write!(out, "# SealedSecret {namespace}{}", Shown(metadata.name.as_deref().unwrap_or_default()))?;
    write!(out, ", scope {}", scope.as_str())?;
    if let Some(type_) = spec.template.as_ref().and_then(|template| template.type_.as_deref()) {
        write!(out, ", type {}", Shown(type_))?;
    }
    if let Some(place) = &sealed.place {
        write!(out, "\n# {place}")?;
    }
    out.write_str(
        "\n#\n# Items of stringData can be changed, added and removed; data is base64. A value that stays as it is keeps its\n\
         # sealed value, and nothing else of the file changes.\n",
    )
}

/// Only items are edited: whatever else was written would be lost, or would mean another object.
fn refuse_other_changes(secret: &Secret, sealed: &SealedSecret) -> Result<(), CommandError> {
    let ObjectMeta { name, namespace, .. } = &secret.metadata;
    let template = sealed.spec.template.as_ref();
    let same = |new: &Option<String>, old: Option<&String>| new.is_none() || new.as_ref() == old;
    let others = ObjectMeta { name: None, namespace: None, ..secret.metadata.clone() };
    let immutable = template.and_then(|template| template.immutable);
    let field = if !same(name, sealed.metadata.name.as_ref()) {
        "metadata.name"
    } else if !same(namespace, sealed.metadata.namespace.as_ref()) {
        "metadata.namespace"
    } else if !same(&secret.type_, template.and_then(|template| template.type_.as_ref())) {
        "type"
    } else if secret.immutable.is_some() && secret.immutable != immutable {
        "immutable"
    } else if others != ObjectMeta::default() {
        "metadata"
    } else {
        return Ok(());
    };
    Err(CommandError::input(format!("{TEXT}: {field}: only stringData and data are edited here"))
        .hint("take the field out; what is not sealed stands in the file itself, and can be changed there"))
}

/// Plain where no YAML reader could take it for anything but text.
fn write_key(out: &mut dyn Write, item: &Item) -> fmt::Result {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let text = item.as_str();
    let is_word = WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    match text.starts_with(|first: char| first.is_ascii_alphabetic()) && !is_word {
        true => write!(out, "  {text}: "),
        false => write!(out, "  '{text}': "),
    }
}

fn write_text(out: &mut dyn Write, text: &str) -> fmt::Result {
    if is_block(text) {
        return write_block(out, text);
    }
    let is_line = !text.contains(|c| c == '\n' || is_escaped(c));
    match (text.trim_end_matches('\n').contains('\n'), is_line) {
        (true, _) => write_lines_in_quotes(out, text),
        (false, true) if !text.contains('\'') => writeln!(out, "'{text}'"),
        (false, true) if text.contains(['"', '\\']) => {
            // No value is copied on the way.
            out.write_char('\'')?;
            text.chars().try_for_each(|c| if c == '\'' { out.write_str("''") } else { out.write_char(c) })?;
            out.write_str("'\n")
        }
        (false, _) => {
            out.write_char('"')?;
            text.chars().try_for_each(|c| write_escaped(out, c))?;
            out.write_str("\"\n")
        }
    }
}

/// Whether a text has lines, and means the same as a block scalar whatever an editor does to blanks and newlines at the
/// ends. Newlines at the end of the value, but for one, would be such.
fn is_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    text.contains('\n')
        && !body.is_empty()
        && !body.ends_with('\n')
        && !body.split('\n').any(|line| line.ends_with(char::is_whitespace) || line.contains(|c| is_escaped(c) && c != '\t'))
        // Where the first line begins, a reader takes the indentation from.
        && !body.starts_with('\t')
}

fn write_block(out: &mut dyn Write, text: &str) -> fmt::Result {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let indentation = if body.starts_with([' ', '\n']) { "2" } else { "" };
    let chomping = if body.len() == text.len() { "-" } else { "" };
    writeln!(out, "|{indentation}{chomping}")?;
    body.split('\n').try_for_each(|line| match line {
        "" => out.write_char('\n'),
        line => writeln!(out, "    {line}"),
    })
}

/// One line of the text on each line, all in double quotes: what the line ends with is escaped.
fn write_lines_in_quotes(out: &mut dyn Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for line in text.split_inclusive('\n') {
        out.write_str("\\\n    ")?;
        let rest = line.trim_start_matches(' ');
        // Blanks in front would be taken for indentation: the first is escaped, and then the others count.
        if rest.len() < line.len() {
            write!(out, "\\{}", &line[..line.len() - rest.len()])?;
        }
        rest.chars().try_for_each(|c| write_escaped(out, c))?;
    }
    out.write_str("\"\n")
}

fn is_escaped(c: char) -> bool {
    is_unsafe(c) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// A character of a text in double quotes.
fn write_escaped(out: &mut dyn Write, c: char) -> fmt::Result {
    match c {
        '"' | '\\' => write!(out, "\\{c}"),
        '\n' => out.write_str("\\n"),
        '\t' => out.write_str("\\t"),
        '\r' => out.write_str("\\r"),
        // All of these are in the first plane.
        c if is_escaped(c) => write!(out, "\\u{:04x}", u32::from(c)),
        c => out.write_char(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed() -> Located<SealedSecret> {
        let mut object = SealedSecret::new("db", Default::default());
        object.metadata.namespace = Some("ns".to_owned());
        Located { place: None, object }
    }

    fn items(values: &[(&str, &[u8])]) -> Items {
        let item = |(item, value): &(&str, &[u8])| (Item::parse(*item).unwrap(), Plaintext::from(*value));
        values.iter().map(item).collect()
    }

    fn body(values: &[(&str, &[u8])]) -> String {
        let text = write(&sealed(), &items(values));
        text.split_once("kind: Secret\n").unwrap().1.to_owned()
    }

    fn read_back(text: &str) -> Items {
        match read(text.as_bytes(), &sealed().object) {
            Ok(items) => items,
            Err(error) => panic!("{:?}\n{text}", error.reports()),
        }
    }

    #[test]
    fn values_are_written_for_people() {
        assert_eq!(
            body(&[
                ("a", b"hunter2"),
                ("b", b"it's"),
                ("c", b"'\\'"),
                ("d", b"BEGIN\n  x\n\nEND\n"),
                ("e", b"a\nb"),
                ("f", b"  a\nb\n"),
                ("g", b"a \n \"b\"\n\n"),
                ("h", b""),
                ("i", b"\n"),
                ("j", &[0, 255]),
                ("yes", "\u{202e}x".as_bytes()),
                ("1", b"a\tb"),
            ]),
            "stringData:\n  '1': \"a\\tb\"\n  a: 'hunter2'\n  b: \"it's\"\n  c: '''\\'''\n  d: |\n    BEGIN\n      x\n\n    \
             END\n  e: |-\n    a\n    b\n  f: |2\n      a\n    b\n  g: \"\\\n    a \\n\\\n    \\ \\\"b\\\"\\n\\\n    \\n\"\n  \
             h: ''\n  i: \"\\n\"\n  'yes': \"\\u202ex\"\ndata:\n  j: AP8=\n"
        );
        assert_eq!(body(&[]), "stringData: {}\n");
    }

    #[test]
    fn only_items_are_edited() {
        let text = write(&sealed(), &items(&[("a", b"x")])).to_string();
        let with = |field: &str| text.replace("kind: Secret\n", &format!("kind: Secret\n{field}\n"));
        for (field, told) in [
            ("metadata: {name: other}", "metadata.name"),
            ("metadata: {namespace: other}", "metadata.namespace"),
            ("metadata: {labels: {a: b}}", "metadata:"),
            ("metadata: {annotations: {a: b}}", "metadata:"),
            ("type: kubernetes.io/tls", "type:"),
            ("immutable: true", "immutable:"),
            ("---\napiVersion: v1\nkind: Secret", "several documents"),
        ] {
            let error = read(with(field).as_bytes(), &sealed().object).err().unwrap();
            assert!(error.reports()[0].0.contains(told), "{field}: {:?}", error.reports());
        }
        assert!(read_back(&with("metadata: {name: db, namespace: ns}")) == items(&[("a", b"x")]));
        let error = read(b"# nothing\n", &sealed().object).err().unwrap();
        assert!(error.reports()[0].0.contains("no document"), "{:?}", error.reports());
    }

    #[test]
    fn changes_are_what_differs() {
        let old = items(&[("a", b"1"), ("b", b"2"), ("c", b"3")]);
        let changes = Changes::between(&old, items(&[("a", b"1"), ("b", b"x"), ("d", b"4")]));
        let set: Vec<_> = changes.set.iter().map(|(item, _)| item.as_str()).collect();
        assert_eq!((set, changes.removed[0].as_str(), changes.removed.len()), (vec!["b", "d"], "c", 1));
        assert!(Changes::between(&old, old.clone()).is_empty());
    }

    /// What editors do to text unasked.
    fn habits(text: &str) -> Vec<String> {
        let trimmed: String = text.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        let dos = text.replace('\n', "\r\n");
        vec![text.to_owned(), text.to_owned() + "\n", text.trim_end().to_owned() + "\n", trimmed, dos]
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        let nasty = prop_oneof![
            Just('\n'),
            Just('\n'),
            Just(' '),
            Just(' '),
            Just('\t'),
            Just('\r'),
            Just('\''),
            Just('"'),
            Just('\\'),
            Just(':'),
            Just('#'),
            Just('-'),
            Just('|'),
            Just('%'),
            Just('a'),
            Just('\0'),
            Just('\u{7f}'),
            Just('\u{85}'),
            Just('\u{a0}'),
            Just('\u{2028}'),
            Just('\u{feff}'),
            Just('\u{ffff}'),
            Just('é'),
            Just('🔑'),
            any::<char>(),
        ];
        prop_oneof![
            8 => proptest::collection::vec(nasty, 0..24).prop_map(|all| String::from_iter(all).into_bytes()),
            4 => "([ \t]{0,3}[a-z#:'\"-]{0,5}[ \t]{0,2}\n?){0,6}".prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..24),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_untouched_value_reads_back_byte_for_byte_whatever_the_editor_does_to_line_ends(
            first in value(),
            last in value(),
        ) {
            let all = items(&[("first", &first), ("last", &last)]);
            let text = write(&sealed(), &all);
            for edited in habits(&text) {
                prop_assert!(Changes::between(&all, read_back(&edited)).is_empty(), "{edited:?}");
            }
        }

        #[test]
        fn every_item_name_reads_back(name in "[-._a-zA-Z0-9]{1,8}") {
            prop_assume!(Item::parse(&name).is_ok());
            let all = items(&[(&name, b"x")]);
            prop_assert!(read_back(&write(&sealed(), &all)) == all);
        }
    }
}
