//! Which key each sealed value needs, as far as it is known, and so which keys may be retired.
//!
//! What opened a value is knowledge; what a hint says is a claim, and a claim may be stale or a lie. A value that nobody is
//! known to have opened counts as needing every key: what a public half says of its recipients is a claim, too.
//!
//! That holds for the age format too. A value may name several of a cluster's keys, and whoever sealed it may have lied: it
//! needs the key that opened it. Since the newest key that it names is tried first, that is seldom an old one.

use privyseal_envelope::{Format, KeyId};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// A key of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The id of its RSA half, which names it.
    pub id: KeyId,
    /// The ids of its recipients: hints of the age format speak of these. None if it has no identities.
    pub recipients: Vec<KeyId>,
}

/// What is known of one value's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// It was opened, with one of these keys; there are several where it is only known of the whole object.
    Opened(BTreeSet<KeyId>),
    /// Nobody is known to have opened it.
    Unknown {
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
    /// Its format; none if it is no sealed value.
    #[serde(serialize_with = "format_text")]
    pub format: Option<Format>,
    /// The keys that hints claim.
    #[serde(serialize_with = "ids_text")]
    pub claimed: BTreeSet<KeyId>,
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

impl Report {
    /// Names every key of the cluster by the one id that it is listed under, whatever hints and bare identities call it.
    #[must_use]
    pub fn named_as(mut self, keys: &[Key]) -> Self {
        let names: BTreeMap<KeyId, KeyId> =
            keys.iter().flat_map(|key| key.recipients.iter().map(|id| (*id, key.id))).collect();
        let name =
            |ids: &BTreeSet<KeyId>| ids.iter().map(|id| names.get(id).copied().unwrap_or(*id)).collect();
        for value in &mut self.values {
            value.claimed = name(&value.claimed);
            if let Knowledge::Opened(with) = &mut value.knowledge {
                *with = name(with);
            }
        }
        self
    }

    /// What would no longer open without this key of the cluster, or of which that cannot be ruled out. The report must
    /// name keys as the cluster does: see [`Self::named_as`].
    pub fn needs(&self, key: KeyId) -> Needs<'_> {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for value in &self.values {
            match &value.knowledge {
                Knowledge::Opened(with) if !with.contains(&key) => {}
                Knowledge::Opened(_) => known.push(value),
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
                Knowledge::Opened(with) => {
                    with.iter().for_each(|key| counts.entry(*key).or_default().opened += 1);
                }
                Knowledge::Unknown { .. } => {
                    value.claimed.iter().for_each(|key| counts.entry(*key).or_default().claimed += 1);
                }
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
        unknown: Option<&'static str>,
    }
    let text = match knowledge {
        Knowledge::Opened(with) => {
            Text { opened_with: with.iter().map(KeyId::to_string).collect(), unknown: None }
        }
        Knowledge::Unknown { why } => Text { opened_with: Vec::new(), unknown: Some(*why) },
    };
    text.serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
fn format_text<S: Serializer>(format: &Option<Format>, serializer: S) -> Result<S::Ok, S::Error> {
    format.map(|format| format.as_str()).serialize(serializer)
}

fn ids_text<S: Serializer>(ids: &BTreeSet<KeyId>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(ids.iter().map(KeyId::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_envelope::Fingerprint;

    fn id(name: &str) -> KeyId {
        Fingerprint::of(name.as_bytes()).key_id()
    }

    fn ids(names: &[&str]) -> BTreeSet<KeyId> {
        names.iter().map(|name| id(name)).collect()
    }

    /// A key with a recipient `NAME-pq`, or one of the peer without any.
    fn key(name: &str, has_identities: bool) -> Key {
        let recipients = has_identities.then(|| id(&format!("{name}-pq")));
        Key { id: id(name), recipients: recipients.into_iter().collect() }
    }

    fn value(item: &str, format: Format, claimed: &[&str], knowledge: Knowledge) -> Value {
        let (place, object) = ("a.yaml:1".to_owned(), "ns/db".to_owned());
        Value { place, object, item: item.into(), format: Some(format), claimed: ids(claimed), knowledge }
    }

    fn opened(names: &[&str]) -> Knowledge {
        Knowledge::Opened(ids(names))
    }

    const UNKNOWN: Knowledge = Knowledge::Unknown { why: "nobody opened it" };

    fn needs<'r>(report: &'r Report, name: &str) -> (Vec<&'r str>, Vec<&'r str>) {
        let needs = report.needs(id(name));
        let items = |values: Vec<&'r Value>| values.into_iter().map(|value| value.item.as_str()).collect();
        (items(needs.known), items(needs.unknown))
    }

    #[test]
    fn what_is_not_known_counts_as_needing_every_key_whatever_is_claimed() {
        let report = Report {
            values: vec![
                value("old", Format::Classic, &[], opened(&["old"])),
                value("new", Format::Classic, &[], opened(&["new"])),
                value("either", Format::Classic, &[], opened(&["old", "new"])),
                value("claims", Format::Classic, &["new"], UNKNOWN),
                value("silent", Format::Classic, &[], UNKNOWN),
            ],
            unreadable: Vec::new(),
        };
        assert_eq!(needs(&report, "old"), (vec!["old", "either"], vec!["claims", "silent"]));
        assert_eq!(needs(&report, "gone"), (vec![], vec!["claims", "silent"]));
        assert!(!report.needs(id("gone")).is_empty());
        assert_eq!(report.by_key()[&id("new")], Count { opened: 2, claimed: 1 });
    }

    #[test]
    fn a_value_needs_the_key_that_opened_it_whatever_else_it_names() {
        let age = |item, claimed: &[&str], knowledge| value(item, Format::Age, claimed, knowledge);
        let report = Report {
            values: vec![
                age("one", &["old-pq"], opened(&["old"])),
                age("both", &["old-pq", "new-pq"], opened(&["old"])),
                // The bare identity opened it, whose key the cluster calls by another name.
                age("bare", &["old-pq", "new-pq"], opened(&["old-pq"])),
                age("other-cluster", &["old-pq", "elsewhere"], opened(&["old"])),
                age("anonymous", &[], opened(&["old"])),
                age("newer", &["old-pq", "new-pq"], opened(&["new"])),
                age("unknown", &["new-pq"], UNKNOWN),
                // A classic value has one key, whatever an annotation says of it.
                value("classic", Format::Classic, &["new"], opened(&["old"])),
            ],
            unreadable: Vec::new(),
        };
        let keys = [key("old", true), key("new", true), key("peer", false)];
        let report = report.named_as(&keys);
        let old = ["one", "both", "bare", "other-cluster", "anonymous", "classic"];
        assert_eq!(needs(&report, "old"), (old.to_vec(), vec!["unknown"]));
        assert_eq!(needs(&report, "new"), (vec!["newer"], vec!["unknown"]));
        assert_eq!(
            needs(&report, "peer"),
            (vec![], vec!["unknown"]),
            "nobody knows that it has no identities"
        );
        assert_eq!(report.by_key()[&id("new")], Count { opened: 1, claimed: 1 });
        assert!(!report.by_key().contains_key(&id("new-pq")));
    }

    #[test]
    fn a_file_that_cannot_be_read_may_hold_anything() {
        let report = Report { values: Vec::new(), unreadable: vec!["a.yaml".into()] };
        assert!(!report.needs(id("old")).is_empty());
        assert!(Report::default().needs(id("old")).is_empty());
    }
}
