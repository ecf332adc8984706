//! One sealed value: its text, its bytes, and opening it.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use privyseal_envelope::age::{File, OpenError};
use privyseal_envelope::{Binding, Format, Item, Name, Namespace, SealedValue, classic};
use privyseal_fuzz::{age_identities, opening_key};

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = str::from_utf8(data) {
        let decoded = SealedValue::from_base64(text);
        assert_eq!(decoded.as_ref().ok().map(SealedValue::as_bytes), as_go_decodes(text).as_deref());
        if let Ok(value) = decoded {
            exercise(&value);
        }
    }
    if let Ok(value) = SealedValue::from_base64(&STANDARD.encode(data)) {
        assert_eq!(value.as_bytes(), data);
        exercise(&value);
    }
});

fn exercise(value: &SealedValue) {
    let again = SealedValue::from_base64(&value.to_base64());
    assert_eq!(again.as_ref(), Ok(value), "what is written reads back");
    let claimed = classic::claimed_modulus_len(value);
    let length = value.as_bytes().len();
    assert!(claimed.is_none_or(|claimed| claimed + 2 <= length), "no more is claimed than is there");

    let namespace = || Namespace::parse("team-a").expect("a namespace");
    let strict = |name| Binding::Strict { namespace: namespace(), name: Name::parse(name).expect("a name") };
    let wide = [Binding::NamespaceWide { namespace: namespace() }, Binding::ClusterWide];
    let bindings = [strict("db-credentials"), strict("db")].into_iter().chain(wide);
    let mut opened = 0;
    for binding in bindings {
        if let Ok(plaintext) = classic::open(value, opening_key(), &binding) {
            assert_eq!(value.format(), Format::Classic);
            assert_eq!(claimed, Some(256), "the key has 2048 bits");
            assert_eq!(
                plaintext.expose().len(),
                length - 2 - 256 - 16,
                "length, RSA part and tag are not it"
            );
            opened += 1;
        }
        for item in ["password", "user"] {
            if let Ok(plaintext) = open_age(value, &binding, &Item::parse(item).expect("an item")) {
                assert_eq!(value.format(), Format::Age);
                assert!(plaintext.len() < length);
                opened += 1;
            }
        }
    }
    assert!(opened <= 1, "one value opens under two bindings");
}

/// With the first of the two identities that is among the recipients.
fn open_age(value: &SealedValue, binding: &Binding, item: &Item) -> Result<Vec<u8>, OpenError> {
    let file = File::parse(value)?;
    for identity in age_identities() {
        if let Some(unwrapped) = file.unwrap(identity)? {
            return Ok(file.open(&unwrapped.file_key, binding, item)?.plaintext.expose().to_vec());
        }
    }
    Err(OpenError::NoMatch)
}

/// Go's `StdEncoding` once more, as plainly as can be, and the bound of two bytes.
fn as_go_decodes(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let joined: Vec<u8> = text.bytes().filter(|b| !b"\r\n".contains(b)).collect();
    if !joined.len().is_multiple_of(4) {
        return None;
    }
    let mut bytes = Vec::new();
    for (index, four) in joined.chunks(4).enumerate() {
        let padding = four.iter().rev().take_while(|b| **b == b'=').count();
        if padding > 2 || padding > 0 && (index + 1) * 4 != joined.len() {
            return None;
        }
        let mut bits = 0;
        for byte in &four[..4 - padding] {
            bits = bits << 6 | ALPHABET.iter().position(|known| known == byte)?;
        }
        bits <<= 6 * padding;
        bytes.extend(&[(bits >> 16) as u8, (bits >> 8) as u8, bits as u8][..3 - padding]);
    }
    (bytes.len() >= 2).then_some(bytes)
}
