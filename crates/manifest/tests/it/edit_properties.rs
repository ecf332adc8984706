//! For all layouts of a SealedSecret: only the lines that were meant change, the rest is as it was, and what is read
//! again is what was asked for.

use crate::edits::HEAD;
use privyseal_manifest::edit::{Edit, apply};
use privyseal_manifest::{Document, DocumentId, read};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

/// How one entry is written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) value: String,
    form: usize,
    above: Option<&'static str>,
    beside: &'static str,
}

/// A file with one SealedSecret among other documents.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) entries: Vec<(String, Written)>,
    pub(crate) layout: Layout,
    before: &'static str,
    after: &'static str,
    crlf: bool,
    open_end: bool,
    indent: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Block,
    Item,
    Flow,
    FlowLines,
    JsonPretty,
    JsonCompact,
}

pub(crate) fn file() -> impl Strategy<Value = File> {
    let written = (
        sealed_value(),
        0usize..9,
        select(vec![None, Some("# a: comment"), Some(""), Some("#")]),
        select(vec!["", "", " # beside: it", "  \t# {"]),
    )
        .prop_map(|(value, form, above, beside)| Written { value, form, above, beside });
    let layout = select(vec![
        Layout::Block,
        Layout::Block,
        Layout::Block,
        Layout::Item,
        Layout::Flow,
        Layout::FlowLines,
        Layout::JsonPretty,
        Layout::JsonCompact,
    ]);
    let entries = (btree_map(item(), written, 1..6), any::<bool>()).prop_flat_map(|(entries, sorted)| {
        let entries = Just(Vec::from_iter(entries));
        if sorted { entries.boxed() } else { entries.prop_shuffle().boxed() }
    });
    (entries, layout, select(BEFORE), select(AFTER), any::<(bool, bool)>(), 1usize..9).prop_map(
        |(entries, layout, before, after, (crlf, open_end), indent)| File {
            entries,
            layout,
            before,
            after,
            crlf,
            open_end,
            indent,
        },
    )
}

pub(crate) fn item() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,3}",
        "[a-zA-Z0-9._-]{1,9}",
        select(vec!["on", "y", "012", "1_000", "null"]).prop_map(str::to_owned)
    ]
    .prop_filter("an item name", |name| name != "." && !name.starts_with(".."))
}

pub(crate) fn sealed_value() -> impl Strategy<Value = String> {
    prop_oneof!["Ag[A-Za-z0-9+/]{8,90}={0,2}", "[A-Za-z0-9+/]{1,6}"]
}

const BEFORE: &[&str] = &[
    "",
    "---\n",
    "# top\n\n",
    "%YAML 1.2\n---\n",
    "kind: Secret\nstringData: &x {a:   'b', c: \"\\x41\"}\n---\n",
    "---\n---\nkind: X\nspec:\n  encryptedData: {a: b}\n...\n# between\n--- # here\n",
    "\u{feff}",
];

const AFTER: &[&str] = &[
    "",
    "# end\n",
    "\n\n",
    "---\n",
    "...\n",
    "---\nkind: Secret\nstringData:\n  a: |\n    text\n     more\n\n  b: &x 1\n",
];

impl File {
    pub(crate) fn json(&self) -> bool {
        matches!(self.layout, Layout::JsonPretty | Layout::JsonCompact)
    }

    pub(crate) fn text(&self) -> String {
        self.lines().into_iter().map(|(_, text)| text).collect()
    }

    /// Pieces of the text, each with the entry that it is written for; together they are the file.
    pub(crate) fn lines(&self) -> Vec<(Option<usize>, String)> {
        let mut lines: Vec<(Option<usize>, String)> = Vec::new();
        let mut put = |entry: Option<usize>, text: &str| lines.push((entry, text.to_owned()));
        let step = " ".repeat(self.indent);
        if !self.json() {
            put(None, self.before);
        }
        match self.layout {
            Layout::Block | Layout::Item => {
                let (dash, base) = match self.layout {
                    Layout::Block => ("", String::new()),
                    _ => ("- ", "  ".to_owned()),
                };
                if !dash.is_empty() {
                    put(None, "kind: List\nitems:\n# first\n- {}\n");
                }
                put(None, &format!("{dash}apiVersion: bitnami.com/v1alpha1\n{base}kind: SealedSecret\n"));
                put(None, &format!("{base}spec:\n{base}{step}encryptedData: # all\n"));
                let indent = format!("{base}{step}{step}");
                for (index, (name, written)) in self.entries.iter().enumerate() {
                    if let Some(above) = written.above {
                        put(None, &format!("{}{above}\n", if above.is_empty() { "" } else { &indent }));
                    }
                    put(Some(index), &written.block(name, &indent));
                }
                put(None, &format!("{base}{step}# below\n{base}{step}template: {{type:  Opaque}}\n"));
            }
            Layout::Flow | Layout::FlowLines => {
                put(None, HEAD);
                put(None, &format!("spec:\n{step}template:  {{}}\n{step}encryptedData: "));
                let entries = self.entries.iter().map(|(name, written)| {
                    format!("{}: {}", quoted(name, written.form), quoted(&written.value, written.form / 3))
                });
                let entries: Vec<_> = entries.collect();
                if self.layout == Layout::Flow {
                    put(None, &format!("{{ {} }}\n", entries.join(", ")));
                } else {
                    put(
                        None,
                        &format!(
                            "{{ # all\n{step}{step}{}\n{step} }} # end\n",
                            entries.join(&format!(",\n{step}{step}"))
                        ),
                    );
                }
            }
            Layout::JsonPretty | Layout::JsonCompact => {
                let entries: serde_json::Map<_, _> = self
                    .entries
                    .iter()
                    .map(|(name, written)| (name.clone(), written.value.clone().into()))
                    .collect();
                let object = serde_json::json!({
                    "kind": "SealedSecret", "apiVersion": "bitnami.com/v1alpha1",
                    "metadata": {"name": "n"}, "spec": {"encryptedData": entries},
                });
                let compact = serde_json::to_string(&object).unwrap();
                let pretty = serde_json::to_string_pretty(&object).unwrap().replace("  ", &step);
                put(
                    None,
                    &format!("{}\n", if self.layout == Layout::JsonCompact { compact } else { pretty }),
                );
            }
        }
        if !self.json() {
            put(None, self.after);
        }
        if self.open_end
            && let Some((_, last)) = lines.iter_mut().rfind(|(_, text)| !text.is_empty())
        {
            last.truncate(last.trim_end_matches('\n').len());
        }
        if self.crlf {
            lines.iter_mut().for_each(|(_, text)| *text = text.replace('\n', "\r\n"));
        }
        lines
    }

    pub(crate) fn edit(&self, text: &str, change: impl Fn(Edit) -> Edit) -> String {
        let id = sealed(text).id();
        match apply(text.as_bytes(), "in", &[change(Edit::of(id))]) {
            Ok(edited) => edited.as_str().to_owned(),
            Err(error) => panic!("{error}\n{text}"),
        }
    }

    fn model(&self) -> BTreeMap<String, String> {
        self.entries.iter().map(|(name, written)| (name.clone(), written.value.clone())).collect()
    }
}

impl Written {
    /// As lines of block style; the forms from 5 on are of more than one line.
    fn block(&self, name: &str, indent: &str) -> String {
        let Self { value, form, beside, .. } = self;
        let (head, tail) = value.split_at(value.len() / 2);
        let written = match form {
            0..=2 => quoted(value, *form),
            3 => format!("  '{value}'"),
            4 => format!("&anchor {}", quoted(value, 0)),
            5 => return format!("{indent}{}: >-{beside}\n{indent}  {value}\n", quoted(name, 0)),
            6 => return format!("{indent}{}: |-{beside}\n{indent} {value}\n", quoted(name, 1)),
            7 => format!("\"{head}\\\n{indent}   {tail}\""),
            _ => format!("\n{indent}  {}", quoted(value, 0)),
        };
        format!("{indent}{}: {written}{beside}\n", quoted(name, form + 1))
    }

    pub(crate) fn one_line(&self) -> bool {
        self.form < 5
    }
}

fn quoted(text: &str, form: usize) -> String {
    match form % 3 {
        // Letters that make no other word of YAML.
        0 if text.starts_with("Ag") => text.to_owned(),
        1 => format!("\"{text}\""),
        _ => format!("'{text}'"),
    }
}

pub(crate) fn sealed(text: &str) -> Document {
    let documents = read(text.as_bytes(), "in").unwrap_or_else(|error| panic!("{error}\n{text}"));
    documents.into_iter().find(|document| document.kind() == Some("SealedSecret")).unwrap()
}

pub(crate) fn items(text: &str) -> BTreeMap<String, String> {
    sealed(text).into_sealed_secret().unwrap().spec.encrypted_data
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_set_changes_one_entry_and_back_again(file in file(), pick in any::<prop::sample::Index>(), value in sealed_value()) {
        let text = file.text();
        let (name, written) = pick.get(&file.entries);
        let after = file.edit(&text, |edit| edit.set_item(name, &value));
        let mut model = file.model();
        model.insert(name.clone(), value.clone());
        prop_assert_eq!(items(&after), model);

        // What was plain is quoted where it could be something else, and stays so.
        let plain = value.starts_with("Ag");
        if plain && !file.json() && written.one_line() || file.layout == Layout::JsonPretty {
            let different = text.split('\n').zip(after.split('\n')).filter(|(a, b)| a != b).count();
            let count = |text: &str| text.split('\n').count();
            prop_assert!(different <= 1 && count(&text) == count(&after), "{}\n{}", text, after);
            let back = file.edit(&after, |edit| edit.set_item(name, &written.value));
            prop_assert_eq!(back, text);
        }
    }

    #[test]
    fn an_item_that_is_added_and_removed_leaves_no_trace(file in file(), name in item(), value in sealed_value()) {
        prop_assume!(!file.model().contains_key(&name));
        let text = file.text();
        let added = file.edit(&text, |edit| edit.set_item(&name, &value));
        let mut model = file.model();
        model.insert(name.clone(), value);
        prop_assert_eq!(items(&added), model);
        if matches!(file.layout, Layout::Block | Layout::Item | Layout::FlowLines | Layout::JsonPretty) {
            prop_assert_eq!(added.lines().count(), text.lines().count() + 1, "{}", added);
        }
        prop_assert_eq!(file.edit(&added, |edit| edit.remove_item(&name)), text);
    }

    #[test]
    fn hints_that_are_added_and_removed_leave_no_trace(file in file()) {
        let text = file.text();
        let hints = "a=0123456789abcdef:01234567,b=0123456789abcdef:01234567";
        let added = file.edit(&text, |edit| edit.sealed_with(Some(hints.to_owned())));
        let object = sealed(&added).into_sealed_secret().unwrap();
        prop_assert_eq!(&object.metadata.annotations.unwrap()["privyseal.dev/sealed-with"], hints);
        let back = file.edit(&added, |edit| edit.remove(&["metadata", "annotations"]));
        let back = if text.contains("metadata") { back } else { file.edit(&back, |edit| edit.remove(&["metadata"])) };
        prop_assert_eq!(back, text);
    }

    #[test]
    fn many_changes_at_once_leave_the_other_lines(
        file in file(),
        set in btree_map(item(), sealed_value(), 0..5),
        picks in vec(any::<prop::sample::Index>(), 0..5),
        again in vec((any::<prop::sample::Index>(), sealed_value()), 0..3),
    ) {
        let text = file.text();
        let mut model = file.model();
        let removed: Vec<_> = picks.iter().map(|pick| pick.get(&file.entries).0.clone()).collect();
        let mut changes: BTreeMap<String, Option<String>> =
            set.into_iter().map(|(name, value)| (name, Some(value))).collect();
        changes.extend(again.iter().map(|(pick, value)| (pick.get(&file.entries).0.clone(), Some(value.clone()))));
        changes.extend(removed.iter().map(|name| (name.clone(), None)));
        let after = file.edit(&text, |edit| {
            changes.iter().fold(edit, |edit, (name, value)| match value {
                Some(value) => edit.set_item(name, value),
                None => edit.remove_item(name),
            })
        });
        for (name, value) in &changes {
            match value {
                Some(value) => model.insert(name.clone(), value.clone()),
                None => model.remove(name),
            };
        }
        prop_assert_eq!(items(&after), model.clone());

        if matches!(file.layout, Layout::Block | Layout::Item) && !model.is_empty() {
            let kept: String = file
                .lines()
                .into_iter()
                .filter(|(entry, _)| entry.is_none_or(|entry| !changes.contains_key(&file.entries[entry].0)))
                .map(|(_, text)| text)
                .collect();
            let mut rest = after.lines();
            for line in kept.lines() {
                prop_assert!(rest.any(|other| other == line), "{:?} is lost\n{}\n{}", line, text, after);
            }
        }
        let ends = |text: &str| (text.ends_with('\n'), text.contains("\r\n"), text.replace("\r\n", "").contains('\n'));
        prop_assert_eq!(ends(&after), ends(&text));
        prop_assert_eq!(others(&after), others(&text));
    }

    #[test]
    fn any_text_is_edited_right_or_not_at_all(file in file(), at in any::<prop::sample::Index>(), len in 0usize..4, put in select(DAMAGE)) {
        let mut text = file.text();
        let start = (0..=text.len()).rfind(|&n| n <= at.index(text.len()) && text.is_char_boundary(n)).unwrap();
        let end = (start + len..).find(|&n| n >= text.len() || text.is_char_boundary(n)).unwrap().min(text.len());
        text.replace_range(start..end, put);
        let Ok(mut documents) = read(text.as_bytes(), "in") else { return Ok(()) };
        let Some(index) = documents.iter().position(|d| d.kind() == Some("SealedSecret")) else { return Ok(()) };
        let document = documents.swap_remove(index);
        let id = document.id();
        let Ok(object) = document.into_sealed_secret() else { return Ok(()) };
        for name in ["a", &file.entries[0].0] {
            let mut wanted = object.clone();
            wanted.spec.encrypted_data.insert(name.to_owned(), "AgNEW=".to_owned());
            let annotations = wanted.metadata.annotations.get_or_insert_default();
            annotations.insert("privyseal.dev/sealed-with".to_owned(), "a=b".to_owned());
            let edit = Edit::of(id).set_item(name, "AgNEW=").sealed_with(Some("a=b".to_owned()));
            if let Ok(after) = apply(text.as_bytes(), "in", &[edit]) {
                prop_assert_eq!(others(after.as_str()), others(&text));
                prop_assert_eq!(sealed(after.as_str()).into_sealed_secret().unwrap(), wanted);
            }
        }
    }
}

/// All but the SealedSecret, as far as it can be told from outside.
fn others(text: &str) -> Vec<(DocumentId, Option<String>, Option<String>)> {
    let documents = read(text.as_bytes(), "in").unwrap_or_else(|error| panic!("{error}\n{text}"));
    documents
        .into_iter()
        .map(|document| {
            (document.id(), document.kind().map(str::to_owned), document.api_version().map(str::to_owned))
        })
        .collect()
}

const DAMAGE: &[&str] = &[
    "", "\n", "\r", "\r\n", " ", "\t", "#", ": ", "&x ", "*x", "!!str ", "<<: ", "? ", "{", "}", ",", "\"",
    "'", "|\n", ">-\n", "- ", "---\n", "~", "null",
];
