//! SealedSecrets as text.
//!
//! YAML is written for every reader there is: a string is quoted whenever a YAML 1.1 or 1.2 reader could take it for
//! something else, and nothing is folded, so that a sealed value stays on its line.

use crate::sealed_secret::SealedSecret;
use serde::Serialize;
use std::{fmt, io};

/// One SealedSecret as YAML, without a leading `---`.
pub fn to_yaml(object: &SealedSecret) -> String {
    yaml(object)
}

/// One SealedSecret as JSON: two spaces, one final newline.
pub fn to_json(object: &SealedSecret) -> String {
    json_documents([object])
}

/// SealedSecrets as a YAML stream, each after a `---`, as the peer writes them.
pub fn yaml_documents<'a>(objects: impl IntoIterator<Item = &'a SealedSecret>) -> String {
    let mut out = String::new();
    for object in objects {
        out.push_str("---\n");
        write_yaml(&mut out, object);
    }
    out
}

/// SealedSecrets as JSON objects, one after the other, as the peer writes them.
pub fn json_documents<'a>(objects: impl IntoIterator<Item = &'a SealedSecret>) -> String {
    let mut out = Vec::new();
    for object in objects {
        write_json(&mut out, object);
    }
    String::from_utf8(out).expect("serde_json writes UTF-8")
}

pub(crate) fn yaml(value: &impl Serialize) -> String {
    let mut out = String::new();
    write_yaml(&mut out, value);
    out
}

pub(crate) fn write_yaml(out: &mut impl fmt::Write, value: &impl Serialize) {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false, compact_list_indent: true };
    serde_saphyr::to_fmt_writer_with_options(out, value, options)
        .expect("our types are representable, and memory does not fail");
}

pub(crate) fn write_json(out: &mut impl io::Write, value: &impl Serialize) {
    serde_json::to_writer_pretty(&mut *out, value)
        .expect("our types are representable, and memory does not fail");
    out.write_all(b"\n").expect("memory does not fail");
}
