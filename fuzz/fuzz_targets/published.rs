//! The published list of sealing keys: the list, signed here so that the signature is no wall, and the signature.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use privyseal_fuzz::publisher;
use privyseal_keys::{Published, PublishedKeys};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let signed = sign(text);
    match PublishedKeys::verify(&signed) {
        Ok((keys, by)) => {
            assert_eq!(by, publisher().public_key());
            let again = PublishedKeys::verify(&keys.publish(publisher()));
            assert_eq!(again.ok().map(|(keys, _)| keys), Some(keys), "what is published reads back");
        }
        Err(error) => {
            let _ = error.to_string();
        }
    }

    let other = sign(EMPTY_LIST);
    let with_signature = Published { signature: text.to_owned(), ..other.clone() };
    if PublishedKeys::verify(&with_signature).is_ok() {
        let bytes = |base64: &str| STANDARD.decode(base64.trim()).ok();
        assert_eq!(bytes(text), bytes(&other.signature), "there is one signature of one text");
    }
    let with_publisher = Published { publisher: text.to_owned(), ..other };
    if let Ok((_, by)) = PublishedKeys::verify(&with_publisher) {
        assert_eq!(by, publisher().public_key(), "nobody else signed it");
    }
});

fn sign(list: &str) -> Published {
    let message = ["privyseal.dev/sealing-keys/v1\n", list].concat();
    Published {
        list: list.to_owned(),
        signature: STANDARD.encode(publisher().sign(message.as_bytes())),
        publisher: publisher().public_key().to_string(),
    }
}

const EMPTY_LIST: &str = r#"{"version":1,"serial":1,"time":"2026-11-24T12:00:00Z","keys":[],"revoked":[]}"#;
