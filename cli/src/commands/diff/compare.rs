//! What differs between two states of one SealedSecret.

use privyseal_envelope::Plaintext;
use privyseal_manifest::{SealedSecret, emit, names};
use std::collections::{BTreeMap, BTreeSet};

/// Item name to value.
pub(super) type Values = BTreeMap<String, Plaintext>;

/// One state of an object.
pub(super) struct Side {
    /// The object.
    pub(super) object: SealedSecret,
    /// Its values, if it was opened.
    pub(super) values: Option<Values>,
}

/// Both states of an object.
pub(super) struct Comparison {
    a: Option<Side>,
    b: Option<Side>,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Only the first has it.
    Removed,
    /// Only the second has it.
    Added,
    /// The values differ.
    Changed,
    /// The sealed values differ, the values do not.
    SealedAnew,
    /// The sealed values differ, and nobody looked into them.
    Unknown,
}

impl Comparison {
    pub(super) fn new(a: Option<Side>, b: Option<Side>) -> Self {
        Self { a, b }
    }

    /// Each item that is not the same text on both sides.
    pub(super) fn items(&self) -> Vec<(&str, Verdict)> {
        let sides = [&self.a, &self.b];
        let items: BTreeSet<&str> =
            sides.into_iter().flatten().flat_map(Side::texts).map(|(item, _)| item.as_str()).collect();
        let judge = |item| {
            let [a, b] = sides.map(|side| side.as_ref()?.texts().get(item));
            Some(match (a, b, self.values_of(item)) {
                (None, ..) => Verdict::Added,
                (_, None, _) => Verdict::Removed,
                // Under another name or scope the same text is another value or none, and opening has failed.
                (Some(a), Some(b), _) if a == b => return None,
                (.., (Some(a), Some(b))) if a == b => Verdict::SealedAnew,
                (.., (Some(_), Some(_))) => Verdict::Changed,
                _ => Verdict::Unknown,
            })
        };
        items.into_iter().filter_map(|item| Some((item, judge(item)?))).collect()
    }

    /// The values of an item, as far as they are known.
    pub(super) fn values_of(&self, item: &str) -> (Option<&Plaintext>, Option<&Plaintext>) {
        (Side::value(self.a.as_ref(), item), Side::value(self.b.as_ref(), item))
    }

    /// What is in the clear, as text: all but sealed values, hints about them, and status.
    pub(super) fn clear_texts(&self) -> [String; 2] {
        [&self.a, &self.b].map(|side| side.as_ref().map_or_else(String::new, |side| clear_text(&side.object)))
    }

    /// Whether the Secrets that are made of the two would differ, or whether that is not known.
    pub(super) fn is_different(&self) -> bool {
        let [a, b] = self.clear_texts();
        a != b || self.items().iter().any(|(_, verdict)| *verdict != Verdict::SealedAnew)
    }
}

impl Side {
    fn texts(&self) -> &BTreeMap<String, String> {
        &self.object.spec.encrypted_data
    }

    fn value<'a>(side: Option<&'a Self>, item: &str) -> Option<&'a Plaintext> {
        side?.values.as_ref()?.get(item)
    }
}

fn clear_text(object: &SealedSecret) -> String {
    let mut object = object.clone();
    object.spec.encrypted_data.clear();
    object.status = None;
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove(names::SEALED_WITH);
        if annotations.is_empty() {
            object.metadata.annotations = None;
        }
    }
    emit::to_yaml(&object)
}
