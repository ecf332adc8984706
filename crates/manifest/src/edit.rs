//! Byte-preserving edits: a few texts of SealedSecrets change, and every other byte of the file stays.
//!
//! ```text
//!   [Edit] ──merged──▶ Targets ─┐
//!   bytes ──read──▶ [Document] ─┼─▶ walk ──block | flow | scalar──▶ Splices ──guard──▶ Edited
//!     └──yaml | json──▶ Syntax ─┘   (what cannot be edited safely is refused here, in place)
//! ```
//!
//! A syntax tree holds the byte span of every node. Changes become splices of the text, first what is set, then what
//! is removed, so that a map is not empty in between. The guard is the only way from splices to a text: it reads the
//! result and compares every document with the old one, changed as asked. What is refused is refused before, with a
//! better message; the guard is for what nobody thought of.
//!
//! **Set**
//! - A scalar keeps its style: plain, single- or double-quoted. What spans lines (`|`, `>-`, a folded text) becomes
//!   one line, and the comment beside its header stays. A value that is there already is not touched.
//! - A missing entry comes to its sorted place if the keys are sorted, else to the end, laid out as its neighbours;
//!   maps that are missing, null or `{}` are made. A comment above an entry stays above it.
//! - Plain where every YAML reader takes it for this text; else, and in flow style and JSON, in double quotes.
//!
//! **Remove**
//! - The lines of the entry go, and a comment at their end. A comment above them stays: it may be about more than one
//!   entry, and to lose it is worse than to leave it.
//! - A map that becomes empty is written `{}`; `annotations` and `labels` go with their key.
//! - What is not there is no error.
//!
//! Line breaks are those of the neighbouring line. A last line without one stays without.
//!
//! ```
//! use privyseal_manifest::{edit, read};
//!
//! let before = b"apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nspec:\n  encryptedData:\n    # the admin's\n    user: 'AgA='\n";
//! let id = read(before, "db.yaml")?[0].id();
//! let changes = edit::Edit::of(id).set_item("user", "AgB=").set_item("password", "AgC=");
//! let after = edit::apply(before, "db.yaml", &[changes])?;
//! assert!(after.as_str().ends_with("    password: AgC=\n    # the admin's\n    user: 'AgB='\n"));
//! # Ok::<(), privyseal_manifest::DocumentError>(())
//! ```

mod block;
mod changes;
mod flow;
mod guard;
mod refusal;
mod scalar;
pub(crate) mod splice;
pub(crate) mod syntax;
mod walk;

pub use guard::Edited;

use crate::document::{Document, DocumentId, read};
use crate::error::{DocumentError, Obstacle, Position, Problem};
use crate::names::SEALED_WITH;
use changes::{Change, Changes};
use std::collections::BTreeMap;

/// Changes of one document. Which one, its [`DocumentId`] says.
#[derive(Clone, Debug)]
pub struct Edit {
    document: DocumentId,
    steps: Vec<(Vec<String>, Change)>,
}

impl Edit {
    /// No changes yet.
    pub fn of(document: DocumentId) -> Self {
        Self { document, steps: Vec::new() }
    }

    /// Makes a field a text. Maps on the way to it are made if they are missing; lists are not entered.
    #[must_use]
    pub fn set(mut self, path: &[&str], value: impl Into<String>) -> Self {
        self.steps.push((owned(path), Change::Set(value.into())));
        self
    }

    /// Removes a field and all that it holds, if it is there.
    #[must_use]
    pub fn remove(mut self, path: &[&str]) -> Self {
        self.steps.push((owned(path), Change::Remove));
        self
    }

    /// Sets one entry of `spec.encryptedData`.
    #[must_use]
    pub fn set_item(self, item: &str, sealed_value: impl Into<String>) -> Self {
        self.set(&["spec", "encryptedData", item], sealed_value)
    }

    /// Removes one entry of `spec.encryptedData`.
    #[must_use]
    pub fn remove_item(self, item: &str) -> Self {
        self.remove(&["spec", "encryptedData", item])
    }

    /// Sets the annotation [`SEALED_WITH`], or removes it.
    #[must_use]
    pub fn sealed_with(self, hints: Option<String>) -> Self {
        let path = ["metadata", "annotations", SEALED_WITH];
        match hints {
            Some(hints) => self.set(&path, hints),
            None => self.remove(&path),
        }
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|&name| name.to_owned()).collect()
}

type Targets = BTreeMap<DocumentId, Changes>;

/// What one round of splices does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Set,
    Remove,
}

/// Applies all edits of one input, or none.
///
/// `input` is what the documents were [`read`] from, and `source` names it in errors. All edits of all documents take
/// time as the input and the number of changes. Refused are documents that are no SealedSecrets, and with
/// [`Problem::NotEditable`] whatever this cannot change without touching something else.
pub fn apply(input: &[u8], source: &str, edits: &[Edit]) -> Result<Edited, DocumentError> {
    let documents = read(input, source).map_err(|error| template(input, error))?;
    // `read` has checked that it is.
    let text = str::from_utf8(input).unwrap_or_default();
    let targets = targets(&documents, source, edits)?;
    if let Some(&target) = targets.keys().next()
        && let Some(offset) = lone_carriage_return(text)
    {
        let problem = Problem::NotEditable(Obstacle::LoneCarriageReturn);
        return Err(target.error(source, Position::after(&text[..offset]), None, problem));
    }
    let mut edited = Edited::unchanged(text, source, documents);
    for pass in [Pass::Set, Pass::Remove] {
        if targets.values().any(|changes| changes.has(pass)) {
            edited = walk::pass(edited, pass, &targets)?;
        }
    }
    Ok(edited)
}

/// The changes of each document. All of them exist and are SealedSecrets.
fn targets(documents: &[Document], source: &str, edits: &[Edit]) -> Result<Targets, DocumentError> {
    let by_id: BTreeMap<_, _> = documents.iter().map(|document| (document.id(), document)).collect();
    let mut targets = Targets::new();
    for edit in edits {
        let id = edit.document;
        let Some(document) = by_id.get(&id) else {
            let problem = Problem::NotEditable(Obstacle::NoSuchDocument);
            return Err(id.error(source, Position::START, None, problem));
        };
        document.check_sealed_secret()?;
        let changes = targets.entry(id).or_default();
        for (path, change) in &edit.steps {
            if !changes.add(path, change) {
                let problem = Problem::NotEditable(Obstacle::Contradiction);
                return Err(id.error(source, document.position(), Some(path), problem));
            }
        }
    }
    Ok(targets)
}

fn lone_carriage_return(text: &str) -> Option<usize> {
    text.match_indices('\r').map(|(offset, _)| offset).find(|&offset| !text[offset..].starts_with("\r\n"))
}

/// A Helm chart that is not YAML yet is refused by what it is.
fn template(input: &[u8], error: DocumentError) -> DocumentError {
    let line = input.split(|&byte| byte == b'\n').nth(error.position().line.saturating_sub(1));
    let is_template = line.is_some_and(|line| line.windows(2).any(|pair| pair == b"{{"));
    match error.problem() {
        Problem::Syntax { .. } if is_template => error.with_problem(Problem::NotEditable(Obstacle::Template)),
        _ => error,
    }
}
