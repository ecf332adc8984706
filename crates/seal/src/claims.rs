//! Whose a value claims to be: by the annotation, or by the hints in it.

use crate::hints::Hints;
use privyseal_envelope::age::File;
use privyseal_envelope::{Format, KeyId, SealedValue};
use privyseal_manifest::SealedSecret;
use std::collections::BTreeSet;

/// The keys that are claimed to open the value of an item. Nothing is proved by it.
pub fn claimed(hints: &Hints, item: &str, value: &SealedValue) -> BTreeSet<KeyId> {
    match value.format() {
        Format::Classic => hints.key_of(item, value).into_iter().collect(),
        Format::Age => {
            let file = File::parse(value).ok();
            file.iter().flat_map(File::recipients).filter_map(|recipient| recipient.claimed).collect()
        }
    }
}

/// The items of an object whose values are in another format, or for others, than those of the items that were sealed just
/// now. `owner` numbers those whose keys are known, so that an older key of theirs is no difference; classic values differ
/// by format only.
pub fn sealed_otherwise<'a>(
    object: &'a SealedSecret,
    just_now: &BTreeSet<&str>,
    owner: impl Fn(KeyId) -> Option<usize>,
) -> Vec<&'a str> {
    let hints = Hints::read(object.metadata.annotations.as_ref());
    let how = |item: &str, text: &str| -> Option<(Format, BTreeSet<Result<usize, KeyId>>)> {
        let value = SealedValue::from_base64(text).ok()?;
        let keys = match value.format() {
            Format::Classic => BTreeSet::new(),
            Format::Age => claimed(&hints, item, &value),
        };
        Some((value.format(), keys.into_iter().map(|key| owner(key).ok_or(key)).collect()))
    };
    let (new, others): (Vec<_>, Vec<_>) =
        object.spec.encrypted_data.iter().partition(|(item, _)| just_now.contains(item.as_str()));
    let new: Vec<_> = new.into_iter().filter_map(|(item, text)| how(item, text)).collect();
    let differs =
        |item: &str, text: &str| how(item, text).is_some_and(|how| new.iter().any(|new| *new != how));
    others.into_iter().filter(|(item, text)| differs(item, text)).map(|(item, _)| item.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_envelope::age::{Identity, Recipient, Recipients, seal};
    use privyseal_envelope::{Binding, Item};

    fn sealed(item: &str, to: &[&Recipient]) -> (String, String) {
        let to = Recipients::new(to.iter().copied().cloned()).unwrap();
        let value = seal(b"v", &to, &Binding::ClusterWide, &Item::parse(item).unwrap()).unwrap();
        (item.to_owned(), value.to_base64())
    }

    #[test]
    fn an_older_key_of_the_same_ones_is_no_difference() {
        let [new, old, other] = [0, 1, 2].map(|_| Identity::generate_x25519().recipient());
        let id = |recipient: &Recipient| recipient.fingerprint().key_id();
        let mut object = SealedSecret::new("db", Default::default());
        object.spec.encrypted_data = [
            sealed("new", &[&new]),
            sealed("old", &[&old]),
            sealed("both", &[&old, &other]),
            sealed("other", &[&other]),
            ("classic".to_owned(), "AAAA".to_owned()),
            ("damaged".to_owned(), "?".to_owned()),
        ]
        .into();
        let theirs = [id(&new), id(&old)];
        let owner = |key| theirs.contains(&key).then_some(0);
        let differ = |just_now: &[&str]| {
            sealed_otherwise(&object, &just_now.iter().copied().collect(), owner).join(" ")
        };
        assert_eq!(differ(&["new"]), "both classic other");
        assert_eq!(differ(&["classic"]), "both new old other");
        assert_eq!(differ(&["new", "both", "classic", "other"]), "old");
        let unknown = sealed_otherwise(&object, &["new"].into(), |_| None);
        assert_eq!(unknown, ["both", "classic", "old", "other"]);
    }
}
