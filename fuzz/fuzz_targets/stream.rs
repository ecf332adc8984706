//! What tools render: whatever stands beside a Secret, the Secret goes and every other byte stays.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privyseal_manifest::stream::{Replacements, Stream};
use privyseal_manifest::{Document, DocumentId, SealedSecret, SealedSecretSpec, View};

/// A value that no output may hold.
const CANARY: &str = "xyzzy-canary";
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: c}\nstringData: {c: xyzzy-canary}\n";

const LIST: &str = "apiVersion: v1\nkind: List\n";
/// A Secret, as an item.
const EMPTY: &str = "apiVersion: v1\n  kind: Secret\n";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        assert!(Stream::read(data, "fuzz").is_err());
        return;
    };
    exercise(text, Canary::Anywhere);
    if !text.contains(CANARY) {
        // A document of its own, by the rule that every YAML reader has for `---`.
        for beside in [format!("{SECRET}---\n{text}"), format!("{text}\n---\n{SECRET}")] {
            exercise(&beside, Canary::Secret);
        }
        // An item of a list, where its value stands behind an anchor beside the items, or in the Secret itself, or in a
        // comment; and the input is a value, an item or a field.
        let [item, field] = ["    ", "  "].map(|indent| text.replace('\n', &format!("\n{indent}")));
        let own = SECRET.trim_end().replace('\n', "\n  ");
        exercise(
            &format!("{LIST}x: &c {CANARY}\nitems:\n- {EMPTY}  stringData:\n    {item}\n"),
            Canary::Anywhere,
        );
        exercise(
            &format!("{LIST}x: &c\n  stringData: {{c: {CANARY}}}\nitems:\n- {EMPTY}  {field}\n"),
            Canary::Anywhere,
        );
        exercise(&format!("{LIST}x: &c\n  {own}\nitems:\n- *c\n- {field}\n"), Canary::Anywhere);
        exercise(&format!("{LIST}items:\n- {field}\n- {own}\nx:\n  {field}\n"), Canary::Anywhere);
        exercise(&format!("{LIST}items:\n- {field}\n# {CANARY}\n- {EMPTY}- {field}\n"), Canary::Comment);
        exercise(
            &format!("{LIST}items: [{text}\n, {{kind: Secret, apiVersion: v1, x: {CANARY}}}]\n"),
            Canary::Anywhere,
        );
    }
});

/// Where the value is written, as far as it is known.
#[derive(Clone, Copy)]
enum Canary {
    /// In a document of its own, which is a Secret.
    Secret,
    /// In a comment of a list that holds a Secret, unless the input makes that comment part of a text.
    Comment,
    /// Anywhere. If a Secret holds it, be it by an alias, it is secret.
    Anywhere,
}

fn exercise(text: &str, canary: Canary) {
    let stream = match Stream::read(text.as_bytes(), "fuzz") {
        Ok(stream) => stream,
        Err(error) => {
            let told = format!("{error} {error:?}");
            assert!(!told.contains(CANARY), "an error tells no value");
            return;
        }
    };
    let unchanged = stream.replace(&Replacements::new(), &[]).expect("nothing is to be replaced");
    assert!(*unchanged == text, "every byte stays");

    let secrets: Vec<DocumentId> = stream.secrets().map(Document::id).collect();
    let is_secret = match canary {
        Canary::Secret => true,
        Canary::Comment => !secrets.is_empty() && !stream.documents().any(|it| holds_canary(it.view())),
        Canary::Anywhere => stream.secrets().any(|secret| holds_canary(secret.view())),
    };
    let sealed = || SealedSecret::new("sealed", SealedSecretSpec::default());
    let replacements: Replacements = secrets.iter().map(|id| (*id, sealed())).collect();
    let Ok(replaced) = stream.replace(&replacements, &[]) else { return };
    if is_secret && text.matches(CANARY).count() == 1 {
        assert!(!replaced.contains(CANARY), "what was replaced is gone, wherever its value is written");
    }
    let again = Stream::read(replaced.as_bytes(), "fuzz").expect("what comes out can be read");
    let kinds = |stream: &Stream, is_replaced: &dyn Fn(DocumentId) -> bool| -> Vec<_> {
        let kind = |document: &Document| match is_replaced(document.id()) {
            true => Some("SealedSecret".to_owned()),
            false => document.kind().map(str::to_owned),
        };
        stream.documents().map(|document| (document.id(), kind(document))).collect()
    };
    assert_eq!(kinds(&again, &|_| false), kinds(&stream, &|id| secrets.contains(&id)));
}

/// Whether one of the values is ours, be it that an alias stands there for it.
fn holds_canary(value: View<'_>) -> bool {
    value.text().is_some_and(|text| text.contains(CANARY))
        || value.items().any(holds_canary)
        || value.fields().any(|field| field.key.contains(CANARY) || holds_canary(field.value))
}
