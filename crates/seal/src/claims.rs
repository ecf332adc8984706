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

/// The items of an object, but for one, that are in another format than its new value or for other recipients. Classic
/// values differ by format only: which key of a cluster they are sealed to changes with time.
pub fn sealed_otherwise<'a>(object: &'a SealedSecret, item: &str, value: &SealedValue) -> Vec<&'a str> {
    let hints = Hints::read(object.metadata.annotations.as_ref());
    let wanted = claimed(&hints, item, value);
    let differs = |name: &str, text: &str| {
        SealedValue::from_base64(text).is_ok_and(|other| {
            other.format() != value.format()
                || value.format() == Format::Age && claimed(&hints, name, &other) != wanted
        })
    };
    let others =
        object.spec.encrypted_data.iter().filter(|(name, text)| *name != item && differs(name, text));
    others.map(|(name, _)| name.as_str()).collect()
}
