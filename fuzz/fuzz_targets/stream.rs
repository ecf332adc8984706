//! What tools render: whatever stands beside a Secret, the Secret goes and every other byte stays.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privyseal_manifest::stream::{Replacements, Stream};
use privyseal_manifest::{Document, DocumentId, SealedSecret, SealedSecretSpec};

/// A value that no output may hold.
const CANARY: &str = "xyzzy-canary";
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: c}\nstringData: {c: xyzzy-canary}\n";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        assert!(Stream::read(data, "fuzz").is_err());
        return;
    };
    exercise(text);
    if !text.contains(CANARY) {
        // A document of its own, by the rule that every YAML reader has for `---`.
        for beside in [format!("{SECRET}---\n{text}"), format!("{text}\n---\n{SECRET}")] {
            exercise(&beside);
        }
    }
});

fn exercise(text: &str) {
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

    let secrets: Vec<DocumentId> = stream.documents().filter(|it| is_secret(it)).map(Document::id).collect();
    let sealed = || SealedSecret::new("sealed", SealedSecretSpec::default());
    let replacements: Replacements = secrets.iter().map(|id| (*id, sealed())).collect();
    let Ok(replaced) = stream.replace(&replacements, &[]) else { return };
    assert!(!is_canarys(text) || !replaced.contains(CANARY), "what was replaced is gone");
    let again = Stream::read(replaced.as_bytes(), "fuzz").ok().expect("what comes out can be read");
    let kinds = |stream: &Stream, is_replaced: &dyn Fn(DocumentId) -> bool| -> Vec<_> {
        let kind = |document: &Document| match is_replaced(document.id()) {
            true => Some("SealedSecret".to_owned()),
            false => document.kind().map(str::to_owned),
        };
        stream.documents().map(|document| (document.id(), kind(document))).collect()
    };
    assert_eq!(kinds(&again, &|_| false), kinds(&stream, &|id| secrets.contains(&id)));
}

/// Whether the value stands in our own Secret alone.
fn is_canarys(text: &str) -> bool {
    text.matches(CANARY).count() == 1
}

fn is_secret(document: &Document) -> bool {
    document.kind() == Some("Secret") && document.api_version() == Some("v1")
}
