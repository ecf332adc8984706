//! A finding, and where it stands. None of them holds a value: what is shown of a line is made anew of its key.

use super::code::Code;
use privyseal_envelope::Fingerprint;
use privyseal_manifest::edit::Edit;
use privyseal_manifest::{Document, DocumentId, FieldView, Position};
use std::cell::OnceCell;

/// Something to tell.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What it is about.
    pub code: Code,
    /// The file, as it was given.
    pub path: String,
    /// Which document, from 1.
    pub document: Option<usize>,
    /// Which item of a `List`, from 0.
    pub item: Option<usize>,
    /// Which field.
    pub field: Option<String>,
    /// Where in the file.
    pub spot: Option<Spot>,
    /// What is wrong. It may hold names of the file: escape it before showing it.
    pub message: String,
    /// What to do.
    pub cure: Option<String>,
    /// A change that cannot do harm.
    pub fix: Option<Fix>,
}

/// A change that cures a finding, and changes nothing that anybody reads.
#[derive(Clone, Debug)]
pub struct Fix {
    /// What it does, in a few words.
    pub what: String,
    /// The change.
    pub edit: Edit,
}

/// A place in a file, and what may be shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters it is about.
    pub width: usize,
    /// The line as it may be shown: its key, and `…` for what is not shown.
    pub snippet: Option<Snippet>,
}

/// A line without what may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// The text. Escape it before showing it.
    pub text: String,
    /// Characters before those that it is about.
    pub indent: usize,
}

impl Finding {
    /// A finding of a whole file.
    pub fn of_file(code: Code, path: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            path: path.to_owned(),
            document: None,
            item: None,
            field: None,
            spot: None,
            message: message.into(),
            cure: None,
            fix: None,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    pub(super) fn fix(mut self, what: impl Into<String>, edit: Edit) -> Self {
        self.fix = Some(Fix { what: what.into(), edit });
        self
    }

    /// The same for the same finding after lines came or went above it.
    pub fn fingerprint(&self) -> String {
        let place =
            format!("{}\n{}\n{:?}\n{:?}\n{:?}", self.code, self.path, self.document, self.item, self.field);
        Fingerprint::of(place.as_bytes()).key_id().to_string()
    }
}

/// The text of a file, for places in it.
pub(super) struct Text<'a> {
    path: &'a str,
    text: &'a str,
    starts: OnceCell<Vec<usize>>,
}

/// A place for findings that are made when all files are known.
pub(super) struct Anchor(Finding);

impl Anchor {
    pub(super) fn finding(&self, code: Code, message: String) -> Finding {
        Finding { code, message, ..self.0.clone() }
    }
}

/// What of a field may be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// Its key.
    Key,
    /// Its key and its value, since it is a name or an annotation of ours.
    Value,
}

impl<'a> Text<'a> {
    pub(super) fn new(path: &'a str, text: &'a str) -> Self {
        Self { path, text, starts: OnceCell::new() }
    }

    pub(super) fn as_str(&self) -> &'a str {
        self.text
    }

    /// A finding at a field of a document.
    pub(super) fn at_field(
        &self,
        code: Code,
        document: &Document,
        path: &[&str],
        show: Show,
        message: impl Into<String>,
    ) -> Finding {
        let (field, spot) = match nearest(document, path) {
            Some((depth, field)) => {
                let show = if depth == path.len() { show } else { Show::Key };
                (document.field_path(path), Some(self.spot(field, show)))
            }
            None => (document.field_path(path), Some(self.line_spot(document.view().at()))),
        };
        Finding {
            document: Some(document.number()),
            item: document.item(),
            field: Some(field).filter(|field| !field.is_empty()),
            spot,
            ..Finding::of_file(code, self.path, message)
        }
    }

    /// The place of a field, for later.
    pub(super) fn anchor(&self, document: &Document, path: &[&str], show: Show) -> Anchor {
        Anchor(self.at_field(Code::Schema, document, path, show, ""))
    }

    /// The same of a field within a list, whose path no list of keys can say.
    pub(super) fn anchor_in_list(&self, document: &Document, path: &str, field: FieldView<'_>) -> Anchor {
        Anchor(Finding {
            document: Some(document.number()),
            item: document.item(),
            field: Some(path.to_owned()),
            spot: Some(self.spot(field, Show::Value)),
            ..Finding::of_file(Code::Schema, self.path, "")
        })
    }

    /// A finding at the place of an error.
    pub(super) fn at_position(
        &self,
        code: Code,
        document: Option<DocumentId>,
        field: Option<&str>,
        at: Position,
        message: impl Into<String>,
    ) -> Finding {
        Finding {
            document: document.map(DocumentId::number),
            item: document.and_then(DocumentId::item),
            field: field.map(str::to_owned),
            spot: Some(self.line_spot(at)),
            ..Finding::of_file(code, self.path, message)
        }
    }

    fn line_spot(&self, at: Position) -> Spot {
        Spot { line: at.line, column: at.column, width: 1, snippet: None }
    }

    fn spot(&self, field: FieldView<'_>, show: Show) -> Spot {
        let FieldView { key, at, value } = field;
        let line = self.line(at.line).unwrap_or_default();
        let before: String = line.chars().take(at.column - 1).collect();
        let token = line.chars().nth(at.column - 1);
        let quoted = matches!(token, Some('"' | '\''));
        let width = key.chars().count() + if quoted { 2 } else { 0 };
        let is_plain_key = !key.is_empty()
            && key.len() <= 317
            && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        let snippet = is_plain_key.then(|| {
            // What stands before may hold values, unless it is nothing but layout.
            let layout = before.chars().all(|c| matches!(c, ' ' | '\t' | '-' | '{'));
            let before = if layout { before.replace('\t', " ") } else { "… ".to_owned() };
            let indent = before.chars().count();
            let quote = if quoted { token.map(String::from).unwrap_or_default() } else { String::new() };
            let shown = match value.text() {
                Some(text) if show == Show::Value && is_name(text) => text.to_owned(),
                Some(_) => "…".to_owned(),
                None => String::new(),
            };
            let text = format!("{before}{quote}{key}{quote}: {shown}");
            Snippet { text: text.trim_end().to_owned(), indent }
        });
        Spot { line: at.line, column: at.column, width, snippet }
    }

    /// One line, from 1, without its end.
    pub(super) fn line(&self, number: usize) -> Option<&'a str> {
        let starts = self.starts.get_or_init(|| {
            std::iter::once(0).chain(self.text.match_indices('\n').map(|(at, _)| at + 1)).collect()
        });
        let start = *starts.get(number.checked_sub(1)?)?;
        let rest = self.text.get(start..)?;
        Some(rest.split('\n').next().unwrap_or_default().trim_end_matches('\r'))
    }
}

/// Whether a text is as short and plain as names are.
fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

/// The field, or the one closest to it on the way, and how far that is.
fn nearest<'d>(document: &'d Document, path: &[&str]) -> Option<(usize, FieldView<'d>)> {
    (1..=path.len()).rev().find_map(|depth| Some((depth, document.view().field(&path[..depth])?)))
}
