//! Private keys: as PEM text, and as the DER in it in both encodings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privyseal_envelope::rsa::OpeningKey;
use privyseal_fuzz::pem;
use privyseal_keys::{PublisherKey, private_key};

fuzz_target!(|data: &[u8]| {
    exercise(data);
    exercise(&pem("RSA PRIVATE KEY", data));
    exercise(&pem("PRIVATE KEY", data));
});

fn exercise(text: &[u8]) {
    let all = private_key::from_pem(text);
    assert!(!all.is_empty(), "no key is an error");
    let usable: Vec<_> =
        all.into_iter().filter_map(|key| key.map_err(|error| error.to_string()).ok()).collect();
    let first = private_key::first_from_pem(text).ok().map(|key| key.fingerprint());
    assert_eq!(first, usable.first().map(OpeningKey::fingerprint));
    for key in usable {
        let written = private_key::to_pkcs1_pem(&key).expect("a key that was read can be written");
        let again = private_key::first_from_pem(written.as_bytes()).ok().map(|key| key.fingerprint());
        assert_eq!(again, Some(key.fingerprint()), "what is written reads back");
    }
    if let Ok(key) = PublisherKey::from_pem(text) {
        let again = PublisherKey::from_pem(key.to_pem().as_bytes()).expect("what is written reads back");
        assert_eq!(again.public_key(), key.public_key());
    }
}
