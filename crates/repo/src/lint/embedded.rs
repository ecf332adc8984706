//! SealedSecrets within other objects: in the values of a HelmRelease, in a ConfigMap, in a patch. They are not
//! checked, and that is told once for each document.

use super::code::Code;
use super::finding::{Finding, Text};
use privyseal_manifest::{Document, Position, View};

pub(super) fn check(text: &Text<'_>, document: &Document, out: &mut Vec<Finding>) {
    if let Some(at) = find(document.view(), true) {
        let message = "a SealedSecret stands within another object, where it is not checked";
        out.push(
            text.at_position(Code::Embedded, Some(document.id()), None, at, message)
                .cure("keep it in a document of its own, if the tool that reads it allows that"),
        );
    }
}

fn find(view: View<'_>, root: bool) -> Option<Position> {
    let is_one = |kind: Option<&str>| kind == Some("SealedSecret");
    if !root && is_one(view.text_at(&["kind"])) && view.field(&["spec", "encryptedData"]).is_some() {
        return Some(view.at());
    }
    if let Some(text) = view.text() {
        return mentions(text).then(|| view.at());
    }
    view.fields().map(|field| field.value).chain(view.items()).find_map(|inner| find(inner, false))
}

/// A manifest as text, and not only the word.
fn mentions(text: &str) -> bool {
    text.contains("encryptedData")
        && text.lines().any(|line| line.trim().trim_start_matches("- ") == "kind: SealedSecret")
}
