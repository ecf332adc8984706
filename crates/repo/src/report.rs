//! Which key each sealed value needs, as far as it is known, and so which keys may be retired.
//!
//! What opened a value is knowledge; what an annotation says is a claim, and a claim may be stale or a lie. A value that
//! nobody is known to have opened counts as needing every key.

use privyseal_envelope::KeyId;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of one value's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// It was opened, with one of these keys; there are several where it is only known of the whole object.
    Opened(BTreeSet<KeyId>),
    /// Nobody is known to have opened it. An annotation may claim a key.
    Unknown {
        /// The claim.
        claimed: Option<KeyId>,
        /// Why it is not known, for people.
        why: &'static str,
    },
}

/// One sealed value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Value {
    /// `FILE:LINE`, or where in the cluster.
    pub place: String,
    /// `NAMESPACE/NAME` of its object.
    pub object: String,
    /// Its item.
    pub item: String,
    /// What is known of it.
    #[serde(flatten, serialize_with = "as_text")]
    pub knowledge: Knowledge,
}

/// All values that were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The values.
    pub values: Vec<Value>,
    /// Places that hold, or may hold, sealed values that cannot be read.
    pub unreadable: Vec<String>,
}

/// What would no longer open without a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs<'a> {
    /// Values that the key is known to have opened.
    pub known: Vec<&'a Value>,
    /// Values of which nobody knows that they do not need it.
    pub unknown: Vec<&'a Value>,
    /// Places that cannot be read.
    pub unreadable: &'a [String],
}

/// Numbers of values of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Known to be opened with it.
    pub opened: usize,
    /// Said to be sealed with it, and not known.
    pub claimed: usize,
}

impl Knowledge {
    /// Opened with this key.
    pub fn opened(key: KeyId) -> Self {
        Self::Opened(BTreeSet::from([key]))
    }
}

impl Report {
    /// What would no longer open without this key, or of which that cannot be ruled out.
    pub fn needs(&self, key: KeyId) -> Needs<'_> {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for value in &self.values {
            match &value.knowledge {
                Knowledge::Opened(keys) if keys.contains(&key) => known.push(value),
                Knowledge::Opened(_) => {}
                Knowledge::Unknown { .. } => unknown.push(value),
            }
        }
        Needs { known, unknown, unreadable: &self.unreadable }
    }

    /// Numbers by key; a key that no value needs or claims is not in it.
    pub fn by_key(&self) -> BTreeMap<KeyId, Count> {
        let mut counts = BTreeMap::<_, Count>::new();
        for value in &self.values {
            match &value.knowledge {
                Knowledge::Opened(keys) => {
                    for key in keys {
                        counts.entry(*key).or_default().opened += 1;
                    }
                }
                Knowledge::Unknown { claimed: Some(key), .. } => counts.entry(*key).or_default().claimed += 1,
                Knowledge::Unknown { claimed: None, .. } => {}
            }
        }
        counts
    }

    /// Values that nobody is known to have opened.
    pub fn unknown(&self) -> impl Iterator<Item = &Value> {
        self.values.iter().filter(|value| matches!(value.knowledge, Knowledge::Unknown { .. }))
    }
}

impl Needs<'_> {
    /// Whether the key can go.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.unknown.is_empty() && self.unreadable.is_empty()
    }
}

fn as_text<S: Serializer>(knowledge: &Knowledge, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Text {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        opened_with: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        claimed: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        unknown: Option<&'static str>,
    }
    let text = match knowledge {
        Knowledge::Opened(keys) => {
            Text { opened_with: keys.iter().map(KeyId::to_string).collect(), claimed: None, unknown: None }
        }
        Knowledge::Unknown { claimed, why } => {
            Text { opened_with: Vec::new(), claimed: claimed.map(|key| key.to_string()), unknown: Some(*why) }
        }
    };
    text.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_envelope::Fingerprint;

    fn key(name: &str) -> KeyId {
        Fingerprint::of(name.as_bytes()).key_id()
    }

    fn value(item: &str, knowledge: Knowledge) -> Value {
        Value { place: "a.yaml:1".into(), object: "ns/db".into(), item: item.into(), knowledge }
    }

    #[test]
    fn what_is_not_known_counts_as_needing_every_key_whatever_is_claimed() {
        let unknown = |claimed| Knowledge::Unknown { claimed, why: "nobody opened it" };
        let report = Report {
            values: vec![
                value("old", Knowledge::opened(key("old"))),
                value("new", Knowledge::opened(key("new"))),
                value("either", Knowledge::Opened(BTreeSet::from([key("old"), key("new")]))),
                value("claims", unknown(Some(key("new")))),
                value("silent", unknown(None)),
            ],
            unreadable: Vec::new(),
        };
        let items = |values: &[&Value]| values.iter().map(|value| value.item.clone()).collect::<Vec<_>>();
        let needs = report.needs(key("old"));
        assert_eq!(
            (items(&needs.known), items(&needs.unknown)),
            (vec!["old".into(), "either".into()], vec!["claims".into(), "silent".into()])
        );
        let needs = report.needs(key("gone"));
        assert_eq!((items(&needs.known).len(), items(&needs.unknown).len()), (0, 2));
        assert!(!needs.is_empty());
        assert_eq!(report.by_key()[&key("new")], Count { opened: 2, claimed: 1 });
    }

    #[test]
    fn a_file_that_cannot_be_read_may_hold_anything() {
        let report = Report { values: Vec::new(), unreadable: vec!["a.yaml".into()] };
        assert!(!report.needs(key("old")).is_empty());
        assert!(Report::default().needs(key("old")).is_empty());
    }
}
