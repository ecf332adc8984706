//! Another implementation of lossless edits, with a parser of its own: oneyaml writes the same bytes, and reads what was
//! asked for.

use crate::edit_properties::{Layout, file, sealed_value};
use oneyaml::{NodeMut, Stream};
use proptest::prelude::*;

/// The SealedSecret among the documents of a stream.
fn position(stream: &Stream) -> Option<usize> {
    (0..stream.len()).find(|&index| {
        let kind = |document: oneyaml::Document| Some(document.get("kind")?.as_str()? == "SealedSecret");
        stream.document(index).and_then(kind) == Some(true)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn oneyaml_writes_the_same_bytes_for_a_value_of_one_line(
        file in file(),
        pick in any::<prop::sample::Index>(),
        value in "Ag[A-Za-z0-9+/]{8,90}={0,2}",
    ) {
        let text = file.text();
        let one_line: Vec<_> = file.entries.iter().filter(|(_, written)| written.one_line()).collect();
        let Some((name, _)) = one_line.get(pick.index(file.entries.len())) else { return Ok(()) };
        let ours = file.edit(&text, |edit| edit.set_item(name, &value));
        let mut stream = Stream::parse(text.as_str()).unwrap();
        let Some(index) = position(&stream) else { return Ok(()) };
        let mut document = stream.document_mut(index).unwrap();
        document
            .get_mut("spec")
            .and_then(|spec| spec.get_mut("encryptedData"))
            .and_then(|data| data.get_mut(name.as_str()))
            .unwrap()
            .set_scalar(&value)
            .unwrap();
        prop_assert_eq!(stream.to_string(), ours);
    }

    #[test]
    fn oneyaml_adds_and_removes_the_same_lines(
        file in file().prop_filter("block style", |file| file.layout == Layout::Block && file.entries.len() > 1),
        value in "Ag[A-Za-z0-9+/]{8,90}={0,2}",
    ) {
        let text = file.text();
        let edited = |change: &dyn Fn(NodeMut<'_>)| {
            let mut stream = Stream::parse(text.as_str()).unwrap();
            let index = position(&stream).unwrap();
        let mut document = stream.document_mut(index).unwrap();
            change(document.get_mut("spec").and_then(|spec| spec.get_mut("encryptedData")).unwrap());
            stream.to_string()
        };
        // It quotes a new value as its neighbours are quoted, and puts a blank line above where they have one.
        let added = edited(&|mut data| {
            data.insert("zzzz", value.as_str()).unwrap();
        });
        let added = added.replace(&format!("'{value}'"), &value).replace(&format!("\"{value}\""), &value);
        let lines = |text: &str| text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(lines(&added), lines(&file.edit(&text, |edit| edit.set_item("zzzz", &value))));

        let (gone, _) = &file.entries[0];
        let mut stream = Stream::parse(text.as_str()).unwrap();
        let index = position(&stream).unwrap();
        let mut document = stream.document_mut(index).unwrap();
        let data = document.get("spec").and_then(|spec| spec.get("encryptedData"));
        let id = data.and_then(|data| data.get(gone.as_str())).unwrap().id();
        let _ = document.remove_keep_comments(id).unwrap();
        prop_assert_eq!(stream.to_string(), file.edit(&text, |edit| edit.remove_item(gone)));
    }

    #[test]
    fn oneyaml_reads_what_was_asked_for(file in file(), name in crate::edit_properties::item(), value in sealed_value()) {
        let text = file.text();
        let gone = &file.entries[0].0;
        prop_assume!(*gone != name);
        let ours = file.edit(&text, |edit| edit.set_item(&name, &value).remove_item(gone));
        let (before, after) = (Stream::parse(text.as_str()).unwrap(), Stream::parse(ours.as_str()).unwrap());
        prop_assert_eq!(before.len(), after.len());
        let sealed = position(&before);
        for index in 0..before.len() {
            let (old, new) = (before.document(index).unwrap(), after.document(index).unwrap());
            if Some(index) != sealed {
                if !text.contains("kind: List") {
                    prop_assert_eq!(old.to_string(), new.to_string());
                }
                continue;
            }
            let data = new.get("spec").and_then(|spec| spec.get("encryptedData")).unwrap();
            prop_assert_eq!(data.get(name.as_str()).and_then(|node| node.as_str().map(|text| text.to_string())), Some(value.clone()));
            prop_assert!(data.get(gone.as_str()).is_none());
            for (name, written) in &file.entries[1..] {
                if let Some(node) = data.get(name.as_str()).filter(|_| !ours.contains(&value)) {
                    prop_assert_eq!(node.as_str().map(|text| text.to_string()), Some(written.value.clone()));
                }
            }
        }
    }
}
